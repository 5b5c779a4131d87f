/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_loop.h"

#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_debug.h"

#include <apr_errno.h>
#include <apr_thread_mutex.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 64

/* At the end, what is deferred runs so many times more: enough for what frees something at the end of a round, and for
 * what that leads to. One that has always more to do, as its client or its member sends without end, would keep the
 * thread for as long, as no event and no timer tells it to stop any more. */
#define ROUNDS_AT_END 16

/* While one event follows the other at once, and alone, as they do with one client that asks again as soon as it has
 * its answer, to sleep and be woken takes longer than to wait awake: the loop does so, for this long, after so many in
 * a row that came within SOON. More are asked for each time that it has waited awake in vain. */
#define AWAKE_TIME   ((apr_interval_time_t)100)
#define SOON         ((apr_interval_time_t)150)
#define AWAKE_AFTER  16
#define AWAKE_LATEST 4096

typedef struct tasks_t {
    udr_task_t *first;
    udr_task_t **last;
} tasks_t;

struct udr_loop_t {
    int epoll_fd;
    int wake_fd;
    udr_timers_t timers;
    apr_time_t now;
    tasks_t deferred;
    struct epoll_event events[EVENTS_MAX];
    int count;   /* of events in this round */
    int current; /* the one being dealt with */
    apr_time_t waits_since;
    int soon_in_a_row;                /* rounds with one event that came soon */
    int awake_after;                  /* so many the loop waits awake */
    _Atomic(udr_watch_t *) abandoned; /* last one first */
    apr_thread_mutex_t *mutex;
    struct {
        tasks_t posted;
        bool stops;
    } locked; /* needs the mutex */
};

static void append(tasks_t *tasks, udr_task_t *task)
{
    task->next = NULL;
    *tasks->last = task;
    tasks->last = &task->next;
}

static udr_task_t *take_all(tasks_t *tasks)
{
    udr_task_t *first = tasks->first;
    tasks->first = NULL;
    tasks->last = &tasks->first;
    return first;
}

/* Between two rounds: none of the events that have been taken is theirs, and no later one can be. */
static void free_abandoned(udr_loop_t *loop)
{
    udr_watch_t *watch = atomic_load(&loop->abandoned) ? atomic_exchange(&loop->abandoned, NULL) : NULL;
    while (watch) {
        udr_watch_t *next = watch->next;
        free(watch);
        watch = next;
    }
}

static apr_status_t destroy(void *baton)
{
    udr_loop_t *loop = baton;
    free_abandoned(loop);
    udr_timers_destroy(&loop->timers);
    close(loop->epoll_fd);
    close(loop->wake_fd);
    return APR_SUCCESS;
}

apr_status_t udr_loop_create(udr_loop_t **loop, apr_pool_t *p)
{
    udr_loop_t *made = apr_pcalloc(p, sizeof *made);
    made->deferred.last = &made->deferred.first;
    made->locked.posted.last = &made->locked.posted.first;
    apr_status_t rv = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    made->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (made->epoll_fd < 0) {
        return errno;
    }
    made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (made->wake_fd < 0 || epoll_ctl(made->epoll_fd, EPOLL_CTL_ADD, made->wake_fd, &event) != 0) {
        rv = errno;
        if (made->wake_fd >= 0) {
            close(made->wake_fd);
        }
        close(made->epoll_fd);
        return rv;
    }
    apr_pool_cleanup_register(p, made, destroy, apr_pool_cleanup_null);
    made->now = udr_clock_now();
    made->awake_after = AWAKE_AFTER;
    *loop = made;
    return APR_SUCCESS;
}

apr_status_t udr_loop_watch(udr_loop_t *loop, udr_watch_t *watch, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return errno;
    }
    watch->fd = fd;
    watch->is_watched = true;
    watch->wants_out = false;
    return APR_SUCCESS;
}

void udr_loop_watch_out(udr_loop_t *loop, udr_watch_t *watch, bool wants_out)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = watch};
    if (!watch->is_watched || watch->wants_out == wants_out) {
        return;
    }
    if (wants_out) {
        event.events |= EPOLLOUT;
    }
    watch->wants_out = wants_out;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void udr_loop_unwatch(udr_loop_t *loop, udr_watch_t *watch)
{
    if (!watch->is_watched) {
        return;
    }
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->is_watched = false;
    for (int i = loop->current + 1; i < loop->count; i++) {
        if (loop->events[i].data.ptr == watch) {
            loop->events[i].events = 0;
        }
    }
}

void udr_loop_abandon(udr_loop_t *loop, udr_watch_t *watch)
{
    UDR_SCHEDULE("abandon");
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->next = atomic_load(&loop->abandoned);
    while (!atomic_compare_exchange_weak(&loop->abandoned, &watch->next, watch)) {
    }
}

void udr_loop_set_timer(udr_loop_t *loop, udr_timer_t *timer, apr_time_t at)
{
    if (udr_timers_set(&loop->timers, timer, at) != APR_SUCCESS) {
        abort();
    }
}

