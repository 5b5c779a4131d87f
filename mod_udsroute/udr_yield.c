/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and answers are two counters in one word of the member's hot line, which wrap; what is between them is yet to
 * be answered. They say how many and not whose: the n-th answer is the n-th call's. Who withdraws a call in the middle
 * answers the first one instead, whose caller then takes it for answered, finds that no process has come, and calls
 * again. So there may be an answer too many, which closes an idle connection too many; never one too few for long.
 *
 * Nothing has to be mended after a death. Calls that the dead have left are answered once, each with one connection,
 * and that is the end of them; of idle connections they have none any more, as soon as their row is cleared. */
#include "mod_udsroute/udr_yield.h"

#include "mod_udsroute/udr_debug.h"

#include <apr_errno.h>
#include <apr_thread_mutex.h>

#include <sched.h>

struct udr_yield_t {
    udr_shared_t *shared;
    apr_uint32_t row;
    _Atomic bool is_stopped;
    _Atomic bool is_running;   /* udr_yield_run() without waiting is */
    apr_thread_mutex_t *mutex; /* givers' own are locked within it, never the other way round */
    udr_giver_t *first;        /* needs it */
};

apr_status_t udr_yield_create(udr_yield_t **yield, udr_shared_t *shared, apr_uint32_t row, apr_pool_t *p)
{
    udr_yield_t *made = apr_pcalloc(p, sizeof *made);
    made->shared = shared;
    made->row = row;
    apr_status_t rv = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    if (rv == APR_SUCCESS) {
        *yield = made;
    }
    return rv;
}

void udr_yield_stop(udr_yield_t *yield)
{
    atomic_store(&yield->is_stopped, true);
    while (atomic_load(&yield->is_running)) {
        sched_yield();
    }
}

void udr_yield_add(udr_yield_t *yield, udr_giver_t *giver, apr_uint32_t slot)
{
    apr_thread_mutex_lock(yield->mutex);
    giver->yield = yield;
    giver->slot = slot;
    giver->previous = NULL;
    giver->next = yield->first;
    if (yield->first) {
        yield->first->previous = giver;
    }
    yield->first = giver;
    apr_thread_mutex_unlock(yield->mutex);
}

void udr_yield_remove(udr_giver_t *giver)
{
    udr_yield_t *yield = giver->yield;
    if (atomic_load(&yield->is_stopped)) {
        return;
    }
    apr_thread_mutex_lock(yield->mutex);
    *(giver->previous ? &giver->previous->next : &yield->first) = giver->next;
    if (giver->next) {
        giver->next->previous = giver->previous;
    }
    apr_thread_mutex_unlock(yield->mutex);
}

/* --- calls and answers --- */

#define ONE_CALL ((apr_uint64_t)1 << 32)

static apr_uint32_t made(apr_uint64_t calls)
{
    return (apr_uint32_t)(calls >> 32);
}

static apr_uint32_t answered(apr_uint64_t calls)
{
    return (apr_uint32_t)calls;
}

/* One answer more. The lower half wraps by itself. */
static apr_uint64_t with_answer(apr_uint64_t calls)
{
    return (apr_uint64_t)made(calls) << 32 | (apr_uint32_t)(answered(calls) + 1);
}

static bool includes(apr_uint64_t calls, apr_uint32_t call)
{
    return (apr_int32_t)(answered(calls) - call) >= 0;
}

apr_uint32_t udr_yield_call(udr_yield_t *yield, apr_uint32_t slot)
{
    return made(atomic_fetch_add(&udr_shared_hot(yield->shared, slot)->calls, ONE_CALL) + ONE_CALL);
}

bool udr_yield_is_answered(const udr_yield_t *yield, apr_uint32_t slot, apr_uint32_t call)
{
    return includes(atomic_load(&udr_shared_hot(yield->shared, slot)->calls), call);
}

void udr_yield_withdraw(udr_yield_t *yield, apr_uint32_t slot, apr_uint32_t call)
{
    udr_hot_t *hot = udr_shared_hot(yield->shared, slot);
    apr_uint64_t calls = atomic_load(&hot->calls);
    while (!includes(calls, call) && !atomic_compare_exchange_weak(&hot->calls, &calls, with_answer(calls))) {
    }
}

bool udr_yield_answer(const udr_giver_t *giver)
{
    udr_hot_t *hot = udr_shared_hot(giver->yield->shared, giver->slot);
    apr_uint64_t calls = atomic_load(&hot->calls);
    while (made(calls) != answered(calls)) {
        if (atomic_compare_exchange_weak(&hot->calls, &calls, with_answer(calls))) {
            return true;
        }
    }
    return false;
}

/* --- who holds idle connections --- */

void udr_yield_count(const udr_giver_t *giver, int more)
{
    udr_yield_t *yield = giver->yield;
    if (!atomic_load_explicit(&yield->is_stopped, memory_order_relaxed)) {
        atomic_fetch_add(&udr_shared_cell(yield->shared, yield->row, giver->slot)->held, more);
        UDR_SCHEDULE("yield:counted");
    }
}

void udr_yield_press(udr_yield_t *yield, apr_uint32_t slot, apr_uint32_t turn)
{
    apr_uint64_t calls = atomic_load(&udr_shared_hot(yield->shared, slot)->calls);
    apr_int64_t wanted = (apr_int32_t)(made(calls) - answered(calls));
    apr_uint32_t rows = udr_shared_rows(yield->shared);
    for (apr_uint32_t i = 0; i < rows && wanted > 0; i++) {
        apr_uint32_t row = (turn + i) % rows;
        apr_int32_t held = atomic_load(&udr_shared_cell(yield->shared, row, slot)->held);
        if (held > 0) {
            udr_signals_give(udr_shared_signals(yield->shared), row);
            wanted -= held;
        }
    }
}

/* With the mutex. */
static bool run(const udr_yield_t *yield, bool may_wait, apr_time_t now)
{
    bool is_through = true;
    for (udr_giver_t *giver = yield->first; giver; giver = giver->next) {
        apr_uint64_t calls = atomic_load(&udr_shared_hot(yield->shared, giver->slot)->calls);
        if (now || made(calls) != answered(calls)) {
            is_through = giver->give_up(giver, may_wait, now) && is_through;
        }
    }
    return is_through;
}

static bool run_without_waiting(udr_yield_t *yield, apr_time_t now)
{
    bool is_through = true;
    /* In this order, and udr_yield_stop() in the other: one of the two sees it. */
    atomic_store(&yield->is_running, true);
    if (!atomic_load(&yield->is_stopped)) {
        is_through = apr_thread_mutex_trylock(yield->mutex) == APR_SUCCESS;
        if (is_through) {
            is_through = run(yield, false, now);
            apr_thread_mutex_unlock(yield->mutex);
        }
    }
    atomic_store(&yield->is_running, false);
    return is_through;
}

bool udr_yield_run(udr_yield_t *yield, bool may_wait, apr_time_t now)
{
    if (!may_wait) {
        return run_without_waiting(yield, now);
    }
    apr_thread_mutex_lock(yield->mutex);
    bool is_through = run(yield, true, now);
    apr_thread_mutex_unlock(yield->mutex);
    return is_through;
}
