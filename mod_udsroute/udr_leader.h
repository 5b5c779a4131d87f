/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the children does what only one of them may do: whoever holds a mutex in what they share. The kernel gives
 * it up for one that dies, whatever way that is, so that another is found within a quarter of a second. One that lives
 * but does nothing (SIGSTOP, a debugger) keeps the mutex: the leader says four times a second that it is there, and
 * when it hasn't for UDR_LEADER_PATIENCE another one leads without. Layer: core. Used by each child's own thread, which
 * holds it as long as it lives. */
#ifndef UDR_LEADER_H
#define UDR_LEADER_H

#include "mod_udsroute/udr_shared.h"

#define UDR_LEADER_PATIENCE apr_time_from_sec(5)

/* What a process knows of itself; all zero at first. */
typedef struct udr_leader_t {
    bool leads;
    bool has_mutex;    /* it does so by the mutex; false: without, as another one keeps that */
    apr_uint64_t word; /* what it has said last, while it leads: see udr_leader.c */
} udr_leader_t;

typedef enum udr_leading_t {
    UDR_LEADING_NOT,
    UDR_LEADING_ALWAYS, /* this process leads, from now on or as before */
    UDR_LEADING_INSTEAD /* from now on, because the one that did is silent */
} udr_leading_t;

/* Four times a second, always from the same thread, which must live as long as its process leads. now:
 * udr_clock_now(). A process of a former generation does not lead: its configuration isn't the server's any more. */
udr_leading_t udr_leader_attend(udr_leader_t *leader, const udr_shared_t *shared, apr_time_t now);

/* Whether it leads still, or another one has begun to since it was heard of last. For what it does between two times of
 * the above: it may have been stopped meanwhile. (It may be stopped right behind this, too: what it does then is done
 * once more than it should be, late.) */
bool udr_leader_is_heard(const udr_leader_t *leader, const udr_shared_t *shared);

/* By the same thread: it leads no longer. Harmless when it doesn't. */
void udr_leader_leave(udr_leader_t *leader, const udr_shared_t *shared);

#endif
