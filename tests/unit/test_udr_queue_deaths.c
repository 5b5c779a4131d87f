/* SPDX-License-Identifier: Apache-2.0 */
/* A child dies at each point of the schedule in turn, in whatever it is doing; then whoever cleans up after it dies,
 * too, at each point of that. The others must find the truth in the end, and get their turns in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_points.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the scene ---
 * maxconn=2; one request in flight of the survivor's, one of the victim's, and behind them there wait, in this order: a
 * survivor's, a victim's, a survivor's, a victim's, a survivor's. */

static child_t survivor;
static guest_t waiting[3];
static child_t victim; /* in the victim's process, as all of the next */
static guest_t flying;
static guest_t first;
static guest_t last;

/* What the victim is asked to do, and the points that are on the way. */
typedef struct step_t {
    const char *name;
    void (*act)(void);
    const char *points[12];
} step_t;

typedef struct order_t {
    const step_t *step;
    const char *point;
    int said[2]; /* it has come so far */
    int told[2]; /* it may go on */
} order_t;

static int be_victim(void *baton)
{
    const order_t *order = baton;
    if (!try_start_child(&victim)) {
        return 1;
    }
    flying = guest("F", &victim);
    first = guest("V", &victim);
    last = guest("W", &victim);
    if (enters(&flying) != APR_SUCCESS) {
        return 1;
    }
    tell(order->said);
    listen_to(order->told);
    if (enters(&first) != APR_EAGAIN) {
        return 1;
    }
    tell(order->said);
    listen_to(order->told);
    if (enters(&last) != APR_EAGAIN) {
        return 1;
    }
    tell(order->said);
    listen_to(order->told);
    fatal_point = order->point;
    order->step->act();
    return 0;
}

static void strike_scene(order_t *order)
{
    for (int i = 0; i < 2; i++) {
        close(order->said[i]);
        close(order->told[i]);
    }
}

/* The scene, up to the death of the victim. */
static void set_scene(order_t *order)
{
    guest_t mine = guest("M", &survivor);
    assert_int_equal(pipe(order->said), 0);
    assert_int_equal(pipe(order->told), 0);
    survivor = start_child();
    udr_queue_set_limit(shared, member, 2);
    assert_int_equal(enters(&mine), APR_SUCCESS);
    pid_t process = fork_child(be_victim, order);
    for (int i = 0; i < 3; i++) {
        listen_to(order->said);
        waiting[i] = guest(i == 0 ? "1" : i == 1 ? "2" : "3", &survivor);
        is_queued(&waiting[i]);
        assert_line(2, 2 * i + 1);
        tell(order->told);
    }
    assert_killed(process, order->point, order->step->name);
}

/* --- what a victim does --- */

static void enter_one_more(void)
{
    guest_t another = guest("X", &victim);
    (void)enters(&another);
}

static void enter_without_a_limit(void)
{
    atomic_store(&udr_shared_hot(shared, member)->limit, 0);
    enter_one_more();
}

static void end_one(void)
{
    is_done(&victim);
}

static void raise_limit(void)
{
    udr_queue_set_limit(shared, member, 5);
}

static void take_turn(void)
{
    udr_queue_set_limit(shared, member, 4);
    (void)is_granted(&first);
}

static void leave_queue(void)
{
    udr_queue_leave(victim.queue, &first.waiter);
}

static void leave_with_turn(void)
{
    udr_queue_set_limit(shared, member, 4);
    udr_queue_leave(victim.queue, &first.waiter);
}

static void die_with_turns(void)
{
    udr_queue_set_limit(shared, member, 6);
    die();
}

static void claim_another_row(void)
{
    apr_uint32_t row;
    (void)udr_row_claim(shared, &row);
}

static void release_another_row(void)
{
    apr_uint32_t row;
    const char *point = fatal_point;
    fatal_point = "";
    (void)udr_row_claim(shared, &row);
    fatal_point = point;
    (void)udr_row_release(shared, row);
}

static const step_t steps[] = {
    {"idle", die, {"here"}},
    {"turns", die_with_turns, {"here"}},
    {"enter", enter_without_a_limit, {"enter:begun", "enter:line", "enter:ended"}},
    {"wait", enter_one_more, {"wait:line", "wait:marked", "wait:listed"}},
    {"done",
     end_one,
     {"done:begun", "done:line", "done:ended", "grant:line", "unlink:half", "grant:marked", "grant:counted"}},
    {"limit", raise_limit, {"grant:line", "unlink:half", "grant:marked", "grant:counted"}},
    {"granted", take_turn, {"granted:marked", "granted:taken"}},
    {"leave", leave_queue, {"unlink:half", "leave:marked", "leave:line"}},
    {"leave with a turn", leave_with_turn, {"leave:taken", "leave:marked", "leave:line"}},
    {"claim", claim_another_row, {"claim:locked", "claim:alive"}},
    {"release", release_another_row, {"release:free"}},
};

