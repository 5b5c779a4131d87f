/* SPDX-License-Identifier: Apache-2.0 */
/* SetHandler "udsroute:unix:/path.sock|http://host": read from the configuration tree when httpd starts, looked up
 * afterwards by file and line of the directive in effect. Layer: glue. The handler's name that reaches a request is
 * compared, but no socket is ever taken from it. */
#ifndef MOD_UDSROUTE_SETHANDLER_H
#define MOD_UDSROUTE_SETHANDLER_H

#include "mod_udsroute/mod_udsroute.h"

/* Hook check_config: finds the lines, refuses bad ones with file and line. */
int udr_sethandler_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* The request's handler begins as ours do. */
bool udr_sethandler_is_ours(const request_rec *r);

/* Sets *match for a request whose handler is one of those lines. OK; HTTP_INTERNAL_SERVER_ERROR (logged) when the name
 * came from anywhere else: a rewrite rule, .htaccess, AddHandler. */
int udr_sethandler_match(request_rec *r, const udr_match_t **match);

#endif
