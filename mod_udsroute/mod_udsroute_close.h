/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a client's connection that ends with a worker, and not on a loop. Layer: glue. */
#ifndef MOD_UDSROUTE_CLOSE_H
#define MOD_UDSROUTE_CLOSE_H

#include "mod_udsroute/mod_udsroute.h"

/* Hook pre_close_connection, behind all others. Of a routed connection: writes what is left to write and closes for
 * writing, as httpd is about to do. If the client has not closed by then, and is quiet, its socket is left to a loop,
 * and the MPM has nothing to wait for. */
int udr_close_begin(conn_rec *c);

#endif
