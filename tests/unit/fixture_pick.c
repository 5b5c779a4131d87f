/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_pick.h"

#include <apr_strings.h>

#include <errno.h>
#include <string.h>

udr_pick_t picks[PICKS_MAX];
static apr_time_t begun_at[PICKS_MAX]; /* their present attempts */
apr_time_t now;
apr_time_t until;
int wakes;

int pick_set_up(void **state)
{
    now = SEC(4000000);
    until = 0;
    wakes = 0;
    memset(picks, 0, sizeof picks);
    return balancer_set_up(state);
}

void count_wake(udr_queue_waiter_t *waiter)
{
    (void)waiter;
    wakes++;
}

/* --- one request's way --- */

udr_pick_t *begin_in(int child, int request, const char *route)
{
    udr_occasion_t occasion = {.route = route, .route_len = route ? strlen(route) : 0};
    udr_pick_begin(&picks[request], children[child].picker, &occasion, count_wake, NULL, pool);
    return &picks[request];
}

udr_pick_t *begin(int request)
{
    return begin_in(0, request, NULL);
}

udr_picked_t next(udr_pick_t *pick)
{
    begun_at[pick - picks] = now;
    return udr_pick_next(pick, now, &until);
}

void check_gets(udr_pick_t *pick, int member, const char *file, int line)
{
    _assert_int_equal(next(pick), UDR_PICKED_MEMBER, file, line);
    _assert_int_equal((unsigned int)pick->index, (unsigned int)member, file, line);
}

void report(udr_pick_t *pick, udr_outcome_t outcome, int detail)
{
    const udr_report_t made = {.outcome = outcome, .detail = detail, .begun = begun_at[pick - picks]};
    udr_pick_report(pick, &made, now);
}

bool is_refused(udr_pick_t *pick)
{
    report(pick, UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED);
    return udr_pick_may_go_on(pick, now, now);
}

void is_served(udr_pick_t *pick)
{
    report(pick, UDR_OUTCOME_CONNECTED, 0);
    report(pick, UDR_OUTCOME_SERVED, 0);
    udr_pick_leave(pick);
}

int serve_one(int child)
{
    udr_pick_t *pick = begin_in(child, PICKS_MAX - 1, NULL);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    is_served(pick);
    return pick->index;
}

void see_all_up(void)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        atomic_store(&slot_of(i)->seen_up, 1);
    }
}

void put_out(int member, int error)
{
    const udr_report_t made = {.outcome = UDR_OUTCOME_CONNECT_FAILED, .detail = error, .begun = now};
    const udr_settings_t *settings = &APR_ARRAY_IDX(balancer->members, member, udr_member_t *)->settings;
    (void)udr_verdict_report(slot_of(member), &made, settings->retry, now);
    udr_shared_bump_epoch(shared);
}

void open_members(int count)
{
    for (int i = 0; i < count; i++) {
        (void)balancer_has(apr_psprintf(pool, "/run/%d.sock", i), "");
    }
    balancer_open();
}

void open_three(const char *a, const char *b, const char *c)
{
    (void)balancer_has("/run/a.sock", a);
    (void)balancer_has("/run/b.sock", b);
    (void)balancer_has("/run/c.sock", c);
    balancer_open();
}
