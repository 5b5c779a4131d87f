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

#include "tests/unit/fixture_transcript.h"

#include <apr_general.h>

#define TEXT(literal) literal, sizeof(literal) - 1
#define COUNT(array)  (sizeof(array) / sizeof(*(array)))
#define PARTS_MAX     12

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

static void say_head(transcript_t *transcript, const udr_http1_head_t *head)
{
    assert_true(head->persistent);
    assert_true(head->is_cgi);
    say(transcript, "head %d%s", head->status, head->framing == UDR_HTTP1_NO_BODY ? " bodiless" : "");
    if (head->has_length) {
        say(transcript, " length %llu", (unsigned long long)head->length);
    }
    say_fields(transcript, head->fields);
}

/* Writes down one answer. */
static void say_answer(transcript_t *transcript, const udr_fcgi_reader_t *reader, udr_codec_status_t status,
                       udr_slice_t data)
{
    switch (status) {
    case UDR_CODEC_HEAD:
        say_next(transcript);
        say_head(transcript, &reader->cgi.head);
        break;
    case UDR_CODEC_DATA:
    case UDR_CODEC_NOTE:
        say_run(transcript, status, data);
        break;
    case UDR_CODEC_END:
        assert_true(reader->cgi.head.persistent);
        say_next(transcript);
        say(transcript, "end");
        break;
    case UDR_CODEC_BAD:
        assert_non_null(reader->why);
        say_next(transcript);
        say(transcript, "bad: %s%s", reader->why, reader->is_busy ? " (busy)" : "");
        break;
    case UDR_CODEC_INTERIM:
        fail_msg("FastCGI has no interim responses");
        break;
    case UDR_CODEC_MORE:
        break;
    }
}

/* A response on its way through a reader, as a caller with a buffer would do it. */
typedef struct run_t {
    udr_fcgi_reader_t reader;
    const udr_http1_limits_t *limits;
    udr_codec_status_t status;
    bytes_t held;    /* what was not consumed, with what the reader has made of it */
    size_t consumed; /* of the whole response */
} run_t;

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
            say_next(transcript);
            say(transcript, "more, %zu pending", run->held.len);
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
    clear(&transcript);
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
        /* The last byte of a header is reserved. */
        {{RAW("\1\7\0\1\0\1\0\377!"), OUT(PLAIN, 0), COMPLETE}, "note !; " PLAIN_TRANSCRIPT "; end, 0 behind"},
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

/* --- bodies --- */

