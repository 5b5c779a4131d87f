/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_history.h"

#include <pthread.h>
#include <string.h>

enum { THREADS = 4, ROUNDS = 20000 };

#define BEGIN ((apr_time_t)1000 * UDR_HISTORY_STEP)

static udr_history_t history;
static udr_histogram_t latency;
static udr_history_totals_t totals;
static udr_history_point_t points[UDR_HISTORY_STEPS];

static int set_up(void **state)
{
    (void)state;
    memset(&history, 0, sizeof history);
    memset(&latency, 0, sizeof latency);
    totals = (udr_history_totals_t){.latency = &latency};
    return 0;
}

/* In steps from the beginning. */
static apr_time_t at(double steps)
{
    return BEGIN + (apr_time_t)(steps * (double)UDR_HISTORY_STEP);
}

static void take(double steps)
{
    udr_history_take(&history, &totals, at(steps));
}

/* Requests that took so long, of which some failed. */
static void serve(unsigned int requests, unsigned int failed, apr_interval_time_t took)
{
    totals.requests += requests;
    totals.failed += failed;
    for (unsigned int i = 0; i < requests; i++) {
        udr_histogram_record(&latency, took);
    }
}

/* The point so many from the end; 0 is the last. */
static const udr_history_point_t *last(double steps, int back)
{
    udr_history_read(&history, at(steps), points);
    return &points[UDR_HISTORY_STEPS - 1 - back];
}

/* Per second and in thousandths, as an integer. */
static int rate(const udr_history_point_t *point)
{
    return point->is_known ? (int)(point->rate * 1000 + 0.5) : -1;
}

static void is_empty_at_first(void **state)
{
    (void)state;
    for (int i = 0; i < UDR_HISTORY_STEPS; i++) {
        assert_false(last(0.5, i)->is_known);
    }
    assert_true(udr_history_is_due(&history, at(0)));
    take(0.5);
    assert_false(udr_history_is_due(&history, at(0.9)));
    assert_false(last(0.9, 0)->is_known);
}

static void has_a_point_for_each_step(void **state)
{
    (void)state;
    take(0.1);
    serve(100, 10, 8);
    assert_false(udr_history_is_due(&history, at(0.99)));
    assert_true(udr_history_is_due(&history, at(1)));
    take(1.1);
    serve(5, 0, 16);
    take(2.1);
    take(3.1);
    assert_int_equal(rate(last(3.2, 0)), 0);
    assert_int_equal(last(3.2, 0)->p50, 0);
    assert_int_equal(rate(last(3.2, 1)), 1000);
    assert_int_equal(last(3.2, 1)->p50, 16);
    assert_int_equal(rate(last(3.2, 2)), 20000);
    assert_int_equal((int)(last(3.2, 2)->failed + 0.5), 2);
    assert_int_equal(last(3.2, 2)->p50, 8);
    assert_int_equal(last(3.2, 2)->p90, 8);
    assert_int_equal(rate(last(3.2, 3)), -1);
}

/* Twice in a step is once. */
static void takes_each_step_once(void **state)
{
    (void)state;
    take(0);
    serve(10, 0, 1);
    take(1.1);
    serve(10, 0, 1);
    take(1.2);
    assert_int_equal(rate(last(1.3, 0)), 2000);
    take(2.1);
    assert_int_equal(rate(last(2.2, 0)), 2000);
}

/* The step that has only just ended shows when it has a sample; until then the plot does not move. */
static void does_not_show_a_step_before_its_sample(void **state)
{
    (void)state;
    take(0);
    serve(10, 0, 1);
    take(1.1);
    assert_int_equal(rate(last(2.05, 0)), 2000);
    assert_int_equal(rate(last(3.05, 0)), -1);
    assert_int_equal(rate(last(3.05, 2)), 2000);
}

static void spreads_what_nobody_has_looked_at(void **state)
{
    (void)state;
    take(0);
    serve(40, 4, 1);
    take(4.5);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rate(last(4.6, i)), 2000);
    }
    assert_int_equal(rate(last(4.6, 4)), -1);
    serve(1000, 0, 1);
    take(4 + 1000);
    for (int i = 0; i < UDR_HISTORY_STEPS; i++) {
        assert_int_equal(rate(last(4.1 + 1000, i)), 200);
    }
}

