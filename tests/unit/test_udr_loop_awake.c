/* SPDX-License-Identifier: Apache-2.0 */
/* When the loop waits awake: while one event follows the other at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_loop.h"

#include <apr_general.h>

#include <unistd.h>

/* Far more events than it takes, also when the machine is busy. */
#define PLENTY 1000000

static int left;       /* events that are still to come; the loop's */
static int count;      /* that have come */
static bool was_awake; /* the last wait asked, and did not sleep */

static void begin(int events)
{
    left = events;
    count = 0;
    was_awake = false;
}

/* Says something to itself each time that it is told, until the loop has been awake. */
static void go_on(end_t *end)
{
    (void)swallow(end->fd);
    count++;
    /* Before the first ones it may have been awake for what the test asked of it. */
    was_awake = was_awake || (count > 2 && atomic_load(&loop_timeout) == 0);
    if (was_awake || --left <= 0) {
        sem_post(end->bell);
    } else {
        say(end->far, "x");
    }
}

static end_t talker(sem_t *bell)
{
    end_t end = end_of_pair("");
    sem_init(bell, 0, 0);
    end.bell = bell;
    end.then = go_on;
    return end;
}

/* Events one after the other; returns when there have been so many, or the loop was awake. */
static void talk(const end_t *end, int events)
{
    begin(events);
    say(end->far, "x");
    loop_await(end->bell);
}

/* For so long that what comes next does not come at once. */
static void let_it_sleep(void)
{
    (void)loop_sleeps_for();
    usleep(10000);
}

static void waits_awake_while_events_come_at_once(void **state)
{
    sem_t bell;
    end_t a = talker(&bell);
    (void)state;
    end_watch(&a);
    talk(&a, PLENTY);
    assert_true(was_awake);
    end_unwatch(&a);
    end_close(&a);
}

static void sleeps_when_nothing_comes(void **state)
{
    sem_t bell;
    end_t a = talker(&bell);
    (void)state;
    end_watch(&a);
    talk(&a, PLENTY);
    loop_settle();
    (void)loop_sleeps_for();
    int rounds = atomic_load(&loop_rounds);
    usleep(50000);
    assert_int_equal(atomic_load(&loop_rounds), rounds);
    end_unwatch(&a);
    end_close(&a);
}

/* It has been awake in vain: that was not what it seemed to be, and more is asked for. */
static void is_more_careful_afterwards(void **state)
{
    sem_t bell;
    end_t a = talker(&bell);
    (void)state;
    end_watch(&a);
    int before = atomic_load(&loop_in_vain);
    while (atomic_load(&loop_in_vain) == before) { /* on a busy machine the last event may not have come at once */
        talk(&a, PLENTY);
        let_it_sleep();
    }
    for (int i = 0; i < 5; i++) {
        talk(&a, 20);
        assert_false(was_awake);
        let_it_sleep();
    }
    talk(&a, PLENTY);
    assert_true(was_awake);
    end_unwatch(&a);
    end_close(&a);
}

/* Once it has not been in vain, it is as it was. */
static void is_as_before_when_it_was_right(void **state)
{
    sem_t bell;
    end_t a = talker(&bell);
    int least = PLENTY;
    (void)state;
    end_watch(&a);
    for (int i = 0; i < 12; i++) {
        talk(&a, PLENTY);
        least = i > 6 && count < least ? count : least;
        usleep(2000);
    }
    assert_true(least < 1000);
    end_unwatch(&a);
    end_close(&a);
}

/* With many at a time there is always something to do, or the processor is needed by others. */
static void sleeps_between_events_of_many(void **state)
{
    sem_t bell;
    end_t a, b;
    (void)state;
    sem_init(&bell, 0, 0);
    ends_watch(&a, &b, go_on);
    a.bell = b.bell = &bell;
    begin(10000);
    loop_call(ends_say, &a);
    loop_await(&bell);
    end_unwatch(&a); /* the other one may still be told something */
    end_unwatch(&b);
    assert_false(was_awake);
    end_close(&a);
    end_close(&b);
}

#define in_loop(test) cmocka_unit_test_setup_teardown(test, loop_set_up, loop_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_loop(waits_awake_while_events_come_at_once),
        in_loop(sleeps_when_nothing_comes),
        in_loop(is_more_careful_afterwards),
        in_loop(is_as_before_when_it_was_right),
        in_loop(sleeps_between_events_of_many),
    };
    apr_initialize();
    alarm(60); /* for a loop that never ends */
    return cmocka_run_group_tests_name("udr_loop_awake", tests, NULL, NULL);
}
