/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's event loop: descriptors (epoll(7)), timers, and tasks that other threads hand over.
 * Layer: core. Created by the child; all functions but udr_loop_post() and udr_loop_stop() are for the loop's own
 * thread. */
#ifndef UDR_LOOP_H
#define UDR_LOOP_H

#include "mod_udsroute/udr_timer.h"

#include <stdint.h>

typedef struct udr_loop_t udr_loop_t;

/* Something to do on the loop's thread; in the memory of whoever posts it, until it runs. */
typedef struct udr_task_t {
    void (*run)(struct udr_task_t *task);
    void *baton;
    struct udr_task_t *next; /* the loop's */
} udr_task_t;

/* A descriptor that is watched, edge-triggered, from udr_loop_watch() to udr_loop_unwatch(): what it has said once it
 * does not say again until it has been read or written to its end. */
typedef struct udr_watch_t {
    void (*ready)(struct udr_watch_t *watch, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR */
    void *baton;                                               /* its owner's */
    int fd;                                                    /* the loop's; -1 or 0 with is_watched false: none */
    bool is_watched;                                           /* the loop's */
    bool wants_out;                                            /* the loop's */
    uint32_t taken;                                            /* events of it that the loop has taken so far, */
    uint32_t dealt_with;                                       /* and those that ready has got */
    struct udr_watch_t *next;                                  /* the loop's */
} udr_watch_t;

/* From p, which destroys it; the thread that runs it must have ended by then. */
apr_status_t udr_loop_create(udr_loop_t **loop, apr_pool_t *p);

/* Runs until udr_loop_stop(). */
void udr_loop_run(udr_loop_t *loop);

/* Any thread. The run ends after the round in which the loop takes what has been posted: from the loop's own thread,
 * that is the next. Whatever was posted before it runs first, and what is deferred, but for tasks that defer themselves
 * over and over. */
void udr_loop_stop(udr_loop_t *loop);

/* Any thread. Tasks run in the order in which they were posted. A task that is posted must not be posted again before
 * it runs. */
void udr_loop_post(udr_loop_t *loop, udr_task_t *task);

/* Like udr_loop_post() from the loop's own thread, without a system call: runs when this round of events is over (and
 * one that is deferred then, when the next is). From within a callback only. */
void udr_loop_defer(udr_loop_t *loop, udr_task_t *task);

/* Within an event's callback: whether more events of this round follow. What others may wait for a little is then best
 * deferred: to wake the same client process for each of many answers costs more than to wake it for all. */
bool udr_loop_has_more(const udr_loop_t *loop);

/* For reading. An errno of epoll_ctl(2) when it can't be watched. The first events come with the next round, for
 * whatever is the case already. */
apr_status_t udr_loop_watch(udr_loop_t *loop, udr_watch_t *watch, int fd);

/* For writing, too, or no longer so. Asked for when it is waited for, not always: a Unix socket becomes writable, and
 * would wake the loop, each time that the other side reads. If it is writable now, that comes with the next round. */
void udr_loop_watch_out(udr_loop_t *loop, udr_watch_t *watch, bool wants_out);

/* No event of it comes any more, not even one of this round. Before the descriptor is closed. Harmless when it is not
 * watched. */
void udr_loop_unwatch(udr_loop_t *loop, udr_watch_t *watch);

/* Any thread, as long as the loop's own has no use for the watch (its baton says so): the same, but for events that the
 * loop has taken already. watch comes from malloc(3); the loop frees it at the end of a round (it is not woken for
 * that), or with itself. */
void udr_loop_abandon(udr_loop_t *loop, udr_watch_t *watch);

/* See udr_timers_set(); running out of memory for it ends the process, as in apr_palloc(). */
void udr_loop_set_timer(udr_loop_t *loop, udr_timer_t *timer, apr_time_t at);
void udr_loop_clear_timer(udr_loop_t *loop, udr_timer_t *timer);

/* The time at which this round began. */
apr_time_t udr_loop_now(const udr_loop_t *loop);

#endif
