/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_check_settings.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>

#define LENGTH(array) (sizeof(array) / sizeof(array[0]))
#define SECOND        apr_time_from_sec(1)

/* --- methods --- */

static const struct {
    const char *text;
    int method;
    const char *name;
    const char *verb;
    bool is_11;
} methods[] = {
    {"NONE", UDR_CHECK_NONE, "NONE", NULL, false},
    {"connect", UDR_CHECK_CONNECT, "CONNECT", NULL, false},
    {"TCP", UDR_CHECK_CONNECT, "CONNECT", NULL, false},
    {"OPTIONS", UDR_CHECK_OPTIONS, "OPTIONS", "OPTIONS", false},
    {"Head", UDR_CHECK_HEAD, "HEAD", "HEAD", false},
    {"get", UDR_CHECK_GET, "GET", "GET", false},
    {"OPTIONS11", UDR_CHECK_OPTIONS11, "OPTIONS11", "OPTIONS", true},
    {"HEAD11", UDR_CHECK_HEAD11, "HEAD11", "HEAD", true},
    {"GET11", UDR_CHECK_GET11, "GET11", "GET", true},
};

static void reads_methods_in_any_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(methods); i++) {
        int method = -1;
        assert_null(udr_check_settings_read_method(&method, methods[i].text, pool));
        assert_int_equal(method, methods[i].method);
        assert_string_equal(udr_check_method_name(method), methods[i].name);
        assert_int_equal(udr_check_method_is_11(method), methods[i].is_11);
        if (methods[i].verb) {
            assert_string_equal(udr_check_method_verb(method), methods[i].verb);
        } else {
            assert_null(udr_check_method_verb(method));
        }
    }
}

static void names_nothing_that_is_unset(void **state)
{
    (void)state;
    assert_string_equal(udr_check_method_name(-1), "NONE");
    assert_string_equal(udr_check_method_name(UDR_CHECK_METHODS), "NONE");
    assert_null(udr_check_method_verb(-1));
    assert_false(udr_check_method_is_11(-1));
}

static void refuses_other_methods(void **state)
{
    static const char *const texts[] = {"", "POST", "CPING", "GET1", "GET12"};
    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        int method = -1;
        assert_says(udr_check_settings_read_method(&method, texts[i], pool), "is none of NONE, CONNECT");
        assert_int_equal(method, -1);
    }
}

/* --- what is asked for --- */

static void reads_what_is_asked_for(void **state)
{
    static const char *const texts[] = {"/", "/healthz", "healthz", "/a?b=c&d", "/%20"};
    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const char *uri = NULL;
        assert_null(udr_check_settings_read_uri(&uri, texts[i], pool));
        assert_string_equal(uri, texts[i]);
    }
}

/* What could end the request's line has no place in it. */
static void refuses_what_can_not_be_asked_for(void **state)
{
    static const char *const texts[] = {"", "/a b", "/a\r\nb", "/\x7f", "/\xc3\xa9", "/a#b"};
    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const char *uri = NULL;
        assert_says(udr_check_settings_read_uri(&uri, texts[i], pool), "is nothing to ask for: write");
        assert_null(uri);
    }
}

static void reads_names(void **state)
{
    const char *name = NULL;
    (void)state;
    assert_says(udr_check_settings_read_name(&name, "", pool), "is no name");
    assert_null(name);
    assert_null(udr_check_settings_read_name(&name, "ok", pool));
    assert_string_equal(name, "ok");
}

static void knows_what_a_template_may_have(void **state)
{
    static const char *const keys[] = {"hcmethod", "HCURI",   "hcinterval", "hctimeout",
                                       "hcpasses", "hcfails", "hcexpr",     "hcagent"};
    static const char *const others[] = {"hctemplate", "max", "hc", ""};
    (void)state;
    for (size_t i = 0; i < LENGTH(keys); i++) {
        assert_true(udr_check_settings_is_key(keys[i]));
    }
    for (size_t i = 0; i < LENGTH(others); i++) {
        assert_false(udr_check_settings_is_key(others[i]));
    }
}

