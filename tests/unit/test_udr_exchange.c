/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an exchange: states, turn, connection, timeouts, a second attempt, the connection's fate, and its end at
 * any moment. What is sent and received in detail: test_udr_exchange_send.c, test_udr_exchange_receive.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

enum { MEGABYTE = 1 << 20 };

/* The linker puts this between the code and the kernel (--wrap): what others do at that very moment. */
static void (*after_connect)(void);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
int __real_connect(int fd, const struct sockaddr *address, socklen_t len);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    int rc = __real_connect(fd, address, len);
    if (after_connect) {
        after_connect();
    }
    return rc;
}

/* --- the table of states --- */

static void has_exactly_these_edges(void **state)
{
    /* To: Start Turn Connect send(S) Head Relay Done Failed; a letter where the edge exists. */
    static const char *const edges[UDR_EXCHANGE_STATES] = {
        [UDR_EXCHANGE_START] = ".TCS...F",   [UDR_EXCHANGE_TURN] = "..CS...F",
        [UDR_EXCHANGE_CONNECT] = "...S...F", [UDR_EXCHANGE_SEND] = "A...HR.F", /* Again */
        [UDR_EXCHANGE_HEAD] = "A....R.F",    [UDR_EXCHANGE_RELAY] = "......DF",
        [UDR_EXCHANGE_DONE] = "........",    [UDR_EXCHANGE_FAILED] = "........",
    };
    (void)state;
    assert_int_equal(UDR_EXCHANGE_STATES, 8);
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
    static const char *const names[] = {"start", "turn", "connect", "send", "head", "relay", "done", "failed"};
    (void)state;
    for (int i = 0; i < UDR_EXCHANGE_STATES; i++) {
        assert_string_equal(udr_exchange_state_name((udr_exchange_state_t)i), names[i]);
    }
}

/* --- a request that goes well --- */

/* The member reads the request and closes. */
static void close_on_request(scene_t *scene, int fd)
{
    assert_true(strlen(member_reads(scene, fd)) > 0);
    close(fd);
}

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
    udr_scratch_t scratch = {NULL, 0};
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
    close_on_request(scene, fd);
    assert_true(scene_settle(scene));
    assert_text(&heard, "retry pick connect send send");
    text_clear(&heard);
    scene->ops.trace = NULL;
}

/* --- a turn --- */

/* Somebody else has the only turn. */
static void hold_turn(scene_t *scene)
{
    udr_waiter_t holder = {.wake = NULL};
    scene->member->settings.max = 1;
    assert_int_equal(udr_pool_take(scene->member->pool, &holder), APR_SUCCESS);
}

static void give_turn(scene_t *scene)
{
    udr_pool_give(scene->member->pool, NULL);
}

static int count_waiting(const scene_t *scene)
{
    udr_pool_counts_t counts;
    scene_count(scene, &counts);
    return counts.waiting;
}

static void waits_for_its_turn(void **state)
{
    scene_t *scene = *state;
    apr_time_t begun = scene->now;
    hold_turn(scene);
    scene->member->settings.acquire = apr_time_from_sec(7);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_TURN, 0, 0);
    assert_true(udr_exchange_wait(scene->exchange)->turn);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, begun + apr_time_from_sec(7));
    assert_int_equal(count_waiting(scene), 1);
    /* Run without reason, it keeps its place. */
    scene_pass_time(scene, 500);
    assert_true(scene_settle(scene));
    assert_int_equal(count_waiting(scene), 1);
    assert_int_equal(scene->wakes, 0);
    assert_false(place_is_wanted(&scene->place));

    give_turn(scene);
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
    hold_turn(scene);
    scene->member->settings.acquire = apr_time_from_sec(7);
    assert_true(scene_start(scene));
    assert_false(scene_wait_out(scene));
    give_turn(scene);
    assert_failed(scene, UDR_FAILURE_TURN, UDR_EXCHANGE_TURN);
    assert_int_equal(count_waiting(scene), 0);
    assert_int_equal(scene->wakes, 0);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 0);
    assert_int_equal(udr_exchange_times(scene->exchange)->turn, 0);
}

