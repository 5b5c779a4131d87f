/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait: for a turn, for a member that has just gone, for any at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_pick.h"

#include <apr_general.h>

#include <errno.h>

/* --- maxconn --- */

static void waits_for_its_turn_under_maxconn(void **state)
{
    (void)state;
    (void)balancer_has("/run/a.sock", "maxconn=1");
    balancer_open();
    assert_gets(begin_in(0, 0, NULL), 0);
    assert_int_equal(next(begin_in(1, 1, NULL)), UDR_PICKED_TURN);
    assert_int_equal(next(begin_in(0, 2, NULL)), UDR_PICKED_TURN);
    assert_line(0, 1, 2);
    assert_false(udr_pick_has_turn(&picks[1]));
    udr_pick_leave(&picks[0]);
    assert_false(udr_pick_has_turn(&picks[2]));
    assert_int_equal(udr_queue_wake(children[0].queue), 0);
    assert_int_equal(udr_queue_wake(children[1].queue), 1);
    assert_int_equal(wakes, 1);
    assert_true(udr_pick_has_turn(&picks[1]));
    assert_true(udr_pick_has_turn(&picks[1]));
    assert_line(0, 1, 1);
    udr_pick_leave(&picks[2]);
    assert_line(0, 1, 0);
    udr_pick_leave(&picks[1]);
}

static void wakes_whoever_has_taken_over(void **state)
{
    (void)state;
    (void)balancer_has("/run/a.sock", "maxconn=1");
    balancer_open();
    assert_gets(begin(0), 0);
    udr_pick_begin(&picks[1], children[0].picker, &(udr_occasion_t){.key = NULL}, NULL, NULL, pool);
    assert_int_equal(next(&picks[1]), UDR_PICKED_TURN);
    udr_pick_readdress(&picks[1], count_wake, NULL);
    udr_pick_leave(&picks[0]);
    assert_int_equal(udr_queue_wake(children[0].queue), 1);
    assert_int_equal(wakes, 1);
    assert_true(udr_pick_has_turn(&picks[1]));
    udr_pick_leave(&picks[1]);
}

static void leaves_out_the_full_while_others_have_room(void **state)
{
    (void)state;
    open_three("maxconn=1", "maxconn=2", "maxconn=1");
    int counts[3] = {0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(next(begin_in(i % CHILDREN, i, NULL)), UDR_PICKED_MEMBER);
        counts[picks[i].index]++;
    }
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 2);
    assert_int_equal(next(begin(4)), UDR_PICKED_TURN);
    for (int i = 0; i < 5; i++) {
        udr_pick_leave(&picks[i]);
    }
}

static void is_full_when_no_more_can_wait(void **state)
{
    (void)state;
    (void)balancer_has("/run/a.sock", "maxconn=1");
    balancer_open();
    assert_gets(begin(0), 0);
    for (int i = 1; i <= WAITING_MAX; i++) {
        assert_int_equal(next(begin(i)), UDR_PICKED_TURN);
    }
    assert_int_equal(next(begin(WAITING_MAX + 1)), UDR_PICKED_FULL);
    assert_int_equal(next(begin_in(1, WAITING_MAX + 2, NULL)), UDR_PICKED_TURN);
    for (int i = WAITING_MAX + 2; i >= 0; i--) {
        udr_pick_leave(&picks[i]);
    }
}

/* --- hold --- */

static void waits_for_who_has_just_gone(void **state)
{
    (void)state;
    balancer_says("hold=2");
    open_members(1);
    see_all_up();
    assert_gets(begin(0), 0);
    assert_true(is_refused(&picks[0]));
    apr_time_t gone_at = now;
    /* One looks, the others wait; once in 10 ms. */
    int probes = 0;
    int waits = 0;
    for (; now < gone_at + MS(100); now += MS(1)) {
        for (int i = 0; i < 4; i++) {
            udr_pick_t *pick = &picks[i];
            if (i > 0 && now == gone_at) {
                (void)begin(i);
            }
            switch (next(pick)) {
            case UDR_PICKED_MEMBER:
                probes++;
                assert_true(udr_pick_may_go_on(pick, gone_at, now));
                assert_true(is_refused(pick));
                break;
            case UDR_PICKED_LATER:
                waits++;
                assert_true(until > now);
                assert_true(until <= now + MS(10));
                break;
            default:
                fail();
            }
        }
    }
    assert_in_range(probes, 9, 11);
    assert_int_equal(probes + waits, 400);
    for (int i = 0; i < 4; i++) {
        udr_pick_leave(&picks[i]);
        assert_true(picks[i].has_held);
    }
    assert_int_equal(went_out, 1);
}

