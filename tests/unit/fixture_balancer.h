/* SPDX-License-Identifier: Apache-2.0 */
/* A balancer with its members, their slots in what a server shares, and children: several in the test's own process,
 * each with a row, a queue and a picker of its own. The time is what the test says. */
#ifndef FIXTURE_BALANCER_H
#define FIXTURE_BALANCER_H

#include "mod_udsroute/udr_picker.h"
#include "mod_udsroute/udr_row.h"

enum { CHILDREN = 2, MEMBERS_MAX = 130, WAITING_MAX = 4 };

typedef struct child_t {
    apr_uint32_t row;
    udr_queue_t *queue;
    udr_picker_t *picker;
} child_t;

extern apr_pool_t *pool;
extern udr_shared_t *shared;
extern udr_balancer_t *balancer;
extern child_t children[CHILDREN];
extern int went_out; /* news that were told */
extern int came_back;
extern int lost; /* members whose sockets had gone, likewise */

/* An empty balancer. For cmocka. */
int balancer_set_up(void **state);

/* Fails when anything is in flight or waits. */
int balancer_tear_down(void **state);

/* More of it, until balancer_open(): "key=value key=value …" of UDSSet or of a member. path: of its socket. */
void balancer_says(const char *parameters);
udr_member_t *balancer_has(const char *path, const char *parameters);

/* The same for a pattern, with no more than ten members unless `growth` is said. */
void balancer_has_glob(const char *pattern, const char *parameters);

/* Resolves it and starts the children. */
void balancer_open(void);

udr_hot_t *hot_of(int member);
udr_slot_t *slot_of(int member);

/* The operator changes the member's flags (UDR_SLOT_…). */
void balancer_flags(int member, apr_uint32_t flags);

/* In flight and waiting on that member, over all children. */
#define assert_line(member, busy, waiting) check_line(member, busy, waiting, __FILE__, __LINE__)
void check_line(int member, int busy, int waiting, const char *file, int line);

#endif
