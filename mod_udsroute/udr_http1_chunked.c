/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked coding (RFC 9112, 7.1): a size is digits and nothing else, a line ends in CRLF and nothing else. */
#include "mod_udsroute/udr_http1_private.h"
#include "mod_udsroute/udr_http1_syntax.h"

#include <stdint.h>

#define CHUNK_DIGITS_MAX 16
/* Chunk extensions serve nobody: a limit of their own keeps a member from sending a stream of them. */
#define CHUNK_LINE_MAX 4096

/* Sentences used more than once. */
#define WHY_CHUNK_SIZE "a bad chunk size"
#define WHY_CHUNK_LINE "a chunk-size line that does not end in CRLF"

/* Consumes a byte of a chunk-size line. Returns whether the line is still within its limit. */
static inline bool count_byte(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    const apr_size_t limit = reader->limits.line < CHUNK_LINE_MAX ? reader->limits.line : CHUNK_LINE_MAX;
    udr_http1_consume(input, 1);
    return ++reader->scanned <= limit;
}

static udr_codec_status_t take_cr(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    udr_http1_consume(input, 1);
    return udr_http1_enter(reader, UDR_HTTP1_STATE_CHUNK_LINE_LF);
}

udr_codec_status_t udr_http1_read_chunk_size(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    for (; input->len; count_byte(reader, input)) {
        const int digit = udr_http1_hex_value(*input->at);
        if (digit < 0) {
            break;
        }
        if (reader->scanned == CHUNK_DIGITS_MAX || reader->left > INT64_MAX >> 4) {
            return udr_http1_fail(reader, "a chunk size of more than 16 digits or beyond 2^63-1");
        }
        reader->left = reader->left << 4 | (apr_uint64_t)digit;
    }
    if (input->len == 0) {
        return UDR_CODEC_MORE;
    }
    if (reader->scanned == 0) {
        return udr_http1_fail(reader, WHY_CHUNK_SIZE);
    }
    return *input->at == '\r' ? take_cr(reader, input) : udr_http1_enter(reader, UDR_HTTP1_STATE_CHUNK_SPACE);
}

/* White space may stand between size and ';' (BWS), but not between size and CR: padding of that kind went out of use
 * with the servers of the 1990s. */
udr_codec_status_t udr_http1_read_chunk_space(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    while (input->len) {
        if (*input->at == ';') {
            return udr_http1_enter(reader, UDR_HTTP1_STATE_CHUNK_EXTENSION);
        }
        if (!udr_http1_is_space(*input->at)) {
            return udr_http1_fail(reader, *input->at == '\n' ? WHY_CHUNK_LINE : WHY_CHUNK_SIZE);
        }
        if (!count_byte(reader, input)) {
            return udr_http1_fail(reader, UDR_HTTP1_WHY_LINE_TOO_LONG);
        }
    }
    return UDR_CODEC_MORE;
}

/* Extensions are skipped, not understood (RFC 9112, 7.1.1), but nothing in them may pass for a line end elsewhere. */
udr_codec_status_t udr_http1_read_chunk_extension(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    while (input->len) {
        if (*input->at == '\r') {
            return take_cr(reader, input);
        }
        if (!udr_http1_is(*input->at, UDR_HTTP1_TEXT)) {
            return udr_http1_fail(reader,
                                  *input->at == '\n' ? WHY_CHUNK_LINE : "a control character in a chunk extension");
        }
        if (!count_byte(reader, input)) {
            return udr_http1_fail(reader, UDR_HTTP1_WHY_LINE_TOO_LONG);
        }
    }
    return UDR_CODEC_MORE;
}

udr_codec_status_t udr_http1_read_chunk_line_lf(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    if (input->len == 0) {
        return UDR_CODEC_MORE;
    }
    if (*input->at != '\n') {
        return udr_http1_fail(reader, WHY_CHUNK_LINE);
    }
    udr_http1_consume(input, 1);
    return reader->left ? udr_http1_enter(reader, UDR_HTTP1_STATE_CHUNK_DATA)
                        : udr_http1_begin(reader, UDR_HTTP1_STATE_TRAILERS);
}

udr_codec_status_t udr_http1_read_chunk_data(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    return udr_http1_hand_out(reader, input, UDR_HTTP1_STATE_CHUNK_DATA_CR);
}

udr_codec_status_t udr_http1_read_chunk_data_end(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    const bool cr_due = reader->state == UDR_HTTP1_STATE_CHUNK_DATA_CR;
    if (input->len == 0) {
        return UDR_CODEC_MORE;
    }
    if (*input->at != (cr_due ? '\r' : '\n')) {
        return udr_http1_fail(reader, "chunk data without CRLF behind it");
    }
    udr_http1_consume(input, 1);
    return cr_due ? udr_http1_enter(reader, UDR_HTTP1_STATE_CHUNK_DATA_LF)
                  : udr_http1_begin(reader, UDR_HTTP1_STATE_CHUNK_SIZE);
}

/* RFC 9112, 7.1.2. Only the syntax counts: framing fields frame nothing any more here, and which fields are passed on
 * is the caller's to say (RFC 9110, 6.5.1). */
udr_codec_status_t udr_http1_read_trailers(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    for (;;) {
        udr_slice_t line;
        udr_field_t field;
        const char *why = udr_http1_next_line(reader, input, false, &line);
        if (why) {
            return udr_http1_fail(reader, why);
        }
        if (!line.ptr) {
            return UDR_CODEC_MORE;
        }
        if (line.len == 0) {
            reader->trailers.ptr = input->at;
            reader->trailers.len = (apr_size_t)(line.ptr - input->at);
            udr_http1_consume(input, reader->line_start);
            udr_http1_enter(reader, UDR_HTTP1_STATE_END);
            return UDR_CODEC_END;
        }
        why = udr_http1_parse_field(line, &field);
        if (why) {
            return udr_http1_fail(reader, why);
        }
    }
}
