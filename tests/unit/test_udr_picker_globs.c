/* SPDX-License-Identifier: Apache-2.0 */
/* Who takes a request when members come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_balancer.h"
#include "tests/unit/fixture_glob.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <string.h>

#define MS(n)  apr_time_from_msec(n)
#define SEC(n) apr_time_from_sec(n)

static udr_pick_t picks[8];
static apr_time_t now;
static apr_time_t until;

static int set_up(void **state)
{
    now = SEC(4000000);
    until = 0;
    memset(picks, 0, sizeof picks);
    return balancer_set_up(state);
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < sizeof picks / sizeof *picks; i++) {
        udr_pick_end(&picks[i]);
    }
    return balancer_tear_down(state);
}

static const udr_glob_t *glob(void)
{
    return APR_ARRAY_IDX(balancer->globs, 0, const udr_glob_t *);
}

/* What whoever looks into the directory finds. */
static void there_are(const char *names)
{
    (void)glob_merge(shared, glob(), names, now, pool);
}

static udr_pick_t *begin_in(int child, int request, const char *route)
{
    udr_occasion_t occasion = {.route = route, .route_len = route ? strlen(route) : 0};
    udr_pick_end(&picks[request]);
    udr_pick_begin(&picks[request], children[child].picker, &occasion, NULL, NULL, pool);
    return &picks[request];
}

static udr_picked_t next(udr_pick_t *pick)
{
    return udr_pick_next(pick, now, &until);
}

/* The file's name. */
static const char *name_of(const udr_pick_t *pick)
{
    return strrchr(pick->member->target->address->name, '/') + 1;
}

static void report(udr_pick_t *pick, udr_outcome_t outcome, int detail)
{
    const udr_report_t made = {.outcome = outcome, .detail = detail, .begun = now};
    udr_pick_report(pick, &made, now);
}

static bool fails(udr_pick_t *pick, int error)
{
    report(pick, UDR_OUTCOME_CONNECT_FAILED, error);
    return udr_pick_may_go_on(pick, now, now);
}

static void is_served(udr_pick_t *pick)
{
    report(pick, UDR_OUTCOME_CONNECTED, 0);
    report(pick, UDR_OUTCOME_SERVED, 0);
    udr_pick_leave(pick);
}

/* Who serves so many requests of a child, each once and sorted by when they came first. */
static const char *who_serves(int child, int count)
{
    const char *names = "";
    for (int i = 0; i < count; i++) {
        udr_pick_t *pick = begin_in(child, 0, NULL);
        assert_int_equal(next(pick), UDR_PICKED_MEMBER);
        if (!strstr(names, name_of(pick))) {
            names = apr_pstrcat(pool, names, name_of(pick), NULL);
        }
        is_served(pick);
    }
    return names;
}

static void open_glob(const char *parameters)
{
    balancer_has_glob("/run/app/*", parameters);
    balancer_open();
}

/* --- coming and going --- */

static void all_children_find_who_has_come(void **state)
{
    (void)state;
    open_glob("");
    assert_int_equal(next(begin_in(0, 0, NULL)), UDR_PICKED_NOBODY);
    there_are("a b");
    for (int child = 0; child < CHILDREN; child++) {
        assert_int_equal(strlen(who_serves(child, 8)), 2);
    }
    there_are("b");
    for (int child = 0; child < CHILDREN; child++) {
        assert_string_equal(who_serves(child, 8), "b");
    }
}

static void stands_beside_single_members(void **state)
{
    (void)state;
    (void)balancer_has("/run/s", "");
    open_glob("");
    assert_string_equal(who_serves(0, 4), "s");
    there_are("a");
    assert_int_equal(strlen(who_serves(0, 4)), 2);
    there_are("");
    assert_string_equal(who_serves(0, 4), "s");
}

/* Places that nobody has are no members that lack. */
static void spares_do_not_stand_in_for_nobody(void **state)
{
    (void)state;
    (void)balancer_has("/run/s", "status=+R");
    open_glob("");
    there_are("a b");
    const char *names = who_serves(0, 12);
    assert_null(strchr(names, 's'));
    there_are("a");
    assert_string_equal(who_serves(0, 12), "a");
}

