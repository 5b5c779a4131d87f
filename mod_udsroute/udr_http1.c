/* SPDX-License-Identifier: Apache-2.0 */
/* A state machine over RFC 9112. Each state is a row of the table at the end: a function that consumes what it can from
 * the front of the input, and what it means if the member closes there. In reading order: head, body, machine.
 * What a line is made of is in udr_http1_syntax.c, the states of the chunked coding in udr_http1_chunked.c, those of a
 * CGI head in udr_http1_cgi.c. */
#include "mod_udsroute/udr_http1_private.h"
#include "mod_udsroute/udr_http1_syntax.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

/* "HTTP/1.1 200": what a status line has to have. */
#define PROTOCOL        "HTTP/1."
#define PROTOCOL_LENGTH (sizeof(PROTOCOL) - 1)
#define STATUS_OFFSET   (PROTOCOL_LENGTH + 2)
#define STATUS_END      (STATUS_OFFSET + 3)

/* A sentence used more than once. */
#define WHY_TE_AND_LENGTH "both Transfer-Encoding and Content-Length"

/* --- the head --- */

/* 1xx and 204 have no content and may say nothing about its length or coding (RFC 9110, 8.6; RFC 9112, 6.1). */
static bool is_bare(int status)
{
    return status < 200 || status == 204;
}

/* RFC 9110, 8.6: a value that is repeated, in a list or in several fields, is one value; two that differ are two
 * readings. */
const char *udr_http1_note_content_length(udr_http1_reader_t *reader, udr_slice_t list)
{
    udr_http1_head_t *head = &reader->head;
    udr_slice_t element;
    if (reader->chunked) {
        return WHY_TE_AND_LENGTH; /* RFC 9112, 6.3, rule 3 */
    }
    while (udr_http1_list_next(&list, &element)) {
        apr_uint64_t length;
        const char *why = udr_http1_parse_length(element, &length);
        if (why) {
            return why;
        }
        if (head->has_length && length != head->length) {
            return "differing Content-Lengths";
        }
        if (length > 0 && is_bare(head->status)) {
            return "a Content-Length in a 1xx or 204 response"; /* 0 is sent by some, and misleads nobody */
        }
        head->has_length = true;
        head->length = length;
    }
    return NULL;
}

/* RFC 9112, 6.1 and 6.3. Codings other than chunked are for those who ask for them with TE; members are not asked. */
static const char *note_transfer_encoding(udr_http1_reader_t *reader, udr_slice_t value)
{
    if (reader->head.has_length) {
        return WHY_TE_AND_LENGTH;
    }
    if (reader->chunked) {
        return "Transfer-Encoding twice";
    }
    if (!UDR_HTTP1_EQUALS(value, "chunked")) {
        return "an unsupported transfer coding";
    }
    if (reader->head.minor == 0) {
        return "Transfer-Encoding in an HTTP/1.0 response";
    }
    if (is_bare(reader->head.status)) {
        return "Transfer-Encoding in a 1xx or 204 response";
    }
    reader->chunked = true;
    return NULL;
}

void udr_http1_note_connection(udr_http1_reader_t *reader, udr_slice_t list)
{
    udr_slice_t option;
    while (udr_http1_list_next(&list, &option)) {
        if (UDR_HTTP1_EQUALS(option, "close")) {
            reader->close = true;
        } else if (UDR_HTTP1_EQUALS(option, "keep-alive")) {
            reader->keep_alive = true;
        } else {
            reader->head.names_fields = true;
        }
    }
}

/* Notes what concerns framing and the connection. Returns NULL or what is wrong. */
static inline const char *note_field(udr_http1_reader_t *reader, const udr_field_t *field)
{
    if (UDR_HTTP1_EQUALS(field->name, "content-length")) {
        return udr_http1_note_content_length(reader, field->value);
    }
    if (UDR_HTTP1_EQUALS(field->name, "transfer-encoding")) {
        return note_transfer_encoding(reader, field->value);
    }
    if (UDR_HTTP1_EQUALS(field->name, "connection")) {
        udr_http1_note_connection(reader, field->value);
    }
    return NULL;
}

