/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_linger.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_debug.h"

#include <apr_errno.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Most clients close as soon as they have read the answer. So a socket is not watched at once: it is looked at together
 * with all others that came within this time, which needs two system calls for each and wakes nobody. */
#define LOOK_AFTER apr_time_from_msec(10)

/* So many are looked at, and so often is one read from, before the loop's other events have their turn. */
#define LOOKS_IN_A_ROW 32
#define READS_IN_A_ROW 16

typedef struct socket_t {
    udr_linger_t *linger;
    int fd;
    apr_time_t until;
    udr_watch_t watch;
    udr_timer_t timer;
    udr_task_t again; /* looked at once more, as it sends without end */
    bool is_deferred;
    void (*done)(void *baton); /* lent: its owner closes it, who is told so; NULL: it is closed here */
    void *baton;
    struct socket_t *next; /* in `coming`, `came` or `watched` */
    struct socket_t *previous;
} socket_t;

struct udr_linger_t {
    udr_loop_t *loop;
    unsigned int most;
    atomic_uint count;          /* of sockets that are not lent */
    _Atomic(socket_t *) coming; /* the last one first */
    socket_t *came;             /* to be looked at in this round or the next ones */
    socket_t *watched;          /* they did not close at once */
    udr_task_t announced;       /* posted by the first one that comes */
    udr_timer_t look_timer;
    udr_task_t look_on;
    udr_timer_t end_timer; /* of udr_linger_await_end() */
    apr_time_t end_at;
    void (*done)(void *baton);
    void *baton;
    bool has_ended; /* with its loop: nobody is told anything any more */
};

static void end(socket_t *s)
{
    if (!s->done) {
        atomic_fetch_sub_explicit(&s->linger->count, 1, memory_order_relaxed);
        close(s->fd);
    } else if (!s->linger->has_ended) {
        s->done(s->baton);
    }
    free(s);
}

static void end_all(socket_t *list)
{
    while (list) {
        socket_t *next = list->next;
        end(list);
        list = next;
    }
}

/* --- looking at them -----------------------------------------------------------------------------------------------
 */

typedef enum look_t { LOOK_QUIET, LOOK_MORE, LOOK_GONE } look_t;

static look_t look(int fd)
{
    char bytes[4096];
    for (int reads = 0; reads < READS_IN_A_ROW; reads++) {
        ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
            return LOOK_GONE;
        }
        if (n < 0 && errno == EAGAIN) {
            return LOOK_QUIET;
        }
    }
    return LOOK_MORE;
}

static void end_watched(socket_t *s)
{
    udr_loop_clear_timer(s->linger->loop, &s->timer);
    udr_loop_unwatch(s->linger->loop, &s->watch);
    if (s->previous) {
        s->previous->next = s->next;
    } else {
        s->linger->watched = s->next;
    }
    if (s->next) {
        s->next->previous = s->previous;
    }
    end(s);
}

static void look_at_watched(socket_t *s)
{
    switch (look(s->fd)) {
    case LOOK_QUIET:
        break;
    case LOOK_MORE:
        s->is_deferred = true;
        udr_loop_defer(s->linger->loop, &s->again);
        break;
    case LOOK_GONE:
        end_watched(s);
        break;
    }
}

static void look_again(udr_task_t *task)
{
    socket_t *s = task->baton;
    s->is_deferred = false;
    if (udr_loop_now(s->linger->loop) < s->until) {
        look_at_watched(s);
    } else {
        end_watched(s);
    }
}

static void has_news(udr_watch_t *watch, uint32_t events)
{
    socket_t *s = watch->baton;
    (void)events;
    if (!s->is_deferred) {
        look_at_watched(s);
    }
}

static void is_over(udr_timer_t *timer)
{
    socket_t *s = timer->baton;
    if (!s->is_deferred) { /* else look_again() ends it */
        end_watched(s);
    }
}

/* The first events come for whatever is the case already, so nothing is missed. */
static void watch(socket_t *s)
{
    udr_linger_t *linger = s->linger;
    s->watch.ready = has_news;
    s->watch.baton = s;
    s->timer.expired = is_over;
    s->timer.baton = s;
    s->again.run = look_again;
    s->again.baton = s;
    if (udr_loop_watch(linger->loop, &s->watch, s->fd) != APR_SUCCESS) {
        end(s);
        return;
    }
    s->previous = NULL;
    s->next = linger->watched;
    if (linger->watched) {
        linger->watched->previous = s;
    }
    linger->watched = s;
    udr_loop_set_timer(linger->loop, &s->timer, s->until);
}

