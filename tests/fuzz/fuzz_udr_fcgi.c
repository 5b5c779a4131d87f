/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of the reader of FastCGI responses. An input is two bytes that say how to read, then a response:
 *
 * - the first byte: bit 0: the answer to a HEAD request; bits 1 and 2: which limits;
 * - the second: in what pieces the response arrives.
 *
 * It is read whole and in pieces. Both must say the same; and what is said must be what the plainest reading says: the
 * contents of all records of a stream one behind the other, and those of STDOUT read as a CGI response. Corpus files
 * use digits and letters for the two bytes. Those called good-, bad- and cut- are made by hand; found- are libFuzzer's,
 * each for a branch of the reader that no other takes. */
#include "mod_udsroute/udr_fcgi.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* All that was said about a response. */
typedef struct reading_t {
    udr_fcgi_reader_t reader;
    udr_codec_status_t status;
    bytes_t held; /* what was not consumed, with what the reader has made of it */
    bytes_t head;
    bytes_t body;
    bytes_t notes;
    bytes_t end; /* how it ended */
    bool has_head;
    size_t consumed;
    size_t steps;
} reading_t;

static bool within(udr_slice_t inner, const char *ptr, size_t len)
{
    return inner.ptr >= ptr && inner.len <= len && inner.ptr <= ptr + len - inner.len;
}

static void describe_head(bytes_t *said, const udr_http1_head_t *head)
{
    append_number(said, (unsigned long long)head->status);
    append_number(said, head->framing);
    append_number(said, head->has_length ? head->length : 0);
    append(said, head->reason.ptr, head->reason.len);
    append(said, head->fields.ptr, head->fields.len);
}

static void take_head(reading_t *reading, const char *input, size_t consumed)
{
    const udr_http1_head_t *head = &reading->reader.cgi.head;
    REQUIRE(!reading->has_head);
    REQUIRE(head->is_cgi && head->persistent && head->status >= 200);
    REQUIRE(within(head->fields, input, consumed));
    REQUIRE(head->reason.len == 0 || within(head->reason, input, consumed));
    reading->has_head = true;
    describe_head(&reading->head, head);
}

/* One call, on a copy of exactly what has arrived and was not consumed. */
static void step_once(reading_t *reading)
{
    const size_t len = reading->held.len;
    udr_codec_step_t step;
    char *input = malloc(len ? len : 1);
    REQUIRE(input);
    if (len) {
        memcpy(input, reading->held.ptr, len);
    }
    reading->status = udr_fcgi_reader_feed(&reading->reader, input, len, &step);
    REQUIRE(step.consumed <= len);
    switch (reading->status) {
    case UDR_CODEC_HEAD:
        REQUIRE(step.data.len == 0);
        take_head(reading, input, step.consumed);
        break;
    case UDR_CODEC_DATA:
        REQUIRE(reading->has_head && reading->reader.cgi.head.framing != UDR_HTTP1_NO_BODY);
        REQUIRE(step.data.len > 0 && within(step.data, input, step.consumed));
        append(&reading->body, step.data.ptr, step.data.len);
        break;
    case UDR_CODEC_NOTE:
        REQUIRE(step.data.len > 0 && within(step.data, input, len));
        append(&reading->notes, step.data.ptr, step.data.len);
        break;
    case UDR_CODEC_BAD:
        REQUIRE(step.data.len == 0 && reading->reader.why);
        REQUIRE(!reading->has_head || !reading->reader.is_busy);
        break;
    case UDR_CODEC_END:
        REQUIRE(step.data.len == 0 && reading->has_head);
        break;
    case UDR_CODEC_MORE:
        REQUIRE(step.data.len == 0);
        REQUIRE(len - step.consumed <= reading->reader.cgi.limits.head + UDR_FCGI_CONTENT_MAX + 255 + UDR_FCGI_HEADER);
        break;
    case UDR_CODEC_INTERIM:
        REQUIRE(reading->status != UDR_CODEC_INTERIM);
        break;
    }
    reading->consumed += step.consumed;
    reading->held.len = len - step.consumed;
    if (reading->held.len) {
        memcpy(reading->held.ptr, input + step.consumed, reading->held.len);
    }
    free(input);
}

static bool is_final(udr_codec_status_t status)
{
    return status == UDR_CODEC_END || status == UDR_CODEC_BAD;
}

static void check_final(reading_t *reading)
{
    char bytes[] = "\1\7\0\1\0\1\0\0x";
    udr_codec_step_t step;
    REQUIRE(udr_fcgi_reader_feed(&reading->reader, bytes, sizeof bytes - 1, &step) == reading->status);
    REQUIRE(step.consumed == 0 && step.data.len == 0);
    REQUIRE(udr_fcgi_reader_eof(&reading->reader, 0) == reading->status);
}

