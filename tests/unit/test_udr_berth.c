/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_verdict.h"
#include "tests/unit/fixture_glob.h"
#include "tests/unit/fixture_shared.h"

#include <apr_general.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { GROWTH = 3 };

static udr_glob_t *glob;
static child_t child;
static apr_time_t now;

static int set_up(void **state)
{
    now = apr_time_from_sec(1000);
    if (shared_set_up(state)) {
        return -1;
    }
    glob = glob_make("/run/app/*", GROWTH, pool);
    glob_claim(glob, shared, pool);
    child = start_child();
    return 0;
}

static int tear_down(void **state)
{
    end_child(&child);
    return shared_tear_down(state);
}

static const char *merge(const char *words)
{
    now += 1000;
    return glob_merge(shared, glob, words, now, pool);
}

#define assert_merge(words, outcome) assert_string_equal(merge(words), outcome)

static apr_uint32_t slot_of(const char *name)
{
    int found = glob_find(shared, glob, name);
    assert_true(found >= 0);
    return glob->berths[found];
}

static apr_uint32_t state_of(const char *name)
{
    return udr_berth_state(shared, slot_of(name));
}

static apr_uint32_t tenancy_of(const char *name)
{
    udr_lodging_t lodging;
    assert_true(udr_berth_read(shared, slot_of(name), &lodging));
    return lodging.tenancy;
}

/* A request at whoever is there. */
static void enter(apr_uint32_t slot)
{
    udr_queue_waiter_t waiter = {.wake = NULL};
    assert_int_equal(udr_queue_enter(child.queue, slot, &waiter), APR_SUCCESS);
}

/* --- names and places --- */

static void gives_each_name_a_place(void **state)
{
    (void)state;
    assert_merge("a b", "+a +b");
    assert_int_equal(state_of("a"), UDR_BERTH_OPEN);
    assert_int_equal(state_of("b"), UDR_BERTH_OPEN);
    assert_true(slot_of("a") != slot_of("b"));
    assert_int_equal(udr_berth_present(shared, glob), 2);
    assert_merge("a b", "");
}

static void bumps_the_epoch_when_something_changes_only(void **state)
{
    (void)state;
    apr_uint64_t before = udr_shared_epoch(shared);
    (void)merge("a");
    assert_true(udr_shared_epoch(shared) > before);
    before = udr_shared_epoch(shared);
    (void)merge("a");
    assert_int_equal(udr_shared_epoch(shared), before);
    (void)merge("a:2");
    assert_true(udr_shared_epoch(shared) > before);
}

static void keeps_names_of_any_length(void **state)
{
    char longest[106];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    (void)state;
    (void)merge(longest);
    (void)merge("");
    (void)merge("b");
    (void)merge(longest);
    assert_int_equal(state_of(longest), UDR_BERTH_OPEN);
}

static void forgets_who_is_not_used(void **state)
{
    (void)state;
    (void)merge("a b");
    assert_merge("b", "-a");
    assert_int_equal(state_of("a"), UDR_BERTH_FREE);
    assert_int_equal(udr_berth_present(shared, glob), 1);
}

static void drains_who_is_used(void **state)
{
    (void)state;
    (void)merge("a");
    apr_uint32_t slot = slot_of("a");
    enter(slot);
    assert_merge("", "-a");
    assert_int_equal(state_of("a"), UDR_BERTH_DRAINING);
    assert_false(udr_berth_tend(shared, glob));
    assert_int_equal(state_of("a"), UDR_BERTH_DRAINING);
    udr_queue_done(child.queue, slot);
    assert_false(udr_berth_tend(shared, glob));
    assert_int_equal(state_of("a"), UDR_BERTH_FREE);
}

static void opens_again_who_comes_back_while_it_drains(void **state)
{
    (void)state;
    (void)merge("a");
    apr_uint32_t slot = slot_of("a");
    apr_uint32_t tenancy = tenancy_of("a");
    enter(slot);
    (void)merge("");
    assert_merge("a:2", "+a");
    assert_int_equal(state_of("a"), UDR_BERTH_OPEN);
    assert_int_equal(tenancy_of("a"), tenancy);
    udr_queue_done(child.queue, slot);
}

