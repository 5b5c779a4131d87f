/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_balancer.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define SECOND        APR_USEC_PER_SEC

static udr_source_t at(const char *directive, int line)
{
    return (udr_source_t){.directive = directive, .file = "app.conf", .line = line};
}

static udr_balancer_t *balancer_of(const char *name)
{
    const udr_source_t source = at("<UDSBalancer>", 1);
    return udr_balancer_create(name, &source, pool);
}

static const udr_target_t *target_of(const char *text)
{
    const udr_target_t *target = NULL;
    const char *error = udr_target_parse(&target, text, "/run", pool);

    if (error) {
        fail_msg("%s", error);
    }
    return target;
}

static const char *try_add(udr_balancer_t *balancer, const char *text, int line, const char *key, const char *value)
{
    const udr_source_t source = at("UDSMember", line);
    const char *note;
    udr_settings_t settings;

    udr_settings_init(&settings);
    if (key) {
        assert_null(udr_settings_set(&settings, key, value, &note, pool));
    }
    return udr_balancer_add(balancer, target_of(text), &settings, &source, pool);
}

static udr_member_t *add(udr_balancer_t *balancer, const char *text, int line, const char *key, const char *value)
{
    assert_null(try_add(balancer, text, line, key, value));
    return APR_ARRAY_IDX(balancer->members, balancer->members->nelts - 1, udr_member_t *);
}

static void set(udr_balancer_t *balancer, const char *key, const char *value)
{
    const char *note = "untouched";
    const char *error = udr_balancer_set(balancer, key, value, &note, pool);

    if (error) {
        fail_msg("%s=%s: %s", key, value, error);
    }
    assert_null(note);
}

static void is_empty_and_unset_at_first(void **state)
{
    const udr_balancer_t *balancer = balancer_of("app");

    (void)state;
    assert_string_equal(balancer->name, "app");
    assert_int_equal(balancer->source.line, 1);
    assert_int_equal(balancer->members->nelts, 0);
    assert_null(balancer->settings.method);
    assert_int_equal(balancer->settings.max_attempts, -1);
    assert_int_equal(balancer->defaults.max, -1);
}

static void keeps_members_in_order_with_their_lines(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");
    const udr_member_t *a = add(balancer, "unix:/run/a.sock|http://localhost/", 2, "max", "7");
    const udr_member_t *b = add(balancer, "unix:/run/b.sock|http://localhost/", 3, NULL, NULL);

    (void)state;
    assert_int_equal(balancer->members->nelts, 2);
    assert_int_equal(balancer->sources->nelts, 2);
    assert_ptr_equal(APR_ARRAY_IDX(balancer->members, 0, udr_member_t *), a);
    assert_ptr_equal(APR_ARRAY_IDX(balancer->members, 1, udr_member_t *), b);
    assert_int_equal(a->settings.max, 7);
    assert_int_equal(b->settings.max, -1);
    assert_int_equal(APR_ARRAY_IDX(balancer->sources, 1, udr_source_t).line, 3);
}

/* The same `http://localhost` over different sockets is what mod_proxy takes for one member. */
static void refuses_what_leads_to_the_same_place(void **state)
{
    static const struct {
        const char *target;
        bool is_same;
    } rows[] = {
        {"unix:/run/a.sock|http://localhost/", true},
        {"unix:/run/a.sock|http://localhost", true},
        {"unix:/run/a.sock|http://example.org:8080/", true},
        {"unix:///run//./a.sock|ws://localhost/", true},
        {"unix:a.sock|http://localhost/", true},
        {"unix:/run/b.sock|http://localhost/", false},
        {"unix:@/run/a.sock|http://localhost/", false},
        {"unix:/run/a.sock|http://localhost/x", false},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        udr_balancer_t *balancer = balancer_of("app");
        const char *error;

        add(balancer, "unix:/run/z.sock|http://localhost/", 2, NULL, NULL);
        add(balancer, "unix:/run/a.sock|http://localhost/", 3, NULL, NULL);
        error = try_add(balancer, rows[i].target, 4, NULL, NULL);
        if (!error != !rows[i].is_same) {
            fail_msg("%s: %s", rows[i].target, error ? error : "accepted");
        }
        assert_int_equal(balancer->members->nelts, rows[i].is_same ? 2 : 3);
        assert_int_equal(balancer->sources->nelts, rows[i].is_same ? 2 : 3);
    }
}

