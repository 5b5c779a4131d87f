/* SPDX-License-Identifier: Apache-2.0 */
/* A state machine over the records. Each state is a row of the table at the end: a function that consumes what it can
 * from the front of the input. In reading order: the input, records, head, body, end, machine. */
#include "mod_udsroute/udr_fcgi.h"

#include <stdint.h>
#include <string.h>

/* A record's header, section 3.3: version, type, request id and length of the content (two bytes each, the higher one
 * first), length of the padding, a reserved byte. */
enum { VERSION = 0, TYPE = 1, ID = 2, CONTENT = 4, PADDING = 6 };

#define VERSION_1 1

/* END_REQUEST's content, section 5.5: the application's status (four bytes), the protocol's, three reserved ones. */
#define END_CONTENT     8
#define PROTOCOL_STATUS 4

enum { REQUEST_COMPLETE = 0, CANT_MPX_CONN = 1, OVERLOADED = 2, UNKNOWN_ROLE = 3 };

/* Of a head in pieces, what has come is moved once for each piece: so many bytes may be, of all together. A head of
 * 128 KiB has come in 128 pieces by then, one of 8 KiB in 2048. */
#define MOVED_MAX (16 * 1024 * 1024)

typedef enum state_t {
    STATE_HEADER,
    STATE_HEAD, /* content of STDOUT, before the end of the head; at least one byte due */
    STATE_BODY, /* content of STDOUT, behind it; likewise */
    STATE_NOTE, /* content of STDERR; likewise */
    STATE_END_CONTENT,
    STATE_PADDING, /* perhaps none */
    STATE_END,
    STATE_BAD
} state_t;

/* --- the input --- */

/* What has been fed and not yet consumed: `kept` bytes of the head, `cut` bytes that are done with, and what has not
 * been read. The first two are empty but within the head. */
typedef struct input_t {
    char *at;
    apr_size_t len;
    udr_slice_t data; /* to be handed out */
} input_t;

static char *unread(const udr_fcgi_reader_t *reader, const input_t *input)
{
    return input->at + reader->kept + reader->cut;
}

static apr_size_t count_unread(const udr_fcgi_reader_t *reader, const input_t *input)
{
    return input->len - reader->kept - reader->cut;
}

/* How much of what is due has come. */
static apr_size_t at_hand(const udr_fcgi_reader_t *reader, const input_t *input, apr_size_t due)
{
    const apr_size_t count = count_unread(reader, input);
    return count < due ? count : due;
}

static void consume(input_t *input, apr_size_t count)
{
    input->at += count;
    input->len -= count;
}

/* So many unread bytes are done with. */
static void pass(udr_fcgi_reader_t *reader, input_t *input, apr_size_t count)
{
    if (reader->kept) {
        reader->cut += count;
    } else {
        consume(input, count);
    }
}

/* Moves the head, as far as it has come, to where it goes on. */
static void join(udr_fcgi_reader_t *reader, input_t *input)
{
    if (reader->cut) {
        memmove(input->at + reader->cut, input->at, reader->kept);
        consume(input, reader->cut);
        reader->moved += reader->kept;
        reader->cut = 0;
    }
}

static udr_codec_status_t enter(udr_fcgi_reader_t *reader, state_t state)
{
    reader->state = (int)state;
    return UDR_CODEC_MORE;
}

static udr_codec_status_t fail(udr_fcgi_reader_t *reader, const char *why)
{
    reader->why = why;
    reader->state = STATE_BAD;
    return UDR_CODEC_BAD;
}

/* --- records --- */

static apr_size_t read_number(const char *bytes)
{
    return (apr_size_t)(unsigned char)bytes[0] << 8 | (unsigned char)bytes[1];
}

/* Returns NULL or what is wrong. */
static const char *check_header(const udr_fcgi_reader_t *reader, const char *header)
{
    switch (header[TYPE]) {
    case UDR_FCGI_STDOUT:
    case UDR_FCGI_STDERR:
    case UDR_FCGI_END_REQUEST:
        break;
    default:
        return "a record of a type that no answer consists of";
    }
    if (read_number(header + ID) != UDR_FCGI_REQUEST_ID) {
        return "a record of another request, or of none";
    }
    if (header[TYPE] == UDR_FCGI_STDOUT && reader->has_ended && reader->left) {
        return "more of the answer behind its end";
    }
    if (header[TYPE] == UDR_FCGI_END_REQUEST && reader->left != END_CONTENT) {
        return "a record END_REQUEST of another length than 8 bytes";
    }
    return NULL;
}

