/* SPDX-License-Identifier: Apache-2.0 */
/* Sticky sessions: the route of a request's session, out of its URL or its cookies, by mod_proxy_balancer's rules.
 * Layer: core, bottom; pure. Used by the glue (whose session a request has) and the picker (which member has its
 * route). */
#ifndef UDR_STICKY_H
#define UDR_STICKY_H

#include <apr_pools.h>

#include <stdbool.h>

/* How a balancer's sessions are found; all zero: there are none. */
typedef struct udr_sticky_t {
    const char *cookie;     /* NULL: no sticky sessions */
    const char *parameter;  /* of the path or the query */
    char separator;         /* "stickysessionsep", default '.'; '\0' (Off): the whole value is the route */
    bool ends_at_semicolon; /* "scolonpathdelim": ';' ends a value in the URL, too */
} udr_sticky_t;

typedef enum udr_sticky_source_t { UDR_STICKY_NONE, UDR_STICKY_URL, UDR_STICKY_COOKIE } udr_sticky_source_t;

/* A request's session. Value and route are pieces of the strings that were searched, not terminated. */
typedef struct udr_session_t {
    udr_sticky_source_t source;
    const char *name;  /* of the parameter or the cookie: BALANCER_SESSION_STICKY; NULL: no session */
    const char *value; /* at least one byte, or NULL */
    apr_size_t value_len;
    const char *route; /* at least one byte: BALANCER_SESSION_ROUTE; NULL: the value has none */
    apr_size_t route_len;
} udr_session_t;

/* Finds a request's session. uri: path and query as the client sent them; cookies: its Cookie fields, several of them
 * joined with ',' or ';', or NULL. Returns whether there is one; *session is set in any case.
 *
 * The URL comes first, and if there is a session in it, cookies are not looked at, even when it has no route. A
 * parameter begins behind ';', '?' or '&'; its value ends at '?' or '&', in the path at '/', with scolonpathdelim at
 * ';'. A cookie's value is what stands between '=' and the next ';' or ',', without white space and quotes around it.
 * Empty values are passed over; of several the first counts. Names are compared whole, and with case. The route is what
 * stands behind the first separator.
 *
 * Where mod_proxy_balancer is wrong we are not: it finds JSESSIONID in XJSESSIONID=, lets the value of a path parameter
 * run through the segments behind it, and leaves quotes on a route, which no member has then. */
bool udr_sticky_find(udr_session_t *session, const udr_sticky_t *sticky, const char *uri, const char *cookies);

/* Whether a member's route (NULL: it has none) is that of a session. */
bool udr_sticky_is_route(const char *member_route, const char *route, apr_size_t len);

#endif
