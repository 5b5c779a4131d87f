/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_scgi_request.h"
#include "tests/unit/fixture_request.h"

#include <apr_general.h>

static const writer_t writer = {udr_scgi_request_room, udr_scgi_request_head};

/* The example of the specification. */
static void writes_a_netstring_of_variables(void **state)
{
    udr_request_t request = request_of("POST", UDR_BODY_LENGTH, 27);
    (void)state;
    add_variable(&request, "REQUEST_METHOD", "POST");
    add_variable(&request, "REQUEST_URI", "/deepthought");
    assert_written(&writer, &request,
                   BYTES("70:CONTENT_LENGTH\0"
                         "27\0SCGI\0"
                         "1\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0,"));
}

static void says_a_length_always_and_once(void **state)
{
    udr_request_t request = request_of("POST", UDR_BODY_NONE, 7);
    (void)state;
    add_variable(&request, "SCGI", "2");
    add_variable(&request, "CONTENT_LENGTH", "5");
    add_variable(&request, "QUERY_STRING", "");
    assert_written(&writer, &request,
                   BYTES("38:CONTENT_LENGTH\0"
                         "0\0SCGI\0"
                         "1\0QUERY_STRING\0\0,"));
    request.params = NULL;
    assert_written(&writer, &request,
                   BYTES("24:CONTENT_LENGTH\0"
                         "0\0SCGI\0"
                         "1\0,"));
    request.body = UDR_BODY_LENGTH;
    request.length = UINT64_MAX;
    assert_written(&writer, &request,
                   BYTES("43:CONTENT_LENGTH\0"
                         "18446744073709551615\0SCGI\0"
                         "1\0,"));
}

static void refuses_a_body_of_unknown_length(void **state)
{
    (void)state;
    assert_unknown_length_refused(&writer);
}

static void refuses_a_variable_without_a_name(void **state)
{
    (void)state;
    assert_nameless_variable_refused(&writer);
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
