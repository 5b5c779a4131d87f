/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_protocol.h"

#include <apr_general.h>

#include <string.h>

#define END_OF_STDIN "\1\5\0\1\0\0\0\0"
#define ANSWER       "\1\6\0\1\0\32\0\0Content-Type: a/b\r\n\r\nhello"
#define END(status)  "\1\3\0\1\0\10\0\0\0\0\0\0" status "\0\0\0"

static const udr_protocol_t *const protocol = &udr_protocol_fcgi;

static void is_what_the_fcgi_scheme_speaks(void **state)
{
    (void)state;
    assert_spoken(protocol, "FastCGI", "unix:/run/a.sock|fcgi://localhost/");
    assert_true(protocol->names_script);
    assert_true(protocol->is_cgi && protocol->is_exclusive && protocol->has_keepalive && protocol->is_framed);
    assert_null(protocol->reader_verbatim);
    assert_null(protocol->reader_skip);
    assert_slice(protocol->abort, BYTES("\1\2\0\1\0\0\0\0"));
}

static void writes_heads_of_fastcgi(void **state)
{
    const udr_request_t request = request_of("PUT", UDR_BODY_LENGTH, 5);
    const writer_t writer = {protocol->head_room, protocol->write_head};
    (void)state;
    assert_slice(write_request(&writer, &request, true), BYTES("\1\1\0\1\0\10\0\0\0\1\1\0\0\0\0\0"
                                                               "\1\4\0\1\0\21\0\0\16\1CONTENT_LENGTH5"
                                                               "\1\4\0\1\0\0\0\0"));
    assert_unknown_length_refused(&writer);
}

static void frames_bodies(void **state)
{
    const udr_request_t request = request_of("PUT", UDR_BODY_LENGTH, 5);
    char prefix[UDR_PROTOCOL_FRAME];
    udr_slice_t suffix = {NULL, 1};
    (void)state;
    assert_int_equal(protocol->frame_max, 65535);
    assert_int_equal(protocol->write_frame(&request, 1, false, prefix, &suffix), 8);
    assert_memory_equal(prefix, "\1\5\0\1\0\1\0\0", 8);
    assert_int_equal(suffix.len, 0);
    assert_int_equal(protocol->write_frame(&request, 65535, true, prefix, &suffix), 8);
    assert_memory_equal(prefix, "\1\5\0\1\xff\xff\0\0", 8);
    assert_slice(suffix, BYTES(END_OF_STDIN));
    assert_slice(protocol->write_end(&request, NULL, pool), BYTES(END_OF_STDIN));
}

static void reads_a_response(void **state)
{
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    memset(&reader, 0xff, sizeof reader);
    reader.is_busy = true;
    begin(protocol, &reader, "GET");
    assert_int_equal(feed(protocol, &reader, BYTES(ANSWER END("\0") "rest"), &used), UDR_CODEC_END);
    assert_int_equal(used, sizeof ANSWER - 1 + 16);
    assert_int_equal(reader.head->status, 200);
    assert_int_equal(reader.head->framing, UDR_HTTP1_TO_CLOSE);
    assert_true(reader.head->persistent);
    assert_int_equal(reader.trailers.len, 0);
    assert_null(reader.why);
}

static void expects_no_body_after_head(void **state)
{
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    begin(protocol, &reader, "HEAD");
    assert_int_equal(feed(protocol, &reader, BYTES(ANSWER END("\0")), &used), UDR_CODEC_END);
    assert_int_equal(reader.head->framing, UDR_HTTP1_NO_BODY);
}

static void says_what_is_bad_about_a_response(void **state)
{
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    begin(protocol, &reader, "GET");
    assert_int_equal(feed(protocol, &reader, BYTES("HTTP/1.1 200 OK\r\n\r\n"), &used), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "a record of another version than 1");
    assert_false(reader.is_busy);
    begin(protocol, &reader, "GET");
    assert_int_equal(feed(protocol, &reader, BYTES(END("\2")), &used), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "ended by END_REQUEST: it is overloaded");
    assert_true(reader.is_busy);
    /* A reader that is begun anew has forgotten it. */
    begin(protocol, &reader, "GET");
}

static void knows_what_a_close_means(void **state)
{
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    assert_silence_is_bad(protocol, &reader);
    begin(protocol, &reader, "GET");
    assert_int_equal(feed(protocol, &reader, BYTES(ANSWER "\1\6\0\1\0\0\0\0"), &used), UDR_CODEC_MORE);
    assert_int_equal(protocol->reader_eof(&reader, 0), UDR_CODEC_END);
    assert_false(reader.head->persistent);
}

static void recognizes_others(void **state)
{
    static const struct {
        udr_slice_t bytes;
        const char *name;
    } rows[] = {
        {{"HTTP/1.", 7}, "HTTP"},        {{"HTTP/1.1 200 OK\r\n", 17}, "HTTP"}, {{"HTTP/1", 6}, NULL},
        {{"HTTP/2.0", 8}, NULL},         {{"\x15\3\3\0\2\2\x16", 7}, "TLS"},    {{"\0\0\6\4\0\0\0\0\0", 9}, "HTTP/2"},
        {{"\1\6\0\1\0\5\3\0", 8}, NULL}, {{"hello world", 11}, NULL},           {{"", 0}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *name = protocol->recognize(rows[i].bytes.ptr, rows[i].bytes.len);
        assert_string_equal(name ? name : "none", rows[i].name ? rows[i].name : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_what_the_fcgi_scheme_speaks),
        cmocka_unit_test(writes_heads_of_fastcgi),
        cmocka_unit_test(frames_bodies),
        cmocka_unit_test(reads_a_response),
        cmocka_unit_test(expects_no_body_after_head),
        cmocka_unit_test(says_what_is_bad_about_a_response),
        cmocka_unit_test(knows_what_a_close_means),
        cmocka_unit_test(recognizes_others),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_protocol_fcgi", tests, make_pool, drop_pool);
}
