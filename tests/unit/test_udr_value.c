/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_value.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <limits.h>
#include <string.h>

#define SECOND        APR_USEC_PER_SEC
#define HOUR          (3600 * SECOND)
#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

/* --- quoting --- */

static void quotes_text_and_escapes_control_characters(void **state)
{
    (void)state;
    assert_string_equal(udr_value_quote("", pool), "''");
    assert_string_equal(udr_value_quote("/run/a b", pool), "'/run/a b'");
    assert_string_equal(udr_value_quote("a\n\x1b\x7f", pool), "'a\\x0a\\x1b\\x7f'");
    assert_string_equal(udr_value_quote("\xc3\xa4", pool), "'\xc3\xa4'");
}

/* --- whole numbers --- */

static void reads_numbers_within_the_range(void **state)
{
    static const struct {
        const char *text;
        int min;
        int max;
        int expected;
    } rows[] = {
        {"0", 0, 10, 0},
        {"10", 0, 10, 10},
        {"007", 0, 10, 7},
        {"-5", -5, 5, -5},
        {"2147483647", 0, INT_MAX, INT_MAX},
        {"-2147483648", INT_MIN, INT_MAX, INT_MIN},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        int result = 4711;

        assert_null(udr_value_int(&result, rows[i].text, rows[i].min, rows[i].max, pool));
        assert_int_equal(result, rows[i].expected);
    }
}

static void refuses_what_is_no_number(void **state)
{
    static const char *const rows[] = {"", "x", "12x", "1.5", " 1", "1 ", "+1", "--1", "-", "0x10", "1e3"};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        int result = 4711;

        assert_string_equal(udr_value_int(&result, rows[i], 0, 10000, pool),
                            apr_psprintf(pool, "'%s' is not a number: write a whole number from 0 to 10000", rows[i]));
        assert_int_equal(result, 4711);
    }
}

static void refuses_numbers_outside_the_range(void **state)
{
    static const char *const rows[] = {"-9223372036854775808",
                                       "11",
                                       "-1",
                                       "-0",
                                       "2147483648",
                                       "4294967296",
                                       "9223372036854775808",
                                       "18446744073709551616",
                                       "18446744073709551621",
                                       "100000000000000000000000000000000000000000"};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        int result = 4711;

        assert_string_equal(udr_value_int(&result, rows[i], 0, 10, pool),
                            apr_psprintf(pool, "'%s' is out of range: 0 to 10", rows[i]));
        assert_int_equal(result, 4711);
    }
}

/* --- times --- */

static void reads_times_with_and_without_a_unit(void **state)
{
    static const struct {
        const char *text;
        apr_interval_time_t unit;
        apr_interval_time_t expected;
    } rows[] = {
        {"5", SECOND, 5 * SECOND},    {"5", 1000, 5000},
        {"5ms", SECOND, 5000},        {"5s", 1000, 5 * SECOND},
        {"5min", 1000, 300 * SECOND}, {"5h", 1000, 5 * HOUR},
        {"5MS", SECOND, 5000},        {"5Min", 1000, 300 * SECOND},
        {"24H", SECOND, 24 * HOUR},   {"86400", SECOND, 24 * HOUR},
        {"1ms", SECOND, 1000},        {"1", 1000, 1000},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        apr_interval_time_t result = 4711;

        assert_null(udr_value_time(&result, rows[i].text, rows[i].unit, 1000, 24 * HOUR, pool));
        assert_int_equal(result, rows[i].expected);
    }
}

/* httpd reads any unit that begins with the right letters, and "mi" for minutes; "5m" is too easily one or the other.
 */
static void refuses_what_is_no_time(void **state)
{
    static const char *const rows[] = {"",    "s",   "5m",  "5mi", "5sec", "5us", "5d",
                                       "5 s", " 5s", "5s ", "-5s", "1.5s", "5ss"};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        apr_interval_time_t result = 4711;

        assert_string_equal(
            udr_value_time(&result, rows[i], SECOND, 1000, 24 * HOUR, pool),
            apr_psprintf(pool,
                         "'%s' is not a time: write a whole number with ms, s, min or h behind it, such "
                         "as 30s (a bare number counts seconds), from 1ms to 24h",
                         rows[i]));
        assert_int_equal(result, 4711);
    }
}