static void wakes_those_that_wait_when_a_file_appears(void **state)
{
    (void)state;
    balancer_says("hold=2");
    open_members(1);
    see_all_up();
    put_out(0, ENOENT);
    assert_gets(begin(0), 0); /* looks */
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(next(begin(i)), UDR_PICKED_LATER);
        assert_false(udr_pick_is_awake(&picks[i]));
    }
    udr_pick_leave(&picks[2]);
    udr_pick_readdress(&picks[3], NULL, NULL);
    udr_picker_wake_held(children[1].picker); /* another child's */
    assert_false(udr_pick_is_awake(&picks[1]));
    udr_picker_wake_held(children[0].picker);
    assert_int_equal(wakes, 1);
    assert_true(udr_pick_is_awake(&picks[1]));
    assert_false(udr_pick_is_awake(&picks[1]));
    assert_false(udr_pick_is_awake(&picks[2]));
    assert_true(udr_pick_is_awake(&picks[3]));
    /* Once for each time that they wait. */
    udr_picker_wake_held(children[0].picker);
    assert_int_equal(wakes, 1);
    assert_int_equal(next(&picks[1]), UDR_PICKED_LATER);
    udr_picker_wake_held(children[0].picker);
    assert_int_equal(wakes, 2);
    for (int i = 0; i <= 3; i++) {
        udr_pick_leave(&picks[i]);
    }
}

static void each_child_looks_for_itself(void **state)
{
    (void)state;
    open_members(1);
    see_all_up();
    put_out(0, ENOENT);
    assert_gets(begin_in(0, 0, NULL), 0);
    assert_gets(begin_in(1, 1, NULL), 0);
    assert_int_equal(next(begin_in(0, 2, NULL)), UDR_PICKED_LATER);
    assert_int_equal(next(begin_in(1, 3, NULL)), UDR_PICKED_LATER);
    udr_pick_leave(&picks[0]);
    udr_pick_leave(&picks[1]);
}

static void all_get_it_when_it_is_back(void **state)
{
    (void)state;
    open_members(1);
    see_all_up();
    put_out(0, ENOENT);
    assert_gets(begin(0), 0);
    for (int i = 1; i < 9; i++) {
        assert_int_equal(next(begin_in(0, i, NULL)), UDR_PICKED_LATER);
    }
    report(&picks[0], UDR_OUTCOME_CONNECTED, 0);
    assert_int_equal(came_back, 1);
    for (int i = 1; i < 9; i++) {
        assert_gets(&picks[i], 0);
    }
    assert_line(0, 9, 0);
    for (int i = 0; i < 9; i++) {
        udr_pick_leave(&picks[i]);
    }
}

/* Several have gone: whichever returns first is found, not only the one that went last. */
static void looks_for_each_that_has_gone(void **state)
{
    (void)state;
    open_members(3);
    see_all_up();
    for (int i = 0; i < 3; i++) {
        put_out(i, ENOENT);
        now += MS(1);
    }
    bool seen[3] = {false};
    for (int i = 0; i < 6; i++, now += MS(10)) {
        assert_int_equal(next(begin(0)), UDR_PICKED_MEMBER);
        seen[picks[0].index] = true;
        assert_true(is_refused(&picks[0]));
        udr_pick_leave(&picks[0]);
    }
    assert_true(seen[0] && seen[1] && seen[2]);
}

static void does_not_wait_when_others_are_there(void **state)
{
    (void)state;
    open_members(2);
    see_all_up();
    udr_pick_t *pick = begin(0);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    int first = pick->index;
    assert_true(is_refused(pick));
    assert_gets(pick, 1 - first);
    assert_false(pick->has_held);
    is_served(pick);
}

static void does_not_wait_for_who_never_worked(void **state)
{
    (void)state;
    open_members(1);
    assert_gets(begin(0), 0);
    assert_false(is_refused(&picks[0]));
    udr_pick_leave(&picks[0]);
    assert_gets(begin(0), 0); /* forcerecovery: rather than nobody */
    assert_false(is_refused(&picks[0]));
    udr_pick_leave(&picks[0]);
}

