/* SPDX-License-Identifier: Apache-2.0 */
/* What httpd's scoreboard has of adopted connections: a worker that does something for one in a callback of the MPM
 * (which shows it as idle) is busy, and their requests are counted. Layer: glue. Used by the guest; the hook. */
#ifndef MOD_UDSROUTE_SCOREBOARD_H
#define MOD_UDSROUTE_SCOREBOARD_H

#include "mod_udsroute/mod_udsroute.h"

/* Shows this thread as busy: status is SERVER_BUSY_READ or SERVER_BUSY_WRITE, never SERVER_BUSY_LOG (see
 * mod_udsroute_adopted_end.c: that one says that a connection's worker is not through with it). r: the request, or NULL
 * as long as there is none. Returns what was there before, for udr_scoreboard_end(); -1: the thread has no place in the
 * scoreboard. */
int udr_scoreboard_begin(int status, request_rec *r);

/* Puts back what was there before. */
void udr_scoreboard_end(int before);

/* Hook log_transaction, after mod_logio's: counts a request where httpd does not, as it goes by the worker that has the
 * connection. */
int udr_scoreboard_log_transaction(request_rec *r);

#endif
