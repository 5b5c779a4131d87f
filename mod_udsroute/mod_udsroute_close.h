/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a client's connection: who waits until the client has closed, too. Layer: glue. Used by the hooks, and for
 * connections that end on a loop. */
#ifndef MOD_UDSROUTE_CLOSE_H
#define MOD_UDSROUTE_CLOSE_H

#include "mod_udsroute/mod_udsroute_loops.h"

/* As long as httpd's own short lingering close: where somebody's memory or place is kept for the client meanwhile, or
 * a module asks for it (the note "short-lingering-close"). */
#define UDR_CLOSE_SHORT apr_time_from_sec(2)

/* Hook pre_close_connection, behind all others. Of a routed connection: writes what is left to write and closes for
 * writing, as httpd is about to do. If the client has not closed by then, and is quiet, its socket is left to a loop,
 * and the MPM has nothing to wait for. */
int udr_close_begin(conn_rec *c);

/* Any thread. c is closed for writing: that loop waits for the client to close, with a descriptor of its own, and c may
 * go. fd: c's socket. false: no descriptor, no memory, or as many wait there already as may (udr_linger_create()). */
bool udr_close_leave_to_loop(const conn_rec *c, int fd, udr_home_t *home);

#endif
