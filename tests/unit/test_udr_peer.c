/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_peer.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <grp.h>
#include <pwd.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

static const udr_peer_t *peer(const char *text)
{
    const udr_peer_t *result = NULL;
    const char *error = udr_peer_parse(&result, text, pool);

    if (error) {
        fail_msg("%s: %s", text, error);
    }
    return result;
}

static const char *refusal(const char *text)
{
    static const udr_peer_t untouched;
    const udr_peer_t *result = &untouched;
    const char *error = udr_peer_parse(&result, text, pool);

    if (!error) {
        fail_msg("%s is accepted", text);
    }
    assert_ptr_equal(result, &untouched);
    return error;
}

static void reads_peers_by_number(void **state)
{
    (void)state;
    assert_true(peer("1000")->check_user);
    assert_int_equal(peer("1000")->user, 1000);
    assert_false(peer("1000")->check_group);
    assert_true(peer("0:4294967294")->check_user);
    assert_int_equal(peer("0:4294967294")->user, 0);
    assert_true(peer("0:4294967294")->check_group);
    assert_int_equal(peer("0:4294967294")->group, 4294967294U);
    assert_string_equal(peer("0:12")->text, "0:12");
}

/* Whoever is in the system's database: not root, whose ids would be right by accident. */
static void reads_peers_by_name(void **state)
{
    const struct passwd *user = getpwnam("nobody");
    const struct group *group = getgrnam("mail");
    const udr_peer_t *result = peer("nobody:mail");

    (void)state;
    assert_non_null(user);
    assert_non_null(group);
    assert_true(result->check_user);
    assert_true(result->check_group);
    assert_int_equal(result->user, user->pw_uid);
    assert_int_equal(result->group, group->gr_gid);
    assert_string_equal(result->text, "nobody:mail");
}

static void refuses_unknown_and_malformed_peers(void **state)
{
    (void)state;
    assert_string_equal(refusal("no-such-user"),
                        "there is no user 'no-such-user': write a name from getent, or a number");
    assert_string_equal(refusal("nobody:no-such-group"),
                        "there is no group 'no-such-group': write a name from getent, or a number");
    assert_says(refusal(""), "'' is incomplete: write user or user:group");
    assert_says(refusal(":mail"), "':mail' is incomplete");
    assert_says(refusal("nobody:"), "'nobody:' is incomplete");
    assert_string_equal(refusal("4294967295"), "'4294967295' is out of range: 0 to 4294967294");
    assert_says(refusal("0:4294967296"), "'4294967296' is out of range");
    assert_says(refusal("18446744073709551616"), "is out of range");
    assert_says(refusal("-1"), "there is no user '-1'");
    assert_says(refusal("1:2:3"), "there is no group '2:3'");
}

/* One text may mean other ids, when the system's database has changed between two readings. */
static void compares_ids_and_text(void **state)
{
    static const udr_peer_t peers[] = {
        {.text = "app", .check_user = true, .user = 1},
        {.text = "app", .check_user = true, .user = 2},
        {.text = "app", .check_user = true, .user = 1, .check_group = true},
        {.text = "app", .check_user = true, .user = 1, .check_group = true, .group = 1},
        {.text = "app", .user = 1},
        {.text = "other", .user = 1},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(peers); i++) {
        for (size_t j = 0; j < LENGTH(peers); j++) {
            assert_int_equal(udr_peer_equal(&peers[i], &peers[j]), i == j);
        }
        assert_false(udr_peer_equal(&peers[i], NULL));
        assert_false(udr_peer_equal(NULL, &peers[i]));
    }
    assert_true(udr_peer_equal(NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_peers_by_number),
        cmocka_unit_test(reads_peers_by_name),
        cmocka_unit_test(refuses_unknown_and_malformed_peers),
        cmocka_unit_test(compares_ids_and_text),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_peer", tests, make_pool, drop_pool);
}
