/* SPDX-License-Identifier: Apache-2.0 */
/* A child with many threads that want turns all the time, as a server's has: workers, and one that wakes them and looks
 * after the dead. On top of fixture_shared. */
#ifndef FIXTURE_CROWD_H
#define FIXTURE_CROWD_H

#include "tests/unit/fixture_shared.h"

#include <pthread.h>

enum { WORKERS = 4, MEMBERS = 3, CROWDS = 4 };

/* What the test and its children share besides: in memory of its own. */
typedef struct stage_t {
    _Atomic apr_uint32_t phase;              /* WORK, HOLD or END */
    _Atomic apr_uint32_t in_flight[MEMBERS]; /* as the members would see it */
    _Atomic apr_uint32_t most[MEMBERS];
    _Atomic apr_uint64_t served[CROWDS]; /* turns had, by the number of the child */
    _Atomic apr_uint32_t gave_up;
    _Atomic apr_uint32_t holding; /* workers that have one request in flight on the first member, and wait */
} stage_t;

enum { WORK, HOLD, END };

/* Turns that each worker takes before it ends by itself; 0: until the phase changes. */
typedef struct crowd_t {
    int number;
    int turns;
    int pause_us; /* from one turn to the next: nobody works all the time */
    child_t child;
    _Atomic apr_uint32_t working;
} crowd_t;

extern stage_t *stage;
extern apr_uint32_t members[MEMBERS]; /* slots: without a limit, and with maxconn=3 and 1 */

/* For cmocka, in place of shared_set_up() and shared_tear_down(). */
int crowd_set_up(void **state);
int crowd_tear_down(void **state);

/* Runs in a process, or in a thread of the test's. Returns 0 when its row could be released in the end. For
 * fork_child(): the baton is a crowd_t. */
int run_crowd(void *baton);

/* Sleeps. */
void pass_time(int us);

#endif
