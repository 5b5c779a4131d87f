/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_protocol.h"

#include <apr_general.h>

#include <string.h>

static const udr_protocol_t *const protocol = &udr_protocol_http1;

static void is_what_the_http_scheme_speaks(void **state)
{
    (void)state;
    assert_spoken(protocol, "HTTP", "unix:/run/a.sock|http://localhost/");
}

static void writes_heads_of_http1(void **state)
{
    udr_request_t request = request_of("PUT", UDR_BODY_LENGTH, 5);
    const writer_t writer = {protocol->head_room, protocol->write_head};
    (void)state;
    assert_slice(write_request(&writer, &request, true),
                 BYTES("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"));
    assert_written(&writer, &request,
                   BYTES("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"));
    request.method = "PUT /";
    assert_refused(&writer, &request, "a control character in method, path or a header field");
}

static void frames_chunked_bodies_only(void **state)
{
    static const udr_body_t plain[] = {UDR_BODY_NONE, UDR_BODY_LENGTH};
    char prefix[UDR_PROTOCOL_FRAME];
    udr_slice_t suffix;
    (void)state;
    assert_true(UDR_PROTOCOL_FRAME >= UDR_HTTP1_CHUNK_PREFIX);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const udr_request_t request = request_of("PUT", plain[i], 5);
        suffix = (udr_slice_t){"untouched", 9};
        assert_int_equal(protocol->write_frame(&request, 10, false, prefix, &suffix), 0);
        assert_int_equal(suffix.len, 0);
        assert_int_equal(protocol->write_end(&request, NULL, pool).len, 0);
    }
    const udr_request_t request = request_of("PUT", UDR_BODY_CHUNKED, 5);
    assert_int_equal(protocol->write_frame(&request, 10, false, prefix, &suffix), 3);
    assert_memory_equal(prefix, "a\r\n", 3);
    assert_slice(suffix, BYTES("\r\n"));
    assert_slice(protocol->write_end(&request, NULL, pool), BYTES("0\r\n\r\n"));
    apr_table_t *trailers = apr_table_make(pool, 1);
    apr_table_setn(trailers, "X-Sum", "1");
    assert_slice(protocol->write_end(&request, trailers, pool), BYTES("0\r\nX-Sum: 1\r\n\r\n"));
}

static void reads_a_response_with_trailers(void **state)
{
    static const char text[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\nrest";
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    memset(&reader, 0xff, sizeof reader);
    reader.is_busy = true;
    begin(protocol, &reader, "GET");
    assert_int_equal(feed(protocol, &reader, BYTES(text), &used), UDR_CODEC_END);
    assert_string_equal(text + used, "rest");
    assert_int_equal(reader.head->status, 200);
    assert_int_equal(reader.head->framing, UDR_HTTP1_CHUNKED);
    assert_true(reader.head->persistent);
    assert_slice(reader.trailers, BYTES("X-Sum: 9\r\n"));
    assert_null(reader.why);
}

static void expects_no_body_after_head(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    begin(protocol, &reader, "HEAD");
    assert_int_equal(feed(protocol, &reader, BYTES(text), &used), UDR_CODEC_END);
    assert_string_equal(text + used, "abc");
    /* Method names have a case. */
    begin(protocol, &reader, "Head");
    assert_int_equal(feed(protocol, &reader, BYTES(text), &used), UDR_CODEC_END);
    assert_string_equal(text + used, "");
}

static void says_what_is_bad_about_a_response(void **state)
{
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    begin(protocol, &reader, "GET");
    assert_int_equal(feed(protocol, &reader, BYTES("HTTP/1.1 200 OK\r\n folded\r\n\r\n"), &used), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "a folded field line (obs-fold)");
    /* A reader that is begun anew has forgotten it. */
    begin(protocol, &reader, "GET");
}

static void keeps_to_the_limits(void **state)
{
    const udr_http1_limits_t tight = {64, 128};
    const udr_request_t request = request_of("GET", UDR_BODY_NONE, 0);
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    protocol->reader_init(&reader, &request, &tight);
    assert_int_equal(feed(protocol, &reader,
                          BYTES("HTTP/1.1 200 OK\r\n"
                                "X: 0123456789012345678901234567890123456789012345678901234567890123456789"),
                          &used),
                     UDR_CODEC_BAD);
    assert_non_null(reader.why);
}

static void knows_what_a_close_means(void **state)
{
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    begin(protocol, &reader, "GET");
    assert_int_equal(feed(protocol, &reader, BYTES("HTTP/1.1 200 OK\r\n\r\nabc"), &used), UDR_CODEC_MORE);
    assert_int_equal(protocol->reader_eof(&reader, 0), UDR_CODEC_END);
    assert_int_equal(reader.trailers.len, 0);
    assert_silence_is_bad(protocol, &reader);
    begin(protocol, &reader, "GET");
    assert_int_equal(feed(protocol, &reader, BYTES("HTTP"), &used), UDR_CODEC_MORE);
    assert_int_equal(protocol->reader_eof(&reader, 4), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "closed within the head");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_what_the_http_scheme_speaks),
        cmocka_unit_test(writes_heads_of_http1),
        cmocka_unit_test(frames_chunked_bodies_only),
        cmocka_unit_test(reads_a_response_with_trailers),
        cmocka_unit_test(expects_no_body_after_head),
        cmocka_unit_test(says_what_is_bad_about_a_response),
        cmocka_unit_test(keeps_to_the_limits),
        cmocka_unit_test(knows_what_a_close_means),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_protocol_http1", tests, make_pool, drop_pool);
}
