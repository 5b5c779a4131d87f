/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges with a runtime whose processes serve one connection each: those who wait for a process, and the idle
 * connections, here or in another child, that keep it from them. The test is the processes, each accepting the next
 * connection when its last one has ended, and the other child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_row.h"
#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>

#include <errno.h>
#include <unistd.h>

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

typedef struct child_t {
    apr_uint32_t row;
    int signals;
    udr_yield_t *yield;
    udr_pool_t *pool;
} child_t;

static apr_pool_t *server; /* what its children share */
static udr_shared_t *shared;
static udr_protocol_t protocol;
static udr_scheme_t scheme;
static udr_target_t target;
static child_t own;
static child_t other;

static bool start_child(child_t *child, udr_pool_t *connections)
{
    child->pool = connections;
    if (udr_row_claim(shared, &child->row) != APR_SUCCESS ||
        udr_signals_listen(&child->signals, udr_shared_signals(shared), child->row, server) != APR_SUCCESS ||
        udr_yield_create(&child->yield, shared, child->row, server) != APR_SUCCESS) {
        return false;
    }
    udr_pool_share(connections, child->yield);
    return true;
}

static apr_status_t destroy_server(void *nothing)
{
    (void)nothing;
    apr_pool_destroy(server);
    return APR_SUCCESS;
}

static int set_up(void **state)
{
    unsigned char identity[UDR_IDENTITY_SIZE] = {1};
    udr_pool_t *others;
    if (scene_set_up(state) != 0) {
        return -1;
    }
    scene_t *scene = *state;
    protocol = udr_protocol_http1;
    protocol.is_exclusive = true;
    scheme = *scene->member->target->scheme;
    scheme.protocol = &protocol;
    target = *scene->member->target;
    target.scheme = &scheme;
    scene->member->target = &target;
    if (apr_pool_create(&server, NULL) != APR_SUCCESS || udr_shared_create(&shared, 2, 2, 1, server) != APR_SUCCESS) {
        return -1;
    }
    apr_pool_cleanup_register(scene->child, NULL, destroy_server,
                              apr_pool_cleanup_null); /* after the children's pools */
    (void)udr_shared_begin_generation(shared);
    return udr_shared_claim(shared, identity, &scene->member->slot, NULL) != APR_SUCCESS ||
           udr_pool_create(&scene->member->pool, scene->member, 1, scene->child) != APR_SUCCESS ||
           udr_pool_create(&others, scene->member, 1, scene->child) != APR_SUCCESS ||
           !start_child(&own, scene->member->pool) || !start_child(&other, others);
}

static bool is_called(const scene_t *scene)
{
    apr_uint64_t calls = atomic_load(&udr_shared_hot(shared, scene->member->slot)->calls);
    return calls >> 32 != (calls & 0xffffffff);
}

static int tear_down(void **state)
{
    scene_t *scene = *state;
    scene_end(scene);
    bool is_clean = !is_called(scene);
    if (!is_clean) {
        print_error("somebody calls still\n");
    }
    return scene_tear_down(state) != 0 || !is_clean ? -1 : 0;
}

/* What the loop of a child does when it is signalled. Returns whether it was. */
static bool hears_signal(const child_t *child)
{
    struct pollfd polled = {.fd = child->signals, .events = POLLIN};
    if (poll(&polled, 1, 0) != 1) {
        return false;
    }
    udr_signals_clear(child->signals);
    assert_true(udr_yield_run(child->yield, true, 0));
    return true;
}

