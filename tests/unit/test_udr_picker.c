/* SPDX-License-Identifier: Apache-2.0 */
/* Who takes a request, and who takes it after a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_pick.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <string.h>

/* --- methods and weights --- */

static void goes_by_weight_in_turn_over_all_children(void **state)
{
    int counts[3] = {0};
    (void)state;
    open_three("loadfactor=5", "", "");
    for (int i = 0; i < 70; i++) {
        counts[serve_one(i % CHILDREN)]++;
    }
    assert_int_equal(counts[0], 50);
    assert_int_equal(counts[1], 10);
    assert_int_equal(counts[2], 10);
    assert_int_equal(atomic_load(&hot_of(0)->elected), 50);
}

static void goes_to_the_least_busy_over_all_children(void **state)
{
    (void)state;
    balancer_says("lbmethod=bybusyness");
    open_three("", "", "");
    bool seen[3] = {false};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(next(begin_in(i % CHILDREN, i, NULL)), UDR_PICKED_MEMBER);
        assert_false(seen[picks[i].index]);
        seen[picks[i].index] = true;
    }
    udr_pick_leave(&picks[1]);
    assert_gets(begin(3), picks[1].index);
    udr_pick_leave(&picks[0]);
    udr_pick_leave(&picks[2]);
    udr_pick_leave(&picks[3]);
}

static void hashes_the_same_key_to_the_same_member(void **state)
{
    (void)state;
    balancer_says("lbmethod=hash:header:X-Tenant");
    open_members(5);
    assert_int_equal(udr_picker_key(children[0].picker)->kind, UDR_KEY_HEADER);
    assert_string_equal(udr_picker_key(children[0].picker)->name, "X-Tenant");
    int seen[5] = {0};
    for (int i = 0; i < 200; i++) {
        const char *key = apr_psprintf(pool, "tenant-%d", i % 20);
        udr_occasion_t occasion = {.key = key, .key_len = strlen(key)};
        int first = -1;
        for (int child = 0; child < CHILDREN; child++) {
            udr_pick_begin(&picks[0], children[child].picker, &occasion, NULL, NULL, pool);
            assert_int_equal(next(&picks[0]), UDR_PICKED_MEMBER);
            assert_true(child == 0 || picks[0].index == first);
            first = picks[0].index;
            is_served(&picks[0]);
        }
        seen[first]++;
    }
    for (int i = 0; i < 5; i++) {
        assert_true(seen[i] < 200);
    }
}

static void counts_what_is_in_flight(void **state)
{
    (void)state;
    open_members(1);
    assert_gets(begin_in(0, 0, NULL), 0);
    assert_gets(begin_in(1, 1, NULL), 0);
    assert_line(0, 2, 0);
    udr_pick_leave(&picks[0]);
    udr_pick_leave(&picks[0]);
    assert_line(0, 1, 0);
    udr_pick_leave(&picks[1]);
    assert_line(0, 0, 0);
}

static void knows_more_members_than_a_word_has_bits(void **state)
{
    (void)state;
    balancer_says("hold=0 maxattempts=129");
    open_members(MEMBERS_MAX);
    udr_pick_t *pick = begin(0);
    bool seen[MEMBERS_MAX] = {false};
    for (int i = 0; i < MEMBERS_MAX; i++) {
        assert_int_equal(next(pick), UDR_PICKED_MEMBER);
        assert_false(seen[pick->index]);
        seen[pick->index] = true;
        assert_int_equal(is_refused(pick), i < MEMBERS_MAX - 1);
    }
    udr_pick_leave(pick);
}

/* --- failures --- */

static void tries_others_within_maxattempts(void **state)
{
    (void)state;
    balancer_says("maxattempts=1 hold=0");
    open_members(3);
    udr_pick_t *pick = begin(0);
    assert_gets(pick, 0);
    assert_true(is_refused(pick));
    assert_int_equal(went_out, 1);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_int_not_equal(pick->index, 0);
    assert_line(0, 0, 0);
    assert_line(pick->index, 1, 0);
    assert_false(is_refused(pick));
    udr_pick_leave(pick);
    assert_int_equal(pick->tried, 2);
}

