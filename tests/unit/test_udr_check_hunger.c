/* SPDX-License-Identifier: Apache-2.0 */
/* A check of a member whose processes serve one connection each, while idle connections keep them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_check.h"
#include "mod_udsroute/udr_protocol.h"
#include "mod_udsroute/udr_row.h"
#include "tests/unit/fixture_socket.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static apr_pool_t *pool;
static apr_pool_t *child;
static apr_pool_t *server; /* what its children share */
static place_t place;
static udr_loop_t *loop;
static udr_shared_t *shared;
static udr_yield_t *yield;
static udr_watch_t signals; /* of the row of those who hold connections */
static udr_protocol_t protocol;
static udr_scheme_t scheme;
static udr_target_t target;
static udr_member_t *member;
static udr_giver_t giver;
static udr_check_client_t client;
static udr_finding_t found;
static udr_check_t *check;

static void done(void *baton, const udr_finding_t *finding)
{
    (void)baton;
    found = *finding;
    udr_loop_stop(loop);
}

static void is_signalled(udr_watch_t *watch, uint32_t events)
{
    (void)events;
    udr_signals_clear(watch->fd);
    udr_loop_stop(loop);
}

static bool make_server(void)
{
    unsigned char identity[UDR_IDENTITY_SIZE] = {1};
    apr_uint32_t row;
    int fd;
    if (apr_pool_create(&server, NULL) != APR_SUCCESS || udr_shared_create(&shared, 2, 2, 1, server) != APR_SUCCESS) {
        return false;
    }
    (void)udr_shared_begin_generation(shared);
    signals = (udr_watch_t){.ready = is_signalled};
    return udr_shared_claim(shared, identity, &member->slot, NULL) == APR_SUCCESS &&
           udr_row_claim(shared, &row) == APR_SUCCESS && udr_yield_create(&yield, shared, row, server) == APR_SUCCESS &&
           udr_signals_listen(&fd, udr_shared_signals(shared), row, server) == APR_SUCCESS &&
           udr_loop_watch(loop, &signals, fd) == APR_SUCCESS;
}

static bool make_member(void)
{
    const udr_target_t *parsed;
    udr_settings_t settings;
    const char *note;
    if (udr_target_parse(&parsed, apr_psprintf(pool, "unix:%s|http://h/", place.path), "/", pool)) {
        return false;
    }
    protocol = udr_protocol_http1;
    protocol.is_exclusive = true;
    scheme = *parsed->scheme;
    scheme.protocol = &protocol;
    target = *parsed;
    target.scheme = &scheme;
    udr_settings_init(&settings);
    (void)udr_settings_set(&settings, "hcmethod", "GET", &note, pool);
    (void)udr_settings_set(&settings, "hctimeout", "10", &note, pool);
    udr_settings_resolve(&settings, apr_time_from_sec(60), true);
    member = udr_member_create(&target, &settings, pool);
    return true;
}

static int set_up(void **state)
{
    (void)state;
    found = (udr_finding_t){.cause = UDR_CAUSES};
    giver = (udr_giver_t){.give_up = NULL};
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || !place_make(&place, pool) ||
        apr_pool_create(&child, pool) != APR_SUCCESS || udr_loop_create(&loop, child) != APR_SUCCESS ||
        !make_member() || !make_server()) {
        return -1;
    }
    place_listen(&place, 5);
    udr_yield_add(yield, &giver, member->slot);
    udr_yield_count(&giver, 1);
    client = (udr_check_client_t){.done = done, .yield = yield};
    alarm(20);
    return udr_check_create(&check, member, loop, &client, NULL, child) != APR_SUCCESS;
}

static bool is_called(void)
{
    apr_uint64_t calls = atomic_load(&udr_shared_hot(shared, member->slot)->calls);
    return calls >> 32 != (calls & 0xffffffff);
}

static int tear_down(void **state)
{
    (void)state;
    alarm(0);
    bool is_clean = !is_called();
    udr_loop_unwatch(loop, &signals);
    apr_pool_destroy(child);
    apr_pool_destroy(server);
    is_clean = place_drop(&place) && is_clean;
    apr_pool_destroy(pool);
    return is_clean ? 0 : -1;
}

static void is_answered(void)
{
    char request[1024];
    int process = place_accept(&place);
    assert_true(recv(process, request, sizeof request, 0) > 0);
    assert_int_equal(send(process, OK_ANSWER, strlen(OK_ANSWER), MSG_NOSIGNAL), strlen(OK_ANSWER));
    udr_loop_run(loop);
    assert_false(udr_check_is_running(check));
    assert_int_equal(found.cause, UDR_CAUSE_NONE);
    close(process);
}

static void calls_for_a_process(void **state)
{
    (void)state;
    udr_check_begin(check, false, 0);
    udr_loop_run(loop); /* until the holder of the idle connection is signalled */
    assert_true(udr_check_is_running(check));
    assert_true(udr_yield_answer(&giver));
    is_answered();
}

static void calls_while_the_backlog_is_full(void **state)
{
    (void)state;
    place_listen(&place, 0);
    place_crowd_backlog(&place);
    udr_check_begin(check, false, 0);
    udr_loop_run(loop);
    assert_true(is_called());
    udr_check_cancel(check);
    assert_false(is_called());
    place_disperse(&place);
}

static void calls_no_longer_when_it_is_over(void **state)
{
    (void)state;
    member->settings.check.timeout = apr_time_from_msec(20);
    udr_check_begin(check, false, 0);
    udr_loop_run(loop);
    assert_true(is_called());
    udr_loop_run(loop);
    while (udr_check_is_running(check)) {
        udr_loop_run(loop); /* signalled once more */
    }
    assert_int_equal(found.cause, UDR_CAUSE_CHECK_TIMEOUT);
    assert_false(is_called());
}

static void calls_nobody_where_a_process_serves_many(void **state)
{
    (void)state;
    protocol.is_exclusive = false;
    member->settings.check.timeout = apr_time_from_msec(100);
    udr_check_begin(check, false, 0);
    udr_loop_run(loop);
    assert_int_equal(found.cause, UDR_CAUSE_CHECK_TIMEOUT);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, member->slot)->calls), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(calls_for_a_process),
        TEST(calls_while_the_backlog_is_full),
        TEST(calls_no_longer_when_it_is_over),
        TEST(calls_nobody_where_a_process_serves_many),
    };
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
