/* SPDX-License-Identifier: Apache-2.0 */
/* A child's loops: one thread each, on which adopted connections live.
 * Layer: glue. Made by the child; used by whoever hands a connection over. */
#ifndef MOD_UDSROUTE_LOOPS_H
#define MOD_UDSROUTE_LOOPS_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_exchange.h"
#include "mod_udsroute/udr_loop.h"

/* One loop and what its thread has for all its exchanges. */
typedef struct udr_home_t {
    udr_loop_t *loop;
    apr_thread_t *thread;
    int lane;              /* of the members' pools; 1 for the first loop */
    udr_scratch_t scratch; /* the loop thread's: one exchange runs at a time */
    udr_timer_t tidy_timer;
    struct udr_adopted_t *first; /* the connections that live here; the loop thread's */
    int count;                   /* of them */
    bool is_stopping;            /* the child is: idle connections are closed */
} udr_home_t;

/* Makes the loops (without threads), before the members' pools. count: 0: none. */
apr_status_t udr_loops_create(apr_pool_t *pchild, int count);

/* Starts their threads, once everything is there for them. */
apr_status_t udr_loops_start(apr_pool_t *pchild, server_rec *servers);

/* How many there are in this child. */
int udr_loops_count(void);

/* The one to live on for a connection; spreads them evenly. */
udr_home_t *udr_loops_choose(void);

/* The one whose thread this is; NULL: a worker thread. */
udr_home_t *udr_loops_here(void);

#endif
