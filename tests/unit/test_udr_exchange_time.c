/* SPDX-License-Identifier: Apache-2.0 */
/* Silence: who is waited for, for how long, and from when on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <unistd.h>

enum { MEGABYTE = 1 << 20 };

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
    client_sends_bytes(&scene->client, bytes, MEGABYTE);
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

static void waits_for_the_clients_body_as_long_as_its_timeout_says(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_post(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    assert_true(scene_wait(scene, scene->plan.client_timeout - 1));
    client_sends(&scene->client, "x");
    assert_true(scene_settle(scene));
    assert_true(scene_wait(scene, scene->plan.client_timeout - 1));
    assert_false(scene_wait(scene, 1));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_SEND);
    close(fd);
}

/* The member is not to blame for what the client does not send … */
static void asks_no_answer_of_a_member_before_the_body_is_sent(void **state)
{
    scene_t *scene = *state;
    scene->plan.client_timeout = 10 * scene->member->settings.timeout;
    int fd = scene_start_post(scene);
    assert_true(scene_wait(scene, 9 * scene->member->settings.timeout));
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
    int fd = scene_start_post(scene);
    client_sends_bytes(&scene->client, bytes, MEGABYTE);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    assert_true(scene_wait(scene, apr_time_from_sec(20)));
    while (udr_exchange_wait(scene->exchange)->member & POLLOUT) {
        sent += member_swallows(fd, NULL);
        assert_true(scene_settle(scene));
    }
    assert_true(sent > 0);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    assert_true(scene_wait(scene, apr_time_from_sec(5) - 1));
    assert_false(scene_wait(scene, 1));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_SEND);
    close(fd);
}

static void blames_no_member_for_the_time_that_the_client_took(void **state)
{
    scene_t *scene = *state;
    const int smallest = 1;
    char *bytes = apr_pcalloc(scene->pool, 65536);
    scene->member->settings.timeout = apr_time_from_sec(5);
    int fd = scene_start_post(scene);
    client_sends_bytes(&scene->client, bytes, 65536);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    /* What the member has not read fills the socket: not a byte of what comes next goes through. */
    assert_int_equal(setsockopt(udr_exchange_fd(scene->exchange), SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest),
                     0);
    assert_true(scene_wait(scene, apr_time_from_sec(20)));
    client_sends(&scene->client, "x");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    assert_true(scene_wait(scene, apr_time_from_sec(5) - 1));
    assert_false(scene_wait(scene, 1));
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
    assert_true(udr_exchange_client_is_full(scene->exchange));
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
    assert_true(scene_wait(scene, 9 * scene->member->settings.timeout));
    /* Asked again, the member has its full time. */
    scene->client.answer.push = APR_SUCCESS;
    scene->client.is_writable = true;
    assert_true(scene_settle(scene));
    assert_true(scene_wait(scene, scene->member->settings.timeout - 1));
    assert_false(scene_wait(scene, 1));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_RELAY);
    close(fd);
}

/* "neither sent nor took anything": one that takes the response is alive, its body unfinished or not. */
static void has_patience_with_a_client_that_takes_and_does_not_send(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_post(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_true(scene_settle(scene));
    for (int i = 0; i < 5; i++) {
        assert_true(scene_wait(scene, scene->plan.client_timeout - 1));
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
    assert_true(scene_wait(scene, scene->member->settings.timeout - 1));
    assert_false(scene_wait(scene, 1));
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
    assert_true(scene_wait(scene, scene->member->settings.flush_wait));
    assert_true(scene_wait(scene, scene->plan.client_timeout - 1));
    assert_false(scene_wait(scene, 1));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_RELAY);
    assert_false(udr_exchange_client_is_full(scene->exchange));
    close(fd);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_time", tests, NULL, NULL);
}
