/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_fcgi.h"
#include "mod_udsroute/udr_fcgi_request.h"
#include "tests/unit/fixture_request.h"

#include <apr_general.h>

#include <string.h>

#define BEGIN         "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0"
#define BEGIN_KEEP    "\1\1\0\1\0\10\0\0\0\1\1\0\0\0\0\0"
#define PARAMS(len)   "\1\4\0\1\0" len "\0\0"
#define END_OF_PARAMS "\1\4\0\1\0\0\0\0"
#define END_OF_STDIN  "\1\5\0\1\0\0\0\0"

static const writer_t writer = {udr_fcgi_request_room, udr_fcgi_request_head};

static char *repeat(char byte, apr_size_t len)
{
    char *text = apr_palloc(pool, len + 1);
    memset(text, byte, len);
    text[len] = '\0';
    return text;
}

/* It takes all the room it has asked for. */
static udr_slice_t write_exactly(const udr_request_t *request, bool persistent)
{
    const char *why = NULL;
    const udr_slice_t written = write_request(&writer, request, persistent);
    assert_int_equal(written.len, udr_fcgi_request_room(request, &why));
    return written;
}

/* A reader of its own, as plain as can be: joins the stream PARAMS. Returns what is behind its end. */
static const char *join_params(udr_slice_t written, udr_slice_t *params)
{
    const char *at = written.ptr + 16;
    char *out = apr_palloc(pool, written.len);
    *params = (udr_slice_t){out, 0};
    for (;;) {
        apr_size_t len = (apr_size_t)(unsigned char)at[4] << 8 | (unsigned char)at[5];
        assert_memory_equal(at, "\1\4\0\1", 4);
        assert_int_equal(at[6], 0);
        at += 8;
        if (len == 0) {
            return at;
        }
        memcpy(out + params->len, at, len);
        params->len += len;
        at += len;
    }
}

static apr_size_t read_length(const char **at)
{
    const unsigned char *byte = (const unsigned char *)*at;
    *at += byte[0] < 0x80 ? 1 : 4;
    return byte[0] < 0x80
               ? byte[0]
               : (apr_size_t)(byte[0] & 0x7f) << 24 | (apr_size_t)byte[1] << 16 | (apr_size_t)byte[2] << 8 | byte[3];
}

static void assert_pair(const char **at, const char *name, const char *value)
{
    apr_size_t name_len = read_length(at);
    apr_size_t value_len = read_length(at);
    assert_int_equal(name_len, strlen(name));
    assert_int_equal(value_len, strlen(value));
    assert_memory_equal(*at, name, name_len);
    assert_memory_equal(*at + name_len, value, value_len);
    *at += name_len + value_len;
}

static void writes_begin_variables_and_ends(void **state)
{
    const udr_request_t request = request_of("GET", UDR_BODY_NONE, 0);
    (void)state;
    add_variable(&request, "A", "xy");
    add_variable(&request, "REQUEST_METHOD", "");
    assert_slice(write_exactly(&request, false),
                 BYTES(BEGIN PARAMS("\25") "\1\2"
                                           "Axy\16\0REQUEST_METHOD" END_OF_PARAMS END_OF_STDIN));
}

static void asks_to_keep_the_connection(void **state)
{
    const udr_request_t request = request_of("GET", UDR_BODY_NONE, 0);
    (void)state;
    udr_slice_t written = write_exactly(&request, true);
    assert_int_equal(written.len, sizeof BEGIN_KEEP - 1 + 16);
    assert_memory_equal(written.ptr, BEGIN_KEEP, sizeof BEGIN_KEEP - 1);
}

static void needs_no_variables(void **state)
{
    udr_request_t request = request_of("GET", UDR_BODY_NONE, 0);
    (void)state;
    assert_slice(write_exactly(&request, false), BYTES(BEGIN END_OF_PARAMS END_OF_STDIN));
    request.params = NULL;
    assert_slice(write_exactly(&request, false), BYTES(BEGIN END_OF_PARAMS END_OF_STDIN));
}

/* The variable that says how much STDIN holds is the writer's own. */
static void says_how_long_the_body_is(void **state)
{
    udr_request_t request = request_of("GET", UDR_BODY_LENGTH, 5);
    (void)state;
    add_variable(&request, "CONTENT_LENGTH", "17");
    add_variable(&request, "content_length", "18");
    /* What follows in STDIN is the body. */
    assert_slice(write_exactly(&request, false), BYTES(BEGIN PARAMS("\21") "\16\1CONTENT_LENGTH5" END_OF_PARAMS));
    request.length = 0;
    assert_slice(write_exactly(&request, false),
                 BYTES(BEGIN PARAMS("\21") "\16\1CONTENT_LENGTH0" END_OF_PARAMS END_OF_STDIN));
    request.length = UINT64_MAX;
    assert_slice(write_exactly(&request, false),
                 BYTES(BEGIN PARAMS("\44") "\16\24CONTENT_LENGTH18446744073709551615" END_OF_PARAMS));
    request.body = UDR_BODY_NONE;
    assert_slice(write_exactly(&request, false), BYTES(BEGIN END_OF_PARAMS END_OF_STDIN));
}

