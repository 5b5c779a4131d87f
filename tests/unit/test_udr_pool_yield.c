/* SPDX-License-Identifier: Apache-2.0 */
/* A pool whose connections keep a process of the member's each: what it gives up for those who call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_queue.h"
#include "mod_udsroute/udr_row.h"
#include "tests/unit/fixture_pool.h"

#include <apr_general.h>

#include <stdlib.h>
#include <unistd.h>

static apr_pool_t *server; /* what its children share */
static udr_shared_t *shared;
static apr_uint32_t row;
static udr_yield_t *yield;

static int set_up(void **state)
{
    unsigned char identity[UDR_IDENTITY_SIZE] = {1};
    if (pool_set_up(state) != 0 || apr_pool_create(&server, pool) != APR_SUCCESS ||
        udr_shared_create(&shared, 2, 2, 1, server) != APR_SUCCESS) {
        return -1;
    }
    (void)udr_shared_begin_generation(shared);
    if (udr_shared_claim(shared, identity, &member->slot, NULL) != APR_SUCCESS ||
        udr_row_claim(shared, &row) != APR_SUCCESS || udr_yield_create(&yield, shared, row, server) != APR_SUCCESS) {
        return -1;
    }
    udr_pool_share(connections, yield);
    return 0;
}

static int held(void)
{
    return atomic_load(&udr_shared_cell(shared, row, member->slot)->held);
}

/* The child goes as it should: nothing is held any more. */
static int tear_down(void **state)
{
    apr_pool_clear(child);
    bool is_clean = held() == 0;
    if (!is_clean) {
        print_error("still held: %d\n", held());
    }
    udr_yield_stop(yield);
    is_clean = udr_row_release(shared, row) == APR_SUCCESS && is_clean;
    apr_pool_destroy(server);
    return pool_tear_down(state) != 0 || !is_clean ? -1 : 0;
}

static apr_uint32_t call(void)
{
    return udr_yield_call(yield, member->slot);
}

static bool is_answered(apr_uint32_t number)
{
    return udr_yield_is_answered(yield, member->slot, number);
}

/* The member's end has read the end. */
static bool is_over(int end)
{
    char byte;
    return recv(ends[end], &byte, 1, MSG_DONTWAIT) == 0;
}

static void counts_what_it_holds(void **state)
{
    (void)state;
    assert_ptr_equal(udr_pool_yield(connections), yield);
    (void)add_idle(0);
    (void)add_idle(1);
    (void)add_idle(2);
    assert_int_equal(held(), 3);
    udr_connection_t *busy = take_idle(0);
    assert_int_equal(held(), 2);
    udr_pool_give(connections, busy, 0);
    assert_int_equal(held(), 3);
    assert_int_equal(udr_pool_tidy(connections, 1, udr_clock_now() + apr_time_from_sec(3600)), 1);
    assert_int_equal(held(), 2);
    assert_int_equal(shutdown(ends[0], SHUT_RDWR), 0);
    assert_int_equal(udr_pool_tidy(connections, 0, udr_clock_now()), 1); /* it is stale */
    assert_int_equal(held(), 1);
    assert_int_equal(shutdown(ends[2], SHUT_RDWR), 0);
    assert_null(take_idle(2));
    gives_turn();
    assert_int_equal(held(), 0);
    (void)add_idle(1);
    (void)add_idle(0);
    assert_int_equal(udr_pool_empty(connections), 2);
    assert_int_equal(held(), 0);
    (void)add_idle(1); /* for the pool's cleanup */
}

/* Whichever lane they are in. */
static void gives_up_what_has_been_idle_longest(void **state)
{
    static const int lanes[] = {2, 0, 1, 0};
    (void)state;
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++) {
        udr_connection_t *made = add_idle(lanes[i]);
        made->idle_since = apr_time_from_sec((apr_int64_t)i + 1);
    }
    for (int i = 0; i < 3; i++) {
        apr_uint32_t number = call();
        assert_true(udr_yield_run(yield, true, 0));
        assert_true(is_answered(number));
        assert_true(is_over(i));
        assert_false(is_over(i + 1));
        assert_counts(3 - i, 0, 0);
        assert_int_equal(held(), 3 - i);
    }
    assert_true(udr_yield_run(yield, true, 0));
    assert_counts(1, 0, 0);
}

static void gives_up_as_many_as_are_called_for(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        (void)add_idle(i % LANES);
    }
    (void)call();
    (void)call();
    apr_uint32_t last = call();
    assert_true(udr_yield_run(yield, true, 0));
    assert_true(is_answered(last));
    assert_counts(1, 0, 0);
    (void)call();
    last = call();
    assert_true(udr_yield_run(yield, true, 0));
    assert_counts(0, 0, 0);
    assert_false(is_answered(last)); /* there was none left */
}