const char *udr_http1_parse_status_line(udr_slice_t line, udr_http1_head_t *head)
{
    const char *minor = line.ptr + PROTOCOL_LENGTH;
    const char *status = line.ptr + STATUS_OFFSET;
    if (line.len < STATUS_END || !udr_http1_is_digit(*minor) || minor[1] != ' ' || !udr_http1_is_digit(status[0]) ||
        !udr_http1_is_digit(status[1]) || !udr_http1_is_digit(status[2]) ||
        (line.len > STATUS_END && status[3] != ' ')) {
        return UDR_HTTP1_WHY_STATUS_LINE;
    }
    head->minor = *minor == '0' ? 0 : 1;
    head->status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
    if (head->status < 100 || head->status > 599) {
        return "a status line with a code outside 100 to 599";
    }
    if (line.len > UDR_HTTP1_REASON_OFFSET) {
        const udr_slice_t reason = {line.ptr + UDR_HTTP1_REASON_OFFSET, line.len - UDR_HTTP1_REASON_OFFSET};
        const char *why = udr_http1_check_text(reason);
        if (why) {
            return why;
        }
        head->reason.len = reason.len;
    }
    return NULL;
}

static udr_codec_status_t read_status_line(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    /* Who speaks another protocol may send no LF for long, but is known by the first bytes. */
    const apr_size_t known = input->len < PROTOCOL_LENGTH ? input->len : PROTOCOL_LENGTH;
    if (known && memcmp(input->at, PROTOCOL, known) != 0) {
        return udr_http1_fail(reader, UDR_HTTP1_WHY_STATUS_LINE);
    }
    udr_slice_t line;
    const char *why = udr_http1_next_line(reader, input, true, &line);
    if (why) {
        return udr_http1_fail(reader, why);
    }
    if (!line.ptr) {
        return UDR_CODEC_MORE;
    }
    memset(&reader->head, 0, sizeof(reader->head));
    reader->chunked = reader->close = reader->keep_alive = false;
    why = udr_http1_parse_status_line(line, &reader->head);
    if (why) {
        return udr_http1_fail(reader, why);
    }
    reader->fields_start = reader->line_start;
    return udr_http1_enter(reader, UDR_HTTP1_STATE_FIELDS);
}

/* RFC 9112, 6.3. */
static udr_http1_framing_t body_framing(const udr_http1_reader_t *reader)
{
    if (reader->head_request || is_bare(reader->head.status) || reader->head.status == 304) {
        return UDR_HTTP1_NO_BODY;
    }
    if (reader->chunked) {
        return UDR_HTTP1_CHUNKED;
    }
    return reader->head.has_length ? UDR_HTTP1_LENGTH : UDR_HTTP1_TO_CLOSE;
}

/* RFC 9112, 9.3. After 101 the connection speaks another protocol. */
static bool is_persistent(const udr_http1_reader_t *reader)
{
    if (reader->close || reader->head.framing == UDR_HTTP1_TO_CLOSE || reader->head.status == 101) {
        return false;
    }
    return reader->head.minor >= 1 || reader->keep_alive;
}

udr_codec_status_t udr_http1_finish_head(udr_http1_reader_t *reader, udr_http1_input_t *input, apr_size_t reason,
                                         apr_size_t fields_end)
{
    static const udr_http1_state_t bodies[] = {[UDR_HTTP1_NO_BODY] = UDR_HTTP1_STATE_END,
                                               [UDR_HTTP1_LENGTH] = UDR_HTTP1_STATE_LENGTH,
                                               [UDR_HTTP1_CHUNKED] = UDR_HTTP1_STATE_CHUNK_SIZE,
                                               [UDR_HTTP1_TO_CLOSE] = UDR_HTTP1_STATE_TO_CLOSE};
    udr_http1_head_t *head = &reader->head;
    head->reason.ptr = input->at + reason;
    head->fields.ptr = input->at + reader->fields_start;
    head->fields.len = fields_end - reader->fields_start;
    head->has_length = head->has_length && !is_bare(head->status);
    head->framing = body_framing(reader);
    head->persistent = is_persistent(reader);
    udr_http1_consume(input, reader->line_start);
    if (head->status < 200 && head->status != 101) {
        udr_http1_begin(reader, UDR_HTTP1_STATE_STATUS_LINE);
        return UDR_CODEC_INTERIM;
    }
    udr_http1_begin(reader, bodies[head->framing]);
    if (head->framing == UDR_HTTP1_LENGTH) {
        reader->left = head->length;
        udr_http1_enter(reader, head->length ? UDR_HTTP1_STATE_LENGTH : UDR_HTTP1_STATE_END);
    }
    return UDR_CODEC_HEAD;
}

