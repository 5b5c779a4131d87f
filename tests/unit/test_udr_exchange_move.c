/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange goes from one runner to another between two runs: from a worker, lane 0, to a loop. And the connection
 * that it shows to the loop for watching. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_loop.h"
#include "tests/unit/fixture_exchange.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <string.h>
#include <unistd.h>

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

enum { LANES = 3, WORKER = 0, LOOP = 2 };

static udr_loop_t *loop; /* of lane LOOP; runs a round when the test says so */
static int told;         /* of events, by the loop */

static int new_wakes; /* of the runner that takes over */

static void wake_new(udr_waiter_t *waiter)
{
    int *count = waiter->baton;
    ++*count;
}

/* The scene's member with a pool of more than one lane. */
static int set_up(void **state)
{
    new_wakes = 0;
    if (scene_set_up(state) != 0) {
        return -1;
    }
    scene_t *scene = *state;
    told = 0;
    return udr_loop_create(&loop, scene->child) != APR_SUCCESS ||
           udr_pool_create(&scene->member->pool, scene->member, LANES, scene->child) != APR_SUCCESS;
}

static void move_to(scene_t *scene, int lane)
{
    udr_exchange_move(scene->exchange, wake_new, NULL, &new_wakes, lane);
}

static void is_told(udr_watch_t *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    told++;
}

/* As the loop's runner does once it has taken over. */
static void watch_connection(scene_t *scene)
{
    udr_connection_t *connection = udr_exchange_connection(scene->exchange);
    assert_int_equal(udr_connection_watch(connection, loop, is_told), APR_SUCCESS);
    connection->watch->baton = scene;
}

/* A round of it: what there is to tell is told. */
static void run_once(void)
{
    told = 0;
    udr_loop_stop(loop);
    udr_loop_run(loop);
}

/* How many connections are idle in that lane. They are closed. */
static int close_idle(const scene_t *scene, int lane)
{
    return udr_pool_tidy(scene->member->pool, lane, udr_clock_now() + apr_time_from_sec(3600));
}

/* The member answers, and the connection is kept in that lane: in a loop's, if that watches it. */
static void expect_end_in_lane(scene_t *scene, int fd, int lane)
{
    if (lane == LOOP) {
        watch_connection(scene);
    }
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 1, 0);
    assert_int_equal(close_idle(scene, lane), 1);
    close(fd);
}

/* --- the turn --- */

static void wakes_the_new_runner_when_the_turn_comes(void **state)
{
    scene_t *scene = *state;
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_TURN, 0, 0);
    move_to(scene, LOOP);
    assert_int_equal(scene_count_waiting(scene), 1);
    scene_give_turn(scene);
    assert_int_equal(new_wakes, 1);
    assert_int_equal(scene->wakes, 0);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    int fd = member_accepts(scene);
    (void)member_reads(scene, fd);
    expect_end_in_lane(scene, fd, LOOP);
}

/* The new runner is not told what the one before has been told: it runs the exchange once to begin with. */
static void finds_the_turn_that_came_before_the_move(void **state)
{
    scene_t *scene = *state;
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    scene_give_turn(scene);
    assert_int_equal(scene->wakes, 1);
    move_to(scene, LOOP);
    assert_int_equal(new_wakes, 0);
    assert_true(scene_run(scene, 0));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_counts(scene, 0, 1);
    int fd = member_accepts(scene);
    (void)member_reads(scene, fd);
    expect_end_in_lane(scene, fd, LOOP);
}

static void keeps_its_place_and_its_time_in_the_queue(void **state)
{
    scene_t *scene = *state;
    udr_waiter_t behind = {.wake = NULL};
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    assert_int_equal(udr_pool_take(scene->member->pool, &behind), APR_EAGAIN);
    apr_time_t until = udr_exchange_wait(scene->exchange)->until;
    scene_pass_time(scene, apr_time_from_sec(1));
    move_to(scene, LOOP);
    assert_true(scene_run(scene, 0));
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, until);
    scene_give_turn(scene);
    assert_int_equal(new_wakes, 1);
    assert_int_equal(scene_count_waiting(scene), 1);
    /* And it is as much a turn as any: given up, it goes on to who is behind. */
    scene_end(scene);
    assert_int_equal(scene_count_waiting(scene), 0);
    assert_int_equal(udr_pool_take(scene->member->pool, &behind), APR_SUCCESS);
    scene_give_turn(scene);
}

static void gives_up_waiting_after_a_move(void **state)
{
    scene_t *scene = *state;
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    move_to(scene, LOOP);
    assert_false(scene_wait_out(scene));
    assert_state(scene, UDR_EXCHANGE_FAILED);
    assert_int_equal(udr_exchange_failure(scene->exchange)->kind, UDR_FAILURE_TURN);
    assert_int_equal(scene_count_waiting(scene), 0);
    scene_give_turn(scene);
    assert_int_equal(new_wakes + scene->wakes, 0);
}