static void min_keeps_none_back(void **state)
{
    (void)state;
    member->settings.min = 5;
    (void)add_idle(0);
    apr_uint32_t number = call();
    assert_true(udr_yield_run(yield, true, 0));
    assert_true(is_answered(number));
    assert_counts(0, 0, 0);
}

/* Where the child waits for clients, and does not tidy. */
static void gives_up_what_is_older_than_ttl(void **state)
{
    (void)state;
    member->settings.ttl = apr_time_from_sec(5);
    for (int i = 0; i < 3; i++) {
        add_idle(i)->idle_since = apr_time_from_sec(100 + i);
    }
    assert_true(udr_yield_run(yield, false, apr_time_from_sec(105) - 1));
    assert_counts(3, 0, 0);
    assert_true(udr_yield_run(yield, false, apr_time_from_sec(105)));
    assert_counts(2, 0, 0);
    assert_true(is_over(0));
    assert_int_equal(held(), 2);
    member->settings.min = 1;
    assert_true(udr_yield_run(yield, false, apr_time_from_sec(200)));
    assert_counts(1, 0, 0);
    assert_true(udr_yield_run(yield, true, 0)); /* elsewhere tidying does it */
    assert_counts(1, 0, 0);
}

static void keeps_those_in_use(void **state)
{
    (void)state;
    udr_connection_t *busy = take_and_connect();
    apr_uint32_t number = call();
    assert_true(udr_yield_run(yield, true, 0));
    assert_false(is_answered(number));
    assert_false(is_over(0));
    udr_yield_withdraw(yield, member->slot, number);
    udr_pool_give(connections, busy, 0);
    assert_counts(1, 0, 0);
}

static void closes_what_is_given_back_while_somebody_calls(void **state)
{
    (void)state;
    udr_connection_t *first = take_and_connect();
    udr_connection_t *second = take_and_connect();
    udr_waiter_t someone = guest("a");
    member->settings.max = 2;
    assert_false(takes(&someone));
    apr_uint32_t number = call();
    udr_pool_give(connections, first, 0);
    assert_true(is_answered(number));
    assert_true(is_over(0));
    assert_counts(0, 2, 0);
    assert_string_equal(woken, "a"); /* the turn is passed on nevertheless */
    assert_true(takes(&someone));
    udr_pool_give(connections, second, 0);
    gives_turn();
    assert_counts(1, 0, 0); /* nobody calls any more */
    assert_false(is_over(1));
}

/* What is given up is out of the pool at once, and its descriptor is closed when it is tidied. */
static void closes_what_it_has_given_up_when_it_is_tidied(void **state)
{
    (void)state;
    udr_connection_t *watched = take_and_connect();
    assert_int_equal(udr_connection_watch(watched, loops[1], NULL), APR_SUCCESS);
    watched->watch->baton = NULL;
    udr_pool_give(connections, watched, 1);
    (void)add_idle(0);
    int descriptors = count_descriptors();
    (void)call();
    (void)call();
    assert_true(udr_yield_run(yield, true, 0));
    assert_null(take_idle(1));
    gives_turn();
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(udr_pool_tidy(connections, 2, udr_clock_now()), 0);
    assert_int_equal(count_descriptors(), descriptors - 2);
}

/* The pool's cleanup closes what was given up and not tidied. */
static void leaves_nothing_given_up_behind(void **state)
{
    (void)state;
    (void)add_idle(0);
    (void)call();
    assert_true(udr_yield_run(yield, true, 0));
}

/* Prefork's second thread must not wait for the main thread, which may never go on. Whoever wakes a waiter has the
 * mutex. */
static bool was_through = true;

static void run_within(udr_waiter_t *waiter)
{
    (void)waiter;
    was_through = udr_yield_run(yield, false, 0);
}

static void never_waits_when_it_may_not(void **state)
{
    udr_waiter_t someone = {.wake = run_within};
    (void)state;
    (void)add_idle(0);
    udr_connection_t *busy = take_and_connect();
    member->settings.max = 1;
    assert_false(takes(&someone));
    apr_uint32_t number = call();
    udr_connection_close(busy);
    gives_turn();
    assert_false(was_through);
    assert_false(is_answered(number));
    assert_true(udr_yield_run(yield, false, 0));
    assert_true(is_answered(number));
    assert_true(takes(&someone));
    gives_turn();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(counts_what_it_holds),
        TEST(gives_up_what_has_been_idle_longest),
        TEST(gives_up_as_many_as_are_called_for),
        TEST(min_keeps_none_back),
        TEST(gives_up_what_is_older_than_ttl),
        TEST(keeps_those_in_use),
        TEST(closes_what_is_given_back_while_somebody_calls),
        TEST(closes_what_it_has_given_up_when_it_is_tidied),
        TEST(leaves_nothing_given_up_behind),
        TEST(never_waits_when_it_may_not),
    };
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
