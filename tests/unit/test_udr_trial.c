/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_trial.h"

#include <pthread.h>

#define MS     1000
#define SECOND APR_USEC_PER_SEC
#define SHARE  50
#define COST   100
#define PRICE  (COST * SHARE) /* the time that makes up for one */
#define ATONCE ((int)(UDR_TRIAL_BURST / PRICE))

static udr_trial_t trial = {.share = SHARE};
static const apr_time_t start = 1000 * SECOND;

static int set_up(void **state)
{
    (void)state;
    trial.owed_until = 0;
    return 0;
}

/* How many of so many at once are begun. */
static int begin_many(int count, apr_time_t now)
{
    int begun = 0;
    for (int i = 0; i < count; i++) {
        begun += udr_trial_begin(&trial, COST, now);
    }
    return begun;
}

static void begins_so_many_at_once(void **state)
{
    (void)state;
    assert_int_equal(begin_many(2 * ATONCE, start), ATONCE);
    assert_int_equal(begin_many(1, start + PRICE - 1), 0);
    assert_int_equal(begin_many(2, start + PRICE), 1);
}

static void begins_few_in_the_long_run_that_are_for_nothing(void **state)
{
    (void)state;
    int begun = 0;
    for (apr_time_t now = start; now < start + 60 * SECOND; now += 100) {
        begun += udr_trial_begin(&trial, COST, now);
    }
    assert_in_range(begun, 60 * SECOND / PRICE + ATONCE - 1, 60 * SECOND / PRICE + ATONCE + 1);
}

static void time_makes_up_for_all_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(begin_many(ATONCE, start), ATONCE);
    assert_int_equal(begin_many(2 * ATONCE, start + 3600 * SECOND), ATONCE);
}

static void those_that_pay_are_without_end(void **state)
{
    (void)state;
    for (int i = 0; i < 10 * ATONCE; i++) {
        assert_true(udr_trial_begin(&trial, COST, start));
        udr_trial_succeed(&trial, COST);
    }
    assert_int_equal(begin_many(2 * ATONCE, start), ATONCE);
}

/* It was made up for by then: that is no credit. */
static void to_pay_late_earns_nothing(void **state)
{
    (void)state;
    assert_int_equal(begin_many(ATONCE, start), ATONCE);
    for (int i = 0; i < ATONCE; i++) {
        udr_trial_succeed(&trial, COST);
    }
    assert_int_equal(begin_many(2 * ATONCE, start + 10 * SECOND), ATONCE);
}

static void what_costs_more_lets_others_wait(void **state)
{
    (void)state;
    assert_true(udr_trial_begin(&trial, COST, start));
    for (apr_interval_time_t spent = 0; spent < UDR_TRIAL_BURST; spent += 10 * SHARE) {
        udr_trial_charge(&trial, 10, start);
    }
    assert_int_equal(begin_many(1, start + PRICE), 0);
    assert_int_equal(begin_many(1, start + 2 * PRICE), 1);
}

static void nobody_waits_for_long(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        udr_trial_charge(&trial, 20 * MS, start);
    }
    apr_time_t then = start + UDR_TRIAL_MOST - UDR_TRIAL_BURST + PRICE;
    assert_int_equal(begin_many(1, then - 1), 0);
    assert_int_equal(begin_many(1, then), 1);
}

static void *compete(void *data)
{
    int *begun = data;
    *begun = begin_many(ATONCE, start);
    return NULL;
}

static void threads_get_no_more_together(void **state)
{
    (void)state;
    pthread_t threads[4];
    int begun[4];
    int sum = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, compete, &begun[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        sum += begun[i];
    }
    assert_int_equal(sum, ATONCE);
}

#define TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(begins_so_many_at_once),
        TEST(begins_few_in_the_long_run_that_are_for_nothing),
        TEST(time_makes_up_for_all_and_no_more),
        TEST(those_that_pay_are_without_end),
        TEST(to_pay_late_earns_nothing),
        TEST(what_costs_more_lets_others_wait),
        TEST(nobody_waits_for_long),
        TEST(threads_get_no_more_together),
    };
    return cmocka_run_group_tests_name("udr_trial", tests, NULL, NULL);
}
