/* SPDX-License-Identifier: Apache-2.0 */
/* What a response says about where it comes from, said in public terms: URLs and cookies (the ProxyPassReverse family).
 * Layer: glue. Used by the directives and by the response. */
#ifndef MOD_UDSROUTE_REVERSE_H
#define MOD_UDSROUTE_REVERSE_H

#include "mod_udsroute/mod_udsroute.h"

/* UDSRouteReverse path url: adds a line; "unix:…|" before the URL is dropped. Returns NULL or a sentence. */
const char *udr_reverse_add_url(apr_array_header_t *urls, const char *path, const char *url, const cmd_parms *cmd);

/* The same of "balancer://name/path". What it stands for is found by udr_reverse_bind(): the line is added to reverses
 * (udr_reverse_t *), too. source is copied. */
const char *udr_reverse_add_balancer(apr_array_header_t *urls, const char *path, const char *url,
                                     apr_array_header_t *reverses, const udr_source_t *source, const cmd_parms *cmd);

/* Finds the URLs that the balancer's members know themselves by. p: lives as long as the configuration. */
void udr_reverse_bind(udr_reverse_t *reverse, const udr_balancer_t *balancer, apr_pool_t *p);

/* A URL in Location, Content-Location or URI: mapped, or as it was. */
const char *udr_reverse_url(request_rec *r, const char *url);

/* A Refresh field: "5; url=http://…". */
const char *udr_reverse_refresh(request_rec *r, const char *value);

/* A Set-Cookie field: its Path and Domain. */
const char *udr_reverse_cookie(request_rec *r, const char *value);

#endif
