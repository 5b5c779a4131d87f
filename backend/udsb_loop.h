/* SPDX-License-Identifier: Apache-2.0 */
/* One thread with epoll(7): descriptors, timers, and tasks that other threads post.
 * Layer: bottom. Each worker has one: its connections, waiting requests, WebSockets and the listeners live on it.
 *
 * Watches, timers and tasks are embedded in what they belong to; the loop owns no memory of theirs. Every function is
 * for the loop's own thread, but for udsb_loop_post and those that say so. */
#ifndef UDSB_LOOP_H
#define UDSB_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct udsb_loop udsb_loop_t;

typedef struct udsb_watch {
    void (*ready)(struct udsb_watch *watch, uint32_t events); /* EPOLLIN, ... */
    int descriptor;
    bool watched; /* the loop's */
} udsb_watch_t;

typedef struct udsb_timer {
    void (*fired)(struct udsb_timer *timer);
    uint64_t due_ms; /* on the clock of udsb_loop_now() */
    size_t place;    /* the loop's: index in the heap + 1, 0: not set */
} udsb_timer_t;

typedef struct udsb_task {
    void (*run)(struct udsb_task *task);
    struct udsb_task *next; /* the loop's */
} udsb_task_t;

/* Called on the loop's thread each time it has nothing more to do, before it waits. True: it must not wait, but only
 * look for events and call again. */
typedef bool udsb_loop_turn_t(void *context);

/* Creates a loop and starts its thread (name: at most 15 bytes, for top(1)). turn may be NULL. NULL: errno says why. */
udsb_loop_t *udsb_loop_create(const char *name, udsb_loop_turn_t *turn, void *context);

/* Ends the thread after the tasks posted so far, and frees the loop. Not from its own thread. Watches and timers that
 * are still set are forgotten. */
void udsb_loop_destroy(udsb_loop_t *loop);

/* Runs the task on the loop's thread, in the order of posting. The task must not be posted again before it runs. Any
 * thread. */
void udsb_loop_post(udsb_loop_t *loop, udsb_task_t *task);

/* The same, and waits until it has run. Any thread but the loop's. */
void udsb_loop_call(udsb_loop_t *loop, void (*function)(void *context), void *context);

/* Starts watching watch->descriptor, or changes what it is watched for; EPOLLHUP and EPOLLERR always are. 0 or errno.
 */
int udsb_loop_watch(udsb_loop_t *loop, udsb_watch_t *watch, uint32_t events);
/* No ready() for it after this, not even of events already fetched. Call it before the descriptor is closed. */
void udsb_loop_unwatch(udsb_loop_t *loop, udsb_watch_t *watch);

/* Fires once, delay_ms from now; a timer that is set is moved. False when out of memory. */
bool udsb_loop_set_timer(udsb_loop_t *loop, udsb_timer_t *timer, uint64_t delay_ms);
void udsb_loop_clear_timer(udsb_loop_t *loop, udsb_timer_t *timer);

/* Milliseconds of the monotonic clock. Any thread. */
uint64_t udsb_loop_now(void);

#endif
