/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_budget.h"

#define MS     1000
#define SECOND APR_USEC_PER_SEC

static udr_budget_t budget;
static apr_time_t now;

static int set_up(void **state)
{
    (void)state;
    budget = (udr_budget_t){.spent = 0};
    now = 1000 * SECOND;
    return 0;
}

/* Asks again and again, at these intervals, and spends as much each time that it may; returns how much in all. */
static apr_interval_time_t spend_for(apr_interval_time_t span, apr_interval_time_t interval, apr_interval_time_t took)
{
    apr_interval_time_t spent = 0;
    for (apr_time_t end = now + span; now < end; now += interval) {
        if (udr_budget_allows(&budget, now)) {
            now += took;
            udr_budget_spend(&budget, took, now);
            spent += took;
        }
    }
    return spent;
}

static void never_waits_for_what_is_cheap(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        assert_true(udr_budget_allows(&budget, now));
        udr_budget_spend(&budget, MS, now);
    }
    now += SECOND;
    assert_int_equal(spend_for(SECOND, 10 * MS, 100), 100 * 100);
}

static void puts_off_what_is_dear(void **state)
{
    (void)state;
    assert_true(udr_budget_allows(&budget, now));
    udr_budget_spend(&budget, 200 * MS, now);
    assert_false(udr_budget_allows(&budget, now + 2 * SECOND));
    assert_true(udr_budget_allows(&budget, now + 4 * SECOND));
}

static void costs_no_more_than_its_share(void **state)
{
    static const apr_interval_time_t took[] = {1, 7, 100, 3 * MS, 80 * MS, SECOND};
    (void)state;
    for (size_t i = 0; i < sizeof took / sizeof *took; i++) {
        budget = (udr_budget_t){.spent = 0};
        (void)spend_for(60 * SECOND, 250, took[i]);
        apr_time_t before = now;
        apr_interval_time_t spent = spend_for(600 * SECOND, 250, took[i]);
        assert_true(spent <= (now - before) / UDR_BUDGET_SHARE + UDR_BUDGET_BURST + took[i]);
    }
}

/* What is asked very often is not credited less for it. */
static void makes_up_for_it_however_often_it_is_asked(void **state)
{
    (void)state;
    udr_budget_spend(&budget, 100 * MS, now);
    for (int i = 0; i < SECOND + 2 * UDR_BUDGET_SHARE; i += 3) {
        (void)udr_budget_allows(&budget, now + i);
    }
    assert_true(udr_budget_allows(&budget, now + SECOND + 2 * UDR_BUDGET_SHARE));
}

#define TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(never_waits_for_what_is_cheap),
        TEST(puts_off_what_is_dear),
        TEST(costs_no_more_than_its_share),
        TEST(makes_up_for_it_however_often_it_is_asked),
    };
    return cmocka_run_group_tests_name("udr_budget", tests, NULL, NULL);
}