static void member_stays_for_its_request(void **state)
{
    (void)state;
    balancer_says("growth=1");
    open_glob("");
    there_are("a");
    udr_pick_t *pick = begin_in(0, 1, NULL);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    there_are("");
    there_are("b"); /* no place: a's is in use */
    assert_int_equal(next(begin_in(0, 2, NULL)), UDR_PICKED_LATER);
    udr_pick_leave(pick);
    (void)udr_berth_tend(shared, glob());
    there_are("b");
    assert_string_equal(who_serves(0, 2), "b");
    udr_picker_tidy(children[0].picker);
    assert_string_equal(name_of(pick), "a"); /* for its log */
}

/* --- failures --- */

static void no_file_is_told_at_once(void **state)
{
    (void)state;
    open_glob("");
    there_are("a b");
    udr_pick_t *pick = begin_in(0, 1, NULL);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    const char *gone = apr_pstrdup(pool, name_of(pick));
    assert_true(fails(pick, ENOENT));
    assert_int_equal(lost, 1);
    assert_int_equal(went_out, 0);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_string_not_equal(name_of(pick), gone);
    is_served(pick);
    assert_string_not_equal(who_serves(1, 4), gone); /* nobody else asks it */
    assert_int_equal(lost, 1);
}

static void who_is_new_may_not_be_ready(void **state)
{
    static const int errors[] = {ECONNREFUSED, EACCES};
    (void)state;
    open_glob("retry=60");
    there_are("a b");
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        udr_pick_t *pick = begin_in(0, 1, NULL);
        assert_int_equal(next(pick), UDR_PICKED_MEMBER);
        const char *first = apr_pstrdup(pool, name_of(pick));
        assert_true(fails(pick, errors[i]));
        assert_int_equal(next(pick), UDR_PICKED_MEMBER);
        assert_string_not_equal(name_of(pick), first);
        is_served(pick);
    }
    assert_int_equal(went_out, 0);
    now += SEC(1);
    udr_pick_t *pick = begin_in(0, 1, NULL);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_true(fails(pick, ECONNREFUSED));
    assert_int_equal(went_out, 1);
    udr_pick_leave(pick);
}

/* The only one: who asks it waits until it is ready. */
static void waits_for_who_is_new(void **state)
{
    (void)state;
    open_glob("hold=2");
    there_are("a");
    udr_pick_t *pick = begin_in(0, 1, NULL);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_true(fails(pick, ECONNREFUSED));
    assert_int_equal(next(pick), UDR_PICKED_LATER);
    now = until;
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    is_served(pick);
}

/* A member that failed does not keep the request from another one in its place. */
static void another_one_in_its_place_is_another_one(void **state)
{
    (void)state;
    balancer_says("growth=1");
    open_glob("hold=2");
    there_are("a");
    now += SEC(10);
    udr_pick_t *pick = begin_in(0, 1, NULL);
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    report(pick, UDR_OUTCOME_BROKEN_OFF, 0);
    udr_pick_leave(pick);
    there_are("");
    there_are("b");
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_string_equal(name_of(pick), "b");
    is_served(pick);
    /* Nor has the other one failed, or sent it on. */
    const udr_slot_t *slot = udr_shared_slot(shared, glob()->berths[0]);
    assert_int_equal(atomic_load(&slot->failed), 0);
    assert_int_equal(atomic_load(&slot->retried), 0);
}

/* --- waiting --- */

static void waits_when_all_have_just_gone(void **state)
{
    (void)state;
    open_glob("hold=2");
    there_are("a b");
    (void)who_serves(0, 2);
    there_are("");
    udr_pick_t *pick = begin_in(0, 1, NULL);
    assert_int_equal(next(pick), UDR_PICKED_LATER);
    assert_true(until > now && until <= now + MS(250));
    now += SEC(1);
    assert_int_equal(next(pick), UDR_PICKED_LATER);
    there_are("c");
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_string_equal(name_of(pick), "c");
    is_served(pick);
    there_are("");
    now += SEC(2);
    assert_int_equal(next(begin_in(0, 2, NULL)), UDR_PICKED_NOBODY);
}

static void does_not_wait_while_another_is_there(void **state)
{
    (void)state;
    (void)balancer_has("/run/s", "");
    open_glob("hold=2");
    there_are("a");
    there_are("");
    assert_string_equal(who_serves(0, 3), "s");
}

static void waits_for_the_first_as_long_as_timeout_says(void **state)
{
    (void)state;
    balancer_says("timeout=5");
    open_glob("");
    udr_pick_t *pick = begin_in(0, 1, NULL);
    assert_int_equal(next(pick), UDR_PICKED_LATER);
    now += SEC(4);
    there_are("a");
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    is_served(pick);
}