static void tells_what_a_bare_number_counts(void **state)
{
    apr_interval_time_t result;

    (void)state;
    assert_non_null(
        strstr(udr_value_time(&result, "x", 1000, 0, HOUR, pool), "(a bare number counts milliseconds), from 0 to 1h"));
}

static void refuses_times_outside_the_range_overflow_included(void **state)
{
    static const char *const rows[] = {"0", "0ms", "86401", "86400001ms", "25h", "1441min", "9223372036855s",
                                       /* times 3600000000 or 1000000 these come out small again in 64 bits */
                                       "5124095576030431h", "18446744073710s", "18446744073709551617ms"};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        apr_interval_time_t result = 4711;

        assert_string_equal(udr_value_time(&result, rows[i], SECOND, 1000, 24 * HOUR, pool),
                            apr_psprintf(pool, "'%s' is out of range: 1ms to 24h", rows[i]));
        assert_int_equal(result, 4711);
    }
}

static void prints_a_range_in_the_largest_units_that_are_exact(void **state)
{
    apr_interval_time_t result;

    (void)state;
    assert_string_equal(udr_value_time(&result, "9h", SECOND, 1500 * 1000, 90 * 60 * SECOND, pool),
                        "'9h' is out of range: 1500ms to 90min");
    assert_string_equal(udr_value_time(&result, "9h", SECOND, 0, 61 * SECOND, pool), "'9h' is out of range: 0 to 61s");
}

/* --- sizes --- */

static void reads_sizes(void **state)
{
    static const struct {
        const char *text;
        apr_size_t expected;
    } rows[] = {{"64", 64},      {"1000", 1000},  {"4K", 4096},    {"4k", 4096},
                {"1M", 1 << 20}, {"1m", 1 << 20}, {"1G", 1 << 30}, {"1g", 1 << 30}};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        apr_size_t result = 4711;

        assert_null(udr_value_size(&result, rows[i].text, 64, 1 << 30, pool));
        assert_int_equal(result, rows[i].expected);
    }
}

static void refuses_what_is_no_size(void **state)
{
    static const char *const rows[] = {"", "K", "64KB", "64T", "64 K", "-64", "6.4K", "64KiB"};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        apr_size_t result = 4711;

        assert_string_equal(udr_value_size(&result, rows[i], 4096, 1 << 24, pool),
                            apr_psprintf(pool,
                                         "'%s' is not a size: write a whole number of bytes, or one with K, M or G "
                                         "behind it, from 4K to 16M",
                                         rows[i]));
        assert_int_equal(result, 4711);
    }
}

static void refuses_sizes_outside_the_range_overflow_included(void **state)
{
    static const char *const rows[] = {
        "0", "63", "1048577", "1025K", "2M", "1G", "17179869184G", "18446744073709551615", "18446744073709551680"};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        apr_size_t result = 4711;

        assert_string_equal(udr_value_size(&result, rows[i], 64, 1 << 20, pool),
                            apr_psprintf(pool, "'%s' is out of range: 64 to 1M", rows[i]));
        assert_int_equal(result, 4711);
    }
}

/* --- switches --- */

static void reads_switches(void **state)
{
    bool on = false;

    (void)state;
    assert_null(udr_value_switch(&on, "On", pool));
    assert_true(on);
    assert_null(udr_value_switch(&on, "OFF", pool));
    assert_false(on);
    assert_null(udr_value_switch(&on, "on", pool));
    assert_true(on);
    assert_string_equal(udr_value_switch(&on, "yes", pool), "'yes' is neither On nor Off");
    assert_string_equal(udr_value_switch(&on, "", pool), "'' is neither On nor Off");
    assert_string_equal(udr_value_switch(&on, "offf", pool), "'offf' is neither On nor Off");
    assert_true(on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_text_and_escapes_control_characters),
        cmocka_unit_test(reads_numbers_within_the_range),
        cmocka_unit_test(refuses_what_is_no_number),
        cmocka_unit_test(refuses_numbers_outside_the_range),
        cmocka_unit_test(reads_times_with_and_without_a_unit),
        cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(tells_what_a_bare_number_counts),
        cmocka_unit_test(refuses_times_outside_the_range_overflow_included),
        cmocka_unit_test(prints_a_range_in_the_largest_units_that_are_exact),
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(refuses_what_is_no_size),
        cmocka_unit_test(refuses_sizes_outside_the_range_overflow_included),
        cmocka_unit_test(reads_switches),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_value", tests, make_pool, drop_pool);
}
