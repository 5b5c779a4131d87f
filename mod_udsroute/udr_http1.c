/* SPDX-License-Identifier: Apache-2.0 */
/* A state machine over RFC 9112. Each state is a row of the table at the end: a function that consumes what it can from
 * the front of the input, and what it means if the member closes there. In reading order: characters, lines, head,
 * body, chunks, machine. */
#include "mod_udsroute/udr_http1.h"

#include <stdint.h>
#include <string.h>

typedef enum state_t {
    STATE_STATUS_LINE,
    STATE_FIELDS,
    STATE_LENGTH,          /* body of a known length, at least one byte due */
    STATE_TO_CLOSE,        /* body that ends when the member closes */
    STATE_CHUNK_SIZE,      /* hexadecimal digits */
    STATE_CHUNK_SPACE,     /* what may stand between size and extension */
    STATE_CHUNK_EXTENSION, /* from the first ';' to the CR */
    STATE_CHUNK_LINE_LF,   /* the CR has come */
    STATE_CHUNK_DATA,      /* at least one byte due */
    STATE_CHUNK_DATA_CR,   /* the CRLF behind the data */
    STATE_CHUNK_DATA_LF,
    STATE_TRAILERS,
    STATE_END,
    STATE_BAD
} state_t;

/* What has been fed and not yet consumed. A section (a head, the trailers) begins at `at` until it is whole. */
typedef struct input_t {
    const char *at;
    apr_size_t len;
    udr_slice_t data; /* body bytes to hand out */
} input_t;

/* "HTTP/1.1 200 ": what stands before the reason. */
#define PROTOCOL        "HTTP/1."
#define PROTOCOL_LENGTH (sizeof(PROTOCOL) - 1)
#define STATUS_OFFSET   (PROTOCOL_LENGTH + 2)
#define STATUS_END      (STATUS_OFFSET + 3)
#define REASON_OFFSET   (STATUS_END + 1)

#define CHUNK_DIGITS_MAX 16
/* Chunk extensions serve nobody: a limit of their own keeps a member from sending a stream of them. */
#define CHUNK_LINE_MAX 4096

/* Sentences used more than once. */
#define WHY_STATUS_LINE   "a status line that is none"
#define WHY_LINE_TOO_LONG "a line longer than responsefieldsize"
#define WHY_TE_AND_LENGTH "both Transfer-Encoding and Content-Length"
#define WHY_CHUNK_SIZE    "a bad chunk size"
#define WHY_CHUNK_LINE    "a chunk-size line that does not end in CRLF"

/* --- characters --- */

enum {
    TEXT = 1,  /* may stand in a field value or a reason: HTAB, SP, VCHAR, obs-text (RFC 9110, 5.5; RFC 9112, 4) */
    TOKEN = 2, /* may stand in a field name (RFC 9110, 5.6.2) */
    BOTH = TEXT | TOKEN
};

static const unsigned char classes[256] = {
    ['\t'] = TEXT,        [' '] = TEXT,         ['!'] = BOTH,         ['"'] = TEXT,         ['#' ... '\''] = BOTH,
    ['(' ... ')'] = TEXT, ['*' ... '+'] = BOTH, [','] = TEXT,         ['-' ... '.'] = BOTH, ['/'] = TEXT,
    ['0' ... '9'] = BOTH, [':' ... '@'] = TEXT, ['A' ... 'Z'] = BOTH, ['[' ... ']'] = TEXT, ['^' ... 'z'] = BOTH,
    ['{'] = TEXT,         ['|'] = BOTH,         ['}'] = TEXT,         ['~'] = BOTH,         [0x80 ... 0xff] = TEXT,
};

static inline bool is(char byte, int class)
{
    return (classes[(unsigned char)byte] & class) != 0;
}

static inline bool is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

