/* SPDX-License-Identifier: Apache-2.0 */
/* What a member is asked, made from httpd's request.
 * Layer: glue. Used by the handler. */
#ifndef MOD_UDSROUTE_REQUEST_H
#define MOD_UDSROUTE_REQUEST_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_http1_request.h"

/* Fills *request (its parts from r->pool). is_cgi: its fields go to the member as variables (udr_request_address()).
 * OK, or the HTTP status to answer with: 400 for a length that is none, 413 over LimitRequestBody. */
int udr_request_fill(udr_request_t *request, request_rec *r, bool is_cgi);

/* What depends on who gets it: the target, the Host field, what may be upgraded to, the variables of CGI. */
void udr_request_address(udr_request_t *request, request_rec *r, const udr_match_t *match, const udr_member_t *member);

/* This server's part of a Via field for a message received with the protocol version major.minor; NULL: UDSVia adds
 * none. */
const char *udr_request_via(request_rec *r, int major, int minor);

#endif