static void same_name_has_its_place_and_counters_again(void **state)
{
    (void)state;
    (void)merge("a b");
    apr_uint32_t slot = slot_of("b");
    atomic_store(&udr_shared_hot(shared, slot)->elected, 7);
    (void)merge("a");
    (void)merge("a c"); /* who was never there goes elsewhere */
    assert_merge("a b c", "+b");
    assert_int_equal(slot_of("b"), slot);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, slot)->elected), 7);
}

static void who_is_new_takes_the_place_that_was_left_first(void **state)
{
    (void)state;
    (void)merge("a b c");
    apr_uint32_t slot = slot_of("b");
    apr_uint32_t tenancy = tenancy_of("b");
    udr_histogram_record(&udr_shared_slot(shared, slot)->latency, 1000);
    atomic_store(&udr_shared_slot(shared, slot)->failed, 3);
    atomic_store(&udr_shared_hot(shared, slot)->elected, 7);
    atomic_store(&udr_shared_hot(shared, slot)->traffic, 100);
    atomic_store(&udr_shared_hot(shared, slot)->traffic_base, 40);
    atomic_store(&udr_shared_hot(shared, slot)->flags, UDR_SLOT_DRAINS);
    atomic_store(&udr_shared_hot(shared, slot)->limit, 5);
    (void)merge("a c");
    (void)merge("a");
    assert_merge("a d", "+d");
    assert_int_equal(slot_of("d"), slot);
    assert_int_equal(tenancy_of("d"), tenancy + 2);
    assert_int_equal(glob_find(shared, glob, "b"), -1);
    /* All is new but for the queue's, and for where it stands in comparison with others. */
    udr_histogram_summary_t latency;
    udr_histogram_read(&udr_shared_slot(shared, slot)->latency, &latency);
    assert_int_equal(latency.count, 0);
    assert_int_equal(atomic_load(&udr_shared_slot(shared, slot)->failed), 0);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, slot)->elected), 0);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, slot)->flags), 0);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, slot)->limit), 5);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, slot)->traffic) -
                         atomic_load(&udr_shared_hot(shared, slot)->traffic_base),
                     60);
}

/* --- too many --- */

static void leaves_out_who_finds_no_place(void **state)
{
    (void)state;
    assert_merge("a b c d e", "+a +b +c !d");
    assert_merge("a b c d e", ""); /* told once */
    assert_false(udr_berth_tend(shared, glob));
    assert_merge("a c d e", "+d -b");
    assert_merge("c d e", "+e -a");
    assert_merge("b c d e", "!b"); /* and again after there was room for all */
}

static void place_of_one_that_drains_is_taken(void **state)
{
    (void)state;
    (void)merge("a b c");
    apr_uint32_t slot = slot_of("a");
    enter(slot);
    assert_merge("b c d", "-a !d");
    assert_false(udr_berth_tend(shared, glob));
    udr_queue_done(child.queue, slot);
    assert_true(udr_berth_tend(shared, glob)); /* read the directory: d can come in */
    assert_merge("b c d", "+d");
    assert_int_equal(slot_of("d"), slot);
}

static void tells_of_the_unusable_once(void **state)
{
    udr_listing_t listing = glob_listing("a", pool);
    udr_arrivals_t arrivals;
    (void)state;
    listing.unusable = "too long";
    udr_berth_merge(shared, glob, udr_berth_begin(shared, glob), &listing, now, &arrivals, pool);
    assert_string_equal(arrivals.unusable, "too long");
    udr_berth_merge(shared, glob, udr_berth_begin(shared, glob), &listing, now, &arrivals, pool);
    assert_null(arrivals.unusable);
}

/* --- who knows better --- */

static void older_listings_change_nothing(void **state)
{
    const udr_listing_t older = glob_listing("a b", pool);
    udr_arrivals_t arrivals;
    (void)state;
    (void)merge("a");
    apr_uint64_t number = udr_berth_begin(shared, glob); /* reads "a b"; then b goes, which another one merges first */
    (void)merge("a");
    udr_berth_merge(shared, glob, number, &older, now, &arrivals, pool);
    assert_int_equal(arrivals.came->nelts, 0);
    assert_int_equal(glob_find(shared, glob, "b"), -1);
}

