/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_figure.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

typedef struct case_t {
    apr_uint64_t number;
    const char *text;
} case_t;

static void check(const char *(*print)(apr_uint64_t number, apr_pool_t *p), const case_t *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(print(cases[i].number, pool), cases[i].text);
    }
}

static void counts(void **state)
{
    static const case_t cases[] = {{0, "0"},           {999, "999"},       {9999, "9999"},           {10000, "10.0k"},
                                   {123456, "123k"},   {999499, "999k"},   {999500, "1.00M"},        {4560000, "4.56M"},
                                   {9995000, "10.0M"}, {99950000, "100M"}, {APR_UINT64_MAX, "18.4E"}};
    (void)state;
    check(udr_figure_count, cases, LENGTH(cases));
}

static void bytes(void **state)
{
    static const case_t cases[] = {
        {0, "0 B"}, {999, "999 B"}, {1000, "1.00 kB"}, {23450000, "23.4 MB"}, {1500000000, "1.50 GB"}};
    (void)state;
    check(udr_figure_bytes, cases, LENGTH(cases));
}

static void times(void **state)
{
    static const case_t cases[] = {{0, "0 \xc2\xb5s"},     {850, "850 \xc2\xb5s"}, {1250, "1.25 ms"},
                                   {63500, "63.5 ms"},     {999999, "1.00 s"},     {3400000, "3.40 s"},
                                   {4000000000u, "4000 s"}};
    (void)state;
    check(udr_figure_time, cases, LENGTH(cases));
}

static void ages(void **state)
{
    static const case_t cases[] = {
        {0, "0 s"},           {59, "59 s"},          {60, "1 min"},          {3599, "59 min"},
        {3600, "1 h"},        {12000, "3 h 20 min"}, {86399, "23 h 59 min"}, {86400, "1 d"},
        {1051200, "12 d 4 h"}};
    (void)state;
    check(udr_figure_age, cases, LENGTH(cases));
}

static void hundredths(void **state)
{
    static const case_t cases[] = {{100, "1"}, {150, "1.5"}, {125, "1.25"}, {105, "1.05"}, {10000, "100"}, {0, "0"}};
    (void)state;
    check(udr_figure_hundredths, cases, LENGTH(cases));
}

static void rates(void **state)
{
    static const struct {
        double rate;
        const char *text;
    } cases[] = {{0, "0"},       {0.2, "0.2"}, {12.54, "12.5"}, {99.94, "99.9"},
                 {99.96, "100"}, {980, "980"}, {1200, "1.20k"}};
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        assert_string_equal(udr_figure_rate(cases[i].rate, pool), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts), cmocka_unit_test(bytes),      cmocka_unit_test(times),
        cmocka_unit_test(ages),   cmocka_unit_test(hundredths), cmocka_unit_test(rates),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_figure", tests, make_pool, drop_pool);
}
