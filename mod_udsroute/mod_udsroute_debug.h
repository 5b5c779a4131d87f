/* SPDX-License-Identifier: Apache-2.0 */
/* A debug build in httpd: the schedule comes from the environment, what it has to say goes to the error log.
 * Layer: glue. Called by the child. */
#ifndef MOD_UDSROUTE_DEBUG_H
#define MOD_UDSROUTE_DEBUG_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_debug.h"

#ifdef UDR_DEBUG
/* Before anything else of the child is made: takes the schedule from UDSROUTE_SCHEDULE, and reports what has been
 * passed when pchild has ended all the rest. */
void udr_debug_child_init(apr_pool_t *pchild, server_rec *s);
#else
#define udr_debug_child_init(pchild, s) ((void)0)
#endif
#endif
