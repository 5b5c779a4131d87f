/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a member, and how it is written as an HTTP/1.1 request (RFC 9112).
 * Layer: core. Filled in by the glue, written by the exchange. */
#ifndef UDR_HTTP1_REQUEST_H
#define UDR_HTTP1_REQUEST_H

#include "mod_udsroute/udr_codec.h"

#include <apr_tables.h>

#include <stdbool.h>

typedef enum udr_body_t {
    UDR_BODY_NONE,   /* no body and no Content-Length */
    UDR_BODY_LENGTH, /* Content-Length: length; may be 0 */
    UDR_BODY_CHUNKED /* of unknown length */
} udr_body_t;

typedef struct udr_request_t {
    const char *method;
    const char *target;        /* origin-form, or "*" */
    const char *host;          /* value of the Host field */
    const apr_table_t *fields; /* end-to-end fields only; framing fields, Host and Expect in it are not written */
    udr_body_t body;
    apr_uint64_t length;   /* UDR_BODY_LENGTH */
    bool expect_continue;  /* the client waits for 100 Continue: so is asked of the member, and its body not read before
                            */
    bool is_http10;        /* says HTTP/1.0: some health checks have to */
    bool accepts_trailers; /* the client said `TE: trailers` */
    bool is_lone;          /* its connection is not kept for others */
    const char *upgrade;   /* the protocols to be offered to the member (RFC 9110, 7.8); NULL: none */
    /* For protocols of CGI's kind, which say nothing of the above but the body: the variables (RFC 3875, 4.1), without
     * CONTENT_LENGTH. NULL: none are needed. */
    const apr_table_t *params;
} udr_request_t;

/* Room for what stands around one run of bytes in the chunked coding: a size and a line end before it. */
#define UDR_HTTP1_CHUNK_PREFIX 20

/* RFC 9110, 9.2.2: sent twice, it does what it does once. */
bool udr_request_is_idempotent(const udr_request_t *request);

/* How many bytes the head takes at most. 0: method, target, host or a field has a byte that could end a line; nothing
 * may be sent, and *why is a static sentence that says so. */
apr_size_t udr_http1_request_room(const udr_request_t *request, const char **why);

/* Writes the head where there is so much room; returns its length. persistent: the connection is to stay open. */
apr_size_t udr_http1_request_head(const udr_request_t *request, bool persistent, char *room);

/* Writes what precedes a run of len (over 0) body bytes in the chunked coding into prefix; returns its length. CRLF
 * follows the run. */
apr_size_t udr_http1_request_chunk(char prefix[UDR_HTTP1_CHUNK_PREFIX], apr_size_t len);

/* Writes the last chunk and the trailer section. Left out are framing fields, malformed ones, and those whose name
 * stands in the head already: a member that merges trailers would take a client's word for what httpd has settled
 * (X-Forwarded-For, say). */
udr_slice_t udr_http1_request_end(const udr_request_t *request, const apr_table_t *trailers, apr_pool_t *p);

#endif
