/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_utf8.h"

#include <string.h>

static const char *const valid[] = {
    "",
    "plain",
    "12345678",
    "123456789012345\xc3\xa4",
    "\xc2\x80",
    "\xdf\xbf",
    "\xe0\xa0\x80",
    "\xed\x9f\xbf",
    "\xee\x80\x80",
    "\xef\xbf\xbf",
    "\xf0\x90\x80\x80",
    "\xf4\x8f\xbf\xbf",
    "a\xe2\x82\xac\x62",
};

/* Overlong, surrogates, too high, stray and missing continuation bytes. */
static const char *const invalid[] = {
    "\x80",
    "\xbf",
    "\xc0\x80",
    "\xc1\xbf",
    "\xc2",
    "\xc2\x61",
    "\xe0\x9f\xbf",
    "\xe0\xa0",
    "\xed\xa0\x80",
    "\xed\xbf\xbf",
    "\xf0\x8f\xbf\xbf",
    "\xf0\x90\x80",
    "\xf4\x90\x80\x80",
    "\xf5\x80\x80\x80",
    "\xff",
    "\xfe",
    "12345678\xff",
    "\xe2\x28\xa1",
    "\xe2\x82\x28",
};

static void whole_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        assert_true(udsb_utf8_is_valid(valid[i], strlen(valid[i])));
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        assert_false(udsb_utf8_is_valid(invalid[i], strlen(invalid[i])));
    assert_true(udsb_utf8_is_valid("a\0b", 3));
}

static bool is_valid_by_bytes(const char *text)
{
    udsb_utf8_t utf8 = {0};

    for (; *text; text++) {
        if (!udsb_utf8_take(&utf8, text, 1))
            return false;
    }
    return !utf8.missing;
}

static void the_same_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        assert_true(is_valid_by_bytes(valid[i]));
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        assert_false(is_valid_by_bytes(invalid[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_texts), cmocka_unit_test(the_same_byte_by_byte)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
