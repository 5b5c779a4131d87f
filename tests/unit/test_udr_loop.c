/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop watches, the time, and its end. Tasks and timers are in test_udr_loop_tasks.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_loop.h"
#include "tests/unit/fixture_socket.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* --- watching --- */

static void tells_what_is_the_case_already(void **state)
{
    end_t a = end_of_pair("A"), b = end_of_pair("B");
    (void)state;
    say(b.far, "x");
    end_watch(&a);
    end_watch(&b);
    assert_int_equal(end_take_events(&a, 0), 0);
    assert_int_equal(end_take_events(&b, 1), EPOLLIN);
    end_unwatch(&a);
    end_unwatch(&b);
    end_close(&a);
    end_close(&b);
}

/* Edge-triggered: once for what comes, whether it is read or not. */
static void tells_once_of_what_comes(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_watch(&a);
    say(a.far, "x");
    assert_true(end_take_events(&a, 1) & EPOLLIN);
    assert_int_equal(end_take_events(&a, 0), 0);
    say(a.far, "y");
    assert_true(end_take_events(&a, 1) & EPOLLIN);
    assert_int_equal(swallow(a.fd), 2);
    assert_int_equal(end_take_events(&a, 0), 0);
    say(a.far, "z");
    assert_true(end_take_events(&a, 1) & EPOLLIN);
    end_unwatch(&a);
    end_close(&a);
}

/* Whoever waits for nothing to be written is not woken each time that the other side reads. */
static void tells_of_no_room_that_nobody_asked_for(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_watch(&a);
    fill(a.fd);
    assert_true(swallow(a.far) > 0);
    assert_int_equal(end_take_events(&a, 0), 0);
    say(a.far, "x");
    assert_int_equal(end_take_events(&a, 1), EPOLLIN);
    end_unwatch(&a);
    end_close(&a);
}

static void tells_of_room_that_is_there_when_asked(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_watch(&a);
    end_watch_out(&a, true);
    assert_int_equal(end_take_events(&a, 1), EPOLLOUT);
    /* Asking for what it has been asked for already changes nothing. */
    end_watch_out(&a, true);
    assert_int_equal(end_take_events(&a, 0), 0);
    end_watch_out(&a, false);
    assert_int_equal(end_take_events(&a, 0), 0);
    end_watch_out(&a, false);
    end_watch_out(&a, true);
    assert_int_equal(end_take_events(&a, 1), EPOLLOUT);
    /* It is told of the rest as before. */
    say(a.far, "x");
    assert_true(end_take_events(&a, 1) & EPOLLIN);
    (void)swallow(a.fd);
    assert_int_equal(shutdown(a.far, SHUT_WR), 0);
    assert_true(end_take_events(&a, 1) & EPOLLRDHUP);
    end_unwatch(&a);
    end_close(&a);
}

static void tells_once_that_there_is_room_again(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_watch(&a);
    fill(a.fd);
    end_watch_out(&a, true);
    assert_int_equal(end_take_events(&a, 0), 0);
    assert_true(swallow(a.far) > 0);
    loop_settle();
    assert_true(a.calls > 0); /* the kernel tells with each buffer that comes free */
    assert_int_equal(a.events, EPOLLOUT);
    (void)end_take_events(&a, a.calls);
    assert_int_equal(end_take_events(&a, 0), 0);
    /* And no more once it does not wait for that. */
    fill(a.fd);
    end_watch_out(&a, false);
    assert_true(swallow(a.far) > 0);
    assert_int_equal(end_take_events(&a, 0), 0);
    say(a.far, "x");
    assert_int_equal(end_take_events(&a, 1), EPOLLIN);
    end_unwatch(&a);
    end_close(&a);
}

static void asks_for_no_room_where_it_does_not_watch(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_watch_out(&a, true);
    assert_false(a.watch.wants_out);
    assert_int_equal(end_take_events(&a, 0), 0);
    /* What an earlier watch asked for is not asked for by the next. */
    end_watch(&a);
    end_watch_out(&a, true);
    assert_int_equal(end_take_events(&a, 1), EPOLLOUT);
    end_unwatch(&a);
    end_watch(&a);
    assert_int_equal(end_take_events(&a, 0), 0);
    end_watch_out(&a, true);
    assert_int_equal(end_take_events(&a, 1), EPOLLOUT);
    end_unwatch(&a);
    end_close(&a);
}

static void tells_of_the_end(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_watch(&a);
    assert_int_equal(shutdown(a.far, SHUT_WR), 0);
    uint32_t events = end_take_events(&a, 1);
    assert_true(events & EPOLLIN);
    assert_true(events & EPOLLRDHUP);
    assert_false(events & (EPOLLHUP | EPOLLERR));
    close(a.far);
    assert_true(end_take_events(&a, 1) & EPOLLHUP);
    end_unwatch(&a);
    close(a.fd);
}

