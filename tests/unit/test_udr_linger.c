/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that wait on a loop for their clients to close. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_linger.h"
#include "tests/unit/fixture_loop.h"
#include "tests/unit/fixture_socket.h"

#include <apr_general.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Far more than any test lasts. */
#define LONG apr_time_from_sec(600)

static udr_linger_t *linger;
static int descriptors; /* open while none lingers */

/* While this is set there is always more to read. */
static atomic_bool is_flooded;

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __real_recv(int fd, void *bytes, size_t size, int flags);

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    return atomic_load(&is_flooded) ? (ssize_t)size : __real_recv(fd, bytes, size, flags);
}

static int set_up(void **state)
{
    atomic_store(&is_flooded, false);
    if (loop_make(state) != 0) {
        return -1;
    }
    linger = udr_linger_create(loop, UDR_LINGER_MAX, loop_pool);
    loop_start();
    descriptors = count_descriptors();
    return 0;
}

/* A client that has its answer: the other side is closed for writing, and lingers. */
static int client_of(apr_interval_time_t limit)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
    apr_status_t rv = APR_ENOSPC;
    for (int i = 0; i < 10000 && APR_STATUS_IS_ENOSPC(rv); i++) {
        rv = udr_linger_add(linger, fds[0], limit);
        if (APR_STATUS_IS_ENOSPC(rv)) {
            usleep(1000); /* those that have been closed will be seen */
        }
    }
    assert_int_equal(rv, APR_SUCCESS);
    return fds[1];
}

/* Whether the other side is closed altogether, or is so within that time. */
static bool is_closed(int client, int milliseconds)
{
    struct pollfd descriptor = {.fd = client};
    return poll(&descriptor, 1, milliseconds) == 1 && (descriptor.revents & POLLHUP);
}

static void await_descriptors(int count)
{
    while (count_descriptors() != count) {
        usleep(1000);
    }
}

/* Blocks until all of it has been read. */
static void send_much(int client)
{
    static const char bytes[1 << 20];
    assert_int_equal(send(client, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
}

/* Until it has been looked at: it is watched then. */
static void let_it_be_seen(void)
{
    usleep(30000);
    loop_settle();
}

static void closes_when_the_client_does(void **state)
{
    (void)state;
    close(client_of(LONG));
    await_descriptors(descriptors);
}

static void closes_when_the_client_does_later(void **state)
{
    int client = client_of(LONG);
    (void)state;
    let_it_be_seen();
    assert_false(is_closed(client, 0));
    close(client);
    await_descriptors(descriptors);
}

static void reads_what_still_comes(void **state)
{
    int client = client_of(LONG);
    (void)state;
    send_much(client);
    assert_false(is_closed(client, 0));
    let_it_be_seen();
    send_much(client);
    loop_settle();
    assert_false(is_closed(client, 0));
    close(client);
    await_descriptors(descriptors);
}

/* A client that sends, and closes before all has been read. */
static void reads_to_the_end(void **state)
{
    int client = client_of(LONG);
    (void)state;
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    close(client);
    await_descriptors(descriptors);
}

static void closes_when_the_time_is_over(void **state)
{
    apr_time_t begun = udr_clock_now();
    int early = client_of(apr_time_from_msec(1));
    int late = client_of(apr_time_from_msec(100));
    (void)state;
    assert_true(is_closed(early, 10000));
    assert_true(is_closed(late, 10000));
    assert_true(udr_clock_now() - begun >= apr_time_from_msec(100));
    close(early);
    close(late);
}

/* One that sends without end: the loop has time for others meanwhile, and closes in time. */
static void is_not_kept_busy_by_a_flood(void **state)
{
    (void)state;
    atomic_store(&is_flooded, true);
    int client = client_of(apr_time_from_msec(100));
    let_it_be_seen();
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    loop_settle();
    assert_true(is_closed(client, 10000));
    close(client);
}

enum { THREADS = 4, CLIENTS = 2000 };

static void *come_and_go(void *baton)
{
    int open[8];
    (void)baton;
    for (int i = 0; i < 8; i++) {
        open[i] = client_of(LONG);
    }
    for (int i = 0; i < CLIENTS; i++) {
        close(open[i % 8]);
        open[i % 8] = client_of(LONG);
    }
    for (int i = 0; i < 8; i++) {
        close(open[i]);
    }
    return NULL;
}

static void takes_them_from_many_threads(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    await_descriptors(descriptors);
}

/* Clients that never close take no more descriptors than that. */
static void takes_so_many_at_once(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < UDR_LINGER_MAX; i++) {
        assert_int_equal(udr_linger_count(linger), i);
        assert_int_equal(udr_linger_add(linger, dup(fds[0]), LONG), APR_SUCCESS);
    }
    assert_int_equal(udr_linger_add(linger, fds[0], LONG), APR_ENOSPC);
    assert_int_equal(udr_linger_count(linger), UDR_LINGER_MAX);
    let_it_be_seen();
    assert_int_equal(udr_linger_add(linger, fds[0], LONG), APR_ENOSPC);
    close(fds[1]);
    await_descriptors(descriptors + 1);
    assert_int_equal(udr_linger_add(linger, fds[0], LONG), APR_SUCCESS);
    await_descriptors(descriptors);
}

static void ring(void *baton)
{
    sem_post(baton);
}

static sem_t bell;

/* --- lent --- */

typedef struct loan_t {
    int fds[2]; /* the one that is lent, and the client's */
    apr_interval_time_t limit;
    apr_status_t rv;
} loan_t;

static void do_lend(void *baton)
{
    loan_t *loan = baton;
    loan->rv = udr_linger_lend(linger, loan->fds[0], loan->limit, ring, &bell);
}

static loan_t lend(apr_interval_time_t limit)
{
    loan_t loan = {.limit = limit};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, loan.fds), 0);
    assert_int_equal(shutdown(loan.fds[0], SHUT_WR), 0);
    sem_init(&bell, 0, 0);
    loop_call(do_lend, &loan);
    assert_int_equal(loan.rv, APR_SUCCESS);
    return loan;
}

