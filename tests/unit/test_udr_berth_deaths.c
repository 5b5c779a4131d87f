/* SPDX-License-Identifier: Apache-2.0 */
/* A child dies at each point of a merge, with the mutex. The next one finds the table in order, or puts it in order,
 * and the truth in the directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_glob.h"
#include "tests/unit/fixture_points.h"

#include <apr_general.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { GROWTH = 3 };

static udr_glob_t *glob;
static apr_time_t now;

static int set_up(void **state)
{
    now = apr_time_from_sec(1000);
    if (shared_set_up(state)) {
        return -1;
    }
    glob = glob_make("/run/app/*", GROWTH, pool);
    glob_claim(glob, shared, pool);
    return 0;
}

static const char *merge(const char *words)
{
    return glob_merge(shared, glob, words, now++, pool);
}

static int die_in_merge(void *baton)
{
    fatal_point = baton;
    (void)merge("a d");
    return 1;
}

/* Who of a, b, c (that was used) and d is where, at each death. */
static void next_one_puts_it_in_order(void **state)
{
    static char moving[] = "berth:moving";
    static char changed[] = "berth:changed";
    char *const points[] = {moving, changed};
    (void)state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        (void)merge("a b c");
        (void)merge("a b"); /* d gets the place of c */
        assert_killed(fork_child(die_in_merge, points[i]), points[i], "a merge");
        assert_true(udr_berth_tend(shared, glob)); /* somebody is to look */
        apr_uint64_t epoch = udr_shared_epoch(shared);
        (void)merge("a d");
        assert_true(udr_shared_epoch(shared) > epoch);
        assert_false(udr_berth_tend(shared, glob));
        pthread_mutex_t *mutex = &udr_shared_slot(shared, glob->slot)->queue.mutex;
        assert_int_equal(pthread_mutex_trylock(mutex), 0); /* it is good again */
        assert_int_equal(pthread_mutex_unlock(mutex), 0);
        assert_int_equal(udr_berth_present(shared, glob), 2);
        assert_int_equal(udr_berth_state(shared, glob->berths[glob_find(shared, glob, "a")]), UDR_BERTH_OPEN);
        assert_int_equal(udr_berth_state(shared, glob->berths[glob_find(shared, glob, "d")]), UDR_BERTH_OPEN);
        (void)merge("");
    }
}

/* A half-written name is nobody's. */
static void nobody_reads_half_a_name(void **state)
{
    static char moving[] = "berth:moving";
    udr_lodging_t lodging;
    (void)state;
    (void)merge("a b c");
    int place = glob_find(shared, glob, "c");
    (void)merge("a b");
    assert_killed(fork_child(die_in_merge, moving), moving, "a merge");
    assert_false(udr_berth_read(shared, glob->berths[place], &lodging));
    (void)merge("a");
    assert_true(udr_berth_read(shared, glob->berths[place], &lodging));
    assert_string_equal(lodging.name, "");
    assert_int_equal(lodging.state, UDR_BERTH_FREE);
    assert_string_equal(merge("a d"), "+d");
}

/* Whoever cleans up after the dead may have been there before: the mutex says nothing any more then. */
static void it_needs_not_be_told_by_the_mutex(void **state)
{
    static char changed[] = "berth:changed";
    child_t child = start_child();
    (void)state;
    (void)merge("a b");
    assert_killed(fork_child(die_in_merge, changed), changed, "a merge");
    pthread_mutex_t *mutex = &udr_shared_slot(shared, glob->slot)->queue.mutex;
    if (pthread_mutex_lock(mutex) != 0) {
        (void)pthread_mutex_consistent(mutex);
    }
    (void)pthread_mutex_unlock(mutex);
    apr_uint64_t epoch = udr_shared_epoch(shared);
    (void)merge("a d");
    assert_true(udr_shared_epoch(shared) > epoch);
    end_child(&child);
}

/* Whoever puts it in order may be about a single berth: the directory is to be read all the same. */
static void is_read_again_whoever_puts_it_in_order(void **state)
{
    static char moving[] = "berth:moving";
    (void)state;
    (void)merge("a b");
    apr_uint32_t a = glob->berths[glob_find(shared, glob, "a")];
    assert_killed(fork_child(die_in_merge, moving), moving, "a merge");
    assert_true(udr_berth_lose(shared, glob, a, 2, now));
    assert_int_equal(glob_find(shared, glob, "d"), -1);
    assert_true(udr_berth_tend(shared, glob));
    (void)merge("a d");
    assert_true(glob_find(shared, glob, "d") >= 0);
    assert_false(udr_berth_tend(shared, glob));
}

static void claim_anew(int growth)
{
    (void)udr_shared_begin_generation(shared);
    glob->growth = growth;
    glob_claim(glob, shared, pool);
}

/* While `growth` is lower nobody looks after the place where somebody died. */
static void a_place_that_comes_back_is_in_order(void **state)
{
    static char moving[] = "berth:moving";
    (void)state;
    (void)merge("a b");
    assert_killed(fork_child(die_in_merge, moving), moving, "a merge");
    claim_anew(GROWTH - 1);
    assert_string_equal(merge("a b"), "+b");
    claim_anew(GROWTH);
    assert_string_equal(merge("a b c"), "+c");
    assert_true(glob_find(shared, glob, "c") >= 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, shared_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(next_one_puts_it_in_order),           TEST(nobody_reads_half_a_name),
        TEST(it_needs_not_be_told_by_the_mutex),   TEST(is_read_again_whoever_puts_it_in_order),
        TEST(a_place_that_comes_back_is_in_order),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_berth_deaths", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
