/* SPDX-License-Identifier: Apache-2.0 */
/* The client's socket as core's input filter reads it: a bucket of our own, which remembers on a loop that nothing is
 * left in the socket. Edge-triggered events tell of more; until then httpd, which looks after each request whether the
 * next one is there, has its answer without a system call. Layer: glue. A hook of the connection. */
#ifndef MOD_UDSROUTE_INPUT_H
#define MOD_UDSROUTE_INPUT_H

#include "mod_udsroute/mod_udsroute.h"

typedef struct udr_input_t {
    conn_rec *c;
    int fd;
    bool is_drained; /* the last read on the loop emptied the socket, and no event has come since */
    bool has_ended;  /* the client sends no more; the loop's: behind the last bytes there is an end to be read, of which
                        no further event tells */
} udr_input_t;

/* A hook or filter has read from a client on a loop as if it might wait (mod_security, for one, reads bodies before the
 * handler): in this child workers read the requests from now on. */
bool udr_input_was_awaited(void);

/* Hook insert_network_bucket. */
apr_status_t udr_input_insert(conn_rec *c, apr_bucket_brigade *bb, apr_socket_t *socket);

/* There may be something to read: an event has come, or the connection has changed hands. */
void udr_input_awake(conn_rec *c);

/* The end of what the client sends has been announced. On the loop's thread, whoever has the connection. */
void udr_input_ended(conn_rec *c);

#endif
