/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_loop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { TIMERS = 100 };

typedef struct {
    udsb_loop_t *loop;
    udsb_timer_t timers[TIMERS];
    unsigned fired[TIMERS]; /* in their order */
    unsigned count, wanted;
    int done[2]; /* a pipe: the test waits for a byte */
} fixture_t;

static fixture_t fixture;

static int set_up(void **state)
{
    (void)state;
    fixture = (fixture_t){.loop = udsb_loop_create("test", NULL, NULL)};
    return fixture.loop && !pipe(fixture.done) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    udsb_loop_destroy(fixture.loop);
    close(fixture.done[0]);
    close(fixture.done[1]);
    return 0;
}

static void tell(void)
{
    assert_int_equal(write(fixture.done[1], "x", 1), 1);
}

static void wait_until_told(void)
{
    char byte;

    assert_int_equal(read(fixture.done[0], &byte, 1), 1);
}

static void note_timer(udsb_timer_t *timer)
{
    fixture.fired[fixture.count++] = (unsigned)(timer - fixture.timers);
    if (fixture.count == fixture.wanted)
        tell();
}

/* Delays that are no two alike, in an order that moves entries of the heap up and down; every third is taken back,
 * every fifth moved to the end. */
static void set_timers(void *context)
{
    (void)context;
    for (unsigned i = 0; i < TIMERS; i++) {
        fixture.timers[i].fired = note_timer;
        assert_true(udsb_loop_set_timer(fixture.loop, &fixture.timers[i], i * 37 % TIMERS));
    }
    for (unsigned i = 0; i < TIMERS; i += 3)
        udsb_loop_clear_timer(fixture.loop, &fixture.timers[i]);
    for (unsigned i = 0; i < TIMERS; i += 5) {
        if (i % 3)
            assert_true(udsb_loop_set_timer(fixture.loop, &fixture.timers[i], TIMERS + i));
    }
    for (unsigned i = 0; i < TIMERS; i++)
        fixture.wanted += i % 3 != 0;
}

static void timers_fire_in_the_order_of_their_times(void **state)
{
    uint64_t last = 0;

    (void)state;
    udsb_loop_call(fixture.loop, set_timers, NULL);
    wait_until_told();
    assert_int_equal(fixture.count, TIMERS - (TIMERS + 2) / 3);
    for (unsigned i = 0; i < fixture.count; i++) {
        const udsb_timer_t *const timer = &fixture.timers[fixture.fired[i]];

        assert_true(fixture.fired[i] % 3 != 0);
        assert_true(timer->due_ms >= last);
        assert_int_equal(timer->place, 0);
        last = timer->due_ms;
    }
    assert_true(udsb_loop_now() >= last);
}

typedef struct {
    udsb_task_t task;
    unsigned number;
} numbered_t;

static void note_task(udsb_task_t *task)
{
    fixture.fired[fixture.count++] = ((numbered_t *)task)->number;
    if (fixture.count == TIMERS)
        tell();
}

static void tasks_run_in_the_order_of_posting(void **state)
{
    numbered_t tasks[TIMERS];

    (void)state;
    for (unsigned i = 0; i < TIMERS; i++) {
        tasks[i] = (numbered_t){.task = {.run = note_task}, .number = i};
        udsb_loop_post(fixture.loop, &tasks[i].task);
    }
    wait_until_told();
    for (unsigned i = 0; i < TIMERS; i++)
        assert_int_equal(fixture.fired[i], i);
}

static udsb_watch_t first_watch, second_watch;

/* Whoever of two is ready first takes the other one away: that must not be called, though its event is fetched already.
 */
static void take_other_away(udsb_watch_t *watch, uint32_t events)
{
    assert_true(events & EPOLLIN);
    fixture.count++;
    udsb_loop_unwatch(fixture.loop, watch == &first_watch ? &second_watch : &first_watch);
    udsb_loop_unwatch(fixture.loop, watch);
}

static void watch_both(void *context)
{
    const int *const descriptors = context;

    first_watch = (udsb_watch_t){.ready = take_other_away, .descriptor = descriptors[0]};
    second_watch = (udsb_watch_t){.ready = take_other_away, .descriptor = descriptors[1]};
    assert_int_equal(udsb_loop_watch(fixture.loop, &first_watch, EPOLLIN), 0);
    assert_int_equal(udsb_loop_watch(fixture.loop, &second_watch, EPOLLIN), 0);
    assert_int_equal(udsb_loop_watch(fixture.loop, &second_watch, EPOLLIN), 0); /* changed, not added twice */
}

static void do_nothing(void *context)
{
    (void)context;
}

static void nothing_comes_after_unwatch(void **state)
{
    int first[2], second[2];

    (void)state;
    assert_int_equal(pipe(first), 0);
    assert_int_equal(pipe(second), 0);
    assert_int_equal(write(first[1], "x", 1), 1);
    assert_int_equal(write(second[1], "x", 1), 1);
    udsb_loop_call(fixture.loop, watch_both, (int[]){first[0], second[0]});
    udsb_loop_call(fixture.loop, do_nothing, NULL); /* by then the events have had their turn */
    udsb_loop_call(fixture.loop, do_nothing, NULL);
    assert_int_equal(fixture.count, 1);
    for (int i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
}

static void watch_closed(void *context)
{
    udsb_watch_t watch = {.ready = take_other_away, .descriptor = -1};

    *(int *)context = udsb_loop_watch(fixture.loop, &watch, EPOLLIN);
}

static void a_bad_descriptor_is_told(void **state)
{
    int error = 0;

    (void)state;
    udsb_loop_call(fixture.loop, watch_closed, &error);
    assert_int_equal(error, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_the_order_of_their_times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tasks_run_in_the_order_of_posting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_comes_after_unwatch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_descriptor_is_told, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