static void names_the_other_line(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");

    (void)state;
    add(balancer, "unix:/run/a.sock|http://localhost/x", 3, NULL, NULL);
    assert_string_equal(try_add(balancer, "unix:/run/a.sock|http://other/x/", 4, NULL, NULL),
                        "'unix:/run/a.sock|http://other/x/' leads where 'unix:/run/a.sock|http://localhost/x' does, on "
                        "line 3 of app.conf: a member is its socket and path, whatever the host; give each its own, or "
                        "the one a larger loadfactor");
    assert_null(try_add(balancer, "unix:/run/a.sock|http://localhost/y", 5, NULL, NULL));
}

/* --- UDSSet --- */

static void sets_what_is_the_balancers_and_what_is_its_members(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");

    (void)state;
    set(balancer, "LBMethod", "leasttime");
    set(balancer, "max", "5");
    set(balancer, "timeout", "3"); /* both have it: mod_proxy's users mean the balancer's */
    assert_string_equal(balancer->settings.method, "leasttime");
    assert_int_equal(balancer->settings.timeout, 3 * SECOND);
    assert_int_equal(balancer->defaults.max, 5);
    assert_int_equal(balancer->defaults.timeout, -1);
    set(balancer, "max", "6"); /* the later line counts */
    assert_int_equal(balancer->defaults.max, 6);
}

static void refuses_keys_of_a_single_member_and_unknown_ones(void **state)
{
    static const char *const keys[] = {"route", "Redirect", "status"};
    udr_balancer_t *balancer = balancer_of("app");
    const char *note = "untouched";

    (void)state;
    for (size_t i = 0; i < LENGTH(keys); i++) {
        assert_string_equal(
            udr_balancer_set(balancer, keys[i], "a", &note, pool),
            apr_psprintf(pool, "%s is a single member's: write it in the line of its UDSMember", keys[i]));
        assert_null(note);
    }
    assert_null(balancer->defaults.route);
    assert_int_equal(balancer->defaults.status, -1);
    assert_non_null(strstr(udr_balancer_set(balancer, "lbmetod", "a", &note, pool), "probably meant: lbmethod; there"));
    assert_non_null(strstr(udr_balancer_set(balancer, "maxcon", "a", &note, pool), "probably meant: maxconn; there"));
    assert_non_null(strstr(udr_balancer_set(balancer, "hold", "x", &note, pool), "hold: 'x' is not a time"));
    assert_non_null(strstr(udr_balancer_set(balancer, "maxattempts", "x", &note, pool), "maxattempts: 'x' is not a"));
}

static void passes_on_notes(void **state)
{
    const char *note = NULL;

    (void)state;
    assert_null(udr_balancer_set(balancer_of("app"), "keepalive", "on", &note, pool));
    assert_non_null(note);
}

/* --- all lines are read --- */

static void gives_members_what_their_lines_leave_unset(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");
    const udr_member_t *a = add(balancer, "unix:/run/a.sock|http://localhost/", 2, "max", "7");
    const udr_source_t *where = NULL;

    (void)state;
    set(balancer, "max", "5");
    set(balancer, "hold", "9");
    const udr_member_t *b = add(balancer, "unix:/run/b.sock|http://localhost/", 5, "hold", "0");
    assert_null(udr_balancer_inherit(balancer, &where, pool));
    assert_null(where);
    assert_int_equal(a->settings.max, 7);
    assert_int_equal(a->settings.hold, 9 * SECOND);
    assert_int_equal(b->settings.max, 5);
    assert_int_equal(b->settings.hold, 0);
}