static udr_codec_status_t read_fields(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    for (;;) {
        udr_slice_t line;
        udr_field_t field;
        const char *why = udr_http1_next_line(reader, input, true, &line);
        if (why) {
            return udr_http1_fail(reader, why);
        }
        if (!line.ptr) {
            return UDR_CODEC_MORE;
        }
        if (line.len == 0) {
            return udr_http1_finish_head(reader, input, UDR_HTTP1_REASON_OFFSET, (apr_size_t)(line.ptr - input->at));
        }
        why = udr_http1_parse_field(line, &field);
        if (!why) {
            why = note_field(reader, &field);
        }
        if (why) {
            return udr_http1_fail(reader, why);
        }
    }
}

/* --- the body --- */

static udr_codec_status_t read_length(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    return udr_http1_hand_out(reader, input, UDR_HTTP1_STATE_END);
}

static udr_codec_status_t read_to_close(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    reader->left = input->len;
    return udr_http1_hand_out(reader, input, UDR_HTTP1_STATE_TO_CLOSE);
}

/* --- the machine --- */

static udr_codec_status_t read_nothing(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    (void)input;
    return reader->state == UDR_HTTP1_STATE_END ? UDR_CODEC_END : UDR_CODEC_BAD;
}

#define CUT_HEAD    "closed within the head"
#define CUT_LENGTH  "closed within the body: fewer bytes than Content-Length said"
#define CUT_CHUNKED "closed within a chunked body"

static const struct {
    /* Consumes from the front of the input. MORE, and another state than before: that one goes on with the rest. */
    udr_codec_status_t (*read)(udr_http1_reader_t *reader, udr_http1_input_t *input);
    /* Why the response is not complete if the member closes here. NULL: it is. */
    const char *cut;
} states[] = {
    [UDR_HTTP1_STATE_STATUS_LINE] = {read_status_line, CUT_HEAD},
    [UDR_HTTP1_STATE_FIELDS] = {read_fields, CUT_HEAD},
    [UDR_HTTP1_STATE_CGI_BEGIN] = {udr_http1_read_cgi_begin, CUT_HEAD},
    [UDR_HTTP1_STATE_CGI_FIELDS] = {udr_http1_read_cgi_fields, CUT_HEAD},
    [UDR_HTTP1_STATE_LENGTH] = {read_length, CUT_LENGTH},
    [UDR_HTTP1_STATE_TO_CLOSE] = {read_to_close, NULL},
    [UDR_HTTP1_STATE_CHUNK_SIZE] = {udr_http1_read_chunk_size, CUT_CHUNKED},
    [UDR_HTTP1_STATE_CHUNK_SPACE] = {udr_http1_read_chunk_space, CUT_CHUNKED},
    [UDR_HTTP1_STATE_CHUNK_EXTENSION] = {udr_http1_read_chunk_extension, CUT_CHUNKED},
    [UDR_HTTP1_STATE_CHUNK_LINE_LF] = {udr_http1_read_chunk_line_lf, CUT_CHUNKED},
    [UDR_HTTP1_STATE_CHUNK_DATA] = {udr_http1_read_chunk_data, CUT_CHUNKED},
    [UDR_HTTP1_STATE_CHUNK_DATA_CR] = {udr_http1_read_chunk_data_end, CUT_CHUNKED},
    [UDR_HTTP1_STATE_CHUNK_DATA_LF] = {udr_http1_read_chunk_data_end, CUT_CHUNKED},
    [UDR_HTTP1_STATE_TRAILERS] = {udr_http1_read_trailers, "closed within the trailers of a chunked body"},
    [UDR_HTTP1_STATE_END] = {read_nothing, NULL},
    [UDR_HTTP1_STATE_BAD] = {read_nothing, NULL},
};

void udr_http1_reader_init(udr_http1_reader_t *reader, bool head_request, const udr_http1_limits_t *limits)
{
    memset(reader, 0, sizeof(*reader));
    reader->limits = *limits;
    reader->head_request = head_request;
    udr_http1_enter(reader, UDR_HTTP1_STATE_STATUS_LINE);
}

void udr_http1_reader_init_cgi(udr_http1_reader_t *reader, bool head_request, const udr_http1_limits_t *limits)
{
    udr_http1_reader_init(reader, head_request, limits);
    reader->head.is_cgi = true;
    reader->close = true; /* not persistent */
    udr_http1_enter(reader, UDR_HTTP1_STATE_CGI_BEGIN);
}

