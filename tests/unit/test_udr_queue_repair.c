/* SPDX-License-Identifier: Apache-2.0 */
/* What is repaired after a death while others go on, or stand still. Deaths at each point are in
 * test_udr_queue_deaths.c, at any moment in test_udr_row_deaths.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_points.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <poll.h>
#include <signal.h>
#include <unistd.h>

static child_t survivor;
static child_t newcomer;

/* --- those who stand still --- */

/* Has a turn, begun and ended, and stops (SIGSTOP) at a point of it. */
typedef struct sleeper_t {
    const char *point;
    int entered[2]; /* it has begun */
    int may_end[2];
} sleeper_t;

static int stand_still(void *baton)
{
    const sleeper_t *sleeper = baton;
    child_t child;
    guest_t someone = guest("S", &child);
    fatal_signal = SIGSTOP;
    fatal_point = sleeper->point;
    if (!try_start_child(&child) || enters(&someone) != APR_SUCCESS) {
        return 1;
    }
    tell(sleeper->entered);
    listen_to(sleeper->may_end);
    is_done(&child);
    return udr_row_release(shared, child.row) == APR_SUCCESS ? 0 : 1;
}

static pid_t start_sleeper(sleeper_t *sleeper)
{
    assert_int_equal(pipe(sleeper->entered), 0);
    assert_int_equal(pipe(sleeper->may_end), 0);
    return fork_child(stand_still, sleeper);
}

static void wake_sleeper(sleeper_t *sleeper, pid_t process)
{
    assert_int_equal(kill(process, SIGCONT), 0);
    assert_int_equal(await_child(process), 0);
    for (int i = 0; i < 2; i++) {
        close(sleeper->entered[i]);
        close(sleeper->may_end[i]);
    }
}

static int enter_and_die(void *baton)
{
    child_t child;
    guest_t someone = guest("D", &child);
    (void)baton;
    fatal_point = "enter:ended";
    return try_start_child(&child) && enters(&someone) == APR_SUCCESS;
}

/* One who is stopped in the middle of counting keeps nobody waiting; what a dead one has left is seen only later. */
static void waits_with_the_recount_for_one_who_counts(const char *point)
{
    sleeper_t sleeper = {.point = point};
    child_t child = start_child();
    guest_t someone = guest("A", &child);
    pid_t process = start_sleeper(&sleeper);
    tell(sleeper.may_end);
    assert_stopped(process);
    assert_killed(fork_child(enter_and_die, NULL), "enter:ended", "enter");
    assert_int_equal(udr_row_reap(shared), 0);
    assert_int_equal(enters(&someone), APR_SUCCESS);
    is_done(&child);
    wake_sleeper(&sleeper, process);
    assert_line(1, 0);
    assert_int_equal(udr_row_reap(shared), 1);
    assert_line(0, 0);
    end_child(&child);
}

static void sees_nothing_while_somebody_counts(void **state)
{
    (void)state;
    waits_with_the_recount_for_one_who_counts("enter:begun");
    waits_with_the_recount_for_one_who_counts("enter:line");
    waits_with_the_recount_for_one_who_counts("done:begun");
    waits_with_the_recount_for_one_who_counts("done:line");
}

/* It has given up its turn, and not handed it on: newcomers must wait behind those who do, and nobody else is done. */
static void hands_on_the_turn_of_one_who_stands_still(void **state)
{
    sleeper_t sleeper = {.point = "done:ended"};
    (void)state;
    child_t child = start_child();
    guest_t someone = guest("A", &child);
    guest_t behind = guest("N", &child);
    udr_queue_set_limit(shared, member, 1);
    pid_t process = start_sleeper(&sleeper);
    listen_to(sleeper.entered);
    is_queued(&someone);
    tell(sleeper.may_end);
    assert_stopped(process);
    is_queued(&behind);
    assert_line(0, 2);
    assert_int_equal(udr_row_reap(shared), 0);
    assert_line(1, 1);
    assert_true(is_granted(&someone));
    wake_sleeper(&sleeper, process);
    is_done(&child);
    assert_true(is_granted(&behind));
    is_done(&child);
    end_child(&child);
}

/* --- what others do while it is recounted --- */

static void enter_meanwhile(void)
{
    guest_t someone = guest("S", &survivor);
    assert_int_equal(enters(&someone), APR_SUCCESS);
}

static void leave_and_enter_meanwhile(void)
{
    is_done(&survivor);
    enter_meanwhile();
}

static void end_survivors(void)
{
    is_done(&survivor);
}

static void arrive_meanwhile(void)
{
    newcomer = start_child();
    guest_t someone = guest("N", &newcomer);
    assert_int_equal(enters(&someone), APR_SUCCESS);
}

static void arrive_and_leave_meanwhile(void)
{
    arrive_meanwhile();
    is_done(&newcomer);
}

static void recount_with(const char *point, void (*others)(void), int in_flight)
{
    assert_int_equal(shared_set_up(NULL), 0);
    survivor = start_child();
    enter_meanwhile();
    newcomer = (child_t){UDR_SHARED_NONE, NULL};
    assert_killed(fork_child(enter_and_die, NULL), "enter:ended", "enter");
    assert_line(2, 0);
    lively_point = point;
    meanwhile = others;
    assert_int_equal(udr_row_reap(shared), 1);
    assert_string_equal(lively_point, "");
    assert_line(in_flight, 0);
    for (int i = 0; i < in_flight; i++) {
        is_done(&survivor); /* once too often with a newcomer's, which does nothing */
    }
    if (newcomer.queue) {
        is_done(&newcomer);
        end_child(&newcomer);
    }
    end_child(&survivor);
    assert_int_equal(shared_tear_down(NULL), 0);
}

