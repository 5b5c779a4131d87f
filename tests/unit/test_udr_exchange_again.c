/* SPDX-License-Identifier: Apache-2.0 */
/* Which connections serve another request, and which requests another connection. */
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
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

enum { MEGABYTE = 1 << 20 };

/* The linker puts these between the code and the kernel (--wrap): what others do at that very moment. */
static void (*after_connect)(void);
static void (*before_send)(void);

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

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    void (*once)(void) = before_send;
    before_send = NULL;
    if (once) {
        once();
    }
    return __real_sendmsg(fd, message, flags);
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
        (void)udr_pool_tidy(scene->member->pool, 0, udr_clock_now());
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
    int fd = scene_start_post(scene);
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
    client_sends(&scene->client, "hello");
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
    member_reads_and_closes(scene, fd);
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
    member_reads_and_closes(scene, fd);
    assert_true(scene_settle(scene));
    fd = member_accepts(scene);
    member_reads_and_closes(scene, fd);
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
    udr_connection_t *first = udr_pool_idle(scene->member->pool, 0, true, scene->now);
    scene->request.target = "/second";
    fds[1] = scene_start_and_read(scene);
    member_says(fds[1], OK_EMPTY);
    assert_false(scene_settle(scene));
    udr_pool_give(scene->member->pool, first, 0);
    assert_counts(scene, 2, 0);

    assert_true(scene_start(scene));
    member_reads_and_closes(scene, fds[0]);
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
    member_reads_and_closes(scene, member_accepts(scene));
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
        member_reads_and_closes(scene, fd);
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
    client_sends(&scene->client, "hello");
    /* At once: it is not waited for what it might say. */
    scene_begin(scene);
    assert_true(scene_run(scene, 0));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    close(fd);
    fd = member_accepts(scene);
    assert_string_equal(member_reads(scene, fd), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    close(fd);
}

static int idle_fd; /* the member's end of the connection in the pool */

/* As a server does whose patience with an idle connection is over: this answers nothing that was asked. */
static void say_timeout_and_close(void)
{
    member_says(idle_fd, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    close(idle_fd);
}

static void takes_nothing_for_an_answer_that_was_said_before_it_asked(void **state)
{
    scene_t *scene = *state;
    idle_fd = scene_keep_connection(scene);
    scene->request.method = "POST";
    before_send = say_timeout_and_close;
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    int fd = member_accepts(scene);
    (void)member_reads(scene, fd);
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "head:200 data:5 end");
    close(fd);
}

static const place_t *member_place;

/* As a server does that has too much to do to read what it is asked. */
static void refuse_and_close(void)
{
    int fd = place_accept(member_place);
    member_says(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    close(fd);
}

/* On a new connection there is nothing else that it could answer. */
static void takes_an_answer_of_a_new_connection_that_was_said_before_it_asked(void **state)
{
    scene_t *scene = *state;
    member_place = &scene->place;
    before_send = refuse_and_close;
    assert_false(scene_start(scene));
    assert_done(scene);
    assert_story(scene, "head:503 end");
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
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
    member_reads_and_closes(scene, fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    client_sends(&scene->client, "hello");
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
    client_sends_bytes(&scene->client, bytes, MEGABYTE);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    assert_int_equal(scene->client.consumed, 0);
    member_reads_and_closes(scene, fd);
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
    client_sends(&scene->client, "hello");
    assert_true(scene_start(scene));
    assert_int_equal(scene->client.consumed, 5);
    member_reads_and_closes(scene, fd);
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
        member_reads_and_closes(scene, fd);
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
    member_reads_and_closes(scene, fd);
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
    member_reads_and_closes(scene, fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_CONNECT, 0, 0);
    assert_counts(scene, 0, 1);
    place_make_room(&scene->place);
    assert_true(scene_wait_out(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        in_scene(takes_nothing_for_an_answer_that_was_said_before_it_asked),
        in_scene(takes_an_answer_of_a_new_connection_that_was_said_before_it_asked),
        in_scene(tries_a_put_again_while_its_body_is_there),
        in_scene(sends_the_same_bytes_again),
        in_scene(sends_no_body_again_that_is_given_away),
        in_scene(does_not_try_again_once_the_response_has_begun),
        in_scene(does_not_try_again_after_silence_or_nonsense),
        in_scene(tells_that_the_member_is_gone_at_the_second_attempt),
        in_scene(waits_for_the_backlog_at_the_second_attempt),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_again", tests, NULL, NULL);
}
