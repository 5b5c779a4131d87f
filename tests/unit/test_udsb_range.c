/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_range.h"

static void parts(void **state)
{
    static const struct {
        const char *text;
        uint64_t size, first, length;
    } cases[] = {
        {"bytes=0-0", 10, 0, 1},
        {"bytes=0-9", 10, 0, 10},
        {"bytes=2-", 10, 2, 8},
        {"bytes=9-", 10, 9, 1},
        {"bytes=3-100", 10, 3, 7},
        {"bytes=-3", 10, 7, 3},
        {"bytes=-100", 10, 0, 10},
        {"Bytes=1-2", 10, 1, 2},
        {"bytes= 1-2", 10, 1, 2},
        {"bytes=0-99999999999999999999999", 10, 0, 10},
        {"bytes=-99999999999999999999999", 10, 0, 10},
        {"bytes=0-", UINT64_MAX, 0, UINT64_MAX},
    };
    uint64_t first, length;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(udsb_range_parse(cases[i].text, cases[i].size, &first, &length), UDSB_RANGE_PART);
        assert_true(first == cases[i].first);
        assert_true(length == cases[i].length);
    }
}

static void not_satisfiable(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } cases[] = {{"bytes=10-", 10},
                 {"bytes=10-20", 10},
                 {"bytes=-0", 10},
                 {"bytes=0-", 0},
                 {"bytes=0-0", 0},
                 {"bytes=-1", 0},
                 {"bytes=99999999999999999999-", 10}};
    uint64_t first = 7, length = 7;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(udsb_range_parse(cases[i].text, cases[i].size, &first, &length), UDSB_RANGE_UNSATISFIABLE);
    assert_int_equal(first, 7);
    assert_int_equal(length, 7);
}

static void ignored(void **state)
{
    static const char *const cases[] = {"",           "bytes",     "bytes=",    "bytes=-",       "bytes=a-b",
                                        "bytes=1",    "bytes=2-1", "bytes=1-x", "bytes=0-1,3-4", "lines=0-1",
                                        "bytes=1-2 ", "bytes=--1", "bytes=-1-", "bytes 0-1"};
    uint64_t first, length;

    (void)state;
    assert_int_equal(udsb_range_parse(NULL, 10, &first, &length), UDSB_RANGE_NONE);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(udsb_range_parse(cases[i], 10, &first, &length), UDSB_RANGE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts), cmocka_unit_test(not_satisfiable),
                                       cmocka_unit_test(ignored)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
