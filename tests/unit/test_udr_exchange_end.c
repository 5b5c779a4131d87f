/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange that is given up leaves nothing behind, wherever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <stdio.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum { MEGABYTE = 1 << 20 };

/* Each brings a new exchange to a wait point. Returns the member's end of its connection, or -1. */

static int reach_turn(scene_t *scene)
{
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_TURN, 0, 0);
    return -1;
}

static int reach_connect(scene_t *scene)
{
    scene_fill_backlog(scene);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_CONNECT, 0, 0);
    return -1;
}

static int reach_full_member(scene_t *scene)
{
    char *bytes = apr_pcalloc(scene->pool, MEGABYTE);
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    client_sends_bytes(&scene->client, bytes, MEGABYTE);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    return member_accepts(scene);
}

static int reach_empty_client(scene_t *scene)
{
    int fd = scene_start_post(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    return fd;
}

static int reach_continue(scene_t *scene)
{
    scene->request.expect_continue = true;
    int fd = scene_start_post(scene);
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
    int fd = scene_start_post(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, POLLIN);
    return fd;
}

static int reach_second_attempt(scene_t *scene)
{
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    member_reads_and_closes(scene, fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    return member_accepts(scene);
}

static int reach_start(scene_t *scene)
{
    scene_begin(scene);
    return -1;
}

typedef struct moment_t {
    const char *name;
    int (*reach)(scene_t *scene);
    udr_exchange_state_t state;
} moment_t;

static const moment_t moments[] = {
    {"start", reach_start, UDR_EXCHANGE_START},
    {"turn", reach_turn, UDR_EXCHANGE_TURN},
    {"connect", reach_connect, UDR_EXCHANGE_CONNECT},
    {"full_member", reach_full_member, UDR_EXCHANGE_SEND},
    {"empty_client", reach_empty_client, UDR_EXCHANGE_SEND},
    {"100_continue", reach_continue, UDR_EXCHANGE_SEND},
    {"head", reach_head, UDR_EXCHANGE_HEAD},
    {"half_a_head", reach_half_a_head, UDR_EXCHANGE_HEAD},
    {"relay", reach_relay, UDR_EXCHANGE_RELAY},
    {"full_client", reach_full_client, UDR_EXCHANGE_RELAY},
    {"early_response", reach_early_response, UDR_EXCHANGE_RELAY},
    {"second_attempt", reach_second_attempt, UDR_EXCHANGE_HEAD},
};

/* --- what ends it --- */

static void let_client_go(scene_t *scene, udr_exchange_state_t where)
{
    apr_size_t heard_before = scene->client.story.len;
    scene->client.is_gone = true;
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, where);
    /* Nobody speaks to one who has gone. */
    assert_int_equal(scene->client.story.len, heard_before);
}

static void cancel(scene_t *scene, udr_exchange_state_t where)
{
    udr_exchange_cancel(scene->exchange);
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, where);
    udr_exchange_cancel(scene->exchange);
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, where);
}

static void destroy(scene_t *scene, udr_exchange_state_t where)
{
    (void)where;
    scene_end(scene);
}

static const struct {
    const char *name;
    void (*end_it)(scene_t *scene, udr_exchange_state_t where);
} endings[] = {
    {"frees_the_member_when_the_client_goes", let_client_go},
    {"can_be_cancelled", cancel},
    {"ends_with_its_request", destroy},
};

/* --- every end at every moment --- */

/* One test. */
typedef struct case_t {
    char name[80];
    const moment_t *moment;
    void (*end_it)(scene_t *scene, udr_exchange_state_t where);
} case_t;

static const case_t *played; /* the one whose scene is set up */

static int set_up_case(void **state)
{
    played = *state;
    return scene_set_up(state);
}

static void leaves_nothing_behind(void **state)
{
    scene_t *scene = *state;
    int fd = played->moment->reach(scene);
    played->end_it(scene, played->moment->state);
    if (scene->exchange) {
        assert_int_equal(udr_exchange_fd(scene->exchange), -1);
    }
    assert_int_equal(scene_count_waiting(scene), 0);
    assert_int_equal(scene->wakes, 0);
    if (scene->held) {
        scene_give_turn(scene);
    }
    assert_counts(scene, 0, 0);
    if (fd >= 0) {
        /* The member learns of it at once. */
        struct pollfd end = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&end, 1, 0), 1);
        assert_true(end.revents & POLLHUP);
        close(fd);
    }
}

/* The turn was given to one who then had no use for it. */
static void hands_on_a_turn_it_has_no_use_for(void **state)
{
    scene_t *scene = *state;
    udr_waiter_t next = {.wake = NULL};
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    assert_int_equal(udr_pool_take(scene->member->pool, &next), APR_EAGAIN);
    scene_give_turn(scene);
    assert_int_equal(scene->wakes, 1);
    udr_exchange_cancel(scene->exchange);
    assert_int_equal(udr_pool_take(scene->member->pool, &next), APR_SUCCESS);
    udr_pool_give(scene->member->pool, NULL, 0);
    assert_counts(scene, 0, 0);
}

static void make_case(struct CMUnitTest *test, case_t *made, size_t moment, size_t ending)
{
    (void)snprintf(made->name, sizeof made->name, "%s_at_%s", endings[ending].name, moments[moment].name);
    made->moment = &moments[moment];
    made->end_it = endings[ending].end_it;
    *test = (struct CMUnitTest){made->name, leaves_nothing_behind, set_up_case, scene_tear_down, made};
}

int main(void)
{
    static case_t cases[COUNT(moments) * COUNT(endings)];
    static struct CMUnitTest tests[COUNT(cases) + 1];
    for (size_t i = 0; i < COUNT(cases); i++) {
        make_case(&tests[i], &cases[i], i % COUNT(moments), i / COUNT(moments));
    }
    tests[COUNT(cases)] = (struct CMUnitTest)cmocka_unit_test_setup_teardown(hands_on_a_turn_it_has_no_use_for,
                                                                             scene_set_up, scene_tear_down);
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_end", tests, NULL, NULL);
}