/* --- the whole --- */

static udr_check_settings_t unset(void)
{
    udr_check_settings_t settings;
    udr_check_settings_init(&settings);
    return settings;
}

static void resolves_every_default(void **state)
{
    udr_check_settings_t settings = unset();
    (void)state;
    udr_check_settings_resolve(&settings);
    assert_int_equal(settings.method, UDR_CHECK_NONE);
    assert_null(settings.uri);
    assert_int_equal(settings.interval, 30 * SECOND);
    assert_int_equal(settings.timeout, 5 * SECOND);
    assert_int_equal(settings.passes, 1);
    assert_int_equal(settings.fails, 1);
    assert_null(settings.expr);
    assert_null(settings.template);
    assert_int_equal(settings.agent, 0);
}

static void waits_no_longer_than_the_interval(void **state)
{
    udr_check_settings_t settings = unset();
    (void)state;
    settings.interval = 2 * SECOND;
    udr_check_settings_resolve(&settings);
    assert_int_equal(settings.timeout, 2 * SECOND);
}

static void refuses_checks_that_would_overlap(void **state)
{
    udr_check_settings_t settings = unset();
    (void)state;
    settings.timeout = 3 * SECOND;
    assert_null(udr_check_settings_check(&settings, pool));
    settings.interval = 3 * SECOND;
    assert_null(udr_check_settings_check(&settings, pool));
    settings.interval = 2 * SECOND;
    assert_says(udr_check_settings_check(&settings, pool), "hctimeout=3000ms is more than hcinterval=2000ms");
}

static void refuses_to_look_at_an_answer_that_is_not_asked_for(void **state)
{
    udr_check_settings_t settings = unset();
    (void)state;
    settings.expr = "ok";
    assert_null(udr_check_settings_check(&settings, pool));
    settings.method = UDR_CHECK_HEAD;
    assert_null(udr_check_settings_check(&settings, pool));
    settings.method = UDR_CHECK_NONE; /* of one member, where UDSSet has an expression for the others */
    assert_null(udr_check_settings_check(&settings, pool));
    settings.method = UDR_CHECK_CONNECT;
    assert_says(udr_check_settings_check(&settings, pool), "hcexpr looks at an answer");
    settings.expr = NULL;
    assert_null(udr_check_settings_check(&settings, pool));
    settings.agent = 1;
    assert_says(udr_check_settings_check(&settings, pool), "hcagent looks at an answer");
}

static void notices_that_the_method_was_forgotten(void **state)
{
    udr_check_settings_t settings = unset();
    (void)state;
    assert_false(udr_check_settings_lack_method(&settings));
    settings.uri = "/healthz";
    assert_true(udr_check_settings_lack_method(&settings));
    settings.method = UDR_CHECK_NONE;
    assert_false(udr_check_settings_lack_method(&settings));
    settings = unset();
    settings.interval = SECOND;
    assert_true(udr_check_settings_lack_method(&settings));
    settings = unset();
    settings.agent = 0;
    assert_true(udr_check_settings_lack_method(&settings));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_methods_in_any_case),
        cmocka_unit_test(names_nothing_that_is_unset),
        cmocka_unit_test(refuses_other_methods),
        cmocka_unit_test(reads_what_is_asked_for),
        cmocka_unit_test(refuses_what_can_not_be_asked_for),
        cmocka_unit_test(reads_names),
        cmocka_unit_test(knows_what_a_template_may_have),
        cmocka_unit_test(resolves_every_default),
        cmocka_unit_test(waits_no_longer_than_the_interval),
        cmocka_unit_test(refuses_checks_that_would_overlap),
        cmocka_unit_test(refuses_to_look_at_an_answer_that_is_not_asked_for),
        cmocka_unit_test(notices_that_the_method_was_forgotten),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, make_pool, drop_pool);
}
