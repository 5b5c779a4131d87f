/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_timer.h"
#include "mod_udsroute/udr_debug.h"

#include <apr_errno.h>

#include <stdlib.h>

static void put(udr_timers_t *timers, udr_timers_place_t what, apr_size_t place)
{
    timers->heap[place] = what;
    what.timer->place = place;
}

/* Finds the place for a timer from that one on towards the top: its parent there is not due after it. */
static void rise(udr_timers_t *timers, udr_timers_place_t what, apr_size_t place)
{
    while (place > 1 && what.due < timers->heap[place / 2].due) {
        put(timers, timers->heap[place / 2], place);
        place /= 2;
    }
    put(timers, what, place);
}

/* Likewise away from the top: no child is due before it. */
static void sink(udr_timers_t *timers, udr_timers_place_t what, apr_size_t place)
{
    for (;;) {
        apr_size_t child = place * 2;
        if (child < timers->count && timers->heap[child + 1].due < timers->heap[child].due) {
            child++;
        }
        if (child > timers->count || timers->heap[child].due >= what.due) {
            break;
        }
        put(timers, timers->heap[child], place);
        place = child;
    }
    put(timers, what, place);
}

static apr_status_t provide(udr_timers_t *timers)
{
    if (timers->count + 1 < timers->size) {
        return APR_SUCCESS;
    }
    apr_size_t size = timers->size ? timers->size * 2 : 64;
    udr_timers_place_t *larger = realloc(timers->heap, size * sizeof *larger);
    if (!larger) {
        return APR_ENOMEM;
    }
    timers->heap = larger;
    timers->size = size;
    return APR_SUCCESS;
}

apr_status_t udr_timers_set(udr_timers_t *timers, udr_timer_t *timer, apr_time_t at)
{
    /* One that sets itself for now each time would keep all else waiting for good. */
    if (at <= timers->expiring) {
        at = timers->expiring + 1;
    }
    const udr_timers_place_t what = {at, timer};
    if (!timer->place) {
        apr_status_t rv = provide(timers);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        timer->at = at;
        rise(timers, what, ++timers->count);
        return APR_SUCCESS;
    }
    timer->at = at;
    if (at < timers->heap[timer->place].due) {
        rise(timers, what, timer->place);
    }
    return APR_SUCCESS;
}

void udr_timers_clear(udr_timers_t *timers, udr_timer_t *timer)
{
    apr_size_t place = timer->place;
    if (!place) {
        return;
    }
    const apr_time_t due = timers->heap[place].due;
    const udr_timers_place_t last = timers->heap[timers->count--];
    timer->place = 0;
    if (last.timer == timer) {
        return;
    }
    if (last.due < due) {
        rise(timers, last, place);
    } else {
        sink(timers, last, place);
    }
}

apr_time_t udr_timers_next(const udr_timers_t *timers)
{
    return timers->count ? timers->heap[1].due : 0;
}

int udr_timers_expire(udr_timers_t *timers, apr_time_t now)
{
    int expired = 0;
    timers->expiring = now;
    while (timers->count && timers->heap[1].due <= now) {
        udr_timer_t *timer = timers->heap[1].timer;
        if (timers->heap[1].due < timer->at) {
            sink(timers, (udr_timers_place_t){timer->at, timer}, 1);
            continue;
        }
        udr_timers_clear(timers, timer);
        UDR_STEP("a timer", timer->expired(timer));
        expired++;
    }
    timers->expiring = 0;
    return expired;
}

void udr_timers_destroy(udr_timers_t *timers)
{
    while (timers->count) {
        timers->heap[timers->count--].timer->place = 0;
    }
    free(timers->heap);
    timers->heap = NULL;
    timers->size = 0;
}