static int merge_late(void *baton)
{
    (void)baton;
    return strcmp(merge("a b"), "") == 0 && !udr_berth_lose(shared, glob, slot_of("a"), tenancy_of("a"), now) ? 0 : 1;
}

/* Children of the generation before may see a directory that is no longer theirs. */
static void former_generations_change_nothing(void **state)
{
    int go[2];
    (void)state;
    (void)merge("a");
    assert_int_equal(pipe(go), 0);
    pid_t process = fork();
    if (process == 0) {
        char byte;
        _exit(read(go[0], &byte, 1) == 1 ? merge_late(NULL) : 2);
    }
    (void)udr_shared_begin_generation(shared);
    (void)claim("member", &member);
    glob_claim(glob, shared, pool);
    udr_shared_end_generation(shared);
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(await_child(process), 0);
    assert_int_equal(glob_find(shared, glob, "b"), -1);
    assert_int_equal(state_of("a"), UDR_BERTH_OPEN);
    close(go[0]);
    close(go[1]);
}

/* Another configuration has fewer places; who was in the others comes in where there is room. */
static void fewer_places_after_a_reload(void **state)
{
    (void)state;
    (void)merge("a b c");
    glob->growth = 2;
    (void)udr_shared_begin_generation(shared);
    (void)claim("member", &member);
    glob_claim(glob, shared, pool);
    udr_shared_end_generation(shared);
    assert_merge("a b c", "!c");
    assert_merge("b c", "+c -a");
    glob->growth = 3;
    (void)udr_shared_begin_generation(shared);
    (void)claim("member", &member);
    glob_claim(glob, shared, pool);
    udr_shared_end_generation(shared);
    assert_merge("b c", ""); /* it has two places for a moment, and keeps one */
    assert_int_equal(udr_berth_present(shared, glob), 2);
}

/* --- single ones --- */

static void who_finds_no_file_is_the_first_to_tell(void **state)
{
    (void)state;
    (void)merge("a b");
    apr_uint32_t slot = slot_of("a");
    assert_true(udr_berth_lose(shared, glob, slot, tenancy_of("a"), now));
    assert_false(udr_berth_lose(shared, glob, slot, tenancy_of("a"), now));
    assert_int_equal(state_of("a"), UDR_BERTH_FREE);
    assert_merge("b", "");
    assert_merge("a b", "+a");
    assert_false(udr_berth_lose(shared, glob, slot, tenancy_of("a") - 2, now)); /* of somebody before */
    assert_int_equal(state_of("a"), UDR_BERTH_OPEN);
}

static void waits_for_a_check_where_one_is_due(void **state)
{
    (void)state;
    glob->needs_check = true;
    assert_merge("b", "+b"); /* was there before */
    assert_int_equal(state_of("b"), UDR_BERTH_OPEN);
    assert_merge("a", "+a -b");
    assert_int_equal(state_of("a"), UDR_BERTH_UNCHECKED);
    assert_int_equal(udr_berth_present(shared, glob), 0);
    assert_true(udr_berth_pass(shared, glob, slot_of("a"), tenancy_of("a"), now, now));
    assert_false(udr_berth_pass(shared, glob, slot_of("a"), tenancy_of("a"), now, now));
    assert_int_equal(state_of("a"), UDR_BERTH_OPEN);
    assert_int_equal(udr_berth_present(shared, glob), 1);
    (void)merge("");
    apr_time_t then = now;
    assert_false(udr_berth_pass(shared, glob, slot_of("a"), tenancy_of("a"), now, now));
    (void)merge("a");
    assert_int_equal(state_of("a"), UDR_BERTH_UNCHECKED);
    assert_int_equal(udr_berth_empty_since(shared, glob), then); /* requests go on waiting */
    glob->needs_check = false;
    udr_berth_claim(shared, glob); /* a new configuration asks for none */
    assert_int_equal(state_of("a"), UDR_BERTH_OPEN);
}

