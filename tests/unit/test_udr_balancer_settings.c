/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_balancer_settings.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define SECOND        APR_USEC_PER_SEC

static void assert_same(const udr_balancer_settings_t *a, const udr_balancer_settings_t *b)
{
    assert_ptr_equal(a->method, b->method);
    assert_int_equal(a->max_attempts, b->max_attempts);
    assert_int_equal(a->no_failover, b->no_failover);
    assert_ptr_equal(a->session, b->session);
    assert_int_equal(a->separator, b->separator);
    assert_int_equal(a->semicolon_delimits, b->semicolon_delimits);
    assert_ptr_equal(a->failed_status, b->failed_status);
    assert_int_equal(a->fail_on_timeout, b->fail_on_timeout);
    assert_int_equal(a->force_recovery, b->force_recovery);
    assert_int_equal(a->timeout, b->timeout);
    assert_int_equal(a->growth, b->growth);
    assert_ptr_equal(a->spill, b->spill);
}

static udr_balancer_settings_t with(const char *key, const char *value)
{
    udr_balancer_settings_t settings;
    const char *error;

    udr_balancer_settings_init(&settings);
    error = udr_balancer_settings_set(&settings, key, value, pool);
    if (error) {
        fail_msg("%s=%s: %s", key, value, error);
    }
    return settings;
}

/* The sentence with which key=value is refused; nothing may have changed. */
static const char *refusal(const char *key, const char *value)
{
    udr_balancer_settings_t settings;
    udr_balancer_settings_t unset;
    const char *error;

    udr_balancer_settings_init(&settings);
    udr_balancer_settings_init(&unset);
    error = udr_balancer_settings_set(&settings, key, value, pool);
    if (!error) {
        fail_msg("%s=%s is accepted", key, value);
    }
    assert_same(&settings, &unset);
    return error;
}

/* --- numbers, switches, times --- */

static void reads_numbers_switches_and_times(void **state)
{
    (void)state;
    assert_int_equal(with("maxattempts", "0").max_attempts, 0);
    assert_int_equal(with("MaxAttempts", "1000").max_attempts, 1000);
    assert_int_equal(with("nofailover", "On").no_failover, 1);
    assert_int_equal(with("nofailover", "Off").no_failover, 0);
    assert_int_equal(with("scolonpathdelim", "on").semicolon_delimits, 1);
    assert_int_equal(with("failontimeout", "on").fail_on_timeout, 1);
    assert_int_equal(with("forcerecovery", "off").force_recovery, 0);
    assert_int_equal(with("timeout", "0").timeout, 0);
    assert_int_equal(with("timeout", "3").timeout, 3 * SECOND);
    assert_int_equal(with("timeout", "500ms").timeout, SECOND / 2);
}

