/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fixture_reading.h"

static void say_head(transcript_t *transcript, const char *what, const udr_http1_head_t *head)
{
    static const char *const framings[] = {[UDR_HTTP1_NO_BODY] = "bodiless",
                                           [UDR_HTTP1_LENGTH] = "length",
                                           [UDR_HTTP1_CHUNKED] = "chunked",
                                           [UDR_HTTP1_TO_CLOSE] = "to-close"};
    say(transcript, "%s 1.%d %d '", what, head->minor, head->status);
    say_slice(transcript, head->reason);
    say(transcript, "' %s", framings[head->framing]);
    if (head->has_length) {
        say(transcript, " %llu", (unsigned long long)head->length);
    }
    say(transcript, "%s", head->persistent ? " persistent" : "");
    say_fields(transcript, head->fields);
}

void say_answer(transcript_t *transcript, const udr_http1_reader_t *reader, udr_codec_status_t status, udr_slice_t data)
{
    switch (status) {
    case UDR_CODEC_INTERIM:
        say_next(transcript);
        say_head(transcript, "interim", &reader->head);
        break;
    case UDR_CODEC_HEAD:
        say_next(transcript);
        say_head(transcript, "head", &reader->head);
        break;
    case UDR_CODEC_DATA:
        say_run(transcript, status, data);
        break;
    case UDR_CODEC_END:
        say_next(transcript);
        say(transcript, "end");
        if (reader->trailers.len) {
            say_fields(transcript, reader->trailers);
        }
        break;
    case UDR_CODEC_BAD:
        assert_non_null(reader->why);
        say_next(transcript);
        say(transcript, "bad: %s", reader->why);
        break;
    case UDR_CODEC_NOTE:
        fail_msg("HTTP has no notes");
        break;
    case UDR_CODEC_MORE:
        break;
    }
}

size_t feed_once(run_t *run, const char *bytes, size_t len, transcript_t *transcript)
{
    char *copy = malloc(len ? len : 1);
    udr_codec_step_t step;
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    run->status = udr_http1_reader_feed(&run->reader, len ? copy : NULL, len, &step);
    assert_true(step.consumed <= len);
    if (run->status == UDR_CODEC_DATA) {
        assert_true(step.data.len > 0 && step.data.ptr >= copy && step.data.ptr + step.data.len <= copy + len);
        assert_ptr_equal(step.data.ptr + step.data.len, copy + step.consumed);
    } else {
        assert_int_equal(step.data.len, 0);
    }
    if (transcript) {
        say_answer(transcript, &run->reader, run->status, step.data);
    }
    free(copy);
    return step.consumed;
}

/* Feeds a response until END, BAD, or all of it has been fed. */
static void run_through(run_t *run, const char *response, size_t len, pieces_t pieces, transcript_t *transcript)
{
    size_t arrived = pieces.first < len ? pieces.first : len;
    run->consumed = 0;
    for (;;) {
        run->consumed += feed_once(run, response + run->consumed, arrived - run->consumed, transcript);
        if (is_final(run->status)) {
            break;
        }
        if (run->status != UDR_CODEC_MORE) {
            continue;
        }
        const size_t pending = arrived - run->consumed;
        assert_true(pending < run->reader.limits.head);
        if (arrived == len) {
            return;
        }
        arrived = len - arrived > pieces.then ? arrived + pieces.then : len;
    }
    /* END and BAD are final. */
    const udr_codec_status_t status = run->status;
    const char *why = run->reader.why;
    for (int again = 0; again < 2; again++) {
        assert_int_equal(feed_once(run, "HTTP/1.1 200 OK\r\n\r\n", again ? 19 : 0, NULL), 0);
        assert_int_equal(run->status, status);
        assert_ptr_equal(run->reader.why, why);
    }
    assert_int_equal(udr_http1_reader_eof(&run->reader, 0), status);
    assert_ptr_equal(run->reader.why, why);
}

const char *transcribe_reading(const udr_http1_reader_t *fresh, const char *response, size_t len, pieces_t pieces)
{
    static transcript_t transcript;
    run_t run = {.reader = *fresh};
    clear(&transcript);
    run_through(&run, response, len, pieces, &transcript);
    if (!is_final(run.status)) {
        say_next(&transcript);
        say(&transcript, "more %zu", len - run.consumed);
        const udr_codec_status_t status = udr_http1_reader_eof(&run.reader, len - run.consumed);
        say_answer(&transcript, &run.reader, status, (udr_slice_t){NULL, 0});
    } else if (run.status == UDR_CODEC_END && run.consumed < len) {
        say(&transcript, " left %zu", len - run.consumed);
    }
    return transcript.text;
}

void check_reading(const udr_http1_reader_t *fresh, const char *response, size_t len, const char *expected)
{
    assert_string_equal(transcribe_reading(fresh, response, len, (pieces_t){len, 1}), expected);
    assert_string_equal(transcribe_reading(fresh, response, len, (pieces_t){0, 1}), expected);
    for (size_t first = 1; first < len; first++) {
        assert_string_equal(transcribe_reading(fresh, response, len, (pieces_t){first, len}), expected);
    }
}
