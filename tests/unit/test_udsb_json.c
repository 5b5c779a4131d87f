/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_text(udsb_text_t *text, const char *expected)
{
    assert_false(text->has_failed);
    assert_int_equal(text->length, strlen(expected));
    assert_memory_equal(text->data, expected, text->length);
    udsb_text_clear(text);
}

static void strings_are_escaped(void **state)
{
    static const struct {
        const char *data;
        size_t length;
        const char *expected;
    } cases[] = {
        {"", 0, "\"\""},
        {"abc", 3, "\"abc\""},
        {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
        {"\0\1\n\x1f\x7f", 5, "\"\\u0000\\u0001\\u000a\\u001f\\u007f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
         3,
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3(", 2, "\"\xef\xbf\xbd(\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        udsb_text_t text = {0};

        udsb_json_string(&text, cases[i].data, cases[i].length);
        assert_text(&text, cases[i].expected);
    }
}

static void base64(void **state)
{
    static const struct {
        const char *data;
        size_t length;
        const char *expected;
    } cases[] = {{"", 0, "\"\""},
                 {"f", 1, "\"Zg==\""},
                 {"fo", 2, "\"Zm8=\""},
                 {"foo", 3, "\"Zm9v\""},
                 {"\xff\0\xfe", 3, "\"/wD+\""}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        udsb_text_t text = {0};

        udsb_json_base64(&text, cases[i].data, cases[i].length);
        assert_text(&text, cases[i].expected);
    }
}

static void texts_grow(void **state)
{
    udsb_text_t text = {0};
    char *const expected = malloc(300001);

    (void)state;
    for (int i = 0; i < 30000; i++) {
        udsb_text_format(&text, "%09d\n", i);
        snprintf(expected + i * 10, 11, "%09d\n", i);
    }
    assert_text(&text, expected);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(strings_are_escaped), cmocka_unit_test(base64),
                                       cmocka_unit_test(texts_grow)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
