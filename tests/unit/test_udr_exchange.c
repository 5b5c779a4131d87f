/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an exchange: its states, a request that goes well, its turn and its connection. Timeouts:
 * test_udr_exchange_time.c; the connection's fate and a second attempt: test_udr_exchange_again.c; an end at any
 * moment: test_udr_exchange_end.c. What is sent and received in detail: test_udr_exchange_send.c,
 * test_udr_exchange_receive.c and, as the client gets it, test_udr_exchange_relay.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

/* --- the table of states --- */

static void has_exactly_these_edges(void **state)
{
    /* To: Start(A: again) hold(W) Queue Turn Connect Send Head Relay tunnel(U) Done Failed; a letter where the edge
     * exists. */
    static const char *const edges[UDR_EXCHANGE_STATES] = {
        [UDR_EXCHANGE_START] = "AWQTCS....F",   [UDR_EXCHANGE_HOLD] = "A.QTCS....F",
        [UDR_EXCHANGE_QUEUE] = "A..TCS....F",   [UDR_EXCHANGE_TURN] = "A...CS....F",
        [UDR_EXCHANGE_CONNECT] = "A....S....F", [UDR_EXCHANGE_SEND] = "A.....HR..F",
        [UDR_EXCHANGE_HEAD] = "A......RU.F",    [UDR_EXCHANGE_RELAY] = ".........DF",
        [UDR_EXCHANGE_TUNNEL] = ".........DF",  [UDR_EXCHANGE_DONE] = "...........",
        [UDR_EXCHANGE_FAILED] = "...........",
    };
    (void)state;
    assert_int_equal(UDR_EXCHANGE_STATES, 11);
    for (int from = 0; from < UDR_EXCHANGE_STATES; from++) {
        for (int to = 0; to < UDR_EXCHANGE_STATES; to++) {
            bool has = udr_exchange_has_edge((udr_exchange_state_t)from, (udr_exchange_state_t)to);
            if (has != (edges[from][to] != '.')) {
                fail_msg("%s to %s", udr_exchange_state_name((udr_exchange_state_t)from),
                         udr_exchange_state_name((udr_exchange_state_t)to));
            }
        }
    }
}

static void names_its_states(void **state)
{
    static const char *const names[] = {"start", "hold",  "queue",  "turn", "connect", "send",
                                        "head",  "relay", "tunnel", "done", "failed"};
    (void)state;
    for (int i = 0; i < UDR_EXCHANGE_STATES; i++) {
        assert_string_equal(udr_exchange_state_name((udr_exchange_state_t)i), names[i]);
    }
}

/* --- a request that goes well --- */

static void goes_through_a_get(void **state)
{
    scene_t *scene = *state;
    apr_time_t begun = scene->now;
    scene_begin(scene);
    const udr_times_t *times = udr_exchange_times(scene->exchange);
    assert_int_equal(udr_exchange_fd(scene->exchange), -1);
    assert_int_equal(udr_exchange_scratch_size(scene->exchange), 64 * 1024);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 0);

    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, begun + scene->member->settings.timeout);
    assert_true(udr_exchange_fd(scene->exchange) >= 0);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
    assert_true(udr_exchange_body_taken(scene->exchange));
    assert_false(udr_exchange_head_passed(scene->exchange));
    assert_counts(scene, 0, 1);
    int fd = member_accepts(scene);
    assert_string_equal(member_reads(scene, fd), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");

    scene_pass_time(scene, 1000);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_true(udr_exchange_head_passed(scene->exchange));
    assert_story(scene, "head:200");

    scene_pass_time(scene, 1000);
    member_says(fd, "hello");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "head:200 data:5 end");
    assert_text(&scene->client.body, "hello");
    assert_int_equal(udr_exchange_fd(scene->exchange), -1);
    assert_counts(scene, 1, 0);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
    assert_int_equal(udr_exchange_moved(scene->exchange), 5);

    assert_int_equal(times->begun, begun);
    assert_int_equal(times->turn, begun);
    assert_int_equal(times->connecting, begun);
    assert_true(times->connected > begun);
    assert_int_equal(times->first_byte, begun + 1000);
    assert_int_equal(times->ended, begun + 2000);
    close(fd);
}

static void does_nothing_more_at_its_end(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    apr_time_t ended = scene->now;
    /* Whatever comes, it has ended. */
    udr_scratch_t scratch = {NULL, 0, NULL};
    assert_false(udr_exchange_run(scene->exchange, &scratch, 31, scene->now + apr_time_from_sec(3600)));
    udr_exchange_cancel(scene->exchange);
    assert_done(scene);
    assert_story(scene, "head:200 data:5 end");
    assert_int_equal(udr_exchange_times(scene->exchange)->ended, ended);
    assert_counts(scene, 1, 0);
    close(fd);
}

