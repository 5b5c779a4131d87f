/* SPDX-License-Identifier: Apache-2.0 */
/* Another name moves into the berth of the member that is just being picked. The queue is built in as in a debug build:
 * at its points somebody else does something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_tenant.h"
#include "tests/unit/fixture_balancer.h"
#include "tests/unit/fixture_glob.h"

#include <apr_general.h>

#include <string.h>

static udr_pick_t pick;
static apr_time_t now;
static apr_time_t until;
static const char *point = "";
static const char *names; /* that are there from that point on, */
static bool they_go;      /* or have come and gone by then */

static const udr_glob_t *glob(void)
{
    return APR_ARRAY_IDX(balancer->globs, 0, const udr_glob_t *);
}

static const char *there_are(const char *words)
{
    return glob_merge(shared, glob(), words, now, pool);
}

/* In place of the one in udr_debug.c, which a debug build has beside it (--wrap). */
void __wrap_udr_debug_pass(const char *passed);

void __wrap_udr_debug_pass(const char *passed)
{
    if (strcmp(passed, point) == 0) {
        point = "";
        (void)there_are("");
        (void)there_are(names);
        if (they_go) {
            (void)there_are("");
        }
    }
}

static int open_with(void **state, const char *growth, const char *first)
{
    now = apr_time_from_sec(4000000);
    they_go = false;
    memset(&pick, 0, sizeof pick);
    if (balancer_set_up(state) != 0) {
        return -1;
    }
    balancer_says(growth);
    balancer_has_glob("/run/app/*", "hold=2");
    balancer_open();
    (void)there_are(first);
    return 0;
}

static int set_up(void **state)
{
    return open_with(state, "growth=1", "a");
}

static int set_up_two(void **state)
{
    return open_with(state, "growth=2", "a b");
}

static int tear_down(void **state)
{
    udr_pick_leave(&pick);
    udr_pick_end(&pick);
    return balancer_tear_down(state);
}

static udr_picked_t pick_one(void)
{
    const udr_occasion_t occasion = {.key = NULL};
    udr_pick_begin(&pick, children[0].picker, &occasion, NULL, NULL, pool);
    return udr_pick_next(&pick, now, &until);
}

static const char *name_of(const udr_member_t *member)
{
    return strrchr(member->target->address->name, '/') + 1;
}

static void assert_counted(const char *name)
{
    const udr_hot_t *hot = udr_shared_hot(shared, glob()->berths[0]);
    assert_string_equal(name_of(pick.member), name);
    assert_int_equal(udr_hot_busy(hot), 1);
    assert_int_equal(atomic_load(&hot->elected), 1);
    assert_int_equal(pick.tried, 1);
    assert_int_equal(atomic_load(&pick.member->tenant->users), 1);
}

/* Before the request counts: it finds out, and asks the one who is there. */
static void leaves_who_is_somebody_else_now(void **state)
{
    (void)state;
    point = "enter:begun";
    names = "b";
    assert_int_equal(pick_one(), UDR_PICKED_MEMBER);
    assert_counted("b");
}

/* After it counts: nobody moves in. */
static void nobody_moves_in_once_it_is_counted(void **state)
{
    (void)state;
    point = "enter:line";
    names = "b";
    assert_int_equal(pick_one(), UDR_PICKED_MEMBER);
    assert_counted("a"); /* its file has gone: connecting will tell */
    udr_pick_leave(&pick);
    assert_string_equal(there_are("b"), "+b");
}

/* It was to go on from one to the other, who has gone just then, and nobody is left: it waits with the former one,
 * whose connection the exchange may still have. */
static void keeps_the_former_one_until_there_is_another(void **state)
{
    (void)state;
    assert_int_equal(pick_one(), UDR_PICKED_MEMBER);
    udr_member_t *former = pick.member;
    int former_index = pick.index;
    point = "enter:begun";
    names = "c d";
    they_go = true;
    assert_int_equal(udr_pick_next(&pick, now, &until), UDR_PICKED_LATER);
    assert_string_equal(point, "");
    assert_ptr_equal(pick.member, former);
    assert_int_equal(pick.index, former_index);
    assert_int_equal(atomic_load(&former->tenant->users), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(leaves_who_is_somebody_else_now),
        TEST(nobody_moves_in_once_it_is_counted),
        cmocka_unit_test_setup_teardown(keeps_the_former_one_until_there_is_another, set_up_two, tear_down),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_picker_moves", tests, NULL, NULL);
}
