/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_target.h"
#include "tests/unit/fixture_protocol.h"

#include <apr_strings.h>

const udr_http1_limits_t usual = {1024, 8192};

void assert_spoken(const udr_protocol_t *protocol, const char *name, const char *target)
{
    const udr_target_t *parsed = NULL;
    assert_null(udr_target_parse(&parsed, target, "/run", pool));
    assert_ptr_equal(parsed->scheme->protocol, protocol);
    assert_string_equal(parsed->authority, "localhost");
    assert_string_equal(protocol->name, name);
}

void begin(const udr_protocol_t *protocol, udr_reader_t *reader, const char *method)
{
    const udr_request_t request = request_of(method, UDR_BODY_NONE, 0);
    protocol->reader_init(reader, &request, &usual);
    assert_null(reader->why);
    assert_false(reader->is_busy);
    assert_int_equal(reader->trailers.len, 0);
}

udr_codec_status_t feed(const udr_protocol_t *protocol, udr_reader_t *reader, udr_slice_t bytes, apr_size_t *used)
{
    char *copy = apr_pmemdup(pool, bytes.ptr, bytes.len);
    udr_codec_status_t status;
    *used = 0;
    do {
        udr_codec_step_t step = {0, {NULL, 0}};
        status = protocol->reader_feed(reader, copy + *used, bytes.len - *used, &step);
        *used += step.consumed;
        /* Each is of some protocols only. */
        assert_false(status == UDR_CODEC_INTERIM && protocol->is_cgi);
        assert_false(status == UDR_CODEC_NOTE && !protocol->is_framed);
    } while (status != UDR_CODEC_MORE && status != UDR_CODEC_END && status != UDR_CODEC_BAD);
    return status;
}

void assert_silence_is_bad(const udr_protocol_t *protocol, udr_reader_t *reader)
{
    begin(protocol, reader, "GET");
    assert_int_equal(protocol->reader_eof(reader, 0), UDR_CODEC_BAD);
    assert_string_equal(reader->why, "closed before any byte of the response");
}
