/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_leader.h"

#include <errno.h>

/* The word, which the leader alone moves as long as it does so in time: how often somebody has begun to lead (wraps),
 * whether that was without the mutex, and when the leader was last heard of, in milliseconds. Who moves it from what
 * the other has said takes the lead from it, and the other finds out when it wants to say the next thing: there is no
 * moment at which both have it. 0: nobody has led yet. */
#define TIME_BITS  40
#define TIME_MASK  ((UINT64_C(1) << TIME_BITS) - 1)
#define WITHOUT    (UINT64_C(1) << TIME_BITS)
#define TERM_SHIFT (TIME_BITS + 1)

static apr_uint64_t word_of(apr_uint64_t term, bool has_mutex, apr_time_t now)
{
    return term << TERM_SHIFT | (has_mutex ? 0 : WITHOUT) | ((apr_uint64_t)apr_time_as_msec(now) & TIME_MASK);
}

static bool is_silent(apr_uint64_t word, apr_time_t now)
{
    return word != 0 && (apr_time_t)apr_time_from_msec(word & TIME_MASK) + UDR_LEADER_PATIENCE <= now;
}

static bool say(udr_leader_t *leader, const udr_shared_t *shared, apr_uint64_t seen, apr_uint64_t word)
{
    leader->word = word;
    return atomic_compare_exchange_strong(udr_shared_leader(shared), &seen, word);
}

static void take_mutex(udr_leader_t *leader, const udr_shared_t *shared)
{
    if (leader->has_mutex) {
        return;
    }
    int error = pthread_mutex_trylock(udr_shared_leading(shared));
    if (error == EOWNERDEAD) {
        /* What the one before was about is in the slots, word by word: there is nothing to repair. */
        (void)pthread_mutex_consistent(udr_shared_leading(shared));
    }
    leader->has_mutex = error == 0 || error == EOWNERDEAD;
}

static void drop_mutex(udr_leader_t *leader, const udr_shared_t *shared)
{
    if (leader->has_mutex) {
        (void)pthread_mutex_unlock(udr_shared_leading(shared));
        leader->has_mutex = false;
    }
}

void udr_leader_leave(udr_leader_t *leader, const udr_shared_t *shared)
{
    if (leader->leads && !leader->has_mutex) {
        /* Nobody would be told by the mutex. */
        (void)say(leader, shared, leader->word, word_of(leader->word >> TERM_SHIFT, false, apr_time_from_msec(1)));
    }
    leader->leads = false;
    drop_mutex(leader, shared);
}

/* Once the silent one is heard of again it gives the mutex up. */
static udr_leading_t go_on(udr_leader_t *leader, const udr_shared_t *shared, apr_time_t now)
{
    take_mutex(leader, shared);
    leader->leads = say(leader, shared, leader->word, word_of(leader->word >> TERM_SHIFT, leader->has_mutex, now));
    if (!leader->leads) {
        drop_mutex(leader, shared);
    }
    return leader->leads ? UDR_LEADING_ALWAYS : UDR_LEADING_NOT;
}

static udr_leading_t try_to_lead(udr_leader_t *leader, const udr_shared_t *shared, apr_time_t now)
{
    apr_uint64_t seen = atomic_load(udr_shared_leader(shared));
    bool silent = is_silent(seen, now);
    if ((seen & WITHOUT) && !silent) {
        return UDR_LEADING_NOT; /* the mutex is for that one */
    }
    take_mutex(leader, shared);
    if (!leader->has_mutex && !silent) {
        return UDR_LEADING_NOT;
    }
    leader->leads = say(leader, shared, seen, word_of((seen >> TERM_SHIFT) + 1, leader->has_mutex, now));
    if (!leader->leads) {
        drop_mutex(leader, shared);
        return UDR_LEADING_NOT;
    }
    return leader->has_mutex ? UDR_LEADING_ALWAYS : UDR_LEADING_INSTEAD;
}

udr_leading_t udr_leader_attend(udr_leader_t *leader, const udr_shared_t *shared, apr_time_t now)
{
    if (udr_shared_is_succeeded(shared)) {
        udr_leader_leave(leader, shared);
        return UDR_LEADING_NOT;
    }
    return leader->leads ? go_on(leader, shared, now) : try_to_lead(leader, shared, now);
}

bool udr_leader_is_heard(const udr_leader_t *leader, const udr_shared_t *shared)
{
    return leader->leads && atomic_load(udr_shared_leader(shared)) == leader->word;
}
