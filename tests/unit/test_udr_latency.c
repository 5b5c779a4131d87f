/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_latency.h"

#include <pthread.h>

#define SECOND APR_USEC_PER_SEC

static udr_hot_t hot;
static const apr_time_t start = 1000 * SECOND;

static int set_up(void **state)
{
    (void)state;
    atomic_store(&hot.latency, 0);
    atomic_store(&hot.latency_at, 0);
    return 0;
}

static void is_unknown_at_first(void **state)
{
    (void)state;
    assert_int_equal(udr_latency_read(&hot, start), 0);
    assert_false(udr_latency_is_fresh(&hot, start));
    /* Also in the second in which the clock began. */
    assert_int_equal(udr_latency_read(&hot, 1), 0);
    assert_false(udr_latency_is_fresh(&hot, 1));
}

static void takes_the_first_value_whole(void **state)
{
    (void)state;
    udr_latency_record(&hot, 8000, start);
    assert_int_equal(udr_latency_read(&hot, start), 8000);
    assert_true(udr_latency_is_fresh(&hot, start));
}

static void averages_by_count(void **state)
{
    (void)state;
    udr_latency_record(&hot, 8000, start);
    udr_latency_record(&hot, 16000, start);
    assert_int_equal(udr_latency_read(&hot, start), 9000);
    /* The age of the average makes no difference as long as it is fresh. */
    udr_latency_record(&hot, 1000, start + 9 * SECOND);
    assert_int_equal(udr_latency_read(&hot, start + 9 * SECOND), 8000);
    for (int i = 0; i < 100; i++) {
        udr_latency_record(&hot, 500, start + 9 * SECOND);
    }
    assert_in_range(udr_latency_read(&hot, start + 9 * SECOND), 496, 504);
}

static void fades_by_half_in_ten_seconds(void **state)
{
    static const struct {
        apr_time_t after;
        apr_uint32_t expected;
    } rows[] = {{0, 8000},           {5 * SECOND, 6000},  {10 * SECOND, 4000},
                {15 * SECOND, 3000}, {20 * SECOND, 2000}, {120 * SECOND, 1},
                {140 * SECOND, 0},   {3600 * SECOND, 0},  {24 * 24 * 3600 * SECOND, 0}};
    (void)state;
    udr_latency_record(&hot, 8000, start);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        assert_int_equal(udr_latency_read(&hot, start + rows[i].after), rows[i].expected);
        assert_int_equal(udr_latency_is_fresh(&hot, start + rows[i].after), rows[i].after < 10 * SECOND);
    }
}

/* Else one slow answer from a member that is rarely asked would be forgotten eight times too slowly, or too fast. */
static void takes_the_first_value_after_silence_whole(void **state)
{
    (void)state;
    udr_latency_record(&hot, 80000, start);
    udr_latency_record(&hot, 1000, start + 10 * SECOND);
    assert_int_equal(udr_latency_read(&hot, start + 10 * SECOND), 1000);
    udr_latency_record(&hot, 90000, start + 50 * SECOND);
    assert_int_equal(udr_latency_read(&hot, start + 50 * SECOND), 90000);
}

/* Another process has looked at the clock a little later than the reader. */
static void has_no_age_before_it_was_written(void **state)
{
    (void)state;
    udr_latency_record(&hot, 8000, start);
    assert_int_equal(udr_latency_read(&hot, start - SECOND), 8000);
    assert_true(udr_latency_is_fresh(&hot, start - SECOND));
}

/* 2^32 milliseconds after the machine's start. */
static void survives_the_wrap_of_its_clock(void **state)
{
    const apr_time_t wrap = APR_INT64_C(4294967296) * 1000;
    (void)state;
    udr_latency_record(&hot, 8000, wrap - 5 * SECOND);
    assert_int_equal(udr_latency_read(&hot, wrap + 5 * SECOND), 4000);
    udr_latency_record(&hot, 8000, wrap - SECOND);
    udr_latency_record(&hot, 16000, wrap + SECOND);
    assert_int_equal(udr_latency_read(&hot, wrap + SECOND), 9000);
}

static void keeps_within_its_range(void **state)
{
    (void)state;
    udr_latency_record(&hot, 0, start);
    assert_int_equal(udr_latency_read(&hot, start), 1);
    udr_latency_record(&hot, -5, start + 60 * SECOND);
    assert_int_equal(udr_latency_read(&hot, start + 60 * SECOND), 1);
    udr_latency_record(&hot, 3 * 3600 * SECOND, start + 120 * SECOND);
    assert_int_equal(udr_latency_read(&hot, start + 120 * SECOND), APR_UINT32_MAX);
    udr_latency_record(&hot, 3 * 3600 * SECOND, start + 120 * SECOND);
    assert_int_equal(udr_latency_read(&hot, start + 120 * SECOND), APR_UINT32_MAX);
}

/* --- several at once --- */

enum { WRITES = 200000 };

static _Atomic int writers;

static void *write_many(void *baton)
{
    apr_interval_time_t us = *(const int *)baton;
    for (int i = 0; i < WRITES; i++) {
        udr_latency_record(&hot, us, start + i * (apr_time_t)50);
    }
    atomic_fetch_sub(&writers, 1);
    return NULL;
}

/* Whatever is lost, what is read lies between the values that are written. */
static void is_never_torn(void **state)
{
    static int values[] = {1000, 0x10000 * 64};
    pthread_t threads[2];
    (void)state;
    udr_latency_record(&hot, 1000, start);
    atomic_store(&writers, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &values[i]), 0);
    }
    while (atomic_load(&writers) > 0) {
        assert_in_range(udr_latency_read(&hot, start), 1000, 0x10000 * 64);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_unknown_at_first, set_up),
        cmocka_unit_test_setup(takes_the_first_value_whole, set_up),
        cmocka_unit_test_setup(averages_by_count, set_up),
        cmocka_unit_test_setup(fades_by_half_in_ten_seconds, set_up),
        cmocka_unit_test_setup(takes_the_first_value_after_silence_whole, set_up),
        cmocka_unit_test_setup(has_no_age_before_it_was_written, set_up),
        cmocka_unit_test_setup(survives_the_wrap_of_its_clock, set_up),
        cmocka_unit_test_setup(keeps_within_its_range, set_up),
        cmocka_unit_test_setup(is_never_torn, set_up),
    };
    return cmocka_run_group_tests_name("udr_latency", tests, NULL, NULL);
}