static void takes_a_turn_that_comes_at_the_last_moment(void **state)
{
    scene_t *scene = *state;
    hold_turn(scene);
    assert_true(scene_start(scene));
    give_turn(scene);
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
    udr_connection_t *connection = udr_pool_idle(scene->member->pool);
    assert_non_null(connection);
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_TURN);
    udr_pool_give(scene->member->pool, connection);
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

static void fill_backlog(scene_t *scene)
{
    place_listen(&scene->place, 0);
    place_crowd_backlog(&scene->place);
}

static void waits_for_room_in_the_backlog(void **state)
{
    scene_t *scene = *state;
    apr_time_t begun = scene->now;
    fill_backlog(scene);
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
    fill_backlog(scene);
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
    fill_backlog(scene);
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
    fill_backlog(scene);
    assert_true(scene_start(scene));
    place_make_room(&scene->place);
    scene_pass_time(scene, scene->member->settings.connect_timeout);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
}

static void notices_that_the_member_goes_while_it_waits_to_connect(void **state)
{
    scene_t *scene = *state;
    fill_backlog(scene);
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

/* --- silence --- */

static void waits_for_the_head_as_long_as_timeout_says(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.timeout = apr_time_from_sec(9);
    int fd = scene_start_and_read(scene);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_sec(9));
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_HEAD);
    close(fd);
}

static void counts_silence_from_the_last_byte(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    apr_interval_time_t timeout = scene->member->settings.timeout;
    for (const char *s = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"; *s; s++) {
        scene_pass_time(scene, timeout - 1);
        member_says_bytes(fd, s, 1);
        assert_true(scene_settle(scene));
    }
    assert_state(scene, UDR_EXCHANGE_RELAY);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.flush_wait);
    assert_true(scene_wait_out(scene));
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_RELAY);
    assert_text(&scene->client.body, "hell");
    assert_true(udr_exchange_head_passed(scene->exchange));
    close(fd);
}

static void waits_for_a_member_that_takes_nothing_as_long_as_timeout_says(void **state)
{
    scene_t *scene = *state;
    char *bytes = apr_pcalloc(scene->pool, MEGABYTE);
    scene->request = (udr_request_t){.method = "PUT",
                                     .target = "/",
                                     .host = "h",
                                     .fields = scene->request.fields,
                                     .body = UDR_BODY_LENGTH,
                                     .length = MEGABYTE};
    client_sends_bytes(scene, bytes, MEGABYTE);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.timeout);
    /* Each time it takes something, the time begins anew. */
    int fd = member_accepts(scene);
    scene_pass_time(scene, scene->member->settings.timeout - 1);
    assert_true(member_swallows(fd, NULL) < MEGABYTE);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.timeout);
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_SEND);
    close(fd);
}

/* A POST whose body the client has yet to send, the head on its way. */
static int start_post(scene_t *scene)
{
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    scene->client.behind = APR_EAGAIN;
    return scene_start_and_read(scene);
}

/* Runs on from one point in time to the next, as a runner would, until the exchange ends or that much time is over. */
static bool wait_for(scene_t *scene, apr_interval_time_t time)
{
    apr_time_t until = scene->now + time;
    while (udr_exchange_wait(scene->exchange)->until <= until) {
        scene->now = udr_exchange_wait(scene->exchange)->until;
        if (!scene_run(scene, 0)) {
            return false;
        }
    }
    scene->now = until;
    return scene_run(scene, 0);
}

static void waits_for_the_clients_body_as_long_as_its_timeout_says(void **state)
{
    scene_t *scene = *state;
    int fd = start_post(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    assert_true(wait_for(scene, scene->plan.client_timeout - 1));
    client_sends(scene, "x");
    assert_true(scene_settle(scene));
    assert_true(wait_for(scene, scene->plan.client_timeout - 1));
    assert_false(wait_for(scene, 1));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_SEND);
    close(fd);
}

