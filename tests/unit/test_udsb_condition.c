/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_condition.h"

#define DATE     "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE   "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER    "Sun, 06 Nov 1994 08:49:38 GMT"
#define DATE_INT 784111777

static const udsb_validators_t validators = {.tag = "\"abc\"", .modified = DATE_INT};

static void dates(void **state)
{
    static const char *const wrong[] = {"",          "yesterday", "Sun, 06 Nov 1994",    "Sun, 06 Nov 1994 08:49:37",
                                        "784111777", DATE "x",    "1994-11-06T08:49:37Z"};
    char text[UDSB_CONDITION_DATE_SIZE];
    time_t date = 1;

    (void)state;
    udsb_condition_write_date(text, DATE_INT);
    assert_string_equal(text, DATE);
    assert_true(udsb_condition_read_date(&date, DATE));
    assert_int_equal(date, DATE_INT);
    assert_true(udsb_condition_read_date(&date, "Sunday, 06-Nov-94 08:49:37 GMT"));
    assert_int_equal(date, DATE_INT);
    assert_true(udsb_condition_read_date(&date, "Sun Nov  6 08:49:37 1994"));
    assert_int_equal(date, DATE_INT);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(udsb_condition_read_date(&date, wrong[i]));
    assert_false(udsb_condition_read_date(&date, NULL));
}

static void preconditions(void **state)
{
    static const struct {
        udsb_conditions_t conditions;
        udsb_condition_t expected;
    } cases[] = {
        {{0}, UDSB_CONDITION_PROCEED},
        {{.if_match = "\"abc\""}, UDSB_CONDITION_PROCEED},
        {{.if_match = "*"}, UDSB_CONDITION_PROCEED},
        {{.if_match = "\"x\", \"abc\""}, UDSB_CONDITION_PROCEED},
        {{.if_match = "\"x\""}, UDSB_CONDITION_FAILED},
        {{.if_match = "W/\"abc\""}, UDSB_CONDITION_FAILED},
        {{.if_match = "abc"}, UDSB_CONDITION_FAILED},
        {{.if_unmodified_since = DATE}, UDSB_CONDITION_PROCEED},
        {{.if_unmodified_since = BEFORE}, UDSB_CONDITION_FAILED},
        {{.if_unmodified_since = "nonsense"}, UDSB_CONDITION_PROCEED},
        {{.if_match = "\"abc\"", .if_unmodified_since = BEFORE}, UDSB_CONDITION_PROCEED},
        {{.if_none_match = "\"abc\""}, UDSB_CONDITION_NOT_MODIFIED},
        {{.if_none_match = "W/\"abc\""}, UDSB_CONDITION_NOT_MODIFIED},
        {{.if_none_match = "\"x\",,W/\"y\" , \"abc\""}, UDSB_CONDITION_NOT_MODIFIED},
        {{.if_none_match = "*"}, UDSB_CONDITION_NOT_MODIFIED},
        {{.if_none_match = "\"abcd\""}, UDSB_CONDITION_PROCEED},
        {{.if_none_match = "\"abc"}, UDSB_CONDITION_PROCEED},
        {{.if_modified_since = DATE}, UDSB_CONDITION_NOT_MODIFIED},
        {{.if_modified_since = AFTER}, UDSB_CONDITION_NOT_MODIFIED},
        {{.if_modified_since = BEFORE}, UDSB_CONDITION_PROCEED},
        {{.if_modified_since = "nonsense"}, UDSB_CONDITION_PROCEED},
        {{.if_none_match = "\"x\"", .if_modified_since = DATE}, UDSB_CONDITION_PROCEED},
        {{.if_match = "\"x\"", .if_none_match = "\"abc\""}, UDSB_CONDITION_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(udsb_condition_evaluate(&cases[i].conditions, &validators), cases[i].expected);
}

static void if_range(void **state)
{
    static const struct {
        const char *value;
        bool expected;
    } cases[] = {{NULL, true}, {"\"abc\"", true}, {"\"x\"", false}, {"W/\"abc\"", false},
                 {DATE, true}, {AFTER, false},    {BEFORE, false},  {"x", false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const udsb_conditions_t conditions = {.if_range = cases[i].value};

        assert_int_equal(udsb_condition_allows_range(&conditions, &validators), cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(dates), cmocka_unit_test(preconditions),
                                       cmocka_unit_test(if_range)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
