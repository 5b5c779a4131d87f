/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_protocol.h"
#include "mod_udsroute/udr_uwsgi_request.h"
#include "mod_udsroute/udr_target.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>

static const udr_protocol_t *const protocol = &udr_protocol_uwsgi;
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

static void is_what_its_scheme_speaks(void **state)
{
    const udr_target_t *target = NULL;
    (void)state;
    assert_null(udr_target_parse(&target, "unix:/run/a.sock|uwsgi://localhost:3031/", "/run", pool));
    assert_ptr_equal(target->scheme->protocol, protocol);
    assert_string_equal(target->authority, "localhost"); /* 3031 is the scheme's own */
    assert_string_equal(protocol->name, "uwsgi");
    assert_true(protocol->is_cgi && protocol->is_exclusive);
    assert_false(protocol->has_keepalive || protocol->is_framed);
    assert_int_equal(protocol->frame_max, 0);
    assert_int_equal(protocol->abort.len, 0);
}

/* Whether the connection stays open is not asked. */
static void writes_its_own_heads(void **state)
{
    udr_request_t request = request_of("POST", UDR_BODY_LENGTH);
    char expected[128];
    char room[128];
    const char *why = NULL;
    (void)state;
    assert_in_range(protocol->head_room(&request, &why), 1, sizeof room);
    apr_size_t len = udr_uwsgi_request_head(&request, false, expected);
    assert_int_equal(protocol->write_head(&request, false, room), len);
    assert_memory_equal(room, expected, len);
    assert_int_equal(protocol->write_head(&request, true, room), len);
    assert_memory_equal(room, expected, len);
    request.body = UDR_BODY_CHUNKED;
    assert_int_equal(protocol->head_room(&request, &why), 0);
    assert_string_equal(why, "a body of unknown length");
}

static void sends_bodies_as_they_are(void **state)
{
    const udr_request_t request = request_of("POST", UDR_BODY_LENGTH);
    char prefix[UDR_PROTOCOL_FRAME];
    udr_slice_t suffix = {"untouched", 9};
    (void)state;
    assert_int_equal(protocol->write_frame(&request, 5, true, prefix, &suffix), 0);
    assert_int_equal(suffix.len, 0);
    assert_int_equal(protocol->write_end(&request, NULL, pool).len, 0);
}

static udr_codec_status_t feed(udr_reader_t *reader, const char *text, udr_codec_step_t *step)
{
    return protocol->reader_feed(reader, apr_pstrdup(pool, text), strlen(text), step);
}

static void reads_what_cgi_programs_answer(void **state)
{
    const udr_request_t request = request_of("GET", UDR_BODY_NONE);
    udr_reader_t reader;
    udr_codec_step_t step;
    (void)state;
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(protocol->reader_verbatim(&reader), 0);
    assert_int_equal(feed(&reader, "Status: 404 No\r\n\r\nabc", &step), UDR_CODEC_HEAD);
    assert_true(reader.head->is_cgi);
    assert_int_equal(reader.head->status, 404);
    assert_int_equal(reader.head->framing, UDR_HTTP1_TO_CLOSE);
    assert_int_equal(step.consumed, 18);
    assert_int_equal(protocol->reader_verbatim(&reader), UINT64_MAX);
    assert_int_equal(feed(&reader, "abc", &step), UDR_CODEC_DATA);
    assert_int_equal(step.data.len, 3);
    protocol->reader_skip(&reader, 5);
    assert_int_equal(protocol->reader_eof(&reader, 0), UDR_CODEC_END);
    assert_int_equal(reader.trailers.len, 0);
}

static void lets_a_body_of_known_length_pass_by(void **state)
{
    const udr_request_t request = request_of("GET", UDR_BODY_NONE);
    udr_reader_t reader;
    udr_codec_step_t step;
    (void)state;
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(feed(&reader, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", &step), UDR_CODEC_HEAD);
    assert_int_equal(protocol->reader_verbatim(&reader), 9);
    protocol->reader_skip(&reader, 9);
    assert_int_equal(feed(&reader, "", &step), UDR_CODEC_END);
}

static void expects_no_body_after_head(void **state)
{
    const udr_request_t request = request_of("HEAD", UDR_BODY_NONE);
    udr_reader_t reader;
    udr_codec_step_t step;
    (void)state;
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(feed(&reader, "A: b\r\n\r\n", &step), UDR_CODEC_HEAD);
    assert_int_equal(reader.head->framing, UDR_HTTP1_NO_BODY);
    assert_int_equal(feed(&reader, "", &step), UDR_CODEC_END);
}

static void says_what_is_bad_about_a_response(void **state)
{
    const udr_request_t request = request_of("GET", UDR_BODY_NONE);
    udr_reader_t reader;
    udr_codec_step_t step;
    (void)state;
    protocol->reader_init(&reader, &request, &usual);
    assert_int_equal(feed(&reader, "HTTP/1.1 100 Continue\r\n\r\n", &step), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "a status line with a code below 200 in a CGI response");
    protocol->reader_init(&reader, &request, &usual);
    assert_null(reader.why);
    assert_int_equal(protocol->reader_eof(&reader, 0), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "closed before any byte of the response");
}

static void recognizes_other_protocols(void **state)
{
    (void)state;
    assert_string_equal(protocol->recognize("\x15\x03\x01\0\x02\x02\x28", 7), "TLS");
    assert_null(protocol->recognize("<html>", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_what_its_scheme_speaks),
        cmocka_unit_test(writes_its_own_heads),
        cmocka_unit_test(sends_bodies_as_they_are),
        cmocka_unit_test(reads_what_cgi_programs_answer),
        cmocka_unit_test(lets_a_body_of_known_length_pass_by),
        cmocka_unit_test(expects_no_body_after_head),
        cmocka_unit_test(says_what_is_bad_about_a_response),
        cmocka_unit_test(recognizes_other_protocols),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_protocol_uwsgi", tests, make_pool, drop_pool);
}
