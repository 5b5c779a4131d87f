/* SPDX-License-Identifier: Apache-2.0 */
/* A checker of one balancer, whose members are on the place's socket, on a loop that runs in the test's thread. Time is
 * real: what is asserted of it is what comes before what, or not at all. */
#ifndef FIXTURE_CHECKER_H
#define FIXTURE_CHECKER_H

#include "mod_udsroute/udr_checker.h"
#include "tests/unit/fixture_socket.h"

extern apr_pool_t *pool;
extern place_t place;
extern udr_loop_t *loop;
extern udr_shared_t *shared; /* in a generation that has begun, and not ended */
extern udr_balancer_t *balancer;
extern udr_checker_t *checker; /* NULL before checker_start() */
extern udr_news_t news[8];     /* that were told */
extern int news_count;
extern bool another_leads; /* what checks find is not asked for any more; false at first */

/* For cmocka: a balancer without members, and nobody who listens. */
int checker_set_up(void **state);
int checker_tear_down(void **state);

/* Of the balancer as it is now. */
void checker_start(void);

/* Nobody accepts: those who are connected are let go, so that there is room for more. */
void let_go(void);

/* For so many milliseconds; after the second they are let go. */
void run_loop_for(int ms);
void run_for(int ms);

#endif