static void check_of_somebody_before_does_not_open(void **state)
{
    (void)state;
    glob->needs_check = true;
    (void)merge("");
    (void)merge("a");
    apr_time_t begun = now - 1;
    assert_false(udr_berth_pass(shared, glob, slot_of("a"), tenancy_of("a"), begun, now));
    (void)merge("");
    (void)merge("a");
    assert_false(udr_berth_pass(shared, glob, slot_of("a"), tenancy_of("a"), begun + 1, now));
    begun = now;
    (void)merge("a:2"); /* replaced before the check has ended */
    assert_false(udr_berth_pass(shared, glob, slot_of("a"), tenancy_of("a"), begun, now));
    assert_int_equal(state_of("a"), UDR_BERTH_UNCHECKED);
    assert_true(udr_berth_pass(shared, glob, slot_of("a"), tenancy_of("a"), now, now));
}

static void another_file_has_come_just_now(void **state)
{
    (void)state;
    (void)merge("a b");
    apr_time_t then = now;
    (void)merge("a:2 b");
    assert_int_equal(udr_berth_since(shared, slot_of("a")), now);
    assert_int_equal(udr_berth_since(shared, slot_of("b")), then);
}

static void remembers_since_when_nobody_is_there(void **state)
{
    (void)state;
    assert_int_equal(udr_berth_empty_since(shared, glob), 0);
    (void)merge("a b");
    (void)merge("b");
    assert_int_equal(udr_berth_empty_since(shared, glob), 0);
    (void)merge("");
    assert_int_equal(udr_berth_empty_since(shared, glob), now);
    apr_time_t then = now;
    (void)merge("");
    assert_int_equal(udr_berth_empty_since(shared, glob), then);
    (void)merge("c");
    assert_int_equal(udr_berth_empty_since(shared, glob), 0);
}

static void tells_an_error_once(void **state)
{
    (void)state;
    assert_false(udr_berth_note_error(shared, glob, 0));
    assert_true(udr_berth_note_error(shared, glob, EACCES));
    assert_false(udr_berth_note_error(shared, glob, EACCES));
    assert_true(udr_berth_note_error(shared, glob, EMFILE));
    assert_false(udr_berth_note_error(shared, glob, 0));
    assert_true(udr_berth_note_error(shared, glob, EACCES));
}

/* --- verdicts --- */

static void put_out(const char *name, udr_outcome_t outcome, int detail)
{
    udr_report_t report = {.outcome = outcome, .detail = detail, .begun = now};
    (void)udr_verdict_report(udr_shared_slot(shared, slot_of(name)), &report, apr_time_from_sec(5), now);
    assert_true(atomic_load(&udr_shared_slot(shared, slot_of(name))->out_until) > now);
}

static void another_file_is_worth_a_try(void **state)
{
    (void)state;
    (void)merge("a b");
    put_out("a", UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED);
    (void)merge("a b:2");
    assert_true(atomic_load(&udr_shared_slot(shared, slot_of("a"))->out_until) > now);
    (void)merge("a:2 b:2");
    assert_true(atomic_load(&udr_shared_slot(shared, slot_of("a"))->out_until) <= now);
}

static void who_comes_back_is_judged_anew(void **state)
{
    (void)state;
    (void)merge("a");
    put_out("a", UDR_OUTCOME_BROKEN_OFF, 0);
    (void)merge("");
    (void)merge("a:2");
    assert_int_equal(atomic_load(&udr_shared_slot(shared, slot_of("a"))->out_until), 0);
    assert_int_equal(atomic_load(&udr_shared_slot(shared, slot_of("a"))->up_since), now);
}

static void who_is_marked_starts_out_of_service(void **state)
{
    (void)state;
    glob->settings.status = UDR_STATUS_ERROR | UDR_STATUS_SPARE;
    (void)merge("a");
    assert_true(atomic_load(&udr_shared_slot(shared, slot_of("a"))->out_until) > now);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, slot_of("a"))->flags), UDR_SLOT_SPARE);
}

/* --- all at once --- */

static _Atomic bool ends;