/* The member is not to blame for what the client does not send … */
static void asks_no_answer_of_a_member_before_the_body_is_sent(void **state)
{
    scene_t *scene = *state;
    scene->plan.client_timeout = 10 * scene->member->settings.timeout;
    int fd = start_post(scene);
    assert_true(wait_for(scene, 9 * scene->member->settings.timeout));
    assert_state(scene, UDR_EXCHANGE_SEND);
    close(fd);
}

/* … nor the client for what the member does not take: its time begins when it is asked. */
static void blames_no_client_for_the_time_that_the_member_took(void **state)
{
    scene_t *scene = *state;
    char *bytes = apr_pcalloc(scene->pool, MEGABYTE);
    apr_size_t sent = 0;
    scene->plan.client_timeout = apr_time_from_sec(5);
    int fd = start_post(scene);
    client_sends_bytes(scene, bytes, MEGABYTE);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    assert_true(wait_for(scene, apr_time_from_sec(20)));
    while (udr_exchange_wait(scene->exchange)->member & POLLOUT) {
        sent += member_swallows(fd, NULL);
        assert_true(scene_settle(scene));
    }
    assert_true(sent > 0);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    assert_true(wait_for(scene, apr_time_from_sec(5) - 1));
    assert_false(wait_for(scene, 1));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_SEND);
    close(fd);
}

static void blames_no_member_for_the_time_that_the_client_took(void **state)
{
    scene_t *scene = *state;
    const int smallest = 1;
    char *bytes = apr_pcalloc(scene->pool, 65536);
    scene->member->settings.timeout = apr_time_from_sec(5);
    int fd = start_post(scene);
    client_sends_bytes(scene, bytes, 65536);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    /* What the member has not read fills the socket: not a byte of what comes next goes through. */
    assert_int_equal(setsockopt(udr_exchange_fd(scene->exchange), SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest),
                     0);
    assert_true(wait_for(scene, apr_time_from_sec(20)));
    client_sends(scene, "x");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    assert_true(wait_for(scene, apr_time_from_sec(5) - 1));
    assert_false(wait_for(scene, 1));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_SEND);
    close(fd);
}

static void waits_for_a_client_that_takes_nothing_as_long_as_its_timeout_says(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->plan.client_timeout);
    /* It takes some, and not all. */
    scene->client.answer.drain = APR_EAGAIN;
    scene_pass_time(scene, scene->plan.client_timeout - 1);
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->plan.client_timeout);
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_RELAY);
    close(fd);
}

static void asks_nothing_of_a_member_while_the_client_is_full(void **state)
{
    scene_t *scene = *state;
    scene->plan.client_timeout = 10 * scene->member->settings.timeout;
    int fd = scene_start_and_read(scene);
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_true(wait_for(scene, 9 * scene->member->settings.timeout));
    /* Asked again, the member has its full time. */
    scene->client.answer.push = APR_SUCCESS;
    scene->client.is_writable = true;
    assert_true(scene_settle(scene));
    assert_true(wait_for(scene, scene->member->settings.timeout - 1));
    assert_false(wait_for(scene, 1));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_RELAY);
    close(fd);
}

/* "neither sent nor took anything": one that takes the response is alive, its body unfinished or not. */
static void has_patience_with_a_client_that_takes_and_does_not_send(void **state)
{
    scene_t *scene = *state;
    int fd = start_post(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_true(scene_settle(scene));
    for (int i = 0; i < 5; i++) {
        assert_true(wait_for(scene, scene->plan.client_timeout - 1));
        member_says(fd, "1\r\nx\r\n");
        assert_true(scene_settle(scene));
    }
    assert_text(&scene->client.body, "xxxxx");
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, POLLIN);
    close(fd);
}

static const scene_t *clocked;
static apr_interval_time_t time_in_filters; /* within the run */

static apr_time_t read_clock(void)
{
    return clocked->now + time_in_filters;
}

/* An output filter that takes its time. */
static apr_status_t take_head_slowly(void *client, const udr_http1_head_t *head, bool *wanted)
{
    (void)client;
    (void)head;
    (void)wanted;
    time_in_filters += apr_time_from_sec(100);
    return APR_SUCCESS;
}