static void tells_of_more_than_a_round_takes(void **state)
{
    static end_t many[300];
    (void)state;
    for (size_t i = 0; i < COUNT(many); i++) {
        many[i] = end_of_pair("");
        loop_call(end_do_watch, &many[i]);
    }
    loop_settle();
    for (size_t i = 0; i < COUNT(many); i++) {
        assert_int_equal(end_take_events(&many[i], 0), 0);
        say(many[i].far, "x");
    }
    loop_settle();
    for (size_t i = 0; i < COUNT(many); i++) {
        assert_true(end_take_events(&many[i], 1) & EPOLLIN);
        end_unwatch(&many[i]);
        end_close(&many[i]);
    }
}

static void says_what_it_can_not_watch(void **state)
{
    end_t a = end_of_pair("A"), b = a, file = a;
    (void)state;
    end_watch(&a);
    loop_call(end_do_watch, &b);
    assert_int_equal(b.status, EEXIST);
    assert_false(b.watch.is_watched);
    file.fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    loop_call(end_do_watch, &file);
    assert_int_equal(file.status, EPERM);
    assert_false(file.watch.is_watched);
    end_unwatch(&file);
    close(file.fd);
    loop_call(end_do_watch, &file);
    assert_int_equal(file.status, EBADF);
    /* The one that is watched is none the worse for it. */
    end_unwatch(&b);
    say(a.far, "x");
    assert_true(end_take_events(&a, 1) & EPOLLIN);
    end_unwatch(&a);
    end_close(&a);
}

/* --- no longer watching --- */

static void tells_nothing_when_not_watched(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_unwatch(&a);
    end_watch(&a);
    end_unwatch(&a);
    end_unwatch(&a);
    say(a.far, "x");
    close(a.far);
    assert_int_equal(end_take_events(&a, 0), 0);
    close(a.fd);
}

static void tells_anew_when_watched_again(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_watch(&a);
    say(a.far, "x");
    loop_settle();
    assert_true(a.events & EPOLLIN);
    end_unwatch(&a);
    a.calls = 0;
    a.events = 0;
    end_watch(&a);
    assert_int_equal(end_take_events(&a, 1), EPOLLIN);
    end_unwatch(&a);
    end_close(&a);
}

static void unwatch_own(end_t *end)
{
    udr_loop_unwatch(loop, &end->watch);
    close(end->fd);
}

static void may_unwatch_and_close_itself(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    end_watch(&a);
    a.then = unwatch_own;
    loop_settle();
    say(a.far, "x");
    (void)end_take_events(&a, 1);
    assert_false(a.watch.is_watched);
    close(a.far);
}

static void unwatch_other(end_t *end)
{
    udr_loop_unwatch(loop, &end->other->watch);
}

static void suppresses_what_this_round_has_for_an_unwatched_one(void **state)
{
    end_t a, b;
    (void)state;
    ends_watch(&a, &b, unwatch_other);
    loop_call(ends_say, &a);
    loop_settle();
    assert_int_equal(strlen(loop_story), 1);
    assert_true(a.watch.is_watched != b.watch.is_watched);
    end_unwatch(&a);
    end_unwatch(&b);
    end_close(&a);
    end_close(&b);
}

/* Its memory may go, too; it is overwritten by what the next one finds there. */
static void free_other(end_t *end)
{
    end_t *other = end->other;
    udr_loop_unwatch(loop, &other->watch);
    end_close(other);
    memset(other, '#', sizeof *other);
    free(other);
    end->other = NULL;
    end->then = NULL;
}

static void forgets_an_unwatched_one_that_is_freed(void **state)
{
    end_t *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    ends_watch(a, b, free_other);
    loop_call(ends_say, a);
    loop_settle();
    assert_int_equal(strlen(loop_story), 1);
    end_t *left = loop_story[0] == 'A' ? a : b;
    assert_int_equal(left->calls, 1);
    end_unwatch(left);
    end_close(left);
    free(left);
}

/* Closes the other, and watches another descriptor of the same number in the same memory. */
static void replace_other(end_t *end)
{
    end_t *other = end->other;
    int number = other->fd;
    udr_loop_unwatch(loop, &other->watch);
    end_close(other);
    *other = end_of_pair("N");
    say(other->far, "x");
    if (other->fd != number) {
        assert_int_equal(dup2(other->fd, number), number);
        close(other->fd);
        other->fd = number;
    }
    end_do_watch(other);
    end->task.run = loop_note_task;
    udr_loop_defer(loop, &end->task);
}

