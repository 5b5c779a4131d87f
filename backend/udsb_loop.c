/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 256 };

struct udsb_loop {
    pthread_t thread;
    int epoll;
    udsb_watch_t wake; /* eventfd(2): tasks were posted */
    udsb_loop_turn_t *turn;
    void *turn_context;

    struct { /* needs the mutex */
        pthread_mutex_t mutex;
        udsb_task_t *first, *last;
        bool ending;
    } posted;

    /* of the loop's thread alone */
    udsb_timer_t **heap; /* binary heap by due_ms, heap[0] the next */
    size_t timers, capacity;
    struct epoll_event events[EVENTS_AT_ONCE];
    int event_count; /* of the batch under way, for udsb_loop_unwatch */
};

uint64_t udsb_loop_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- timers ---------------------------------------------------------------------------------------------------------
 */

static void place(udsb_loop_t *loop, size_t index, udsb_timer_t *timer)
{
    loop->heap[index] = timer;
    timer->place = index + 1;
}

static void sift_up(udsb_loop_t *loop, size_t index, udsb_timer_t *timer)
{
    while (index > 0 && loop->heap[(index - 1) / 2]->due_ms > timer->due_ms) {
        place(loop, index, loop->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(loop, index, timer);
}

static void sift_down(udsb_loop_t *loop, size_t index, udsb_timer_t *timer)
{
    for (;;) {
        size_t child = 2 * index + 1;

        if (child >= loop->timers)
            break;
        if (child + 1 < loop->timers && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
            child++;
        if (loop->heap[child]->due_ms >= timer->due_ms)
            break;
        place(loop, index, loop->heap[child]);
        index = child;
    }
    place(loop, index, timer);
}

void udsb_loop_clear_timer(udsb_loop_t *loop, udsb_timer_t *timer)
{
    if (!timer->place)
        return;

    const size_t index = timer->place - 1;
    udsb_timer_t *const last = loop->heap[--loop->timers];

    timer->place = 0;
    if (last == timer)
        return;
    /* The last timer fills the gap; it may belong above or below it. */
    if (index > 0 && loop->heap[(index - 1) / 2]->due_ms > last->due_ms)
        sift_up(loop, index, last);
    else
        sift_down(loop, index, last);
}

bool udsb_loop_set_timer(udsb_loop_t *loop, udsb_timer_t *timer, uint64_t delay_ms)
{
    udsb_loop_clear_timer(loop, timer);
    if (loop->timers == loop->capacity) {
        const size_t capacity = loop->capacity ? 2 * loop->capacity : 64;
        udsb_timer_t **const heap = realloc(loop->heap, capacity * sizeof *heap);

        if (!heap)
            return false;
        loop->heap = heap;
        loop->capacity = capacity;
    }
    timer->due_ms = udsb_loop_now() + delay_ms;
    sift_up(loop, loop->timers++, timer);
    return true;
}

static void fire_timers(udsb_loop_t *loop)
{
    const uint64_t now = udsb_loop_now();

    while (loop->timers && loop->heap[0]->due_ms <= now) {
        udsb_timer_t *const timer = loop->heap[0];

        udsb_loop_clear_timer(loop, timer);
        timer->fired(timer);
    }
}

static int timeout(const udsb_loop_t *loop)
{
    if (!loop->timers)
        return -1;

    const uint64_t now = udsb_loop_now();
    const uint64_t due = loop->heap[0]->due_ms;

    if (due <= now)
        return 0;
    return due - now > 3600000 ? 3600000 : (int)(due - now);
}

/* --- descriptors ----------------------------------------------------------------------------------------------------
 */

int udsb_loop_watch(udsb_loop_t *loop, udsb_watch_t *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    if (epoll_ctl(loop->epoll, watch->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->descriptor, &event))
        return errno;
    watch->watched = true;
    return 0;
}

void udsb_loop_unwatch(udsb_loop_t *loop, udsb_watch_t *watch)
{
    if (!watch->watched)
        return;
    watch->watched = false;
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->descriptor, NULL);
    /* The batch under way may hold an event for it, and the caller may be about to free it. */
    for (int i = 0; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
    }
}

/* --- tasks ----------------------------------------------------------------------------------------------------------
 */

void udsb_loop_post(udsb_loop_t *loop, udsb_task_t *task)
{
    static const uint64_t one = 1;

    task->next = NULL;
    pthread_mutex_lock(&loop->posted.mutex);
    const bool was_empty = !loop->posted.first;
    if (was_empty)
        loop->posted.first = task;
    else
        loop->posted.last->next = task;
    loop->posted.last = task;
    pthread_mutex_unlock(&loop->posted.mutex);
    /* The loop takes the whole list at once: only the first task has to wake it. An eventfd takes 2^64 - 2 of these. */
    if (was_empty && write(loop->wake.descriptor, &one, sizeof one) < 0)
        return;
}

typedef struct {
    udsb_task_t task;
    void (*function)(void *context);
    void *context;
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool is_done;
} call_t;

static void run_call(udsb_task_t *task)
{
    call_t *const call = (call_t *)task;

    call->function(call->context);
    pthread_mutex_lock(&call->mutex);
    call->is_done = true;
    pthread_cond_signal(&call->done);
    pthread_mutex_unlock(&call->mutex);
}

void udsb_loop_call(udsb_loop_t *loop, void (*function)(void *context), void *context)
{
    call_t call = {.task = {.run = run_call}, .function = function, .context = context};

    pthread_mutex_init(&call.mutex, NULL);
    pthread_cond_init(&call.done, NULL);
    udsb_loop_post(loop, &call.task);
    pthread_mutex_lock(&call.mutex);
    while (!call.is_done)
        pthread_cond_wait(&call.done, &call.mutex);
    pthread_mutex_unlock(&call.mutex);
    pthread_cond_destroy(&call.done);
    pthread_mutex_destroy(&call.mutex);
}

/* Returns false when the loop is to end and nothing is left to run. */
static bool run_tasks(udsb_loop_t *loop)
{
    pthread_mutex_lock(&loop->posted.mutex);
    udsb_task_t *task = loop->posted.first;
    loop->posted.first = loop->posted.last = NULL;
    const bool go_on = task || !loop->posted.ending;
    pthread_mutex_unlock(&loop->posted.mutex);

    while (task) {
        udsb_task_t *const next = task->next; /* the task may be gone or posted anew once it ran */

        task->run(task);
        task = next;
    }
    return go_on;
}

static void woken(udsb_watch_t *watch, uint32_t events)
{
    uint64_t count;

    (void)events;
    if (read(watch->descriptor, &count, sizeof count) < 0)
        return; /* somebody else's wake-up was taken along already */
}

static void *run(void *context)
{
    udsb_loop_t *const loop = context;

    while (run_tasks(loop)) {
        const bool is_busy = loop->turn && loop->turn(loop->turn_context);
        const int count = epoll_wait(loop->epoll, loop->events, EVENTS_AT_ONCE, is_busy ? 0 : timeout(loop));

        loop->event_count = count > 0 ? count : 0;
        for (int i = 0; i < loop->event_count; i++) {
            udsb_watch_t *const watch = loop->events[i].data.ptr;

            if (watch)
                watch->ready(watch, loop->events[i].events);
        }
        loop->event_count = 0;
        fire_timers(loop);
    }
    return NULL;
}

/* --- life -----------------------------------------------------------------------------------------------------------
 */

static int start_thread(udsb_loop_t *loop, const char *name)
{
    sigset_t all, before;

    /* Signals are the program's threads' business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&loop->thread, NULL, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        pthread_setname_np(loop->thread, name);
    return error;
}

udsb_loop_t *udsb_loop_create(const char *name, udsb_loop_turn_t *turn, void *context)
{
    int error = ENOMEM;
    udsb_loop_t *const loop = calloc(1, sizeof *loop);

    if (!loop)
        return NULL;
    pthread_mutex_init(&loop->posted.mutex, NULL);
    loop->turn = turn;
    loop->turn_context = context;
    loop->wake.ready = woken;
    loop->wake.descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->wake.descriptor < 0 || loop->epoll < 0)
        error = errno;
    else if (!(error = udsb_loop_watch(loop, &loop->wake, EPOLLIN)))
        error = start_thread(loop, name);
    if (!error)
        return loop;

    if (loop->wake.descriptor >= 0)
        close(loop->wake.descriptor);
    if (loop->epoll >= 0)
        close(loop->epoll);
    pthread_mutex_destroy(&loop->posted.mutex);
    free(loop);
    errno = error;
    return NULL;
}

void udsb_loop_destroy(udsb_loop_t *loop)
{
    static const uint64_t one = 1;

    if (!loop)
        return;
    pthread_mutex_lock(&loop->posted.mutex);
    loop->posted.ending = true;
    pthread_mutex_unlock(&loop->posted.mutex);
    if (write(loop->wake.descriptor, &one, sizeof one) < 0)
        return; /* cannot happen: the counter is never near its end */
    pthread_join(loop->thread, NULL);
    close(loop->wake.descriptor);
    close(loop->epoll);
    pthread_mutex_destroy(&loop->posted.mutex);
    free(loop->heap);
    free(loop);
}