void udr_loop_clear_timer(udr_loop_t *loop, udr_timer_t *timer)
{
    udr_timers_clear(&loop->timers, timer);
}

apr_time_t udr_loop_now(const udr_loop_t *loop)
{
    return loop->now;
}

void udr_loop_post(udr_loop_t *loop, udr_task_t *task)
{
    apr_thread_mutex_lock(loop->mutex);
    bool is_first = loop->locked.posted.first == NULL;
    append(&loop->locked.posted, task);
    apr_thread_mutex_unlock(loop->mutex);
    UDR_SCHEDULE("posted");
    /* Who finds others in the queue knows that the loop has been woken and not yet looked. */
    if (is_first) {
        (void)eventfd_write(loop->wake_fd, 1);
    }
}

void udr_loop_stop(udr_loop_t *loop)
{
    apr_thread_mutex_lock(loop->mutex);
    loop->locked.stops = true;
    apr_thread_mutex_unlock(loop->mutex);
    (void)eventfd_write(loop->wake_fd, 1);
}

void udr_loop_defer(udr_loop_t *loop, udr_task_t *task)
{
    append(&loop->deferred, task);
}

static void run_tasks(udr_task_t *task)
{
    while (task) {
        udr_task_t *next = task->next; /* it may be freed */
        UDR_STEP("a task", task->run(task));
        task = next;
    }
}

bool udr_loop_has_more(const udr_loop_t *loop)
{
    return loop->current + 1 < loop->count;
}

/* Once a round: what is deferred meanwhile has to let the events of the next round go first. */
static void run_deferred(udr_loop_t *loop)
{
    run_tasks(take_all(&loop->deferred));
}

/* The end of a wait: woken by another thread. Returns whether to go on. */
static bool take_posted(udr_loop_t *loop)
{
    eventfd_t value;
    (void)eventfd_read(loop->wake_fd, &value);
    UDR_SCHEDULE("take-posted");
    apr_thread_mutex_lock(loop->mutex);
    udr_task_t *tasks = take_all(&loop->locked.posted);
    bool stops = loop->locked.stops;
    apr_thread_mutex_unlock(loop->mutex);
    run_tasks(tasks);
    return !stops;
}

/* In milliseconds, rounded up: a timer that is not quite due would have the loop spin. */
static int pause_for(const udr_loop_t *loop)
{
    apr_time_t next = udr_timers_next(&loop->timers);
    if (loop->deferred.first) {
        return 0;
    }
    if (!next) {
        return -1;
    }
    apr_interval_time_t left = next - loop->waits_since;
    if (left <= 0) {
        return 0;
    }
    return left > apr_time_from_sec(60) ? 60000 : (int)((left + 999) / 1000);
}

/* Returns whether something has come about. */
static bool wait_awake(udr_loop_t *loop)
{
    do {
        loop->count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, 0);
    } while (loop->count == 0 && udr_clock_now() - loop->waits_since < AWAKE_TIME);
    if (loop->count != 0) {
        loop->awake_after = AWAKE_AFTER;
        return true;
    }
    if (loop->awake_after < AWAKE_LATEST) {
        loop->awake_after *= 2;
    }
    return false;
}

static void take_events(udr_loop_t *loop)
{
    loop->waits_since = udr_clock_now();
    int pause = pause_for(loop);
    if (pause == 0 || loop->soon_in_a_row < loop->awake_after || !wait_awake(loop)) {
        loop->count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, pause);
    }
    for (int i = 0; i < loop->count; i++) {
        udr_watch_t *watch = loop->events[i].data.ptr;
        if (watch) {
            watch->taken++;
        }
    }
}

static void note_pace(udr_loop_t *loop)
{
    bool is_soon = loop->count == 1 && loop->now - loop->waits_since < SOON;
    if (!is_soon) {
        loop->soon_in_a_row = 0;
    } else if (loop->soon_in_a_row < AWAKE_LATEST) { /* no more are ever asked for */
        loop->soon_in_a_row++;
    }
}

void udr_loop_run(udr_loop_t *loop)
{
    bool goes_on = true;
    while (goes_on) {
        take_events(loop);
        UDR_SCHEDULE("round");
        loop->now = udr_clock_now();
        note_pace(loop);
        for (loop->current = 0; loop->current < loop->count; loop->current++) {
            const struct epoll_event *event = &loop->events[loop->current];
            udr_watch_t *watch = event->data.ptr;
            if (!watch) {
                goes_on = take_posted(loop) && goes_on;
            } else if (event->events) {
                watch->dealt_with++;
                UDR_STEP("an event", watch->ready(watch, event->events));
            }
        }
        loop->count = 0;
        loop->current = 0;
        udr_timers_expire(&loop->timers, loop->now);
        run_deferred(loop);
        free_abandoned(loop);
    }
    for (int i = 0; i < ROUNDS_AT_END && loop->deferred.first; i++) {
        run_deferred(loop);
    }
    (void)take_all(&loop->deferred); /* whoever defers something later is not to touch those that are left */
}
