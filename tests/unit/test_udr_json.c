/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_json.h"
#include "tests/unit/fixture_written.h"

#include <stdio.h>

#define REPLACEMENT   "\xef\xbf\xbd"
#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

static udr_json_t json;

static int begin(void **state)
{
    (void)state;
    forget_written();
    json = (udr_json_t){.write = keep_written, .baton = written};
    return 0;
}

/* --- structure --- */

static void puts_commas_between_values(void **state)
{
    (void)state;
    udr_json_open_object(&json, NULL);
    udr_json_number(&json, "a", 1);
    udr_json_open_array(&json, "b");
    udr_json_number(&json, NULL, 2);
    udr_json_string(&json, NULL, "x");
    udr_json_open_object(&json, NULL);
    udr_json_close_object(&json);
    udr_json_open_array(&json, NULL);
    udr_json_close_array(&json);
    udr_json_null(&json, NULL);
    udr_json_close_array(&json);
    udr_json_open_object(&json, "c");
    udr_json_null(&json, "d");
    udr_json_string(&json, "e", NULL);
    udr_json_close_object(&json);
    udr_json_close_object(&json);
    assert_string_equal(written, "{\"a\":1,\"b\":[2,\"x\",{},[],null],\"c\":{\"d\":null,\"e\":null}}");
}

static void writes_a_single_value(void **state)
{
    (void)state;
    udr_json_string(&json, NULL, "");
    assert_string_equal(written, "\"\"");
}

/* --- numbers --- */

static void writes_numbers(void **state)
{
    (void)state;
    udr_json_open_array(&json, NULL);
    udr_json_number(&json, NULL, 0);
    udr_json_number(&json, NULL, UINT64_MAX);
    udr_json_close_array(&json);
    assert_string_equal(written, "[0,18446744073709551615]");
}

static void writes_hundredths(void **state)
{
    (void)state;
    static const apr_uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 101, 110, 150, 10000, 10005};
    udr_json_open_array(&json, NULL);
    for (size_t i = 0; i < LENGTH(numbers); i++) {
        udr_json_hundredths(&json, NULL, numbers[i]);
    }
    udr_json_close_array(&json);
    assert_string_equal(written, "[0,0.01,0.09,0.1,0.99,1,1.01,1.1,1.5,100,100.05]");
}

/* --- texts --- */

static void assert_text(const char *text, const char *expected)
{
    char quoted[256];
    (void)begin(NULL);
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", expected);
    udr_json_string(&json, NULL, text);
    assert_string_equal(written, quoted);
}

static void escapes_what_must_be(void **state)
{
    (void)state;
    assert_text("plain /run/app.sock", "plain /run/app.sock");
    assert_text("a\"b\\c/d", "a\\\"b\\\\c/d");
    assert_text("\\", "\\\\");
    assert_text("\n\t\r\b\x01\x1f x", "\\u000a\\u0009\\u000d\\u0008\\u0001\\u001f x");
    assert_text("\x7f", "\x7f");
}

static void escapes_each_control_character(void **state)
{
    (void)state;
    for (unsigned int byte = 1; byte < 0x20; byte++) {
        const char text[] = {'<', (char)byte, '>', '\0'};
        char expected[16];
        (void)snprintf(expected, sizeof expected, "<\\u%04x>", byte);
        assert_text(text, expected);
    }
}

static void escapes_keys_too(void **state)
{
    (void)state;
    udr_json_open_object(&json, NULL);
    udr_json_null(&json, "a\"\xff");
    udr_json_close_object(&json);
    assert_string_equal(written, "{\"a\\\"" REPLACEMENT "\":null}");
}

static void leaves_utf8_as_it_is(void **state)
{
    /* First and last of each length and form. */
    static const char *const texts[] = {
        "\xc2\x80",         "\xdf\xbf",
        "\xe0\xa0\x80",     "\xe0\xbf\xbf",
        "\xe1\x80\x80",     "\xec\xbf\xbf",
        "\xed\x80\x80",     "\xed\x9f\xbf",
        "\xee\x80\x80",     "\xef\xbf\xbf",
        "\xf0\x90\x80\x80", "\xf3\xbf\xbf\xbf",
        "\xf4\x8f\xbf\xbf", "K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\x98!",
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        assert_text(texts[i], texts[i]);
    }
}

static void replaces_what_is_no_utf8(void **state)
{
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"a\x80z", "a" REPLACEMENT "z"},                                       /* a continuation alone */
        {"\xc3", REPLACEMENT},                                                 /* cut off by the end */
        {"\xe2\x82", REPLACEMENT REPLACEMENT},                                 /* likewise */
        {"\xf0\x9f\x90", REPLACEMENT REPLACEMENT REPLACEMENT},                 /* likewise */
        {"\xc3\"", REPLACEMENT "\\\""},                                        /* by a quote */
        {"\xe2\x82\\", REPLACEMENT REPLACEMENT "\\\\"},                        /* by a backslash */
        {"\xc0\xaf", REPLACEMENT REPLACEMENT},                                 /* longer than need be */
        {"\xe0\x9f\xbf", REPLACEMENT REPLACEMENT REPLACEMENT},                 /* likewise */
        {"\xf0\x8f\xbf\xbf", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT}, /* likewise */
        {"\xed\xa0\x80", REPLACEMENT REPLACEMENT REPLACEMENT},                 /* a surrogate */
        {"\xf4\x90\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT}, /* beyond U+10FFFF */
        {"\xf5\xfe\xff", REPLACEMENT REPLACEMENT REPLACEMENT},                 /* no first bytes at all */
        {"\xe4\xc3\xb6", REPLACEMENT "\xc3\xb6"},                              /* Latin-1, then UTF-8 */
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        assert_text(cases[i].text, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(puts_commas_between_values, begin),
        cmocka_unit_test_setup(writes_a_single_value, begin),
        cmocka_unit_test_setup(writes_numbers, begin),
        cmocka_unit_test_setup(writes_hundredths, begin),
        cmocka_unit_test_setup(escapes_what_must_be, begin),
        cmocka_unit_test_setup(escapes_each_control_character, begin),
        cmocka_unit_test_setup(escapes_keys_too, begin),
        cmocka_unit_test_setup(leaves_utf8_as_it_is, begin),
        cmocka_unit_test_setup(replaces_what_is_no_utf8, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
