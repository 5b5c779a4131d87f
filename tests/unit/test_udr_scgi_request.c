/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_scgi_request.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <stdlib.h>
#include <string.h>

#define TEXT(literal) literal, sizeof(literal) - 1

static apr_pool_t *pool;

static int make_pool(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL) != APR_SUCCESS;
}

static int drop_pool(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static udr_request_t request_of(udr_body_t body, apr_uint64_t length)
{
    return (udr_request_t){.method = "POST",
                           .target = "/",
                           .host = "h",
                           .fields = apr_table_make(pool, 1),
                           .params = apr_table_make(pool, 4),
                           .body = body,
                           .length = length};
}

static void add(udr_request_t *request, const char *name, const char *value)
{
    apr_table_addn((apr_table_t *)(uintptr_t)request->params, name, value);
}

/* In exactly as much room as was asked for: a sanitizer notices every byte beyond. */
static void assert_head(const udr_request_t *request, const char *expected, apr_size_t len)
{
    const char *why = "untouched";
    apr_size_t size = udr_scgi_request_room(request, &why);
    assert_true(size > 0);
    assert_string_equal(why, "untouched");
    char *room = malloc(size);
    assert_non_null(room);
    apr_size_t written = udr_scgi_request_head(request, false, room);
    assert_true(written <= size);
    assert_int_equal(written, len);
    assert_memory_equal(room, expected, len);
    free(room);
}

static void assert_refused(const udr_request_t *request, const char *expected)
{
    const char *why = NULL;
    assert_int_equal(udr_scgi_request_room(request, &why), 0);
    assert_string_equal(why, expected);
}

/* The example of the specification. */
static void writes_a_netstring_of_variables(void **state)
{
    udr_request_t request = request_of(UDR_BODY_LENGTH, 27);
    (void)state;
    add(&request, "REQUEST_METHOD", "POST");
    add(&request, "REQUEST_URI", "/deepthought");
    assert_head(&request, TEXT("70:CONTENT_LENGTH\0"
                               "27\0SCGI\0"
                               "1\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0,"));
}

static void says_a_length_always_and_once(void **state)
{
    udr_request_t request = request_of(UDR_BODY_NONE, 7);
    (void)state;
    add(&request, "SCGI", "2");
    add(&request, "CONTENT_LENGTH", "5");
    add(&request, "QUERY_STRING", "");
    assert_head(&request, TEXT("38:CONTENT_LENGTH\0"
                               "0\0SCGI\0"
                               "1\0QUERY_STRING\0\0,"));
    request.params = NULL;
    assert_head(&request, TEXT("24:CONTENT_LENGTH\0"
                               "0\0SCGI\0"
                               "1\0,"));
    request.body = UDR_BODY_LENGTH;
    request.length = UINT64_MAX;
    assert_head(&request, TEXT("43:CONTENT_LENGTH\0"
                               "18446744073709551615\0SCGI\0"
                               "1\0,"));
}

static void refuses_a_body_of_unknown_length(void **state)
{
    const udr_request_t request = request_of(UDR_BODY_CHUNKED, 0);
    (void)state;
    assert_refused(&request, "a body of unknown length");
}

static void refuses_a_variable_without_a_name(void **state)
{
    udr_request_t request = request_of(UDR_BODY_NONE, 0);
    (void)state;
    add(&request, "A", "b");
    add(&request, "", "c");
    assert_refused(&request, "a variable without a name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_netstring_of_variables),
        cmocka_unit_test(says_a_length_always_and_once),
        cmocka_unit_test(refuses_a_body_of_unknown_length),
        cmocka_unit_test(refuses_a_variable_without_a_name),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_scgi_request", tests, make_pool, drop_pool);
}
