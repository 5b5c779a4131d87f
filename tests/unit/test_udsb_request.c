/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_request.h"

#include <stdlib.h>
#include <string.h>

static udsb_request_t request;

static void targets(void **state)
{
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/", "/", ""},
        {"/a/b", "/a/b", ""},
        {"/a?x=1&y=%20", "/a", "x=1&y=%20"},
        {"/a?", "/a", ""},
        {"/a?b?c", "/a", "b?c"},
        {"/%41%2fb%20%c3%A4", "/A/b \xc3\xa4", ""},
        {"http://host/a?q", "/a", "q"},
        {"HTTPS://host:1/a", "/a", ""},
        {"http://host", "/", ""},
        {"http://host?q", "/", ""},
        {"*", "*", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(udsb_request_begin(&request, cases[i].target));
        assert_false(request.is_bad_target);
        assert_string_equal(udsb_request_target(&request), cases[i].target);
        assert_string_equal(udsb_request_path(&request), cases[i].path);
        assert_string_equal(udsb_request_query(&request), cases[i].query);
        udsb_request_end(&request);
    }
}

static void bad_targets(void **state)
{
    static const char *const cases[] = {"/%", "/%4", "/%4x",        "/%x4",  "/a%00b", "a",
                                        "",   "?x",  "ftp://host/", "/%?41", "**"};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(udsb_request_begin(&request, cases[i]));
        assert_true(request.is_bad_target);
        udsb_request_end(&request);
    }
}

static void a_long_target(void **state)
{
    char *const target = malloc(30001);

    (void)state;
    memset(target, 'a', 30000);
    target[0] = '/';
    target[30000] = '\0';
    assert_true(udsb_request_begin(&request, target));
    assert_string_equal(udsb_request_path(&request), target);
    assert_ptr_not_equal(request.target, request.short_text);
    udsb_request_end(&request);
    free(target);
}

static void numbers_of_the_query(void **state)
{
    uint64_t number = 77;
    bool answered = true;

    (void)state;
    assert_true(udsb_request_begin(&request, "/a?xcount=1&count=12&count=13&other"));
    assert_true(udsb_request_number(&request, "count", 1, 100, &number, &answered));
    assert_int_equal(number, 12);
    assert_false(answered);
    assert_false(udsb_request_number(&request, "other", 1, 100, &number, &answered));
    assert_false(udsb_request_number(&request, "nothing", 1, 100, &number, &answered));
    assert_int_equal(number, 12);
    assert_false(answered);
    udsb_request_end(&request);
}

static unsigned destroyed;

static void destroy(void *state)
{
    assert_string_equal(state, "mine");
    destroyed++;
}

static void state_ends_with_the_request(void **state)
{
    (void)state;
    destroyed = 0;
    assert_true(udsb_request_begin(&request, "/"));
    assert_null(udsb_request_state(&request));
    udsb_request_set_state(&request, "mine", destroy);
    assert_string_equal(udsb_request_state(&request), "mine");
    udsb_request_end(&request);
    assert_int_equal(destroyed, 1);
    assert_true(udsb_request_begin(&request, "/"));
    assert_null(udsb_request_state(&request));
    udsb_request_end(&request);
    assert_int_equal(destroyed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets),
        cmocka_unit_test(bad_targets),
        cmocka_unit_test(a_long_target),
        cmocka_unit_test(numbers_of_the_query),
        cmocka_unit_test(state_ends_with_the_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