static void takes_a_reused_descriptor_for_a_new_one(void **state)
{
    end_t a, b;
    (void)state;
    ends_watch(&a, &b, replace_other);
    loop_call(ends_say, &a);
    loop_settle();
    /* What was said to the old one is not told to the new one; its own news come with the next round. */
    end_t *first = loop_story[0] == 'A' ? &a : &b;
    assert_string_equal(loop_story, first == &a ? "A|N" : "B|N");
    assert_int_equal(end_take_events(first->other, 1), EPOLLIN);
    end_unwatch(&a);
    end_unwatch(&b);
    end_close(&a);
    end_close(&b);
}

static void watch_other_again(end_t *end)
{
    udr_loop_unwatch(loop, &end->other->watch);
    end_do_watch(end->other);
    end->then = end->other->then = NULL;
    end->task.run = loop_note_task;
    udr_loop_defer(loop, &end->task);
}

static void tells_one_that_is_watched_again_in_the_next_round(void **state)
{
    end_t a, b;
    (void)state;
    ends_watch(&a, &b, watch_other_again);
    loop_call(ends_say, &a);
    loop_settle();
    assert_string_equal(loop_story, loop_story[0] == 'A' ? "A|B" : "B|A");
    end_unwatch(&a);
    end_unwatch(&b);
    end_close(&a);
    end_close(&b);
}

/* --- the time --- */

static void note_now(void *baton)
{
    *(apr_time_t *)baton = udr_loop_now(loop);
}

static void let_time_pass(end_t *end)
{
    apr_time_t until = udr_clock_now() + 100;
    end->seen = udr_loop_now(loop);
    while (udr_clock_now() < until) {
    }
}

static void tells_one_time_for_a_round(void **state)
{
    end_t a, b;
    apr_time_t before = 0, after = 0;
    (void)state;
    assert_in_range(udr_loop_now(loop), 1, udr_clock_now());
    loop_start();
    ends_watch(&a, &b, let_time_pass);
    apr_time_t clock_before = udr_clock_now();
    loop_call(note_now, &before);
    loop_call(ends_say, &a);
    loop_settle();
    loop_call(note_now, &after);
    assert_true(before >= clock_before);
    assert_true(a.seen > before);
    assert_int_equal(a.seen, b.seen);
    assert_true(after > a.seen);
    assert_true(after <= udr_clock_now());
    end_unwatch(&a);
    end_unwatch(&b);
    end_close(&a);
    end_close(&b);
}

static void counts_in_microseconds_and_never_backwards(void **state)
{
    struct timespec from, to;
    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &from);
    apr_time_t last = udr_clock_now();
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_in_range(last, (apr_time_t)from.tv_sec * 1000000 + from.tv_nsec / 1000,
                    (apr_time_t)to.tv_sec * 1000000 + to.tv_nsec / 1000 + 1);
    for (int i = 0; i < 10000; i++) {
        apr_time_t next = udr_clock_now();
        assert_true(next > 0 && next >= last);
        last = next;
    }
}

/* --- its end --- */

static void stops_while_it_waits(void **state)
{
    sem_t is_waiting;
    (void)state;
    sem_init(&is_waiting, 0, 0);
    loop_waits = &is_waiting;
    loop_start();
    loop_await(&is_waiting);
    udr_loop_stop(loop);
    loop_join();
    assert_int_equal(sem_trywait(&is_waiting), -1);
    loop_waits = NULL;
    sem_destroy(&is_waiting);
}

static void stops_when_it_was_told_before(void **state)
{
    (void)state;
    udr_loop_stop(loop);
    loop_start();
    loop_join();
    assert_string_equal(loop_story, "");
}

static void runs_what_was_posted_before_the_stop(void **state)
{
    udr_task_t task = {.run = loop_note_task};
    (void)state;
    udr_loop_post(loop, &task);
    udr_loop_stop(loop);
    loop_start();
    loop_join();
    assert_string_equal(loop_story, "|");
}

static void note_deferred(udr_task_t *task)
{
    (void)task;
    loop_note("D");
}

static void stop_and_defer(udr_task_t *task)
{
    udr_loop_stop(loop);
    loop_note("S");
    udr_loop_defer(loop, task->baton);
}

/* What the round has to do is done; what was asked of it before is not lost. */
static void stops_from_a_task(void **state)
{
    udr_task_t deferred = {.run = note_deferred};
    udr_task_t tasks[] = {{.run = stop_and_defer, .baton = &deferred}, {.run = loop_note_task}};
    (void)state;
    udr_loop_post(loop, &tasks[0]);
    udr_loop_post(loop, &tasks[1]);
    loop_start();
    loop_join();
    assert_string_equal(loop_story, "S|D");
}

