/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of FastCGI responses. Every shape is fed whole, byte by byte and split in two at every offset: what came
 * of it, written down as a transcript, must be the same. */
#include "mod_udsroute/udr_fcgi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>

#define TEXT(literal)  literal, sizeof(literal) - 1
#define COUNT(array)   (sizeof(array) / sizeof(*(array)))
#define TRANSCRIPT_MAX (1 << 18)
#define PARTS_MAX      12

/* Records, in rows of tables. */
#define OUT(text, padding)                                                                                             \
    {                                                                                                                  \
        UDR_FCGI_STDOUT, TEXT(text), padding                                                                           \
    }
#define ERR(text, padding)                                                                                             \
    {                                                                                                                  \
        UDR_FCGI_STDERR, TEXT(text), padding                                                                           \
    }
#define END_OF_OUT OUT("", 0)
#define END(status)                                                                                                    \
    {                                                                                                                  \
        UDR_FCGI_END_REQUEST, TEXT("\0\0\0\0" status "\0\0\0"), 0                                                      \
    }
#define COMPLETE END("\0")
#define RECORD(type, text)                                                                                             \
    {                                                                                                                  \
        type, TEXT(text), 0                                                                                            \
    }
#define RAW(text)                                                                                                      \
    {                                                                                                                  \
        BYTES, TEXT(text), 0                                                                                           \
    }
#define PLAIN                  "Content-Type: a/b\r\n\r\n"
#define PLAIN_TRANSCRIPT       "head 200 [Content-Type=a/b]"
#define WITH_LENGTH            "Content-Length: 5\r\n\r\n"
#define WITH_LENGTH_TRANSCRIPT "head 200 length 5 [Content-Length=5]"

static const udr_http1_limits_t usual = {1024, 8192};

/* --- records --- */

enum { BYTES = -1 }; /* no record: as they are */

typedef struct part_t {
    int type; /* 0: none, the parts end here */
    const char *content;
    size_t len;
    int padding;
} part_t;

typedef struct bytes_t {
    char *ptr;
    size_t len;
} bytes_t;

static void add(bytes_t *bytes, const char *ptr, size_t len)
{
    bytes->ptr = realloc(bytes->ptr, bytes->len + len + 1);
    assert_non_null(bytes->ptr);
    memcpy(bytes->ptr + bytes->len, ptr, len);
    bytes->len += len;
}

static void add_record(bytes_t *bytes, int type, const char *content, size_t len, int padding)
{
    static const char pad[255] = "padding that is none of the answer";
    const char header[] = {1, (char)type, 0, 1, (char)(len >> 8), (char)(len & 0xff), (char)padding, 0};
    add(bytes, header, sizeof header);
    add(bytes, content, len);
    add(bytes, pad, (size_t)padding);
}

static bytes_t assemble(const part_t *parts)
{
    bytes_t bytes = {NULL, 0};
    add(&bytes, "", 0);
    for (size_t i = 0; i < PARTS_MAX && parts[i].type; i++) {
        if (parts[i].type == BYTES) {
            add(&bytes, parts[i].content, parts[i].len);
        } else {
            add_record(&bytes, parts[i].type, parts[i].content, parts[i].len, parts[i].padding);
        }
    }
    return bytes;
}

/* --- transcripts --- */

typedef struct transcript_t {
    char text[TRANSCRIPT_MAX];
    size_t len;
    udr_codec_status_t run; /* DATA, NOTE: of what the last bytes are a run */
} transcript_t;

__attribute__((format(printf, 2, 3))) static void say(transcript_t *transcript, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int len = vsnprintf(transcript->text + transcript->len, TRANSCRIPT_MAX - transcript->len, format, arguments);
    va_end(arguments);
    assert_in_range(len, 0, TRANSCRIPT_MAX - transcript->len - 1);
    transcript->len += (size_t)len;
}

static void say_slice(transcript_t *transcript, udr_slice_t slice)
{
    for (size_t i = 0; i < slice.len; i++) {
        const unsigned char byte = (unsigned char)slice.ptr[i];
        say(transcript, byte >= ' ' && byte < 0x7f ? "%c" : "<%02x>", byte);
    }
}

static void say_head(transcript_t *transcript, const udr_http1_head_t *head)
{
    udr_slice_t section = head->fields;
    const char *separator = "";
    udr_field_t field;
    assert_true(head->persistent);
    assert_true(head->is_cgi);
    say(transcript, "head %d%s", head->status, head->framing == UDR_HTTP1_NO_BODY ? " bodiless" : "");
    if (head->has_length) {
        say(transcript, " length %llu", (unsigned long long)head->length);
    }
    say(transcript, " [");
    while (udr_http1_field_next(&section, &field)) {
        say(transcript, "%s", separator);
        say_slice(transcript, field.name);
        say(transcript, "=");
        say_slice(transcript, field.value);
        separator = ", ";
    }
    say(transcript, "]");
}