static void refuses_bad_values_naming_key_value_and_range(void **state)
{
    static const char *const rows[][3] = {
        {"maxattempts", "-1", "maxattempts: '-1' is out of range: 0 to 1000"},
        {"maxattempts", "1001", "maxattempts: '1001' is out of range: 0 to 1000"},
        {"maxattempts", "x", "maxattempts: 'x' is not a number"},
        {"nofailover", "1", "nofailover: '1' is neither On nor Off"},
        {"scolonpathdelim", "", "scolonpathdelim: '' is neither On nor Off"},
        {"failontimeout", "5", "failontimeout: '5' is neither On nor Off"},
        {"forcerecovery", "yes", "forcerecovery: 'yes' is neither On nor Off"},
        {"timeout", "25h", "timeout: '25h' is out of range: 0 to 24h"},
        {"timeout", "x", "timeout: 'x' is not a time"},
        {"growth", "0", "growth: '0' is out of range: 1 to 1024"},
        {"growth", "1025", "growth: '1025' is out of range: 1 to 1024"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        assert_says(refusal(rows[i][0], rows[i][1]), rows[i][2]);
    }
}

static void proposes_and_lists_the_known_keys(void **state)
{
    (void)state;
    assert_string_equal(refusal("lbmetod", "byrequests"),
                        "'lbmetod' is no parameter, probably meant: lbmethod; there are: lbmethod, maxattempts, "
                        "nofailover, stickysession, stickysessionsep, scolonpathdelim, failonstatus, failontimeout, "
                        "forcerecovery, timeout, growth, spill");
    assert_says(refusal("nonce", "5"), "'nonce' is no parameter; there are: ");
}

/* --- lbmethod --- */

static void reads_methods(void **state)
{
    static const char *const methods[] = {
        "byrequests", "bytraffic",          "bybusyness",     "leasttime",         "ByRequests",
        "hash:ip",    "hash:uri",           "HASH:IP",        "hash:header:X-Key", "hash:header:content-type",
        "hash:env:A", "hash:env:UNIQUE_ID", "hash:cookie:id", "hash:Cookie:ID",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(methods); i++) {
        assert_string_equal(with("lbmethod", methods[i]).method, methods[i]);
    }
}

static void refuses_unknown_methods(void **state)
{
    static const char *const methods[] = {"", "random", "byrequest", "heartbeat", "byrequests ", "hashes"};

    (void)state;
    for (size_t i = 0; i < LENGTH(methods); i++) {
        assert_says(refusal("lbmethod", methods[i]),
                    apr_psprintf(pool, "lbmethod: '%s' is no method: write", methods[i]));
        assert_says(refusal("lbmethod", methods[i]), "byrequests, bytraffic, bybusyness, leasttime, hash:ip");
    }
}

static void refuses_hashes_without_a_key(void **state)
{
    static const char *const methods[] = {
        "hash:",        "hash",         "hash:x",    "hash:ip:",        "hash:header",  "hash:ip,uri",
        "hash:header:", "hash:cookie:", "hash:env:", "hash:header:a b", "hash:env:a=b",
    };

    (void)state;
    assert_string_equal(refusal("lbmethod", "hash:"),
                        "lbmethod: 'hash:' does not say what to hash: write one of: hash:ip, hash:uri, "
                        "hash:header:NAME, hash:cookie:NAME, hash:env:NAME");
    for (size_t i = 0; i < LENGTH(methods); i++) {
        assert_says(refusal("lbmethod", methods[i]), "write ");
    }
}

/* --- sessions --- */

static void reads_names_of_sessions(void **state)
{
    udr_balancer_settings_t settings;

    (void)state;
    settings = with("stickysession", "JSESSIONID");
    assert_string_equal(settings.session->cookie, "JSESSIONID");
    assert_string_equal(settings.session->parameter, "JSESSIONID");
    settings = with("stickysession", "JSESSIONID|jsessionid");
    assert_string_equal(settings.session->cookie, "JSESSIONID");
    assert_string_equal(settings.session->parameter, "jsessionid");
}

static void refuses_names_that_no_session_has(void **state)
{
    static const char *const names[] = {"",    "|",     "a|",    "|a",   "a b", "a;b",
                                        "a=b", "a|b|c", "a|b&c", "a|b#", "a,b", "a/b"};

    (void)state;
    for (size_t i = 0; i < LENGTH(names); i++) {
        assert_says(refusal("stickysession", names[i]), "is no name of a session: write that of a cookie");
    }
}

static void reads_separators(void **state)
{
    (void)state;
    assert_int_equal(with("stickysessionsep", "-").separator, '-');
    assert_int_equal(with("stickysessionsep", ".").separator, '.');
    assert_int_equal(with("stickysessionsep", "Off").separator, UDR_SEPARATOR_NONE);
    assert_int_equal(with("stickysessionsep", "off").separator, UDR_SEPARATOR_NONE);
}

static void refuses_what_separates_nothing(void **state)
{
    static const char *const separators[] = {"", "..", "on", ";", ",", " ", "\"", "\\", "\t", "\x7f", "\xc3\xa4"};

    (void)state;
    for (size_t i = 0; i < LENGTH(separators); i++) {
        assert_says(refusal("stickysessionsep", separators[i]),
                    "is no separator: write a single character such as '.'");
    }
}

/* --- failures, and what is left over --- */

static void assert_codes(const char *text, int first, int last, int count)
{
    const udr_balancer_settings_t settings = with("failonstatus", text);

    assert_int_equal(settings.failed_status->nelts, count);
    assert_int_equal(APR_ARRAY_IDX(settings.failed_status, 0, int), first);
    assert_int_equal(APR_ARRAY_IDX(settings.failed_status, count - 1, int), last);
}

static void reads_lists_of_codes(void **state)
{
    (void)state;
    assert_codes("500", 500, 500, 1);
    assert_codes("400,599", 400, 599, 2);
    assert_codes("500,503,502", 500, 502, 3);
    assert_codes("500, 503", 500, 503, 2);
    assert_codes("500 503", 500, 503, 2);
}

static void refuses_what_is_no_failure(void **state)
{
    (void)state;
    assert_says(refusal("failonstatus", "399"), "failonstatus: '399' is out of range: 400 to 599");
    assert_says(refusal("failonstatus", "500,600"), "'600' is out of range: 400 to 599");
    assert_says(refusal("failonstatus", "500;503"), "'500;503' is not a number");
    assert_says(refusal("failonstatus", "x"), "'x' is not a number");
    assert_says(refusal("failonstatus", ""), "'' has no status: write codes from 400 to 599");
    assert_says(refusal("failonstatus", ","), "',' has no status");
}

static void reads_urls_to_spill_to(void **state)
{
    static const char *const urls[] = {
        "http://other.example:8080",
        "https://other/base/",
        "balancer://others",
        "fcgi://10.0.0.2:9000/",
        "ajp://[::1]:8009",
        "HTTP://other",
        "ws://other/",
        "h2c://other/",
        "wss://other/",
        "h2://other/",
        "scgi://other/",
        "uwsgi://other/",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(urls); i++) {
        assert_string_equal(with("spill", urls[i]).spill, urls[i]);
    }
}

static void refuses_what_mod_proxy_does_not_serve(void **state)
{
    static const char *const urls[] = {"",          "other", "http:",    "http:/x", "http://",
                                       "http:///x", "://x",  "ftps://x", "/x"};
    static const char *const bytes[] = {"http://a b/", "http://a/?b", "http://a/#b", "http://a/$1", "http://a/\x01"};

    (void)state;
    for (size_t i = 0; i < LENGTH(urls); i++) {
        assert_says(refusal("spill", urls[i]), "is no URL that mod_proxy serves: write one, such as http://");
    }
    for (size_t i = 0; i < LENGTH(bytes); i++) {
        assert_says(refusal("spill", bytes[i]), "write the URL without it");
    }
    assert_says(refusal("spill", "unix:/run/a.sock|http://localhost/"), "is a Unix socket");
    assert_says(refusal("spill", "UNIX:/run/a.sock|http://localhost/"), "write it as a UDSMember (status=+H");
}

/* --- the whole --- */

static void resolves_every_default(void **state)
{
    static const int attempts[][3] = {{0, 0, 0}, {1, 0, 0}, {2, 0, 1}, {5, 0, 4}, {0, 1, 63}, {2, 2, 129}};
    udr_balancer_settings_t settings;

    (void)state;
    for (size_t i = 0; i < LENGTH(attempts); i++) {
        udr_balancer_settings_init(&settings);
        udr_balancer_settings_resolve(&settings, attempts[i][0], attempts[i][1]);
        assert_int_equal(settings.max_attempts, attempts[i][2]);
    }
    assert_string_equal(settings.method, "byrequests");
    assert_int_equal(settings.no_failover, 0);
    assert_null(settings.session);
    assert_int_equal(settings.separator, '.');
    assert_int_equal(settings.semicolon_delimits, 0);
    assert_null(settings.failed_status);
    assert_int_equal(settings.fail_on_timeout, 0);
    assert_int_equal(settings.force_recovery, 1);
    assert_int_equal(settings.timeout, 0);
    assert_int_equal(settings.growth, 64);
    assert_null(settings.spill);
}

static const char *const all[][2] = {
    {"lbmethod", "leasttime"},   {"maxattempts", "0"},      {"nofailover", "on"},    {"stickysession", "ID"},
    {"stickysessionsep", "Off"}, {"scolonpathdelim", "on"}, {"failonstatus", "500"}, {"failontimeout", "on"},
    {"forcerecovery", "off"},    {"timeout", "5"},          {"growth", "7"},         {"spill", "http://a/"},
};

static void keeps_and_passes_on_what_is_set(void **state)
{
    udr_balancer_settings_t settings;
    udr_balancer_settings_t resolved;
    udr_balancer_settings_t other;

    (void)state;
    udr_balancer_settings_init(&settings);
    udr_balancer_settings_init(&other);
    for (size_t i = 0; i < LENGTH(all); i++) {
        assert_null(udr_balancer_settings_set(&settings, all[i][0], all[i][1], pool));
    }
    resolved = settings;
    udr_balancer_settings_resolve(&resolved, 5, 0);
    assert_same(&resolved, &settings);

    udr_balancer_settings_inherit(&other, &settings);
    assert_same(&other, &settings);
    other = with("lbmethod", "bytraffic");
    udr_balancer_settings_inherit(&other, &settings);
    assert_string_equal(other.method, "bytraffic");
    assert_string_equal(other.session->cookie, "ID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers_switches_and_times),
        cmocka_unit_test(refuses_bad_values_naming_key_value_and_range),
        cmocka_unit_test(proposes_and_lists_the_known_keys),
        cmocka_unit_test(reads_methods),
        cmocka_unit_test(refuses_unknown_methods),
        cmocka_unit_test(refuses_hashes_without_a_key),
        cmocka_unit_test(reads_names_of_sessions),
        cmocka_unit_test(refuses_names_that_no_session_has),
        cmocka_unit_test(reads_separators),
        cmocka_unit_test(refuses_what_separates_nothing),
        cmocka_unit_test(reads_lists_of_codes),
        cmocka_unit_test(refuses_what_is_no_failure),
        cmocka_unit_test(reads_urls_to_spill_to),
        cmocka_unit_test(refuses_what_mod_proxy_does_not_serve),
        cmocka_unit_test(resolves_every_default),
        cmocka_unit_test(keeps_and_passes_on_what_is_set),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_balancer_settings", tests, make_pool, drop_pool);
}
