/* SPDX-License-Identifier: Apache-2.0 */
/* What checks make of a member, beside what its requests do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_verdict.h"

#include <apr_general.h>

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define NOW   apr_time_from_sec(1000)
#define RETRY apr_time_from_sec(1)
#define HOLD  apr_time_from_sec(2)

#define WENT_OUT  (UDR_CHANGE_PICK | UDR_CHANGE_WENT_OUT)
#define CAME_BACK (UDR_CHANGE_PICK | UDR_CHANGE_CAME_BACK)

static apr_time_t at(int ms)
{
    return NOW + apr_time_from_msec(ms);
}

/* A check that begins and ends then, and whose member needs so many. */
static unsigned int check_of(udr_slot_t *slot, udr_cause_t cause, int detail, int needed, apr_time_t now)
{
    const udr_finding_t finding = {.cause = cause, .detail = detail, .begun = now, .passes = needed, .fails = needed};
    return udr_verdict_check(slot, &finding, now);
}

static unsigned int passes(udr_slot_t *slot, apr_time_t now)
{
    return check_of(slot, UDR_CAUSE_NONE, 0, 1, now);
}

static unsigned int fails(udr_slot_t *slot, apr_time_t now)
{
    return check_of(slot, UDR_CAUSE_CHECK_STATUS, 500, 1, now);
}

static unsigned int request(udr_slot_t *slot, udr_outcome_t outcome, int detail, apr_time_t now)
{
    const udr_report_t report = {.outcome = outcome, .detail = detail, .begun = now};
    return udr_verdict_report(slot, &report, RETRY, now);
}

static udr_cause_t cause_of(const udr_slot_t *slot)
{
    return udr_verdict_cause(slot->cause);
}

/* --- checks alone --- */

static void is_out_without_an_end_until_checks_pass(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_int_equal(udr_verdict_out_until(&slot), 0);
    assert_int_equal(fails(&slot, at(0)), WENT_OUT);
    assert_true(udr_verdict_out_until(&slot) == UDR_VERDICT_NO_END);
    assert_int_equal(cause_of(&slot), UDR_CAUSE_CHECK_STATUS);
    assert_int_equal(fails(&slot, at(1000)), UDR_CHANGE_NONE);
    assert_int_equal(passes(&slot, at(2500)), CAME_BACK);
    assert_int_equal(udr_verdict_out_until(&slot), 0);
    assert_int_equal(slot.was_out_ms, 2500);
    assert_int_equal(slot.up_since, at(2500)); /* slow start */
    assert_int_equal(slot.gone_since, 0);
    assert_int_equal(passes(&slot, at(3000)), UDR_CHANGE_NONE);
}

static void needs_so_many_of_each(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_int_equal(check_of(&slot, UDR_CAUSE_CHECK_TIMEOUT, 0, 2, at(0)), UDR_CHANGE_NONE);
    assert_int_equal(udr_verdict_out_until(&slot), 0);
    assert_int_equal(cause_of(&slot), UDR_CAUSE_NONE);
    assert_int_equal(check_of(&slot, UDR_CAUSE_CHECK_TIMEOUT, 0, 2, at(100)), WENT_OUT);
    assert_int_equal(check_of(&slot, UDR_CAUSE_NONE, 0, 2, at(200)), UDR_CHANGE_NONE);
    assert_int_equal(check_of(&slot, UDR_CAUSE_NONE, 0, 2, at(300)), CAME_BACK);
}

static void keeps_what_the_status_tells(void **state)
{
    udr_slot_t slot = {.seen_up = 0};
    (void)state;
    const udr_finding_t finding = {
        .cause = UDR_CAUSE_CHECK_STATUS, .detail = 503, .begun = at(0), .passes = 1, .fails = 9};
    (void)udr_verdict_check(&slot, &finding, at(3));
    assert_int_equal(slot.checked_at, at(3));
    assert_int_equal(slot.check_took_us, 3000);
    assert_int_equal(slot.check_cause, udr_verdict_compose(UDR_CAUSE_CHECK_STATUS, 503));
    assert_int_equal(slot.checks_failed, 1);
    assert_int_equal(slot.checks_passed, 0);
    assert_int_equal(slot.seen_up, 0);
    (void)passes(&slot, at(10));
    assert_int_equal(slot.checked_at, at(10));
    assert_int_equal(slot.check_cause, 0);
    assert_int_equal(slot.checks_passed, 1);
    assert_int_equal(slot.seen_up, 1);
}

/* It is this server that lacks something. */
static void learns_nothing_from_a_check_that_could_not_be_made(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    udr_slot_t before;
    (void)state;
    (void)check_of(&slot, UDR_CAUSE_CHECK_TIMEOUT, 0, 2, at(0));
    before = slot;
    assert_int_equal(check_of(&slot, UDR_CAUSE_OURS, EMFILE, 2, at(10)), UDR_CHANGE_NONE);
    assert_memory_equal(&slot, &before, sizeof slot);
}

