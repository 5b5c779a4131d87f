/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes: which handler a method and a path belong to.
 * Layer: below the server. Filled before start, read by all threads afterwards. */
#ifndef UDSB_ROUTE_H
#define UDSB_ROUTE_H

#include "backend/udsb_error.h"

typedef struct {
    char *methods;      /* "GET POST", or "*" */
    char *path;         /* without the "*" of a prefix */
    size_t path_length; /* bytes */
    bool is_prefix;
    udsb_handler_t *handler;
    udsb_body_function_t *body;
    size_t body_limit;
    void *context;
    void (*destroy)(void *context); /* NULL: context is borrowed */
} udsb_mapping_t;

typedef struct {
    udsb_mapping_t **mappings; /* exact ones first, then prefixes, longest first; else in the order of mapping */
    size_t count;
} udsb_routes_t;

/* What udsb_routes_find found. */
typedef enum { UDSB_ROUTE_FOUND, UDSB_ROUTE_OTHER_METHOD, UDSB_ROUTE_NONE } udsb_route_match_t;

/* Adds a mapping; destroy(context) is called by udsb_routes_clear, and when this fails. */
udsb_result_t udsb_routes_add(udsb_routes_t *routes, const udsb_route_t *route, void (*destroy)(void *context),
                              udsb_error_t *error);

/* Finds the first mapping for both; *rest is the part of path that its "*" stands for. HEAD matches GET. */
udsb_route_match_t udsb_routes_find(const udsb_routes_t *routes, const char *method, const char *path,
                                    const udsb_mapping_t **mapping, const char **rest);

/* Writes the methods of all mappings of the path, for Allow: "GET, HEAD, POST, OPTIONS". */
void udsb_routes_allow(const udsb_routes_t *routes, const char *path, char *text, size_t size);

void udsb_routes_clear(udsb_routes_t *routes);

#endif
