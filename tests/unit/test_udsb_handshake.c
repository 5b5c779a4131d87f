/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_websocket.h"

static void the_example_of_the_rfc(void **state)
{
    char accept[UDSB_HANDSHAKE_ACCEPT_SIZE];

    (void)state;
    assert_true(udsb_handshake_accept(accept, "dGhlIHNhbXBsZSBub25jZQ==")); /* RFC 6455, 1.3 */
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void a_key_is_16_bytes_in_base64(void **state)
{
    static const char *const wrong[] = {"",
                                        "x",
                                        "dGhlIHNhbXBsZSBub25jZQ",
                                        "dGhlIHNhbXBsZSBub25jZSE=",
                                        "dGhlIHNhbXBsZSBub25j!!==",
                                        "dGhlIHNhbXBsZSBub25jZQ==x",
                                        "dGhlIHNhbXBsZSBub25jZWFh"};
    char accept[UDSB_HANDSHAKE_ACCEPT_SIZE] = "untouched";

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(udsb_handshake_accept(accept, wrong[i]));
    assert_string_equal(accept, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_example_of_the_rfc),
                                       cmocka_unit_test(a_key_is_16_bytes_in_base64)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
