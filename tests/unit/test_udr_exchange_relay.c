/* SPDX-License-Identifier: Apache-2.0 */
/* Responses as the client gets them: held back while it is full, flushed when it is due, dropped when it wants none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define OK         "HTTP/1.1 200 OK\r\n"
#define OK_TEN     OK "Content-Length: 10\r\n\r\n"
#define OK_CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define HINTS      "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

/* Starts a GET and has the member say this. Returns its end; the exchange may have ended. */
static int answer(scene_t *scene, const char *response)
{
    int fd = scene_start_and_read(scene);
    member_says(fd, response);
    (void)scene_settle(scene);
    return fd;
}

/* --- a client that is full, or gone --- */

static void reads_no_more_while_the_client_is_full(void **state)
{
    scene_t *scene = *state;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = answer(scene, OK_TEN "hello");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_story(scene, "head:200 data:5 push");
    member_says(fd, "wor");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_story(scene, "head:200 data:5 push");

    /* Writable, it takes some, but not all. */
    scene->client.answer.drain = APR_EAGAIN;
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_story(scene, "head:200 data:5 push drain");

    /* Then all: what has come meanwhile is read in the same run, without a look at the member first. */
    scene->client.answer.drain = APR_SUCCESS;
    scene->client.answer.push = APR_SUCCESS;
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_story(scene, "head:200 data:5 push drain drain data:3 push");
    member_says(fd, "ld");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_text(&scene->client.body, "helloworld");
    close(fd);
}

static void waits_after_whatever_has_filled_the_client(void **state)
{
    scene_t *scene = *state;
    apr_status_t *const answers[] = {&scene->client.answer.interim, &scene->client.answer.head,
                                     &scene->client.answer.data, &scene->client.answer.push};
    static const char *const parts[] = {HINTS, OK_TEN, "hello", "worl"};
    scene->client.is_writable = false;
    int fd = scene_start_and_read(scene);
    for (size_t i = 0; i < COUNT(answers); i++) {
        *answers[i] = APR_EAGAIN;
        member_says(fd, parts[i]);
        assert_true(scene_settle(scene));
        assert_waits(scene, i == 0 ? UDR_EXCHANGE_HEAD : UDR_EXCHANGE_RELAY, 0, POLLOUT);
        *answers[i] = APR_SUCCESS;
        assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
        assert_waits(scene, i == 0 ? UDR_EXCHANGE_HEAD : UDR_EXCHANGE_RELAY, POLLIN, 0);
    }
    /* At the end there is nothing to wait for: who has made the exchange sees to the rest. */
    scene->client.answer.end = APR_EAGAIN;
    member_says(fd, "d");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 1, 0);
    close(fd);
}

static void finds_that_the_member_closed_while_the_client_was_full(void **state)
{
    scene_t *scene = *state;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = answer(scene, OK_TEN "hello");
    close(fd);
    /* Not even when somebody says that there is something to be read. */
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    scene->client.is_writable = true;
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_RELAY);
}

static void goes_on_sending_while_the_client_is_full(void **state)
{
    scene_t *scene = *state;
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    scene->client.behind = APR_EAGAIN;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = answer(scene, OK_TEN "hello");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLIN | POLLOUT);
    client_sends(&scene->client, "more");
    assert_true(scene_settle(scene));
    assert_string_equal(member_reads(scene, fd), "4\r\nmore\r\n");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLIN | POLLOUT);
    close(fd);
}

static void ends_when_the_client_turns_out_to_be_gone(void **state)
{
    scene_t *scene = *state;
    static const char response[] = HINTS OK_TEN "hello";
    apr_status_t *const answers[] = {&scene->client.answer.interim, &scene->client.answer.head,
                                     &scene->client.answer.data, &scene->client.answer.push, &scene->client.answer.end};
    static const char *const stories[] = {"interim:103", "interim:103 head:200", "interim:103 head:200 data:5",
                                          "interim:103 head:200 data:5 push",
                                          "interim:103 head:200 data:5 push data:5 end"};
    for (size_t i = 0; i < COUNT(answers); i++) {
        *answers[i] = APR_ECONNABORTED;
        int fd = answer(scene, response);
        if (answers[i] == &scene->client.answer.end) {
            assert_state(scene, UDR_EXCHANGE_RELAY);
            member_says(fd, "world");
            assert_false(scene_settle(scene));
        }
        assert_failed(scene, UDR_FAILURE_CLIENT_GONE, i == 0 ? UDR_EXCHANGE_HEAD : UDR_EXCHANGE_RELAY);
        assert_why(scene, NULL, APR_ECONNABORTED);
        assert_story(scene, stories[i]);
        /* The member has done its part when only the end is missing. */
        assert_counts(scene, answers[i] == &scene->client.answer.end, 0);
        *answers[i] = APR_SUCCESS;
        close(fd);
    }
}

