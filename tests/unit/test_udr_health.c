/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_health.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* --- the table --- */

#define STAYS UDR_HEALTH_STAYS
#define OUT   UDR_HEALTH_GOES_OUT
#define BACK  UDR_HEALTH_COMES_BACK

#define UNCHECKED UDR_HEALTH_UNCHECKED
#define UP        UDR_HEALTH_UP
#define FALLING   UDR_HEALTH_FALLING
#define DOWN      UDR_HEALTH_DOWN
#define RISING    UDR_HEALTH_RISING

/* Every edge there is, in the order of the states. */
static const struct {
    udr_health_event_t event;
    struct {
        udr_health_state_t to;
        udr_health_effect_t effect;
    } from[UDR_HEALTH_STATES];
} events[] = {
    {UDR_HEALTH_PASSED, {{UP, STAYS}, {UP, STAYS}, {UP, STAYS}, {RISING, STAYS}, {RISING, STAYS}}},
    {UDR_HEALTH_PASSED_ENOUGH, {{UP, BACK}, {UP, BACK}, {UP, BACK}, {UP, BACK}, {UP, BACK}}},
    {UDR_HEALTH_FAILED, {{FALLING, STAYS}, {FALLING, STAYS}, {FALLING, STAYS}, {DOWN, STAYS}, {DOWN, STAYS}}},
    {UDR_HEALTH_FAILED_ENOUGH, {{DOWN, OUT}, {DOWN, OUT}, {DOWN, OUT}, {DOWN, STAYS}, {DOWN, STAYS}}},
    {UDR_HEALTH_REQUEST_FAILED, {{UNCHECKED, STAYS}, {UP, STAYS}, {FALLING, STAYS}, {DOWN, STAYS}, {DOWN, STAYS}}},
    {UDR_HEALTH_SUSPENDED, {{UNCHECKED, STAYS}, {UP, STAYS}, {UP, STAYS}, {DOWN, STAYS}, {DOWN, STAYS}}},
    {UDR_HEALTH_FORGOTTEN,
     {{UNCHECKED, STAYS}, {UNCHECKED, STAYS}, {UNCHECKED, STAYS}, {UNCHECKED, BACK}, {UNCHECKED, BACK}}},
};

static void moves_along_every_edge(void **state)
{
    (void)state;
    assert_int_equal(COUNT(events), UDR_HEALTH_EVENTS);
    for (size_t i = 0; i < COUNT(events); i++) {
        for (int from = 0; from < UDR_HEALTH_STATES; from++) {
            udr_health_effect_t effect = (udr_health_effect_t)-1;
            udr_health_state_t to = udr_health_next((udr_health_state_t)from, events[i].event, &effect);
            if (to != events[i].from[from].to || effect != events[i].from[from].effect) {
                fail_msg("event %d from %s: to %s, effect %d", (int)events[i].event,
                         udr_health_state_name((udr_health_state_t)from), udr_health_state_name(to), (int)effect);
            }
        }
    }
}

/* A member is down after these events and no others: by enough bad checks in, by enough good ones or without checks
 * out. */
static void goes_out_and_comes_back_where_the_state_says_so(void **state)
{
    (void)state;
    for (int event = 0; event < UDR_HEALTH_EVENTS; event++) {
        for (int from = 0; from < UDR_HEALTH_STATES; from++) {
            udr_health_effect_t effect;
            udr_health_state_t to = udr_health_next((udr_health_state_t)from, (udr_health_event_t)event, &effect);
            bool was_down = udr_health_is_down((apr_uint32_t)from);
            bool is_down = udr_health_is_down((apr_uint32_t)to);
            assert_int_equal(effect == OUT, !was_down && is_down);
            assert_true(effect == BACK || !was_down || is_down);
        }
    }
}

/* --- the word --- */

static void assert_word(apr_uint32_t word, udr_health_state_t state, int passes, int fails)
{
    assert_string_equal(udr_health_state_name(udr_health_state(word)), udr_health_state_name(state));
    assert_int_equal(udr_health_passes(word), passes);
    assert_int_equal(udr_health_fails(word), fails);
}

static void is_unchecked_at_first(void **state)
{
    (void)state;
    assert_word(0, UNCHECKED, 0, 0);
    assert_false(udr_health_is_down(0));
}

static void falls_after_so_many_failures_in_a_row(void **state)
{
    _Atomic apr_uint32_t word = 0;
    (void)state;
    assert_int_equal(udr_health_failed(&word, 3), STAYS);
    assert_word(word, FALLING, 0, 1);
    assert_int_equal(udr_health_failed(&word, 3), STAYS);
    assert_word(word, FALLING, 0, 2);
    assert_int_equal(udr_health_failed(&word, 3), OUT);
    assert_word(word, DOWN, 0, 3);
    assert_int_equal(udr_health_failed(&word, 3), STAYS);
    assert_word(word, DOWN, 0, 4);
}