/* Reads a response to its end. pattern: how it arrives; negative: whole. */
static void read_through(reading_t *reading, const char *response, size_t len, int options, int pattern)
{
    uint32_t random = (uint32_t)pattern;
    size_t arrived = 0;
    memset(reading, 0, sizeof *reading);
    udr_fcgi_reader_init(&reading->reader, options & 1, limits_of(options));
    for (;;) {
        step_once(reading);
        if (is_final(reading->status)) {
            break;
        }
        /* Whatever is neither an end nor MORE has dealt with at least a byte; MORE is as many as there are pieces. */
        REQUIRE(++reading->steps <= 2 * len + 2);
        if (reading->status != UDR_CODEC_MORE) {
            continue;
        }
        if (arrived == len) {
            reading->status = udr_fcgi_reader_eof(&reading->reader, reading->held.len);
            REQUIRE(is_final(reading->status));
            break;
        }
        size_t piece = pattern < 0 ? len : next_piece((unsigned)pattern, &random);
        piece = piece < len - arrived ? piece : len - arrived;
        append(&reading->held, response + arrived, piece);
        arrived += piece;
    }
    append_number(&reading->end, reading->status);
    append_number(&reading->end, reading->consumed);
    append_number(&reading->end, reading->reader.cgi.head.persistent);
    if (reading->status == UDR_CODEC_BAD) {
        append(&reading->end, reading->reader.why, strlen(reading->reader.why));
    }
    check_final(reading);
}

static void forget(reading_t *reading)
{
    free(reading->held.ptr);
    free(reading->head.ptr);
    free(reading->body.ptr);
    free(reading->notes.ptr);
    free(reading->end.ptr);
}

/* --- the plainest reading --- */

/* The contents of all records of a type, one behind the other. */
static bytes_t join(const char *response, size_t len, int type)
{
    const unsigned char *byte = (const unsigned char *)response;
    bytes_t stream = {0};
    size_t at = 0;
    while (len - at >= 8) {
        size_t content = (size_t)byte[at + 4] << 8 | byte[at + 5];
        const size_t padding = byte[at + 6];
        const bool is_it = byte[at + 1] == type;
        at += 8;
        content = content < len - at ? content : len - at;
        if (is_it) {
            append(&stream, response + at, content);
        }
        at += content;
        at += padding < len - at ? padding : len - at;
    }
    return stream;
}

static void check_answer(const reading_t *reading, const bytes_t *answer, int options)
{
    udr_http1_reader_t reader;
    udr_codec_step_t step = {0, {NULL, 0}};
    bytes_t head = {0};
    udr_http1_reader_init_cgi(&reader, options & 1, limits_of(options));
    REQUIRE(udr_http1_reader_feed(&reader, answer->ptr, answer->len, &step) == UDR_CODEC_HEAD);
    describe_head(&head, &reader.head);
    REQUIRE(equal(&head, &reading->head));
    size_t len = answer->len - step.consumed;
    if (reader.head.framing == UDR_HTTP1_NO_BODY) {
        len = 0;
    } else if (reader.head.framing == UDR_HTTP1_LENGTH) {
        REQUIRE(reader.head.length <= len);
        len = (size_t)reader.head.length;
    }
    const bytes_t body = {answer->ptr + step.consumed, len, 0};
    REQUIRE(equal(&body, &reading->body));
    free(head.ptr);
}

/* reading: it has come to END. */
static void check_plainly(const reading_t *reading, const char *response, int options)
{
    /* What the response consists of. */
    bytes_t answer = join(response, reading->consumed, UDR_FCGI_STDOUT);
    bytes_t notes = join(response, reading->consumed, UDR_FCGI_STDERR);
    REQUIRE(equal(&notes, &reading->notes));
    check_answer(reading, &answer, options);
    free(answer.ptr);
    free(notes.ptr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static reading_t whole;
    static reading_t pieces;
    if (size < 2) {
        return 0;
    }
    const char *response = (const char *)data + 2;
    const size_t len = size - 2;
    read_through(&whole, response, len, data[0], -1);
    read_through(&pieces, response, len, data[0], data[1]);
    REQUIRE(equal(&whole.head, &pieces.head));
    REQUIRE(equal(&whole.body, &pieces.body));
    REQUIRE(equal(&whole.notes, &pieces.notes));
    REQUIRE(equal(&whole.end, &pieces.end));
    if (whole.status == UDR_CODEC_END) {
        check_plainly(&whole, response, data[0]);
    }
    forget(&whole);
    forget(&pieces);
    return 0;
}