/* On the loop's thread the end comes with the next round, which it does not wait for; what has been posted runs. */
static void stop_loop(end_t *end)
{
    loop_note("S");
    end->task = (udr_task_t){.run = note_deferred};
    udr_loop_post(loop, &end->task);
    atomic_store(&loop_rounds, 0);
    udr_loop_stop(loop);
}

/* There is something to tell in every round. */
static void answer_itself(end_t *end)
{
    (void)swallow(end->fd);
    say(end->far, "x");
}

static void stops_while_events_storm_in(void **state)
{
    end_t a = end_of_pair("");
    (void)state;
    a.then = answer_itself;
    loop_call(end_do_watch, &a);
    say(a.far, "x");
    udr_loop_stop(loop);
    loop_join();
    assert_true(a.calls > 0);
    end_close(&a);
}

static void stops_from_an_event(void **state)
{
    end_t a = end_of_pair("A");
    (void)state;
    a.then = stop_loop;
    say(a.far, "x");
    end_do_watch(&a); /* there is no thread yet */
    loop_start();
    loop_join();
    assert_string_equal(loop_story, "ASD");
    assert_int_equal(atomic_load(&loop_rounds), 1);
    end_close(&a);
}

static void never(udr_timer_t *timer)
{
    (void)timer;
    loop_note("!");
}

/* Watches and timers that are still there are forgotten: loop_tear_down() counts what is left. */
static void leaves_nothing_behind(void **state)
{
    end_t a = end_of_pair("A");
    udr_timer_t timer = {.expired = never};
    (void)state;
    loop_set_timer(&timer, udr_clock_now() + apr_time_from_sec(3600));
    loop_call(end_do_watch, &a);
    udr_loop_stop(loop);
    loop_join();
    assert_int_not_equal(timer.place, 0);
    apr_pool_clear(loop_pool);
    assert_int_equal(timer.place, 0);
    assert_int_equal(count_descriptors(), loop_descriptors + 2);
    end_close(&a);
}

/* It needs two: neither may be left when there is not even one, or no second one. */
static void leaves_nothing_behind_when_it_can_not_be_made(void **state)
{
    struct rlimit before;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(STDIN_FILENO);
    close(next);
    for (int available = 0; available < 2; available++) {
        udr_loop_t *made = NULL;
        struct rlimit narrow = {.rlim_cur = (rlim_t)(next + available), .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &narrow), 0);
        apr_status_t rv = udr_loop_create(&made, loop_pool);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(rv, EMFILE);
        assert_null(made);
        int now = dup(STDIN_FILENO);
        close(now);
        assert_int_equal(now, next);
    }
}

#define in_loop(test)     cmocka_unit_test_setup_teardown(test, loop_set_up, loop_tear_down)
#define before_loop(test) cmocka_unit_test_setup_teardown(test, loop_make, loop_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_loop(tells_what_is_the_case_already),
        in_loop(tells_once_of_what_comes),
        in_loop(tells_of_no_room_that_nobody_asked_for),
        in_loop(tells_of_room_that_is_there_when_asked),
        in_loop(tells_once_that_there_is_room_again),
        in_loop(asks_for_no_room_where_it_does_not_watch),
        in_loop(tells_of_the_end),
        in_loop(tells_of_more_than_a_round_takes),
        in_loop(says_what_it_can_not_watch),
        in_loop(tells_nothing_when_not_watched),
        in_loop(tells_anew_when_watched_again),
        in_loop(may_unwatch_and_close_itself),
        in_loop(suppresses_what_this_round_has_for_an_unwatched_one),
        in_loop(forgets_an_unwatched_one_that_is_freed),
        in_loop(takes_a_reused_descriptor_for_a_new_one),
        in_loop(tells_one_that_is_watched_again_in_the_next_round),
        before_loop(tells_one_time_for_a_round),
        before_loop(counts_in_microseconds_and_never_backwards),
        before_loop(stops_while_it_waits),
        before_loop(stops_when_it_was_told_before),
        before_loop(runs_what_was_posted_before_the_stop),
        before_loop(stops_from_a_task),
        in_loop(stops_while_events_storm_in),
        before_loop(stops_from_an_event),
        in_loop(leaves_nothing_behind),
        before_loop(leaves_nothing_behind_when_it_can_not_be_made),
    };
    apr_initialize();
    alarm(60); /* for a loop that never ends */
    return cmocka_run_group_tests_name("udr_loop", tests, NULL, NULL);
}
