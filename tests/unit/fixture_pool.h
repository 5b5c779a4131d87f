/* SPDX-License-Identifier: Apache-2.0 */
/* A member that listens, and its pool of connections, one lane for workers and one for each of two loops. The test is
 * everybody: who wants a turn, the member at the far end, and the loops' threads. */
#ifndef FIXTURE_POOL_H
#define FIXTURE_POOL_H

#include "mod_udsroute/udr_pool.h"
#include "tests/unit/fixture_socket.h"

enum { LANES = 3, ENDS_MAX = 16 };

extern apr_pool_t *pool;
extern apr_pool_t *child; /* with it goes the pool of connections, and then the loops */
extern place_t place;
extern udr_member_t *member;
extern udr_pool_t *connections;
extern udr_loop_t *loops[LANES]; /* lane 0 has none; they run when the test says so */
extern int ends[ENDS_MAX];       /* the member's ends of the connections, in the order in which they were made */
extern int end_count;
extern char woken[16]; /* the guests' names, in the order in which they were woken */

/* For cmocka. */
int pool_set_up(void **state);
int pool_tear_down(void **state);

#define assert_counts(idle, busy, waiting) check_counts(idle, busy, waiting, __FILE__, __LINE__)
void check_counts(int idle, int busy, int waiting, const char *file, int line);

/* --- turns --- */

/* Somebody who wants a turn, and adds its name to `woken` when it has come. */
udr_waiter_t guest(const char *name);
void note_wake(udr_waiter_t *waiter);

bool takes(udr_waiter_t *someone);
void leaves(udr_waiter_t *someone);
void take_turn(void);
void gives_turn(void);

/* --- connections --- */

/* With a turn: what is idle for that lane, a millisecond later than the last time: the file is looked at again. */
udr_connection_t *find_idle(int lane);

/* A turn, and what is idle for that lane. */
udr_connection_t *take_idle(int lane);

/* A turn, and a new connection with it. */
udr_connection_t *take_and_connect(void);

/* A new idle connection in the lane, made while others are in use. */
udr_connection_t *add_idle(int lane);

/* Closes the member's ends. */
void close_ends(void);

#endif
