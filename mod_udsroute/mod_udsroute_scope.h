/* SPDX-License-Identifier: Apache-2.0 */
/* What tells a balancer from those of the same name in other virtual hosts: each has slots of its own, and labels in
 * the status. Layer: glue. Used by mod_udsroute_shared.c, mod_udsroute_status_view.c. */
#ifndef MOD_UDSROUTE_SCOPE_H
#define MOD_UDSROUTE_SCOPE_H

#include "mod_udsroute/mod_udsroute.h"

/* What tells a virtual host from others, as a rule: "www.example.org:443", from p; NULL: the main server. */
const char *udr_scope_host(const server_rec *s, apr_pool_t *p);

/* Gives each balancer of main_server and its virtual hosts what tells it from all others (udr_balancer_t.scope): the
 * name, and behind it, of no main server, the host as above and all addresses, which alone may be different; of hosts
 * that are alike in that, too, all but the first have "#2", "#3" behind it. The same with each reading of the
 * configuration, as long as those hosts keep their order. From p, or the balancer's. */
void udr_scope_give(const server_rec *main_server, apr_pool_t *p);

#endif