static state_t content_state(const udr_fcgi_reader_t *reader)
{
    if (reader->left == 0) {
        return STATE_PADDING;
    }
    switch (reader->type) {
    case UDR_FCGI_STDOUT:
        return reader->has_head ? STATE_BODY : STATE_HEAD;
    case UDR_FCGI_STDERR:
        return STATE_NOTE;
    default:
        return STATE_END_CONTENT;
    }
}

static udr_codec_status_t read_header(udr_fcgi_reader_t *reader, input_t *input)
{
    const apr_size_t count = count_unread(reader, input);
    if (count == 0) {
        return UDR_CODEC_MORE;
    }
    const char *header = unread(reader, input);
    /* Who speaks another protocol is known by the first byte. */
    if (header[VERSION] != VERSION_1) {
        return fail(reader, "a record of another version than 1");
    }
    if (count < UDR_FCGI_HEADER) {
        return UDR_CODEC_MORE;
    }
    reader->left = read_number(header + CONTENT);
    reader->padding = (unsigned char)header[PADDING];
    const char *why = check_header(reader, header);
    if (why) {
        return fail(reader, why);
    }
    reader->type = header[TYPE];
    if (reader->type == UDR_FCGI_STDOUT && reader->left == 0) {
        reader->has_ended = true;
    }
    pass(reader, input, UDR_FCGI_HEADER);
    /* Here and nowhere else, so that it does not depend on how the bytes arrive; and what lies in between is never more
     * than one record. */
    join(reader, input);
    if (reader->moved > MOVED_MAX) {
        return fail(reader, "a head in too many pieces");
    }
    return enter(reader, content_state(reader));
}

static udr_codec_status_t read_padding(udr_fcgi_reader_t *reader, input_t *input)
{
    const apr_size_t count = at_hand(reader, input, reader->padding);
    if (count) {
        pass(reader, input, count);
        reader->padding -= count;
    }
    if (reader->padding) {
        return UDR_CODEC_MORE;
    }
    return enter(reader, reader->type == UDR_FCGI_END_REQUEST ? STATE_END : STATE_HEADER);
}

/* So many bytes of the content have been seen. */
static void count_content(udr_fcgi_reader_t *reader, apr_size_t count)
{
    reader->left -= count;
    if (reader->left == 0) {
        enter(reader, STATE_PADDING);
    }
}

/* Section 5.3. */
static udr_codec_status_t read_note(udr_fcgi_reader_t *reader, input_t *input)
{
    const apr_size_t count = at_hand(reader, input, reader->left);
    if (count == 0) {
        return UDR_CODEC_MORE;
    }
    input->data = (udr_slice_t){unread(reader, input), count};
    pass(reader, input, count);
    count_content(reader, count);
    return UDR_CODEC_NOTE;
}

/* --- the head --- */

/* Of the input, the head takes len bytes: all that is kept, and some of the content. */
static udr_codec_status_t finish_head(udr_fcgi_reader_t *reader, input_t *input, apr_size_t len)
{
    const apr_size_t count = len - reader->kept;
    consume(input, len);
    reader->kept = 0;
    reader->has_head = true;
    reader->cgi.head.persistent = true;
    enter(reader, STATE_BODY);
    count_content(reader, count);
    return UDR_CODEC_HEAD;
}

/* What is kept and the content lie side by side. */
static udr_codec_status_t read_head(udr_fcgi_reader_t *reader, input_t *input)
{
    const apr_size_t count = at_hand(reader, input, reader->left);
    udr_codec_step_t step;
    if (count == 0) {
        return UDR_CODEC_MORE;
    }
    switch (udr_http1_reader_feed(&reader->cgi, input->at, reader->kept + count, &step)) {
    case UDR_CODEC_MORE:
        reader->kept += count;
        count_content(reader, count);
        return UDR_CODEC_MORE;
    case UDR_CODEC_BAD:
        return fail(reader, reader->cgi.why);
    default: /* HEAD: a CGI response has no interim ones before it */
        return finish_head(reader, input, step.consumed);
    }
}

/* --- the body --- */

/* What is beyond its length, or follows a head without one, is left out. */
static udr_codec_status_t read_body(udr_fcgi_reader_t *reader, input_t *input)
{
    const apr_uint64_t due = udr_http1_reader_verbatim(&reader->cgi);
    apr_size_t count = at_hand(reader, input, reader->left);
    if (count == 0) {
        return UDR_CODEC_MORE;
    }
    if (due == 0) {
        consume(input, count);
        count_content(reader, count);
        return UDR_CODEC_MORE;
    }
    if (count > due) {
        count = (apr_size_t)due;
    }
    input->data = (udr_slice_t){input->at, count};
    consume(input, count);
    udr_http1_reader_skip(&reader->cgi, count);
    count_content(reader, count);
    return UDR_CODEC_DATA;
}

