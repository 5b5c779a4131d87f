/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_loop.h"
#include "tests/unit/fixture_socket.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Longer than anything takes here, however busy the machine is. */
#define PATIENCE_SECONDS 10

udr_loop_t *loop;
apr_pool_t *loop_pool;
int loop_descriptors;
char loop_story[64];
atomic_int loop_rounds;
atomic_int loop_timeout;
atomic_int loop_in_vain;
atomic_int loop_interruptions;
sem_t *loop_waits;
void (*loop_has_waited)(void);

static pthread_t thread;
static bool is_running;
static atomic_bool is_waiting;

/* --- between the loop and the kernel --- */

int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int milliseconds);
int __real_epoll_wait(int fd, struct epoll_event *events, int count, int milliseconds);

int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int milliseconds)
{
    static bool found_nothing;
    atomic_fetch_add(&loop_rounds, 1);
    atomic_fetch_add(&loop_in_vain, milliseconds != 0 && found_nothing);
    found_nothing = false;
    atomic_store(&loop_timeout, milliseconds);
    if (atomic_load(&loop_interruptions) > 0) {
        atomic_fetch_sub(&loop_interruptions, 1);
        errno = EINTR;
        return -1;
    }
    if (loop_waits && milliseconds < 0) {
        sem_post(loop_waits);
    }
    atomic_store(&is_waiting, true);
    int rc = __real_epoll_wait(fd, events, count, milliseconds);
    atomic_store(&is_waiting, false);
    found_nothing = rc == 0 && milliseconds == 0;
    void (*once)(void) = loop_has_waited;
    loop_has_waited = NULL;
    if (once) {
        once();
    }
    return rc;
}

/* --- the loop and its thread --- */

static void *run(void *baton)
{
    (void)baton;
    udr_loop_run(loop);
    return NULL;
}

void loop_start(void)
{
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
    is_running = true;
}

void loop_join(void)
{
    pthread_join(thread, NULL);
    is_running = false;
}

int loop_make(void **state)
{
    (void)state;
    loop_story[0] = '\0';
    loop_waits = NULL;
    loop_has_waited = NULL;
    atomic_store(&loop_interruptions, 0);
    loop_descriptors = count_descriptors();
    return apr_pool_create(&loop_pool, NULL) != APR_SUCCESS || udr_loop_create(&loop, loop_pool) != APR_SUCCESS;
}

int loop_set_up(void **state)
{
    int rc = loop_make(state);
    if (rc == 0) {
        loop_start();
    }
    return rc;
}

int loop_tear_down(void **state)
{
    (void)state;
    if (is_running) {
        udr_loop_stop(loop);
        loop_join();
    }
    apr_pool_destroy(loop_pool);
    if (count_descriptors() != loop_descriptors) {
        print_error("%d descriptors were open, now %d are\n", loop_descriptors, count_descriptors());
        return -1;
    }
    return 0;
}

void loop_await(sem_t *bell)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_SECONDS;
    while (sem_timedwait(bell, &until) != 0) {
        if (errno != EINTR) {
            print_error("the loop does not answer; so far '%s'\n", loop_story);
            abort();
        }
    }
}

typedef struct call_t {
    udr_task_t task;
    void (*function)(void *baton);
    void *baton;
    sem_t is_done;
} call_t;

static void run_call(udr_task_t *task)
{
    call_t *call = task->baton;
    if (call->function) {
        call->function(call->baton);
    }
    sem_post(&call->is_done);
}

void loop_call(void (*function)(void *baton), void *baton)
{
    call_t call = {.task.run = run_call, .task.baton = &call, .function = function, .baton = baton};
    sem_init(&call.is_done, 0, 0);
    udr_loop_post(loop, &call.task);
    loop_await(&call.is_done);
    sem_destroy(&call.is_done);
}

void loop_settle(void)
{
    for (int i = 0; i < 3; i++) {
        loop_call(NULL, NULL);
    }
}

