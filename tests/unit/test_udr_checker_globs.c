/* SPDX-License-Identifier: Apache-2.0 */
/* Members from a directory are checked as they come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_checker.h"
#include "tests/unit/fixture_glob.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>

enum { GROWTH = 2 };

static const char *name; /* of the place's socket in its directory */
static udr_glob_t *glob;

/* A glob whose directory was read before anybody was in it. */
static int set_up(void **state)
{
    udr_settings_t settings;
    const char *note;
    if (checker_set_up(state) != 0) {
        return -1;
    }
    name = strrchr(place.path, '/') + 1;
    udr_settings_init(&settings);
    assert_null(udr_settings_set(&settings, "hcmethod", "CONNECT", &note, pool));
    assert_null(udr_settings_set(&settings, "hcinterval", "100ms", &note, pool));
    const udr_target_t *target = glob_target(apr_pstrcat(pool, place.directory, "/*", NULL), pool);
    assert_null(udr_balancer_add_glob(balancer, target, &settings, &glob_source, pool));
    balancer->settings.growth = GROWTH;
    udr_balancer_resolve(balancer, apr_time_from_sec(60));
    glob = APR_ARRAY_IDX(balancer->globs, 0, udr_glob_t *);
    glob->needs_check = true; /* as the configuration says it */
    glob_claim(glob, shared, pool);
    udr_shared_end_generation(shared);
    (void)glob_merge(shared, glob, "", udr_clock_now(), pool);
    checker_start();
    return 0;
}

static void there_are(const char *names)
{
    (void)glob_merge(shared, glob, names, udr_clock_now(), pool);
    udr_checker_attend(checker, udr_clock_now());
}

static apr_uint32_t slot_of(const char *who)
{
    int found = glob_find(shared, glob, who);
    assert_true(found >= 0);
    return glob->berths[found];
}

static apr_uint32_t state_of(const char *who)
{
    return udr_berth_state(shared, slot_of(who));
}

static apr_uint64_t checks_of(const char *who)
{
    const udr_slot_t *slot = udr_shared_slot(shared, slot_of(who));
    return atomic_load(&slot->checks_passed) + atomic_load(&slot->checks_failed);
}

static void run_until_open(const char *who)
{
    apr_time_t end = udr_clock_now() + apr_time_from_sec(20);
    while (state_of(who) != UDR_BERTH_OPEN) {
        assert_true(udr_clock_now() < end);
        run_for(5);
    }
}

static void opens_after_the_first_good_check(void **state)
{
    (void)state;
    place_listen(&place, 100);
    (void)glob_merge(shared, glob, name, udr_clock_now(), pool);
    assert_int_equal(state_of(name), UDR_BERTH_UNCHECKED);
    udr_checker_attend(checker, udr_clock_now());
    run_until_open(name);
    assert_int_equal(news_count, 0);
    apr_uint64_t count = checks_of(name);
    while (checks_of(name) < count + 3) { /* and then as often as said */
        run_for(5);
    }
}

static void waits_until_somebody_listens(void **state)
{
    (void)state;
    place_listen(&place, 100);
    place_abandon(&place);
    there_are(name);
    run_for(60);
    assert_int_equal(state_of(name), UDR_BERTH_UNCHECKED);
    place_listen(&place, 100);
    run_until_open(name);
}

static void checks_again_who_comes_back(void **state)
{
    (void)state;
    place_listen(&place, 100);
    there_are(name);
    run_until_open(name);
    /* Both between two looks. */
    (void)glob_merge(shared, glob, "", udr_clock_now(), pool);
    (void)glob_merge(shared, glob, name, udr_clock_now(), pool);
    assert_int_equal(state_of(name), UDR_BERTH_UNCHECKED);
    udr_checker_attend(checker, udr_clock_now());
    run_until_open(name);
}

