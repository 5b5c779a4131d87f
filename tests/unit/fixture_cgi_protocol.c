/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_cgi_protocol.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>

static const cgi_protocol_t *expected;
static const udr_protocol_t *protocol;

static void is_what_its_scheme_speaks(void **state)
{
    (void)state;
    assert_spoken(protocol, expected->name, expected->target);
    assert_true(protocol->is_cgi && protocol->is_exclusive);
    assert_false(protocol->names_script || protocol->has_keepalive || protocol->is_framed);
    assert_int_equal(protocol->frame_max, 0);
    assert_int_equal(protocol->abort.len, 0);
}

/* Whether the connection stays open is not asked. */
static void writes_its_own_heads(void **state)
{
    const writer_t writer = {protocol->head_room, protocol->write_head};
    const udr_request_t request = request_of("POST", UDR_BODY_LENGTH, 5);
    (void)state;
    assert_slice(write_request(&writer, &request, false), expected->head);
    assert_slice(write_request(&writer, &request, true), expected->head);
    assert_unknown_length_refused(&writer);
}

static void sends_bodies_as_they_are(void **state)
{
    const udr_request_t request = request_of("POST", UDR_BODY_LENGTH, 5);
    char prefix[UDR_PROTOCOL_FRAME];
    udr_slice_t suffix = {"untouched", 9};
    (void)state;
    assert_int_equal(protocol->write_frame(&request, 5, true, prefix, &suffix), 0);
    assert_int_equal(suffix.len, 0);
    assert_int_equal(protocol->write_end(&request, NULL, pool).len, 0);
}

static udr_codec_status_t feed_once(udr_reader_t *reader, const char *text, udr_codec_step_t *step)
{
    return protocol->reader_feed(reader, apr_pstrdup(pool, text), strlen(text), step);
}

static void reads_what_cgi_programs_answer(void **state)
{
    udr_reader_t reader;
    udr_codec_step_t step;
    (void)state;
    begin(protocol, &reader, "GET");
    assert_int_equal(protocol->reader_verbatim(&reader), 0);
    assert_int_equal(feed_once(&reader, "Status: 404 No\r\n\r\nabc", &step), UDR_CODEC_HEAD);
    assert_true(reader.head->is_cgi);
    assert_int_equal(reader.head->status, 404);
    assert_int_equal(reader.head->framing, UDR_HTTP1_TO_CLOSE);
    assert_int_equal(step.consumed, 18);
    assert_int_equal(protocol->reader_verbatim(&reader), UINT64_MAX);
    assert_int_equal(feed_once(&reader, "abc", &step), UDR_CODEC_DATA);
    assert_int_equal(step.data.len, 3);
    protocol->reader_skip(&reader, 5);
    assert_int_equal(protocol->reader_eof(&reader, 0), UDR_CODEC_END);
    assert_int_equal(reader.trailers.len, 0);
}

static void lets_a_body_of_known_length_pass_by(void **state)
{
    udr_reader_t reader;
    udr_codec_step_t step;
    (void)state;
    begin(protocol, &reader, "GET");
    assert_int_equal(feed_once(&reader, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", &step), UDR_CODEC_HEAD);
    assert_int_equal(protocol->reader_verbatim(&reader), 9);
    protocol->reader_skip(&reader, 9);
    assert_int_equal(feed_once(&reader, "", &step), UDR_CODEC_END);
}

static void expects_no_body_after_head(void **state)
{
    udr_reader_t reader;
    udr_codec_step_t step;
    (void)state;
    begin(protocol, &reader, "HEAD");
    assert_int_equal(feed_once(&reader, "A: b\r\n\r\n", &step), UDR_CODEC_HEAD);
    assert_int_equal(reader.head->framing, UDR_HTTP1_NO_BODY);
    assert_int_equal(feed_once(&reader, "", &step), UDR_CODEC_END);
}

static void says_what_is_bad_about_a_response(void **state)
{
    udr_reader_t reader;
    udr_codec_step_t step;
    (void)state;
    begin(protocol, &reader, "GET");
    assert_int_equal(feed_once(&reader, "HTTP/1.1 100 Continue\r\n\r\n", &step), UDR_CODEC_BAD);
    assert_string_equal(reader.why, "a status line with a code below 200 in a CGI response");
    /* A reader that is begun anew has forgotten it. */
    assert_silence_is_bad(protocol, &reader);
}

static void recognizes_other_protocols(void **state)
{
    (void)state;
    assert_string_equal(protocol->recognize("\x15\x03\x01\0\x02\x02\x28", 7), "TLS");
    assert_null(protocol->recognize("<html>", 6));
}

int run_cgi_protocol_tests(const char *group, const cgi_protocol_t *it)
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
    expected = it;
    protocol = it->protocol;
    apr_initialize();
    return cmocka_run_group_tests_name(group, tests, make_pool, drop_pool);
}