static void leaves_out_what_is_beyond_the_length(void **state)
{
    static const row_t rows[] = {
        {{OUT(WITH_LENGTH "hello", 0), COMPLETE}, WITH_LENGTH_TRANSCRIPT "; body hello; end, 0 behind"},
        {{OUT(WITH_LENGTH "hel", 0), OUT("lo", 1), END_OF_OUT, COMPLETE},
         WITH_LENGTH_TRANSCRIPT "; body hello; end, 0 behind"},
        {{OUT(WITH_LENGTH "hello world", 0), COMPLETE}, WITH_LENGTH_TRANSCRIPT "; body hello; end, 0 behind"},
        {{OUT(WITH_LENGTH "hel", 0), OUT("lo world", 1), OUT("wide", 0), ERR("!", 0), OUT("web", 0), COMPLETE},
         WITH_LENGTH_TRANSCRIPT "; body hello; note !; end, 0 behind"},
        {{OUT("Content-Length: 0\r\n\r\nhello", 0), COMPLETE}, "head 200 length 0 [Content-Length=0]; end, 0 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void refuses_less_than_the_length(void **state)
{
    static const row_t rows[] = {
        {{OUT(WITH_LENGTH "hell", 0), COMPLETE},
         WITH_LENGTH_TRANSCRIPT
         "; body hell; bad: ended within the body: fewer bytes than Content-Length said, 8 behind"},
        {{OUT(WITH_LENGTH, 0), END_OF_OUT, COMPLETE},
         WITH_LENGTH_TRANSCRIPT "; bad: ended within the body: fewer bytes than Content-Length said, 8 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void leaves_out_the_body_of_an_answer_without(void **state)
{
    static const row_t to_get[] = {
        {{OUT("Status: 204\n\nhello", 0), COMPLETE}, "head 204 bodiless [Status=204]; end, 0 behind"},
        {{OUT("Status: 304\n" WITH_LENGTH, 0), OUT("hello", 0), COMPLETE},
         "head 304 bodiless length 5 [Status=304, Content-Length=5]; end, 0 behind"},
    };
    static const row_t to_head[] = {
        {{OUT(PLAIN "hello", 0), OUT(" world", 0), COMPLETE}, "head 200 bodiless [Content-Type=a/b]; end, 0 behind"},
        {{OUT(WITH_LENGTH, 0), COMPLETE}, "head 200 bodiless length 5 [Content-Length=5]; end, 0 behind"},
    };
    (void)state;
    check_rows(to_get, COUNT(to_get), false);
    check_rows(to_head, COUNT(to_head), true);
}

static void hands_out_notes_between_bodies(void **state)
{
    static const row_t rows[] = {
        {{ERR("a\n", 0), OUT(PLAIN "he", 0), ERR("b", 1), ERR("", 0), ERR("c", 0), OUT("llo", 0), END_OF_OUT,
          ERR("d", 9), COMPLETE},
         "note a<0a>; " PLAIN_TRANSCRIPT "; body he; note bc; body llo; note d; end, 0 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void refuses_more_behind_the_end(void **state)
{
    static const row_t rows[] = {
        {{OUT(PLAIN "hello", 0), END_OF_OUT, OUT("x", 0), COMPLETE},
         PLAIN_TRANSCRIPT "; body hello; bad: more of the answer behind its end, 25 behind"},
        {{END_OF_OUT, OUT(PLAIN, 0)}, "bad: more of the answer behind its end, 29 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

/* --- what is no answer --- */

static void refuses_records_that_are_none(void **state)
{
#define WHY_TYPE    "bad: a record of a type that no answer consists of"
#define WHY_ID      "bad: a record of another request, or of none"
#define WHY_VERSION "bad: a record of another version than 1"
    static const row_t rows[] = {
        {{RECORD(UDR_FCGI_BEGIN_REQUEST, "\0\1\0\0\0\0\0\0")}, WHY_TYPE ", 16 behind"},
        {{RECORD(UDR_FCGI_ABORT_REQUEST, "")}, WHY_TYPE ", 8 behind"},
        {{RECORD(UDR_FCGI_PARAMS, "")}, WHY_TYPE ", 8 behind"},
        {{RECORD(UDR_FCGI_STDIN, "x")}, WHY_TYPE ", 9 behind"},
        {{RECORD(8, "x")}, WHY_TYPE ", 9 behind"},
        {{RAW("\1\12\0\0\0\0\0\0")}, WHY_TYPE ", 8 behind"},
        {{RAW("\1\13\0\0\0\10\0\0\377\0\0\0\0\0\0\0")}, WHY_TYPE ", 16 behind"},
        {{RAW("\1\0\0\1\0\0\0\0")}, WHY_TYPE ", 8 behind"},
        {{RAW("\1\377\0\1\0\0\0\0")}, WHY_TYPE ", 8 behind"},
        {{RAW("\1\6\0\0\0\0\0\0")}, WHY_ID ", 8 behind"},
        {{RAW("\1\6\0\2\0\0\0\0")}, WHY_ID ", 8 behind"},
        {{RAW("\1\3\1\1\0\10\0\0")}, WHY_ID ", 8 behind"},
        {{RAW("\2\6\0\1\0\0\0\0")}, WHY_VERSION ", 8 behind"},
        {{RAW("HTTP/1.1 200 OK\r\n\r\n")}, WHY_VERSION ", 19 behind"},
        {{OUT(PLAIN "x", 0), RAW("\0")}, PLAIN_TRANSCRIPT "; body x; " WHY_VERSION ", 1 behind"},
        /* Within the head, which is kept until it is whole. */
        {{OUT("A: b\n", 3), RAW("\0")}, WHY_VERSION ", 9 behind"},
        {{OUT("A: b\n", 3), RAW("\1\12\0\0\0\0\0\0")}, WHY_TYPE ", 16 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void refuses_heads_that_are_none(void **state)
{
    static const row_t rows[] = {
        {{OUT(" folded\r\n\r\n", 0)}, "bad: a folded field line (obs-fold), 11 behind"},
        {{OUT("A: b\n", 0), ERR("note", 0), OUT("no colon\n\nbody", 0)},
         "note note; bad: a field line without a colon, 19 behind"},
        {{OUT("Status: 103\n\n", 0)}, "bad: a Status outside 200 to 599, 13 behind"},
        {{OUT("HTTP/1.1 101 Switching Protocols\r\n\r\n", 0)},
         "bad: a status line with a code below 200 in a CGI response, 36 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void says_what_the_end_says(void **state)
{
#define WHY_UNKNOWN "bad: ended by END_REQUEST, with a status that the specification does not know"
    static const row_t rows[] = {
        {{END("\1")}, "bad: ended by END_REQUEST: it serves no second request on a connection (busy), 8 behind"},
        {{END("\2")}, "bad: ended by END_REQUEST: it is overloaded (busy), 8 behind"},
        {{END("\3")}, "bad: ended by END_REQUEST: it does not know the role of a responder, 8 behind"},
        {{END("\4")}, WHY_UNKNOWN ", 8 behind"},
        {{END("\377")}, WHY_UNKNOWN ", 8 behind"},
        {{ERR("x", 0), END_OF_OUT, END("\2")}, "note x; bad: ended by END_REQUEST: it is overloaded (busy), 8 behind"},
        /* Too late: it has begun with the request. */
        {{OUT(PLAIN, 0), END("\1")},
         PLAIN_TRANSCRIPT "; bad: ended by END_REQUEST: it serves no second request on a connection, 8 behind"},
        {{OUT(PLAIN, 0), END("\2")}, PLAIN_TRANSCRIPT "; bad: ended by END_REQUEST: it is overloaded, 8 behind"},
        {{COMPLETE}, "bad: ended without an answer, 8 behind"},
        {{END_OF_OUT, ERR("x", 2), COMPLETE}, "note x; bad: ended without an answer, 8 behind"},
        {{OUT("A: b\n", 0), COMPLETE}, "bad: ended before its head was complete, 13 behind"},
        {{OUT("A: b\n", 0), END_OF_OUT, COMPLETE}, "bad: ended before its head was complete, 13 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void knows_how_long_the_end_is(void **state)
{
#define WHY_LENGTH "bad: a record END_REQUEST of another length than 8 bytes"
    static const row_t rows[] = {
        {{OUT(PLAIN, 0), RECORD(UDR_FCGI_END_REQUEST, "")}, PLAIN_TRANSCRIPT "; " WHY_LENGTH ", 8 behind"},
        {{OUT(PLAIN, 0), RECORD(UDR_FCGI_END_REQUEST, "\0\0\0\0\0\0\0")},
         PLAIN_TRANSCRIPT "; " WHY_LENGTH ", 15 behind"},
        {{OUT(PLAIN, 0), RECORD(UDR_FCGI_END_REQUEST, "\0\0\0\0\0\0\0\0\0")},
         PLAIN_TRANSCRIPT "; " WHY_LENGTH ", 17 behind"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

/* --- the member closes --- */

static void knows_what_a_close_means(void **state)
{
#define CUT_BODY   "closed within the body: END_REQUEST has not come"
#define CUT_LENGTH "closed within the body: fewer bytes than Content-Length said"
    static const row_t rows[] = {
        {{{0}}, "more, 0 pending; closed: closed before any byte of the response"},
        {{RAW("\1")}, "more, 1 pending; closed: closed within the head"},
        {{RAW("\1\6\0\1\0\0\0")}, "more, 7 pending; closed: closed within the head"},
        {{ERR("x", 0)}, "note x; more, 0 pending; closed: closed within the head"},
        {{RAW("\1\6\0\1\0\2\0\0")}, "more, 0 pending; closed: closed within the head"},
        {{OUT("A: b\n", 0)}, "more, 5 pending; closed: closed within the head"},
        {{OUT("A: b\n", 2), RAW("\1\6\0")}, "more, 10 pending; closed: closed within the head"},
        {{RAW("\1\3\0\1\0\10\0\0\0\0")}, "more, 2 pending; closed: closed within the head"},
        {{OUT(PLAIN, 0)}, PLAIN_TRANSCRIPT "; more, 0 pending; closed: " CUT_BODY},
        {{OUT(PLAIN "hello", 0), RAW("\1\6")}, PLAIN_TRANSCRIPT "; body hello; more, 2 pending; closed: " CUT_BODY},
        {{OUT(PLAIN, 0), RAW("\1\3\0\1\0\10\0\0\0\0")}, PLAIN_TRANSCRIPT "; more, 2 pending; closed: " CUT_BODY},
        {{OUT(WITH_LENGTH "hell", 0), END_OF_OUT},
         WITH_LENGTH_TRANSCRIPT "; body hell; more, 0 pending; closed: " CUT_LENGTH},
        /* What was due has come. */
        {{OUT(PLAIN "hello", 0), END_OF_OUT}, PLAIN_TRANSCRIPT "; body hello; more, 0 pending; closed: end"},
        {{OUT(WITH_LENGTH "hello", 0)}, WITH_LENGTH_TRANSCRIPT "; body hello; more, 0 pending; closed: end"},
        {{OUT(WITH_LENGTH "hello", 0), RAW("\1\6\0")},
         WITH_LENGTH_TRANSCRIPT "; body hello; more, 3 pending; closed: end"},
        {{OUT("Status: 204\n\n", 0)}, "head 204 bodiless [Status=204]; more, 0 pending; closed: end"},
        {{OUT(PLAIN, 0), RAW("\1\3\0\1\0\10\2\0\0\0\0\0\0\0\0\0")}, PLAIN_TRANSCRIPT "; more, 0 pending; closed: end"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

/* --- large ones --- */

/* Lines of a head, so many bytes at least. */
static void add_lines(bytes_t *head, size_t len)
{
    while (head->len < len) {
        add(head, TEXT("Name: a value that takes some room but tells nothing\r\n"));
    }
}

static void check_pieces(bytes_t response, const char *expected)
{
    static const pieces_t pieces[] = {{1, 1 << 20}, {7, 4093}, {8191, 8191}, {70000, 1021}, {1 << 22, 1}};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        check_transcript(response, false, expected, pieces[i]);
    }
}

/* Records as large as can be, with the most padding, while most of a head is waiting. */
static void reads_the_longest_records(void **state)
{
    static char content[UDR_FCGI_CONTENT_MAX];
    static char expected[TRANSCRIPT_MAX];
    bytes_t response = {NULL, 0};
    (void)state;
    memset(content, 'n', sizeof content);
    add_record(&response, UDR_FCGI_STDERR, content, sizeof content, 255);
    add_record(&response, UDR_FCGI_STDOUT, TEXT("A: "), 255);
    add_record(&response, UDR_FCGI_STDERR, content, sizeof content, 255);
    add_record(&response, UDR_FCGI_STDOUT, TEXT("b\n\n"), 255);
    add_record(&response, UDR_FCGI_STDOUT, content, sizeof content, 255);
    add_record(&response, UDR_FCGI_END_REQUEST, TEXT("\0\0\0\0\0\0\0\0"), 255);
    (void)snprintf(expected, sizeof expected, "note %.*s%.*s; head 200 [A=b]; body %.*s; end, 0 behind",
                   UDR_FCGI_CONTENT_MAX, content, UDR_FCGI_CONTENT_MAX, content, UDR_FCGI_CONTENT_MAX, content);
    check_pieces(response, expected);
    free(response.ptr);
}

/* The limits are those of HTTP: the records do not count. */
static void keeps_to_the_limits(void **state)
{
    bytes_t head = {NULL, 0};
    bytes_t response = {NULL, 0};
    (void)state;
    add_lines(&head, usual.head + 1);
    add_record(&response, UDR_FCGI_STDOUT, head.ptr, usual.head - 1, 0);
    for (int i = 0; i < 100; i++) {
        add_record(&response, UDR_FCGI_STDERR, "", 0, 255);
    }
    check_pieces(response, "more, 8446 pending; closed: closed within the head");
    add_record(&response, UDR_FCGI_STDOUT, head.ptr + usual.head - 1, 1, 0);
    check_pieces(response, "bad: a head or trailer section longer than 8 times responsefieldsize, 8192 behind");
    free(response.ptr);
    free(head.ptr);
}

/* Whoever sends his head in so small pieces, while it is large, means to keep us busy with moving it. */
static void gives_up_a_head_in_too_many_pieces(void **state)
{
    const size_t len = usual.head / 2;
    bytes_t head = {NULL, 0};
    bytes_t response = {NULL, 0};
    (void)state;
    add_lines(&head, len);
    add_record(&response, UDR_FCGI_STDOUT, head.ptr, len, 0);
    /* It is moved once for each record behind the first. */
    for (size_t i = 0; i < 16 * 1024 * 1024 / len; i++) {
        add_record(&response, UDR_FCGI_STDERR, "", 0, 0);
    }
    check_transcript(response, false, "more, 4096 pending; closed: closed within the head", (pieces_t){1, 4093});
    add_record(&response, UDR_FCGI_STDOUT, "", 0, 0);
    check_transcript(response, false, "bad: a head in too many pieces, 4096 behind", (pieces_t){1, 4093});
    check_transcript(response, false, "bad: a head in too many pieces, 4096 behind", (pieces_t){response.len, 1});
    free(response.ptr);
    free(head.ptr);
}

/* --- what is sent --- */

static void writes_headers(void **state)
{
    char room[UDR_FCGI_HEADER + 1] = "xxxxxxxxx";
    (void)state;
    udr_fcgi_write_header(room, UDR_FCGI_STDIN, 0x1234);
    assert_memory_equal(room, "\1\5\0\1\x12\x34\0\0x", sizeof room);
    udr_fcgi_write_header(room, UDR_FCGI_ABORT_REQUEST, 0);
    assert_memory_equal(room, "\1\2\0\1\0\0\0\0x", sizeof room);
    udr_fcgi_write_header(room, UDR_FCGI_PARAMS, UDR_FCGI_CONTENT_MAX);
    assert_memory_equal(room, "\1\4\0\1\xff\xff\0\0x", sizeof room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_answer),
        cmocka_unit_test(joins_a_head_in_pieces),
        cmocka_unit_test(leaves_out_what_is_beyond_the_length),
        cmocka_unit_test(refuses_less_than_the_length),
        cmocka_unit_test(leaves_out_the_body_of_an_answer_without),
        cmocka_unit_test(hands_out_notes_between_bodies),
        cmocka_unit_test(refuses_more_behind_the_end),
        cmocka_unit_test(refuses_records_that_are_none),
        cmocka_unit_test(refuses_heads_that_are_none),
        cmocka_unit_test(says_what_the_end_says),
        cmocka_unit_test(knows_how_long_the_end_is),
        cmocka_unit_test(knows_what_a_close_means),
        cmocka_unit_test(reads_the_longest_records),
        cmocka_unit_test(keeps_to_the_limits),
        cmocka_unit_test(gives_up_a_head_in_too_many_pieces),
        cmocka_unit_test(writes_headers),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_fcgi", tests, NULL, NULL);
}
