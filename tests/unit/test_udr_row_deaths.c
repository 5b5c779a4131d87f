/* SPDX-License-Identifier: Apache-2.0 */
/* Children are killed at moments that nobody has chosen, in the middle of work, while the others go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_crowd.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILLS = 150 };

static crowd_t crowds[CROWDS];
static pid_t processes[CROWDS];

static void start(int i, int pause_us)
{
    crowds[i] = (crowd_t){.number = i, .pause_us = pause_us};
    processes[i] = fork_child(run_crowd, &crowds[i]);
}

static void kill_one(int i)
{
    assert_int_equal(kill(processes[i], SIGKILL), 0);
    int status = await_child(processes[i]);
    assert_true(WIFSIGNALED(status));
}

/* Waits until it is so; false after ten seconds. */
static bool comes_true(bool (*is_so)(void))
{
    apr_time_t end = udr_clock_now() + apr_time_from_sec(10);
    while (!is_so() && udr_clock_now() < end) {
        pass_time(1000);
    }
    return is_so();
}

static apr_uint64_t marks[CROWDS];

static bool have_all_gone_on(void)
{
    bool all = true;
    for (int i = 0; i < CROWDS; i++) {
        all = all && atomic_load(&stage->served[i]) >= marks[i];
    }
    return all;
}

/* The turns go round in all of them: none has been lost with a dead one. */
static void assert_all_go_on(void)
{
    for (int i = 0; i < CROWDS; i++) {
        marks[i] = atomic_load(&stage->served[i]) + 50;
    }
    assert_true(comes_true(have_all_gone_on));
}

static bool do_all_hold(void)
{
    return atomic_load(&stage->holding) == CROWDS * WORKERS;
}

static bool is_count_true(void)
{
    return atomic_load(&udr_shared_hot(shared, members[0])->line) == CROWDS * WORKERS &&
           atomic_load(&udr_shared_hot(shared, members[1])->line) == 0 &&
           atomic_load(&udr_shared_hot(shared, members[2])->line) == 0;
}

/* With one request of each worker in flight, and nothing else. */
static void assert_truth(void)
{
    atomic_store(&stage->phase, HOLD);
    assert_true(comes_true(do_all_hold));
    assert_true(comes_true(is_count_true));
    atomic_store(&stage->phase, END);
    for (int i = 0; i < CROWDS; i++) {
        assert_int_equal(await_child(processes[i]), 0);
    }
    (void)udr_row_reap(shared);
    assert_nothing_left();
}

static void kill_many(int pause_us)
{
    unsigned int seed = (unsigned int)udr_clock_now();
    print_message("seed %u\n", seed);
    for (int i = 0; i < CROWDS; i++) {
        start(i, pause_us);
    }
    for (int i = 0; i < KILLS; i++) {
        int which = rand_r(&seed) % CROWDS;
        pass_time(rand_r(&seed) % 8000);
        kill_one(which);
        /* Sometimes the others have to do without it for a while. */
        pass_time(i % 5 == 0 ? 3000 : 0);
        start(which, pause_us);
    }
    assert_all_go_on();
    assert_truth();
}

static void loses_nothing_when_children_are_killed(void **state)
{
    (void)state;
    kill_many(200);
}

/* Little but counting and queueing: that is what they die in. */
static void loses_nothing_when_children_are_killed_in_a_hurry(void **state)
{
    (void)state;
    kill_many(20);
}

static void finds_the_truth_when_all_are_killed(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < CROWDS; i++) {
            start(i, 20);
        }
        pass_time(15000);
        for (int i = 0; i < CROWDS; i++) {
            assert_int_equal(kill(processes[i], SIGKILL), 0);
        }
        for (int i = 0; i < CROWDS; i++) {
            (void)await_child(processes[i]);
        }
        (void)udr_row_reap(shared);
        assert_nothing_left();
    }
}

#define with_crowd(test) cmocka_unit_test_setup_teardown(test, crowd_set_up, crowd_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_crowd(loses_nothing_when_children_are_killed),
        with_crowd(loses_nothing_when_children_are_killed_in_a_hurry),
        with_crowd(finds_the_truth_when_all_are_killed),
    };
    apr_initialize();
    alarm(120); /* for a turn that never comes */
    return cmocka_run_group_tests_name("udr_row_deaths", tests, NULL, NULL);
}
