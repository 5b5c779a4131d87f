/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_protocol.h"
#include "mod_udsroute/udr_target.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>

static const udr_protocol_t *const protocol = &udr_protocol_http1;
static const udr_http1_limits_t usual = {1024, 8192};
static apr_pool_t *pool;

static int make_pool(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL) != APR_SUCCESS;
}

static int drop_pool(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static udr_request_t request_of(const char *method, udr_body_t body)
{
    return (udr_request_t){
        .method = method, .target = "/", .host = "h", .fields = apr_table_make(pool, 1), .body = body, .length = 5};
}

static void assert_slice(udr_slice_t slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.ptr, text, slice.len);
}

static void is_what_the_http_scheme_speaks(void **state)
{
    const udr_target_t *target = NULL;
    (void)state;
    assert_null(udr_target_parse(&target, "unix:/run/a.sock|http://localhost/", "/run", pool));
    assert_ptr_equal(target->scheme->protocol, protocol);
    assert_string_equal(protocol->name, "HTTP");
}

static void writes_heads_of_http1(void **state)
{
    udr_request_t request = request_of("PUT", UDR_BODY_LENGTH);
    char room[512];
    const char *why = NULL;
    (void)state;
    assert_in_range(protocol->head_room(&request, &why), 1, sizeof room);
    udr_slice_t head = {room, protocol->write_head(&request, true, room)};
    assert_slice(head, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    head.len = protocol->write_head(&request, false, room);
    assert_slice(head, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
    request.method = "PUT /";
    assert_int_equal(protocol->head_room(&request, &why), 0);
    assert_string_equal(why, "a control character in method, path or a header field");
}

static void frames_chunked_bodies_only(void **state)
{
    static const udr_body_t plain[] = {UDR_BODY_NONE, UDR_BODY_LENGTH};
    char prefix[UDR_PROTOCOL_FRAME];
    udr_slice_t suffix;
    (void)state;
    assert_true(UDR_PROTOCOL_FRAME >= UDR_HTTP1_CHUNK_PREFIX);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const udr_request_t request = request_of("PUT", plain[i]);
        suffix = (udr_slice_t){"untouched", 9};
        assert_int_equal(protocol->write_frame(&request, 10, false, prefix, &suffix), 0);
        assert_int_equal(suffix.len, 0);
        assert_int_equal(protocol->write_end(&request, NULL, pool).len, 0);
    }
    const udr_request_t request = request_of("PUT", UDR_BODY_CHUNKED);
    assert_int_equal(protocol->write_frame(&request, 10, false, prefix, &suffix), 3);
    assert_memory_equal(prefix, "a\r\n", 3);
    assert_slice(suffix, "\r\n");
    assert_slice(protocol->write_end(&request, NULL, pool), "0\r\n\r\n");
    apr_table_t *trailers = apr_table_make(pool, 1);
    apr_table_setn(trailers, "X-Sum", "1");
    assert_slice(protocol->write_end(&request, trailers, pool), "0\r\nX-Sum: 1\r\n\r\n");
}

/* Feeds all of text. Returns the last status; *used is what was consumed. */
static udr_codec_status_t feed(udr_reader_t *reader, const char *text, apr_size_t *used)
{
    char *bytes = apr_pstrdup(pool, text);
    udr_codec_status_t status;
    *used = 0;
    do {
        udr_codec_step_t step = {0, {NULL, 0}};
        status = protocol->reader_feed(reader, bytes + *used, strlen(text) - *used, &step);
        *used += step.consumed;
    } while (status == UDR_CODEC_INTERIM || status == UDR_CODEC_HEAD || status == UDR_CODEC_DATA);
    return status;
}

static void reads_a_response_with_trailers(void **state)
{
    static const char text[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\nrest";
    const udr_request_t request = request_of("GET", UDR_BODY_NONE);
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    memset(&reader, 0xff, sizeof reader);
    reader.is_busy = true;
    protocol->reader_init(&reader, &request, &usual);
    assert_null(reader.why);
    assert_false(reader.is_busy);
    assert_int_equal(reader.trailers.len, 0);
    assert_int_equal(feed(&reader, text, &used), UDR_CODEC_END);
    assert_string_equal(text + used, "rest");
    assert_int_equal(reader.head->status, 200);
    assert_int_equal(reader.head->framing, UDR_HTTP1_CHUNKED);
    assert_true(reader.head->persistent);
    assert_slice(reader.trailers, "X-Sum: 9\r\n");
    assert_null(reader.why);
}

static void expects_no_body_after_head(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    udr_request_t request = request_of("HEAD", UDR_BODY_NONE);
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(feed(&reader, text, &used), UDR_CODEC_END);
    assert_string_equal(text + used, "abc");
    /* Method names have a case. */
    request.method = "Head";
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(feed(&reader, text, &used), UDR_CODEC_END);
    assert_string_equal(text + used, "");
}

static void says_what_is_bad_about_a_response(void **state)
{
    const udr_request_t request = request_of("GET", UDR_BODY_NONE);
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(feed(&reader, "HTTP/1.1 200 OK\r\n folded\r\n\r\n", &used), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "a folded field line (obs-fold)");
    /* A reader that is begun anew has forgotten it. */
    protocol->reader_init(&reader, &request, &usual);
    assert_null(reader.why);
}

static void keeps_to_the_limits(void **state)
{
    const udr_http1_limits_t tight = {64, 128};
    const udr_request_t request = request_of("GET", UDR_BODY_NONE);
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    protocol->reader_init(&reader, &request, &tight);
    assert_int_equal(feed(&reader,
                          "HTTP/1.1 200 OK\r\n"
                          "X: 0123456789012345678901234567890123456789012345678901234567890123456789",
                          &used),
                     UDR_CODEC_BAD);
    assert_non_null(reader.why);
}

static void knows_what_a_close_means(void **state)
{
    const udr_request_t request = request_of("GET", UDR_BODY_NONE);
    udr_reader_t reader;
    apr_size_t used;
    (void)state;
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(feed(&reader, "HTTP/1.1 200 OK\r\n\r\nabc", &used), UDR_CODEC_MORE);
    assert_int_equal(protocol->reader_eof(&reader, 0), UDR_CODEC_END);
    assert_int_equal(reader.trailers.len, 0);
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(protocol->reader_eof(&reader, 0), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "closed before any byte of the response");
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(feed(&reader, "HTTP", &used), UDR_CODEC_MORE);
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