static text_t heard;

/* Only the steps: the words are for people and may change. */
static void hear(void *client, const char *step, const char *text)
{
    (void)client;
    assert_true(text[0] != '\0');
    text_add(&heard, heard.len ? " " : "", heard.len ? 1 : 0);
    text_add(&heard, step, strlen(step));
}

static void tells_its_story_to_who_listens(void **state)
{
    scene_t *scene = *state;
    scene->ops.trace = hear;
    int fd = scene_start_and_read(scene);
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_text(&heard, "pick connect send send head relay release");
    text_clear(&heard);
    assert_true(scene_start(scene));
    assert_text(&heard, "pick pool send send");
    text_clear(&heard);
    member_reads_and_closes(scene, fd);
    assert_true(scene_settle(scene));
    assert_text(&heard, "retry pick connect send send");
    text_clear(&heard);
    scene->ops.trace = NULL;
}

/* --- a turn --- */

static void waits_for_its_turn(void **state)
{
    scene_t *scene = *state;
    apr_time_t begun = scene->now;
    scene_hold_turn(scene);
    scene->member->settings.acquire = apr_time_from_sec(7);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_TURN, 0, 0);
    assert_true(udr_exchange_wait(scene->exchange)->turn);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, begun + apr_time_from_sec(7));
    assert_int_equal(scene_count_waiting(scene), 1);
    /* Run without reason, it keeps its place. */
    scene_pass_time(scene, 500);
    assert_true(scene_settle(scene));
    assert_int_equal(scene_count_waiting(scene), 1);
    assert_int_equal(scene->wakes, 0);
    assert_false(place_is_wanted(&scene->place));

    scene_give_turn(scene);
    assert_int_equal(scene->wakes, 1);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_times(scene->exchange)->turn, begun + 500);
    assert_int_equal(udr_exchange_times(scene->exchange)->connecting, begun + 500);
    assert_counts(scene, 0, 1);
}

static void gives_up_its_place_after_acquire(void **state)
{
    scene_t *scene = *state;
    scene_hold_turn(scene);
    scene->member->settings.acquire = apr_time_from_sec(7);
    assert_true(scene_start(scene));
    assert_false(scene_wait_out(scene));
    scene_give_turn(scene);
    assert_failed(scene, UDR_FAILURE_TURN, UDR_EXCHANGE_TURN);
    assert_int_equal(scene_count_waiting(scene), 0);
    assert_int_equal(scene->wakes, 0);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 0);
    assert_int_equal(udr_exchange_times(scene->exchange)->turn, 0);
}

static void takes_a_turn_that_comes_at_the_last_moment(void **state)
{
    scene_t *scene = *state;
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    scene_give_turn(scene);
    scene_pass_time(scene, scene->member->settings.acquire);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
}

static void takes_the_connection_that_comes_with_a_turn(void **state)
{
    scene_t *scene = *state;
    udr_waiter_t holder = {.wake = NULL};
    int fd = scene_keep_connection(scene);
    scene->member->settings.max = 1;
    assert_int_equal(udr_pool_take(scene->member->pool, &holder), APR_SUCCESS);
    udr_connection_t *connection = udr_pool_idle(scene->member->pool, 0, true, scene->now);
    assert_non_null(connection);
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_TURN);
    udr_pool_give(scene->member->pool, connection, 0);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_times(scene->exchange)->connecting, 0);
    assert_false(place_is_wanted(&scene->place));
    close(fd);
}

/* --- connecting --- */

static void fails_at_once_where_there_is_nobody(void **state)
{
    scene_t *scene = *state;
    place_abandon(&scene->place);
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_why(scene, NULL, ECONNREFUSED);
    unlink(scene->place.path);
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_why(scene, NULL, ENOENT);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
    assert_int_equal(udr_exchange_times(scene->exchange)->connected, 0);
    assert_story(scene, "");
}