#define STEPS  (sizeof steps / sizeof *steps)
#define POINTS (sizeof steps->points / sizeof *steps->points)

/* Each step and point of it, in a server of its own. */
static void for_each_death(void (*test)(order_t *order))
{
    for (size_t i = 0; i < STEPS; i++) {
        for (size_t j = 0; j < POINTS && steps[i].points[j]; j++) {
            order_t order = {.step = &steps[i], .point = steps[i].points[j]};
            assert_int_equal(shared_set_up(NULL), 0);
            test(&order);
            assert_int_equal(shared_tear_down(NULL), 0);
        }
    }
}

/* --- one death --- */

/* Those of the survivor's who have got no turn yet get them in order, one for each that ends. */
static void play_to_the_end(order_t *order, int in_flight)
{
    assert_line(in_flight, 4 - in_flight);
    (void)udr_queue_wake(survivor.queue);
    assert_int_equal(strlen(woken), in_flight - 1);
    for (int i = 0; i < 3; i++) {
        if (i >= in_flight - 1) {
            assert_false(is_granted(&waiting[i]));
            is_done(&survivor);
            (void)udr_queue_wake(survivor.queue);
        }
        assert_true(is_granted(&waiting[i]));
    }
    assert_string_equal(woken, "123");
    for (int i = 0; i < in_flight; i++) {
        is_done(&survivor);
    }
    assert_line(0, 0);
    end_child(&survivor);
    assert_nothing_left();
    strike_scene(order);
}

/* What the victim has left is away; what it has made of the limit stays. */
static void clean_up_after(order_t *order)
{
    set_scene(order);
    assert_true(udr_row_reap(shared) >= 1);
    assert_int_equal(udr_row_reap(shared), 0);
    apr_uint32_t limit = atomic_load(&udr_shared_hot(shared, member)->limit);
    play_to_the_end(order, limit == 0 || limit > 4 ? 4 : (int)limit);
}

static void finds_the_truth_after_a_death_at_any_point(void **state)
{
    (void)state;
    for_each_death(clean_up_after);
}

/* --- and another one, of who cleans up --- */

static const char *const reaping_points[] = {
    "reap:marked",   "rebuild:begun", "rebuild:sorted", "rebuild:linked", "discard:marked",
    "unlink:half",   "recount:found", "recount:line",   "grant:line",     "grant:marked",
    "grant:counted", "reap:cleared",  "release:free",
};

#define REAPING_POINTS (sizeof reaping_points / sizeof *reaping_points)

static unsigned int times_hit[REAPING_POINTS];
static const char *reaping_point;

static int reap_and_die(void *baton)
{
    (void)baton;
    fatal_point = reaping_point;
    (void)udr_row_reap(shared);
    return 0;
}

/* One after the other: each finds what the one before has left. */
static void clean_up_after_all(order_t *order)
{
    set_scene(order);
    for (size_t i = 0; i < REAPING_POINTS; i++) {
        reaping_point = reaping_points[i];
        int status = await_child(fork_child(reap_and_die, NULL));
        times_hit[i] += WIFSIGNALED(status) ? 1 : 0;
    }
    (void)udr_row_reap(shared);
    udr_queue_set_limit(shared, member, 5);
    play_to_the_end(order, 4);
}

static void clean_up_after_one(order_t *order)
{
    set_scene(order);
    (void)await_child(fork_child(reap_and_die, NULL));
    (void)udr_row_reap(shared);
    udr_queue_set_limit(shared, member, 5);
    play_to_the_end(order, 4);
}

static void finds_the_truth_when_all_who_look_for_it_die(void **state)
{
    (void)state;
    memset(times_hit, 0, sizeof times_hit);
    for_each_death(clean_up_after_all);
    for (size_t i = 0; i < REAPING_POINTS; i++) {
        if (times_hit[i] == 0) {
            print_error("nobody died at %s\n", reaping_points[i]);
            fail();
        }
    }
}

static void finds_the_truth_when_one_who_looks_for_it_dies(void **state)
{
    (void)state;
    for (size_t i = 0; i < REAPING_POINTS; i++) {
        reaping_point = reaping_points[i];
        for_each_death(clean_up_after_one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_truth_after_a_death_at_any_point),
        cmocka_unit_test(finds_the_truth_when_all_who_look_for_it_die),
        cmocka_unit_test(finds_the_truth_when_one_who_looks_for_it_dies),
    };
    apr_initialize();
    alarm(60); /* for a turn that never comes */
    return cmocka_run_group_tests_name("udr_queue_deaths", tests, NULL, NULL);
}
