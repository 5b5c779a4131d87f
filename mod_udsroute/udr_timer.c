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

/* Finds the place for a timer from that one on towards the top: its parent there does not expire after it. */
static void rise(udr_timers_t *timers, udr_timers_place_t what, apr_size_t place)
{
    while (place > 1 && what.at < timers->heap[place / 2].at) {
        put(timers, timers->heap[place / 2], place);
        place /= 2;
    }
    put(timers, what, place);
}

/* Likewise away from the top: no child expires before it. */
static void sink(udr_timers_t *timers, udr_timers_place_t what, apr_size_t place)
{
    for (;;) {
        apr_size_t child = place * 2;
        if (child < timers->count && timers->heap[child + 1].at < timers->heap[child].at) {
            child++;
        }
        if (child > timers->count || timers->heap[child].at >= what.at) {
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
    apr_time_t before = timer->at;
    timer->at = at;
    if (at < before) {
        rise(timers, what, timer->place);
    } else {
        sink(timers, what, timer->place);
    }
    return APR_SUCCESS;
}

void udr_timers_clear(udr_timers_t *timers, udr_timer_t *timer)
{
    apr_size_t place = timer->place;
    if (!place) {
        return;
    }
    const udr_timers_place_t last = timers->heap[timers->count--];
    timer->place = 0;
    if (last.timer == timer) {
        return;
    }
    if (last.at < timer->at) {
        rise(timers, last, place);
    } else {
        sink(timers, last, place);
    }
}

apr_time_t udr_timers_next(const udr_timers_t *timers)
{
    return timers->count ? timers->heap[1].at : 0;
}

int udr_timers_expire(udr_timers_t *timers, apr_time_t now)
{
    int expired = 0;
    timers->expiring = now;
    while (timers->count && timers->heap[1].at <= now) {
        udr_timer_t *timer = timers->heap[1].timer;
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
