/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_value.h"

static void numbers(void **state)
{
    static const char *const wrong[] = {
        "", "-1", "+1", " 1", "1 ", "1x", "x", "0x1", "1.5", "18446744073709551616", "99999999999999999999"};
    uint64_t value = 77;

    (void)state;
    assert_true(udsb_value_number(&value, "0", 0, 10));
    assert_int_equal(value, 0);
    assert_true(udsb_value_number(&value, "18446744073709551615", 0, UINT64_MAX));
    assert_true(value == UINT64_MAX);
    assert_true(udsb_value_number(&value, "007", 0, 10));
    assert_int_equal(value, 7);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(udsb_value_number(&value, wrong[i], 0, UINT64_MAX));
    assert_false(udsb_value_number(&value, "4", 5, 10));
    assert_false(udsb_value_number(&value, "11", 5, 10));
    assert_int_equal(value, 7);
}

static void times(void **state)
{
    static const struct {
        const char *text;
        uint64_t milliseconds;
    } right[] = {{"0", 0}, {"5", 5000}, {"250ms", 250}, {"5s", 5000}, {"2min", 120000}, {"1h", 3600000}};
    static const char *const wrong[] = {
        "", "ms", "5m", "5 s", "5S", "-1s", "1.5s", "5sec", "25h", "99999999999999999999h", "18446744073709551615h"};
    uint64_t value = 77;

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_true(udsb_value_time(&value, right[i].text, 0, 86400000));
        assert_int_equal(value, right[i].milliseconds);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(udsb_value_time(&value, wrong[i], 0, 86400000));
    assert_false(udsb_value_time(&value, "999ms", 1000, 86400000));
    assert_int_equal(value, 3600000);
}

static void modes(void **state)
{
    static const char *const wrong[] = {"", "0", "0000", "1000", "4755", "888", "rw", "0o660", "660 "};
    unsigned mode = 7;

    (void)state;
    assert_true(udsb_value_mode(&mode, "0660"));
    assert_int_equal(mode, 0660);
    assert_true(udsb_value_mode(&mode, "777"));
    assert_int_equal(mode, 0777);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(udsb_value_mode(&mode, wrong[i]));
    assert_int_equal(mode, 0777);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers), cmocka_unit_test(times), cmocka_unit_test(modes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
