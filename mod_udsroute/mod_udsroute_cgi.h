/* SPDX-License-Identifier: Apache-2.0 */
/* What a member of CGI's kind (FastCGI, uwsgi, SCGI) is told of a request: the variables of RFC 3875, 4.1, as httpd has
 * them for mod_cgi and mod_proxy_fcgi, and which script is meant. Layer: glue. Used by the handler, once a member is
 * picked. */
#ifndef MOD_UDSROUTE_CGI_H
#define MOD_UDSROUTE_CGI_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_http1_request.h"

/* Sets request->params, for the member that serves the match, in place of what was said of another one before. */
void udr_cgi_fill(udr_request_t *request, request_rec *r, const udr_match_t *match, const udr_member_t *member);

#endif