/* The head has come, and cost more time than member or client would ever be given. */
static int start_with_slow_filters(scene_t *scene)
{
    clocked = scene;
    time_in_filters = 0;
    scene->plan.clock = read_clock;
    scene->ops.head = take_head_slowly;
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_int_equal(time_in_filters, apr_time_from_sec(100));
    scene->now += time_in_filters;
    time_in_filters = 0;
    assert_true(scene_run(scene, 0));
    return fd;
}

static void takes_no_time_of_the_member_for_filters(void **state)
{
    scene_t *scene = *state;
    int fd = start_with_slow_filters(scene);
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_true(wait_for(scene, scene->member->settings.timeout - 1));
    assert_false(wait_for(scene, 1));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_RELAY);
    close(fd);
}

static void takes_no_time_of_the_client_for_filters(void **state)
{
    scene_t *scene = *state;
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    scene->client.behind = APR_EAGAIN;
    int fd = start_with_slow_filters(scene);
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, POLLIN);
    /* The last that it takes is the head, when that is flushed. */
    assert_true(wait_for(scene, scene->member->settings.flush_wait));
    assert_true(wait_for(scene, scene->plan.client_timeout - 1));
    assert_false(wait_for(scene, 1));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_RELAY);
    close(fd);
}

/* --- the connection's fate --- */

static void uses_a_connection_again(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    for (int i = 0; i < 3; i++) {
        assert_true(scene_start(scene));
        assert_false(place_is_wanted(&scene->place));
        assert_string_equal(member_reads(scene, fd), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(udr_exchange_times(scene->exchange)->connecting, 0);
        assert_int_equal(udr_exchange_times(scene->exchange)->connected, scene->now);
        assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
        member_says(fd, OK_HELLO);
        assert_false(scene_settle(scene));
        assert_done(scene);
        assert_text(&scene->client.body, "hello");
        assert_counts(scene, 1, 0);
    }
    close(fd);
}

static void uses_only_clean_connections_again(void **state)
{
    static const struct {
        const char *response;
        bool closes; /* the member does, behind it */
        int kept;
    } rows[] = {
        {OK_HELLO, false, 1},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false, 1},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, 1},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", false, 1},
        {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", false, 1},
        {"HTTP/1.1 103 Early Hints\r\n\r\n" OK_HELLO, false, 1},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", false, 1},
        /* bytes behind the response */
        {OK_HELLO "x", false, 0},
        {OK_HELLO "HTTP/1.1 200 OK\r\n", false, 0},
        {"HTTP/1.1 204 No Content\r\n\r\nhello", false, 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n", false, 0},
        /* the member says so */
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", false, 0},
        {"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello", false, 0},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 0},
        /* it can't be otherwise */
        {"HTTP/1.1 200 OK\r\n\r\nhello", true, 0},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", true, 0},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        udr_pool_counts_t counts;
        int fd = scene_start_and_read(scene);
        member_says(fd, rows[i].response);
        if (rows[i].closes) {
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
        }
        assert_false(scene_settle(scene));
        assert_done(scene);
        scene_count(scene, &counts);
        if (counts.idle != rows[i].kept) {
            fail_msg("row %zu: %s", i, counts.idle ? "kept" : "closed");
        }
        close(fd);
        (void)udr_pool_tidy(scene->member->pool, apr_time_now());
    }
}

static void keeps_no_connection_without_reuse(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.reuse = 0;
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_string_equal(member_reads(scene, fd), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 0, 0);
    close(fd);
}

/* The response came early; what is left of the request would be taken for the next one. */
static void keeps_no_connection_with_an_unfinished_request(void **state)
{
    scene_t *scene = *state;
    int fd = start_post(scene);
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_false(udr_exchange_body_taken(scene->exchange));
    assert_counts(scene, 0, 0);
    close(fd);
}

