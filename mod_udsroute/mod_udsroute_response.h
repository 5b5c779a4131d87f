/* SPDX-License-Identifier: Apache-2.0 */
/* A member's response head, put into httpd's request record; and its trailers.
 * Layer: glue. Used by the client side. */
#ifndef MOD_UDSROUTE_RESPONSE_H
#define MOD_UDSROUTE_RESPONSE_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_http1.h"

/* Sets status, status line and header fields of r. */
void udr_response_set_head(request_rec *r, const udr_http1_head_t *head);

/* Takes the fields back, as long as nothing was passed on: the client gets an answer of httpd's instead. */
void udr_response_reset(request_rec *r);

/* UDSErrorOverride: the client gets httpd's page for this status. */
bool udr_response_is_overridden(const request_rec *r, int status);

/* Passes on a 1xx response. */
void udr_response_send_interim(request_rec *r, const udr_http1_head_t *head);

/* Trailers: for HTTP/2 in r->trailers_out, for a chunked HTTP/1.1 response by a filter behind httpd's own. Call before
 * the end of the response is passed on and after its head was. */
void udr_response_set_trailers(request_rec *r, udr_slice_t trailers);

/* Registers that filter. */
void udr_response_register(void);

#endif
