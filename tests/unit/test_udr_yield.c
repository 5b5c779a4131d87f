/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_yield.h"
#include "tests/unit/fixture_shared.h"

#include <apr_general.h>

#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

/* A child with so many idle connections, which are numbers here. */
typedef struct household_t {
    udr_giver_t giver; /* first */
    child_t child;
    udr_yield_t *yield;
    int idle;
    int asked;
    apr_time_t asked_at; /* 0: not for what has been idle for too long */
    bool is_locked;
} household_t;

static bool give_up(udr_giver_t *giver, bool may_wait, apr_time_t now)
{
    household_t *household = (household_t *)(void *)giver;
    household->asked++;
    household->asked_at = now;
    if (household->is_locked && !may_wait) {
        return false;
    }
    while (household->idle > 0 && udr_yield_answer(giver)) {
        household->idle--;
        udr_yield_count(giver, -1);
    }
    return true;
}

static void move_in(household_t *household, int idle)
{
    *household = (household_t){.giver.give_up = give_up, .child = start_child(), .idle = idle};
    assert_int_equal(udr_yield_create(&household->yield, shared, household->child.row, pool), APR_SUCCESS);
    udr_yield_add(household->yield, &household->giver, member);
    udr_yield_count(&household->giver, idle);
}

static void move_out(household_t *household)
{
    udr_yield_remove(&household->giver);
    udr_yield_count(&household->giver, -household->idle);
    assert_int_equal(atomic_load(&udr_shared_cell(shared, household->child.row, member)->held), 0);
    udr_yield_stop(household->yield);
    end_child(&household->child);
}

static bool is_signalled(const household_t *household)
{
    struct pollfd polled = {.fd = udr_queue_descriptor(household->child.queue), .events = POLLIN};
    return poll(&polled, 1, 0) == 1;
}

/* As the child's loop does. Returns whether there was one. */
static bool hears_signal(household_t *household)
{
    if (!is_signalled(household)) {
        return false;
    }
    (void)udr_queue_wake(household->child.queue);
    assert_true(udr_yield_run(household->yield, true, 0));
    return true;
}

static bool is_answered(const household_t *household, apr_uint32_t call)
{
    return udr_yield_is_answered(household->yield, member, call);
}

static void is_answered_by_who_holds_a_connection(void **state)
{
    household_t hungry, idler;
    (void)state;
    move_in(&hungry, 0);
    move_in(&idler, 2);
    apr_uint32_t call = udr_yield_call(hungry.yield, member);
    assert_false(is_answered(&hungry, call));
    udr_yield_press(hungry.yield, member, 0);
    assert_false(is_signalled(&hungry));
    assert_true(hears_signal(&idler));
    assert_true(is_answered(&hungry, call));
    assert_int_equal(idler.idle, 1);
    assert_true(udr_yield_run(idler.yield, true, 0));
    assert_int_equal(idler.idle, 1);
    assert_int_equal(idler.asked, 1);
    move_out(&hungry);
    move_out(&idler);
}

static void is_answered_by_the_own_child_likewise(void **state)
{
    household_t both;
    (void)state;
    move_in(&both, 1);
    apr_uint32_t call = udr_yield_call(both.yield, member);
    udr_yield_press(both.yield, member, 7);
    assert_true(hears_signal(&both));
    assert_true(is_answered(&both, call));
    move_out(&both);
}

/* One that becomes idle while somebody calls is not even kept. */
static void is_answered_by_who_gives_one_back(void **state)
{
    household_t one;
    (void)state;
    move_in(&one, 0);
    assert_false(udr_yield_answer(&one.giver));
    apr_uint32_t first = udr_yield_call(one.yield, member);
    apr_uint32_t second = udr_yield_call(one.yield, member);
    assert_true(udr_yield_answer(&one.giver));
    assert_true(is_answered(&one, first));
    assert_false(is_answered(&one, second));
    assert_true(udr_yield_answer(&one.giver));
    assert_true(is_answered(&one, second));
    assert_false(udr_yield_answer(&one.giver));
    move_out(&one);
}

static void wakes_no_more_children_than_needed(void **state)
{
    enum { COUNT = 4 };
    household_t many[COUNT];
    int signalled = 0;
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        move_in(&many[i], i == 0 ? 0 : 2);
    }
    for (int i = 0; i < 3; i++) {
        (void)udr_yield_call(many[0].yield, member);
    }
    udr_yield_press(many[0].yield, member, 0);
    for (int i = 0; i < COUNT; i++) {
        signalled += hears_signal(&many[i]);
    }
    assert_int_equal(signalled, 2);
    assert_int_equal(many[1].idle + many[2].idle + many[3].idle, 3);
    for (int i = 0; i < COUNT; i++) {
        move_out(&many[i]);
    }
}