static void look_at_those_who_came(udr_linger_t *linger)
{
    for (int i = 0; linger->came && i < LOOKS_IN_A_ROW; i++) {
        socket_t *s = linger->came;
        linger->came = s->next;
        if (look(s->fd) == LOOK_GONE) {
            end(s);
        } else {
            watch(s);
        }
    }
    if (linger->came) {
        udr_loop_defer(linger->loop, &linger->look_on);
    }
}

static void look_on(udr_task_t *task)
{
    look_at_those_who_came(task->baton);
}

static void look_timer_expired(udr_timer_t *timer)
{
    udr_linger_t *linger = timer->baton;
    if (linger->came) { /* still busy with those before */
        udr_loop_set_timer(linger->loop, timer, udr_loop_now(linger->loop) + LOOK_AFTER);
        return;
    }
    linger->came = atomic_exchange(&linger->coming, NULL);
    look_at_those_who_came(linger);
}

static void announced(udr_task_t *task)
{
    udr_linger_t *linger = task->baton;
    udr_loop_set_timer(linger->loop, &linger->look_timer, udr_loop_now(linger->loop) + LOOK_AFTER);
}

static apr_status_t come(udr_linger_t *linger, int fd, apr_interval_time_t limit, void (*done)(void *baton),
                         void *baton)
{
    socket_t *s = calloc(1, sizeof *s);
    if (!s) {
        return APR_ENOMEM;
    }
    s->linger = linger;
    s->fd = fd;
    s->until = udr_clock_now() + limit;
    s->done = done;
    s->baton = baton;
    socket_t *before = atomic_load(&linger->coming);
    do {
        s->next = before;
    } while (!atomic_compare_exchange_weak(&linger->coming, &before, s));
    UDR_SCHEDULE("lingers");
    /* Who finds others there knows that it has been announced, or is about to be, and that none has been taken. */
    if (!before) {
        udr_loop_post(linger->loop, &linger->announced);
    }
    return APR_SUCCESS;
}

apr_status_t udr_linger_add(udr_linger_t *linger, int fd, apr_interval_time_t limit)
{
    apr_status_t rv = APR_ENOSPC;
    if (atomic_fetch_add_explicit(&linger->count, 1, memory_order_relaxed) < linger->most) {
        rv = come(linger, fd, limit, NULL, NULL);
    }
    if (rv != APR_SUCCESS) {
        atomic_fetch_sub_explicit(&linger->count, 1, memory_order_relaxed);
    }
    return rv;
}

apr_status_t udr_linger_lend(udr_linger_t *linger, int fd, apr_interval_time_t limit, void (*done)(void *baton),
                             void *baton)
{
    return come(linger, fd, limit, done, baton);
}

unsigned int udr_linger_count(const udr_linger_t *linger)
{
    return atomic_load_explicit(&linger->count, memory_order_relaxed);
}

/* --- the end of the child ------------------------------------------------------------------------------------------
 */

static void look_whether_all_have_gone(udr_timer_t *timer)
{
    udr_linger_t *linger = timer->baton;
    apr_time_t now = udr_loop_now(linger->loop);
    bool is_empty = !linger->watched && !linger->came && !atomic_load(&linger->coming);
    if (is_empty || now >= linger->end_at) {
        linger->done(linger->baton);
    } else {
        udr_loop_set_timer(linger->loop, timer, now + LOOK_AFTER);
    }
}

void udr_linger_await_end(udr_linger_t *linger, apr_interval_time_t limit, void (*done)(void *baton), void *baton)
{
    linger->done = done;
    linger->baton = baton;
    linger->end_at = udr_loop_now(linger->loop) + limit;
    look_whether_all_have_gone(&linger->end_timer);
}

/* The thread has ended. The loop goes after this: it has timers of those that are watched. */
static apr_status_t destroy(void *baton)
{
    udr_linger_t *linger = baton;
    linger->has_ended = true;
    end_all(atomic_exchange(&linger->coming, NULL));
    end_all(linger->came);
    linger->came = NULL;
    while (linger->watched) {
        end_watched(linger->watched);
    }
    return APR_SUCCESS;
}

udr_linger_t *udr_linger_create(udr_loop_t *loop, unsigned int most, apr_pool_t *p)
{
    udr_linger_t *made = apr_pcalloc(p, sizeof *made);
    made->loop = loop;
    made->most = most;
    made->announced = (udr_task_t){.run = announced, .baton = made};
    made->look_on = (udr_task_t){.run = look_on, .baton = made};
    made->look_timer.expired = look_timer_expired;
    made->look_timer.baton = made;
    made->end_timer.expired = look_whether_all_have_gone;
    made->end_timer.baton = made;
    apr_pool_cleanup_register(p, made, destroy, apr_pool_cleanup_null);
    return made;
}