static void leaves_the_queue_when_cancelled_after_a_move(void **state)
{
    scene_t *scene = *state;
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    move_to(scene, LOOP);
    udr_exchange_cancel(scene->exchange);
    assert_int_equal(scene_count_waiting(scene), 0);
    scene_give_turn(scene);
    assert_int_equal(new_wakes + scene->wakes, 0);
}

/* --- the lane --- */

static int keep_another(scene_t *scene, int lane)
{
    scene->plan.lane = lane;
    int fd = scene_start_and_read(scene);
    if (lane == LOOP) {
        watch_connection(scene);
    }
    member_says(fd, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_done(scene);
    return fd;
}

/* Both have one: it takes the one of the lane that it is in when its turn has come. */
static void begins_in_the_lane_it_was_moved_to(void **state)
{
    scene_t *scene = *state;
    int in_loop = keep_another(scene, LOOP);
    udr_waiter_t holder = {.wake = NULL};
    assert_int_equal(udr_pool_take(scene->member->pool, &holder), APR_SUCCESS);
    udr_connection_t *aside = udr_pool_idle(scene->member->pool, LOOP, true, scene->now);
    int worker = keep_another(scene, WORKER);
    udr_pool_give(scene->member->pool, aside, LOOP);
    assert_counts(scene, 2, 0);

    scene_begin(scene);
    move_to(scene, LOOP);
    assert_true(scene_settle(scene));
    assert_false(place_is_wanted(&scene->place));
    assert_string_equal(member_reads(scene, worker), "");
    assert_string_equal(member_reads(scene, in_loop), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_ptr_equal(udr_exchange_connection(scene->exchange)->loop, loop);
    member_says(in_loop, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_int_equal(close_idle(scene, WORKER), 1);
    assert_int_equal(close_idle(scene, LOOP), 1);
    close(worker);
    close(in_loop);
}

static void takes_its_connection_along(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    (void)member_reads(scene, fd);
    udr_connection_t *connection = udr_exchange_connection(scene->exchange);
    move_to(scene, LOOP);
    assert_ptr_equal(udr_exchange_connection(scene->exchange), connection);
    watch_connection(scene);
    member_says(fd, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_done(scene);
    /* A worker that finds none in its own lane takes it away from there. */
    assert_int_equal(close_idle(scene, WORKER), 0);
    assert_true(scene_start(scene));
    assert_false(place_is_wanted(&scene->place));
    assert_ptr_equal(udr_exchange_connection(scene->exchange), connection);
    assert_null(connection->loop);
    (void)member_reads(scene, fd);
    expect_end_in_lane(scene, fd, WORKER);
}

static void goes_on_while_it_connects(void **state)
{
    scene_t *scene = *state;
    scene_fill_backlog(scene);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_CONNECT, 0, 0);
    move_to(scene, LOOP);
    assert_true(scene_wait_out(scene));
    assert_waits(scene, UDR_EXCHANGE_CONNECT, 0, 0);
    place_disperse(&scene->place);
    while (place_is_wanted(&scene->place)) {
        place_make_room(&scene->place);
    }
    assert_true(scene_wait_out(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    int fd = member_accepts(scene);
    (void)member_reads(scene, fd);
    expect_end_in_lane(scene, fd, LOOP);
}

static void goes_on_while_it_sends(void **state)
{
    scene_t *scene = *state;
    client_sends(&scene->client, "one");
    int fd = scene_start_post(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    move_to(scene, LOOP);
    client_sends(&scene->client, "two");
    scene->client.behind = APR_EOF;
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_string_equal(member_reads(scene, fd), "3\r\ntwo\r\n0\r\n\r\n");
    expect_end_in_lane(scene, fd, LOOP);
}

static void goes_on_while_it_relays(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    move_to(scene, LOOP);
    watch_connection(scene);
    member_says(fd, "world");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_text(&scene->client.body, "helloworld");
    assert_int_equal(close_idle(scene, LOOP), 1);
    close(fd);
}

static void moves_more_than_once(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    move_to(scene, LOOP);
    assert_true(scene_run(scene, 0));
    move_to(scene, 1);
    move_to(scene, WORKER);
    expect_end_in_lane(scene, fd, WORKER);
}

static void tries_again_in_the_new_lane(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    move_to(scene, LOOP);
    member_reads_and_closes(scene, fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    fd = member_accepts(scene);
    (void)member_reads(scene, fd);
    expect_end_in_lane(scene, fd, LOOP);
}

static void is_not_moved_by_its_end(void **state)
{
    scene_t *scene = *state;
    close(scene_keep_connection(scene));
    move_to(scene, LOOP);
    assert_done(scene);
    assert_counts(scene, 1, 0);
    udr_exchange_cancel(scene->exchange);
    assert_done(scene);
    assert_int_equal(close_idle(scene, WORKER), 1);
}

/* --- the connection --- */

static void shows_no_connection_before_it_is_connected(void **state)
{
    scene_t *scene = *state;
    scene_hold_turn(scene);
    scene_begin(scene);
    assert_null(udr_exchange_connection(scene->exchange));
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_TURN);
    assert_null(udr_exchange_connection(scene->exchange));
    scene_fill_backlog(scene);
    scene_give_turn(scene);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_CONNECT);
    assert_null(udr_exchange_connection(scene->exchange));
    assert_int_equal(udr_exchange_fd(scene->exchange), -1);
}

static void shows_its_connection_until_it_ends(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_post(scene);
    udr_connection_t *connection = udr_exchange_connection(scene->exchange);
    assert_non_null(connection);
    assert_int_equal(connection->fd, udr_exchange_fd(scene->exchange));
    assert_null(connection->loop);
    assert_null(connection->watch);
    scene->client.behind = APR_EOF;
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_ptr_equal(udr_exchange_connection(scene->exchange), connection);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_RELAY);
    assert_ptr_equal(udr_exchange_connection(scene->exchange), connection);
    member_says(fd, "llo");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_null(udr_exchange_connection(scene->exchange));
    close(fd);
}

static void leaves_a_kept_connection_watched(void **state)
{
    static const int limits[] = {0, 1}; /* `max` makes no difference */
    scene_t *scene = *state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        scene->member->settings.max = limits[i];
        int fd = scene_start_and_read(scene);
        udr_connection_t *connection = udr_exchange_connection(scene->exchange);
        move_to(scene, LOOP);
        watch_connection(scene);
        udr_watch_t *watch = connection->watch;
        member_says(fd, OK_HELLO);
        assert_false(scene_settle(scene));
        assert_done(scene);
        assert_null(watch->baton);

        scene->plan.lane = LOOP;
        assert_true(scene_start(scene));
        assert_ptr_equal(udr_exchange_connection(scene->exchange), connection);
        assert_ptr_equal(connection->loop, loop);
        assert_ptr_equal(connection->watch, watch);
        assert_true(watch->is_watched);
        (void)member_reads(scene, fd);
        member_says(fd, OK_HELLO);
        run_once();
        assert_int_equal(told, 1);
        assert_false(scene_settle(scene));
        assert_int_equal(close_idle(scene, LOOP), 1);
        scene->plan.lane = WORKER;
        close(fd);
    }
}

/* One that the loop could not watch is not for its lane, where whoever takes it relies on that. */
static void keeps_an_unwatched_connection_for_all(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    move_to(scene, LOOP);
    expect_end_in_lane(scene, fd, WORKER);
}

static void cancel(scene_t *scene, int fd)
{
    udr_exchange_cancel(scene->exchange);
    close(fd);
}

static void answer_nonsense(scene_t *scene, int fd)
{
    member_says(fd, "nonsense\r\n\r\n");
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    close(fd);
}

static void end_with_request(scene_t *scene, int fd)
{
    scene_end(scene);
    close(fd);
}

static void unwatches_a_connection_that_it_closes(void **state)
{
    static void (*const ways[])(scene_t * scene, int fd) = {cancel, answer_nonsense, end_with_request};
    scene_t *scene = *state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int fd = scene_start_and_read(scene);
        /* The kernel watches an open file, not a descriptor: a copy shows whether the loop still does. */
        int copy = dup(udr_exchange_fd(scene->exchange));
        move_to(scene, LOOP);
        watch_connection(scene);
        ways[i](scene, fd);
        run_once();
        if (told != 0) {
            fail_msg("way %zu: told %d times", i, told);
        }
        close(copy);
    }
}

static void unwatches_a_connection_before_it_tries_again(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    int copy = dup(udr_exchange_fd(scene->exchange));
    move_to(scene, LOOP);
    watch_connection(scene);
    member_reads_and_closes(scene, fd);
    assert_true(scene_settle(scene));
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    udr_connection_t *connection = udr_exchange_connection(scene->exchange);
    assert_null(connection->loop);
    assert_null(connection->watch);
    run_once();
    assert_int_equal(told, 0);
    close(copy);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_scene(wakes_the_new_runner_when_the_turn_comes),
        in_scene(finds_the_turn_that_came_before_the_move),
        in_scene(keeps_its_place_and_its_time_in_the_queue),
        in_scene(gives_up_waiting_after_a_move),
        in_scene(leaves_the_queue_when_cancelled_after_a_move),
        in_scene(begins_in_the_lane_it_was_moved_to),
        in_scene(takes_its_connection_along),
        in_scene(goes_on_while_it_connects),
        in_scene(goes_on_while_it_sends),
        in_scene(goes_on_while_it_relays),
        in_scene(moves_more_than_once),
        in_scene(tries_again_in_the_new_lane),
        in_scene(is_not_moved_by_its_end),
        in_scene(shows_no_connection_before_it_is_connected),
        in_scene(shows_its_connection_until_it_ends),
        in_scene(leaves_a_kept_connection_watched),
        in_scene(keeps_an_unwatched_connection_for_all),
        in_scene(unwatches_a_connection_that_it_closes),
        in_scene(unwatches_a_connection_before_it_tries_again),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_move", tests, NULL, NULL);
}
