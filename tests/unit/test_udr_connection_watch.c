/* SPDX-License-Identifier: Apache-2.0 */
/* A connection and the loop that watches it. The loop has no thread: it runs a round when the test says so. The linker
 * puts malloc's family into our hands (--wrap): a watch is on the heap, and when it goes is part of the contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_loop.h"
#include "tests/unit/fixture_socket.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static apr_pool_t *pool;
static apr_pool_t *child; /* with it goes the loop */
static place_t place;
static udr_loop_t *loop;
static udr_connection_t *connection;
static int far; /* the member's end */
static int told;
static uint32_t told_events;
static bool memory_is_out;
static const void *expected_to_go; /* memory */
static bool is_gone;

/* --- between the code and the C library --- */

void *__wrap_calloc(size_t count, size_t size);
void *__real_calloc(size_t count, size_t size);
void __wrap_free(void *memory);
void __real_free(void *memory);

void *__wrap_calloc(size_t count, size_t size)
{
    if (memory_is_out) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_calloc(count, size);
}

void __wrap_free(void *memory)
{
    if (memory && memory == expected_to_go) {
        expected_to_go = NULL;
        is_gone = true;
    }
    __real_free(memory);
}

/* --- the scenery --- */

static int set_up(void **state)
{
    (void)state;
    memory_is_out = false;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || apr_pool_create(&child, pool) != APR_SUCCESS ||
        !place_make(&place, pool) || udr_loop_create(&loop, child) != APR_SUCCESS) {
        return -1;
    }
    place_listen(&place, 5);
    connection = place_connect(&place);
    far = place_accept(&place);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (connection) {
        udr_connection_close(connection);
    }
    close(far);
    apr_pool_destroy(child);
    bool dropped = place_drop(&place);
    apr_pool_destroy(pool);
    return dropped ? 0 : -1;
}

static void is_told(udr_watch_t *watch, uint32_t events)
{
    assert_ptr_equal(watch, connection->watch);
    told++;
    told_events = events;
}

static void watch(void)
{
    assert_int_equal(udr_connection_watch(connection, loop, is_told), APR_SUCCESS);
    expected_to_go = connection->watch;
    is_gone = false;
}

/* What is ready is told. */
static void run_loop(void)
{
    told = 0;
    udr_loop_stop(loop);
    udr_loop_run(loop);
}

static void say_something(void)
{
    assert_int_equal(write(far, "x", 1), 1);
}

/* --- watched --- */

static void is_watched_by_nobody_at_first(void **state)
{
    (void)state;
    assert_null(connection->loop);
    assert_null(connection->watch);
    udr_connection_unwatch(connection);
    udr_connection_take_away(connection);
    assert_null(connection->loop);
    say_something();
    run_loop();
    assert_int_equal(told, 0);
    udr_connection_close(connection);
    connection = NULL;
}

static void is_watched_for_reading(void **state)
{
    (void)state;
    watch();
    assert_ptr_equal(connection->loop, loop);
    assert_int_equal(connection->watch->fd, connection->fd);
    assert_true(connection->watch->is_watched);
    assert_null(connection->watch->baton);
    run_loop();
    assert_int_equal(told, 0);
    say_something();
    run_loop();
    assert_int_equal(told, 1);
    assert_int_equal(told_events, EPOLLIN);
    udr_loop_watch_out(loop, connection->watch, true);
    run_loop();
    assert_int_equal(told, 1);
    assert_true(told_events & EPOLLOUT);
}

static void is_watched_by_nobody_when_that_fails(void **state)
{
    int descriptor = connection->fd;
    (void)state;
    memory_is_out = true;
    assert_int_equal(udr_connection_watch(connection, loop, is_told), APR_ENOMEM);
    memory_is_out = false;
    assert_null(connection->loop);
    assert_null(connection->watch);
    connection->fd = -1;
    /* The leak sanitizer sees whether the watch is left behind. */
    assert_int_equal(udr_connection_watch(connection, loop, is_told), EBADF);
    assert_null(connection->loop);
    assert_null(connection->watch);
    connection->fd = descriptor;
    watch();
}

/* --- what is heard of an idle one --- */