/* Writes down one answer. */
static void say_answer(transcript_t *transcript, const udr_fcgi_reader_t *reader, udr_codec_status_t status,
                       udr_slice_t data)
{
    const char *separator = transcript->len ? "; " : "";
    switch (status) {
    case UDR_CODEC_HEAD:
        say(transcript, "%s", separator);
        say_head(transcript, &reader->cgi.head);
        break;
    case UDR_CODEC_DATA:
    case UDR_CODEC_NOTE:
        if (transcript->run != status) {
            say(transcript, "%s%s ", separator, status == UDR_CODEC_DATA ? "body" : "note");
        }
        say_slice(transcript, data);
        break;
    case UDR_CODEC_END:
        assert_true(reader->cgi.head.persistent);
        say(transcript, "%send", separator);
        break;
    case UDR_CODEC_BAD:
        assert_non_null(reader->why);
        say(transcript, "%sbad: %s%s", separator, reader->why, reader->is_busy ? " (busy)" : "");
        break;
    case UDR_CODEC_INTERIM:
        fail_msg("FastCGI has no interim responses");
        break;
    case UDR_CODEC_MORE:
        return;
    }
    transcript->run = status;
}

/* How a response arrives: a first piece, then pieces of one size. */
typedef struct pieces_t {
    size_t first;
    size_t then;
} pieces_t;

/* A response on its way through a reader, as a caller with a buffer would do it. */
typedef struct run_t {
    udr_fcgi_reader_t reader;
    const udr_http1_limits_t *limits;
    udr_codec_status_t status;
    bytes_t held;    /* what was not consumed, with what the reader has made of it */
    size_t consumed; /* of the whole response */
} run_t;

static bool is_final(udr_codec_status_t status)
{
    return status == UDR_CODEC_END || status == UDR_CODEC_BAD;
}

/* One call, on exactly the bytes that may be looked at: a sanitizer notices every other. */
static void feed_once(run_t *run, transcript_t *transcript)
{
    char *copy = malloc(run->held.len ? run->held.len : 1);
    udr_codec_step_t step;
    assert_non_null(copy);
    memcpy(copy, run->held.ptr, run->held.len);
    run->status = udr_fcgi_reader_feed(&run->reader, run->held.len ? copy : NULL, run->held.len, &step);
    assert_true(step.consumed <= run->held.len);
    if (run->status == UDR_CODEC_DATA || run->status == UDR_CODEC_NOTE) {
        assert_true(step.data.len > 0 && step.data.ptr >= copy);
        assert_true(step.data.ptr + step.data.len <= copy + run->held.len);
    } else {
        assert_int_equal(step.data.len, 0);
    }
    if (run->status == UDR_CODEC_DATA) {
        assert_ptr_equal(step.data.ptr + step.data.len, copy + step.consumed);
    }
    say_answer(transcript, &run->reader, run->status, step.data);
    run->consumed += step.consumed;
    run->held.len -= step.consumed;
    memcpy(run->held.ptr, copy + step.consumed, run->held.len);
    free(copy);
}

/* END and BAD are final. */
static void check_final(run_t *run)
{
    char bytes[] = "\1\7\0\1\0\1\0\0x";
    const char *why = run->reader.why;
    for (apr_size_t len = 0; len < sizeof bytes; len += sizeof bytes - 1) {
        udr_codec_step_t step;
        assert_int_equal(udr_fcgi_reader_feed(&run->reader, bytes, len, &step), run->status);
        assert_int_equal(step.consumed, 0);
        assert_int_equal(step.data.len, 0);
        assert_int_equal(udr_fcgi_reader_eof(&run->reader, len), run->status);
        assert_ptr_equal(run->reader.why, why);
    }
}

/* Feeds a response until END, BAD, or all of it has been fed; closes then. */
static void run_through(run_t *run, bytes_t response, pieces_t pieces, transcript_t *transcript)
{
    size_t arrived = 0;
    size_t piece = pieces.first;
    for (;;) {
        feed_once(run, transcript);
        if (is_final(run->status)) {
            say(transcript, ", %zu behind", response.len - run->consumed);
            break;
        }
        if (run->status != UDR_CODEC_MORE) {
            continue;
        }
        assert_true(run->held.len <= run->limits->head + UDR_FCGI_CONTENT_MAX + 255 + UDR_FCGI_HEADER);
        if (arrived == response.len) {
            say(transcript, "%smore, %zu pending", transcript->len ? "; " : "", run->held.len);
            run->status = udr_fcgi_reader_eof(&run->reader, run->held.len);
            assert_true(is_final(run->status));
            say(transcript, "; closed: %s", run->status == UDR_CODEC_END ? "end" : run->reader.why);
            assert_false(run->status == UDR_CODEC_END && run->reader.cgi.head.persistent);
            break;
        }
        piece = piece < response.len - arrived ? piece : response.len - arrived;
        add(&run->held, response.ptr + arrived, piece);
        arrived += piece;
        piece = pieces.then;
    }
    check_final(run);
}

