/* SPDX-License-Identifier: Apache-2.0 */
/* What of a routed request is in its environment, for LogFormat's %{UDSROUTE_…}e and for mod_headers and its like.
 * Layer: glue. Used by the handler and the client's side of an exchange. */
#ifndef MOD_UDSROUTE_ENVIRONMENT_H
#define MOD_UDSROUTE_ENVIRONMENT_H

#include "mod_udsroute/mod_udsroute_client.h"

/* Balancer, member and session, when the head of the response has come (`Header set Set-Cookie …
 * env=BALANCER_ROUTE_CHANGED`). Once: what is called later does nothing. */
void udr_environment_tell_member(udr_client_t *client);

/* When the exchange has ended: all of it. */
void udr_environment_tell(udr_client_t *client);

#endif