/* Nobody says that it failed (a full backlog): it is not out, but not asked again by this request. */
static void does_not_ask_the_same_member_twice(void **state)
{
    (void)state;
    balancer_says("lbmethod=bybusyness");
    open_members(2);
    udr_pick_t *pick = begin(0);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    int first = pick->index;
    report(pick, UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
    assert_true(udr_pick_may_go_on(pick, 0, now));
    assert_gets(pick, 1 - first);
    report(pick, UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
    assert_false(udr_pick_may_go_on(pick, 0, now));
    assert_int_equal(next(pick), UDR_PICKED_NOBODY);
    assert_line(0, 0, 0);
    assert_line(1, 0, 0);
}

static void others_leave_out_who_failed(void **state)
{
    (void)state;
    open_members(2);
    put_out(0, ECONNREFUSED);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(serve_one(i % CHILDREN), 1);
    }
    now += SEC(1) + 1;
    int counts[2] = {0};
    for (int i = 0; i < 6; i++) {
        counts[serve_one(i % CHILDREN)]++;
    }
    assert_int_equal(counts[0], 3);
    assert_int_equal(came_back, 1);
}

/* Each child hears of what the other one has found out. */
static void all_children_leave_out_who_failed(void **state)
{
    (void)state;
    open_members(2);
    for (int i = 0; i < 4; i++) {
        (void)serve_one(i % CHILDREN);
    }
    udr_pick_t *pick = begin_in(0, 0, NULL);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    (void)is_refused(pick);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(serve_one(1), 1 - pick->index);
    }
    udr_pick_leave(pick);
}

static void spare_stands_in_after_a_failure(void **state)
{
    (void)state;
    open_three("", "", "status=+R");
    for (int i = 0; i < 4; i++) {
        assert_int_not_equal(serve_one(0), 2);
    }
    put_out(0, ENOENT);
    bool has_served = false;
    for (int i = 0; i < 4; i++) {
        int served = serve_one(i % CHILDREN);
        assert_int_not_equal(served, 0);
        has_served |= served == 2;
    }
    assert_true(has_served);
}

static void standby_and_the_next_set_come_last(void **state)
{
    (void)state;
    balancer_says("hold=0");
    open_three("", "status=+H", "lbset=1");
    assert_int_equal(serve_one(0), 0);
    put_out(0, ENOENT);
    assert_int_equal(serve_one(0), 1);
    put_out(1, ENOENT);
    assert_int_equal(serve_one(1), 2);
}

/* The failed request itself is not to wait for the verdict. */
static void a_request_goes_on_to_standby_and_next_set(void **state)
{
    (void)state;
    open_three("", "status=+H", "lbset=1");
    udr_pick_t *pick = begin(0);
    for (int i = 0; i < 3; i++) {
        assert_gets(pick, i);
        report(pick, UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
        assert_int_equal(udr_pick_may_go_on(pick, 0, now), i < 2);
    }
    udr_pick_leave(pick);
    assert_gets(begin(1), 0); /* the others have their own roster again */
    udr_pick_leave(&picks[1]);
}

/* Another set stands behind these. */
static void open_four(const char *a, const char *b, const char *c)
{
    (void)balancer_has("/run/a.sock", a);
    (void)balancer_has("/run/b.sock", b);
    (void)balancer_has("/run/c.sock", c);
    (void)balancer_has("/run/d.sock", "lbset=1");
    balancer_open();
}

/* A full backlog at all three: none is out, and one of another set serves it. Returns whom it asked first. */
static int go_on_to_the_next_set(void)
{
    udr_pick_t *pick = begin(0);
    int first = -1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(next(pick), UDR_PICKED_MEMBER);
        first = i == 0 ? pick->index : first;
        report(pick, UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
        assert_true(udr_pick_may_go_on(pick, 0, now));
    }
    assert_gets(pick, 3);
    is_served(pick);
    return first;
}

static void requests_that_go_on_leave_others_their_turns(void **state)
{
    int counts[4] = {0};
    (void)state;
    open_four("loadfactor=1", "loadfactor=2", "loadfactor=5");
    for (int i = 0; i < 160; i++) {
        counts[go_on_to_the_next_set()]++;
        for (int k = 0; k < 4; k++) {
            counts[serve_one(k % CHILDREN)]++;
        }
    }
    assert_int_equal(counts[0], 100);
    assert_int_equal(counts[1], 200);
    assert_int_equal(counts[2], 500);
    assert_int_equal(counts[3], 0);
}

static void requests_that_go_on_leave_levels_of_traffic(void **state)
{
    (void)state;
    balancer_says("lbmethod=bytraffic");
    open_four("", "", "");
    (void)serve_one(0); /* its child knows them all */
    for (int i = 0; i < 3; i++) {
        atomic_fetch_add(&hot_of(i)->traffic, 1000u * (unsigned int)(i + 1));
    }
    (void)go_on_to_the_next_set();
    (void)serve_one(0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(atomic_load(&hot_of(i)->traffic_base), 0);
    }
}

static void others_are_asked_by_what_they_have_to_do(void **state)
{
    (void)state;
    (void)balancer_has("/run/a.sock", "");
    (void)balancer_has("/run/b.sock", "lbset=1");
    (void)balancer_has("/run/c.sock", "lbset=1 loadfactor=2");
    balancer_open();
    static const int expected[] = {2, 1, 2, 2, 1, 2};
    for (int i = 0; i < 6; i++) {
        assert_gets(begin(i), 0);
        report(&picks[i], UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
        assert_true(udr_pick_may_go_on(&picks[i], 0, now));
        assert_gets(&picks[i], expected[i]);
    }
    for (int i = 0; i < 6; i++) {
        udr_pick_leave(&picks[i]);
    }
}

static void obeys_the_operator(void **state)
{
    (void)state;
    open_members(2);
    balancer_flags(1, UDR_SLOT_DISABLED);
    assert_int_equal(serve_one(0), 0);
    assert_int_equal(serve_one(1), 0);
    balancer_flags(0, UDR_SLOT_STOPPED);
    assert_int_equal(next(begin(0)), UDR_PICKED_NOBODY);
    balancer_flags(1, UDR_SLOT_DRAINS);
    assert_int_equal(next(begin(0)), UDR_PICKED_NOBODY);
}

static void counts_what_came_of_it(void **state)
{
    (void)state;
    open_members(1);
    assert_gets(begin(0), 0);
    const udr_account_t account = {.status = 204, .sent = 100, .received = 23, .begun = now};
    udr_pick_account(&picks[0], &account, now + MS(7));
    udr_pick_leave(&picks[0]);
    assert_int_equal(atomic_load(&hot_of(0)->traffic), 123);
    assert_int_equal(atomic_load(&slot_of(0)->bytes_out), 100);
    assert_int_equal(atomic_load(&slot_of(0)->bytes_in), 23);
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[2]), 1);
    assert_in_range(atomic_load(&hot_of(0)->latency), MS(6), MS(8));
}