/* --- sessions --- */

static void sessions_go_by_the_names(void **state)
{
    (void)state;
    balancer_says("stickysession=S");
    open_glob("");
    there_are("a.sock b.sock");
    for (int i = 0; i < 4; i++) {
        udr_pick_t *pick = begin_in(0, 1, "b");
        assert_int_equal(next(pick), UDR_PICKED_MEMBER);
        assert_string_equal(name_of(pick), "b.sock");
        is_served(pick);
    }
    there_are("a.sock");
    udr_pick_t *pick = begin_in(0, 1, "b");
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_string_equal(name_of(pick), "a.sock");
    is_served(pick);
}

static void bound_sessions_wait_and_are_free_then(void **state)
{
    (void)state;
    balancer_says("stickysession=S nofailover=On");
    open_glob("hold=2");
    there_are("a b");
    (void)who_serves(0, 2);
    there_are("a");
    udr_pick_t *pick = begin_in(0, 1, "b");
    assert_int_equal(next(pick), UDR_PICKED_LATER);
    there_are("a b");
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_string_equal(name_of(pick), "b");
    is_served(pick);
    there_are("a");
    now += SEC(2);
    pick = begin_in(0, 1, "b"); /* nobody has been b for so long that nobody is */
    assert_int_equal(next(pick), UDR_PICKED_MEMBER);
    assert_string_equal(name_of(pick), "a");
    is_served(pick);
}

/* --- all members --- */

static char visited[64];

static void note(void *baton, udr_member_t *member, apr_uint32_t state)
{
    static const char *const states[] = {[UDR_BERTH_FREE] = "free",
                                         [UDR_BERTH_UNCHECKED] = "unchecked",
                                         [UDR_BERTH_OPEN] = "open",
                                         [UDR_BERTH_DRAINING] = "draining"};
    (void)baton;
    strcat(strcat(strcat(visited, strrchr(member->target->address->name, '/') + 1), states[state]), " ");
}

static const char *visit_all(int child)
{
    visited[0] = '\0';
    udr_picker_visit(children[child].picker, note, NULL);
    return visited;
}

static void shows_all_members_as_of_now(void **state)
{
    (void)state;
    (void)balancer_has("/run/s", "");
    open_glob("");
    assert_string_equal(visit_all(0), "sopen ");
    there_are("a b");
    assert_string_equal(visit_all(0), "sopen aopen bopen ");
    udr_pick_t *pick = begin_in(0, 1, NULL);
    while (next(pick) == UDR_PICKED_MEMBER && strcmp(name_of(pick), "a") != 0) {
    }
    there_are("b");
    assert_string_equal(visit_all(0), "sopen adraining bopen ");
    udr_pick_leave(pick);
    (void)udr_berth_tend(shared, glob());
    assert_string_equal(visit_all(0), "sopen afree bopen ");
}

static int looks;

static void look(const udr_balancer_t *of, apr_time_t at)
{
    assert_ptr_equal(of, balancer);
    assert_int_equal(at, now);
    looks++;
    there_are("a");
}

static void looks_before_each_pick_where_nobody_else_does(void **state)
{
    const udr_picker_globs_t globs = {.lanes = 1, .look = look};
    (void)state;
    looks = 0;
    open_glob("");
    assert_int_equal(udr_picker_open_globs(children[0].picker, &globs, pool), APR_SUCCESS);
    assert_string_equal(who_serves(0, 3), "a");
    assert_int_equal(looks, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_children_find_who_has_come),
        TEST(stands_beside_single_members),
        TEST(spares_do_not_stand_in_for_nobody),
        TEST(member_stays_for_its_request),
        TEST(no_file_is_told_at_once),
        TEST(who_is_new_may_not_be_ready),
        TEST(waits_for_who_is_new),
        TEST(another_one_in_its_place_is_another_one),
        TEST(waits_when_all_have_just_gone),
        TEST(does_not_wait_while_another_is_there),
        TEST(waits_for_the_first_as_long_as_timeout_says),
        TEST(sessions_go_by_the_names),
        TEST(bound_sessions_wait_and_are_free_then),
        TEST(shows_all_members_as_of_now),
        TEST(looks_before_each_pick_where_nobody_else_does),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_picker_globs", tests, NULL, NULL);
}
