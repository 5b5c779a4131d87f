/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_uwsgi_request.h"
#include "tests/unit/fixture_request.h"

#include <apr_general.h>

#include <stdlib.h>
#include <string.h>

static const writer_t writer = {udr_uwsgi_request_room, udr_uwsgi_request_head};

static void writes_variables_with_their_lengths(void **state)
{
    udr_request_t request = request_of("POST", UDR_BODY_NONE, 0);
    (void)state;
    add_variable(&request, "REQUEST_METHOD", "GET");
    add_variable(&request, "QUERY_STRING", "");
    add_variable(&request, "X", "\xc3\xa4");
    assert_written(&writer, &request,
                   BYTES("\0\x2c\0\0"
                         "\x0e\0REQUEST_METHOD\x03\0GET"
                         "\x0c\0QUERY_STRING\0\0"
                         "\x01\0X\x02\0\xc3\xa4"));
}

static void writes_long_values_and_long_packets(void **state)
{
    udr_request_t request = request_of("POST", UDR_BODY_NONE, 0);
    char value[301];
    char expected[4 + 2 + 1 + 2 + 300];
    (void)state;
    memset(value, 'v', 300);
    value[300] = '\0';
    add_variable(&request, "A", value);
    /* 305 bytes: 0x131; a value of 300: 0x12c */
    memcpy(expected, "\0\x31\x01\0\x01\0A\x2c\x01", 9);
    memcpy(expected + 9, value, 300);
    assert_written(&writer, &request, (udr_slice_t){expected, sizeof expected});
}

static void says_how_long_a_body_is(void **state)
{
    udr_request_t request = request_of("POST", UDR_BODY_LENGTH, 0);
    (void)state;
    assert_written(&writer, &request,
                   BYTES("\0\x13\0\0\x0e\0CONTENT_LENGTH\x01\0"
                         "0"));
    request.length = UINT64_MAX;
    assert_written(&writer, &request,
                   BYTES("\0\x26\0\0\x0e\0CONTENT_LENGTH\x14\0"
                         "18446744073709551615"));
    /* No other word on it gets there. */
    add_variable(&request, "CONTENT_LENGTH", "5");
    request.length = 7;
    assert_written(&writer, &request,
                   BYTES("\0\x13\0\0\x0e\0CONTENT_LENGTH\x01\0"
                         "7"));
    request.body = UDR_BODY_NONE;
    assert_written(&writer, &request, BYTES("\0\0\0\0"));
    request.params = NULL;
    assert_written(&writer, &request, BYTES("\0\0\0\0"));
}

static void refuses_a_body_of_unknown_length(void **state)
{
    (void)state;
    assert_unknown_length_refused(&writer);
}

static void refuses_a_variable_without_a_name(void **state)
{
    (void)state;
    assert_nameless_variable_refused(&writer);
}

#define TOO_MUCH                                                                                                       \
    "more than 64 KiB of variables (the uwsgi protocol has room for no more): fewer or shorter header fields"

static void refuses_what_the_length_of_a_packet_cannot_say(void **state)
{
    static char value[70000];
    udr_request_t request = request_of("POST", UDR_BODY_NONE, 0);
    (void)state;
    memset(value, 'v', sizeof value - 1);
    add_variable(&request, "A", value);
    assert_refused(&writer, &request, TOO_MUCH);
    /* 4 bytes of lengths, one of name */
    value[65535 - 5] = '\0';
    char *expected = malloc(4 + 65535);
    assert_non_null(expected);
    memcpy(expected, "\0\xff\xff\0\x01\0A\xfa\xff", 9);
    memcpy(expected + 9, value, 65530);
    assert_written(&writer, &request, (udr_slice_t){expected, 4 + 65535});
    free(expected);
    request.body = UDR_BODY_LENGTH; /* CONTENT_LENGTH is one of them */
    assert_refused(&writer, &request, TOO_MUCH);
    request.body = UDR_BODY_NONE;
    value[65535 - 5] = 'v';
    value[65535 - 4] = '\0';
    assert_refused(&writer, &request, TOO_MUCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_variables_with_their_lengths),
        cmocka_unit_test(writes_long_values_and_long_packets),
        cmocka_unit_test(says_how_long_a_body_is),
        cmocka_unit_test(refuses_a_body_of_unknown_length),
        cmocka_unit_test(refuses_a_variable_without_a_name),
        cmocka_unit_test(refuses_what_the_length_of_a_packet_cannot_say),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_uwsgi_request", tests, make_pool, drop_pool);
}
