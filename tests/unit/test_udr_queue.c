/* SPDX-License-Identifier: Apache-2.0 */
/* Turns among the children of a server, two of which live in this process. What many threads and processes do at once
 * is in test_udr_queue_threads.c, and what a death leaves in test_udr_queue_repair.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_shared.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <poll.h>
#include <string.h>

static child_t a;
static child_t b;

static int set_up(void **state)
{
    if (shared_set_up(state) != 0) {
        return -1;
    }
    a = start_child();
    b = start_child();
    return 0;
}

static int tear_down(void **state)
{
    end_child(&a);
    end_child(&b);
    return shared_tear_down(state);
}

static bool is_signalled(const child_t *child)
{
    struct pollfd fd = {.fd = udr_queue_descriptor(child->queue), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static void limits(apr_uint32_t limit)
{
    udr_queue_set_limit(shared, member, limit);
}

static void assert_woken(const char *names)
{
    assert_string_equal(woken, names);
}

/* --- counting --- */

static void only_counts_without_a_limit(void **state)
{
    guest_t someone = guest("S", &a);
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(enters(&someone), APR_SUCCESS);
    }
    someone.child = &b;
    assert_int_equal(enters(&someone), APR_SUCCESS);
    assert_line(101, 0);
    assert_int_equal(udr_hot_busy(udr_shared_hot(shared, member)), 101);
    assert_int_equal(udr_hot_waiting(udr_shared_hot(shared, member)), 0);
    for (int i = 0; i < 100; i++) {
        is_done(&a);
    }
    assert_line(1, 0);
    is_done(&b);
}

/* What has been taken back already, as the row was taken for dead. */
static void gives_nothing_back_twice(void **state)
{
    guest_t other = guest("S", &b);
    (void)state;
    assert_int_equal(enters(&other), APR_SUCCESS);
    is_done(&a);
    assert_line(1, 0);
    is_done(&b);
    is_done(&b);
    assert_line(0, 0);
}

static void has_members_apart(void **state)
{
    apr_uint32_t second;
    udr_queue_waiter_t waiter = {.wake = NULL};
    guest_t someone = guest("S", &a);
    (void)state;
    assert_int_equal(claim("second", &second), APR_SUCCESS);
    limits(1);
    udr_queue_set_limit(shared, second, 1);
    assert_int_equal(enters(&someone), APR_SUCCESS);
    assert_int_equal(udr_queue_enter(a.queue, second, &waiter), APR_SUCCESS);
    is_queued(&someone);
    udr_queue_done(a.queue, second);
    assert_false(is_granted(&someone));
    is_done(&a);
    assert_true(is_granted(&someone));
    is_done(&a);
}

/* --- turns --- */

static void serves_first_come_first_over_children(void **state)
{
    guest_t guests[] = {guest("1", &a), guest("2", &b), guest("3", &b), guest("4", &a), guest("5", &b)};
    (void)state;
    limits(1);
    assert_int_equal(enters(&guests[0]), APR_SUCCESS);
    for (int i = 1; i < 5; i++) {
        is_queued(&guests[i]);
    }
    assert_line(1, 4);
    for (int i = 1; i < 5; i++) {
        is_done(guests[i - 1].child);
        assert_line(1, 4 - i);
        for (int j = 1; j < 5; j++) {
            /* None but the next. */
            assert_int_equal(is_granted(&guests[j]), i == j);
        }
    }
    is_done(&b);
}

static void lets_no_newcomer_overtake(void **state)
{
    guest_t first = guest("1", &a);
    guest_t second = guest("2", &b);
    guest_t newcomer = guest("N", &a);
    (void)state;
    limits(1);
    assert_int_equal(enters(&first), APR_SUCCESS);
    is_queued(&second);
    is_done(&a);
    /* The turn is the second's, who has not even noticed. */
    is_queued(&newcomer);
    assert_line(1, 1);
    assert_true(is_granted(&second));
    is_done(&b);
    assert_true(is_granted(&newcomer));
    is_done(&a);
}