static void checks_at_once_who_is_replaced(void **state)
{
    (void)state;
    glob->settings.check.interval = apr_time_from_sec(86400);
    place_listen(&place, 100);
    there_are(name);
    run_until_open(name);
    apr_uint64_t count = checks_of(name);
    there_are(apr_pstrcat(pool, name, ":2", NULL));
    apr_time_t end = udr_clock_now() + apr_time_from_sec(20);
    while (checks_of(name) == count) {
        assert_true(udr_clock_now() < end);
        run_for(5);
    }
}

/* For the backlog. */
static void there_is_one_whose_check_waits(void)
{
    place_listen(&place, 1);
    place_crowd_backlog(&place);
    there_are(name);
    run_for(5);
}

/* Begun before it came back, for whoever was there then. */
static void check_of_the_one_before_opens_nothing(void **state)
{
    (void)state;
    glob->settings.check.interval = apr_time_from_sec(86400);
    there_is_one_whose_check_waits();
    (void)glob_merge(shared, glob, "", udr_clock_now(), pool);
    (void)glob_merge(shared, glob, name, udr_clock_now(), pool);
    place_disperse(&place);
    run_for(200);
    assert_int_equal(state_of(name), UDR_BERTH_UNCHECKED);
    udr_checker_attend(checker, udr_clock_now());
    run_until_open(name);
}

/* Nor does it say anything of another one who has got its place. */
static void check_of_the_one_before_says_nothing_of_the_next(void **state)
{
    (void)state;
    glob->settings.check.interval = apr_time_from_sec(86400);
    glob->settings.check.timeout = apr_time_from_sec(86400);
    there_is_one_whose_check_waits();
    (void)glob_merge(shared, glob, "other second", udr_clock_now(), pool);
    place_disperse(&place);
    run_for(200);
    assert_int_equal(checks_of("other") + checks_of("second"), 0);
    assert_int_equal(atomic_load(&udr_shared_slot(shared, slot_of("other"))->seen_up), 0);
    assert_int_equal(atomic_load(&udr_shared_slot(shared, slot_of("second"))->seen_up), 0);
}

static void checks_nobody_who_has_gone(void **state)
{
    (void)state;
    place_listen(&place, 100);
    there_are(name);
    run_until_open(name);
    there_are("");
    apr_uint64_t count = checks_of(name);
    run_for(300);
    assert_int_equal(checks_of(name), count);
    assert_int_equal(state_of(name), UDR_BERTH_FREE);
}

static apr_interval_time_t apart(const char *one, const char *other)
{
    apr_time_t a = atomic_load(&udr_shared_slot(shared, slot_of(one))->checked_at);
    apr_time_t b = atomic_load(&udr_shared_slot(shared, slot_of(other))->checked_at);
    return a && b ? (a > b ? a - b : b - a) : 0;
}

static void checks_each_in_its_turn(void **state)
{
    (void)state;
    there_are("a b"); /* neither is there, which a check finds out at once */
    apr_time_t end = udr_clock_now() + apr_time_from_sec(20);
    while (apart("a", "b") < apr_time_from_msec(10)) {
        assert_true(udr_clock_now() < end);
        run_for(5);
    }
}

static void another_one_in_its_place_is_another_one(void **state)
{
    (void)state;
    place_listen(&place, 100);
    there_are("other second");
    there_are("second");
    there_are(apr_pstrcat(pool, strcmp(name, "second") < 0 ? name : "second", " ",
                          strcmp(name, "second") < 0 ? "second" : name, NULL));
    run_until_open(name);
    assert_int_equal(state_of("second"), UDR_BERTH_UNCHECKED); /* there is no such file */
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, checker_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens_after_the_first_good_check),
        TEST(waits_until_somebody_listens),
        TEST(checks_again_who_comes_back),
        TEST(checks_at_once_who_is_replaced),
        TEST(check_of_the_one_before_opens_nothing),
        TEST(check_of_the_one_before_says_nothing_of_the_next),
        TEST(checks_nobody_who_has_gone),
        TEST(checks_each_in_its_turn),
        TEST(another_one_in_its_place_is_another_one),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_checker_globs", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