/* Whoever gets in at a berth whose name it has just read is there as long as the name. */
/* What is said of one is not said of whoever comes there next. */
static void nobody_moves_in_while_somebody_speaks(void **state)
{
    pthread_mutex_t *mutex = &udr_shared_slot(shared, glob->slot)->queue.mutex;
    (void)state;
    assert_merge("a b c", "+a +b +c");
    apr_uint32_t slot = slot_of("b");
    apr_uint32_t tenancy = tenancy_of("b");
    assert_true(udr_berth_pin(shared, glob, slot, tenancy));
    assert_int_equal(pthread_mutex_trylock(mutex), EBUSY); /* who moves in needs it */
    udr_berth_unpin(shared, glob);
    assert_merge("a c", "-b");
    assert_true(udr_berth_pin(shared, glob, slot, tenancy));
    udr_berth_unpin(shared, glob);
    assert_merge("a c d", "+d");
    assert_int_equal(slot_of("d"), slot);
    assert_false(udr_berth_pin(shared, glob, slot, tenancy));
    assert_true(udr_berth_pin(shared, glob, slot, tenancy_of("d")));
    udr_berth_unpin(shared, glob);
    assert_merge("a c", "-d");
}

static void *visit(void *baton)
{
    const child_t *mine = baton;
    for (unsigned int i = 0; !atomic_load(&ends); i++) {
        udr_lodging_t lodging, after;
        apr_uint32_t slot = glob->berths[i % GROWTH];
        if (!udr_berth_read(shared, slot, &lodging)) {
            continue;
        }
        udr_queue_waiter_t waiter = {.wake = NULL};
        if (udr_queue_enter(mine->queue, slot, &waiter) != APR_SUCCESS) {
            abort();
        }
        if (udr_berth_is_held(shared, slot, lodging.tenancy)) {
            for (int k = 0; k < 20; k++) {
                /* (One who tries to move in, and gives way, may be seen.) */
                if (udr_berth_read(shared, slot, &after) && strcmp(after.name, lodging.name) != 0) {
                    abort();
                }
            }
        }
        udr_queue_done(mine->queue, slot);
    }
    return NULL;
}

static void nobody_moves_in_where_a_request_is(void **state)
{
    pthread_t threads[2];
    apr_pool_t *p;
    int moves = 0;
    (void)state;
    assert_int_equal(apr_pool_create(&p, NULL), APR_SUCCESS);
    atomic_store(&ends, false);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &child), 0);
    }
    for (int i = 0; i < 20000; i++) {
        char names[8] = {(char)('a' + i % 7), ' ', (char)('h' + i % 11), '\0'};
        moves += strchr(glob_merge(shared, glob, names, now + i, p), '+') != NULL;
        (void)udr_berth_tend(shared, glob);
        apr_pool_clear(p);
    }
    atomic_store(&ends, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    apr_pool_destroy(p);
    assert_true(moves > 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_each_name_a_place),
        TEST(bumps_the_epoch_when_something_changes_only),
        TEST(keeps_names_of_any_length),
        TEST(forgets_who_is_not_used),
        TEST(drains_who_is_used),
        TEST(opens_again_who_comes_back_while_it_drains),
        TEST(same_name_has_its_place_and_counters_again),
        TEST(who_is_new_takes_the_place_that_was_left_first),
        TEST(leaves_out_who_finds_no_place),
        TEST(place_of_one_that_drains_is_taken),
        TEST(tells_of_the_unusable_once),
        TEST(older_listings_change_nothing),
        TEST(former_generations_change_nothing),
        TEST(fewer_places_after_a_reload),
        TEST(who_finds_no_file_is_the_first_to_tell),
        TEST(waits_for_a_check_where_one_is_due),
        TEST(check_of_somebody_before_does_not_open),
        TEST(another_file_has_come_just_now),
        TEST(remembers_since_when_nobody_is_there),
        TEST(tells_an_error_once),
        TEST(another_file_is_worth_a_try),
        TEST(who_comes_back_is_judged_anew),
        TEST(who_is_marked_starts_out_of_service),
        TEST(nobody_moves_in_while_somebody_speaks),
        TEST(nobody_moves_in_where_a_request_is),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_berth", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
