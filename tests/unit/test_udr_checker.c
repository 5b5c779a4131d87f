/* SPDX-License-Identifier: Apache-2.0 */
/* All checks of a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_checker.h"
#include "tests/unit/fixture_settings.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define OFTEN "hcmethod=CONNECT hcinterval=100ms"
#define RARE  "hcmethod=CONNECT hcinterval=24h"

static int set_up(void **state)
{
    if (checker_set_up(state) != 0) {
        return -1;
    }
    place_listen(&place, 100);
    return 0;
}

/* A member on the place's socket: paths tell members apart. slot: of another one's, or -1. */
static udr_slot_t *add(const char *path, const char *parameters, int slot)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    const udr_target_t *target;
    udr_settings_t settings = settings_of(parameters, pool);
    assert_null(udr_target_parse(&target, apr_psprintf(pool, "unix:%s|http://x/%s", place.path, path), "/", pool));
    udr_settings_resolve(&settings, apr_time_from_sec(60), false);
    udr_member_t *member = udr_member_create(target, &settings, pool);
    udr_shared_identify(identity, "app", place.path, "http", path);
    if (slot < 0) {
        assert_int_equal(udr_shared_claim(shared, identity, &member->slot, NULL), APR_SUCCESS);
    } else {
        member->slot = (apr_uint32_t)slot;
    }
    APR_ARRAY_PUSH(balancer->members, udr_member_t *) = member;
    return udr_shared_slot(shared, member->slot);
}

static const udr_member_t *member_at(int index)
{
    return APR_ARRAY_IDX(balancer->members, index, const udr_member_t *);
}

static udr_hot_t *hot_at(int index)
{
    return udr_shared_hot(shared, member_at(index)->slot);
}

static apr_uint64_t checks_of(const udr_slot_t *slot)
{
    return atomic_load(&slot->checks_passed) + atomic_load(&slot->checks_failed);
}

static void run_until_checked(const udr_slot_t *slot, apr_uint64_t count)
{
    apr_time_t end = udr_clock_now() + apr_time_from_sec(20);
    while (checks_of(slot) < count) {
        assert_true(udr_clock_now() < end);
        run_for(5);
    }
}

static void run_until_told(int count)
{
    apr_time_t end = udr_clock_now() + apr_time_from_sec(20);
    while (news_count < count) {
        assert_true(udr_clock_now() < end);
        run_for(5);
    }
}

static udr_health_state_t state_of(const udr_slot_t *slot)
{
    return udr_health_state(atomic_load(&slot->health));
}

/* A request has found out. */
static void report(udr_slot_t *slot, udr_outcome_t outcome, int detail)
{
    const udr_report_t what = {.outcome = outcome, .detail = detail};
    (void)udr_verdict_report(slot, &what, apr_time_from_sec(3600), udr_clock_now());
}

/* --- when --- */

static void checks_each_in_its_turn(void **state)
{
    enum { MEMBERS = 20 };
    udr_slot_t *slots[MEMBERS];
    (void)state;
    for (int i = 0; i < MEMBERS; i++) {
        slots[i] = add(apr_itoa(pool, i), OFTEN, -1);
    }
    checker_start();
    run_until_checked(slots[MEMBERS - 1], 4);
    for (int i = 0; i < MEMBERS; i++) {
        assert_in_range(checks_of(slots[i]), 3, 6);
        assert_int_equal(state_of(slots[i]), UDR_HEALTH_UP);
        /* Spread, each a twentieth of the interval behind the one before. */
        assert_true(i == 0 || atomic_load(&slots[i]->checked_at) != atomic_load(&slots[i - 1]->checked_at));
    }
    assert_int_equal(news_count, 0);
}

