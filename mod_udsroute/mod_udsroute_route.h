/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's path to its member: the hooks before the handler.
 * Layer: glue. */
#ifndef MOD_UDSROUTE_ROUTE_H
#define MOD_UDSROUTE_ROUTE_H

#include "mod_udsroute/mod_udsroute.h"

/* Hook translate_name: the first route that matches, in the order of the configuration, a <Location>'s first. */
int udr_route_translate(request_rec *r);

/* mod_dir's fast redirect to a routed DirectoryIndex takes over all of that request but what modules remember of it.
 * Looks the route up anew by the path and returns the match if it is the very one that r->filename was set by; NULL:
 * not ours. */
const udr_match_t *udr_route_match_again(request_rec *r);

/* Hook post_read_request, before all others: what a client's Connection field names is dropped, where routes are in
 * use. Later it could name what RequestHeader and authentication add, and so take that away from the member. */
int udr_route_post_read_request(request_rec *r);

/* Hook map_to_storage: a routed request has no file; spares httpd the walk. */
int udr_route_map_to_storage(request_rec *r);

/* Hook fixups, before mod_headers': what a client may not decide is settled, so that RequestHeader has the last word.
 */
int udr_route_fixups(request_rec *r);

/* The request target for a member that serves the match: a plain route's is complete, before a balancer's goes the
 * member's own path. */
const char *udr_route_target(const udr_match_t *match, const udr_member_t *member, apr_pool_t *p);

/* What the Host field says to it where the client's is not kept. */
const char *udr_route_host(const udr_match_t *match, const udr_member_t *member);

/* A decoded path, encoded for sending; slashes that httpd left encoded (AllowEncodedSlashes NoDecode) stay so. */
const char *udr_route_encode(request_rec *r, const char *path);

/* An encoded path with the request's query behind it. */
const char *udr_route_with_query(request_rec *r, const char *path);

#endif
