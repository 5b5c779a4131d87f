/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a request, if it is a plain one: nearly all are. What is plain means the same to every reader of HTTP/1,
 * however strict; of all else nothing is said here, that is for httpd to read. RFC 9112, 2 to 5.
 * Layer: core; pure. Used by the reader of adopted connections' requests (mod_udsroute_head). */
#ifndef UDR_HEAD_H
#define UDR_HEAD_H

#include "mod_udsroute/udr_codec.h"

#include <stdbool.h>

/* More fields than browsers send, proxies' included. */
#define UDR_HEAD_FIELDS 64

/* What httpd is told to refuse (LimitRequestLine, LimitRequestFieldSize, LimitRequestFields). */
typedef struct udr_head_limits_t {
    apr_size_t line;  /* bytes */
    apr_size_t field; /* bytes of a field's line */
    int fields;       /* 0: no limit */
} udr_head_limits_t;

/* All slices are bytes of what was given. */
typedef struct udr_head_t {
    udr_slice_t line; /* the request line, without its end */
    udr_slice_t method;
    udr_slice_t target;
    udr_slice_t path; /* of the target: begins with one slash; there is no fragment */
    bool has_query;
    udr_slice_t query;    /* what follows the first `?` */
    udr_slice_t protocol; /* HTTP/1.0 or HTTP/1.1 */
    int minor;            /* 0 or 1 */
    apr_size_t len;       /* of the head, with its empty line */
    bool has_body;        /* a good Content-Length above 0 */
    udr_slice_t host;     /* the Host field's value; ptr is NULL: there is none */
    int count;            /* of fields */
    udr_field_t fields[UDR_HEAD_FIELDS];
} udr_head_t;

/* Reads it. Returns false, with nothing to be read in *head, when it is not whole, or not plain: with a line that does
 * not end in CRLF; with a method that has other bytes than capital letters, a target that is no path, or one with bytes
 * of which readers think differently; near the limits; with folded, bad or repeated fields; with Transfer-Encoding or
 * Expect. */
bool udr_head_read(udr_head_t *head, udr_slice_t bytes, const udr_head_limits_t *limits);

#endif
