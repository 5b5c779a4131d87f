/* SPDX-License-Identifier: Apache-2.0 */
/* Under prefork: a thread that gives up idle connections while the child waits for clients: for those who wait for a
 * process of the member's, and after `ttl`. Elsewhere the loops do so. Layer: glue. */
#ifndef MOD_UDSROUTE_YIELD_H
#define MOD_UDSROUTE_YIELD_H

#include "mod_udsroute/mod_udsroute.h"

/* Whether any member has processes that serve one connection each. */
bool udr_yield_is_wanted(const server_rec *main_server);

/* A prefork child that has joined, once. */
apr_status_t udr_yield_start_alone(void);

#endif
