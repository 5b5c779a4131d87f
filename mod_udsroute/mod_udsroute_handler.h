/* SPDX-License-Identifier: Apache-2.0 */
/* The handler: makes the exchange for a routed request, has it run, and tells httpd how it went.
 * Layer: glue. */
#ifndef MOD_UDSROUTE_HANDLER_H
#define MOD_UDSROUTE_HANDLER_H

#include "mod_udsroute/mod_udsroute_client.h"

/* Hook handler. */
int udr_handler(request_rec *r);

/* Tells httpd how a request went whose exchange has ended: log environment, failure, error page. What a handler
 * returns. */
int udr_handler_finish(udr_client_t *client);

/* It went well and needs nothing but its end: finishing it neither blocks nor runs anybody's code, nor does its
 * line of the access log. */
bool udr_handler_is_plain(const udr_client_t *client);

#endif
