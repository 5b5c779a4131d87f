/* SPDX-License-Identifier: Apache-2.0 */
/* Staying with a client between two requests of which a worker has served the first: the connection waits for the
 * second on a loop. Where there are none the worker itself waits for a moment before it gives the connection back to
 * the MPM, which would cost two context switches more (listener, another worker) for each request.
 * Layer: glue. */
#ifndef MOD_UDSROUTE_STAY_H
#define MOD_UDSROUTE_STAY_H

#include "mod_udsroute/mod_udsroute.h"

/* Once in each child. */
void udr_stay_child_init(void);

/* On a worker thread: this request has been routed, and ends there. */
void udr_stay_earn(request_rec *r);

/* Hook process_connection, before all others. */
int udr_stay_process_connection(conn_rec *c);

#endif