static void wakes_one_for_each_turn(void **state)
{
    guest_t first = guest("1", &a);
    guest_t others[] = {guest("2", &b), guest("3", &b), guest("4", &a)};
    (void)state;
    limits(2);
    assert_int_equal(enters(&first), APR_SUCCESS);
    assert_int_equal(enters(&first), APR_SUCCESS);
    for (int i = 0; i < 3; i++) {
        is_queued(&others[i]);
    }
    assert_false(is_signalled(&a));
    assert_false(is_signalled(&b));
    is_done(&a);
    assert_true(is_signalled(&b));
    assert_false(is_signalled(&a));
    assert_int_equal(udr_queue_wake(b.queue), 1);
    assert_false(is_signalled(&b));
    assert_woken("2");
    assert_int_equal(udr_queue_wake(b.queue), 0);
    is_done(&a);
    assert_int_equal(udr_queue_wake(a.queue), 0);
    assert_int_equal(udr_queue_wake(b.queue), 1);
    assert_woken("23");
    assert_true(is_granted(&others[0]));
    assert_true(is_granted(&others[1]));
    is_done(&b);
    /* In the same process likewise. */
    assert_true(is_signalled(&a));
    assert_int_equal(udr_queue_wake(a.queue), 1);
    assert_woken("234");
    assert_true(is_granted(&others[2]));
    assert_false(is_granted(&others[2]));
    is_done(&a);
    is_done(&b);
}

/* One that looks before it is woken need not be woken any more, and is not in the way of those behind it. */
static void does_not_wake_who_has_looked(void **state)
{
    guest_t first = guest("1", &a);
    guest_t others[] = {guest("2", &b), guest("3", &b)};
    (void)state;
    limits(2);
    assert_int_equal(enters(&first), APR_SUCCESS);
    assert_int_equal(enters(&first), APR_SUCCESS);
    is_queued(&others[0]);
    is_queued(&others[1]);
    is_done(&a);
    is_done(&a);
    assert_true(is_granted(&others[0]));
    assert_int_equal(udr_queue_wake(b.queue), 1);
    assert_woken("3");
    assert_true(is_granted(&others[1]));
    is_done(&b);
    is_done(&b);
}

static void wake_elsewhere(udr_queue_waiter_t *waiter)
{
    strcat(woken, (const char *)waiter->baton);
}

static void wakes_where_it_is_told_to(void **state)
{
    static char elsewhere[] = "elsewhere";
    guest_t first = guest("1", &a);
    guest_t second = guest("2", &a);
    (void)state;
    limits(1);
    assert_int_equal(enters(&first), APR_SUCCESS);
    is_queued(&second);
    udr_queue_readdress(a.queue, &second.waiter, wake_elsewhere, elsewhere);
    is_done(&a);
    assert_int_equal(udr_queue_wake(a.queue), 1);
    assert_woken("elsewhere");
    assert_true(is_granted(&second));
    is_done(&a);
}

/* --- giving up --- */

static void leaves_from_anywhere_in_the_queue(void **state)
{
    guest_t first = guest("1", &a);
    guest_t others[] = {guest("2", &b), guest("3", &a), guest("4", &b), guest("5", &a)};
    (void)state;
    limits(1);
    udr_queue_leave(a.queue, &first.waiter); /* does not wait: harmless */
    assert_int_equal(enters(&first), APR_SUCCESS);
    for (int i = 0; i < 4; i++) {
        is_queued(&others[i]);
    }
    udr_queue_leave(a.queue, &others[1].waiter);
    assert_line(1, 3);
    udr_queue_leave(a.queue, &others[3].waiter);
    udr_queue_leave(b.queue, &others[0].waiter);
    assert_line(1, 1);
    is_done(&a);
    assert_false(is_granted(&others[1]));
    assert_true(is_granted(&others[2]));
    is_done(&b);
    assert_line(0, 0);
    assert_int_equal(udr_queue_wake(a.queue) + udr_queue_wake(b.queue), 0);
}

static void passes_a_turn_on_that_comes_too_late(void **state)
{
    guest_t first = guest("1", &a);
    guest_t others[] = {guest("2", &b), guest("3", &a)};
    (void)state;
    limits(1);
    assert_int_equal(enters(&first), APR_SUCCESS);
    is_queued(&others[0]);
    is_queued(&others[1]);
    is_done(&a);
    udr_queue_leave(b.queue, &others[0].waiter);
    assert_line(1, 0);
    assert_int_equal(udr_queue_wake(b.queue), 0);
    assert_int_equal(udr_queue_wake(a.queue), 1);
    assert_woken("3");
    /* And once more, with nobody behind. */
    udr_queue_leave(a.queue, &others[1].waiter);
    assert_line(0, 0);
}

