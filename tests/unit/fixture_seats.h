/* SPDX-License-Identifier: Apache-2.0 */
/* Open members of a balancer, their hot lines in memory that survives fork(2), and the state of one method. The test is
 * everybody else: who excludes, who counts, and the clock. */
#ifndef FIXTURE_SEATS_H
#define FIXTURE_SEATS_H

#include "mod_udsroute/udr_method.h"

enum { SEATS_MAX = 256 };

extern apr_pool_t *pool;
extern udr_seat_t seats[SEATS_MAX];
extern int seat_count;
extern udr_hot_t *hot;              /* SEATS_MAX of them, shared with forked processes */
extern _Atomic apr_uint64_t *turn;  /* likewise */
extern const udr_method_t *method;  /* each test program sets it in main() */
extern void *method_state;          /* prepared by open_seats() */
extern udr_choice_t choice;         /* no key, nobody excluded, a fixed series of random numbers, some time */
extern apr_uint64_t random_numbers; /* choice.random's */

/* For cmocka. */
int seats_set_up(void **state);
int seats_tear_down(void **state);

/* Members 0 … count-1 are open, with these weights (NULL: 100 each), in a new state of the method. What is in the hot
 * lines stays. */
void open_seats(int count, const apr_uint32_t *weights);

/* Prepares the state for the seats as they are now. */
void prepare_seats(void);

/* A state of the method as another process would have it, prepared for the same seats. */
void *other_process(void);

int pick_seat(void);

/* Picks count times, taking nothing; how often each seat was picked goes to counts. */
void pick_many(int count, int counts[SEATS_MAX]);

/* A request is with the seat's member, and has been answered with so many bytes. */
void take_seat(int place);
void release_seat(int place, apr_uint64_t bytes);

/* From now on the request may not go to this member. */
void exclude_member(int member);
void exclude_nobody(void);

/* Whether count is within that many hundredths of what is due: weight / all weights × total. */
bool is_share(int count, int total, int place, double percent);

#endif