/* A process of the runtime that serves this connection is free for the next one. */
static bool is_free(int process)
{
    char byte;
    return recv(process, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static int idles_in(const scene_t *scene, const child_t *child)
{
    udr_waiter_t waiter = {.wake = NULL};
    assert_int_equal(udr_pool_take(child->pool, &waiter), APR_SUCCESS);
    udr_connection_t *connection = place_connect(&scene->place);
    int process = member_accepts(scene);
    udr_pool_give(child->pool, connection, 0);
    return process;
}

static void is_served(scene_t *scene, int process)
{
    assert_non_null(strstr(member_reads(scene, process), "\r\n\r\n"));
    member_says(process, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_done(scene);
}

/* Until its process is there it waits a millisecond, no more. */
static void gets_the_process_that_an_idle_connection_of_another_child_keeps(void **state)
{
    scene_t *scene = *state;
    int process = idles_in(scene, &other);
    assert_true(scene_start(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_msec(1));
    assert_false(hears_signal(&other));
    assert_true(scene_wait_out(scene));
    assert_true(hears_signal(&other));
    assert_true(is_free(process));
    close(process);
    process = member_accepts(scene);
    is_served(scene, process);
    close(process);
}

static void gets_that_of_the_own_child(void **state)
{
    scene_t *scene = *state;
    assert_true(scene_start(scene));
    int process = member_accepts(scene);
    is_served(scene, process);
    /* Meanwhile another request of this child had found it in use, and made one of its own. */
    udr_connection_t *idle = udr_pool_idle(own.pool, 0, true, scene->now);
    assert_non_null(idle);
    assert_true(scene_start(scene));
    udr_waiter_t waiter = {.wake = NULL};
    assert_int_equal(udr_pool_take(own.pool, &waiter), APR_SUCCESS);
    udr_pool_give(own.pool, idle, 0);
    assert_true(scene_wait_out(scene));
    assert_true(hears_signal(&own));
    assert_true(is_free(process));
    close(process);
    process = member_accepts(scene);
    is_served(scene, process);
    close(process);
}

/* All processes are at work: the first that is through with its request is for who waits. */
static void gets_that_of_a_request_that_has_ended(void **state)
{
    scene_t *scene = *state;
    udr_waiter_t waiter = {.wake = NULL};
    assert_int_equal(udr_pool_take(other.pool, &waiter), APR_SUCCESS);
    udr_connection_t *busy = place_connect(&scene->place);
    int process = member_accepts(scene);
    assert_true(scene_start(scene));
    assert_true(scene_wait(scene, apr_time_from_msec(500)));
    assert_false(hears_signal(&other));
    assert_false(is_free(process));
    udr_pool_give(other.pool, busy, 0);
    assert_true(is_free(process));
    close(process);
    process = member_accepts(scene);
    is_served(scene, process);
    close(process);
}

/* A process of its own has it at once, and is at work: the idle ones stay. */
static void closes_nothing_while_it_is_served(void **state)
{
    scene_t *scene = *state;
    int process = idles_in(scene, &other);
    int second = scene_start_and_read(scene);
    assert_true(scene_wait(scene, apr_time_from_sec(10)));
    assert_false(is_called(scene));
    assert_false(hears_signal(&other));
    assert_false(is_free(process));
    member_says(second, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_counts(scene, 1, 0);
    close(process);
    close(second);
}

/* The first byte says as much, and costs no question. */
static void calls_no_longer_when_it_is_answered(void **state)
{
    scene_t *scene = *state;
    assert_true(scene_start(scene));
    assert_true(scene_wait_out(scene));
    assert_true(is_called(scene));
    int process = member_accepts(scene);
    member_says(process, "HTTP/1.1 200");
    assert_true(scene_settle(scene));
    assert_false(is_called(scene));
    assert_true(udr_exchange_wait(scene->exchange)->until >= scene->now + apr_time_from_sec(1));
    member_says(process, " OK\r\nContent-Length: 0\r\n\r\n");
    assert_false(scene_settle(scene));
    assert_counts(scene, 1, 0);
    close(process);
}

static void calls_no_longer_when_the_client_has_gone(void **state)
{
    scene_t *scene = *state;
    assert_true(scene_start(scene));
    assert_true(scene_wait_out(scene));
    assert_true(is_called(scene));
    assert_false(scene_run(scene, UDR_READY_CLIENT_GONE));
    assert_false(is_called(scene));
}

static void calls_while_the_backlog_is_full(void **state)
{
    scene_t *scene = *state;
    int process = idles_in(scene, &other);
    close(process);
    scene_fill_backlog(scene);
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_CONNECT);
    assert_true(scene_wait(scene, apr_time_from_msec(5)));
    assert_true(is_called(scene));
    assert_true(hears_signal(&other));
    place_disperse(&scene->place);
    while (place_is_wanted(&scene->place)) {
        close(member_accepts(scene));
    }
    assert_true(scene_wait(scene, apr_time_from_msec(100)));
    process = member_accepts(scene);
    is_served(scene, process);
    close(process);
}

/* A request that can't be sent whole, as nobody reads it, waits just the same. */
static void calls_with_a_request_that_is_not_sent_yet(void **state)
{
    scene_t *scene = *state;
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    scene->client.behind = APR_EAGAIN;
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_SEND);
    assert_true(scene_wait_out(scene));
    assert_true(is_called(scene));
}

/* That one has its process. */
static void does_not_look_when_it_uses_a_connection_again(void **state)
{
    scene_t *scene = *state;
    int process = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    assert_true(udr_exchange_wait(scene->exchange)->until >= scene->now + apr_time_from_sec(1));
    is_served(scene, process);
    close(process);
}

/* Nor where a process serves many. */
static void does_not_look_where_a_process_serves_many(void **state)
{
    scene_t *scene = *state;
    protocol.is_exclusive = false;
    assert_true(scene_start(scene));
    assert_true(udr_exchange_wait(scene->exchange)->until >= scene->now + apr_time_from_sec(1));
    int process = member_accepts(scene);
    is_served(scene, process);
    close(process);
}

/* Two processes, and two children with many requests between them, of which each makes a connection when it has none:
 * whoever waits is served after one look, and in one child alone they use their connections again. */
static void goes_round(void **state)
{
    scene_t *scene = *state;
    int processes[2] = {idles_in(scene, &other), idles_in(scene, &other)};
    for (int i = 0; i < 20; i++) {
        assert_true(scene_start(scene));
        if (i == 0) {
            assert_true(scene_wait_out(scene));
            assert_true(hears_signal(&other));
            assert_true(is_free(processes[0]));
            close(processes[0]);
            processes[0] = member_accepts(scene);
        }
        is_served(scene, processes[0]);
    }
    assert_false(place_is_wanted(&scene->place));
    assert_false(is_free(processes[1]));
    close(processes[0]);
    close(processes[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(gets_the_process_that_an_idle_connection_of_another_child_keeps),
        TEST(gets_that_of_the_own_child),
        TEST(gets_that_of_a_request_that_has_ended),
        TEST(closes_nothing_while_it_is_served),
        TEST(calls_no_longer_when_it_is_answered),
        TEST(calls_no_longer_when_the_client_has_gone),
        TEST(calls_while_the_backlog_is_full),
        TEST(calls_with_a_request_that_is_not_sent_yet),
        TEST(does_not_look_when_it_uses_a_connection_again),
        TEST(does_not_look_where_a_process_serves_many),
        TEST(goes_round),
    };
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
