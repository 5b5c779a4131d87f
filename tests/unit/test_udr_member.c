/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_member.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static udr_member_t *member_of(const char *text)
{
    const udr_target_t *target = NULL;
    udr_settings_t settings;
    const char *error = udr_target_parse(&target, text, "/run", pool);
    if (error) {
        fail_msg("%s", error);
    }
    udr_settings_init(&settings);
    return udr_member_create(target, &settings, pool);
}

static void keeps_a_copy_of_its_settings(void **state)
{
    const udr_target_t *target = NULL;
    udr_settings_t settings;
    (void)state;
    assert_null(udr_target_parse(&target, "unix:/run/a.sock|http://localhost/", "/run", pool));
    udr_settings_init(&settings);
    settings.max = 7;
    const udr_member_t *member = udr_member_create(target, &settings, pool);
    settings.max = 8;
    assert_ptr_equal(member->target, target);
    assert_int_equal(member->settings.max, 7);
    assert_int_equal(member->settings.min, -1);
    assert_null(member->pool);
}

static void calls_where_all_at_its_socket_do(void **state)
{
    udr_member_t *member = member_of("unix:/run/a.sock|fcgi://localhost/");
    (void)state;
    member->slot = 3;
    assert_int_equal(udr_member_calls_at(member), 3);
    member->socket_slot = 5;
    member->has_socket_slot = true;
    assert_int_equal(udr_member_calls_at(member), 5);
}

static void is_what_it_connects_to(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } rows[] = {
        {"unix:/run/a.sock|http://localhost/", "unix:/run/a.sock|http://localhost/", true},
        /* the host part is no part of it */
        {"unix:/run/a.sock|http://localhost/", "unix:/run/a.sock|http://example.org/", true},
        {"unix:/run/a.sock|http://localhost/", "unix:/run/a.sock|http://localhost:8080/", true},
        {"unix:///run//a.sock|http://localhost/", "unix:a.sock|http://localhost/", true},
        {"unix:/run/a.sock|http://localhost/", "unix:/run/b.sock|http://localhost/", false},
        {"unix:/run/a.sock|http://localhost/", "unix:/run/a.sock|http://localhost/x", false},
        {"unix:/run/a.sock|http://localhost", "unix:/run/a.sock|http://localhost/", false},
        {"unix:@a|http://localhost/", "unix:@a|http://localhost/", true},
        {"unix:@a|http://localhost/", "unix:@b|http://localhost/", false},
        {"unix:@/run/a.sock|http://localhost/", "unix:/run/a.sock|http://localhost/", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const udr_member_t *a = member_of(rows[i].a);
        const udr_member_t *b = member_of(rows[i].b);
        if (udr_member_is_same(a, b) != rows[i].same || udr_member_is_same(b, a) != rows[i].same) {
            fail_msg("'%s' and '%s'", rows[i].a, rows[i].b);
        }
    }
}

static void is_another_with_another_scheme(void **state)
{
    (void)state;
    const udr_member_t *a = member_of("unix:/run/a.sock|http://localhost/");
    const udr_scheme_t other_scheme = *a->target->scheme;
    udr_target_t target = *a->target;
    udr_member_t b = *a;
    b.target = &target;
    assert_true(udr_member_is_same(a, &b));
    target.scheme = &other_scheme;
    assert_false(udr_member_is_same(a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_a_copy_of_its_settings),
        cmocka_unit_test(calls_where_all_at_its_socket_do),
        cmocka_unit_test(is_what_it_connects_to),
        cmocka_unit_test(is_another_with_another_scheme),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_member", tests, make_pool, drop_pool);
}