static void does_not_use_a_connection_to_a_replaced_file(void **state)
{
    scene_t *scene = *state;
    int old = scene_keep_connection(scene);
    place_listen(&scene->place, 5);
    int fd = scene_start_and_read(scene);
    assert_string_equal(member_reads(scene, old), "");
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
    assert_counts(scene, 1, 0);
    close(fd);
    close(old);
}

static const char *path_to_remove;

static void remove_path(void)
{
    unlink(path_to_remove);
}

/* The file went while it connected: which one it is connected to, the old or a new one, nobody can tell. */
static void keeps_no_connection_to_an_unknown_file(void **state)
{
    scene_t *scene = *state;
    path_to_remove = scene->place.path;
    after_connect = remove_path;
    assert_true(scene_start(scene));
    after_connect = NULL;
    int fd = member_accepts(scene);
    (void)member_reads(scene, fd);
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 0, 0);
    close(fd);
}

static void notices_a_closed_connection_before_it_uses_it(void **state)
{
    scene_t *scene = *state;
    close(scene_keep_connection(scene));
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_LENGTH;
    scene->request.length = 5;
    client_sends(scene, "hello");
    int fd = scene_start_and_read(scene);
    member_says(fd, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
    close(fd);
}

/* --- a second attempt --- */

static void tries_again_on_a_new_connection(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    assert_int_equal(udr_exchange_times(scene->exchange)->connecting, 0);
    close_on_request(scene, fd);
    scene_pass_time(scene, 100);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    assert_int_equal(udr_exchange_times(scene->exchange)->connecting, scene->now);
    assert_counts(scene, 0, 1);
    fd = member_accepts(scene);
    assert_string_equal(member_reads(scene, fd), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "head:200 data:5 end");
    assert_counts(scene, 1, 0);
    close(fd);
}

/* A reset: what was sent has not been read. */
static void tries_again_after_a_reset(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    close(fd);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
}

static void tries_only_twice(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    close_on_request(scene, fd);
    assert_true(scene_settle(scene));
    fd = member_accepts(scene);
    close_on_request(scene, fd);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
    assert_why(scene, "closed before any byte of the response", APR_SUCCESS);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
}

/* The others in the pool are as old as the one that failed. */
static void tries_again_on_no_pooled_connection(void **state)
{
    scene_t *scene = *state;
    int fds[2];
    fds[0] = scene_keep_connection(scene);
    udr_waiter_t holder = {.wake = NULL};
    assert_int_equal(udr_pool_take(scene->member->pool, &holder), APR_SUCCESS);
    udr_connection_t *first = udr_pool_idle(scene->member->pool);
    scene->request.target = "/second";
    fds[1] = scene_start_and_read(scene);
    member_says(fds[1], OK_EMPTY);
    assert_false(scene_settle(scene));
    udr_pool_give(scene->member->pool, first);
    assert_counts(scene, 2, 0);

    assert_true(scene_start(scene));
    close_on_request(scene, fds[0]);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_true(place_is_wanted(&scene->place));
    assert_string_equal(member_reads(scene, fds[1]), "");
    assert_counts(scene, 1, 1);
    close(fds[1]);
}

static void tries_no_new_connection_again(void **state)
{
    scene_t *scene = *state;
    assert_true(scene_start(scene));
    close_on_request(scene, member_accepts(scene));
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
    assert_why(scene, "closed before any byte of the response", APR_SUCCESS);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
}

static void does_nothing_twice_that_is_not_idempotent(void **state)
{
    static const char *const methods[] = {"POST", "PATCH", "get"};
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(methods); i++) {
        int fd = scene_keep_connection(scene);
        scene->request.method = methods[i];
        assert_true(scene_start(scene));
        close_on_request(scene, fd);
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
        assert_false(place_is_wanted(&scene->place));
    }
}