static inline bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static inline int hex_value(char byte)
{
    if (is_digit(byte)) {
        return byte - '0';
    }
    const int letter = byte | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* How many bytes at the start are of the class. */
static inline apr_size_t span(udr_slice_t text, int class)
{
    apr_size_t count = 0;
    while (count < text.len && is(text.ptr[count], class)) {
        count++;
    }
    return count;
}

static inline udr_slice_t trimmed(const char *start, const char *end)
{
    while (start < end && is_space(*start)) {
        start++;
    }
    while (end > start && is_space(end[-1])) {
        end--;
    }
    return (udr_slice_t){start, (apr_size_t)(end - start)};
}

/* Whether text is `lower`, which consists of small letters and '-', in any case. In text that was found good, setting
 * that bit makes nothing a letter or a '-' that is none. (strncasecmp(3) would ask the locale.) */
static inline bool equals(udr_slice_t text, const char *lower, apr_size_t len)
{
    if (text.len != len) {
        return false;
    }
    for (apr_size_t i = 0; i < len; i++) {
        if ((text.ptr[i] | 0x20) != lower[i]) {
            return false;
        }
    }
    return true;
}

#define EQUALS(text, literal) equals((text), (literal), sizeof(literal) - 1)

/* Takes the next element of a comma-separated list (RFC 9110, 5.6.1); it may be empty. The list's ptr is NULL at its
 * end. */
static bool list_next(udr_slice_t *list, udr_slice_t *element)
{
    if (!list->ptr) {
        return false;
    }
    const char *end = list->ptr + list->len;
    const char *comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
    *element = trimmed(list->ptr, comma ? comma : end);
    list->ptr = comma ? comma + 1 : NULL;
    list->len = comma ? (apr_size_t)(end - list->ptr) : 0;
    return true;
}

/* --- moving on --- */

static inline void consume(input_t *input, apr_size_t count)
{
    input->at += count;
    input->len -= count;
}

static inline udr_codec_status_t enter(udr_http1_reader_t *reader, state_t state)
{
    reader->state = (int)state;
    return UDR_CODEC_MORE;
}

/* Enters a state that counts bytes from here. */
static udr_codec_status_t begin(udr_http1_reader_t *reader, state_t state)
{
    reader->scanned = 0;
    reader->line_start = 0;
    reader->left = 0;
    return enter(reader, state);
}

static udr_codec_status_t fail(udr_http1_reader_t *reader, const char *why)
{
    reader->why = why;
    reader->state = STATE_BAD;
    return UDR_CODEC_BAD;
}

/* --- lines --- */

/* Finds the section's next line, searching each byte once however the section arrives. lf_alone: a bare LF ends a line
 * as well (RFC 9112, 2.2). Returns NULL and sets *line, its ptr to NULL while the end of the line has not come; or says
 * what is wrong. */
static inline const char *next_line(udr_http1_reader_t *reader, const input_t *input, bool lf_alone, udr_slice_t *line)
{
    /* Searching no further than the nearer limit (the line's, with its CRLF), the answer does not depend on how much of
     * what lies beyond has arrived. */
    const char *too_long = WHY_LINE_TOO_LONG;
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

__attribute__((returns_nonnull)) static const char *why_not_text(char byte)
{
    switch (byte) {
    case '\0':
        return "a NUL in a line";
    case '\r':
        return "a bare CR in a line";
    default:
        return "a control character in a line";
    }
}

/* Says what is wrong with a line that begins with `good` token characters and then has no colon. */
__attribute__((returns_nonnull)) static const char *why_not_name(udr_slice_t line, apr_size_t good)
{
    if (is_space(line.ptr[0])) {
        return "a folded field line (obs-fold)"; /* RFC 9112, 5.2 */
    }
    if (good < line.len && !is(line.ptr[good], TEXT)) {
        return why_not_text(line.ptr[good]);
    }
    if (!memchr(line.ptr, ':', line.len)) {
        return "a field line without a colon";
    }
    if (line.ptr[good] == ':') {
        return "a field without a name";
    }
    if (is_space(line.ptr[good])) {
        return "white space in a field name or before its colon"; /* RFC 9112, 5.1 */
    }
    return "an illegal character in a field name";
}

/* Takes a field line, which is not empty, apart. Returns NULL or what is wrong. */
static inline const char *parse_field(udr_slice_t line, udr_field_t *field)
{
    const apr_size_t name = span(line, TOKEN);
    if (name == 0 || name == line.len || line.ptr[name] != ':') {
        return why_not_name(line, name);
    }
    const udr_slice_t value = {line.ptr + name + 1, line.len - name - 1};
    const apr_size_t good = span(value, TEXT);
    if (good < value.len) {
        return why_not_text(value.ptr[good]);
    }
    field->name = (udr_slice_t){line.ptr, name};
    field->value = trimmed(value.ptr, value.ptr + value.len);
    return NULL;
}

/* --- the head --- */

/* 1xx and 204 have no content and may say nothing about its length or coding (RFC 9110, 8.6; RFC 9112, 6.1). */
static bool is_bare(int status)
{
    return status < 200 || status == 204;
}

/* Reads 1*DIGIT (RFC 9110, 8.6). Returns NULL or what is wrong. */
static const char *parse_length(udr_slice_t text, apr_uint64_t *length)
{
    apr_uint64_t value = 0;
    for (apr_size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i])) {
            return "a Content-Length that is no number";
        }
        const apr_uint64_t digit = (apr_uint64_t)(text.ptr[i] - '0');
        if (value > (INT64_MAX - digit) / 10) {
            return "a Content-Length beyond 2^63-1";
        }
        value = value * 10 + digit;
    }
    *length = value;
    return text.len ? NULL : "an empty Content-Length";
}