static void finds_what_contradicts_only_together(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");
    const udr_source_t *where = NULL;

    (void)state;
    add(balancer, "unix:/run/a.sock|http://localhost/", 2, "max", "7");
    add(balancer, "unix:/run/b.sock|http://localhost/", 3, "max", "5");
    set(balancer, "min", "6");
    assert_string_equal(udr_balancer_inherit(balancer, &where, pool),
                        "min=6 is more than max=5: lower the one or raise the other");
    assert_int_equal(where->line, 3);
}

static void resolves_itself_and_its_members(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");
    const udr_member_t *a = add(balancer, "unix:/run/a.sock|http://localhost/", 2, NULL, NULL);
    const udr_member_t *b = add(balancer, "unix:/run/b.sock|http://localhost/", 3, "timeout", "4");

    (void)state;
    add(balancer, "unix:/run/c.sock|http://localhost/", 4, NULL, NULL);
    udr_balancer_resolve(balancer, 60 * SECOND);
    assert_string_equal(balancer->settings.method, "byrequests");
    assert_int_equal(balancer->settings.max_attempts, 2);
    assert_int_equal(a->settings.timeout, 60 * SECOND);
    assert_int_equal(b->settings.timeout, 4 * SECOND);
    assert_int_equal(b->settings.queue, 4 * SECOND);
}

/* --- globs --- */

static const char *try_add_glob(udr_balancer_t *balancer, const char *text, int line, const char *key,
                                const char *value)
{
    const udr_source_t source = at("UDSMember", line);
    const udr_target_t *target = NULL;
    const char *note;
    udr_settings_t settings;

    udr_settings_init(&settings);
    if (key) {
        assert_null(udr_settings_set(&settings, key, value, &note, pool));
    }
    assert_null(udr_target_parse_pattern(&target, text, "/run", pool));
    return udr_balancer_add_glob(balancer, target, &settings, &source, pool);
}

static udr_glob_t *add_glob(udr_balancer_t *balancer, const char *text, int line)
{
    assert_null(try_add_glob(balancer, text, line, "lbset", "3"));
    return APR_ARRAY_IDX(balancer->globs, balancer->globs->nelts - 1, udr_glob_t *);
}

static void keeps_globs_apart_from_members(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");

    (void)state;
    assert_false(udr_balancer_has_lines(balancer));
    const udr_glob_t *first = add_glob(balancer, "unix:/run/app/*|http://localhost/", 2);
    assert_true(udr_balancer_has_lines(balancer));
    const udr_member_t *member = add(balancer, "unix:/run/a.sock|http://localhost/", 3, NULL, NULL);
    const udr_glob_t *second = add_glob(balancer, "unix:/run/other/*|http://localhost/", 4);
    set(balancer, "growth", "5");
    set(balancer, "hold", "7");
    const udr_source_t *where = NULL;
    assert_null(udr_balancer_inherit(balancer, &where, pool));
    udr_balancer_resolve(balancer, 60 * SECOND);
    assert_int_equal(balancer->members->nelts, 1);
    assert_int_equal(udr_balancer_places(balancer), 11);
    assert_int_equal(balancer->settings.max_attempts, 10);
    assert_int_equal(first->first, 1);
    assert_int_equal(second->first, 6);
    assert_int_equal(second->growth, 5);
    assert_int_equal(second->settings.lbset, 3);
    assert_int_equal(second->settings.hold, 7 * SECOND);
    assert_int_equal(second->settings.timeout, 60 * SECOND);
    assert_int_equal(second->source.line, 4);
    assert_int_equal(member->settings.hold, 7 * SECOND);
}

static void refuses_globs_that_are_not_clear(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");

    (void)state;
    (void)add_glob(balancer, "unix:/run/app/*|http://localhost/", 2);
    assert_non_null(
        strstr(try_add_glob(balancer, "unix:/run/app/*|http://other", 3, NULL, NULL), "on line 2 of app.conf"));
    assert_non_null(
        strstr(try_add_glob(balancer, "unix:/run/b/*|http://localhost/", 3, "route", "r"), "route=r would be"));
    assert_int_equal(balancer->globs->nelts, 1);
    assert_null(try_add_glob(balancer, "unix:/run/app/*|http://localhost/x/", 3, NULL, NULL)); /* another path */
}

