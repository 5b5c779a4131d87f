/* SPDX-License-Identifier: Apache-2.0 */
/* What is a plain head, and its parts. That httpd makes the same of each is shown by test_loops_heads.py. */
#include "mod_udsroute/udr_head.h"

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

static const udr_head_limits_t usual = {.line = 8190, .field = 8190, .fields = 100};

static const char whole[] = "GET /app/x?a=b HTTP/1.1\r\nHost: example\r\nX-A: \tb c \r\nContent-Length: 3\r\n\r\n";

static void assert_slice(udr_slice_t slice, const char *expected)
{
    assert_int_equal(slice.len, strlen(expected));
    assert_memory_equal(slice.ptr, expected, slice.len);
}

/* Of bytes in memory of their own, so that a sanitizer sees who reads behind them. */
static bool is_plain(const char *text, size_t len, const udr_head_limits_t *limits)
{
    udr_head_t head;
    char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    const bool found = udr_head_read(&head, (udr_slice_t){copy, len}, limits);
    free(copy);
    return found;
}

static bool is_plain_text(const char *text)
{
    return is_plain(text, strlen(text), &usual);
}

static void a_plain_head_is_taken_apart(void **state)
{
    udr_head_t head;
    (void)state;
    assert_true(udr_head_read(&head, SLICE(whole), &usual));
    assert_slice(head.line, "GET /app/x?a=b HTTP/1.1");
    assert_slice(head.method, "GET");
    assert_slice(head.target, "/app/x?a=b");
    assert_slice(head.path, "/app/x");
    assert_true(head.has_query);
    assert_slice(head.query, "a=b");
    assert_slice(head.protocol, "HTTP/1.1");
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.len, sizeof whole - 1);
    assert_true(head.has_body);
    assert_slice(head.host, "example");
    assert_int_equal(head.count, 3);
    assert_slice(head.fields[1].name, "X-A");
    assert_slice(head.fields[1].value, "b c");
}

static void what_is_not_there_is_said_to_be_missing(void **state)
{
    udr_head_t head;
    (void)state;
    assert_true(udr_head_read(&head, SLICE("HEAD / HTTP/1.0\r\n\r\nrest"), &usual));
    assert_slice(head.path, "/");
    assert_false(head.has_query);
    assert_int_equal(head.minor, 0);
    assert_int_equal(head.len, 19);
    assert_false(head.has_body);
    assert_null(head.host.ptr);
    assert_int_equal(head.count, 0);
    assert_true(udr_head_read(&head, SLICE("GET /? HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n"), &usual));
    assert_true(head.has_query);
    assert_int_equal(head.query.len, 0);
    assert_non_null(head.host.ptr);
    assert_int_equal(head.host.len, 0);
    assert_false(head.has_body);
}

static void a_part_of_a_head_is_none(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        assert_false(is_plain(whole, len, &usual));
    }
    assert_true(is_plain(whole, sizeof whole - 1, &usual));
}

/* With any control character in any place, but a tab. */
static void a_head_with_a_bad_byte_is_none(void **state)
{
    (void)state;
    for (size_t place = 0; place < sizeof whole - 1; place++) {
        for (int byte = 0; byte < 0x20; byte++) {
            char text[sizeof whole];
            memcpy(text, whole, sizeof whole);
            text[place] = (char)byte;
            if (byte != '\t' && byte != whole[place]) {
                assert_false(is_plain(text, sizeof whole - 1, &usual));
            }
        }
    }
}

static void what_readers_differ_about_is_not_plain(void **state)
{
    static const char *const rows[] = {
        "\r\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\n\n",
        "GET / HTTP/1.1\r\nA: b\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "GE-T / HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /  HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.11\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "GET\r\n\r\n",
        " / HTTP/1.1\r\n\r\n",
        "GET // HTTP/1.1\r\n\r\n",
        "GET * HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET a HTTP/1.1\r\n\r\n",
        "GET /#a HTTP/1.1\r\n\r\n",
        "GET /?a#b HTTP/1.1\r\n\r\n",
        "GET /\\ HTTP/1.1\r\n\r\n",
        "GET /\x80 HTTP/1.1\r\n\r\n",
        "GET /\" HTTP/1.1\r\n\r\n",
        "GET /< HTTP/1.1\r\n\r\n",
        "GET /^ HTTP/1.1\r\n\r\n",
        "GET /[ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n a\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\na: c\r\n\r\n",
        "GET / HTTP/1.1\r\nA-B: b\r\nX: y\r\nA-b: c\r\n\r\n",
        "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
        "GET / HTTP/1.1\r\nTRANSFER-encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 9223372036854775808\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_false(is_plain_text(rows[i]));
    }
}

static void names_that_are_alike_are_not_the_same(void **state)
{
    (void)state;
    assert_true(is_plain_text("GET / HTTP/1.1\r\nAccept: b\r\nAccess: c\r\nApples: d\r\nAccept2: e\r\n\r\n"));
    assert_true(is_plain_text("GET / HTTP/1.1\r\nHosts: b\r\nExpec: c\r\nContent-Lengt: x\r\n\r\n"));
}

static void near_a_limit_nothing_is_plain(void **state)
{
    static const char text[] = "GET /1234 HTTP/1.1\r\nA: b\r\nB: 123456789\r\n\r\n";
    static const struct {
        udr_head_limits_t limits;
        bool expected;
    } rows[] = {
        {{.line = 20, .field = 14, .fields = 2}, true},  {{.line = 20, .field = 14, .fields = 0}, true},
        {{.line = 19, .field = 14, .fields = 2}, false}, {{.line = 20, .field = 13, .fields = 2}, false},
        {{.line = 20, .field = 14, .fields = 1}, false}, {{.line = 0, .field = 0, .fields = 2}, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(is_plain(text, sizeof text - 1, &rows[i].limits), rows[i].expected);
    }
}

static void there_is_room_for_so_many_fields(void **state)
{
    static const udr_head_limits_t none = {.line = 8190, .field = 8190};
    (void)state;
    for (int count = UDR_HEAD_FIELDS - 1; count <= UDR_HEAD_FIELDS + 1; count++) {
        char text[4096] = "GET / HTTP/1.1\r\n";
        size_t len = strlen(text);
        for (int i = 0; i < count; i++) {
            len += (size_t)snprintf(text + len, sizeof text - len, "X-%d: y\r\n", i);
        }
        len += (size_t)snprintf(text + len, sizeof text - len, "\r\n");
        assert_int_equal(is_plain(text, len, &none), count <= UDR_HEAD_FIELDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_head_is_taken_apart),
        cmocka_unit_test(what_is_not_there_is_said_to_be_missing),
        cmocka_unit_test(a_part_of_a_head_is_none),
        cmocka_unit_test(a_head_with_a_bad_byte_is_none),
        cmocka_unit_test(what_readers_differ_about_is_not_plain),
        cmocka_unit_test(names_that_are_alike_are_not_the_same),
        cmocka_unit_test(near_a_limit_nothing_is_plain),
        cmocka_unit_test(there_is_room_for_so_many_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