/* Members that can be picked the moment they have failed: retry=0, and +I, which is never out. */
static void does_not_ask_again_at_once(void **state)
{
    static const char *const kinds[] = {"retry=0", "status=+I"};
    (void)state;
    (void)balancer_has("/run/a.sock", kinds[0]);
    (void)balancer_has("/run/b.sock", kinds[1]);
    balancer_open();
    see_all_up();
    udr_pick_t *pick = begin(0);
    int asked = 0;
    udr_picked_t picked;
    while ((picked = next(pick)) == UDR_PICKED_MEMBER && asked < 10) {
        asked++;
        assert_true(is_refused(pick));
    }
    assert_int_equal(picked, UDR_PICKED_LATER);
    assert_in_range(asked, 2, 3);
    assert_in_range(until, now + 1, now + MS(10));
    udr_pick_leave(pick);
}

/* Its failure was old news: it is back since, and asked again. */
static void asks_again_who_is_back_since(void **state)
{
    (void)state;
    open_members(1);
    see_all_up();
    assert_gets(begin(0), 0);
    assert_gets(begin(1), 0);
    now += MS(1);
    assert_true(is_refused(&picks[0]));
    report(&picks[1], UDR_OUTCOME_CONNECTED, 0);
    assert_int_equal(came_back, 0); /* it began before */
    now += MS(10);
    assert_gets(&picks[0], 0);
    report(&picks[0], UDR_OUTCOME_CONNECTED, 0);
    assert_int_equal(came_back, 1);
    assert_true(udr_pick_may_go_on(&picks[1], now, now));
    assert_int_equal(next(&picks[1]), UDR_PICKED_LATER);
    assert_int_equal(until, now + MS(10));
    now = until;
    assert_gets(&picks[1], 0);
    udr_pick_leave(&picks[0]);
    udr_pick_leave(&picks[1]);
}

static void gives_up_after_hold(void **state)
{
    (void)state;
    balancer_says("hold=1 forcerecovery=Off");
    (void)balancer_has("/run/a.sock", "retry=10");
    balancer_open();
    see_all_up();
    put_out(0, ENOENT);
    apr_time_t gone_at = now;
    assert_gets(begin(0), 0);
    assert_true(is_refused(&picks[0]));
    now = gone_at + SEC(1) - MS(5);
    assert_gets(&picks[0], 0);
    report(&picks[0], UDR_OUTCOME_CONNECT_FAILED, ENOENT);
    assert_true(udr_pick_may_go_on(&picks[0], gone_at, now));
    assert_int_equal(next(&picks[0]), UDR_PICKED_LATER);
    assert_int_equal(until, gone_at + SEC(1)); /* rather than 10 ms */
    /* `hold` has passed, its pause not; without forcerecovery nobody is left. */
    now = gone_at + SEC(1) + MS(5);
    assert_int_equal(next(&picks[0]), UDR_PICKED_NOBODY);
    assert_int_equal(next(begin(1)), UDR_PICKED_NOBODY);
}

static void recovers_by_force_after_hold(void **state)
{
    (void)state;
    balancer_says("hold=1 retry=10");
    open_members(2);
    see_all_up();
    put_out(0, ENOENT);
    put_out(1, ENOENT);
    now += SEC(1);
    int first = serve_one(0);
    assert_int_equal(came_back, 1);
    assert_int_equal(serve_one(1), first); /* it alone is back */
}

/* A member that fails every time it is asked is not asked for ever. */
static void one_request_does_not_wait_again_and_again(void **state)
{
    (void)state;
    balancer_says("hold=1 maxattempts=0");
    open_members(1);
    see_all_up();
    apr_time_t failed_at = now;
    assert_gets(begin(0), 0);
    while (now - failed_at < SEC(5)) {
        report(&picks[0], UDR_OUTCOME_SERVED, 0); /* it is there, for a moment */
        report(&picks[0], UDR_OUTCOME_UNANSWERED, 0);
        if (!udr_pick_may_go_on(&picks[0], failed_at, now)) {
            break;
        }
        do {
            now += MS(10);
        } while (next(&picks[0]) == UDR_PICKED_LATER);
    }
    udr_pick_leave(&picks[0]);
    assert_in_range(now - failed_at, SEC(1), SEC(1) + MS(20));
}

