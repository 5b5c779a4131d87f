/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's event loop: descriptors (epoll(7)), timers, and tasks that other threads hand over.
 * Layer: core. Created by the child; all functions but udr_loop_post() and udr_loop_stop() are for the loop's own
 * thread. */
#ifndef UDR_LOOP_H
#define UDR_LOOP_H

#include "mod_udsroute/udr_timer.h"

#include <stdint.h>

typedef struct udr_loop_t udr_loop_t;

/* A descriptor that is watched, edge-triggered and in both directions, from udr_loop_watch() to udr_loop_unwatch():
 * what it has said once it does not say again until it has been read or written to its end. */
typedef struct udr_watch_t {
    void (*ready)(struct udr_watch_t *watch, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR */
    void *baton;                                               /* its owner's */
    int fd;                                                    /* the loop's; -1 or 0 with is_watched false: none */
    bool is_watched;                                           /* the loop's */
} udr_watch_t;

/* Something to do on the loop's thread; in the memory of whoever posts it, until it runs. */
typedef struct udr_task_t {
    void (*run)(struct udr_task_t *task);
    void *baton;
    struct udr_task_t *next; /* the loop's */
} udr_task_t;

/* From p, which destroys it; the thread that runs it must have ended by then. */
apr_status_t udr_loop_create(udr_loop_t **loop, apr_pool_t *p);

/* Runs until udr_loop_stop(). */
void udr_loop_run(udr_loop_t *loop);

/* Any thread. The run ends after the round it is in. */
void udr_loop_stop(udr_loop_t *loop);

/* Any thread. Tasks run in the order in which they were posted. A task that is posted must not be posted again before
 * it runs. */
void udr_loop_post(udr_loop_t *loop, udr_task_t *task);

/* Like udr_loop_post() from the loop's own thread, without a system call: runs when this round of events is over (and
 * one that is deferred then, when the next is). From within a callback only. */
void udr_loop_defer(udr_loop_t *loop, udr_task_t *task);

/* An errno of epoll_ctl(2) when it can't be watched. The first events come with the next round, for whatever is the
 * case already. */
apr_status_t udr_loop_watch(udr_loop_t *loop, udr_watch_t *watch, int fd);

/* No event of it comes any more, not even one of this round. Before the descriptor is closed. Harmless when it is not
 * watched. */
void udr_loop_unwatch(udr_loop_t *loop, udr_watch_t *watch);

/* See udr_timers_set(); running out of memory for it ends the process, as in apr_palloc(). */
void udr_loop_set_timer(udr_loop_t *loop, udr_timer_t *timer, apr_time_t at);
void udr_loop_clear_timer(udr_loop_t *loop, udr_timer_t *timer);

/* The time at which this round began. */
apr_time_t udr_loop_now(const udr_loop_t *loop);

#endif