static void learns_latency_from_what_says_so_only(void **state)
{
    (void)state;
    open_members(1);
    assert_gets(begin(0), 0);
    udr_pick_account(&picks[0], &(udr_account_t){.status = 0}, now + 10);
    assert_int_equal(atomic_load(&hot_of(0)->latency), 0);
    udr_pick_account(&picks[0], &(udr_account_t){.status = 101, .sent = 100, .received = 100}, now + SEC(3600));
    assert_int_equal(atomic_load(&hot_of(0)->latency), 0);
    udr_pick_leave(&picks[0]);
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[0]), 1);
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[1]), 1);
}

static void does_not_take_quick_errors_for_a_quick_member(void **state)
{
    (void)state;
    open_members(1);
    assert_gets(begin(0), 0);
    udr_pick_account(&picks[0], &(udr_account_t){.status = 200, .begun = now}, now + MS(40));
    for (int i = 0; i < 20; i++) {
        now += SEC(9);
        udr_pick_account(&picks[0], &(udr_account_t){.status = 503, .begun = now}, now + 100);
        assert_in_range(atomic_load(&hot_of(0)->latency), MS(39), MS(41));
    }
    udr_pick_account(&picks[0], &(udr_account_t){.status = 500, .begun = now}, now + MS(840));
    assert_in_range(atomic_load(&hot_of(0)->latency), MS(139), MS(141));
    udr_pick_account(&picks[0], &(udr_account_t){.status = 404, .begun = now}, now + 100);
    assert_in_range(atomic_load(&hot_of(0)->latency), MS(121), MS(124));
    udr_pick_leave(&picks[0]);
}

static void knows_the_statuses_that_are_failures(void **state)
{
    (void)state;
    balancer_says("failonstatus=500,503");
    open_members(1);
    assert_true(udr_picker_fails_on(children[0].picker, 500));
    assert_true(udr_picker_fails_on(children[0].picker, 503));
    assert_false(udr_picker_fails_on(children[0].picker, 502));
    assert_false(udr_picker_fails_on(children[0].picker, 0));
}

/* --- sessions --- */