/* It is still open: a descriptor that had been closed could be anybody's by now. */
static void give_back(const loan_t *loan)
{
    assert_int_equal(close(loan->fds[0]), 0);
    close(loan->fds[1]);
}

static void tells_that_the_client_has_closed(void **state)
{
    loan_t loan = lend(LONG);
    (void)state;
    let_it_be_seen();
    send_much(loan.fds[1]);
    loop_settle();
    assert_int_not_equal(sem_trywait(&bell), 0);
    assert_int_equal(shutdown(loan.fds[1], SHUT_WR), 0);
    loop_await(&bell);
    give_back(&loan);
}

static void tells_that_it_had_closed_before(void **state)
{
    loan_t loan = lend(LONG);
    (void)state;
    assert_int_equal(shutdown(loan.fds[1], SHUT_WR), 0);
    loop_await(&bell);
    give_back(&loan);
}

static void tells_that_the_time_is_over(void **state)
{
    loan_t loan = lend(apr_time_from_msec(30));
    (void)state;
    loop_await(&bell);
    assert_false(is_closed(loan.fds[1], 0));
    give_back(&loan);
}

/* Who lends it counts it, and the others have as much room as before. */
static void does_not_count_what_is_lent(void **state)
{
    loan_t loan = lend(LONG);
    int fds[2];
    (void)state;
    assert_int_equal(udr_linger_count(linger), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < UDR_LINGER_MAX; i++) {
        assert_int_equal(udr_linger_add(linger, dup(fds[0]), LONG), APR_SUCCESS);
    }
    loan_t beyond = lend(LONG);
    assert_int_equal(udr_linger_count(linger), UDR_LINGER_MAX);
    assert_int_equal(shutdown(beyond.fds[1], SHUT_WR), 0);
    loop_await(&bell);
    give_back(&beyond);
    assert_int_equal(udr_linger_count(linger), UDR_LINGER_MAX);
    assert_int_equal(shutdown(loan.fds[1], SHUT_WR), 0);
    loop_await(&bell);
    give_back(&loan);
    close(fds[0]);
    close(fds[1]);
    await_descriptors(descriptors);
    assert_int_equal(udr_linger_count(linger), 0);
}

/* --- the end --- */

static void await_end(void *baton)
{
    const apr_interval_time_t *limit = baton;
    udr_linger_await_end(linger, *limit, ring, &bell);
}

static void has_nobody_to_wait_for(void **state)
{
    apr_interval_time_t limit = LONG;
    (void)state;
    sem_init(&bell, 0, 0);
    loop_call(await_end, &limit);
    loop_await(&bell);
}

static void waits_for_the_last_client(void **state)
{
    apr_interval_time_t limit = LONG;
    int early = client_of(LONG), late = client_of(LONG);
    (void)state;
    sem_init(&bell, 0, 0);
    loop_call(await_end, &limit);
    close(early);
    await_descriptors(descriptors + 2);
    let_it_be_seen();
    assert_int_not_equal(sem_trywait(&bell), 0);
    close(late);
    loop_await(&bell);
    await_descriptors(descriptors);
}

static void waits_for_no_client_for_ever(void **state)
{
    apr_interval_time_t limit = apr_time_from_msec(50);
    apr_time_t begun = udr_clock_now();
    int client = client_of(LONG);
    (void)state;
    sem_init(&bell, 0, 0);
    loop_call(await_end, &limit);
    loop_await(&bell);
    assert_true(udr_clock_now() - begun >= limit);
    assert_false(is_closed(client, 0));
    close(client);
}

/* What is left at the end is closed with the loop: the tear-down counts. */
static void leaves_nothing_behind(void **state)
{
    int seen = client_of(LONG);
    (void)state;
    let_it_be_seen();
    int unseen = client_of(LONG);
    udr_loop_stop(loop);
    loop_join();
    assert_int_equal(udr_linger_add(linger, dup(unseen), LONG), APR_SUCCESS);
    close(seen);
    close(unseen);
}

static void tells_nobody_behind_its_end(void **state)
{
    loan_t loan = lend(LONG);
    let_it_be_seen();
    loan_t unseen = lend(LONG);
    udr_loop_stop(loop);
    loop_join();
    apr_pool_clear(loop_pool);
    assert_int_not_equal(sem_trywait(&bell), 0);
    give_back(&loan);
    give_back(&unseen);
    (void)state;
}

#define in_loop(test) cmocka_unit_test_setup_teardown(test, set_up, loop_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_loop(closes_when_the_client_does),
        in_loop(closes_when_the_client_does_later),
        in_loop(reads_what_still_comes),
        in_loop(reads_to_the_end),
        in_loop(closes_when_the_time_is_over),
        in_loop(is_not_kept_busy_by_a_flood),
        in_loop(takes_them_from_many_threads),
        in_loop(has_nobody_to_wait_for),
        in_loop(waits_for_the_last_client),
        in_loop(waits_for_no_client_for_ever),
        in_loop(leaves_nothing_behind),
        in_loop(takes_so_many_at_once),
        in_loop(tells_that_the_client_has_closed),
        in_loop(tells_that_it_had_closed_before),
        in_loop(tells_that_the_time_is_over),
        in_loop(does_not_count_what_is_lent),
        in_loop(tells_nobody_behind_its_end),
    };
    apr_initialize();
    alarm(60); /* for what never comes */
    return cmocka_run_group_tests_name("udr_linger", tests, NULL, NULL);
}
