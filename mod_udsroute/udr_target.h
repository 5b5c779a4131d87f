/* SPDX-License-Identifier: Apache-2.0 */
/* What a route points to: "unix:/run/app.sock|http://host:port/path" or "balancer://name/path", parsed once and typed
 * from then on. Layer: core. Used by members, balancers and routes. */
#ifndef UDR_TARGET_H
#define UDR_TARGET_H

#include "mod_udsroute/udr_address.h"

/* What is spoken over the socket. One row of the table in udr_target.c; a new protocol is a new row. */
typedef struct udr_scheme_t {
    const char *name;                      /* "http" */
    int default_port;                      /* left out of the Host field: 80 */
    const struct udr_protocol_t *protocol; /* how it is spoken */
} udr_scheme_t;

/* A socket's, or a balancer's: of the latter address, scheme, host and authority are its members', and NULL here. */
typedef struct udr_target_t {
    const char *balancer; /* its name in lower case; NULL: a socket */
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

/* The same where sockets may be meant by a pattern, as "unix:/run/app/?.sock|http://localhost/": the address is then
 * one of kind UDR_ADDRESS_PATTERN, and nothing can be connected to it. */
const char *udr_target_parse_pattern(const udr_target_t **target, const char *text, const char *runtime_dir,
                                     apr_pool_t *p);

/* The target that differs from another one by its address alone. All other parts are that one's own, which has to live
 * as long; the rest is from p. */
const udr_target_t *udr_target_at(const udr_target_t *target, const udr_address_t *address, apr_pool_t *p);

/* text begins as a balancer's target does, with "balancer://" in any case. */
bool udr_target_is_balancer(const char *text);

/* Reads "balancer://name[/path]". Refused: a name that can't be one, a query or fragment, control characters or spaces.
 * Returns NULL and sets *target (from p), or a sentence. */
const char *udr_target_parse_balancer(const udr_target_t **target, const char *text, apr_pool_t *p);

/* Reads the name of a balancer where one is defined: "name", "balancer://name" or, as mod_proxy, "balancer://name/".
 * Returns NULL and sets *name (lower case, from p), or a sentence. */
const char *udr_target_parse_balancer_name(const char **name, const char *text, apr_pool_t *p);

#endif
