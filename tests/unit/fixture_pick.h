/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on their way through a balancer's members, several at once, and what they meet there. The time is what the
 * test says. */
#ifndef FIXTURE_PICK_H
#define FIXTURE_PICK_H

#include "tests/unit/fixture_balancer.h"

#define MS(n)  apr_time_from_msec(n)
#define SEC(n) apr_time_from_sec(n)

enum { PICKS_MAX = 32 };

extern udr_pick_t picks[PICKS_MAX]; /* by request */
extern apr_time_t now;
extern apr_time_t until; /* when the last one that was to wait asks again */
extern int wakes;        /* of those that waited */

/* For cmocka, with balancer_tear_down(). */
int pick_set_up(void **state);

/* A waiter's wake function. */
void count_wake(udr_queue_waiter_t *waiter);

/* A request, &picks[request], in that child (or the first), of that session (NULL: none). */
udr_pick_t *begin_in(int child, int request, const char *route);
udr_pick_t *begin(int request);

/* Whom it gets now: an attempt begins. */
udr_picked_t next(udr_pick_t *pick);

/* It gets that member. */
#define assert_gets(pick, member) check_gets(pick, member, __FILE__, __LINE__)
void check_gets(udr_pick_t *pick, int member, const char *file, int line);

/* What has come of the present attempt. */
void report(udr_pick_t *pick, udr_outcome_t outcome, int detail);

/* The present member can't be connected to. Returns whether it may go on. */
bool is_refused(udr_pick_t *pick);

void is_served(udr_pick_t *pick);

/* A whole request: the member that served it. */
int serve_one(int child);

/* Each member has worked once. */
void see_all_up(void);

/* Puts a member out as somebody else's request does. */
void put_out(int member, int error);

/* So many members, or three with these parameters; all children begin. */
void open_members(int count);
void open_three(const char *a, const char *b, const char *c);

#endif