static void begins_to_count_anew_with_one_that_passes(void **state)
{
    _Atomic apr_uint32_t word = 0;
    (void)state;
    (void)udr_health_failed(&word, 2);
    (void)udr_health_passed(&word, 2);
    assert_word(word, UP, 1, 0);
    assert_int_equal(udr_health_failed(&word, 2), STAYS);
    assert_word(word, FALLING, 0, 1);
    assert_int_equal(udr_health_failed(&word, 2), OUT);
}

static void rises_after_so_many_successes_in_a_row(void **state)
{
    _Atomic apr_uint32_t word = 0;
    (void)state;
    assert_int_equal(udr_health_failed(&word, 1), OUT);
    assert_int_equal(udr_health_passed(&word, 3), STAYS);
    assert_word(word, RISING, 1, 0);
    assert_int_equal(udr_health_failed(&word, 9), STAYS);
    assert_word(word, DOWN, 0, 1);
    assert_int_equal(udr_health_passed(&word, 3), STAYS);
    assert_int_equal(udr_health_passed(&word, 3), STAYS);
    assert_word(word, RISING, 2, 0);
    assert_int_equal(udr_health_passed(&word, 3), BACK);
    assert_word(word, UP, 3, 0);
}

static void is_down_at_once_where_one_is_enough(void **state)
{
    _Atomic apr_uint32_t word = 0;
    (void)state;
    (void)udr_health_passed(&word, 1);
    assert_int_equal(udr_health_failed(&word, 0), OUT);
    assert_word(word, DOWN, 0, 1);
}

static void counts_no_further_than_there_is_room(void **state)
{
    _Atomic apr_uint32_t word = 0;
    (void)state;
    for (int i = 0; i < 2 * UDR_HEALTH_COUNT_MAX; i++) {
        (void)udr_health_passed(&word, UDR_HEALTH_COUNT_MAX);
    }
    assert_word(word, UP, UDR_HEALTH_COUNT_MAX, 0);
    for (int i = 0; i < UDR_HEALTH_COUNT_MAX - 1; i++) {
        assert_int_equal(udr_health_failed(&word, UDR_HEALTH_COUNT_MAX), STAYS);
    }
    assert_int_equal(udr_health_failed(&word, UDR_HEALTH_COUNT_MAX), OUT);
    assert_word(word, DOWN, 0, UDR_HEALTH_COUNT_MAX);
}

/* hcpasses good checks after it, not in all. */
static void counts_good_checks_from_a_failed_request_on(void **state)
{
    _Atomic apr_uint32_t word = 0;
    (void)state;
    (void)udr_health_passed(&word, 2);
    assert_int_equal(udr_health_note(&word, UDR_HEALTH_REQUEST_FAILED), STAYS);
    assert_word(word, UP, 0, 0);
    assert_int_equal(udr_health_passed(&word, 2), STAYS);
    assert_int_equal(udr_health_passed(&word, 2), BACK);
    (void)udr_health_failed(&word, 3);
    (void)udr_health_note(&word, UDR_HEALTH_REQUEST_FAILED);
    assert_word(word, FALLING, 0, 1);
}

static void forgets_what_it_counted_while_it_was_not_checked(void **state)
{
    _Atomic apr_uint32_t word = 0;
    (void)state;
    (void)udr_health_failed(&word, 2);
    (void)udr_health_note(&word, UDR_HEALTH_SUSPENDED);
    assert_word(word, UP, 0, 0);
    (void)udr_health_failed(&word, 1);
    (void)udr_health_passed(&word, 2);
    (void)udr_health_note(&word, UDR_HEALTH_SUSPENDED);
    assert_word(word, DOWN, 0, 0);
    assert_int_equal(udr_health_note(&word, UDR_HEALTH_FORGOTTEN), BACK);
    assert_int_equal(word, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_along_every_edge),
        cmocka_unit_test(goes_out_and_comes_back_where_the_state_says_so),
        cmocka_unit_test(is_unchecked_at_first),
        cmocka_unit_test(falls_after_so_many_failures_in_a_row),
        cmocka_unit_test(begins_to_count_anew_with_one_that_passes),
        cmocka_unit_test(rises_after_so_many_successes_in_a_row),
        cmocka_unit_test(is_down_at_once_where_one_is_enough),
        cmocka_unit_test(counts_no_further_than_there_is_room),
        cmocka_unit_test(counts_good_checks_from_a_failed_request_on),
        cmocka_unit_test(forgets_what_it_counted_while_it_was_not_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
