/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of the reader of HTTP/1 and CGI responses. An input is two bytes that say how to read, then a response:
 *
 * - the first byte: bit 0: the answer to a HEAD request; bits 1 and 2: which limits; bit 3: it is a CGI response;
 * - the second: in what pieces the response arrives.
 *
 * It is read whole and in pieces. Both must say the same, and what is said must be sound. Corpus files use digits and
 * letters for the two bytes: "0aHTTP/1.1 …", "8aStatus: …". Those called good-, bad-, cut- and other- are made by hand;
 * found- are libFuzzer's, each for a branch of the reader that no other takes. */
#include "mod_udsroute/udr_http1.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* All that was said about a response. */
typedef struct reading_t {
    udr_http1_reader_t reader;
    udr_codec_status_t status;
    bytes_t said; /* heads, trailers, how it ended */
    bytes_t body;
    bool body_due;     /* HEAD has come */
    size_t body_start; /* where in the response the body begins */
    size_t consumed;
    size_t steps;
} reading_t;

static bool within(udr_slice_t inner, const char *ptr, size_t len)
{
    return inner.len == 0 || (inner.ptr >= ptr && inner.len <= len && inner.ptr <= ptr + len - inner.len);
}

static bool has_byte(udr_slice_t slice, char byte)
{
    return slice.len && memchr(slice.ptr, byte, slice.len);
}

static void take_text(reading_t *reading, udr_slice_t text)
{
    REQUIRE(!has_byte(text, '\r') && !has_byte(text, '\n') && !has_byte(text, '\0') && !has_byte(text, '\x7f'));
    append_number(&reading->said, text.len);
    append(&reading->said, text.ptr, text.len);
}

static void take_fields(reading_t *reading, udr_slice_t section, const char *input, size_t len)
{
    udr_slice_t rest = section;
    udr_field_t field;
    REQUIRE(within(section, input, len));
    while (udr_http1_field_next(&rest, &field)) {
        REQUIRE(within(rest, section.ptr, section.len));
        REQUIRE(field.name.len > 0 && within(field.name, section.ptr, section.len));
        REQUIRE(within(field.value, section.ptr, section.len));
        REQUIRE(!has_byte(field.name, ' ') && !has_byte(field.name, '\t') && !has_byte(field.name, ':'));
        REQUIRE(field.value.len == 0 || (field.value.ptr[0] != ' ' && field.value.ptr[field.value.len - 1] != ' '));
        take_text(reading, field.name);
        take_text(reading, field.value);
    }
    REQUIRE(rest.len == 0);
}

static void take_head(reading_t *reading, const char *input, size_t len)
{
    const udr_http1_head_t *head = &reading->reader.head;
    REQUIRE(!reading->body_due);
    REQUIRE(head->status >= 100 && head->status <= 599 && (head->minor == 0 || head->minor == 1));
    REQUIRE(within(head->reason, input, len));
    REQUIRE(head->framing != UDR_HTTP1_LENGTH || head->has_length);
    REQUIRE(head->framing != UDR_HTTP1_CHUNKED || (!head->has_length && head->minor == 1));
    REQUIRE(!head->persistent || (head->framing != UDR_HTTP1_TO_CLOSE && head->status != 101));
    REQUIRE(!head->has_length || head->length <= INT64_MAX);
    REQUIRE(!head->is_cgi || (head->status >= 200 && !head->persistent && head->framing != UDR_HTTP1_CHUNKED));
    append_number(&reading->said, (unsigned long long)head->status);
    append_number(&reading->said, (unsigned long long)head->minor);
    append_number(&reading->said, head->framing);
    append_number(&reading->said, head->persistent);
    append_number(&reading->said, head->has_length ? head->length : 0);
    take_text(reading, head->reason);
    take_fields(reading, head->fields, input, len);
}

/* One call, on a copy of exactly what has arrived and was not consumed. Returns what this call consumed. Heads and
 * trailers are said; how many runs of data and how many MOREs there are depends on the pieces. */
static size_t step_once(reading_t *reading, const char *arrived, size_t len)
{
    udr_codec_step_t step;
    char *input = malloc(len ? len : 1);
    REQUIRE(input);
    if (len) {
        memcpy(input, arrived, len);
    }
    reading->status = udr_http1_reader_feed(&reading->reader, input, len, &step);
    REQUIRE(step.consumed <= len);
    REQUIRE(reading->status == UDR_CODEC_DATA ? step.data.len > 0 : step.data.len == 0);
    switch (reading->status) {
    case UDR_CODEC_INTERIM:
        REQUIRE(reading->reader.head.status < 200 && reading->reader.head.status != 101);
        take_head(reading, input, len);
        break;
    case UDR_CODEC_HEAD:
        REQUIRE(reading->reader.head.status >= 200 || reading->reader.head.status == 101);
        take_head(reading, input, len);
        reading->body_due = true;
        reading->body_start = reading->consumed + step.consumed;
        break;
    case UDR_CODEC_DATA:
        REQUIRE(reading->body_due && reading->reader.head.framing != UDR_HTTP1_NO_BODY);
        REQUIRE(within(step.data, input, step.consumed));
        append(&reading->body, step.data.ptr, step.data.len);
        break;
    case UDR_CODEC_END:
        REQUIRE(reading->body_due);
        take_fields(reading, reading->reader.trailers, input, len);
        break;
    case UDR_CODEC_MORE:
        REQUIRE(len - step.consumed < reading->reader.limits.head);
        REQUIRE(!reading->body_due || reading->reader.head.framing == UDR_HTTP1_CHUNKED || step.consumed == len);
        break;
    case UDR_CODEC_NOTE:
        REQUIRE(false);
        break;
    case UDR_CODEC_BAD:
        REQUIRE(reading->reader.why);
        break;
    }
    free(input);
    return step.consumed;
}