/* The member takes no more, which a look at the idle connection does not show: not one byte gets there. */
static void tries_a_post_again_when_nothing_was_written(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_int_equal(shutdown(fd, SHUT_RD), 0);
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_LENGTH;
    scene->request.length = 5;
    client_sends(scene, "hello");
    assert_true(scene_start(scene));
    /* It might have answered before it closed. */
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    close(fd);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    fd = member_accepts(scene);
    assert_string_equal(member_reads(scene, fd), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    close(fd);
}

static void tries_a_put_again_while_its_body_is_there(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    scene->request.method = "PUT";
    scene->request.body = UDR_BODY_CHUNKED;
    scene->client.behind = APR_EAGAIN;
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    close_on_request(scene, fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    client_sends(scene, "hello");
    scene->client.behind = APR_EOF;
    assert_true(scene_settle(scene));
    fd = member_accepts(scene);
    assert_string_equal(member_reads(scene, fd),
                        "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    member_says(fd, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_done(scene);
    close(fd);
}

/* Bytes that are on their way and not consumed are still the client's to give. */
static void sends_the_same_bytes_again(void **state)
{
    scene_t *scene = *state;
    char *bytes = apr_palloc(scene->pool, MEGABYTE);
    text_t got = {NULL, 0, 0};
    int fd = scene_keep_connection(scene);
    memset(bytes, 'b', MEGABYTE);
    scene->request.method = "PUT";
    scene->request.body = UDR_BODY_LENGTH;
    scene->request.length = MEGABYTE;
    client_sends_bytes(scene, bytes, MEGABYTE);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    assert_int_equal(scene->client.consumed, 0);
    close_on_request(scene, fd);
    assert_true(scene_settle(scene));
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    fd = member_accepts(scene);
    while (udr_exchange_wait(scene->exchange)->member & POLLOUT) {
        (void)member_swallows(fd, &got);
        assert_true(scene_settle(scene));
    }
    (void)member_swallows(fd, &got);
    const char *body = strstr(got.ptr, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strspn(body + 4, "b"), MEGABYTE);
    assert_int_equal(got.ptr + got.len - body, MEGABYTE + 4);
    member_says(fd, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_done(scene);
    text_clear(&got);
    close(fd);
}

static void sends_no_body_again_that_is_given_away(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    scene->request.method = "PUT";
    scene->request.body = UDR_BODY_CHUNKED;
    scene->client.behind = APR_EAGAIN;
    client_sends(scene, "hello");
    assert_true(scene_start(scene));
    assert_int_equal(scene->client.consumed, 5);
    close_on_request(scene, fd);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_SEND);
    assert_false(place_is_wanted(&scene->place));
}

static void does_not_try_again_once_the_response_has_begun(void **state)
{
    scene_t *scene = *state;
    static const char *const beginnings[] = {"H", "HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 200 OK\r\n"};
    for (size_t i = 0; i < COUNT(beginnings); i++) {
        int fd = scene_keep_connection(scene);
        assert_true(scene_start(scene));
        member_says(fd, beginnings[i]);
        close_on_request(scene, fd);
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
        assert_false(place_is_wanted(&scene->place));
    }
}

static void does_not_try_again_after_silence_or_nonsense(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_HEAD);
    close(fd);

    fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    member_says(fd, "nonsense\r\n");
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
    close(fd);
}

static void tells_that_the_member_is_gone_at_the_second_attempt(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    place_abandon(&scene->place);
    close_on_request(scene, fd);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_why(scene, NULL, ECONNREFUSED);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
}

static void waits_for_the_backlog_at_the_second_attempt(void **state)
{
    scene_t *scene = *state;
    place_listen(&scene->place, 0);
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    place_crowd_backlog(&scene->place);
    close_on_request(scene, fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_CONNECT, 0, 0);
    assert_counts(scene, 0, 1);
    place_make_room(&scene->place);
    assert_true(scene_wait_out(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
}

/* --- an end at any moment --- */

/* Each brings a new exchange to a wait point. Returns the member's end of its connection, or -1. */

static int reach_turn(scene_t *scene)
{
    hold_turn(scene);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_TURN, 0, 0);
    return -1;
}

static int reach_connect(scene_t *scene)
{
    fill_backlog(scene);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_CONNECT, 0, 0);
    return -1;
}

static int reach_full_member(scene_t *scene)
{
    char *bytes = apr_pcalloc(scene->pool, MEGABYTE);
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    client_sends_bytes(scene, bytes, MEGABYTE);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    return member_accepts(scene);
}

static int reach_empty_client(scene_t *scene)
{
    int fd = start_post(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    return fd;
}

static int reach_continue(scene_t *scene)
{
    scene->request.expect_continue = true;
    int fd = start_post(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, 0);
    return fd;
}

static int reach_head(scene_t *scene)
{
    int fd = scene_start_and_read(scene);
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    return fd;
}

static int reach_half_a_head(scene_t *scene)
{
    int fd = reach_head(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    return fd;
}

static int reach_relay(scene_t *scene)
{
    int fd = reach_head(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    return fd;
}

static int reach_full_client(scene_t *scene)
{
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = reach_head(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    return fd;
}

static int reach_early_response(scene_t *scene)
{
    int fd = start_post(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, POLLIN);
    return fd;
}

static int reach_second_attempt(scene_t *scene)
{
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    close_on_request(scene, fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    return member_accepts(scene);
}

static int reach_start(scene_t *scene)
{
    scene_begin(scene);
    return -1;
}

static const struct {
    const char *name;
    int (*reach)(scene_t *scene);
    udr_exchange_state_t state;
} moments[] = {
    {"start", reach_start, UDR_EXCHANGE_START},
    {"turn", reach_turn, UDR_EXCHANGE_TURN},
    {"connect", reach_connect, UDR_EXCHANGE_CONNECT},
    {"full member", reach_full_member, UDR_EXCHANGE_SEND},
    {"empty client", reach_empty_client, UDR_EXCHANGE_SEND},
    {"100 Continue", reach_continue, UDR_EXCHANGE_SEND},
    {"head", reach_head, UDR_EXCHANGE_HEAD},
    {"half a head", reach_half_a_head, UDR_EXCHANGE_HEAD},
    {"relay", reach_relay, UDR_EXCHANGE_RELAY},
    {"full client", reach_full_client, UDR_EXCHANGE_RELAY},
    {"early response", reach_early_response, UDR_EXCHANGE_RELAY},
    {"second attempt", reach_second_attempt, UDR_EXCHANGE_HEAD},
};

/* Plays a scene of its own for each moment: what `end_it` does there has to leave nothing behind. */
static void at_each_moment(void (*end_it)(scene_t *scene, udr_exchange_state_t where))
{
    for (size_t i = 0; i < COUNT(moments); i++) {
        void *state = NULL;
        assert_int_equal(scene_set_up(&state), 0);
        scene_t *scene = state;
        int fd = moments[i].reach(scene);
        end_it(scene, moments[i].state);
        if (scene->exchange) {
            assert_int_equal(udr_exchange_fd(scene->exchange), -1);
        }
        assert_int_equal(count_waiting(scene), 0);
        if (moments[i].reach == reach_turn) {
            assert_int_equal(scene->wakes, 0);
            give_turn(scene);
        }
        assert_counts(scene, 0, 0);
        if (fd >= 0) {
            /* The member learns of it at once. */
            struct pollfd end = {.fd = fd, .events = POLLIN};
            assert_int_equal(poll(&end, 1, 0), 1);
            assert_true(end.revents & POLLHUP);
            close(fd);
        }
        if (scene_tear_down(&state) != 0) {
            fail_msg("something is left behind at: %s", moments[i].name);
        }
    }
}

static void let_client_go(scene_t *scene, udr_exchange_state_t where)
{
    apr_size_t heard_before = scene->client.story.len;
    scene->client.is_gone = true;
    assert_false(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_FAILED);
    assert_int_equal(udr_exchange_failure(scene->exchange)->kind, UDR_FAILURE_CLIENT_GONE);
    assert_int_equal(udr_exchange_failure(scene->exchange)->state, where);
    /* Nobody speaks to one who has gone. */
    assert_int_equal(scene->client.story.len, heard_before);
}

static void frees_the_member_when_the_client_goes(void **state)
{
    (void)state;
    at_each_moment(let_client_go);
}

static void cancel(scene_t *scene, udr_exchange_state_t where)
{
    udr_exchange_cancel(scene->exchange);
    assert_state(scene, UDR_EXCHANGE_FAILED);
    assert_int_equal(udr_exchange_failure(scene->exchange)->kind, UDR_FAILURE_CLIENT_GONE);
    assert_int_equal(udr_exchange_failure(scene->exchange)->state, where);
    udr_exchange_cancel(scene->exchange);
    assert_int_equal(udr_exchange_failure(scene->exchange)->state, where);
}

static void can_be_cancelled_anywhere(void **state)
{
    (void)state;
    at_each_moment(cancel);
}

static void destroy(scene_t *scene, udr_exchange_state_t where)
{
    (void)where;
    scene_end(scene);
}

static void ends_with_its_request(void **state)
{
    (void)state;
    at_each_moment(destroy);
}

/* The turn was given to one who then had no use for it. */
static void hands_on_a_turn_it_has_no_use_for(void **state)
{
    scene_t *scene = *state;
    udr_waiter_t next = {.wake = NULL};
    hold_turn(scene);
    assert_true(scene_start(scene));
    assert_int_equal(udr_pool_take(scene->member->pool, &next), APR_EAGAIN);
    give_turn(scene);
    assert_int_equal(scene->wakes, 1);
    udr_exchange_cancel(scene->exchange);
    assert_int_equal(udr_pool_take(scene->member->pool, &next), APR_SUCCESS);
    give_turn(scene);
    assert_counts(scene, 0, 0);
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
        in_scene(waits_for_the_head_as_long_as_timeout_says),
        in_scene(counts_silence_from_the_last_byte),
        in_scene(waits_for_a_member_that_takes_nothing_as_long_as_timeout_says),
        in_scene(waits_for_the_clients_body_as_long_as_its_timeout_says),
        in_scene(asks_no_answer_of_a_member_before_the_body_is_sent),
        in_scene(blames_no_client_for_the_time_that_the_member_took),
        in_scene(blames_no_member_for_the_time_that_the_client_took),
        in_scene(waits_for_a_client_that_takes_nothing_as_long_as_its_timeout_says),
        in_scene(asks_nothing_of_a_member_while_the_client_is_full),
        in_scene(has_patience_with_a_client_that_takes_and_does_not_send),
        in_scene(takes_no_time_of_the_client_for_filters),
        in_scene(takes_no_time_of_the_member_for_filters),
        in_scene(uses_a_connection_again),
        in_scene(uses_only_clean_connections_again),
        in_scene(keeps_no_connection_without_reuse),
        in_scene(keeps_no_connection_with_an_unfinished_request),
        in_scene(does_not_use_a_connection_to_a_replaced_file),
        in_scene(keeps_no_connection_to_an_unknown_file),
        in_scene(notices_a_closed_connection_before_it_uses_it),
        in_scene(tries_again_on_a_new_connection),
        in_scene(tries_again_after_a_reset),
        in_scene(tries_only_twice),
        in_scene(tries_again_on_no_pooled_connection),
        in_scene(tries_no_new_connection_again),
        in_scene(does_nothing_twice_that_is_not_idempotent),
        in_scene(tries_a_post_again_when_nothing_was_written),
        in_scene(tries_a_put_again_while_its_body_is_there),
        in_scene(sends_the_same_bytes_again),
        in_scene(sends_no_body_again_that_is_given_away),
        in_scene(does_not_try_again_once_the_response_has_begun),
        in_scene(does_not_try_again_after_silence_or_nonsense),
        in_scene(tells_that_the_member_is_gone_at_the_second_attempt),
        in_scene(waits_for_the_backlog_at_the_second_attempt),
        cmocka_unit_test(frees_the_member_when_the_client_goes),
        cmocka_unit_test(can_be_cancelled_anywhere),
        cmocka_unit_test(ends_with_its_request),
        in_scene(hands_on_a_turn_it_has_no_use_for),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange", tests, NULL, NULL);
}