/* `hold` goes by what checks find, too. */
static void is_waited_for_when_it_has_gone(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_int_equal(check_of(&slot, UDR_CAUSE_STALE, ECONNREFUSED, 1, at(0)), WENT_OUT);
    assert_true(udr_verdict_is_just_gone(&slot, HOLD, at(1999)));
    assert_false(udr_verdict_is_just_gone(&slot, HOLD, at(2000)));
    udr_slot_t ill = {.seen_up = 1};
    (void)fails(&ill, at(0));
    assert_false(udr_verdict_is_just_gone(&ill, HOLD, at(0)));
}

/* Somebody listens again; that more good checks are asked for is nothing that ends by itself, as `hold` does. */
static void is_not_waited_for_once_its_socket_is_anew(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    (void)check_of(&slot, UDR_CAUSE_ABSENT, ENOENT, 1, at(0));
    assert_true(udr_verdict_is_just_gone(&slot, HOLD, at(500)));
    udr_verdict_begin_anew(&slot, at(500));
    (void)check_of(&slot, UDR_CAUSE_NONE, 0, 2, at(600));
    assert_true(udr_verdict_out_until(&slot) == UDR_VERDICT_NO_END);
    assert_false(udr_verdict_is_just_gone(&slot, HOLD, at(700)));
}

/* --- checks and requests --- */

static void brings_back_whom_requests_have_put_out(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    (void)passes(&slot, at(0));
    assert_int_equal(request(&slot, UDR_OUTCOME_STATUS, 503, at(10)), WENT_OUT);
    assert_int_equal(check_of(&slot, UDR_CAUSE_NONE, 0, 2, at(20)), UDR_CHANGE_NONE);
    assert_int_equal(udr_verdict_out_until(&slot), at(10) + RETRY);
    assert_int_equal(check_of(&slot, UDR_CAUSE_NONE, 0, 2, at(30)), CAME_BACK);
    assert_int_equal(udr_verdict_out_until(&slot), 0);
    assert_int_equal(slot.was_out_ms, 20);
}

/* What it was asked before is no answer to that. */
static void takes_no_check_that_began_before_the_request_failed(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    (void)request(&slot, UDR_OUTCOME_BROKEN_OFF, 0, at(10));
    const udr_finding_t old = {.begun = at(5), .passes = 1, .fails = 1};
    assert_int_equal(udr_verdict_check(&slot, &old, at(20)), UDR_CHANGE_NONE);
    assert_true(udr_verdict_out_until(&slot) != 0);
    assert_int_equal(passes(&slot, at(30)), CAME_BACK);
}

static void tells_once_that_it_is_out(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_int_equal(request(&slot, UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED, at(0)), WENT_OUT);
    assert_int_equal(fails(&slot, at(10)), UDR_CHANGE_PICK);
    assert_true(udr_verdict_out_until(&slot) == UDR_VERDICT_NO_END);
    assert_int_equal(passes(&slot, at(500)), CAME_BACK);
    assert_int_equal(slot.was_out_ms, 500);
    assert_int_equal(udr_verdict_out_until(&slot), 0);
}

/* All are out, and requests are sent nevertheless: what becomes of them does not count against the checks. */
static void stays_down_whatever_requests_find(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    (void)fails(&slot, at(0));
    assert_int_equal(request(&slot, UDR_OUTCOME_SERVED, 0, at(10)), UDR_CHANGE_NONE);
    assert_int_equal(request(&slot, UDR_OUTCOME_BROKEN_OFF, 0, at(20)), UDR_CHANGE_NONE);
    assert_true(udr_verdict_out_until(&slot) == UDR_VERDICT_NO_END);
    assert_int_equal(slot.out_until, 0);
    (void)request(&slot, UDR_OUTCOME_MARKED, 0, at(25));
    assert_int_equal(passes(&slot, at(30)), CAME_BACK);
}

static void stays_down_when_a_request_succeeds_after_its_pause(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    (void)request(&slot, UDR_OUTCOME_BROKEN_OFF, 0, at(0));
    (void)fails(&slot, at(10));
    assert_int_equal(request(&slot, UDR_OUTCOME_SERVED, 0, at(2000)), UDR_CHANGE_NONE);
    assert_true(udr_verdict_out_until(&slot) == UDR_VERDICT_NO_END);
    assert_int_equal(passes(&slot, at(3000)), CAME_BACK);
    assert_int_equal(slot.was_out_ms, 3000);
}

/* --- its agent --- */

static unsigned int says(udr_slot_t *slot, apr_uint32_t agent, apr_time_t now)
{
    const udr_finding_t finding = {.agent = agent, .begun = now, .passes = 1, .fails = 1};
    return udr_verdict_check(slot, &finding, now);
}

static void remembers_what_it_says_of_itself(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    const apr_uint32_t half = udr_slot_agent(UDR_AGENT_UP, 50);
    (void)state;
    assert_int_equal(says(&slot, half, at(0)), UDR_CHANGE_PICK);
    assert_int_equal(slot.agent, half);
    assert_int_equal(says(&slot, half, at(1)), UDR_CHANGE_NONE);
    (void)fails(&slot, at(2));
    assert_int_equal(slot.agent, half); /* it said nothing: it could not */
    assert_int_equal(says(&slot, 0, at(3)), CAME_BACK);
    assert_int_equal(slot.agent, 0);
}

