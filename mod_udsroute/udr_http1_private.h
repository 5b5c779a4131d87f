/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the reader share: its states, and how one consumes input and moves on. udr_http1.c reads head and
 * body and has the table of states, *_chunked.c reads the chunked coding, *_cgi.c the head of a CGI response. What is
 * called for each line, run or chunk is defined here, to be inlined. Layer: core; included by these three only. */
#ifndef UDR_HTTP1_PRIVATE_H
#define UDR_HTTP1_PRIVATE_H

#include "mod_udsroute/udr_http1.h"

#include <string.h>

typedef enum udr_http1_state_t {
    UDR_HTTP1_STATE_STATUS_LINE,
    UDR_HTTP1_STATE_FIELDS,
    UDR_HTTP1_STATE_CGI_BEGIN, /* a status line or a field: the first bytes tell */
    UDR_HTTP1_STATE_CGI_FIELDS,
    UDR_HTTP1_STATE_LENGTH,          /* body of a known length, at least one byte due */
    UDR_HTTP1_STATE_TO_CLOSE,        /* body that ends when the member closes */
    UDR_HTTP1_STATE_CHUNK_SIZE,      /* hexadecimal digits */
    UDR_HTTP1_STATE_CHUNK_SPACE,     /* what may stand between size and extension */
    UDR_HTTP1_STATE_CHUNK_EXTENSION, /* from the first ';' to the CR */
    UDR_HTTP1_STATE_CHUNK_LINE_LF,   /* the CR has come */
    UDR_HTTP1_STATE_CHUNK_DATA,      /* at least one byte due */
    UDR_HTTP1_STATE_CHUNK_DATA_CR,   /* the CRLF behind the data */
    UDR_HTTP1_STATE_CHUNK_DATA_LF,
    UDR_HTTP1_STATE_TRAILERS,
    UDR_HTTP1_STATE_END,
    UDR_HTTP1_STATE_BAD
} udr_http1_state_t;

/* What has been fed and not yet consumed. A section (a head, the trailers) begins at `at` until it is whole. */
typedef struct udr_http1_input_t {
    const char *at;
    apr_size_t len;
    udr_slice_t data; /* body bytes to hand out */
} udr_http1_input_t;

/* "HTTP/1.1 200 ": what stands before the reason. */
#define UDR_HTTP1_REASON_OFFSET 13

#define UDR_HTTP1_WHY_LINE_TOO_LONG "a line longer than responsefieldsize"
#define UDR_HTTP1_WHY_STATUS_LINE   "a status line that is none"

static inline void udr_http1_consume(udr_http1_input_t *input, apr_size_t count)
{
    input->at += count;
    input->len -= count;
}

static inline udr_codec_status_t udr_http1_enter(udr_http1_reader_t *reader, udr_http1_state_t state)
{
    reader->state = (int)state;
    return UDR_CODEC_MORE;
}

/* Enters a state that counts bytes from here. */
static inline udr_codec_status_t udr_http1_begin(udr_http1_reader_t *reader, udr_http1_state_t state)
{
    reader->scanned = 0;
    reader->line_start = 0;
    reader->left = 0;
    return udr_http1_enter(reader, state);
}

static inline udr_codec_status_t udr_http1_fail(udr_http1_reader_t *reader, const char *why)
{
    reader->why = why;
    reader->state = UDR_HTTP1_STATE_BAD;
    return UDR_CODEC_BAD;
}

/* Finds the section's next line, searching each byte once however the section arrives. lf_alone: a bare LF ends a line
 * as well (RFC 9112, 2.2). Returns NULL and sets *line, its ptr to NULL while the end of the line has not come; or says
 * what is wrong. */