static void fails_without_descriptors(void **state)
{
    scene_t *scene = *state;
    struct rlimit before;
    scene_begin(scene);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool waits = scene_run(scene, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(waits);
    assert_failed(scene, UDR_FAILURE_SOCKET, UDR_EXCHANGE_START);
    assert_why(scene, NULL, EMFILE);
}

static void waits_for_room_in_the_backlog(void **state)
{
    scene_t *scene = *state;
    apr_time_t begun = scene->now;
    scene_fill_backlog(scene);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_CONNECT, 0, 0);
    assert_int_equal(udr_exchange_fd(scene->exchange), -1);
    assert_counts(scene, 0, 1);
    place_make_room(&scene->place);
    assert_false(place_is_wanted(&scene->place));
    /* Nobody is asked before the pause is over. */
    assert_true(scene_run(scene, 0));
    assert_state(scene, UDR_EXCHANGE_CONNECT);
    assert_false(place_is_wanted(&scene->place));
    assert_true(scene_wait_out(scene));
    assert_true(place_is_wanted(&scene->place));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_times(scene->exchange)->connecting, begun);
    assert_true(udr_exchange_times(scene->exchange)->connected > begun);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
}

static void waits_ever_longer_for_the_backlog(void **state)
{
    /* Milliseconds: doubling up to 50, each with half of it fixed and as much again by chance. */
    static const apr_interval_time_t pauses[] = {1, 2, 4, 8, 16, 32, 50, 50, 50};
    scene_t *scene = *state;
    scene_fill_backlog(scene);
    assert_true(scene_start(scene));
    for (size_t i = 0; i < COUNT(pauses); i++) {
        apr_interval_time_t pause = udr_exchange_wait(scene->exchange)->until - scene->now;
        assert_in_range(pause, pauses[i] * 500, pauses[i] * 1500 - 1);
        assert_true(scene_wait_out(scene));
        assert_state(scene, UDR_EXCHANGE_CONNECT);
    }
}

static void gives_up_on_a_full_backlog_after_connectiontimeout(void **state)
{
    scene_t *scene = *state;
    apr_time_t begun = scene->now;
    scene_fill_backlog(scene);
    scene->member->settings.connect_timeout = apr_time_from_sec(2);
    bool waits = scene_start(scene);
    while (waits) {
        assert_true(udr_exchange_wait(scene->exchange)->until <= begun + apr_time_from_sec(2));
        waits = scene_wait_out(scene);
    }
    assert_failed(scene, UDR_FAILURE_CONNECT_TIMEOUT, UDR_EXCHANGE_CONNECT);
    assert_why(scene, NULL, EAGAIN);
    assert_int_equal(scene->now, begun + apr_time_from_sec(2));
}

static void asks_a_last_time_when_connectiontimeout_is_over(void **state)
{
    scene_t *scene = *state;
    scene_fill_backlog(scene);
    assert_true(scene_start(scene));
    place_make_room(&scene->place);
    scene_pass_time(scene, scene->member->settings.connect_timeout);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
}

static void notices_that_the_member_goes_while_it_waits_to_connect(void **state)
{
    scene_t *scene = *state;
    scene_fill_backlog(scene);
    assert_true(scene_start(scene));
    place_abandon(&scene->place);
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_why(scene, NULL, ECONNREFUSED);
}

static void speaks_only_to_the_peer_that_is_asked_for(void **state)
{
    scene_t *scene = *state;
    const udr_peer_t self = {.check_user = true, .user = geteuid(), .text = "self"};
    const udr_peer_t other = {.check_user = true, .user = geteuid() + 1, .text = "other"};
    scene->member->settings.peer = &other;
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_PEER, UDR_EXCHANGE_CONNECT);
    assert_why(scene, place_describe_peer(&scene->place), APR_SUCCESS);
    /* Not a byte has been said to it. */
    int fd = member_accepts(scene);
    assert_string_equal(member_reads(scene, fd), "");
    close(fd);

    scene->member->settings.peer = &self;
    fd = scene_start_and_read(scene);
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    close(fd);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_exactly_these_edges),
        cmocka_unit_test(names_its_states),
        in_scene(goes_through_a_get),
        in_scene(does_nothing_more_at_its_end),
        in_scene(tells_its_story_to_who_listens),
        in_scene(waits_for_its_turn),
        in_scene(gives_up_its_place_after_acquire),
        in_scene(takes_a_turn_that_comes_at_the_last_moment),
        in_scene(takes_the_connection_that_comes_with_a_turn),
        in_scene(fails_at_once_where_there_is_nobody),
        in_scene(fails_without_descriptors),
        in_scene(waits_for_room_in_the_backlog),
        in_scene(waits_ever_longer_for_the_backlog),
        in_scene(gives_up_on_a_full_backlog_after_connectiontimeout),
        in_scene(asks_a_last_time_when_connectiontimeout_is_over),
        in_scene(notices_that_the_member_goes_while_it_waits_to_connect),
        in_scene(speaks_only_to_the_peer_that_is_asked_for),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange", tests, NULL, NULL);
}