static void each_socket_is_one_lines(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");
    const udr_glob_t *first = add_glob(balancer, "unix:/run/app/a*|http://localhost/", 2);
    const udr_glob_t *second = add_glob(balancer, "unix:/run/app/*|http://localhost", 3);
    const udr_glob_t *elsewhere = add_glob(balancer, "unix:/run/app/*|http://localhost/x", 4);

    (void)state;
    (void)add(balancer, "unix:/run/app/a1|http://other/", 5, NULL, NULL);
    udr_balancer_resolve(balancer, 60 * SECOND);
    assert_false(udr_glob_takes(first, "a1"));
    assert_true(udr_glob_takes(first, "a2"));
    assert_false(udr_glob_takes(second, "a1"));
    assert_false(udr_glob_takes(second, "a2"));
    assert_true(udr_glob_takes(second, "b"));
    assert_true(udr_glob_takes(elsewhere, "a1"));
    assert_true(udr_glob_takes(elsewhere, "b"));
}

static void finds_what_contradicts_in_a_glob(void **state)
{
    udr_balancer_t *balancer = balancer_of("app");
    const udr_source_t *where = NULL;

    (void)state;
    assert_null(try_add_glob(balancer, "unix:/run/app/*|http://localhost/", 2, "min", "6"));
    set(balancer, "max", "5");
    assert_non_null(udr_balancer_inherit(balancer, &where, pool));
    assert_int_equal(where->line, 2);
}

static void prints_itself_for_logs(void **state)
{
    udr_balancer_t *plain = balancer_of(NULL);

    (void)state;
    (void)add(plain, "unix:/run/a.sock|http://localhost/", 2, NULL, NULL);
    assert_string_equal(udr_balancer_print(balancer_of("app"), pool), "balancer app");
    assert_string_equal(udr_balancer_print(plain, pool), "member unix:/run/a.sock|http://localhost/");
}

static void is_found_by_name_in_any_case(void **state)
{
    apr_array_header_t *balancers = apr_array_make(pool, 4, sizeof(udr_balancer_t *));
    udr_balancer_t *app = balancer_of("app");

    (void)state;
    assert_null(udr_balancer_find(balancers, "app"));
    APR_ARRAY_PUSH(balancers, udr_balancer_t *) = balancer_of(NULL);
    APR_ARRAY_PUSH(balancers, udr_balancer_t *) = balancer_of("apple");
    APR_ARRAY_PUSH(balancers, udr_balancer_t *) = app;
    assert_ptr_equal(udr_balancer_find(balancers, "app"), app);
    assert_ptr_equal(udr_balancer_find(balancers, "APP"), app);
    assert_null(udr_balancer_find(balancers, "ap"));
    assert_null(udr_balancer_find(balancers, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_empty_and_unset_at_first),
        cmocka_unit_test(keeps_members_in_order_with_their_lines),
        cmocka_unit_test(refuses_what_leads_to_the_same_place),
        cmocka_unit_test(names_the_other_line),
        cmocka_unit_test(sets_what_is_the_balancers_and_what_is_its_members),
        cmocka_unit_test(refuses_keys_of_a_single_member_and_unknown_ones),
        cmocka_unit_test(passes_on_notes),
        cmocka_unit_test(gives_members_what_their_lines_leave_unset),
        cmocka_unit_test(finds_what_contradicts_only_together),
        cmocka_unit_test(resolves_itself_and_its_members),
        cmocka_unit_test(keeps_globs_apart_from_members),
        cmocka_unit_test(refuses_globs_that_are_not_clear),
        cmocka_unit_test(each_socket_is_one_lines),
        cmocka_unit_test(finds_what_contradicts_in_a_glob),
        cmocka_unit_test(prints_itself_for_logs),
        cmocka_unit_test(is_found_by_name_in_any_case),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_balancer", tests, make_pool, drop_pool);
}