/* RFC 9110, 8.6: a value that is repeated, in a list or in several fields, is one value; two that differ are two
 * readings. */
static const char *note_content_length(udr_http1_reader_t *reader, udr_slice_t list)
{
    udr_http1_head_t *head = &reader->head;
    udr_slice_t element;
    if (reader->chunked) {
        return WHY_TE_AND_LENGTH; /* RFC 9112, 6.3, rule 3 */
    }
    while (list_next(&list, &element)) {
        apr_uint64_t length;
        const char *why = parse_length(element, &length);
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
    if (!EQUALS(value, "chunked")) {
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

static void note_connection(udr_http1_reader_t *reader, udr_slice_t list)
{
    udr_slice_t option;
    while (list_next(&list, &option)) {
        reader->close = reader->close || EQUALS(option, "close");
        reader->keep_alive = reader->keep_alive || EQUALS(option, "keep-alive");
    }
}

/* Notes what concerns framing and the connection. Returns NULL or what is wrong. */
static inline const char *note_field(udr_http1_reader_t *reader, const udr_field_t *field)
{
    if (EQUALS(field->name, "content-length")) {
        return note_content_length(reader, field->value);
    }
    if (EQUALS(field->name, "transfer-encoding")) {
        return note_transfer_encoding(reader, field->value);
    }
    if (EQUALS(field->name, "connection")) {
        note_connection(reader, field->value);
    }
    return NULL;
}

/* Reads what follows "HTTP/1." (RFC 9112, 4). Some servers leave out the space when there is no reason: taken. Returns
 * NULL or what is wrong. */
static const char *parse_status_line(udr_slice_t line, udr_http1_head_t *head)
{
    const char *minor = line.ptr + PROTOCOL_LENGTH;
    const char *status = line.ptr + STATUS_OFFSET;
    if (line.len < STATUS_END || !is_digit(*minor) || minor[1] != ' ' || !is_digit(status[0]) || !is_digit(status[1]) ||
        !is_digit(status[2]) || (line.len > STATUS_END && status[3] != ' ')) {
        return WHY_STATUS_LINE;
    }
    head->minor = *minor == '0' ? 0 : 1;
    head->status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
    if (head->status < 100 || head->status > 599) {
        return "a status line with a code outside 100 to 599";
    }
    if (line.len > REASON_OFFSET) {
        const udr_slice_t reason = {line.ptr + REASON_OFFSET, line.len - REASON_OFFSET};
        const apr_size_t good = span(reason, TEXT);
        if (good < reason.len) {
            return why_not_text(reason.ptr[good]);
        }
        head->reason.len = reason.len;
    }
    return NULL;
}

static udr_codec_status_t read_status_line(udr_http1_reader_t *reader, input_t *input)
{
    /* Who speaks another protocol may send no LF for long, but is known by the first bytes. */
    const apr_size_t known = input->len < PROTOCOL_LENGTH ? input->len : PROTOCOL_LENGTH;
    if (known && memcmp(input->at, PROTOCOL, known) != 0) {
        return fail(reader, WHY_STATUS_LINE);
    }
    udr_slice_t line;
    const char *why = next_line(reader, input, true, &line);
    if (why) {
        return fail(reader, why);
    }
    if (!line.ptr) {
        return UDR_CODEC_MORE;
    }
    memset(&reader->head, 0, sizeof(reader->head));
    reader->chunked = reader->close = reader->keep_alive = false;
    why = parse_status_line(line, &reader->head);
    if (why) {
        return fail(reader, why);
    }
    reader->fields_start = reader->line_start;
    return enter(reader, STATE_FIELDS);
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

/* The head is whole. fields_end: where in it the empty line begins. */
static udr_codec_status_t finish_head(udr_http1_reader_t *reader, input_t *input, apr_size_t fields_end)
{
    static const state_t bodies[] = {[UDR_HTTP1_NO_BODY] = STATE_END,
                                     [UDR_HTTP1_LENGTH] = STATE_LENGTH,
                                     [UDR_HTTP1_CHUNKED] = STATE_CHUNK_SIZE,
                                     [UDR_HTTP1_TO_CLOSE] = STATE_TO_CLOSE};
    udr_http1_head_t *head = &reader->head;
    head->reason.ptr = input->at + REASON_OFFSET;
    head->fields.ptr = input->at + reader->fields_start;
    head->fields.len = fields_end - reader->fields_start;
    head->has_length = head->has_length && !is_bare(head->status);
    head->framing = body_framing(reader);
    head->persistent = is_persistent(reader);
    consume(input, reader->line_start);
    if (head->status < 200 && head->status != 101) {
        begin(reader, STATE_STATUS_LINE);
        return UDR_CODEC_INTERIM;
    }
    begin(reader, bodies[head->framing]);
    if (head->framing == UDR_HTTP1_LENGTH) {
        reader->left = head->length;
        enter(reader, head->length ? STATE_LENGTH : STATE_END);
    }
    return UDR_CODEC_HEAD;
}

static udr_codec_status_t read_fields(udr_http1_reader_t *reader, input_t *input)
{
    for (;;) {
        udr_slice_t line;
        udr_field_t field;
        const char *why = next_line(reader, input, true, &line);
        if (why) {
            return fail(reader, why);
        }
        if (!line.ptr) {
            return UDR_CODEC_MORE;
        }
        if (line.len == 0) {
            return finish_head(reader, input, (apr_size_t)(line.ptr - input->at));
        }
        why = parse_field(line, &field);
        if (!why) {
            why = note_field(reader, &field);
        }
        if (why) {
            return fail(reader, why);
        }
    }
}

/* --- the body --- */

/* Hands out what there is of the bytes due. */
static udr_codec_status_t hand_out(udr_http1_reader_t *reader, input_t *input, state_t next)
{
    if (input->len == 0) {
        return UDR_CODEC_MORE;
    }
    input->data.ptr = input->at;
    input->data.len = input->len < reader->left ? input->len : (apr_size_t)reader->left;
    reader->left -= input->data.len;
    consume(input, input->data.len);
    if (reader->left == 0) {
        enter(reader, next);
    }
    return UDR_CODEC_DATA;
}

static udr_codec_status_t read_length(udr_http1_reader_t *reader, input_t *input)
{
    return hand_out(reader, input, STATE_END);
}

static udr_codec_status_t read_to_close(udr_http1_reader_t *reader, input_t *input)
{
    reader->left = input->len;
    return hand_out(reader, input, STATE_TO_CLOSE);
}

/* --- chunks (RFC 9112, 7.1): a size is digits and nothing else, a line ends in CRLF and nothing else --- */

/* Consumes a byte of a chunk-size line. Returns whether the line is still within its limit. */
static inline bool count_byte(udr_http1_reader_t *reader, input_t *input)
{
    const apr_size_t limit = reader->limits.line < CHUNK_LINE_MAX ? reader->limits.line : CHUNK_LINE_MAX;
    consume(input, 1);
    return ++reader->scanned <= limit;
}

static udr_codec_status_t take_cr(udr_http1_reader_t *reader, input_t *input)
{
    consume(input, 1);
    return enter(reader, STATE_CHUNK_LINE_LF);
}

static udr_codec_status_t read_chunk_size(udr_http1_reader_t *reader, input_t *input)
{
    for (; input->len; count_byte(reader, input)) {
        const int digit = hex_value(*input->at);
        if (digit < 0) {
            break;
        }
        if (reader->scanned == CHUNK_DIGITS_MAX || reader->left > INT64_MAX >> 4) {
            return fail(reader, "a chunk size of more than 16 digits or beyond 2^63-1");
        }
        reader->left = reader->left << 4 | (apr_uint64_t)digit;
    }
    if (input->len == 0) {
        return UDR_CODEC_MORE;
    }
    if (reader->scanned == 0) {
        return fail(reader, WHY_CHUNK_SIZE);
    }
    return *input->at == '\r' ? take_cr(reader, input) : enter(reader, STATE_CHUNK_SPACE);
}

/* White space may stand between size and ';' (BWS), but not between size and CR: padding of that kind went out of use
 * with the servers of the 1990s. */
static udr_codec_status_t read_chunk_space(udr_http1_reader_t *reader, input_t *input)
{
    while (input->len) {
        if (*input->at == ';') {
            return enter(reader, STATE_CHUNK_EXTENSION);
        }
        if (!is_space(*input->at)) {
            return fail(reader, *input->at == '\n' ? WHY_CHUNK_LINE : WHY_CHUNK_SIZE);
        }
        if (!count_byte(reader, input)) {
            return fail(reader, WHY_LINE_TOO_LONG);
        }
    }
    return UDR_CODEC_MORE;
}

/* Extensions are skipped, not understood (RFC 9112, 7.1.1), but nothing in them may pass for a line end elsewhere. */
static udr_codec_status_t read_chunk_extension(udr_http1_reader_t *reader, input_t *input)
{
    while (input->len) {
        if (*input->at == '\r') {
            return take_cr(reader, input);
        }
        if (!is(*input->at, TEXT)) {
            return fail(reader, *input->at == '\n' ? WHY_CHUNK_LINE : "a control character in a chunk extension");
        }
        if (!count_byte(reader, input)) {
            return fail(reader, WHY_LINE_TOO_LONG);
        }
    }
    return UDR_CODEC_MORE;
}

static udr_codec_status_t read_chunk_line_lf(udr_http1_reader_t *reader, input_t *input)
{
    if (input->len == 0) {
        return UDR_CODEC_MORE;
    }
    if (*input->at != '\n') {
        return fail(reader, WHY_CHUNK_LINE);
    }
    consume(input, 1);
    return reader->left ? enter(reader, STATE_CHUNK_DATA) : begin(reader, STATE_TRAILERS);
}

static udr_codec_status_t read_chunk_data(udr_http1_reader_t *reader, input_t *input)
{
    return hand_out(reader, input, STATE_CHUNK_DATA_CR);
}

static udr_codec_status_t read_chunk_data_end(udr_http1_reader_t *reader, input_t *input)
{
    const bool cr_due = reader->state == STATE_CHUNK_DATA_CR;
    if (input->len == 0) {
        return UDR_CODEC_MORE;
    }
    if (*input->at != (cr_due ? '\r' : '\n')) {
        return fail(reader, "chunk data without CRLF behind it");
    }
    consume(input, 1);
    return cr_due ? enter(reader, STATE_CHUNK_DATA_LF) : begin(reader, STATE_CHUNK_SIZE);
}

/* RFC 9112, 7.1.2. Only the syntax counts: framing fields frame nothing any more here, and which fields are passed on
 * is the caller's to say (RFC 9110, 6.5.1). */
static udr_codec_status_t read_trailers(udr_http1_reader_t *reader, input_t *input)
{
    for (;;) {
        udr_slice_t line;
        udr_field_t field;
        const char *why = next_line(reader, input, false, &line);
        if (why) {
            return fail(reader, why);
        }
        if (!line.ptr) {
            return UDR_CODEC_MORE;
        }
        if (line.len == 0) {
            reader->trailers.ptr = input->at;
            reader->trailers.len = (apr_size_t)(line.ptr - input->at);
            consume(input, reader->line_start);
            enter(reader, STATE_END);
            return UDR_CODEC_END;
        }
        why = parse_field(line, &field);
        if (why) {
            return fail(reader, why);
        }
    }
}

/* --- the machine --- */

static udr_codec_status_t read_nothing(udr_http1_reader_t *reader, input_t *input)
{
    (void)input;
    return reader->state == STATE_END ? UDR_CODEC_END : UDR_CODEC_BAD;
}

#define CUT_HEAD    "closed within the head"
#define CUT_LENGTH  "closed within the body: fewer bytes than Content-Length said"
#define CUT_CHUNKED "closed within a chunked body"

static const struct {
    /* Consumes from the front of the input. MORE, and another state than before: that one goes on with the rest. */
    udr_codec_status_t (*read)(udr_http1_reader_t *reader, input_t *input);
    /* Why the response is not complete if the member closes here. NULL: it is. */
    const char *cut;
} states[] = {
    [STATE_STATUS_LINE] = {read_status_line, CUT_HEAD},
    [STATE_FIELDS] = {read_fields, CUT_HEAD},
    [STATE_LENGTH] = {read_length, CUT_LENGTH},
    [STATE_TO_CLOSE] = {read_to_close, NULL},
    [STATE_CHUNK_SIZE] = {read_chunk_size, CUT_CHUNKED},
    [STATE_CHUNK_SPACE] = {read_chunk_space, CUT_CHUNKED},
    [STATE_CHUNK_EXTENSION] = {read_chunk_extension, CUT_CHUNKED},
    [STATE_CHUNK_LINE_LF] = {read_chunk_line_lf, CUT_CHUNKED},
    [STATE_CHUNK_DATA] = {read_chunk_data, CUT_CHUNKED},
    [STATE_CHUNK_DATA_CR] = {read_chunk_data_end, CUT_CHUNKED},
    [STATE_CHUNK_DATA_LF] = {read_chunk_data_end, CUT_CHUNKED},
    [STATE_TRAILERS] = {read_trailers, "closed within the trailers of a chunked body"},
    [STATE_END] = {read_nothing, NULL},
    [STATE_BAD] = {read_nothing, NULL},
};

void udr_http1_reader_init(udr_http1_reader_t *reader, bool head_request, const udr_http1_limits_t *limits)
{
    memset(reader, 0, sizeof(*reader));
    reader->limits = *limits;
    reader->head_request = head_request;
    enter(reader, STATE_STATUS_LINE);
}

udr_codec_status_t udr_http1_reader_feed(udr_http1_reader_t *reader, const char *data, apr_size_t len,
                                         udr_codec_step_t *step)
{
    input_t input = {.at = data, .len = len};
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
    if (reader->state == STATE_BAD) {
        return UDR_CODEC_BAD;
    }
    if (reader->state == STATE_STATUS_LINE && pending == 0) {
        return fail(reader, reader->head.status ? "closed after an interim response, before the final one"
                                                : "closed before any byte of the response");
    }
    if (states[reader->state].cut) {
        return fail(reader, states[reader->state].cut);
    }
    enter(reader, STATE_END);
    return UDR_CODEC_END;
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
    field->value = trimmed(colon + 1, lf[-1] == '\r' ? lf - 1 : lf);
    section->len -= (apr_size_t)(lf + 1 - section->ptr);
    section->ptr = lf + 1;
    return true;
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
