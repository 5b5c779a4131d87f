/* SPDX-License-Identifier: Apache-2.0 */
/* Members from a directory are checked as they come and go. Time is real, as in test_udr_checker.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_checker.h"
#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_glob.h"
#include "tests/unit/fixture_socket.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>
#include <unistd.h>

enum { SLOTS = 8, GROWTH = 2 };

static apr_pool_t *pool;
static apr_pool_t *child;
static place_t place;
static const char *name; /* of the place's socket in its directory */
static udr_loop_t *loop;
static udr_shared_t *shared;
static udr_balancer_t *balancer;
static udr_glob_t *glob;
static udr_checker_t *checker;
static int news_count;

static bool accepts(const udr_member_t *member, const udr_answer_t *answer, const char **why, apr_pool_t *p)
{
    (void)member;
    (void)answer;
    (void)why;
    (void)p;
    return true;
}

static void hear(const udr_news_t *what)
{
    (void)what;
    news_count++;
}

static const udr_checker_client_t client = {.accepts = accepts, .news = hear};

/* A glob whose directory was read before anybody was in it. */
static int set_up(void **state)
{
    udr_settings_t settings;
    const char *note;
    (void)state;
    news_count = 0;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || !place_make(&place, pool) ||
        apr_pool_create(&child, pool) != APR_SUCCESS || udr_loop_create(&loop, child) != APR_SUCCESS ||
        udr_shared_create(&shared, SLOTS, 2, 2, pool) != APR_SUCCESS) {
        return -1;
    }
    name = strrchr(place.path, '/') + 1;
    balancer = udr_balancer_create("app", &glob_source, pool);
    udr_settings_init(&settings);
    assert_null(udr_settings_set(&settings, "hcmethod", "CONNECT", &note, pool));
    assert_null(udr_settings_set(&settings, "hcinterval", "100ms", &note, pool));
    const udr_target_t *target = glob_target(apr_pstrcat(pool, place.directory, "/*", NULL), pool);
    assert_null(udr_balancer_add_glob(balancer, target, &settings, &glob_source, pool));
    balancer->settings.growth = GROWTH;
    udr_balancer_resolve(balancer, apr_time_from_sec(60));
    glob = APR_ARRAY_IDX(balancer->globs, 0, udr_glob_t *);
    glob->needs_check = true; /* as the configuration says it */
    (void)udr_shared_begin_generation(shared);
    glob_claim(glob, shared, pool);
    udr_shared_end_generation(shared);
    (void)glob_merge(shared, glob, "", udr_clock_now(), pool);
    assert_int_equal(udr_checker_create(&checker, shared, loop, &client, child), APR_SUCCESS);
    assert_int_equal(udr_checker_add(checker, balancer), APR_SUCCESS);
    udr_checker_start(checker);
    return 0;
}

static void let_go(void)
{
    while (place.listener >= 0 && place_is_wanted(&place)) {
        close(place_accept(&place));
    }
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(child);
    let_go();
    /* The rows' eventfds go with the pool. */
    place.descriptors += 2;
    bool dropped = place_drop(&place);
    apr_pool_destroy(pool);
    return dropped ? 0 : -1;
}

static void stop_running(udr_timer_t *timer)
{
    (void)timer;
    udr_loop_stop(loop);
}

static void run_for(int ms)
{
    udr_timer_t timer = {.expired = stop_running};
    udr_loop_set_timer(loop, &timer, udr_clock_now() + apr_time_from_msec(ms));
    udr_loop_run(loop);
    let_go();
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

/* Begun before it came back, for whoever was there then. */
static void check_of_the_one_before_opens_nothing(void **state)
{
    (void)state;
    glob->settings.check.interval = apr_time_from_sec(86400);
    place_listen(&place, 1);
    place_crowd_backlog(&place);
    there_are(name);
    run_for(5); /* a check waits for the backlog */
    (void)glob_merge(shared, glob, "", udr_clock_now(), pool);
    (void)glob_merge(shared, glob, name, udr_clock_now(), pool);
    place_disperse(&place);
    run_for(200);
    assert_int_equal(state_of(name), UDR_BERTH_UNCHECKED);
    udr_checker_attend(checker, udr_clock_now());
    run_until_open(name);
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

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens_after_the_first_good_check),
        TEST(waits_until_somebody_listens),
        TEST(checks_again_who_comes_back),
        TEST(checks_at_once_who_is_replaced),
        TEST(check_of_the_one_before_opens_nothing),
        TEST(checks_nobody_who_has_gone),
        TEST(another_one_in_its_place_is_another_one),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_checker_globs", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