/* How often it has looked for a member that had gone does not count: it is one member that was tried. */
static void looking_again_is_no_attempt(void **state)
{
    (void)state;
    balancer_says("maxattempts=1");
    open_members(2);
    see_all_up();
    balancer_flags(1, UDR_SLOT_DISABLED);
    apr_time_t failed_at = now;
    udr_pick_t *pick = begin(0);
    for (int i = 0; i < 5; i++) {
        now += i > 1 ? MS(10) : 0; /* the first probe comes at once */
        assert_gets(pick, 0);
        report(pick, UDR_OUTCOME_CONNECT_FAILED, ENOENT);
        assert_true(udr_pick_may_go_on(pick, failed_at, now));
        assert_int_equal(pick->tried, 1);
    }
    balancer_flags(1, 0);
    now += MS(10);
    assert_gets(pick, 1);
    assert_int_equal(pick->tried, 1); /* the other one may be asked again */
    report(pick, UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
    assert_true(udr_pick_may_go_on(pick, 0, now));
    udr_pick_leave(pick);
}

/* It had gone, is back, and now fails otherwise: that is final for this request. */
static void waits_only_for_who_has_gone(void **state)
{
    (void)state;
    open_members(2);
    see_all_up();
    balancer_flags(1, UDR_SLOT_DISABLED);
    udr_pick_t *pick = begin(0);
    assert_gets(pick, 0);
    assert_true(is_refused(pick));
    assert_gets(pick, 0);
    report(pick, UDR_OUTCOME_CONNECTED, 0);
    report(pick, UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
    assert_true(udr_pick_may_go_on(pick, 0, now));
    now += MS(10);
    assert_int_equal(next(pick), UDR_PICKED_NOBODY);
}

/* --- the balancer's own timeout --- */

static void waits_for_anybody_for_as_long_as_timeout(void **state)
{
    (void)state;
    balancer_says("timeout=1");
    open_members(1);
    balancer_flags(0, UDR_SLOT_DISABLED);
    apr_time_t begun = now;
    (void)begin(0);
    (void)begin(1);
    while (now - begun < SEC(1)) {
        assert_int_equal(next(&picks[0]), UDR_PICKED_LATER);
        assert_int_equal(until, now + MS(10));
        now = until;
    }
    assert_int_equal(next(&picks[0]), UDR_PICKED_NOBODY);
    assert_int_equal(next(&picks[1]), UDR_PICKED_LATER);
    balancer_flags(0, 0);
    assert_gets(&picks[1], 0);
    udr_pick_leave(&picks[1]);
}

static void tries_them_again_within_timeout(void **state)
{
    (void)state;
    balancer_says("timeout=1 maxattempts=5");
    open_members(2);
    udr_pick_t *pick = begin(0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(next(pick), UDR_PICKED_MEMBER);
        report(pick, UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
        assert_true(udr_pick_may_go_on(pick, 0, now));
    }
    assert_int_equal(next(pick), UDR_PICKED_LATER);
    now = until;
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    udr_pick_leave(pick);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pick_set_up, balancer_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(waits_for_its_turn_under_maxconn),
        TEST(wakes_whoever_has_taken_over),
        TEST(leaves_out_the_full_while_others_have_room),
        TEST(is_full_when_no_more_can_wait),
        TEST(waits_for_who_has_just_gone),
        TEST(wakes_those_that_wait_when_a_file_appears),
        TEST(each_child_looks_for_itself),
        TEST(all_get_it_when_it_is_back),
        TEST(looks_for_each_that_has_gone),
        TEST(does_not_wait_when_others_are_there),
        TEST(does_not_wait_for_who_never_worked),
        TEST(does_not_ask_again_at_once),
        TEST(asks_again_who_is_back_since),
        TEST(gives_up_after_hold),
        TEST(recovers_by_force_after_hold),
        TEST(one_request_does_not_wait_again_and_again),
        TEST(looking_again_is_no_attempt),
        TEST(waits_only_for_who_has_gone),
        TEST(waits_for_anybody_for_as_long_as_timeout),
        TEST(tries_them_again_within_timeout),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_picker_waits", tests, NULL, NULL);
}
