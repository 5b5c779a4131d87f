/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of one thread: a binary heap, so that tens of thousands cost a handful of comparisons to set. Most are
 * timeouts, set for ever later times and never due: one that is put off stays where it is until its former time has
 * come. Layer: core, bottom. Used by the loop; no locking. */
#ifndef UDR_TIMER_H
#define UDR_TIMER_H

#include <apr_pools.h>
#include <apr_time.h>

#include <stdbool.h>

/* One timer, in the memory of whoever it belongs to; all zero: not set. */
typedef struct udr_timer_t {
    apr_time_t at;                              /* when it expires */
    void (*expired)(struct udr_timer_t *timer); /* called once; it is no longer set then */
    void *baton;                                /* its owner's */
    apr_size_t place;                           /* the heap's: its position, from 1; 0: not set */
} udr_timer_t;

/* Its time stands beside it: owners are all over the memory, and comparing is to touch none of them. */
typedef struct udr_timers_place_t {
    apr_time_t due; /* when to look at it; not later than its `at` */
    udr_timer_t *timer;
} udr_timers_place_t;

typedef struct udr_timers_t {
    udr_timers_place_t *heap; /* heap[1] is due first; heap[0] is not used */
    apr_size_t count;
    apr_size_t size;
    apr_time_t expiring; /* what udr_timers_expire() was told, while it runs; 0: it does not */
} udr_timers_t;

/* Sets or moves a timer. One that is set by `expired` for a time that has come is due a microsecond after that: with
 * the next udr_timers_expire(). APR_ENOMEM: it is as it was before. */
apr_status_t udr_timers_set(udr_timers_t *timers, udr_timer_t *timer, apr_time_t at);

/* It will not expire. Harmless when it is not set. */
void udr_timers_clear(udr_timers_t *timers, udr_timer_t *timer);

/* None expires before; 0: none is set. It may be a time from which a timer has been put off: then udr_timers_expire()
 * calls none, and a later one is told. */
apr_time_t udr_timers_next(const udr_timers_t *timers);

/* Calls `expired` of those that are due by now (over 0) when it begins; they may set and clear any timer. Returns how
 * many. */
int udr_timers_expire(udr_timers_t *timers, apr_time_t now);

/* Frees the heap; the timers in it are unset. */
void udr_timers_destroy(udr_timers_t *timers);

#endif
