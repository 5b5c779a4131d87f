/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_fcgi_request.h"
#include "mod_udsroute/udr_protocol.h"

#include <string.h>

/* Records without a content, for the one request that a connection serves at a time. */
#define EMPTY_RECORD(type)                                                                                             \
    {                                                                                                                  \
        1, type, 0, UDR_FCGI_REQUEST_ID                                                                                \
    }

static const char end_of_stdin[UDR_FCGI_HEADER] = EMPTY_RECORD(UDR_FCGI_STDIN);
static const char abort_request[UDR_FCGI_HEADER] = EMPTY_RECORD(UDR_FCGI_ABORT_REQUEST);

static apr_size_t write_frame(const udr_request_t *request, apr_size_t len, bool is_last,
                              char prefix[UDR_PROTOCOL_FRAME], udr_slice_t *suffix)
{
    (void)request;
    udr_fcgi_write_header(prefix, UDR_FCGI_STDIN, len);
    *suffix = (udr_slice_t){end_of_stdin, is_last ? sizeof end_of_stdin : 0};
    return UDR_FCGI_HEADER;
}

static udr_slice_t write_end(const udr_request_t *request, const apr_table_t *trailers, apr_pool_t *p)
{
    (void)request;
    (void)trailers;
    (void)p;
    return (udr_slice_t){end_of_stdin, sizeof end_of_stdin};
}

static void reader_init(udr_reader_t *reader, const udr_request_t *request, const udr_http1_limits_t *limits)
{
    udr_fcgi_reader_init(&reader->state.fcgi, strcmp(request->method, "HEAD") == 0, limits);
    reader->head = &reader->state.fcgi.cgi.head;
    reader->trailers = (udr_slice_t){"", 0};
    reader->why = NULL;
    reader->is_busy = false;
}

static udr_codec_status_t answer(udr_reader_t *reader, udr_codec_status_t status)
{
    if (status == UDR_CODEC_BAD) {
        reader->why = reader->state.fcgi.why;
        reader->is_busy = reader->state.fcgi.is_busy;
    }
    return status;
}

static udr_codec_status_t reader_feed(udr_reader_t *reader, char *data, apr_size_t len, udr_codec_step_t *step)
{
    return answer(reader, udr_fcgi_reader_feed(&reader->state.fcgi, data, len, step));
}

static udr_codec_status_t reader_eof(udr_reader_t *reader, apr_size_t pending)
{
    return answer(reader, udr_fcgi_reader_eof(&reader->state.fcgi, pending));
}

static const char *recognize(const char *data, apr_size_t len)
{
    static const char http[] = "HTTP/1.";
    if (len >= sizeof http - 1 && memcmp(data, http, sizeof http - 1) == 0) {
        return "HTTP";
    }
    const char *other = udr_http1_other_protocol(data, len);
    return other && strcmp(other, udr_protocol_fcgi.name) == 0 ? NULL : other;
}

const udr_protocol_t udr_protocol_fcgi = {
    .name = "FastCGI",
    .is_cgi = true,
    .names_script = true,
    .is_exclusive = true,
    .has_keepalive = true,
    .is_framed = true,
    .frame_max = UDR_FCGI_CONTENT_MAX,
    .abort = {abort_request, sizeof abort_request},
    .head_room = udr_fcgi_request_room,
    .write_head = udr_fcgi_request_head,
    .write_frame = write_frame,
    .write_end = write_end,
    .reader_init = reader_init,
    .reader_feed = reader_feed,
    .reader_eof = reader_eof,
    .recognize = recognize,
};