udr_codec_status_t udr_http1_reader_feed(udr_http1_reader_t *reader, const char *data, apr_size_t len,
                                         udr_codec_step_t *step)
{
    udr_http1_input_t input = {.at = data, .len = len};
    udr_codec_status_t status;
    int state;
    do {
        state = reader->state;
        status = states[state].read(reader, &input);
    } while (status == UDR_CODEC_MORE && reader->state != state);
    step->consumed = len - input.len;
    step->data = input.data;
    return status;
}

udr_codec_status_t udr_http1_reader_eof(udr_http1_reader_t *reader, apr_size_t pending)
{
    if (reader->state == UDR_HTTP1_STATE_BAD) {
        return UDR_CODEC_BAD;
    }
    const bool at_start = reader->state == UDR_HTTP1_STATE_STATUS_LINE || reader->state == UDR_HTTP1_STATE_CGI_BEGIN;
    if (at_start && pending == 0) {
        return udr_http1_fail(reader, reader->head.status ? "closed after an interim response, before the final one"
                                                          : "closed before any byte of the response");
    }
    if (states[reader->state].cut) {
        return udr_http1_fail(reader, states[reader->state].cut);
    }
    udr_http1_enter(reader, UDR_HTTP1_STATE_END);
    return UDR_CODEC_END;
}

apr_uint64_t udr_http1_reader_verbatim(const udr_http1_reader_t *reader)
{
    switch (reader->state) {
    case UDR_HTTP1_STATE_LENGTH:
        return reader->left;
    case UDR_HTTP1_STATE_TO_CLOSE:
        return UINT64_MAX;
    default:
        return 0; /* the chunked coding, too: its frames have to be read and written anew */
    }
}

void udr_http1_reader_skip(udr_http1_reader_t *reader, apr_size_t len)
{
    if (reader->state == UDR_HTTP1_STATE_LENGTH) {
        reader->left -= len;
        if (reader->left == 0) {
            udr_http1_enter(reader, UDR_HTTP1_STATE_END);
        }
    }
}

/* --- for the caller --- */

bool udr_http1_field_next(udr_slice_t *section, udr_field_t *field)
{
    if (section->len == 0) {
        return false;
    }
    /* Every line has a colon and ends in LF: the reader saw to it. */
    const char *colon = memchr(section->ptr, ':', section->len);
    const char *lf = memchr(section->ptr, '\n', section->len);
    field->name = (udr_slice_t){section->ptr, (apr_size_t)(colon - section->ptr)};
    field->value = udr_http1_trimmed(colon + 1, lf[-1] == '\r' ? lf - 1 : lf);
    section->len -= (apr_size_t)(lf + 1 - section->ptr);
    section->ptr = lf + 1;
    return true;
}

const char *udr_http1_field_list(udr_slice_t section, const char *name, apr_pool_t *p)
{
    const char *list = NULL;
    udr_field_t field;
    while (udr_http1_field_next(&section, &field)) {
        if (field.name.len == strlen(name) && strncasecmp(field.name.ptr, name, field.name.len) == 0) {
            const char *value = apr_pstrmemdup(p, field.value.ptr, field.value.len);
            list = list ? apr_pstrcat(p, list, ", ", value, NULL) : value;
        }
    }
    return list;
}

const char *udr_http1_other_protocol(const char *data, apr_size_t len)
{
    const unsigned char *byte = (const unsigned char *)data;
    /* FastCGI 1.0, 3.3: version 1, a type from FCGI_BEGIN_REQUEST (1) to FCGI_UNKNOWN_TYPE (11), …, a reserved 0. */
    if (len >= 8 && byte[0] == 1 && byte[1] >= 1 && byte[1] <= 11 && byte[7] == 0) {
        return "FastCGI";
    }
    /* RFC 8446, 5.1: a record of type alert or handshake, legacy version 3.x. */
    if (len >= 3 && (byte[0] == 0x15 || byte[0] == 0x16) && byte[1] == 3 && byte[2] <= 4) {
        return "TLS";
    }
    /* RFC 9113, 3.4 and 4.1: a server begins with SETTINGS (type 4): entries of 6 bytes, no flags, stream 0. */
    static const char settings[] = {0x04, 0, 0, 0, 0, 0};
    if (len >= 9 && byte[0] == 0 && byte[1] == 0 && byte[2] % 6 == 0 && !memcmp(data + 3, settings, sizeof(settings))) {
        return "HTTP/2";
    }
    return NULL;
}
