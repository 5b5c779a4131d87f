/* SPDX-License-Identifier: Apache-2.0 */
/* What a server's processes share, with one member in it, and children: several in the test's own process, each with a
 * row of its own, or forked. */
#ifndef FIXTURE_SHARED_H
#define FIXTURE_SHARED_H

#include "mod_udsroute/udr_row.h"

#include <sys/types.h>

enum { SLOTS = 6, ROWS = 12, TICKETS = 24 };

typedef struct child_t {
    apr_uint32_t row;
    udr_queue_t *queue;
} child_t;

/* Somebody who wants a turn. */
typedef struct guest_t {
    udr_queue_waiter_t waiter; /* first: the wake function gets this */
    const char *name;
    child_t *child;
} guest_t;

extern apr_pool_t *pool;
extern udr_shared_t *shared;
extern apr_uint32_t member; /* the slot of the one member of the first generation */
extern char woken[32];      /* the guests' names, in the order in which they were woken */

/* For cmocka. At the end nothing may be in flight any more. */
int shared_set_up(void **state);
int shared_tear_down(void **state);

/* A row and a queue, on this thread; the second for forked children, where nothing is asserted. */
child_t start_child(void);
bool try_start_child(child_t *child);
void end_child(child_t *child);

/* The slot of the member of that name, of this generation. */
apr_status_t claim(const char *name, apr_uint32_t *slot);

guest_t guest(const char *name, child_t *child);
apr_status_t enters(guest_t *someone);
void is_queued(guest_t *someone);
bool is_granted(guest_t *someone);
void is_done(child_t *child);

/* In flight and waiting at the member. */
#define assert_line(busy, waiting) check_line(busy, waiting, __FILE__, __LINE__)
void check_line(int busy, int waiting, const char *file, int line);

/* All rows are free, and nothing is left anywhere. */
#define assert_nothing_left() check_nothing_left(__FILE__, __LINE__)
void check_nothing_left(const char *file, int line);

/* A process that runs this and exits with what it returns. */
pid_t fork_child(int (*run)(void *baton), void *baton);

/* How it has ended: see waitpid(2). */
int await_child(pid_t process);

#endif
