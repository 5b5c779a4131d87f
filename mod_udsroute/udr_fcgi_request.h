/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a request as FastCGI 1.0 has it (the specification, sections 3.4, 5.1 and 6.2; role: responder).
 * Layer: core; pure. Used by the protocol table. */
#ifndef UDR_FCGI_REQUEST_H
#define UDR_FCGI_REQUEST_H

#include "mod_udsroute/udr_http1_request.h"

#include <apr_pools.h>

/* More names and values than so many bytes are not sent. */
#define UDR_FCGI_PARAMS_MAX (16 * 1024 * 1024)

/* How many bytes the records take that begin the request: BEGIN_REQUEST, PARAMS, its end, and the end of STDIN where
 * there is no body (none, or one of length 0). They hold request->params, but for a CONTENT_LENGTH in it, and
 * CONTENT_LENGTH as request->body and length have it. 0: nothing may be sent, and *why is a static sentence that says
 * so. */
apr_size_t udr_fcgi_request_room(const udr_request_t *request, const char **why);

/* Writes them where there is so much room; returns their length. persistent: the connection is to stay open. */
apr_size_t udr_fcgi_request_head(const udr_request_t *request, bool persistent, char *room);

#endif