/* --- the end --- */

/* A Content-Length has promised more than has come. */
static bool is_short(const udr_fcgi_reader_t *reader)
{
    const apr_uint64_t due = udr_http1_reader_verbatim(&reader->cgi);
    return due != 0 && due != UINT64_MAX;
}

/* Section 5.5. Returns NULL or what is wrong. */
static const char *check_end(udr_fcgi_reader_t *reader, int protocol_status)
{
    switch (protocol_status) {
    case REQUEST_COMPLETE:
        break;
    case CANT_MPX_CONN:
        reader->is_busy = !reader->has_head;
        return "ended by END_REQUEST: it serves no second request on a connection";
    case OVERLOADED:
        reader->is_busy = !reader->has_head;
        return "ended by END_REQUEST: it is overloaded";
    case UNKNOWN_ROLE:
        return "ended by END_REQUEST: it does not know the role of a responder";
    default:
        return "ended by END_REQUEST, with a status that the specification does not know";
    }
    if (!reader->has_head) {
        return reader->kept ? "ended before its head was complete" : "ended without an answer";
    }
    return is_short(reader) ? "ended within the body: fewer bytes than Content-Length said" : NULL;
}

static udr_codec_status_t read_end_content(udr_fcgi_reader_t *reader, input_t *input)
{
    if (count_unread(reader, input) < END_CONTENT) {
        return UDR_CODEC_MORE;
    }
    const char *why = check_end(reader, (unsigned char)unread(reader, input)[PROTOCOL_STATUS]);
    if (why) {
        return fail(reader, why);
    }
    reader->has_ended = true;
    consume(input, END_CONTENT);
    count_content(reader, END_CONTENT);
    return UDR_CODEC_MORE;
}

/* --- the machine --- */

static udr_codec_status_t read_nothing(udr_fcgi_reader_t *reader, input_t *input)
{
    (void)input;
    return reader->state == STATE_END ? UDR_CODEC_END : UDR_CODEC_BAD;
}

static const struct {
    /* Consumes from the front of the input. MORE, and another state than before: that one goes on with the rest. */
    udr_codec_status_t (*read)(udr_fcgi_reader_t *reader, input_t *input);
} states[] = {
    [STATE_HEADER] = {read_header}, [STATE_HEAD] = {read_head},       [STATE_BODY] = {read_body},
    [STATE_NOTE] = {read_note},     [STATE_PADDING] = {read_padding}, [STATE_END_CONTENT] = {read_end_content},
    [STATE_END] = {read_nothing},   [STATE_BAD] = {read_nothing},
};

void udr_fcgi_reader_init(udr_fcgi_reader_t *reader, bool head_request, const udr_http1_limits_t *limits)
{
    memset(reader, 0, sizeof *reader);
    udr_http1_reader_init_cgi(&reader->cgi, head_request, limits);
    enter(reader, STATE_HEADER);
}

udr_codec_status_t udr_fcgi_reader_feed(udr_fcgi_reader_t *reader, char *data, apr_size_t len, udr_codec_step_t *step)
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

/* Why the response is not complete when the member closes. NULL: it is. */
static const char *why_cut(const udr_fcgi_reader_t *reader, apr_size_t pending)
{
    if (reader->type == 0 && pending == 0) {
        return "closed before any byte of the response";
    }
    if (!reader->has_head) {
        return "closed within the head";
    }
    if (is_short(reader)) {
        return "closed within the body: fewer bytes than Content-Length said";
    }
    return udr_http1_reader_verbatim(&reader->cgi) && !reader->has_ended
               ? "closed within the body: END_REQUEST has not come"
               : NULL;
}

udr_codec_status_t udr_fcgi_reader_eof(udr_fcgi_reader_t *reader, apr_size_t pending)
{
    if (reader->state == STATE_END || reader->state == STATE_BAD) {
        return read_nothing(reader, NULL);
    }
    const char *why = why_cut(reader, pending);
    if (why) {
        return fail(reader, why);
    }
    reader->cgi.head.persistent = false;
    enter(reader, STATE_END);
    return UDR_CODEC_END;
}

void udr_fcgi_write_header(char *room, udr_fcgi_type_t type, apr_size_t content)
{
    memset(room, 0, UDR_FCGI_HEADER);
    room[VERSION] = VERSION_1;
    room[TYPE] = (char)type;
    room[ID + 1] = UDR_FCGI_REQUEST_ID;
    room[CONTENT] = (char)(content >> 8);
    room[CONTENT + 1] = (char)(content & 0xff);
}
