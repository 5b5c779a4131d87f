/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_timer.h"
#include "mod_udsroute/udr_debug.h"

#include <apr_errno.h>

#include <stdlib.h>

static void put(udr_timers_t *timers, udr_timer_t *timer, apr_size_t place)
{
    timers->heap[place] = timer;
    timer->place = place;
}

/* Moves a timer towards the top while it expires before its parent. */
static void rise(udr_timers_t *timers, udr_timer_t *timer)
{
    apr_size_t place = timer->place;
    while (place > 1 && timer->at < timers->heap[place / 2]->at) {
        put(timers, timers->heap[place / 2], place);
        place /= 2;
    }
    put(timers, timer, place);
}

/* Moves a timer away from the top while one of its children expires before it. */
static void sink(udr_timers_t *timers, udr_timer_t *timer)
{
    apr_size_t place = timer->place;
    for (;;) {
        apr_size_t child = place * 2;
        if (child < timers->count && timers->heap[child + 1]->at < timers->heap[child]->at) {
            child++;
        }
        if (child > timers->count || timers->heap[child]->at >= timer->at) {
            break;
        }
        put(timers, timers->heap[child], place);
        place = child;
    }
    put(timers, timer, place);
}

static apr_status_t provide(udr_timers_t *timers)
{
    if (timers->count + 1 < timers->size) {
        return APR_SUCCESS;
    }
    apr_size_t size = timers->size ? timers->size * 2 : 64;
    udr_timer_t **larger = realloc(timers->heap, size * sizeof(udr_timer_t *));
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
    if (!timer->place) {
        apr_status_t rv = provide(timers);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        timer->at = at;
        put(timers, timer, ++timers->count);
        rise(timers, timer);
        return APR_SUCCESS;
    }
    apr_time_t before = timer->at;
    timer->at = at;
    if (at < before) {
        rise(timers, timer);
    } else {
        sink(timers, timer);
    }
    return APR_SUCCESS;
}

void udr_timers_clear(udr_timers_t *timers, udr_timer_t *timer)
{
    apr_size_t place = timer->place;
    if (!place) {
        return;
    }
    udr_timer_t *last = timers->heap[timers->count--];
    timer->place = 0;
    if (last != timer) {
        put(timers, last, place);
        rise(timers, last);
        sink(timers, last);
    }
}

apr_time_t udr_timers_next(const udr_timers_t *timers)
{
    return timers->count ? timers->heap[1]->at : 0;
}

int udr_timers_expire(udr_timers_t *timers, apr_time_t now)
{
    int expired = 0;
    timers->expiring = now;
    while (timers->count && timers->heap[1]->at <= now) {
        udr_timer_t *timer = timers->heap[1];
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
        timers->heap[timers->count--]->place = 0;
    }
    free(timers->heap);
    timers->heap = NULL;
    timers->size = 0;
}