static void is_quiet_until_something_is_heard(void **state)
{
    (void)state;
    assert_false(udr_connection_is_quiet(connection));
    watch();
    udr_connection_rest(connection);
    assert_true(udr_connection_is_quiet(connection));
    say_something();
    assert_true(udr_connection_is_quiet(connection)); /* the loop has not asked yet */
    run_loop();
    assert_false(udr_connection_is_quiet(connection));
    udr_connection_rest(connection);
    assert_true(udr_connection_is_quiet(connection));
}

static udr_connection_t *other;

/* The first of two that is told finds the second's event taken already. */
static void rests_the_other(udr_watch_t *which, uint32_t events)
{
    udr_connection_t *not_told = which == connection->watch ? other : connection;
    (void)events;
    if (told++ == 0) {
        udr_connection_rest(not_told);
        assert_false(udr_connection_is_quiet(not_told));
    }
}

static void is_not_quiet_with_an_event_still_to_come(void **state)
{
    (void)state;
    other = place_connect(&place);
    int other_far = place_accept(&place);
    assert_int_equal(udr_connection_watch(connection, loop, rests_the_other), APR_SUCCESS);
    assert_int_equal(udr_connection_watch(other, loop, rests_the_other), APR_SUCCESS);
    assert_int_equal(write(far, "x", 1), 1);
    assert_int_equal(write(other_far, "x", 1), 1);
    run_loop();
    assert_int_equal(told, 2);
    udr_connection_close(other);
    close(other_far);
}

/* --- no longer watched --- */

static void close_it(udr_connection_t *it)
{
    udr_connection_close(it);
    connection = NULL;
}

static void is_not_watched_any_more(void **state)
{
    static const struct {
        void (*function)(udr_connection_t *connection);
        bool frees; /* at once */
        bool closes;
    } ways[] = {
        {udr_connection_unwatch, true, false}, {udr_connection_take_away, false, false}, {close_it, true, true}};
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        /* The kernel watches an open file, not a descriptor: a copy keeps it open. */
        int copy = dup(connection->fd);
        watch();
        say_something();
        ways[i].function(connection);
        if (is_gone != ways[i].frees) {
            fail_msg("way %zu: the watch is%s gone", i, is_gone ? "" : " not");
        }
        if (!ways[i].closes) {
            assert_null(connection->loop);
            assert_null(connection->watch);
            ways[i].function(connection);
        }
        run_loop();
        assert_int_equal(told, 0);
        assert_true(is_gone);
        close(copy);
    }
}

static void is_watched_again(void **state)
{
    static void (*const ways[])(udr_connection_t * connection) = {udr_connection_unwatch, udr_connection_take_away};
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        watch();
        ways[i](connection);
        watch();
        say_something();
        run_loop();
        assert_int_equal(told, 1);
        assert_false(is_gone);
        udr_connection_unwatch(connection);
        assert_true(is_gone);
    }
}

static void *take_away(void *baton)
{
    udr_connection_take_away(baton);
    return NULL;
}

static void is_taken_away_on_another_thread(void **state)
{
    pthread_t thread;
    (void)state;
    watch();
    say_something();
    assert_int_equal(pthread_create(&thread, NULL, take_away, connection), 0);
    pthread_join(thread, NULL);
    assert_null(connection->loop);
    run_loop();
    assert_int_equal(told, 0);
    assert_true(is_gone);
    assert_false(place_is_wanted(&place));
    /* It is connected as before. */
    assert_int_equal(write(connection->fd, "y", 1), 1);
    char byte;
    assert_int_equal(read(far, &byte, 1), 1);
}

#define in_place(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_place(is_watched_by_nobody_at_first),
        in_place(is_watched_for_reading),
        in_place(is_watched_by_nobody_when_that_fails),
        in_place(is_quiet_until_something_is_heard),
        in_place(is_not_quiet_with_an_event_still_to_come),
        in_place(is_not_watched_any_more),
        in_place(is_watched_again),
        in_place(is_taken_away_on_another_thread),
    };
    apr_initialize();
    alarm(60); /* for a loop that never ends */
    return cmocka_run_group_tests_name("udr_connection_watch", tests, NULL, NULL);
}
