/* SPDX-License-Identifier: Apache-2.0 */
/* What a route points to: "unix:/run/app.sock|http://host:port/path", parsed once and typed from then on.
 * Layer: core. Used by the member's settings and by routes. */
#ifndef UDR_TARGET_H
#define UDR_TARGET_H

#include "mod_udsroute/udr_address.h"

/* What is spoken over the socket. One row of the table in udr_target.c; a new protocol is a new row. */
typedef struct udr_scheme_t {
    const char *name;                      /* "http" */
    int default_port;                      /* left out of the Host field: 80 */
    const struct udr_protocol_t *protocol; /* how it is spoken */
} udr_scheme_t;

typedef struct udr_target_t {
    const udr_address_t *address;
    const udr_scheme_t *scheme;
    const char *host;      /* as written, lower case; an IPv6 literal with its brackets */
    int port;              /* 0: none written */
    const char *authority; /* for the Host field: host, and the port unless it is the scheme's default */
    const char *path; /* "" or begins with '/'; as written: may hold $1 … $9 or ${NAME}, which the route resolves */
    const char *text; /* the whole, canonical: for logs and the status */
} udr_target_t;

/* Reads a target. Refused with a sentence that says what to write: no bar, no scheme, a scheme that is not in the table
 * (the sentence lists those that are), user information, an empty or malformed host, a port outside 1 to 65535, a query
 * or fragment, control characters or spaces, a '$' in the host or port, all that udr_address_parse() refuses. Returns
 * NULL and sets *target (from p), or the sentence. */
const char *udr_target_parse(const udr_target_t **target, const char *text, const char *runtime_dir, apr_pool_t *p);

#endif
