/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_path.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* --- encoding --- */

static const char *percent(int c)
{
    return apr_psprintf(pool, "%%%02X", (unsigned int)c);
}

static void encodes_all_that_is_no_path_character(void **state)
{
    /* RFC 3986, 3.3: unreserved, sub-delims, ':', '@'; and the slash between segments. */
    static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/";
    (void)state;
    for (int c = 1; c < 256; c++) {
        const char path[] = {'/', 'a', (char)c, 'b', '\0'};
        const char *middle = strchr(kept, c) ? apr_pstrmemdup(pool, path + 2, 1) : percent(c);
        assert_string_equal(udr_path_encode(path, false, pool), apr_pstrcat(pool, "/a", middle, "b", NULL));
        assert_string_equal(udr_path_encode(path, true, pool), apr_pstrcat(pool, "/a", middle, "b", NULL));
    }
}

static void encodes_whole_paths(void **state)
{
    static const struct {
        const char *path;
        bool keep_encoded_slash;
        const char *encoded;
    } rows[] = {
        {"", false, ""},
        {"/", false, "/"},
        {"/a b?c#d", false, "/a%20b%3Fc%23d"},
        {"/gr\xc3\xbc\xc3\x9f", false, "/gr%C3%BC%C3%9F"},
        {"\x01\x7f\xff", false, "%01%7F%FF"},
        {"/100%", false, "/100%25"},
        /* Decoded by httpd, a percent sign is one that was encoded … */
        {"/a%2Fb", false, "/a%252Fb"},
        {"/a%20b", true, "/a%2520b"},
        /* … save before 2F, when httpd has left that alone. */
        {"/a%2Fb", true, "/a%2Fb"},
        {"/a%2fb", true, "/a%2fb"},
        {"%2F%2f", true, "%2F%2f"},
        {"/a%2", true, "/a%252"},
        {"/a%", true, "/a%25"},
        {"/a%3F", true, "/a%253F"},
        {"/a%F2", true, "/a%25F2"},
        {"/a%%2F", true, "/a%25%2F"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(udr_path_encode(rows[i].path, rows[i].keep_encoded_slash, pool), rows[i].encoded);
    }
}

static void protects_what_is_encoded_already(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        const char text[] = {'a', '=', (char)c, '\0'};
        if (c > ' ' && c <= '~' && c != '#') {
            assert_ptr_equal(udr_path_protect(text, pool), text);
        } else {
            assert_string_equal(udr_path_protect(text, pool), apr_pstrcat(pool, "a=", percent(c), NULL));
        }
    }
    assert_string_equal(udr_path_protect("", pool), "");
    assert_string_equal(udr_path_protect("a=%2F%zz&b=1 2\r\nX: y#", pool), "a=%2F%zz&b=1%202%0D%0AX:%20y%23");
    assert_string_equal(udr_path_protect(" all bad\xff", pool), "%20all%20bad%FF");
}

/* --- joining --- */

static void joins_with_one_slash_where_both_have_one(void **state)
{
    static const struct {
        const char *base;
        const char *rest;
        const char *joined;
    } rows[] = {
        {"/base", "/rest", "/base/rest"},
        {"/base/", "/rest", "/base/rest"},
        {"/base/", "rest", "/base/rest"},
        {"/base", "rest", "/baserest"}, /* as ProxyPass does */
        {"/", "/rest", "/rest"},
        {"/", "rest", "/rest"},
        {"", "/rest", "/rest"},
        {"", "rest", "/rest"},
        {"/base", "", "/base"},
        {"/base/", "", "/base/"},
        {"/", "", "/"},
        {"/", "/", "/"},
        {"", "/", "/"},
        {"", "", "/"},
        /* only one slash is left out: those that the client wrote stay */
        {"/base/", "//rest", "/base//rest"},
        {"/", "//rest", "//rest"},
        {"base", "/rest", "/base/rest"},
        {"base/", "/rest", "/base/rest"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(udr_path_join(rows[i].base, rows[i].rest, pool), rows[i].joined);
    }
}

/* --- matching --- */

static void matches_up_to_the_end_of_a_segment(void **state)
{
    static const struct {
        const char *uri;
        const char *prefix;
        apr_size_t taken;
    } rows[] = {
        {"/app", "/app", 4},
        {"/app/", "/app", 4},
        {"/app/x", "/app", 4},
        {"/apple", "/app", 0},
        {"/app.html", "/app", 0},
        {"/ap", "/app", 0},
        {"/", "/app", 0},
        {"", "/app", 0},
        {"app", "/app", 0},
        {"/App", "/app", 0},
        {"/x/app", "/app", 0},
        /* with a slash at its end it takes what is below, not itself */
        {"/app/", "/app/", 5},
        {"/app/x", "/app/", 5},
        {"/app", "/app/", 0},
        {"/apple/", "/app/", 0},
        /* the root takes all */
        {"/", "/", 1},
        {"/x", "/", 1},
        {"/x/y", "/", 1},
        {"//x", "/", 2},
        {"", "/", 0},
        {"*", "/", 0},
        {"x", "/", 0},
        /* repeated slashes are one, on either side */
        {"//app", "/app", 5},
        {"///app//x", "/app", 6},
        {"/app//x", "/app/", 6},
        {"/app///", "/app/", 7},
        {"/a//b/c", "/a/b", 5},
        {"/a/b", "//a///b", 4},
        {"/a//b", "/a//b", 5},
        {"/ab", "/a//b", 0},
        {"//apple", "/app", 0},
        /* several segments */
        {"/a/b/c", "/a/b", 4},
        {"/a/bc", "/a/b", 0},
        {"/a/b", "/a/b/c", 0},
        /* nothing matches nothing */
        {"/app", "", 0},
        {"", "", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        apr_size_t taken = udr_path_match(rows[i].uri, rows[i].prefix);
        if (taken != rows[i].taken) {
            fail_msg("'%s' takes %lu bytes of '%s', not %lu", rows[i].prefix, (unsigned long)taken, rows[i].uri,
                     (unsigned long)rows[i].taken);
        }
    }
}

static void knows_what_a_path_ends_in(void **state)
{
    (void)state;
    assert_true(udr_path_ends_in("/a/x.php", 8, ".php"));
    assert_true(udr_path_ends_in("/a/x.php/rest", 8, ".php")); /* no more than so much of it counts */
    assert_false(udr_path_ends_in("/a/x.php/rest", 13, ".php"));
    assert_false(udr_path_ends_in("/a/x.php", 7, ".php"));
    assert_true(udr_path_ends_in(".php", 4, ".php"));
    assert_false(udr_path_ends_in("php", 3, ".php")); /* shorter */
    assert_true(udr_path_ends_in("/a", 2, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_all_that_is_no_path_character),
        cmocka_unit_test(encodes_whole_paths),
        cmocka_unit_test(protects_what_is_encoded_already),
        cmocka_unit_test(knows_what_a_path_ends_in),
        cmocka_unit_test(joins_with_one_slash_where_both_have_one),
        cmocka_unit_test(matches_up_to_the_end_of_a_segment),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_path", tests, make_pool, drop_pool);
}