/* One of them may be stopped, or is just dying: it is another's turn. */
static void asks_another_child_at_the_next_turn(void **state)
{
    household_t many[3];
    apr_uint32_t turn = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        move_in(&many[i], i == 0 ? 0 : 1);
    }
    (void)udr_yield_call(many[0].yield, member);
    while (!is_signalled(&many[1])) {
        assert_true(turn < 3);
        udr_yield_press(many[0].yield, member, turn++);
    }
    (void)udr_queue_wake(many[2].child.queue);
    for (int i = 0; i < 3 && !is_signalled(&many[2]); i++) {
        udr_yield_press(many[0].yield, member, turn++);
    }
    assert_true(hears_signal(&many[2]));
    assert_int_equal(many[2].idle, 0);
    for (int i = 0; i < 3; i++) {
        move_out(&many[i]);
    }
}

static void needs_no_answer_any_more(void **state)
{
    household_t one;
    (void)state;
    move_in(&one, 1);
    apr_uint32_t first = udr_yield_call(one.yield, member);
    udr_yield_withdraw(one.yield, member, first);
    assert_false(udr_yield_answer(&one.giver));
    udr_yield_withdraw(one.yield, member, first); /* answered, as it were */
    apr_uint32_t second = udr_yield_call(one.yield, member);
    assert_true(udr_yield_answer(&one.giver));
    udr_yield_withdraw(one.yield, member, second);
    assert_false(udr_yield_answer(&one.giver));
    (void)udr_yield_call(one.yield, member);
    assert_true(udr_yield_answer(&one.giver));
    move_out(&one);
}

/* The second of two: the other one is still to be answered. The first may be told too early, and calls again. */
static void keeps_one_call_for_each_who_is_hungry(void **state)
{
    household_t one;
    (void)state;
    move_in(&one, 0);
    apr_uint32_t first = udr_yield_call(one.yield, member);
    apr_uint32_t second = udr_yield_call(one.yield, member);
    udr_yield_withdraw(one.yield, member, second);
    assert_true(is_answered(&one, first));
    assert_true(udr_yield_answer(&one.giver));
    assert_false(udr_yield_answer(&one.giver));
    move_out(&one);
}

static void goes_on_when_the_counters_wrap(void **state)
{
    household_t one;
    (void)state;
    move_in(&one, 3);
    atomic_store(&udr_shared_hot(shared, member)->calls, UINT64_MAX - 1 - ((apr_uint64_t)1 << 32));
    /* 2^32 - 2 made and answered. */
    for (int i = 0; i < 3; i++) {
        assert_false(udr_yield_answer(&one.giver));
        apr_uint32_t call = udr_yield_call(one.yield, member);
        assert_false(is_answered(&one, call));
        udr_yield_press(one.yield, member, call);
        assert_true(hears_signal(&one));
        assert_true(is_answered(&one, call));
        assert_int_equal(one.idle, 2 - i);
    }
    move_out(&one);
}

static void is_for_that_member_alone(void **state)
{
    household_t one;
    apr_uint32_t other;
    (void)state;
    assert_int_equal(claim("other", &other), APR_SUCCESS);
    move_in(&one, 1);
    apr_uint32_t call = udr_yield_call(one.yield, other);
    udr_yield_press(one.yield, other, 0);
    assert_false(is_signalled(&one));
    assert_true(udr_yield_run(one.yield, true, 0));
    assert_int_equal(one.asked, 0);
    udr_yield_withdraw(one.yield, other, call);
    move_out(&one);
}

static void comes_again_when_it_may_not_wait(void **state)
{
    household_t one;
    (void)state;
    move_in(&one, 1);
    (void)udr_yield_call(one.yield, member);
    one.is_locked = true;
    assert_false(udr_yield_run(one.yield, false, 0));
    assert_int_equal(one.idle, 1);
    one.is_locked = false;
    assert_true(udr_yield_run(one.yield, false, 0));
    assert_int_equal(one.idle, 0);
    move_out(&one);
}

/* Whether anybody calls or not. */
static void tells_the_time_where_nobody_tidies(void **state)
{
    household_t one;
    (void)state;
    move_in(&one, 1);
    assert_true(udr_yield_run(one.yield, false, 0));
    assert_int_equal(one.asked, 0);
    assert_true(udr_yield_run(one.yield, false, 77));
    assert_int_equal(one.asked, 1);
    assert_int_equal(one.asked_at, 77);
    assert_int_equal(one.idle, 1);
    move_out(&one);
}