static inline const char *udr_http1_next_line(udr_http1_reader_t *reader, const udr_http1_input_t *input, bool lf_alone,
                                              udr_slice_t *line)
{
    /* Searching no further than the nearer limit (the line's, with its CRLF), the answer does not depend on how much of
     * what lies beyond has arrived. */
    const char *too_long = UDR_HTTP1_WHY_LINE_TOO_LONG;
    apr_size_t limit = reader->line_start + reader->limits.line + 2;
    if (limit > reader->limits.head) {
        limit = reader->limits.head;
        too_long = "a head or trailer section longer than 8 times responsefieldsize";
    }
    const apr_size_t end = input->len < limit ? input->len : limit;
    const apr_size_t unsearched = end - reader->scanned;
    const char *lf = unsearched ? memchr(input->at + reader->scanned, '\n', unsearched) : NULL;
    if (!lf) {
        reader->scanned = end;
        line->ptr = NULL;
        return end == limit ? too_long : NULL;
    }
    line->ptr = input->at + reader->line_start;
    line->len = (apr_size_t)(lf - line->ptr);
    reader->scanned = reader->line_start = (apr_size_t)(lf - input->at) + 1;
    if (line->len && lf[-1] == '\r') {
        line->len--;
    } else if (!lf_alone) {
        return "a bare LF in the trailer section";
    }
    return line->len > reader->limits.line ? too_long : NULL;
}

/* Hands out what there is of the body bytes due; then enters `next`, unless more are due. */
static inline udr_codec_status_t udr_http1_hand_out(udr_http1_reader_t *reader, udr_http1_input_t *input,
                                                    udr_http1_state_t next)
{
    if (input->len == 0) {
        return UDR_CODEC_MORE;
    }
    input->data.ptr = input->at;
    input->data.len = input->len < reader->left ? input->len : (apr_size_t)reader->left;
    reader->left -= input->data.len;
    udr_http1_consume(input, input->data.len);
    if (reader->left == 0) {
        udr_http1_enter(reader, next);
    }
    return UDR_CODEC_DATA;
}

/* udr_http1_chunked.c: a state each, as the table of states has them */
udr_codec_status_t udr_http1_read_chunk_size(udr_http1_reader_t *reader, udr_http1_input_t *input);
udr_codec_status_t udr_http1_read_chunk_space(udr_http1_reader_t *reader, udr_http1_input_t *input);
udr_codec_status_t udr_http1_read_chunk_extension(udr_http1_reader_t *reader, udr_http1_input_t *input);
udr_codec_status_t udr_http1_read_chunk_line_lf(udr_http1_reader_t *reader, udr_http1_input_t *input);
udr_codec_status_t udr_http1_read_chunk_data(udr_http1_reader_t *reader, udr_http1_input_t *input);
udr_codec_status_t udr_http1_read_chunk_data_end(udr_http1_reader_t *reader, udr_http1_input_t *input);
udr_codec_status_t udr_http1_read_trailers(udr_http1_reader_t *reader, udr_http1_input_t *input);

/* udr_http1_cgi.c */
udr_codec_status_t udr_http1_read_cgi_begin(udr_http1_reader_t *reader, udr_http1_input_t *input);
udr_codec_status_t udr_http1_read_cgi_fields(udr_http1_reader_t *reader, udr_http1_input_t *input);

/* udr_http1.c: what heads of both kinds have. The first two return NULL or what is wrong. */

/* Reads what follows "HTTP/1." (RFC 9112, 4): minor, status and the reason's length. Some servers leave out the space
 * when there is no reason: taken. */
const char *udr_http1_parse_status_line(udr_slice_t line, udr_http1_head_t *head);
const char *udr_http1_note_content_length(udr_http1_reader_t *reader, udr_slice_t list);
void udr_http1_note_connection(udr_http1_reader_t *reader, udr_slice_t list);

/* The head is whole. reason, fields_end: where in it the reason and the empty line begin. */
udr_codec_status_t udr_http1_finish_head(udr_http1_reader_t *reader, udr_http1_input_t *input, apr_size_t reason,
                                         apr_size_t fields_end);

#endif
