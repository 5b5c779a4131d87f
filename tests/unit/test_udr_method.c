/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_method.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define KEYS         "hash:ip, hash:uri, hash:header:NAME, hash:cookie:NAME, hash:env:NAME"

static void reads_methods(void **state)
{
    static const struct {
        const char *text;
        const udr_method_t *method;
        udr_key_kind_t kind;
        const char *name;
    } rows[] = {
        {"byrequests", &udr_method_byrequests, UDR_KEY_NONE, NULL},
        {"bytraffic", &udr_method_bytraffic, UDR_KEY_NONE, NULL},
        {"bybusyness", &udr_method_bybusyness, UDR_KEY_NONE, NULL},
        {"leasttime", &udr_method_leasttime, UDR_KEY_NONE, NULL},
        {"hash:ip", &udr_method_hash, UDR_KEY_IP, NULL},
        {"hash:uri", &udr_method_hash, UDR_KEY_URI, NULL},
        {"hash:header:X-Tenant", &udr_method_hash, UDR_KEY_HEADER, "X-Tenant"},
        {"hash:cookie:SESSION_id.1", &udr_method_hash, UDR_KEY_COOKIE, "SESSION_id.1"},
        {"hash:env:SSL_CLIENT_S_DN", &udr_method_hash, UDR_KEY_ENV, "SSL_CLIENT_S_DN"},
        {"ByRequests", &udr_method_byrequests, UDR_KEY_NONE, NULL},
        {"HASH:Header:host", &udr_method_hash, UDR_KEY_HEADER, "host"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const udr_method_t *method = NULL;
        udr_key_t key = {UDR_KEY_ENV, "before"};
        assert_null(udr_method_parse(&method, &key, rows[i].text, pool));
        assert_ptr_equal(method, rows[i].method);
        assert_int_equal(key.kind, rows[i].kind);
        if (rows[i].name) {
            assert_string_equal(key.name, rows[i].name);
        } else {
            assert_null(key.name);
        }
        assert_int_equal(method->takes_key, key.kind != UDR_KEY_NONE);
    }
}

static void says_what_to_write(void **state)
{
    static const struct {
        const char *text;
        const char *sentence;
    } rows[] = {
        {"", "'' is no method: write one of: byrequests, bytraffic, bybusyness, leasttime, " KEYS},
        {"heartbeat", "'heartbeat' is no method: write one of: byrequests, bytraffic, bybusyness, leasttime, " KEYS},
        {"byrequest", "'byrequest' is no method: write one of: byrequests, bytraffic, bybusyness, leasttime, " KEYS},
        {"hash ", "'hash ' is no method: write one of: byrequests, bytraffic, bybusyness, leasttime, " KEYS},
        {"hash", "'hash' does not say what to hash: write one of: " KEYS},
        {"hash:", "'hash:' does not say what to hash: write one of: " KEYS},
        {"hash::X", "'hash::X' does not say what to hash: write one of: " KEYS},
        {"hash:query", "'hash:query': there is no key 'query': write one of: " KEYS},
        {"hash:ip:x", "'hash:ip:x': nothing follows behind ip: write hash:ip"},
        {"hash:uri:", "'hash:uri:': nothing follows behind uri: write hash:uri"},
        {"hash:header", "'hash:header' does not name a field of the request: write hash:header:NAME"},
        {"hash:header:", "'hash:header:' does not name a field of the request: write hash:header:NAME"},
        {"hash:cookie:", "'hash:cookie:' does not name a cookie: write hash:cookie:NAME"},
        {"hash:env", "'hash:env' does not name a variable: write hash:env:NAME"},
        {"hash:header:a b", "'hash:header:a b': 'a b' cannot be the name of a field of the request: write letters, "
                            "digits and '-', '_', '.'"},
        {"hash:cookie:a=b", "'hash:cookie:a=b': 'a=b' cannot be the name of a cookie: write letters, digits and '-', "
                            "'_', '.'"},
        {"hash:env:A:B", "'hash:env:A:B': 'A:B' cannot be the name of a variable: write letters, digits and '-', '_', "
                         "'.'"},
        {"byrequests:", "'byrequests:': nothing follows behind byrequests: write byrequests"},
        {"leasttime:ip", "'leasttime:ip': nothing follows behind leasttime: write leasttime"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const udr_method_t *method = NULL;
        udr_key_t key = {UDR_KEY_ENV, "before"};
        assert_string_equal(udr_method_parse(&method, &key, rows[i].text, pool), rows[i].sentence);
        assert_null(method);
        assert_int_equal(key.kind, UDR_KEY_ENV);
        assert_string_equal(key.name, "before");
    }
}

/* The directive's words may be gone when requests come. */
static void keeps_a_copy_of_the_name(void **state)
{
    char text[] = "hash:header:X-Tenant";
    const udr_method_t *method;
    udr_key_t key;
    (void)state;
    assert_null(udr_method_parse(&method, &key, text, pool));
    memset(text, 'x', sizeof(text) - 1);
    assert_string_equal(key.name, "X-Tenant");
}

static void excludes_by_member(void **state)
{
    const apr_uint64_t words[2] = {APR_UINT64_C(1) << 63 | 2, 1};
    const udr_choice_t nobody = {.excluded = NULL};
    const udr_choice_t some = {.excluded = words, .excluded_words = 2};
    (void)state;
    for (int i = 0; i < 300; i++) {
        assert_false(udr_choice_excludes(&nobody, i));
        assert_int_equal(udr_choice_excludes(&some, i), i == 1 || i == 63 || i == 64);
    }
}

static void counts_those_who_wait_as_load(void **state)
{
    udr_hot_t hot = {.line = APR_UINT64_C(7) << 32 | 3};
    const udr_seat_t seat = {.hot = &hot};
    (void)state;
    assert_int_equal(udr_seat_load(&seat), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_methods),
        cmocka_unit_test(says_what_to_write),
        cmocka_unit_test(keeps_a_copy_of_the_name),
        cmocka_unit_test(excludes_by_member),
        cmocka_unit_test(counts_those_who_wait_as_load),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_method", tests, make_pool, drop_pool);
}
