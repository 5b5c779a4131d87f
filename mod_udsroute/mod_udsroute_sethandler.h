/* SPDX-License-Identifier: Apache-2.0 */
/* SetHandler "udsroute:unix:/path.sock|http://host": httpd runs the directive for core and for us. What it says is kept
 * as core keeps it, parsed; the handler's name that reaches a request is compared with it, but no socket is ever taken
 * from a name. Layer: glue. */
#ifndef MOD_UDSROUTE_SETHANDLER_H
#define MOD_UDSROUTE_SETHANDLER_H

#include "mod_udsroute/mod_udsroute.h"

/* The directive: takes note of a line of ours, and of any other that puts an end to one. Refuses ours in .htaccess and
 * with an expression. */
const char *udr_sethandler_command(cmd_parms *cmd, void *dir, const char *value);

/* The request's handler begins as ours do. */
bool udr_sethandler_is_ours(const request_rec *r);

/* The request's route leads to members of CGI's kind (udr_protocol_t), or, where it has none, the line in effect does.
 */
bool udr_sethandler_leads_to_cgi(const request_rec *r);

/* Sets *match for a request whose handler is the line in effect. OK; HTTP_INTERNAL_SERVER_ERROR (logged) when the name
 * came from anywhere else: a rewrite rule, AddHandler; HTTP_NOT_FOUND, HTTP_FORBIDDEN (logged) for a script that is not
 * there, or a directory. */
int udr_sethandler_match(request_rec *r, const udr_match_t **match);

#endif