static void gives_up_nothing_when_the_child_ends(void **state)
{
    household_t one;
    (void)state;
    move_in(&one, 1);
    apr_uint32_t call = udr_yield_call(one.yield, member);
    udr_yield_stop(one.yield);
    assert_true(udr_yield_run(one.yield, false, 0));
    assert_int_equal(one.asked, 0);
    udr_yield_count(&one.giver, -1);
    assert_int_equal(atomic_load(&udr_shared_cell(shared, one.child.row, member)->held), 1);
    udr_yield_remove(&one.giver);
    udr_yield_withdraw(one.yield, member, call);
    end_child(&one.child);
    assert_int_equal(atomic_load(&udr_shared_cell(shared, one.child.row, member)->held), 0);
}

/* --- deaths --- */

static int call_and_die(void *baton)
{
    udr_yield_t *yield;
    child_t child;
    household_t household = {.giver.give_up = give_up};
    (void)baton;
    if (!try_start_child(&child) || udr_yield_create(&yield, shared, child.row, pool) != APR_SUCCESS) {
        return 1;
    }
    udr_yield_add(yield, &household.giver, member);
    udr_yield_count(&household.giver, 5);
    (void)udr_yield_call(yield, member);
    (void)udr_yield_call(yield, member);
    return 0;
}

/* Each of them costs an idle connection, once. */
static void answers_the_calls_of_the_dead_and_no_more(void **state)
{
    household_t one;
    apr_uint32_t held = 0;
    (void)state;
    move_in(&one, 5);
    assert_int_equal(await_child(fork_child(call_and_die, NULL)), 0);
    assert_true(udr_yield_run(one.yield, true, 0));
    assert_int_equal(one.idle, 3);
    assert_true(udr_yield_run(one.yield, true, 0));
    assert_int_equal(one.idle, 3);
    assert_int_equal(udr_row_reap(shared), 1);
    for (apr_uint32_t row = 0; row < udr_shared_rows(shared); row++) {
        held += (apr_uint32_t)atomic_load(&udr_shared_cell(shared, row, member)->held);
    }
    assert_int_equal(held, 3); /* and not those of the dead */
    move_out(&one);
}

/* --- all at once --- */

enum { THREADS = 4, ROUNDS = 20000 };

static udr_giver_t *contended;
static _Atomic int answers;
static _Atomic int withdrawn;

static void *call_often(void *baton)
{
    udr_yield_t *yield = baton;
    for (int i = 0; i < ROUNDS; i++) {
        apr_uint32_t call = udr_yield_call(yield, member);
        if (i % 3 == 0) {
            udr_yield_withdraw(yield, member, call);
            atomic_fetch_add(&withdrawn, 1);
        }
    }
    return NULL;
}

static void *answer_often(void *baton)
{
    (void)baton;
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&answers, udr_yield_answer(contended));
    }
    return NULL;
}

/* Never more answers than calls, nor fewer than were neither withdrawn nor answered. */
static void answers_each_call_once(void **state)
{
    household_t one;
    pthread_t threads[2 * THREADS];
    (void)state;
    move_in(&one, 0);
    contended = &one.giver;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[2 * i], NULL, call_often, one.yield), 0);
        assert_int_equal(pthread_create(&threads[2 * i + 1], NULL, answer_often, NULL), 0);
    }
    for (int i = 0; i < 2 * THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    while (udr_yield_answer(&one.giver)) {
        answers++;
    }
    apr_uint64_t calls = atomic_load(&udr_shared_hot(shared, member)->calls);
    assert_int_equal(calls >> 32, THREADS * ROUNDS);
    assert_int_equal((apr_uint32_t)calls, THREADS * ROUNDS);
    assert_in_range(answers, THREADS * ROUNDS - withdrawn, THREADS * ROUNDS);
    move_out(&one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, shared_set_up, shared_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(is_answered_by_who_holds_a_connection),
        TEST(is_answered_by_the_own_child_likewise),
        TEST(is_answered_by_who_gives_one_back),
        TEST(wakes_no_more_children_than_needed),
        TEST(asks_another_child_at_the_next_turn),
        TEST(needs_no_answer_any_more),
        TEST(keeps_one_call_for_each_who_is_hungry),
        TEST(goes_on_when_the_counters_wrap),
        TEST(is_for_that_member_alone),
        TEST(comes_again_when_it_may_not_wait),
        TEST(tells_the_time_where_nobody_tidies),
        TEST(gives_up_nothing_when_the_child_ends),
        TEST(answers_the_calls_of_the_dead_and_no_more),
        TEST(answers_each_call_once),
    };
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
