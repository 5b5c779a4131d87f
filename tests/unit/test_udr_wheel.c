/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_random.h"
#include "mod_udsroute/udr_wheel.h"

#include <apr_general.h>

#include <stdlib.h>
#include <string.h>

enum { MEMBERS_MAX = 20000 };

static apr_pool_t *pool;
static udr_wheel_t wheel;
static apr_uint32_t weights[MEMBERS_MAX];
static apr_uint32_t turns[MEMBERS_MAX]; /* of each member in the period */
static apr_uint64_t numbers;

static int set_up(void **state)
{
    (void)state;
    numbers = 1;
    return apr_pool_create(&pool, NULL) != APR_SUCCESS;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static void build(int count)
{
    udr_wheel_build(&wheel, weights, count, pool);
    memset(turns, 0, sizeof(turns));
    for (apr_uint32_t i = 0; i < wheel.period; i++) {
        assert_true(wheel.entries[i] < (apr_uint32_t)count);
        turns[wheel.entries[i]]++;
    }
}

/* "AABACAA" for the weights; members are named by letters. */
static const char *order(int count, const apr_uint32_t *given)
{
    char *text;
    memcpy(weights, given, (size_t)count * sizeof(*given));
    build(count);
    text = apr_pcalloc(pool, wheel.period + 1);
    for (apr_uint32_t i = 0; i < wheel.period; i++) {
        text[i] = (char)('A' + wheel.entries[i]);
    }
    return text;
}

#define ORDER(...) order(sizeof((apr_uint32_t[]){__VA_ARGS__}) / sizeof(apr_uint32_t), (apr_uint32_t[]){__VA_ARGS__})

/* As nginx's commit message of 2012 has it, and as its algorithm done by hand gives it. */
static void gives_the_smooth_order(void **state)
{
    (void)state;
    assert_string_equal(ORDER(5, 1, 1), "AABACAA");
    assert_string_equal(ORDER(1, 2, 5), "CBCACCBC");
    assert_string_equal(ORDER(2, 1), "ABA");
    assert_string_equal(ORDER(4, 2, 1), "ABACABA");
}

static void gives_strict_turns_to_equals(void **state)
{
    (void)state;
    assert_string_equal(ORDER(100, 100, 100), "ABC");
    assert_string_equal(ORDER(1, 1), "AB");
    assert_string_equal(ORDER(10000), "A");
}

static void reduces_weights_by_what_they_have_in_common(void **state)
{
    (void)state;
    assert_string_equal(ORDER(500, 100, 100), "AABACAA");
    assert_string_equal(ORDER(150, 100), "ABABA");
    assert_string_equal(ORDER(10000, 2000, 2000), "AABACAA");
}

static void is_empty_without_members(void **state)
{
    (void)state;
    build(0);
    assert_int_equal(wheel.period, 0);
}

/* --- against the algorithm as it is usually written: ngx_http_upstream_get_peer() --- */

static void check_against_model(int count)
{
    int *accounts = apr_pcalloc(pool, (size_t)count * sizeof(*accounts));
    for (apr_uint32_t turn = 0; turn < wheel.period; turn++) {
        int best = 0;
        for (int i = 0; i < count; i++) {
            accounts[i] += (int)turns[i];
            if (accounts[i] > accounts[best]) {
                best = i;
            }
        }
        accounts[best] -= (int)wheel.period;
        assert_int_equal(wheel.entries[turn], best);
    }
}

static void agrees_with_the_usual_algorithm(void **state)
{
    (void)state;
    for (int round = 0; round < 400; round++) {
        int count = 1 + udr_random_below(&numbers, round < 300 ? 12 : 60);
        int kinds = 1 + udr_random_below(&numbers, 6);
        apr_uint64_t sum = 0;
        for (int i = 0; i < count; i++) {
            /* Few kinds make large groups, which is where the order could go wrong. */
            weights[i] =
                (apr_uint32_t)(round % 2 ? 1 + udr_random_below(&numbers, kinds) : 1 + udr_random_below(&numbers, 40));
            sum += weights[i];
        }
        build(count);
        assert_int_equal(sum % wheel.period, 0);
        for (int i = 0; i < count; i++) {
            assert_int_equal(turns[i] * (sum / wheel.period), weights[i]);
        }
        check_against_model(count);
    }
}

/* --- weights that make a long period --- */

/* What is due to a member, in thousandths of a turn. */
static void check_shares(int count)
{
    apr_uint64_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += weights[i];
    }
    for (int i = 0; i < count; i++) {
        apr_uint64_t room = UDR_WHEEL_LIMIT - (apr_uint64_t)count;
        double due = (double)(weights[i] * room) / (double)sum;
        assert_true(turns[i] >= 1);
        assert_true(turns[i] <= due + 0.5 || turns[i] == 1);
        assert_true(turns[i] >= due - 0.5);
    }
}

static void scales_long_periods_down(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        int count = 2 + udr_random_below(&numbers, 255);
        for (int i = 0; i < count; i++) {
            weights[i] = 9000 + (apr_uint32_t)udr_random_below(&numbers, 1000);
        }
        weights[count / 2] = 1;
        weights[0] = 9973; /* nothing in common */
        build(count);
        assert_in_range(wheel.period, 2, UDR_WHEEL_LIMIT);
        assert_true(wheel.period > UDR_WHEEL_LIMIT - 2 * 256);
        check_shares(count);
        check_against_model(count);
    }
}

/* Scaled weights may have something in common again. */
static void treats_equals_equally_when_scaled(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        weights[i] = 9973;
    }
    weights[200] = 10000;
    build(201);
    assert_true(wheel.period <= UDR_WHEEL_LIMIT);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(turns[i], turns[0]);
    }
    assert_true(turns[200] >= turns[0]);
}

static void gives_each_of_very_many_a_turn(void **state)
{
    (void)state;
    for (int i = 0; i < MEMBERS_MAX; i++) {
        weights[i] = 1 + (apr_uint32_t)i % 9999;
    }
    build(MEMBERS_MAX);
    assert_int_equal(wheel.period, MEMBERS_MAX);
    for (int i = 0; i < MEMBERS_MAX; i++) {
        assert_int_equal(turns[i], 1);
    }
    build(UDR_WHEEL_LIMIT - 1);
    assert_true(wheel.period <= UDR_WHEEL_LIMIT);
    for (int i = 0; i < UDR_WHEEL_LIMIT - 1; i++) {
        assert_true(turns[i] >= 1);
    }
}

#define with_pool(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_pool(gives_the_smooth_order),
        with_pool(gives_strict_turns_to_equals),
        with_pool(reduces_weights_by_what_they_have_in_common),
        with_pool(is_empty_without_members),
        with_pool(agrees_with_the_usual_algorithm),
        with_pool(scales_long_periods_down),
        with_pool(treats_equals_equally_when_scaled),
        with_pool(gives_each_of_very_many_a_turn),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_wheel", tests, NULL, NULL);
}
