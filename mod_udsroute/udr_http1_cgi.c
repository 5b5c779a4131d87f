/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a CGI response (RFC 3875, 6), with a status line before it or without. Nothing else comes on a member's
 * connection, or something around the response says where it ends: a head that misleads harms no other response, so
 * that here less is refused than in HTTP. */
#include "mod_udsroute/udr_http1_private.h"
#include "mod_udsroute/udr_http1_syntax.h"

#define PROTOCOL        "HTTP/"
#define PROTOCOL_LENGTH (sizeof(PROTOCOL) - 1)

/* "404 Not Found": what stands before the reason. */
#define STATUS_LENGTH 3

/* uWSGI begins its answer with a status line of the protocol it finds in SERVER_PROTOCOL: with "HTTP/2.0", too. No
 * field's name has a slash. */
static const char *parse_status_line(udr_http1_reader_t *reader, udr_slice_t line)
{
    const char *version = line.ptr + PROTOCOL_LENGTH;
    udr_http1_head_t *head = &reader->head;
    if (line.len < UDR_HTTP1_REASON_OFFSET - 1 || !udr_http1_is_digit(version[0]) || version[1] != '.') {
        return UDR_HTTP1_WHY_STATUS_LINE;
    }
    const char *why = udr_http1_parse_status_line(line, head);
    if (why) {
        return why;
    }
    if (head->status < 200) {
        return "a status line with a code below 200 in a CGI response";
    }
    reader->has_status_line = true;
    reader->cgi_status = head->status;
    reader->reason_start = UDR_HTTP1_REASON_OFFSET;
    return NULL;
}

udr_codec_status_t udr_http1_read_cgi_begin(udr_http1_reader_t *reader, udr_http1_input_t *input)
{
    const apr_size_t known = input->len < PROTOCOL_LENGTH ? input->len : PROTOCOL_LENGTH;
    if (known == 0) {
        return UDR_CODEC_MORE;
    }
    /* Who speaks another protocol may never end a line, and wait for more of the request. */
    if (!udr_http1_is(*input->at, UDR_HTTP1_TEXT) && *input->at != '\r' && *input->at != '\n') {
        return udr_http1_fail(reader, udr_http1_why_not_text(*input->at));
    }
    if (memcmp(input->at, PROTOCOL, known) == 0) {
        udr_slice_t line;
        const char *why = udr_http1_next_line(reader, input, true, &line);
        if (!why && line.ptr) {
            why = parse_status_line(reader, line);
        }
        if (why) {
            return udr_http1_fail(reader, why);
        }
        if (!line.ptr) {
            return UDR_CODEC_MORE;
        }
    }
    /* What Content-Length means must not depend on whether Status comes before or behind it. */
    reader->head.status = 200;
    reader->head.minor = 1;
    reader->fields_start = reader->line_start;
    return udr_http1_enter(reader, UDR_HTTP1_STATE_CGI_FIELDS);
}

/* RFC 3875, 6.3.3: three digits, and a reason that may be left out. section: where the head begins. */
static const char *note_status(udr_http1_reader_t *reader, udr_slice_t value, const char *section)
{
    if (value.len < STATUS_LENGTH || !udr_http1_is_digit(value.ptr[0]) || !udr_http1_is_digit(value.ptr[1]) ||
        !udr_http1_is_digit(value.ptr[2]) || (value.len > STATUS_LENGTH && !udr_http1_is_space(value.ptr[3]))) {
        return "a Status that does not begin with a code of three digits";
    }
    const int status = (value.ptr[0] - '0') * 100 + (value.ptr[1] - '0') * 10 + (value.ptr[2] - '0');
    if (status < 200 || status > 599) {
        return "a Status outside 200 to 599";
    }
    if (reader->cgi_status) {
        return status == reader->cgi_status ? NULL : "differing Status fields";
    }
    const udr_slice_t reason = udr_http1_trimmed(value.ptr + STATUS_LENGTH, value.ptr + value.len);
    reader->cgi_status = status;
    reader->reason_start = (apr_size_t)(reason.ptr - section);
    reader->head.reason.len = reason.len;
    return NULL;
}

/* Transfer-Encoding is none of a program's business (RFC 3875, 6.3.4) and counts for nothing: programs that fetch
 * something over HTTP and hand on its fields say "chunked" of a body that they have long decoded, and httpd's own
 * modules and nginx let them. One that does send chunks is served as there: with the chunks in what the client saves.
 */
static const char *note_field(udr_http1_reader_t *reader, const udr_field_t *field, const char *section)
{
    if (UDR_HTTP1_EQUALS(field->name, "content-length")) {
        return udr_http1_note_content_length(reader, field->value);
    }
    if (UDR_HTTP1_EQUALS(field->name, "status")) {
        /* As in nginx, a status line is the server's word, and the field one that the application happened to use. */
        return reader->has_status_line ? NULL : note_status(reader, field->value, section);
    }
    if (UDR_HTTP1_EQUALS(field->name, "location")) {
        reader->has_location = true;
    } else if (UDR_HTTP1_EQUALS(field->name, "connection")) {
        udr_http1_note_connection(reader, field->value);
    }
    return NULL;
}

/* RFC 3875, 6.2.3 and 6.2.4: a redirect need not say that it is one. */
static udr_codec_status_t finish_head(udr_http1_reader_t *reader, udr_http1_input_t *input, apr_size_t fields_end)
{
    if (fields_end == 0) {
        return udr_http1_fail(reader, "an empty head: no CGI field");
    }
    if (reader->cgi_status) {
        reader->head.status = reader->cgi_status;
    } else if (reader->has_location) {
        reader->head.status = 302;
    }
    return udr_http1_finish_head(reader, input, reader->reason_start, fields_end);
}

udr_codec_status_t udr_http1_read_cgi_fields(udr_http1_reader_t *reader, udr_http1_input_t *input)
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
            return finish_head(reader, input, (apr_size_t)(line.ptr - input->at));
        }
        why = udr_http1_parse_field(line, &field);
        if (!why) {
            why = note_field(reader, &field, input->at);
        }
        if (why) {
            return udr_http1_fail(reader, why);
        }
    }
}
