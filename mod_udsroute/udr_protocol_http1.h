/* SPDX-License-Identifier: Apache-2.0 */
/* What protocols have in common whose responses udr_http1.h's reader reads from the connection as they are: the
 * functions of the same name in udr_protocol_t. Layer: core. Used by the files udr_protocol_*.c. */
#ifndef UDR_PROTOCOL_HTTP1_H
#define UDR_PROTOCOL_HTTP1_H

#include "mod_udsroute/udr_protocol.h"

udr_codec_status_t udr_protocol_http1_feed(udr_reader_t *reader, char *data, apr_size_t len, udr_codec_step_t *step);
udr_codec_status_t udr_protocol_http1_eof(udr_reader_t *reader, apr_size_t pending);
apr_uint64_t udr_protocol_http1_verbatim(const udr_reader_t *reader);
void udr_protocol_http1_skip(udr_reader_t *reader, apr_size_t len);

/* A reader_init() for members that answer as CGI programs do. */
void udr_protocol_http1_init_cgi(udr_reader_t *reader, const udr_request_t *request, const udr_http1_limits_t *limits);

/* A write_frame() and write_end() for bodies that go as they are. */
apr_size_t udr_protocol_http1_no_frame(const udr_request_t *request, apr_size_t len, bool is_last,
                                       char prefix[UDR_PROTOCOL_FRAME], udr_slice_t *suffix);
udr_slice_t udr_protocol_http1_no_end(const udr_request_t *request, const apr_table_t *trailers, apr_pool_t *p);

#endif