/* A filter that fails is no client that has gone: somebody has to be told. */
static void tells_that_a_filter_has_refused_the_response(void **state)
{
    scene_t *scene = *state;
    apr_status_t *const answers[] = {&scene->client.answer.interim, &scene->client.answer.head,
                                     &scene->client.answer.data, &scene->client.answer.push, &scene->client.answer.end};
    for (size_t i = 0; i < COUNT(answers); i++) {
        *answers[i] = APR_EGENERAL;
        int fd = answer(scene, HINTS OK_TEN "hello");
        if (answers[i] == &scene->client.answer.end) {
            member_says(fd, "world");
            assert_false(scene_settle(scene));
        }
        assert_failed(scene, UDR_FAILURE_CLIENT_FILTER, i == 0 ? UDR_EXCHANGE_HEAD : UDR_EXCHANGE_RELAY);
        assert_why(scene, NULL, APR_EGENERAL);
        *answers[i] = APR_SUCCESS;
        close(fd);
        (void)udr_pool_tidy(scene->member->pool, 0, udr_clock_now() + scene->member->settings.ttl);
    }
}

static void ends_when_a_full_client_turns_out_to_be_gone(void **state)
{
    scene_t *scene = *state;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.answer.drain = APR_ECONNABORTED;
    int fd = answer(scene, OK_TEN "hello");
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_RELAY);
    assert_story(scene, "head:200 data:5 push drain");
    close(fd);
}

/* --- a body that nobody wants --- */

static void reads_a_small_unwanted_body_to_save_the_connection(void **state)
{
    static const char *const responses[] = {
        "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n"};
    scene_t *scene = *state;
    scene->client.wants_body = false;
    for (size_t i = 0; i < COUNT(responses); i++) {
        int fd = answer(scene, responses[i]);
        assert_done(scene);
        assert_story(scene, "head:500");
        assert_counts(scene, 1, 0);
        close(fd);
        (void)udr_pool_tidy(scene->member->pool, 0, udr_clock_now());
    }
}

static void does_not_wait_for_an_unwanted_body(void **state)
{
    static const char *const responses[] = {"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\n",
                                            "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nhell",
                                            "HTTP/1.1 500 Oops\r\n\r\nhello"};
    scene_t *scene = *state;
    scene->client.wants_body = false;
    for (size_t i = 0; i < COUNT(responses); i++) {
        int fd = answer(scene, responses[i]);
        assert_done(scene);
        assert_story(scene, "head:500");
        assert_counts(scene, 0, 0);
        close(fd);
    }
}

static void reads_only_so_much_of_an_unwanted_body(void **state)
{
    /* 64 KiB, in pieces of 4: so much is read, and one piece more. */
    static const struct {
        apr_size_t len;
        int kept;
    } rows[] = {{60000, 1}, {65536, 1}, {100000, 0}};
    scene_t *scene = *state;
    char *bytes = apr_pcalloc(scene->pool, 100000);
    scene->client.wants_body = false;
    scene->scratch_size = 4096;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = scene_start_and_read(scene);
        member_says(fd, apr_psprintf(scene->pool, "HTTP/1.1 500 Oops\r\nContent-Length: %lu\r\n\r\n",
                                     (unsigned long)rows[i].len));
        member_says_bytes(fd, bytes, rows[i].len);
        assert_false(scene_settle(scene));
        assert_done(scene);
        assert_story(scene, "head:500");
        assert_counts(scene, rows[i].kept, 0);
        close(fd);
        (void)udr_pool_tidy(scene->member->pool, 0, udr_clock_now());
    }
}

/* --- flushing --- */

static void flushes_a_stream_at_once(void **state)
{
    static const char *const heads[] = {OK_CHUNKED, OK "\r\n"};
    static const char *const bytes[] = {"5\r\nhello\r\n", "hello"};
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(heads); i++) {
        int fd = answer(scene, heads[i]);
        for (int j = 0; j < 2; j++) {
            member_says(fd, bytes[i]);
            assert_true(scene_settle(scene));
        }
        assert_story(scene, "head:200 data:5 push flush data:5 push flush");
        /* And then there is nothing to be flushed. */
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.timeout);
        close(fd);
    }
}

static void flushes_a_body_of_known_length_after_flushwait(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.flush_wait = apr_time_from_msec(30);
    int fd = answer(scene, OK_TEN "he");
    assert_story(scene, "head:200 data:2 push");
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_msec(30));
    /* What comes meanwhile puts it off. */
    scene_pass_time(scene, apr_time_from_msec(20));
    member_says(fd, "llo");
    assert_true(scene_settle(scene));
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_msec(30));
    assert_true(scene_wait_out(scene));
    assert_story(scene, "head:200 data:2 push data:3 push flush");
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_true(udr_exchange_wait(scene->exchange)->until > scene->now + apr_time_from_sec(50));
    member_says(fd, "world");
    assert_false(scene_settle(scene));
    assert_story(scene, "head:200 data:2 push data:3 push flush data:5 end");
    close(fd);
}

