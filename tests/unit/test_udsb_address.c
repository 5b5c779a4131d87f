/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_address.h"

#include <string.h>

static void a_path_ends_with_its_nul(void **state)
{
    udsb_address_t address;

    (void)state;
    assert_null(udsb_address_parse(&address, "/run/app.sock"));
    assert_false(address.is_abstract);
    assert_int_equal(address.socket.sun_family, AF_UNIX);
    assert_string_equal(address.socket.sun_path, "/run/app.sock");
    assert_int_equal(address.length, offsetof(struct sockaddr_un, sun_path) + strlen("/run/app.sock") + 1);
    assert_string_equal(address.text, "/run/app.sock");
}

static void an_abstract_name_begins_with_a_nul_and_has_no_end(void **state)
{
    udsb_address_t address;

    (void)state;
    assert_null(udsb_address_parse(&address, "@app"));
    assert_true(address.is_abstract);
    assert_memory_equal(address.socket.sun_path, "\0app", 4);
    assert_int_equal(address.length, offsetof(struct sockaddr_un, sun_path) + 4);
    assert_string_equal(address.text, "@app");
}

static void the_kernel_takes_107_bytes(void **state)
{
    udsb_address_t address;
    char text[120];

    (void)state;
    memset(text, 'a', sizeof text);
    text[0] = '/';
    text[107] = '\0';
    assert_null(udsb_address_parse(&address, text));
    text[107] = 'a';
    text[108] = '\0';
    assert_non_null(strstr(udsb_address_parse(&address, text), "107"));
    text[0] = '@'; /* the mark is not part of the name */
    assert_null(udsb_address_parse(&address, text));
    assert_int_equal(address.length, sizeof address.socket);
    text[108] = 'a';
    text[109] = '\0';
    assert_non_null(strstr(udsb_address_parse(&address, text), "107"));
}

static void what_is_wrong_is_said(void **state)
{
    udsb_address_t address;

    (void)state;
    assert_string_equal(udsb_address_parse(&address, ""), "is empty");
    assert_string_equal(udsb_address_parse(&address, "@"), "has no name after the @");
    assert_string_equal(udsb_address_parse(&address, "/run/"), "names a directory, not a socket");
}

static void an_instance_number_goes_before_the_suffix(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"/run/app.sock", "/run/app-3.sock"},
        {"/run/app", "/run/app-3"},
        {"@app", "@app-3"},
        {"@app.x", "@app-3.x"},
        {"/run/.app", "/run/.app-3"},
        {"/run.d/app", "/run.d/app-3"},
        {"app.sock", "app-3.sock"},
    };
    char result[128];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(udsb_address_instance(result, sizeof result, cases[i].text, 3));
        assert_string_equal(result, cases[i].expected);
    }
    assert_true(udsb_address_instance(result, sizeof "/run/app-10.sock", "/run/app.sock", 10));
    assert_false(udsb_address_instance(result, sizeof "/run/app-10.sock" - 1, "/run/app.sock", 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_ends_with_its_nul),
        cmocka_unit_test(an_abstract_name_begins_with_a_nul_and_has_no_end),
        cmocka_unit_test(the_kernel_takes_107_bytes),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(an_instance_number_goes_before_the_suffix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