static void is_down_as_soon_as_it_says_so(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_int_equal(check_of(&slot, UDR_CAUSE_CHECK_AGENT, 0, 9, at(0)), WENT_OUT);
    assert_int_equal(cause_of(&slot), UDR_CAUSE_CHECK_AGENT);
}

/* --- the end of checks, and files --- */

static void forgets_what_checks_have_found(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    (void)says(&slot, udr_slot_agent(UDR_AGENT_DRAIN, 100), at(0));
    (void)fails(&slot, at(10));
    assert_int_equal(udr_verdict_forget(&slot, at(20)), CAME_BACK);
    assert_int_equal(udr_verdict_out_until(&slot), 0);
    assert_int_equal(slot.agent, 0);
    assert_int_equal(udr_verdict_forget(&slot, at(30)), UDR_CHANGE_NONE);
    /* But not what requests have found. */
    (void)request(&slot, UDR_OUTCOME_STATUS, 500, at(40));
    (void)fails(&slot, at(50));
    assert_int_equal(udr_verdict_forget(&slot, at(60)), UDR_CHANGE_NONE);
    assert_int_equal(udr_verdict_out_until(&slot), at(40) + RETRY);
}

static void keeps_what_checks_have_found_while_it_is_stopped(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    (void)fails(&slot, at(0));
    udr_verdict_suspend(&slot);
    assert_true(udr_verdict_out_until(&slot) == UDR_VERDICT_NO_END);
}

static void is_out_when_its_file_has_gone(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_int_equal(udr_verdict_file_gone(&slot, RETRY, at(0)), WENT_OUT);
    assert_int_equal(udr_verdict_out_until(&slot), at(0) + RETRY);
    assert_int_equal(cause_of(&slot), UDR_CAUSE_ABSENT);
    assert_true(udr_verdict_is_just_gone(&slot, HOLD, at(100)));
    assert_int_equal(udr_verdict_file_gone(&slot, RETRY, at(10)), UDR_CHANGE_NONE);
    assert_int_equal(udr_verdict_file_appeared(&slot, at(300)), UDR_CHANGE_PICK);
}

/* --- words --- */

static void says_what_checks_have_found(void **state)
{
    static const struct {
        udr_cause_t cause;
        int detail;
        const char *words;
    } rows[] = {
        {UDR_CAUSE_CHECK_TIMEOUT, 0, "no answer to a check within hctimeout"},
        {UDR_CAUSE_CHECK_BACKLOG, 0, "its listen backlog was full for all of hctimeout"},
        {UDR_CAUSE_CHECK_STATUS, 500, "a check was answered with another status than 2xx and 3xx (500)"},
        {UDR_CAUSE_CHECK_ANSWER, 200, "the answer to a check is not what hcexpr asks for (200)"},
        {UDR_CAUSE_CHECK_PROTOCOL, 1, "it answers in another protocol than its scheme says (FastCGI)"},
        {UDR_CAUSE_CHECK_PROTOCOL, 4, "it answers in another protocol than its scheme says (HTTP)"},
        {UDR_CAUSE_CHECK_PROTOCOL, 99, "it answers in another protocol than its scheme says (another)"},
        {UDR_CAUSE_CHECK_AGENT, 0, "it says that it is down (X-UDSRoute-State)"},
    };
    apr_pool_t *pool;
    (void)state;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(udr_verdict_explain(udr_verdict_compose(rows[i].cause, rows[i].detail), pool),
                            rows[i].words);
    }
    apr_pool_destroy(pool);
    assert_int_equal(udr_verdict_protocol("FastCGI"), 1);
    assert_int_equal(udr_verdict_protocol("HTTP/2"), 3);
    assert_int_equal(udr_verdict_protocol("SMTP"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_out_without_an_end_until_checks_pass),
        cmocka_unit_test(needs_so_many_of_each),
        cmocka_unit_test(keeps_what_the_status_tells),
        cmocka_unit_test(learns_nothing_from_a_check_that_could_not_be_made),
        cmocka_unit_test(is_waited_for_when_it_has_gone),
        cmocka_unit_test(is_not_waited_for_once_its_socket_is_anew),
        cmocka_unit_test(brings_back_whom_requests_have_put_out),
        cmocka_unit_test(takes_no_check_that_began_before_the_request_failed),
        cmocka_unit_test(tells_once_that_it_is_out),
        cmocka_unit_test(stays_down_whatever_requests_find),
        cmocka_unit_test(stays_down_when_a_request_succeeds_after_its_pause),
        cmocka_unit_test(remembers_what_it_says_of_itself),
        cmocka_unit_test(is_down_as_soon_as_it_says_so),
        cmocka_unit_test(forgets_what_checks_have_found),
        cmocka_unit_test(keeps_what_checks_have_found_while_it_is_stopped),
        cmocka_unit_test(is_out_when_its_file_has_gone),
        cmocka_unit_test(says_what_checks_have_found),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
