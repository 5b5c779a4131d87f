/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_protocol_http1.h"

#include <string.h>

/* --- in common --- */

static void begin(udr_reader_t *reader)
{
    reader->head = &reader->state.http1.head;
    reader->trailers = (udr_slice_t){"", 0};
    reader->why = NULL;
    reader->is_busy = false;
}

static udr_codec_status_t answer(udr_reader_t *reader, udr_codec_status_t status)
{
    if (status == UDR_CODEC_BAD) {
        reader->why = reader->state.http1.why;
    } else if (status == UDR_CODEC_END) {
        reader->trailers = reader->state.http1.trailers;
    }
    return status;
}

udr_codec_status_t udr_protocol_http1_feed(udr_reader_t *reader, char *data, apr_size_t len, udr_codec_step_t *step)
{
    return answer(reader, udr_http1_reader_feed(&reader->state.http1, data, len, step));
}

udr_codec_status_t udr_protocol_http1_eof(udr_reader_t *reader, apr_size_t pending)
{
    return answer(reader, udr_http1_reader_eof(&reader->state.http1, pending));
}

apr_uint64_t udr_protocol_http1_verbatim(const udr_reader_t *reader)
{
    return udr_http1_reader_verbatim(&reader->state.http1);
}

void udr_protocol_http1_skip(udr_reader_t *reader, apr_size_t len)
{
    udr_http1_reader_skip(&reader->state.http1, len);
}

void udr_protocol_http1_init_cgi(udr_reader_t *reader, const udr_request_t *request, const udr_http1_limits_t *limits)
{
    udr_http1_reader_init_cgi(&reader->state.http1, strcmp(request->method, "HEAD") == 0, limits);
    begin(reader);
}

apr_size_t udr_protocol_http1_no_frame(const udr_request_t *request, apr_size_t len, bool is_last,
                                       char prefix[UDR_PROTOCOL_FRAME], udr_slice_t *suffix)
{
    (void)request;
    (void)len;
    (void)is_last;
    (void)prefix;
    *suffix = (udr_slice_t){"", 0};
    return 0;
}

udr_slice_t udr_protocol_http1_no_end(const udr_request_t *request, const apr_table_t *trailers, apr_pool_t *p)
{
    (void)request;
    (void)trailers;
    (void)p;
    return (udr_slice_t){"", 0};
}

/* --- HTTP --- */

static apr_size_t write_frame(const udr_request_t *request, apr_size_t len, bool is_last,
                              char prefix[UDR_PROTOCOL_FRAME], udr_slice_t *suffix)
{
    (void)is_last;
    if (request->body != UDR_BODY_CHUNKED) {
        *suffix = (udr_slice_t){"", 0};
        return 0;
    }
    *suffix = (udr_slice_t){"\r\n", 2};
    return udr_http1_request_chunk(prefix, len);
}

static udr_slice_t write_end(const udr_request_t *request, const apr_table_t *trailers, apr_pool_t *p)
{
    if (request->body != UDR_BODY_CHUNKED) {
        return (udr_slice_t){"", 0};
    }
    return udr_http1_request_end(request, trailers, p);
}

static void reader_init(udr_reader_t *reader, const udr_request_t *request, const udr_http1_limits_t *limits)
{
    udr_http1_reader_init(&reader->state.http1, strcmp(request->method, "HEAD") == 0, limits);
    begin(reader);
}

const udr_protocol_t udr_protocol_http1 = {
    .name = "HTTP",
    .has_keepalive = true,
    .head_room = udr_http1_request_room,
    .write_head = udr_http1_request_head,
    .write_frame = write_frame,
    .write_end = write_end,
    .reader_init = reader_init,
    .reader_feed = udr_protocol_http1_feed,
    .reader_eof = udr_protocol_http1_eof,
    .reader_verbatim = udr_protocol_http1_verbatim,
    .reader_skip = udr_protocol_http1_skip,
    .recognize = udr_http1_other_protocol,
};