static void writes_lengths_in_one_byte_or_four(void **state)
{
    static const apr_size_t lengths[] = {0, 1, 126, 127, 128, 129, 255, 256, 65535, 65536, 1 << 20};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const udr_request_t request = request_of("GET", UDR_BODY_LENGTH, 1);
        const char *value = repeat('v', lengths[i]);
        const char *name = repeat('n', lengths[i] + 1);
        udr_slice_t params;
        add_variable(&request, "X", value);
        add_variable(&request, name, "x");
        add_variable(&request, "LAST", "\1\n\r\x7f\xff");
        udr_slice_t written = write_exactly(&request, false);
        const char *behind = join_params(written, &params);
        assert_ptr_equal(behind, written.ptr + written.len);
        const char *at = params.ptr;
        assert_pair(&at, "CONTENT_LENGTH", "1");
        assert_pair(&at, "X", value);
        assert_pair(&at, name, "x");
        assert_pair(&at, "LAST", "\1\n\r\x7f\xff");
        assert_ptr_equal(at, params.ptr + params.len);
    }
}

/* However the stream is cut into records, its end is an empty one. */
static void cuts_the_stream_where_a_record_is_full(void **state)
{
    (void)state;
    for (apr_size_t len = 65500; len < 65560; len++) {
        const udr_request_t request = request_of("GET", UDR_BODY_NONE, 0);
        const char *value = repeat('v', len);
        udr_slice_t params;
        add_variable(&request, "AB", value);
        add_variable(&request, "C", "D");
        udr_slice_t written = write_exactly(&request, false);
        apr_size_t total = 1 + 4 + 2 + len + 4;
        assert_int_equal(written.len, 16 + total + 8 * ((total + 65534) / 65535) + 16);
        const char *behind = join_params(written, &params);
        assert_int_equal(params.len, total);
        assert_memory_equal(behind, END_OF_STDIN, 8);
        const char *at = params.ptr;
        assert_pair(&at, "AB", value);
        assert_pair(&at, "C", "D");
    }
}

/* Each record of PARAMS can be read by itself. */
static void assert_whole_pairs(udr_slice_t written)
{
    const char *record = written.ptr + 16;
    for (;;) {
        apr_size_t len = (apr_size_t)(unsigned char)record[4] << 8 | (unsigned char)record[5];
        const char *at = record + 8;
        const char *end = at + len;
        if (len == 0) {
            return;
        }
        while (at < end) {
            apr_size_t name_len = read_length(&at);
            at += read_length(&at) + name_len;
        }
        assert_ptr_equal(at, end);
        record = end;
    }
}

static void cuts_no_pair_that_fits_into_a_record(void **state)
{
    static const apr_size_t lengths[] = {40000, 30000, 35000, 65535 - 6, 65535 - 7, 1,
                                         3,     65000, 500,   600,       32000,     33521};
    (void)state;
    for (apr_size_t shift = 0; shift < 12; shift++) {
        const udr_request_t request = request_of("GET", UDR_BODY_LENGTH, 12345);
        udr_slice_t params;
        for (int i = 0; i < 12; i++) {
            add_variable(&request, "N", repeat('v', lengths[((apr_size_t)i * 5 + shift) % 12]));
        }
        udr_slice_t written = write_exactly(&request, false);
        assert_whole_pairs(written);
        (void)join_params(written, &params);
        const char *at = params.ptr;
        assert_pair(&at, "CONTENT_LENGTH", "12345");
        for (int i = 0; i < 12; i++) {
            assert_pair(&at, "N", repeat('v', lengths[((apr_size_t)i * 5 + shift) % 12]));
        }
    }
}

static void refuses_what_can_not_be_said(void **state)
{
    (void)state;
    assert_unknown_length_refused(&writer);
    assert_nameless_variable_refused(&writer);
}

static void refuses_too_many_variables(void **state)
{
    udr_request_t request = request_of("GET", UDR_BODY_NONE, 0);
    (void)state;
    add_variable(&request, "A", repeat('v', UDR_FCGI_PARAMS_MAX - 6));
    assert_int_equal(write_exactly(&request, false).len, 16 + UDR_FCGI_PARAMS_MAX + 8 * 257 + 16);
    request = request_of("GET", UDR_BODY_NONE, 0);
    add_variable(&request, "A", repeat('v', UDR_FCGI_PARAMS_MAX - 5));
    assert_refused(&writer, &request, "variables of more than 16 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_begin_variables_and_ends),
        cmocka_unit_test(asks_to_keep_the_connection),
        cmocka_unit_test(needs_no_variables),
        cmocka_unit_test(says_how_long_the_body_is),
        cmocka_unit_test(writes_lengths_in_one_byte_or_four),
        cmocka_unit_test(cuts_the_stream_where_a_record_is_full),
        cmocka_unit_test(cuts_no_pair_that_fits_into_a_record),
        cmocka_unit_test(refuses_what_can_not_be_said),
        cmocka_unit_test(refuses_too_many_variables),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_fcgi_request", tests, make_pool, drop_pool);
}