static void flushes_a_head_after_flushwait(void **state)
{
    static const char *const heads[] = {OK_TEN, OK_CHUNKED, OK "\r\n"};
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(heads); i++) {
        int fd = answer(scene, heads[i]);
        assert_story(scene, "head:200");
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.flush_wait);
        assert_true(scene_wait_out(scene));
        assert_story(scene, "head:200 flush");
        close(fd);
    }
}

static void flushes_everything_when_told_to(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.flush = UDR_FLUSH_ON;
    int fd = answer(scene, OK_TEN);
    assert_story(scene, "head:200 flush");
    member_says(fd, "hello");
    assert_true(scene_settle(scene));
    assert_story(scene, "head:200 flush data:5 flush");
    member_says(fd, "world");
    assert_false(scene_settle(scene));
    assert_story(scene, "head:200 flush data:5 flush data:5 end");
    close(fd);
}

static void flushes_nothing_when_told_not_to(void **state)
{
    static const char *const responses[] = {OK_TEN "hello", OK_CHUNKED "5\r\nhello\r\n", OK "\r\nhello"};
    scene_t *scene = *state;
    scene->member->settings.flush = UDR_FLUSH_OFF;
    for (size_t i = 0; i < COUNT(responses); i++) {
        int fd = answer(scene, responses[i]);
        assert_story(scene, "head:200 data:5 push");
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.timeout);
        scene_pass_time(scene, apr_time_from_sec(1));
        assert_true(scene_run(scene, 0));
        assert_story(scene, "head:200 data:5 push");
        close(fd);
    }
}

static void flushes_nothing_to_a_full_client(void **state)
{
    scene_t *scene = *state;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = answer(scene, OK_CHUNKED "5\r\nhello\r\n");
    assert_story(scene, "head:200 data:5 push");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    scene->client.answer.push = APR_SUCCESS;
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_story(scene, "head:200 data:5 push drain flush");
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    close(fd);
}

static void waits_for_the_client_to_take_what_is_flushed(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED);
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    assert_true(scene_wait_out(scene));
    assert_story(scene, "head:200 flush");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    /* Once is enough. */
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_story(scene, "head:200 flush drain");
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    close(fd);
}

static void waits_no_longer_than_ever_for_who_was_filled_by_a_flush(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED);
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    assert_true(scene_wait_out(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->plan.client_timeout);
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_RELAY);
    close(fd);
}

static void notices_at_a_flush_that_the_client_has_gone(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED);
    scene->client.answer.push = APR_ECONNABORTED;
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_RELAY);
    close(fd);
}

static void pushes_nothing_when_there_is_nothing_new(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED "5\r\nhello\r\n");
    assert_story(scene, "head:200 data:5 push flush");
    member_says(fd, "5\r");
    assert_true(scene_settle(scene));
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_story(scene, "head:200 data:5 push flush");
    close(fd);
}

/* Many small pieces that come together are given together. */
static void pushes_once_for_what_has_come_at_once(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED "1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n");
    assert_story(scene, "head:200 data:1 data:2 data:3 push flush");
    assert_text(&scene->client.body, "abcdef");
    close(fd);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_scene(reads_no_more_while_the_client_is_full),
        in_scene(waits_after_whatever_has_filled_the_client),
        in_scene(finds_that_the_member_closed_while_the_client_was_full),
        in_scene(goes_on_sending_while_the_client_is_full),
        in_scene(ends_when_the_client_turns_out_to_be_gone),
        in_scene(tells_that_a_filter_has_refused_the_response),
        in_scene(ends_when_a_full_client_turns_out_to_be_gone),
        in_scene(reads_a_small_unwanted_body_to_save_the_connection),
        in_scene(does_not_wait_for_an_unwanted_body),
        in_scene(reads_only_so_much_of_an_unwanted_body),
        in_scene(flushes_a_stream_at_once),
        in_scene(flushes_a_body_of_known_length_after_flushwait),
        in_scene(flushes_a_head_after_flushwait),
        in_scene(flushes_everything_when_told_to),
        in_scene(flushes_nothing_when_told_not_to),
        in_scene(flushes_nothing_to_a_full_client),
        in_scene(waits_for_the_client_to_take_what_is_flushed),
        in_scene(waits_no_longer_than_ever_for_who_was_filled_by_a_flush),
        in_scene(notices_at_a_flush_that_the_client_has_gone),
        in_scene(pushes_nothing_when_there_is_nothing_new),
        in_scene(pushes_once_for_what_has_come_at_once),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_relay", tests, NULL, NULL);
}
