/* SPDX-License-Identifier: Apache-2.0 */
/* Threads beside the only one of a prefork child.
 *
 * Such a child may end from within a signal handler, at any point of its main thread's life, in malloc(3) say. So
 * nobody waits for these threads: they end with the process, and have nothing of the child's pool, which is destroyed
 * while they run. Layer: glue. Used by checks and by what gives up idle connections. */
#ifndef MOD_UDSROUTE_ALONE_H
#define MOD_UDSROUTE_ALONE_H

#include <apr_errno.h>
#include <apr_pools.h>

/* A pool for such a thread: for as long as the process lives. It hangs on no other and has an allocator of its own:
 * what mod_cgi does in a forked process with all pools (apr_pool_cleanup_for_exec()) does not meet one that is being
 * changed.
 */
apr_status_t udr_alone_create_pool(apr_pool_t **p);

/* Starts a thread, which gets no signals and must not return before the process ends. */
apr_status_t udr_alone_start(void *(*run)(void *nothing));

#endif
