/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_seats.h"

#include "mod_udsroute/udr_random.h"

#include <apr_general.h>

static void set_load(int place, apr_uint64_t in_flight, apr_uint64_t waiting)
{
    atomic_store(&hot[place].line, waiting << 32 | in_flight);
}

static void picks_who_has_the_fewest(void **state)
{
    (void)state;
    open_seats(4, NULL);
    set_load(0, 3, 0);
    set_load(1, 2, 0);
    set_load(2, 1, 0);
    set_load(3, 4, 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pick_seat(), 2);
    }
}

static void goes_round_equals(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(4, NULL);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pick_seat(), i % 4);
    }
    pick_many(1000, counts);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(counts[i], 250);
    }
}

/* It would have the least with one more; a lighter one is as idle, but would have more. */
static void prefers_the_heaviest_of_the_idle(void **state)
{
    (void)state;
    open_seats(3, (apr_uint32_t[]){100, 500, 200});
    for (int i = 0; i < 6; i++) {
        assert_int_equal(pick_seat(), 1);
    }
    set_load(1, 2, 0);
    assert_int_equal(pick_seat(), 2);
}

/* Who takes and never gives back: shares of what is in flight are the weights. */
static void fills_by_weight(void **state)
{
    static const apr_uint64_t expected[] = {10, 20, 50};
    (void)state;
    open_seats(3, (apr_uint32_t[]){100, 200, 500});
    for (int i = 0; i < 80; i++) {
        take_seat(pick_seat());
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(atomic_load(&hot[i].line), expected[i] - 1, expected[i] + 1);
    }
}

/* 32 clients whose requests end in any order, and one member that never ends its own. */
static void keeps_away_from_the_one_that_hangs(void **state)
{
    int with[32];
    (void)state;
    open_seats(4, NULL);
    for (int i = 0; i < 32; i++) {
        take_seat(with[i] = pick_seat());
    }
    for (int i = 0; i < 10000; i++) {
        int client = udr_random_below(&random_numbers, 32);
        if (with[client] != 1) {
            release_seat(with[client], 0);
            take_seat(with[client] = pick_seat());
        }
    }
    assert_in_range(atomic_load(&hot[1].line), 8, 9);
}

/* Under maxconn the count in flight says nothing any more. */
static void counts_those_who_wait(void **state)
{
    (void)state;
    open_seats(2, NULL);
    set_load(0, 3, 5);
    set_load(1, 4, 0);
    assert_int_equal(pick_seat(), 1);
    assert_int_equal(pick_seat(), 1);
}

static void passes_over_the_excluded(void **state)
{
    (void)state;
    open_seats(3, NULL);
    set_load(1, 7, 0);
    set_load(2, 8, 0);
    exclude_member(0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pick_seat(), 1);
    }
    exclude_member(1);
    assert_int_equal(pick_seat(), 2);
    exclude_member(2);
    assert_int_equal(pick_seat(), -1);
}

static void picks_nobody_where_nobody_is(void **state)
{
    (void)state;
    open_seats(0, NULL);
    assert_int_equal(pick_seat(), -1);
}

#define with_seats(test) cmocka_unit_test_setup_teardown(test, seats_set_up, seats_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_seats(picks_who_has_the_fewest),           with_seats(goes_round_equals),
        with_seats(prefers_the_heaviest_of_the_idle),   with_seats(fills_by_weight),
        with_seats(keeps_away_from_the_one_that_hangs), with_seats(counts_those_who_wait),
        with_seats(passes_over_the_excluded),           with_seats(picks_nobody_where_nobody_is),
    };
    apr_initialize();
    method = &udr_method_bybusyness;
    return cmocka_run_group_tests_name("udr_method_bybusyness", tests, NULL, NULL);
}
