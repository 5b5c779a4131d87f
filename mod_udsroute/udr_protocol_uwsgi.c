/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_protocol_http1.h"
#include "mod_udsroute/udr_uwsgi_request.h"

const udr_protocol_t udr_protocol_uwsgi = {
    .name = "uwsgi",
    .is_cgi = true,
    .is_exclusive = true,
    .head_room = udr_uwsgi_request_room,
    .write_head = udr_uwsgi_request_head,
    .write_frame = udr_protocol_http1_no_frame,
    .write_end = udr_protocol_http1_no_end,
    .reader_init = udr_protocol_http1_init_cgi,
    .reader_feed = udr_protocol_http1_feed,
    .reader_eof = udr_protocol_http1_eof,
    .reader_verbatim = udr_protocol_http1_verbatim,
    .reader_skip = udr_protocol_http1_skip,
    .recognize = udr_http1_other_protocol,
};