static void forgets_what_is_older(void **state)
{
    (void)state;
    take(0);
    serve(50, 0, 1);
    take(1.1);
    for (int i = 2; i <= UDR_HISTORY_STEPS; i++) {
        take(i + 0.1);
    }
    assert_int_equal(rate(last(UDR_HISTORY_STEPS + 0.2, UDR_HISTORY_STEPS - 1)), 10000);
    take(UDR_HISTORY_STEPS + 1.1);
    for (int i = 0; i < UDR_HISTORY_STEPS; i++) {
        assert_int_equal(rate(last(UDR_HISTORY_STEPS + 1.2, i)), 0);
    }
    /* After a long silence nothing of it is left. */
    assert_int_equal(rate(last(5000, 0)), -1);
}

/* A process that comes late by a step: what another has counted is not counted again, and nothing is less than 0. */
static void does_not_count_twice(void **state)
{
    udr_history_totals_t former;
    (void)state;
    take(0);
    serve(10, 0, 1);
    former = totals;
    serve(10, 0, 1);
    take(1.1);
    udr_history_take(&history, &former, at(2.1));
    assert_int_equal(rate(last(2.2, 1)), 4000);
    assert_int_equal(rate(last(2.2, 0)), 0);
}

static void *attend(void *baton)
{
    (void)baton;
    for (int i = 1; i <= ROUNDS; i++) {
        if (udr_history_is_due(&history, at(i))) {
            udr_history_take(&history, &totals, at(i));
        }
        udr_history_read(&history, at(i), (udr_history_point_t[UDR_HISTORY_STEPS]){{.rate = 0}});
    }
    return NULL;
}

/* Many look at once: each step has one sample, and no request is in two of them. */
static void has_one_sample_for_each_step_among_threads(void **state)
{
    pthread_t threads[THREADS];
    double sum = 0;
    (void)state;
    take(0);
    serve(50, 0, 1);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, attend, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_false(udr_history_is_due(&history, at(ROUNDS)));
    udr_history_read(&history, at(ROUNDS), points);
    for (int i = 0; i < UDR_HISTORY_STEPS; i++) {
        sum += points[i].rate;
    }
    assert_true(sum < 0.001); /* all were in the first, long ago */
    assert_true(atomic_load(&history.requests) == 50);
}

/* --- looking through all members --- */

static void looks_once_in_a_step(void **state)
{
    udr_history_look_t look = {0, 0};
    (void)state;
    assert_true(udr_history_is_to_look(&look, 0, at(0.9)));
    assert_false(udr_history_is_to_look(&look, 0, at(0.95)));
    assert_true(udr_history_is_to_look(&look, 0, at(1)));
    assert_false(udr_history_is_to_look(&look, 0, at(1.9)));
    assert_true(udr_history_is_to_look(&look, 0, at(5)));
}

static void looks_when_others_may_have_come(void **state)
{
    udr_history_look_t look = {0, 0};
    (void)state;
    assert_true(udr_history_is_to_look(&look, 7, at(0.1)));
    assert_false(udr_history_is_to_look(&look, 7, at(0.2)));
    assert_true(udr_history_is_to_look(&look, 8, at(0.3)));
    assert_false(udr_history_is_to_look(&look, 8, at(0.4)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_empty_at_first, set_up),
        cmocka_unit_test_setup(has_a_point_for_each_step, set_up),
        cmocka_unit_test_setup(takes_each_step_once, set_up),
        cmocka_unit_test_setup(does_not_show_a_step_before_its_sample, set_up),
        cmocka_unit_test_setup(spreads_what_nobody_has_looked_at, set_up),
        cmocka_unit_test_setup(forgets_what_is_older, set_up),
        cmocka_unit_test_setup(does_not_count_twice, set_up),
        cmocka_unit_test_setup(has_one_sample_for_each_step_among_threads, set_up),
        cmocka_unit_test(looks_once_in_a_step),
        cmocka_unit_test(looks_when_others_may_have_come),
    };
    return cmocka_run_group_tests_name("udr_history", tests, NULL, NULL);
}
