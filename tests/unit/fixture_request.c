/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_request.h"

#include <apr_strings.h>

udr_request_t request_of(const char *method, udr_body_t body, apr_uint64_t length)
{
    return (udr_request_t){.method = method,
                           .target = "/",
                           .host = "h",
                           .fields = apr_table_make(pool, 1),
                           .params = apr_table_make(pool, 1),
                           .body = body,
                           .length = length};
}

void add_variable(const udr_request_t *request, const char *name, const char *value)
{
    apr_table_addn((apr_table_t *)(uintptr_t)request->params, name, value);
}

udr_slice_t write_request(const writer_t *writer, const udr_request_t *request, bool persistent)
{
    const char *why = "untouched";
    const apr_size_t size = writer->head_room(request, &why);
    assert_true(size > 0);
    assert_string_equal(why, "untouched");
    /* cmocka looks at what is around it. */
    char *room = test_malloc(size);
    assert_non_null(room);
    const apr_size_t len = writer->write_head(request, persistent, room);
    assert_true(len <= size);
    const udr_slice_t written = {apr_pmemdup(pool, room, len), len};
    test_free(room);
    return written;
}

void assert_slice(udr_slice_t slice, udr_slice_t expected)
{
    assert_int_equal(slice.len, expected.len);
    assert_memory_equal(slice.ptr, expected.ptr, expected.len);
}

void assert_written(const writer_t *writer, const udr_request_t *request, udr_slice_t expected)
{
    assert_slice(write_request(writer, request, false), expected);
}

void assert_refused(const writer_t *writer, const udr_request_t *request, const char *expected)
{
    const char *why = NULL;
    assert_int_equal(writer->head_room(request, &why), 0);
    assert_non_null(why);
    assert_string_equal(why, expected);
}

void assert_unknown_length_refused(const writer_t *writer)
{
    const udr_request_t request = request_of("POST", UDR_BODY_CHUNKED, 0);
    assert_refused(writer, &request, "a body of unknown length");
}

void assert_nameless_variable_refused(const writer_t *writer)
{
    const udr_request_t request = request_of("POST", UDR_BODY_NONE, 0);
    add_variable(&request, "A", "b");
    add_variable(&request, "", "value");
    add_variable(&request, "C", "d");
    assert_refused(writer, &request, "a variable without a name");
}
