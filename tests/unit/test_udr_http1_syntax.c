/* SPDX-License-Identifier: Apache-2.0 */
/* What lines are made of, function by function. That the reader refuses a response for each of these reasons, and every
 * bad byte in every place, is shown by test_udr_http1.c. */
#include "mod_udsroute/udr_http1_syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array)   (sizeof(array) / sizeof(*(array)))
#define SLICE(literal) ((udr_slice_t){(literal), sizeof(literal) - 1})

static void assert_slice(udr_slice_t slice, const char *expected)
{
    assert_int_equal(slice.len, strlen(expected));
    assert_memory_equal(slice.ptr, expected, slice.len);
}

/* --- characters --- */

static void a_byte_has_the_classes_that_the_grammar_gives_it(void **state)
{
    /* RFC 9110, 5.6.2: tchar. */
    static const char token[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        const bool is_token = byte != 0 && strchr(token, byte) != NULL;
        const bool is_text = byte == '\t' || (byte >= ' ' && byte != 0x7f);
        assert_int_equal(udr_http1_is((char)byte, UDR_HTTP1_TOKEN), is_token);
        assert_int_equal(udr_http1_is((char)byte, UDR_HTTP1_TEXT), is_text);
        assert_int_equal(udr_http1_is_space((char)byte), byte == ' ' || byte == '\t');
    }
}

static void a_hexadecimal_digit_has_a_value_and_no_other_byte_has(void **state)
{
    static const char digits[] = "0123456789abcdef";
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        const char *digit = byte ? strchr(digits, byte >= 'A' && byte <= 'F' ? byte - 'A' + 'a' : byte) : NULL;
        assert_int_equal(udr_http1_hex_value((char)byte), digit ? digit - digits : -1);
        assert_int_equal(udr_http1_is_digit((char)byte), digit && digit - digits < 10);
    }
}

static void a_span_ends_with_the_class_or_with_the_text(void **state)
{
    (void)state;
    assert_int_equal(udr_http1_span(SLICE("name: value"), UDR_HTTP1_TOKEN), 4);
    assert_int_equal(udr_http1_span(SLICE("name: value\r"), UDR_HTTP1_TEXT), 11);
    assert_int_equal(udr_http1_span(SLICE(": value"), UDR_HTTP1_TOKEN), 0);
    assert_int_equal(udr_http1_span((udr_slice_t){"name", 3}, UDR_HTTP1_TOKEN), 3);
    assert_int_equal(udr_http1_span((udr_slice_t){NULL, 0}, UDR_HTTP1_TEXT), 0);
}

/* --- words and lists --- */

static void white_space_is_trimmed_outside_only(void **state)
{
    static const char *const rows[][2] = {
        {"a b", "a b"}, {" \ta \tb\t ", "a \tb"}, {"", ""}, {" ", ""}, {"\t \t", ""}, {"\ra\n", "\ra\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_slice(udr_http1_trimmed(rows[i][0], rows[i][0] + strlen(rows[i][0])), rows[i][1]);
    }
}

static void words_are_equal_in_any_case_and_as_a_whole(void **state)
{
    (void)state;
    assert_true(UDR_HTTP1_EQUALS(SLICE("keep-alive"), "keep-alive"));
    assert_true(UDR_HTTP1_EQUALS(SLICE("Keep-ALIVE"), "keep-alive"));
    assert_false(UDR_HTTP1_EQUALS(SLICE("keep-aliv"), "keep-alive"));
    assert_false(UDR_HTTP1_EQUALS(SLICE("keep-alive2"), "keep-alive"));
    assert_false(UDR_HTTP1_EQUALS(SLICE("keep_alive"), "keep-alive"));
    assert_false(UDR_HTTP1_EQUALS(SLICE(""), "close"));
}

/* Of all that is text, only a letter equals a letter and only '-' equals '-'. */
static void nothing_is_taken_for_another_letter(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        const char text = (char)byte;
        if (udr_http1_is(text, UDR_HTTP1_TEXT)) {
            assert_int_equal(UDR_HTTP1_EQUALS(((udr_slice_t){&text, 1}), "k"), text == 'k' || text == 'K');
            assert_int_equal(UDR_HTTP1_EQUALS(((udr_slice_t){&text, 1}), "-"), text == '-');
        }
    }
}

static void a_list_gives_each_element_once_the_empty_ones_too(void **state)
{
    /* The elements, each in brackets. */
    static const char *const rows[][2] = {
        {"close", "[close]"}, {"a,b", "[a][b]"}, {" a b ,\tc\t", "[a b][c]"},
        {"", "[]"},           {",", "[][]"},     {"a, ,b,", "[a][][b][]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[64] = "";
        size_t len = 0;
        udr_slice_t list = {rows[i][0], strlen(rows[i][0])};
        udr_slice_t element;
        while (udr_http1_list_next(&list, &element)) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, "[%.*s]", (int)element.len, element.ptr);
            assert_in_range(len, 2, sizeof(text) - 1);
        }
        assert_string_equal(text, rows[i][1]);
        assert_false(udr_http1_list_next(&list, &element));
    }
}

/* --- field lines --- */

