/* SPDX-License-Identifier: Apache-2.0 */
/* Staying with a client between two requests: the worker thread waits for the next one for a moment before it gives the
 * connection back to the MPM, which would cost two context switches more (listener, another worker) for each request.
 * Layer: glue. */
#ifndef MOD_UDSROUTE_STAY_H
#define MOD_UDSROUTE_STAY_H

#include "mod_udsroute/mod_udsroute.h"

/* Once in each child. */
void udr_stay_child_init(void);

/* A request on this connection has been routed: it is worth to stay. */
void udr_stay_earn(conn_rec *c);

/* Hook process_connection, before all others. */
int udr_stay_process_connection(conn_rec *c);

#endif