static int compare_times(const void *a, const void *b)
{
    const apr_time_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

/* Where members are many: some at each time, and more at each rather than more times in a second. */
static void wakes_up_for_several_at_once(void **state)
{
    enum { MEMBERS = 60 };
    udr_slot_t *slots[MEMBERS];
    apr_time_t times[MEMBERS];
    int bundles = 1;
    (void)state;
    for (int i = 0; i < MEMBERS; i++) {
        slots[i] = add(apr_itoa(pool, i), "hcmethod=CONNECT hcinterval=1", -1);
    }
    checker_start();
    run_until_checked(slots[MEMBERS - 1], 1);
    for (int i = 0; i < MEMBERS; i++) {
        times[i] = atomic_load(&slots[i]->checked_at);
    }
    qsort(times, MEMBERS, sizeof *times, compare_times);
    for (int i = 1; i < MEMBERS; i++) {
        bundles += times[i] - times[i - 1] > apr_time_from_msec(10);
    }
    assert_in_range(bundles, 2, 35); /* 20, on a machine that is in time */
}

/* Somebody else has checked it a moment ago. */
static void goes_on_where_another_has_left_off(void **state)
{
    udr_slot_t *fresh = add("fresh", RARE, -1);
    udr_slot_t *new = add("new", RARE, -1);
    (void)state;
    atomic_store(&fresh->checked_at, udr_clock_now());
    checker_start();
    run_until_checked(new, 1);
    assert_int_equal(checks_of(fresh), 0);
}

static void does_not_check_who_is_not_to_be(void **state)
{
    udr_slot_t *none = add("none", "hcmethod=NONE", -1);
    udr_slot_t *other = add("other", OFTEN, -1);
    (void)state;
    checker_start();
    run_until_checked(other, 3);
    assert_int_equal(checks_of(none), 0);
    assert_int_equal(atomic_load(&none->health), 0);
}

static void checks_a_slot_once(void **state)
{
    udr_slot_t *slot = add("a", "hcmethod=NONE", -1);
    (void)state;
    (void)add("b", OFTEN, (int)member_at(0)->slot);
    (void)add("c", "hcmethod=CONNECT hcinterval=24h", (int)member_at(0)->slot);
    udr_slot_t *other = add("other", OFTEN, -1);
    checker_start();
    run_until_checked(other, 5);
    assert_in_range(checks_of(slot), 3, 8);
}

/* --- what comes of it --- */

static void tells_each_change_once(void **state)
{
    udr_slot_t *slot = add("a", OFTEN, -1);
    apr_uint64_t epoch = udr_shared_epoch(shared);
    (void)state;
    checker_start();
    run_until_checked(slot, 1);
    place_abandon(&place);
    run_until_told(1);
    assert_int_equal(news[0].change, UDR_CHANGE_PICK | UDR_CHANGE_WENT_OUT);
    assert_int_equal(news[0].finding.cause, UDR_CAUSE_STALE);
    assert_int_equal(news[0].finding.detail, ECONNREFUSED);
    assert_ptr_equal(news[0].member, member_at(0));
    assert_ptr_equal(news[0].balancer, balancer);
    assert_true(udr_shared_epoch(shared) > epoch);
    run_until_checked(slot, checks_of(slot) + 3);
    assert_int_equal(news_count, 1);
    unlink(place.path);
    place_listen(&place, 100);
    run_until_told(2);
    assert_int_equal(news[1].change, UDR_CHANGE_PICK | UDR_CHANGE_CAME_BACK);
    run_until_checked(slot, checks_of(slot) + 2);
    assert_int_equal(news_count, 2);
}

static void counts_as_the_member_says(void **state)
{
    udr_slot_t *slot = add("a", OFTEN " hcfails=3 hcpasses=2", -1);
    (void)state;
    place_abandon(&place);
    checker_start();
    run_until_told(1);
    assert_int_equal(atomic_load(&slot->checks_failed), 3);
    unlink(place.path);
    place_listen(&place, 100);
    run_until_told(2);
    assert_int_equal(atomic_load(&slot->checks_passed), 2);
}

static void leaves_alone_whom_the_operator_stops(void **state)
{
    udr_slot_t *slot = add("a", RARE, -1);
    (void)state;
    atomic_store(&hot_at(0)->flags, UDR_SLOT_STOPPED);
    checker_start();
    run_for(30);
    udr_checker_attend(checker, udr_clock_now());
    assert_int_equal(checks_of(slot), 0);
    atomic_store(&hot_at(0)->flags, UDR_SLOT_DISABLED);
    udr_checker_attend(checker, udr_clock_now());
    udr_checker_look(checker, member_at(0));
    run_for(30);
    assert_int_equal(checks_of(slot), 0);
    /* Enabled: checked now, not in a day. */
    atomic_store(&hot_at(0)->flags, 0);
    udr_checker_attend(checker, udr_clock_now());
    run_until_checked(slot, 1);
}

/* It was stopped, and another one has begun to make the checks. */
static void says_nothing_where_another_leads(void **state)
{
    udr_slot_t *slot = add("a", OFTEN, -1);
    apr_time_t end = udr_clock_now() + apr_time_from_sec(20);
    (void)state;
    another_leads = true;
    checker_start();
    while (!place_is_wanted(&place)) {
        assert_true(udr_clock_now() < end);
        run_loop_for(5);
    }
    run_for(5);
    assert_int_equal(checks_of(slot), 0);
    another_leads = false;
    run_until_checked(slot, 1);
}

static void forgets_what_nobody_asks_for_any_more(void **state)
{
    udr_slot_t *slot = add("a", "hcmethod=NONE", -1);
    apr_uint64_t epoch = udr_shared_epoch(shared);
    (void)state;
    (void)udr_health_failed(&slot->health, 1);
    checker_start();
    assert_int_equal(atomic_load(&slot->health), 0);
    assert_int_equal(udr_verdict_out_until(slot), 0);
    assert_true(udr_shared_epoch(shared) > epoch);
}

/* --- members that hang --- */

/* How often this process has called read(2) and its kin; proc_pid_io(5). Sockets' bytes are received by others here. */
static long reads_so_far(void)
{
    char line[64];
    long reads = -1;
    FILE *file = fopen("/proc/self/io", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        (void)sscanf(line, "syscr: %ld", &reads); /* NOLINT(cert-err34-c): the kernel has written it */
    }
    assert_int_equal(fclose(file), 0);
    assert_true(reads >= 0);
    return reads;
}

/* The process that hangs is this one. */
static void says_once_who_hangs(void **state)
{
    char name[16];
    (void)state;
    assert_int_equal(prctl(PR_GET_NAME, name), 0);
    assert_int_equal(prctl(PR_SET_NAME, "php-fpm-of-test"), 0);
    udr_slot_t *slot = add("a", "hcmethod=GET hcinterval=100ms hctimeout=5ms", -1);
    checker_start();
    while (news_count == 0) {
        run_loop_for(10);
    }
    assert_int_equal(news[0].finding.cause, UDR_CAUSE_CHECK_TIMEOUT);
    assert_non_null(news[0].why);
    assert_non_null(strstr(news[0].why, "is php-fpm-of-test, which speaks FastCGI"));
    /* Later on nobody is told, and the system isn't asked. */
    apr_uint64_t before = checks_of(slot);
    int runs = 0;
    long reads = reads_so_far();
    do {
        run_loop_for(1500);
        runs++;
    } while (checks_of(slot) < before + 5 && runs < 10);
    reads = reads_so_far() - reads;
    assert_true(checks_of(slot) >= before + 5);
    assert_in_range(reads, 0, 4 * runs); /* of the loop's, and of the file above */
    assert_int_equal(news_count, 1);
    assert_int_equal(prctl(PR_SET_NAME, name), 0);
}

/* How late the last check has ended, as its timeout is as long as its interval. */
static apr_interval_time_t lateness(const udr_slot_t *slot, apr_time_t begin, apr_interval_time_t interval)
{
    return (atomic_load(&slot->checked_at) - begin) % interval;
}

/* What the machine is late once it makes good: most of it with the next check already. */
static void ends_a_check_in_time_for_the_next(void **state)
{
    const apr_interval_time_t interval = apr_time_from_msec(200);
    udr_slot_t *slot = add("a", "hcmethod=GET hcinterval=200ms hctimeout=200ms", -1);
    apr_time_t end = udr_clock_now() + apr_time_from_sec(20);
    (void)state;
    apr_time_t begin = udr_clock_now();
    checker_start();
    usleep(20000);
    /* It ends later than it is due, but by less than it began late. */
    do {
        assert_true(udr_clock_now() < end);
        run_loop_for(5);
    } while (checks_of(slot) == 0 || lateness(slot, begin, interval) > apr_time_from_msec(4));
}

/* --- requests that fail --- */

static void looks_at_once_at_whom_a_request_could_not_reach(void **state)
{
    udr_slot_t *slot = add("a", RARE, -1);
    (void)state;
    checker_start();
    run_until_checked(slot, 1);
    udr_checker_attend(checker, udr_clock_now());
    report(slot, UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED);
    udr_checker_attend(checker, udr_clock_now());
    run_until_told(1);
    assert_int_equal(news[0].change, UDR_CHANGE_PICK | UDR_CHANGE_CAME_BACK);
    assert_int_equal(atomic_load(&slot->out_until), 0);
}

/* Once, and that nobody listens is no failed check. */
static void does_not_hold_it_against_a_member_that_it_has_gone(void **state)
{
    udr_slot_t *slot = add("a", RARE, -1);
    (void)state;
    checker_start();
    run_until_checked(slot, 1);
    place_abandon(&place);
    report(slot, UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED);
    for (int i = 0; i < 3; i++) {
        udr_checker_attend(checker, udr_clock_now());
        run_for(5);
    }
    assert_int_equal(atomic_load(&slot->checks_failed), 0);
    assert_int_equal(state_of(slot), UDR_HEALTH_UP);
}

/* A check says nothing of what such requests have met. */
static void leaves_the_pause_to_whom_was_reached(void **state)
{
    udr_slot_t *slot = add("a", RARE, -1);
    (void)state;
    checker_start();
    run_until_checked(slot, 1);
    report(slot, UDR_OUTCOME_STATUS, 503);
    udr_checker_attend(checker, udr_clock_now());
    run_for(30);
    assert_int_equal(checks_of(slot), 1);
    assert_true(atomic_load(&slot->out_until) != 0);
}

/* --- sockets that appear --- */

static void look_until_somebody_listens(const char *parameters)
{
    udr_slot_t *slot = add("a", parameters, -1);
    atomic_store(&slot->checked_at, udr_clock_now());
    atomic_store(&slot->seen_up, 1);
    place_abandon(&place);
    checker_start();
    report(slot, UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED);
    udr_checker_look(checker, member_at(0));
    run_for(60);
    assert_int_equal(news_count, 0);
    assert_int_equal(checks_of(slot), 0);
    unlink(place.path);
    place_listen(&place, 100);
    run_until_told(1);
    assert_int_equal(news[0].change, UDR_CHANGE_PICK | UDR_CHANGE_CAME_BACK);
}

static void looks_again_until_somebody_listens(void **state)
{
    (void)state;
    look_until_somebody_listens(RARE);
}

static void looks_at_members_that_are_not_checked(void **state)
{
    (void)state;
    look_until_somebody_listens("hcmethod=NONE");
}

/* Nobody answers, and for each event the check that runs is begun anew. */
static void checks_whose_mode_changes_all_the_time(void **state)
{
    udr_slot_t *slot = add("a", "hcmethod=GET hcinterval=300ms hctimeout=300ms hcfails=2", -1);
    apr_time_t end = udr_clock_now() + apr_time_from_sec(10);
    (void)state;
    checker_start();
    while (news_count == 0) {
        assert_true(udr_clock_now() < end);
        udr_checker_look(checker, member_at(0));
        run_loop_for(15);
    }
    assert_int_equal(state_of(slot), UDR_HEALTH_DOWN);
}

/* What the check that runs finds is not what there is by now. */
static void looks_again_at_who_comes_while_it_looks(void **state)
{
    udr_slot_t *slot = add("a", "hcmethod=GET hcinterval=24h hctimeout=24h", -1);
    (void)state;
    atomic_store(&slot->checked_at, udr_clock_now());
    checker_start();
    udr_checker_look(checker, member_at(0));
    udr_checker_look(checker, member_at(0)); /* within 10 ms */
    run_loop_for(30);
    close(place_accept(&place));
    apr_time_t end = udr_clock_now() + apr_time_from_sec(10);
    while (!place_is_wanted(&place)) {
        assert_true(udr_clock_now() < end);
        run_loop_for(5);
    }
}

static void does_not_look_at_who_takes_requests_anyway(void **state)
{
    (void)state;
    (void)add("a", "hcmethod=NONE", -1);
    checker_start();
    udr_checker_look(checker, member_at(0));
    assert_false(place_is_wanted(&place));
}

static void looks_when_it_begins_at_who_is_out(void **state)
{
    udr_slot_t *slot = add("a", "hcmethod=NONE", -1);
    (void)state;
    report(slot, UDR_OUTCOME_CONNECT_FAILED, ENOENT);
    checker_start();
    run_until_told(1);
    assert_int_equal(udr_verdict_out_until(slot), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, checker_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(checks_each_in_its_turn),
        TEST(wakes_up_for_several_at_once),
        TEST(goes_on_where_another_has_left_off),
        TEST(does_not_check_who_is_not_to_be),
        TEST(checks_a_slot_once),
        TEST(tells_each_change_once),
        TEST(counts_as_the_member_says),
        TEST(leaves_alone_whom_the_operator_stops),
        TEST(says_nothing_where_another_leads),
        TEST(forgets_what_nobody_asks_for_any_more),
        TEST(says_once_who_hangs),
        TEST(ends_a_check_in_time_for_the_next),
        TEST(looks_at_once_at_whom_a_request_could_not_reach),
        TEST(does_not_hold_it_against_a_member_that_it_has_gone),
        TEST(leaves_the_pause_to_whom_was_reached),
        TEST(looks_again_until_somebody_listens),
        TEST(checks_whose_mode_changes_all_the_time),
        TEST(looks_again_at_who_comes_while_it_looks),
        TEST(looks_at_members_that_are_not_checked),
        TEST(does_not_look_at_who_takes_requests_anyway),
        TEST(looks_when_it_begins_at_who_is_out),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
