/* SPDX-License-Identifier: Apache-2.0 */
/* What each child has: the members' pools, and a thread that keeps them tidy (where there are loops, one of theirs).
 * Layer: glue. */
#ifndef MOD_UDSROUTE_CHILD_H
#define MOD_UDSROUTE_CHILD_H

#include "mod_udsroute/mod_udsroute.h"

/* Hook child_init. */
void udr_child_init(apr_pool_t *pchild, server_rec *s);

/* Under prefork, where there is no such thread: closes what has been idle for too long. Before each request. */
void udr_child_tidy_unthreaded(const udr_balancer_t *balancer);

/* Likewise, before the status is told: looks after what else the thread would look after. */
void udr_child_attend_unthreaded(void);

#endif