static void takes_the_living_for_what_they_are(void **state)
{
    static const char *const points[] = {"recount:passed", "recount:read", "recount:found", "recount:line"};
    (void)state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        recount_with(points[i], enter_meanwhile, 2);
        recount_with(points[i], end_survivors, 0);
        recount_with(points[i], leave_and_enter_meanwhile, 1);
        recount_with(points[i], arrive_meanwhile, 2);
        recount_with(points[i], arrive_and_leave_meanwhile, 1);
    }
}

static void wake_all(void)
{
    (void)udr_queue_wake(survivor.queue);
}

/* While one that has looked is about to leave the list, with its ticket free. */
static void wakes_those_behind_one_who_leaves(void **state)
{
    (void)state;
    survivor = start_child();
    guest_t guests[] = {guest("1", &survivor), guest("2", &survivor), guest("3", &survivor)};
    udr_queue_set_limit(shared, member, 1);
    assert_int_equal(enters(&guests[0]), APR_SUCCESS);
    is_queued(&guests[1]);
    is_queued(&guests[2]);
    udr_queue_set_limit(shared, member, 3);
    lively_point = "granted:ended";
    meanwhile = wake_all;
    assert_true(is_granted(&guests[1]));
    assert_string_equal(woken, "3");
    assert_true(is_granted(&guests[2]));
    for (int i = 0; i < 3; i++) {
        is_done(&survivor);
    }
    end_child(&survivor);
}

/* --- those who die with the slot's mutex --- */

static int die_with_mutex(void *baton)
{
    (void)baton;
    fatal_point = "here";
    (void)pthread_mutex_lock(&udr_shared_slot(shared, member)->queue.mutex);
    die();
    return 1;
}

enum { MANY = TICKETS };

/* More than a few, of two children, whose tickets are in no order: some have left, and others got theirs. */
static void queue_many(child_t *children, guest_t *guests, guest_t **order)
{
    for (int i = 0; i < MANY; i++) {
        guests[i] = guest("G", &children[i % 2]);
        is_queued(&guests[i]);
    }
    for (int i = 0; i < MANY; i++) {
        if (i % 4 < 2) {
            udr_queue_leave(children[i % 2].queue, &guests[i].waiter);
        } else {
            *order++ = &guests[i];
        }
    }
    for (int i = MANY; i < MANY + MANY / 2; i++) {
        guests[i] = guest("G", &children[i % 2]);
        is_queued(&guests[i]);
        *order++ = &guests[i];
    }
}

static void spoil_list(void)
{
    udr_shared_slot(shared, member)->queue.first = 99;
    for (apr_uint32_t i = 0; i < 2 * TICKETS; i++) {
        udr_shared_ticket(shared, i)->previous = udr_shared_ticket(shared, i)->next = 77;
    }
}

static void keeps_the_order_of_many(void **state)
{
    guest_t guests[MANY + MANY / 2];
    guest_t *order[MANY];
    (void)state;
    child_t children[] = {start_child(), start_child()};
    guest_t someone = guest("S", &children[0]);
    const guest_t *last = &someone;
    udr_queue_set_limit(shared, member, 1);
    assert_int_equal(enters(&someone), APR_SUCCESS);
    queue_many(children, guests, order);
    spoil_list();
    assert_killed(fork_child(die_with_mutex, NULL), "here", "mutex");
    /* From the middle of what has been rebuilt. */
    udr_queue_leave(order[5]->child->queue, &order[5]->waiter);
    for (int i = 0; i < MANY; i++) {
        if (i != 5) {
            is_done(last->child);
            assert_true(is_granted(order[i]));
            last = order[i];
        }
    }
    is_done(last->child);
    (void)udr_row_reap(shared);
    end_child(&children[0]);
    end_child(&children[1]);
}

static int raise_limit_and_die(void *baton)
{
    (void)baton;
    fatal_point = "grant:counted";
    udr_queue_set_limit(shared, member, 5);
    return 1;
}

static void signals_for_one_who_died_before_it_could(void **state)
{
    (void)state;
    child_t child = start_child();
    guest_t someone = guest("S", &child);
    udr_queue_set_limit(shared, member, 1);
    assert_int_equal(enters(&someone), APR_SUCCESS);
    is_queued(&someone);
    assert_killed(fork_child(raise_limit_and_die, NULL), "grant:counted", "limit");
    struct pollfd fd = {.fd = udr_queue_descriptor(child.queue), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0);
    /* Whoever comes next to the mutex finds it. */
    udr_queue_set_limit(shared, member, 5);
    assert_int_equal(poll(&fd, 1, 0), 1);
    assert_int_equal(udr_queue_wake(child.queue), 1);
    assert_true(is_granted(&someone));
    is_done(&child);
    is_done(&child);
    (void)udr_row_reap(shared);
    end_child(&child);
}

#define with_shared(test) cmocka_unit_test_setup_teardown(test, shared_set_up, shared_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_shared(sees_nothing_while_somebody_counts),
        cmocka_unit_test(takes_the_living_for_what_they_are),
        with_shared(keeps_the_order_of_many),
        with_shared(signals_for_one_who_died_before_it_could),
        with_shared(wakes_those_behind_one_who_leaves),
        with_shared(hands_on_the_turn_of_one_who_stands_still),
    };
    apr_initialize();
    alarm(60); /* for a turn that never comes */
    return cmocka_run_group_tests_name("udr_queue_repair", tests, NULL, NULL);
}
