/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void who_is_at_the_other_end(void **state)
{
    char text[192], expected[64];
    udsb_peer_t peer;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_true(udsb_peer_of(&peer, ends[0]));
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(peer.uid, getuid());
    udsb_peer_describe(&peer, text, sizeof text);
    snprintf(expected, sizeof expected, "process %d (test_udsb_peer) of user ", (int)getpid());
    assert_memory_equal(text, expected, strlen(expected));
    snprintf(expected, sizeof expected, "(%lu)", (unsigned long)getuid());
    assert_non_null(strstr(text, expected));
    close(ends[0]);
    close(ends[1]);
    assert_false(udsb_peer_of(&peer, -1));
    assert_int_equal(errno, EBADF);
}

static void what_is_not_known_is_left_out(void **state)
{
    const udsb_peer_t peer = {.pid = 0, .uid = 4000000000u};
    char text[192];

    (void)state;
    udsb_peer_describe(&peer, text, sizeof text);
    assert_string_equal(text, "user 4000000000");
}

static void users_and_groups_by_name_or_number(void **state)
{
    uid_t user = 77;
    gid_t group = 77;

    (void)state;
    assert_true(udsb_peer_find_user(&user, "root"));
    assert_int_equal(user, 0);
    assert_true(udsb_peer_find_user(&user, "12345"));
    assert_int_equal(user, 12345);
    assert_false(udsb_peer_find_user(&user, "nobody-has-this-name"));
    assert_false(udsb_peer_find_user(&user, "4294967295")); /* -1 */
    assert_false(udsb_peer_find_user(&user, ""));
    assert_int_equal(user, 12345);
    assert_true(udsb_peer_find_group(&group, "root"));
    assert_int_equal(group, 0);
    assert_true(udsb_peer_find_group(&group, "54321"));
    assert_int_equal(group, 54321);
    assert_false(udsb_peer_find_group(&group, "nobody-has-this-name"));
}

static void an_empty_list_allows_all(void **state)
{
    udsb_peer_list_t list = {0};

    (void)state;
    assert_true(udsb_peer_list_allows(&list, 5));
    assert_true(udsb_peer_list_add(&list, 5));
    assert_true(udsb_peer_list_add(&list, 7));
    assert_true(udsb_peer_list_allows(&list, 5));
    assert_true(udsb_peer_list_allows(&list, 7));
    assert_false(udsb_peer_list_allows(&list, 6));
    assert_false(udsb_peer_list_allows(&list, 0)); /* not even root */
    udsb_peer_list_clear(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_at_the_other_end),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(users_and_groups_by_name_or_number),
        cmocka_unit_test(an_empty_list_allows_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
