/* SPDX-License-Identifier: Apache-2.0 */
/* The client's socket as core's input filter reads it: a bucket of our own, which remembers on a loop that nothing is
 * left in the socket. Edge-triggered events tell of more; until then httpd, which looks after each request whether the
 * next one is there, has its answer without a system call. And a loop may look past core's filter, which keeps nothing
 * back then, at what comes next. Layer: glue. A hook of the connection. */
#ifndef MOD_UDSROUTE_INPUT_H
#define MOD_UDSROUTE_INPUT_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_codec.h"

#include <util_filter.h>

/* What is read at once: as APR does, as httpd minds in what pieces a line without an end comes. */
#define UDR_INPUT_ROOM APR_BUCKET_BUFF_SIZE

typedef struct udr_input_t {
    conn_rec *c;
    int fd;
    apr_bucket *bucket; /* stands for it in core's filter; NULL: the end has been read, or somebody has dropped it */
    const ap_filter_rec_t *timer;   /* mod_reqtimeout's filter; NULL: there is none */
    const ap_filter_rec_t *counter; /* mod_logio's */
    void (*count)(conn_rec *c, apr_off_t bytes);
    char *kept;         /* read past core's filter and not taken: comes first. Of the connection's bucket allocator */
    apr_size_t kept_at; /* where it begins */
    apr_size_t kept_len;
    bool is_drained; /* the last read on the loop emptied the socket, and no event has come since */
    bool has_ended;  /* the client sends no more; the loop's: behind the last bytes there is an end to be read, of which
                        no further event tells */
} udr_input_t;

/* A hook or filter has read from a client on a loop as if it might wait (mod_security, for one, reads bodies before the
 * handler): in this child workers read the requests from now on. */
bool udr_input_was_awaited(void);

/* Hook insert_network_bucket. */
apr_status_t udr_input_insert(conn_rec *c, apr_bucket_brigade *bb, apr_socket_t *socket);

/* At registration: the filter of the next one. */
void udr_input_register(void);

/* Hook insert_error_filter: on a loop's thread, and for a request that could be read but is refused before its handler,
 * nothing is read of its body any more. httpd would wait for the rest of it, and closes the connection all the same. */
void udr_input_omit_body(request_rec *r);

/* What comes next, without taking it. On the loop's thread. buffer: with UDR_INPUT_ROOM. *bytes: within it, or memory
 * of the connection's: to be taken or kept before anything else is read. APR_EAGAIN: nothing yet. APR_EOF: the end.
 * APR_ENOTIMPL: nobody may look past the filters, as one stands there that would mind, or core's has something. */
apr_status_t udr_input_look(conn_rec *c, char *buffer, udr_slice_t *bytes);

/* Whether mod_reqtimeout has an eye on what is read: it knows that a head has been read, even if it was read past its
 * filter, but a body it would take for another head. */
bool udr_input_is_timed(conn_rec *c);

/* Of what was looked at, so many bytes have been taken; the others are kept. */
void udr_input_take(conn_rec *c, udr_slice_t bytes, apr_size_t taken);

/* Whether it is known, without reading, what comes next; then *has_more says whether there is something that is no
 * empty line. On the loop's thread. */
bool udr_input_is_known(conn_rec *c, bool *has_more);

/* There may be something to read: an event has come, or the connection has changed hands. */
void udr_input_awake(conn_rec *c);

/* The end of what the client sends has been announced. On the loop's thread, whoever has the connection. */
void udr_input_ended(conn_rec *c);

#endif
