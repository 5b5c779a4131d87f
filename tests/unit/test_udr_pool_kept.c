/* SPDX-License-Identifier: Apache-2.0 */
/* Members that close right behind an answer without having said so: what can't be sent again is not sent to them on a
 * connection that they may be about to close. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_pool.h"

#include <apr_general.h>

#include <sys/socket.h>

#define KEPT_AFTER apr_time_from_msec(10)

/* One that has served a request, and is idle. */
static udr_connection_t *add_answered(int requests)
{
    udr_connection_t *connection = take_and_connect();
    connection->requests = (unsigned int)requests;
    udr_pool_give(connections, connection, 0);
    return connection;
}

static udr_connection_t *find(bool is_replayable, apr_time_t now)
{
    take_turn();
    return udr_pool_idle(connections, 0, is_replayable, now);
}

static void give(udr_connection_t *connection)
{
    udr_pool_give(connections, connection, 0);
}

static void leaves_one_that_has_answered_once_and_just_now(void **state)
{
    (void)state;
    udr_connection_t *only = add_answered(1);
    apr_time_t since = only->idle_since;
    assert_null(find(false, since));
    assert_null(find(false, since + KEPT_AFTER - 1));
    assert_counts(1, 2, 0);
    /* What can be sent again may take it. */
    assert_ptr_equal(find(true, since), only);
    give(only);
    gives_turn();
    gives_turn();
}

static void takes_one_that_has_been_kept_for_a_while(void **state)
{
    (void)state;
    udr_connection_t *older = add_answered(1);
    udr_connection_t *newer = add_answered(1);
    older->idle_since = newer->idle_since - KEPT_AFTER;
    assert_ptr_equal(find(false, newer->idle_since), older);
    /* So the member keeps its connections: the new one is as good. */
    assert_ptr_equal(find(false, newer->idle_since), newer);
    give(older);
    give(newer);
}

static void knows_by_a_second_answer_that_they_are_kept(void **state)
{
    (void)state;
    udr_connection_t *once = add_answered(1);
    assert_null(find(false, once->idle_since));
    udr_connection_t *twice = add_answered(2);
    assert_ptr_equal(find(false, twice->idle_since), twice);
    assert_ptr_equal(find(false, once->idle_since), once);
    give(once);
    give(twice);
    gives_turn();
}

static void forgets_it_when_one_is_closed_at_once(void **state)
{
    (void)state;
    udr_connection_t *kept = add_answered(2);
    apr_time_t now = kept->idle_since;
    assert_ptr_equal(find(false, now), kept);
    (void)add_answered(1);
    (void)add_answered(1);
    assert_int_equal(shutdown(ends[2], SHUT_RDWR), 0);
    /* The newest is found closed; the one behind it may be the next moment. */
    assert_null(find(false, now));
    assert_counts(1, 2, 0);
    give(kept);
    gives_turn();
}

static void closes_it_where_it_would_be_one_too_many(void **state)
{
    (void)state;
    member->settings.max = 2;
    udr_connection_t *only = add_answered(1);
    assert_null(find(false, only->idle_since));
    assert_counts(0, 1, 0);
    gives_turn();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, pool_set_up, pool_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(leaves_one_that_has_answered_once_and_just_now), TEST(takes_one_that_has_been_kept_for_a_while),
        TEST(knows_by_a_second_answer_that_they_are_kept),    TEST(forgets_it_when_one_is_closed_at_once),
        TEST(closes_it_where_it_would_be_one_too_many),
    };
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