static const char *transcribe(bytes_t response, bool head_request, const udr_http1_limits_t *limits, pieces_t pieces)
{
    static transcript_t transcript;
    run_t run;
    memset(&transcript, 0, sizeof transcript);
    memset(&run.reader, 0xa5, sizeof run.reader);
    run.limits = limits;
    run.held = (bytes_t){NULL, 0};
    run.consumed = 0;
    add(&run.held, "", 0);
    udr_fcgi_reader_init(&run.reader, head_request, limits);
    run_through(&run, response, pieces, &transcript);
    free(run.held.ptr);
    return transcript.text;
}

static void check_transcript(bytes_t response, bool head_request, const char *expected, pieces_t pieces)
{
    const char *transcript = transcribe(response, head_request, &usual, pieces);
    if (strcmp(transcript, expected) != 0) {
        print_error("first %zu, then %zu:\n  %s, not\n  %s\n", pieces.first, pieces.then, transcript, expected);
        fail();
    }
}

static void check_every_split(bytes_t response, bool head_request, const char *expected)
{
    check_transcript(response, head_request, expected, (pieces_t){response.len, 1});
    check_transcript(response, head_request, expected, (pieces_t){1, 1});
    for (size_t first = 0; first < response.len; first++) {
        check_transcript(response, head_request, expected, (pieces_t){first, response.len});
    }
}

typedef struct row_t {
    part_t parts[PARTS_MAX];
    const char *expected;
} row_t;

static void check_rows(const row_t *rows, size_t count, bool head_request)
{
    for (size_t i = 0; i < count; i++) {
        const bytes_t response = assemble(rows[i].parts);
        check_every_split(response, head_request, rows[i].expected);
        free(response.ptr);
    }
}

/* --- whole answers --- */

static void reads_an_answer(void **state)
{
    static const row_t rows[] = {
        {{OUT(PLAIN "hello", 0), END_OF_OUT, COMPLETE}, PLAIN_TRANSCRIPT "; body hello; end, 0 behind"},
        /* PHP leaves out the end of STDOUT. */
        {{OUT(PLAIN "hello", 3), COMPLETE}, PLAIN_TRANSCRIPT "; body hello; end, 0 behind"},
        {{OUT(PLAIN, 0), OUT("hel", 255), OUT("lo", 1), END_OF_OUT, COMPLETE},
         PLAIN_TRANSCRIPT "; body hello; end, 0 behind"},
        {{OUT("Status: 404 Not Found\n\nno", 0), COMPLETE}, "head 404 [Status=404 Not Found]; body no; end, 0 behind"},
        {{OUT(PLAIN, 0), COMPLETE}, PLAIN_TRANSCRIPT "; end, 0 behind"},
        /* The application's status is its own matter. */
        {{OUT(PLAIN, 0), {UDR_FCGI_END_REQUEST, TEXT("\1\2\3\4\0\5\6\7"), 0}}, PLAIN_TRANSCRIPT "; end, 0 behind"},
        /* The end has said it already. */
        {{OUT(PLAIN, 0), END_OF_OUT, END_OF_OUT, COMPLETE}, PLAIN_TRANSCRIPT "; end, 0 behind"},
        /* What is behind END_REQUEST and its padding is nobody's. */
        {{OUT(PLAIN, 0), {UDR_FCGI_END_REQUEST, TEXT("\0\0\0\0\0\0\0\0"), 7}, RAW("xyz")},
         PLAIN_TRANSCRIPT "; end, 3 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void joins_a_head_in_pieces(void **state)
{
    static const row_t rows[] = {
        {{OUT("Content-", 0), OUT("Type: a/b\r", 5), OUT("\n\r\nhel", 2), OUT("lo", 0), COMPLETE},
         PLAIN_TRANSCRIPT "; body hello; end, 0 behind"},
        {{OUT("C", 9), OUT("ontent-Type: a/b\r\n\r", 0), OUT("\n", 0), COMPLETE}, PLAIN_TRANSCRIPT "; end, 0 behind"},
        {{ERR("one", 5), OUT("Content-", 1), ERR("", 3), ERR("two", 0), ERR("three", 4), OUT("Type: a/b\r\n", 0),
          ERR("four", 7), OUT("\r\nhello", 2), ERR("five", 0), COMPLETE},
         "note onetwothreefour; " PLAIN_TRANSCRIPT "; body hello; note five; end, 0 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_answer),
        cmocka_unit_test(joins_a_head_in_pieces),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_fcgi", tests, NULL, NULL);
}