static void sessions_stay_with_their_member(void **state)
{
    (void)state;
    open_three("route=a", "route=b", "route=c");
    for (int i = 0; i < 6; i++) {
        assert_gets(begin_in(i % CHILDREN, 0, "b"), 1);
        is_served(&picks[0]);
    }
    balancer_flags(1, UDR_SLOT_DRAINS);
    assert_gets(begin_in(0, 0, "b"), 1);
    is_served(&picks[0]);
    assert_int_equal(next(begin_in(0, 0, "nowhere")), UDR_PICKED_MEMBER);
    is_served(&picks[0]);
}

static void sessions_move_when_their_member_fails(void **state)
{
    (void)state;
    open_three("route=a redirect=c", "route=b", "route=c");
    see_all_up();
    udr_pick_t *pick = begin_in(0, 0, "b");
    assert_gets(pick, 1);
    assert_true(is_refused(pick));
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_int_not_equal(pick->index, 1);
    is_served(pick);
    put_out(0, ENOENT);
    assert_gets(begin_in(1, 0, "a"), 2);
    is_served(&picks[0]);
}

static void nofailover_binds_sessions(void **state)
{
    (void)state;
    balancer_says("nofailover=On hold=0 maxattempts=5");
    open_three("route=a", "route=b", "");
    udr_pick_t *pick = begin_in(0, 0, "a");
    assert_gets(pick, 0);
    assert_false(is_refused(pick));
    udr_pick_leave(pick);
    assert_int_equal(next(begin_in(0, 0, "a")), UDR_PICKED_NOBODY);
    /* Not a session of any member. */
    assert_int_equal(next(begin_in(0, 0, "other")), UDR_PICKED_MEMBER);
    assert_true(is_refused(&picks[0]));
    assert_int_equal(next(&picks[0]), UDR_PICKED_MEMBER);
    is_served(&picks[0]);
    assert_int_equal(next(begin(0)), UDR_PICKED_MEMBER);
    assert_true(is_refused(&picks[0]));
    udr_pick_leave(&picks[0]);
}

/* forcerecovery goes for them, too. */
static void sessions_stay_when_all_are_out(void **state)
{
    (void)state;
    balancer_says("hold=0");
    open_three("route=a", "route=b", "route=c");
    for (int i = 0; i < 3; i++) {
        put_out(i, ENOENT);
    }
    for (int i = 0; i < 4; i++) {
        assert_gets(begin_in(i % CHILDREN, 0, "b"), 1);
        udr_pick_leave(&picks[0]);
    }
}

/* Another member that has just gone, too, is none of this session's business. */
static void nofailover_waits_for_its_own_member_only(void **state)
{
    (void)state;
    balancer_says("nofailover=On hold=2");
    open_three("route=a", "route=b", "");
    see_all_up();
    put_out(0, ENOENT);
    now += MS(100);
    put_out(1, ENOENT);
    assert_gets(begin_in(0, 0, "b"), 1);
    assert_true(is_refused(&picks[0]));
    assert_int_equal(next(&picks[0]), UDR_PICKED_LATER);
    assert_int_equal(next(begin(1)), UDR_PICKED_MEMBER);
    assert_int_equal(picks[1].index, 2);
    is_served(&picks[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pick_set_up, balancer_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(goes_by_weight_in_turn_over_all_children),
        TEST(goes_to_the_least_busy_over_all_children),
        TEST(hashes_the_same_key_to_the_same_member),
        TEST(counts_what_is_in_flight),
        TEST(knows_more_members_than_a_word_has_bits),
        TEST(tries_others_within_maxattempts),
        TEST(does_not_ask_the_same_member_twice),
        TEST(others_leave_out_who_failed),
        TEST(all_children_leave_out_who_failed),
        TEST(spare_stands_in_after_a_failure),
        TEST(standby_and_the_next_set_come_last),
        TEST(a_request_goes_on_to_standby_and_next_set),
        TEST(requests_that_go_on_leave_others_their_turns),
        TEST(requests_that_go_on_leave_levels_of_traffic),
        TEST(others_are_asked_by_what_they_have_to_do),
        TEST(obeys_the_operator),
        TEST(counts_what_came_of_it),
        TEST(learns_latency_from_what_says_so_only),
        TEST(does_not_take_quick_errors_for_a_quick_member),
        TEST(knows_the_statuses_that_are_failures),
        TEST(sessions_stay_with_their_member),
        TEST(sessions_move_when_their_member_fails),
        TEST(nofailover_binds_sessions),
        TEST(sessions_stay_when_all_are_out),
        TEST(nofailover_waits_for_its_own_member_only),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_picker", tests, NULL, NULL);
}
