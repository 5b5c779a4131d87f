/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_signals.h"

#include <apr_general.h>

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static apr_pool_t *pool;
static udr_signals_t *signals;

static int set_up(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static void open_rows(apr_uint32_t rows)
{
    assert_int_equal(udr_signals_create(&signals, rows, pool), APR_SUCCESS);
}

static int listen_to(apr_uint32_t row)
{
    int fd = -1;
    assert_int_equal(udr_signals_listen(&fd, signals, row, pool), APR_SUCCESS);
    return fd;
}

static bool is_readable(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, 0) == 1;
}

static void wakes_whom_it_is_for(void **state)
{
    (void)state;
    open_rows(4);
    int first = listen_to(2);
    int other = listen_to(3);
    udr_signals_give(signals, 2);
    udr_signals_give(signals, 2);
    assert_true(is_readable(first));
    assert_false(is_readable(other));
    udr_signals_clear(first);
    assert_false(is_readable(first));
    udr_signals_clear(first); /* does not wait */
    udr_signals_give(signals, 2);
    assert_true(is_readable(first));
}

static void comes_from_other_processes(void **state)
{
    (void)state;
    open_rows(1);
    int fd = listen_to(0);
    pid_t child = fork();
    if (child == 0) {
        udr_signals_give(signals, 0);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(is_readable(fd));
}

static void forgets_what_was_before(void **state)
{
    (void)state;
    open_rows(1);
    udr_signals_give(signals, 0);
    assert_false(is_readable(listen_to(0)));
}

/* Who has dealt with it takes it from nobody else. */
static void wakes_all_that_share(void **state)
{
    (void)state;
    open_rows(UDR_SIGNALS_MAX * 2);
    int first = listen_to(5);
    int second = listen_to(5 + UDR_SIGNALS_MAX);
    int other = listen_to(6);
    for (int i = 0; i < 3; i++) {
        udr_signals_give(signals, i % 2 ? 5 : 5 + UDR_SIGNALS_MAX);
        assert_true(is_readable(first));
        udr_signals_clear(first);
        assert_true(is_readable(second));
        udr_signals_clear(second);
    }
    assert_false(is_readable(other));
}

static void is_content_with_few_descriptors(void **state)
{
    struct rlimit before;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit tight = {.rlim_cur = 256, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    apr_status_t rv = udr_signals_create(&signals, 20000, pool);
    tight.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    udr_signals_t *none = NULL;
    apr_status_t starved = udr_signals_create(&none, 1, pool);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rv, APR_SUCCESS);
    assert_true(APR_STATUS_IS_EMFILE(starved));
    assert_null(none);
}

static void closes_its_descriptors(void **state)
{
    apr_pool_t *outer = pool;
    (void)state;
    assert_int_equal(apr_pool_create(&pool, outer), APR_SUCCESS);
    open_rows(1);
    int fd = listen_to(0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    apr_pool_destroy(pool);
    pool = outer;
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wakes_whom_it_is_for), TEST(comes_from_other_processes),      TEST(forgets_what_was_before),
        TEST(wakes_all_that_share), TEST(is_content_with_few_descriptors), TEST(closes_its_descriptors),
    };
    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
