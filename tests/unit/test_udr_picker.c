/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_balancer.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <string.h>

#define MS(n)  apr_time_from_msec(n)
#define SEC(n) apr_time_from_sec(n)

static udr_pick_t picks[32];
static apr_time_t begun_at[32]; /* their present attempts */
static apr_time_t now;
static apr_time_t until;
static int wakes;

static int set_up(void **state)
{
    now = SEC(4000000);
    until = 0;
    wakes = 0;
    memset(picks, 0, sizeof picks);
    return balancer_set_up(state);
}

static void count_wake(udr_queue_waiter_t *waiter)
{
    (void)waiter;
    wakes++;
}

/* --- one request's way --- */

static udr_pick_t *begin_in(int child, int request, const char *route)
{
    udr_occasion_t occasion = {.route = route, .route_len = route ? strlen(route) : 0};
    udr_pick_begin(&picks[request], children[child].picker, &occasion, count_wake, NULL, pool);
    return &picks[request];
}

static udr_pick_t *begin(int request)
{
    return begin_in(0, request, NULL);
}

static udr_picked_t next(udr_pick_t *pick)
{
    begun_at[pick - picks] = now;
    return udr_pick_next(pick, now, &until);
}

static void check_gets(udr_pick_t *pick, int member, const char *file, int line)
{
    _assert_int_equal(next(pick), UDR_PICKED_MEMBER, file, line);
    _assert_int_equal((unsigned int)pick->index, (unsigned int)member, file, line);
}

#define assert_gets(pick, member) check_gets(pick, member, __FILE__, __LINE__)

static void report(udr_pick_t *pick, udr_outcome_t outcome, int detail)
{
    const udr_report_t made = {.outcome = outcome, .detail = detail, .begun = begun_at[pick - picks]};
    udr_pick_report(pick, &made, now);
}

/* The present member can't be connected to. Returns whether it may go on. */
static bool is_refused(udr_pick_t *pick)
{
    report(pick, UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED);
    return udr_pick_may_go_on(pick, now, now);
}

static void is_served(udr_pick_t *pick)
{
    report(pick, UDR_OUTCOME_CONNECTED, 0);
    report(pick, UDR_OUTCOME_SERVED, 0);
    udr_pick_leave(pick);
}

/* A whole request: the member that served it. */
static int serve_one(int child)
{
    udr_pick_t *pick = begin_in(child, 31, NULL);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    is_served(pick);
    return pick->index;
}

/* Each member has worked once. */
static void see_all_up(void)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        atomic_store(&slot_of(i)->seen_up, 1);
    }
}

/* Puts a member out as somebody else's request does. */
static void put_out(int member, int error)
{
    const udr_report_t made = {.outcome = UDR_OUTCOME_CONNECT_FAILED, .detail = error, .begun = now};
    const udr_settings_t *settings = &APR_ARRAY_IDX(balancer->members, member, udr_member_t *)->settings;
    (void)udr_verdict_report(slot_of(member), &made, settings->retry, now);
    udr_shared_bump_epoch(shared);
}

static void open_members(int count)
{
    for (int i = 0; i < count; i++) {
        (void)balancer_has(apr_psprintf(pool, "/run/%d.sock", i), "");
    }
    balancer_open();
}

static void open_three(const char *a, const char *b, const char *c)
{
    (void)balancer_has("/run/a.sock", a);
    (void)balancer_has("/run/b.sock", b);
    (void)balancer_has("/run/c.sock", c);
    balancer_open();
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, balancer_tear_down)

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
    return cmocka_run_group_tests_name("udr_picker", tests, NULL, NULL);
}