/* What a client that trusts the member would make of a chunked body: the reader must not have made anything else of it.
 */
static void check_chunks(const reading_t *reading, const char *response)
{
    const char *at = response + reading->body_start;
    const char *end = response + reading->consumed;
    size_t seen = 0;
    for (;;) {
        size_t chunk = 0;
        int digits = 0;
        REQUIRE(sscanf(at, "%16zx%n", &chunk, &digits) == 1 && digits > 0);
        at = memchr(at, '\n', (size_t)(end - at));
        REQUIRE(at && at[-1] == '\r');
        at++;
        if (chunk == 0) {
            break;
        }
        REQUIRE(chunk <= (size_t)(end - at) && chunk <= reading->body.len - seen);
        REQUIRE(memcmp(at, reading->body.ptr + seen, chunk) == 0);
        seen += chunk;
        at += chunk;
        REQUIRE(end - at > 2 && at[0] == '\r' && at[1] == '\n');
        at += 2;
    }
    REQUIRE(seen == reading->body.len);
    /* The trailers and the empty line that ends them. */
    REQUIRE((size_t)(end - at) == reading->reader.trailers.len + 2 && end[-2] == '\r' && end[-1] == '\n');
}

static void check_end(const reading_t *reading, const char *response)
{
    const udr_http1_head_t *head = &reading->reader.head;
    switch (head->framing) {
    case UDR_HTTP1_NO_BODY:
        REQUIRE(reading->body.len == 0 && reading->consumed == reading->body_start);
        break;
    case UDR_HTTP1_LENGTH:
        REQUIRE(reading->body.len == head->length && reading->consumed == reading->body_start + reading->body.len);
        break;
    case UDR_HTTP1_CHUNKED:
        check_chunks(reading, response);
        break;
    case UDR_HTTP1_TO_CLOSE:
        REQUIRE(reading->consumed == reading->body_start + reading->body.len);
        break;
    }
}

/* Reads a response to its end. pattern: how it arrives; negative: whole. */
static void read_through(reading_t *reading, const char *response, size_t len, int options, int pattern)
{
    uint32_t random = (uint32_t)pattern;
    size_t arrived = pattern < 0 ? len : 0;
    memset(reading, 0, sizeof(*reading));
    const bool is_cgi = (options & 8) != 0;
    (is_cgi ? udr_http1_reader_init_cgi : udr_http1_reader_init)(&reading->reader, options & 1, limits_of(options));
    for (;;) {
        reading->consumed += step_once(reading, response + reading->consumed, arrived - reading->consumed);
        if (reading->status == UDR_CODEC_END || reading->status == UDR_CODEC_BAD) {
            udr_codec_step_t step;
            REQUIRE(udr_http1_reader_feed(&reading->reader, response, len, &step) == reading->status);
            REQUIRE(step.consumed == 0 && step.data.len == 0);
            break;
        }
        /* Whatever is neither an end nor MORE took at least a byte; MORE is as many as there are pieces. */
        REQUIRE(++reading->steps <= 2 * len + 2);
        if (reading->status != UDR_CODEC_MORE) {
            continue;
        }
        if (arrived == len) {
            reading->status = udr_http1_reader_eof(&reading->reader, len - reading->consumed);
            REQUIRE(reading->status == UDR_CODEC_END || reading->status == UDR_CODEC_BAD);
            REQUIRE(reading->status == UDR_CODEC_BAD || reading->reader.head.framing == UDR_HTTP1_TO_CLOSE);
            break;
        }
        const size_t piece = next_piece((unsigned)pattern, &random);
        arrived = len - arrived > piece ? arrived + piece : len;
    }
    append_number(&reading->said, reading->status);
    append_number(&reading->said, reading->consumed);
    if (reading->status == UDR_CODEC_BAD) {
        append(&reading->said, reading->reader.why, strlen(reading->reader.why));
    } else {
        check_end(reading, response);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static reading_t whole;
    static reading_t pieces;
    if (size < 2) {
        return 0;
    }
    /* Terminated, so that the naive reading of chunks cannot run away. */
    const size_t len = size - 2;
    char *response = calloc(1, len + 1);
    REQUIRE(response);
    memcpy(response, data + 2, len);
    read_through(&whole, response, len, data[0], -1);
    read_through(&pieces, response, len, data[0], data[1]);
    REQUIRE(equal(&whole.said, &pieces.said));
    REQUIRE(equal(&whole.body, &pieces.body));
    (void)udr_http1_other_protocol(response, len);
    free(whole.said.ptr);
    free(whole.body.ptr);
    free(pieces.said.ptr);
    free(pieces.body.ptr);
    free(response);
    return 0;
}