int loop_sleeps_for(void)
{
    /* The last wait may be over, and its thread off the processor before the next. */
    while (!atomic_load(&is_waiting) || atomic_load(&loop_timeout) == 0) {
        usleep(100);
    }
    return atomic_load(&loop_timeout);
}

void loop_note(const char *what)
{
    if (strlen(loop_story) + strlen(what) < sizeof loop_story) {
        strcat(loop_story, what);
    }
}

void loop_note_task(udr_task_t *task)
{
    (void)task;
    loop_note("|");
}

typedef struct setting_t {
    udr_timer_t *timer;
    apr_time_t at;
} setting_t;

static void do_set_timer(void *baton)
{
    const setting_t *setting = baton;
    udr_loop_set_timer(loop, setting->timer, setting->at);
}

void loop_set_timer(udr_timer_t *timer, apr_time_t at)
{
    setting_t setting = {timer, at};
    loop_call(do_set_timer, &setting);
}

static void do_clear_timer(void *baton)
{
    udr_loop_clear_timer(loop, baton);
}

void loop_clear_timer(udr_timer_t *timer)
{
    loop_call(do_clear_timer, timer);
}

/* --- ends --- */

static void is_told(udr_watch_t *watch, uint32_t events)
{
    end_t *end = watch->baton;
    end->calls++;
    end->events |= events;
    loop_note(end->name);
    if (end->then) {
        end->then(end);
    }
}

end_t end_of_pair(const char *name)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    return (end_t){.name = name, .watch.ready = is_told, .fd = fds[0], .far = fds[1]};
}

void end_close(const end_t *end)
{
    close(end->fd);
    close(end->far);
}

void end_do_watch(void *baton)
{
    end_t *end = baton;
    end->watch.baton = end;
    end->status = udr_loop_watch(loop, &end->watch, end->fd);
}

void end_watch(end_t *end)
{
    loop_call(end_do_watch, end);
    assert_int_equal(end->status, APR_SUCCESS);
    assert_true(end->watch.is_watched);
    assert_int_equal(end->watch.fd, end->fd);
    loop_settle();
}

static void do_unwatch(void *baton)
{
    end_t *end = baton;
    udr_loop_unwatch(loop, &end->watch);
}

void end_unwatch(end_t *end)
{
    loop_call(do_unwatch, end);
    assert_false(end->watch.is_watched);
}

static void do_want_out(void *baton)
{
    end_t *end = baton;
    udr_loop_watch_out(loop, &end->watch, true);
}

static void do_not_want_out(void *baton)
{
    end_t *end = baton;
    udr_loop_watch_out(loop, &end->watch, false);
}

void end_watch_out(end_t *end, bool wants_out)
{
    loop_call(wants_out ? do_want_out : do_not_want_out, end);
}

uint32_t end_take_events(end_t *end, int expected_calls)
{
    loop_settle();
    uint32_t events = end->events;
    assert_int_equal(end->calls, expected_calls);
    end->calls = 0;
    end->events = 0;
    loop_call(NULL, NULL); /* the loop's thread sees it so before anything else happens */
    return events;
}

void ends_watch(end_t *a, end_t *b, void (*then)(end_t *end))
{
    *a = end_of_pair("A");
    *b = end_of_pair("B");
    end_watch(a);
    end_watch(b);
    (void)end_take_events(a, 0);
    (void)end_take_events(b, 0);
    loop_story[0] = '\0';
    a->other = b;
    b->other = a;
    a->then = b->then = then;
}

void ends_say(void *baton)
{
    const end_t *end = baton;
    say(end->far, "x");
    say(end->other->far, "x");
}

void say(int fd, const char *text)
{
    /* On the loop's thread, too, where cmocka's claims have no place to jump to. */
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        print_error("'%s' was not taken: %s\n", text, strerror(errno));
        abort();
    }
}

size_t swallow(int fd)
{
    char buffer[4096];
    size_t total = 0;
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) {
        total += (size_t)n;
    }
    return total;
}

void fill(int fd)
{
    static const char bytes[4096];
    while (write(fd, bytes, sizeof bytes) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
}