static void a_field_line_is_taken_apart(void **state)
{
    static const char *const rows[][3] = {
        {"Name: value", "Name", "value"},
        {"n:v", "n", "v"},
        {"n:", "n", ""},
        {"n: \t ", "n", ""},
        {"n:\t a:b \t", "n", "a:b"},
        {"!#$%&'*+-.^_`|~0:\x80\xff", "!#$%&'*+-.^_`|~0", "\x80\xff"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        udr_field_t field;
        assert_null(udr_http1_parse_field((udr_slice_t){rows[i][0], strlen(rows[i][0])}, &field));
        assert_slice(field.name, rows[i][1]);
        assert_slice(field.value, rows[i][2]);
    }
}

static void what_is_no_field_line_is_refused_with_its_reason(void **state)
{
    static const struct {
        udr_slice_t line;
        const char *why;
    } rows[] = {
        {{" a: b", 5}, "a folded field line (obs-fold)"},
        {{"\ta", 2}, "a folded field line (obs-fold)"},
        {{"a", 1}, "a field line without a colon"},
        {{"a b", 3}, "a field line without a colon"},
        {{":", 1}, "a field without a name"},
        {{": b", 3}, "a field without a name"},
        {{"a : b", 5}, "white space in a field name or before its colon"},
        {{"a\tb: c", 6}, "white space in a field name or before its colon"},
        {{"a(b): c", 7}, "an illegal character in a field name"},
        {{"\xc3\xa4: c", 5}, "an illegal character in a field name"},
        {{"a\0: b", 5}, "a NUL in a line"},
        {{"a: \0b", 5}, "a NUL in a line"},
        {{"a\r: b", 5}, "a bare CR in a line"},
        {{"a: b\rc", 6}, "a bare CR in a line"},
        {{"\x7f: b", 4}, "a control character in a line"},
        {{"a: \x1b", 4}, "a control character in a line"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        udr_field_t field = {{"untouched", 9}, {NULL, 0}};
        const char *why = udr_http1_parse_field(rows[i].line, &field);
        assert_non_null(why);
        assert_string_equal(why, rows[i].why);
        assert_slice(field.name, "untouched");
        assert_null(field.value.ptr);
    }
}

/* A line ends where the slice says: what lies behind may be anything, also what would mend it. (In memory of its own
 * size, so that a sanitizer notices a look beyond.) */
static void nothing_behind_the_line_is_looked_at(void **state)
{
    static const char line[] = "name";
    udr_field_t field;
    (void)state;
    for (size_t len = 1; len < sizeof(line); len++) {
        char *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, line, len);
        assert_string_equal(udr_http1_parse_field((udr_slice_t){copy, len}, &field), "a field line without a colon");
        free(copy);
    }
    assert_string_equal(udr_http1_parse_field((udr_slice_t){"name: value", 4}, &field), "a field line without a colon");
    assert_null(udr_http1_parse_field((udr_slice_t){"n: v\r", 4}, &field));
    assert_slice(field.value, "v");
}

/* --- lengths --- */

static void a_length_is_digits_up_to_the_largest(void **state)
{
    static const struct {
        const char *text;
        apr_uint64_t length;
        const char *why;
    } rows[] = {
        {"0", 0, NULL},
        {"00012", 12, NULL},
        {"9223372036854775807", INT64_MAX, NULL},
        {"00000000000000000000009223372036854775807", INT64_MAX, NULL},
        {"9223372036854775808", 77, "a Content-Length beyond 2^63-1"},
        {"18446744073709551616", 77, "a Content-Length beyond 2^63-1"},
        {"99999999999999999999", 77, "a Content-Length beyond 2^63-1"},
        {"", 77, "an empty Content-Length"},
        {"+1", 77, "a Content-Length that is no number"},
        {"-1", 77, "a Content-Length that is no number"},
        {"0x1", 77, "a Content-Length that is no number"},
        {"1 1", 77, "a Content-Length that is no number"},
        {"1.0", 77, "a Content-Length that is no number"},
        {"5/", 77, "a Content-Length that is no number"},
        {"5:", 77, "a Content-Length that is no number"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        apr_uint64_t length = 77;
        const char *why = udr_http1_parse_length((udr_slice_t){rows[i].text, strlen(rows[i].text)}, &length);
        assert_true(length == rows[i].length);
        if (rows[i].why) {
            assert_non_null(why);
            assert_string_equal(why, rows[i].why);
        } else {
            assert_null(why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_has_the_classes_that_the_grammar_gives_it),
        cmocka_unit_test(a_hexadecimal_digit_has_a_value_and_no_other_byte_has),
        cmocka_unit_test(a_span_ends_with_the_class_or_with_the_text),
        cmocka_unit_test(white_space_is_trimmed_outside_only),
        cmocka_unit_test(words_are_equal_in_any_case_and_as_a_whole),
        cmocka_unit_test(nothing_is_taken_for_another_letter),
        cmocka_unit_test(a_list_gives_each_element_once_the_empty_ones_too),
        cmocka_unit_test(a_field_line_is_taken_apart),
        cmocka_unit_test(what_is_no_field_line_is_refused_with_its_reason),
        cmocka_unit_test(nothing_behind_the_line_is_looked_at),
        cmocka_unit_test(a_length_is_digits_up_to_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
