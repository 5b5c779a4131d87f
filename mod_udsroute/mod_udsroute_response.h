/* SPDX-License-Identifier: Apache-2.0 */
/* A member's response head, put into httpd's request record; and its trailers.
 * Layer: glue. Used by the client side. */
#ifndef MOD_UDSROUTE_RESPONSE_H
#define MOD_UDSROUTE_RESPONSE_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_http1.h"

/* What httpd writes before all other fields, and takes from its table for that; its own where the member has none. */
typedef struct udr_stamp_t {
    const char *date;   /* NULL: none */
    const char *server; /* NULL: none */
} udr_stamp_t;

/* Sets status, status line and header fields of r, but for *stamp. */
void udr_response_set_head(request_rec *r, const udr_http1_head_t *head, udr_stamp_t *stamp);

/* Puts the stamp among the fields of r, where httpd's filters look for it, and empties it. */
void udr_response_put_stamp(request_rec *r, udr_stamp_t *stamp);

/* 426 Upgrade Required: says to which protocol (RFC 9110, 15.5.22), as far as the route allows it. */
void udr_response_set_upgrade(request_rec *r, const udr_http1_head_t *head, const char *allowed);

/* Takes the fields back, as long as nothing was passed on: the client gets an answer of httpd's instead. */
void udr_response_reset(request_rec *r);

/* UDSErrorOverride: the client gets httpd's page for this status. */
bool udr_response_is_overridden(const request_rec *r, int status);

/* A 1xx response but 101: puts the bytes of its head into bb. */
void udr_response_write_interim(request_rec *r, const udr_http1_head_t *head, apr_bucket_brigade *bb);

/* The same by httpd itself, for an HTTP/2 stream. */
void udr_response_send_interim(request_rec *r, const udr_http1_head_t *head);

/* A 101 response: sets status and fields of r, and puts the bytes of its head into bb. (httpd's own way for 1xx would
 * wait for the client, and copy a tunnel's worth of memory.) */
void udr_response_write_switch(request_rec *r, const udr_http1_head_t *head, apr_bucket_brigade *bb);

/* Trailers: for HTTP/2 in r->trailers_out, for a chunked HTTP/1.1 response by a filter behind httpd's own. Call before
 * the end of the response is passed on and after its head was. */
void udr_response_set_trailers(request_rec *r, udr_slice_t trailers);

/* Registers that filter. */
void udr_response_register(void);

#endif