/* --- the limit --- */

static void hands_out_more_when_the_limit_rises(void **state)
{
    guest_t first = guest("1", &a);
    guest_t others[] = {guest("2", &b), guest("3", &a), guest("4", &b), guest("5", &a)};
    (void)state;
    limits(1);
    assert_int_equal(enters(&first), APR_SUCCESS);
    for (int i = 0; i < 4; i++) {
        is_queued(&others[i]);
    }
    limits(3);
    assert_line(3, 2);
    assert_true(is_granted(&others[0]));
    assert_true(is_granted(&others[1]));
    assert_false(is_granted(&others[2]));
    limits(0);
    assert_line(5, 0);
    assert_true(is_granted(&others[2]));
    assert_true(is_granted(&others[3]));
    for (int i = 0; i < 4; i++) {
        is_done(others[i].child);
    }
    is_done(&a);
}

static void hands_out_none_until_it_is_below_a_lowered_limit(void **state)
{
    guest_t first = guest("1", &a);
    guest_t second = guest("2", &b);
    (void)state;
    limits(3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enters(&first), APR_SUCCESS);
    }
    limits(1);
    is_queued(&second);
    is_done(&a);
    is_done(&a);
    assert_line(1, 1);
    assert_false(is_granted(&second));
    is_done(&a);
    assert_true(is_granted(&second));
    is_done(&b);
}

/* --- tickets --- */

static void waits_with_as_many_as_there_are_tickets(void **state)
{
    guest_t first = guest("1", &a);
    guest_t others[TICKETS + 1];
    guest_t elsewhere = guest("E", &b);
    (void)state;
    limits(1);
    assert_int_equal(enters(&first), APR_SUCCESS);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < TICKETS; i++) {
            others[i] = guest("O", &a);
            is_queued(&others[i]);
        }
        others[TICKETS] = guest("N", &a);
        assert_int_equal(enters(&others[TICKETS]), APR_ENOSPC);
        assert_line(1, TICKETS);
        /* It is this child's alone. */
        is_queued(&elsewhere);
        udr_queue_leave(b.queue, &elsewhere.waiter);
        /* One comes free, and is taken again. */
        udr_queue_leave(a.queue, &others[round].waiter);
        is_queued(&others[TICKETS]);
        for (int i = 0; i <= TICKETS; i++) {
            udr_queue_leave(a.queue, &others[i].waiter);
        }
        assert_line(1, 0);
    }
    is_done(&a);
}

/* --- the row --- */

static void is_empty_when_nothing_is_in_flight_or_waits(void **state)
{
    guest_t first = guest("1", &a);
    guest_t second = guest("2", &b);
    (void)state;
    limits(1);
    assert_true(udr_queue_is_empty(shared, a.row));
    assert_int_equal(enters(&first), APR_SUCCESS);
    is_queued(&second);
    assert_false(udr_queue_is_empty(shared, a.row));
    assert_false(udr_queue_is_empty(shared, b.row));
    is_done(&a);
    assert_true(udr_queue_is_empty(shared, a.row));
    assert_false(udr_queue_is_empty(shared, b.row));
    assert_true(is_granted(&second));
    assert_false(udr_queue_is_empty(shared, b.row));
    is_done(&b);
    assert_true(udr_queue_is_empty(shared, b.row));
}

#define with_two(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_two(only_counts_without_a_limit),
        with_two(gives_nothing_back_twice),
        with_two(has_members_apart),
        with_two(serves_first_come_first_over_children),
        with_two(lets_no_newcomer_overtake),
        with_two(wakes_one_for_each_turn),
        with_two(does_not_wake_who_has_looked),
        with_two(wakes_where_it_is_told_to),
        with_two(leaves_from_anywhere_in_the_queue),
        with_two(passes_a_turn_on_that_comes_too_late),
        with_two(hands_out_more_when_the_limit_rises),
        with_two(hands_out_none_until_it_is_below_a_lowered_limit),
        with_two(waits_with_as_many_as_there_are_tickets),
        with_two(is_empty_when_nothing_is_in_flight_or_waits),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_queue", tests, NULL, NULL);
}
