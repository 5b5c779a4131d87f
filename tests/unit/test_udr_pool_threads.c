/* SPDX-License-Identifier: Apache-2.0 */
/* A pool as a child uses it: threads with a loop each, and threads without, all of which take from each other's lanes
 * while the member answers, hangs up and speaks out of turn. What they do wrong is for the sanitizers to see, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_pool.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 2, ROUNDS = 1000, GREETED = 64, SEEDS = 8 };

/* Asserting is for the main thread. */
static atomic_int violations;
static atomic_int rounds_had;
static atomic_int taken_from_others;
static sem_t all_served; /* posted by each loop's user */

/* --- the member --- */

/* The n-th question. Now and then it says more than it was asked for, or hangs up behind its answer. */
static bool answer(int fd, int n)
{
    char byte;
    if (recv(fd, &byte, 1, MSG_DONTWAIT) <= 0) {
        return false;
    }
    (void)send(fd, "yy", n % 11 == 0 ? 2 : 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n % 13 != 0;
}

static void hang_up(struct pollfd *guest)
{
    close(guest->fd);
    guest->fd = -1;
}

/* In place of the one that has been there for longest. */
static void greet(struct pollfd *guests, int *next)
{
    struct pollfd *guest = &guests[*next];
    int fd = accept4(place.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (guest->fd >= 0) {
        hang_up(guest);
    }
    *guest = (struct pollfd){.fd = fd, .events = POLLIN};
    *next = (*next + 1) % GREETED;
}

static void *answer_all(void *baton)
{
    const int *stop = baton;
    struct pollfd fds[2 + GREETED] = {{.fd = place.listener, .events = POLLIN}, {.fd = *stop, .events = POLLIN}};
    struct pollfd *guests = fds + 2;
    int next = 0;
    for (int i = 0; i < GREETED; i++) {
        guests[i].fd = -1;
    }
    for (int n = 1; poll(fds, 2 + GREETED, -1) > 0 && !fds[1].revents;) {
        for (int i = 0; i < GREETED; i++) {
            if (guests[i].fd >= 0 && guests[i].revents && !answer(guests[i].fd, n++)) {
                hang_up(&guests[i]);
            }
        }
        if (fds[0].revents) {
            greet(guests, &next);
        }
    }
    for (int i = 0; i < GREETED; i++) {
        if (guests[i].fd >= 0) {
            hang_up(&guests[i]);
        }
    }
    return NULL;
}

/* --- what all users of the pool do --- */

static void claim(bool is_so)
{
    if (!is_so) {
        atomic_fetch_add(&violations, 1);
    }
}

static udr_connection_t *connect_anew(void)
{
    udr_connection_t *connection = NULL;
    if (udr_connection_create(&connection) == APR_SUCCESS &&
        udr_connection_connect(connection, place.address) != APR_SUCCESS) {
        udr_connection_close(connection); /* a full backlog: another time */
        connection = NULL;
    }
    return connection;
}

static bool ask(udr_connection_t *connection)
{
    const struct iovec question = {.iov_base = (void *)(uintptr_t) "x", .iov_len = 1};
    apr_size_t sent;
    connection->requests += 2; /* not atomic: the thread sanitizer sees it if two have the same one */
    return udr_connection_send(connection, &question, 1, &sent) == APR_SUCCESS;
}

/* The round is over; the connection is kept if it may serve others. */
static void give_back(udr_connection_t *connection, bool keep, int lane)
{
    if (connection && !keep) {
        udr_connection_close(connection);
        connection = NULL;
    }
    atomic_fetch_add(&rounds_had, 1);
    udr_pool_give(connections, connection, lane);
}

/* --- with a loop --- */

typedef struct user_t {
    pthread_t thread;
    int lane;
    int rounds;
    udr_waiter_t waiter;
    udr_connection_t *connection;
    udr_task_t task; /* the next round */
} user_t;

static void go_on(user_t *user)
{
    if (++user->rounds == ROUNDS) {
        sem_post(&all_served);
    } else {
        if (user->rounds % 50 == 0) {
            (void)udr_pool_tidy(connections, user->lane, udr_clock_now());
        }
        udr_loop_defer(loops[user->lane], &user->task);
    }
}

static void finish_round(user_t *user, bool keep)
{
    udr_connection_t *connection = user->connection;
    user->connection = NULL;
    give_back(connection, keep, user->lane);
    go_on(user);
}

static void member_has_answered(udr_watch_t *watch, uint32_t events)
{
    user_t *user = watch->baton;
    char answer[2];
    apr_size_t len;
    (void)events;
    if (!user) {
        return; /* it is idle, or another's by now */
    }
    claim(user->connection && user->connection->watch == watch);
    apr_status_t rv = udr_connection_receive(user->connection, answer, sizeof answer, &len);
    if (rv != EAGAIN) {
        finish_round(user, rv == APR_SUCCESS && len == 1);
    }
}

static void begin_round(udr_task_t *task)
{
    user_t *user = task->baton;
    udr_loop_t *own = loops[user->lane];
    if (udr_pool_take(connections, &user->waiter) != APR_SUCCESS) {
        return; /* until it is woken */
    }
    /* Now and then a new one, though others may be idle: these are for who has none in its own lane. */
    udr_connection_t *connection =
        user->rounds % 7 == 0 ? NULL : udr_pool_idle(connections, user->lane, false, udr_clock_now());
    if (connection && connection->loop) {
        claim(connection->loop == own && connection->watch->baton == NULL);
    } else if (connection) {
        claim(connection->watch == NULL);
        atomic_fetch_add(&taken_from_others, 1);
    } else {
        connection = connect_anew();
    }
    if (connection && !connection->loop && udr_connection_watch(connection, own, member_has_answered) != APR_SUCCESS) {
        udr_connection_close(connection);
        connection = NULL;
    }
    user->connection = connection;
    if (connection) {
        connection->watch->baton = user;
    }
    if (!connection || !ask(connection)) {
        finish_round(user, false);
    }
}

static void wake_loop(udr_waiter_t *waiter)
{
    user_t *user = waiter->baton;
    udr_loop_post(loops[user->lane], &user->task);
}

static void *run_loop(void *baton)
{
    const user_t *user = baton;
    udr_loop_run(loops[user->lane]);
    return NULL;
}

/* --- without --- */

static void ring(udr_waiter_t *waiter)
{
    sem_post(waiter->baton);
}

/* Asks and waits for the answer. Returns whether the connection is as good as before. */
static bool converse(udr_connection_t *connection)
{
    char answer[2];
    apr_size_t len;
    struct pollfd fd = {.fd = connection->fd, .events = POLLIN};
    return ask(connection) && poll(&fd, 1, -1) == 1 &&
           udr_connection_receive(connection, answer, sizeof answer, &len) == APR_SUCCESS && len == 1;
}

static void *work(void *baton)
{
    sem_t bell;
    (void)baton;
    sem_init(&bell, 0, 0);
    udr_waiter_t waiter = {.wake = ring, .baton = &bell};
    for (int round = 0; round < ROUNDS; round++) {
        while (udr_pool_take(connections, &waiter) != APR_SUCCESS) {
            while (sem_wait(&bell) != 0) {
            }
        }
        udr_connection_t *connection = udr_pool_idle(connections, 0, false, udr_clock_now());
        claim(!connection || (!connection->loop && !connection->watch));
        connection = connection ? connection : connect_anew();
        give_back(connection, connection && converse(connection) && round % 5 != 0, 0);
    }
    sem_destroy(&bell);
    return NULL;
}

/* --- all together --- */

static void add_some_for_all(void)
{
    for (int i = 0; i < SEEDS; i++) {
        take_turn();
        udr_pool_give(connections, connect_anew(), 0);
    }
}

static void play(user_t users[LANES])
{
    pthread_t workers[WORKERS];
    for (int lane = 1; lane < LANES; lane++) {
        user_t *user = &users[lane];
        *user = (user_t){.lane = lane, .task.run = begin_round, .task.baton = user};
        user->waiter = (udr_waiter_t){.wake = wake_loop, .baton = user};
        udr_loop_post(loops[lane], &user->task);
        assert_int_equal(pthread_create(&user->thread, NULL, run_loop, user), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&workers[i], NULL, work, NULL), 0);
    }
    /* Workers may outlast the loops, and take from the lanes of those that have ended. */
    for (int lane = 1; lane < LANES; lane++) {
        while (sem_wait(&all_served) != 0) {
        }
    }
    for (int lane = 1; lane < LANES; lane++) {
        udr_loop_stop(loops[lane]);
        pthread_join(users[lane].thread, NULL);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(workers[i], NULL);
    }
}

static void play_with_max(int max)
{
    pthread_t answerer;
    user_t users[LANES];
    int stop[2];
    udr_pool_counts_t counts;
    member->settings.max = max;
    atomic_store(&violations, 0);
    atomic_store(&rounds_had, 0);
    atomic_store(&taken_from_others, 0);
    sem_init(&all_served, 0, 0);
    assert_int_equal(pipe(stop), 0);
    assert_int_equal(pthread_create(&answerer, NULL, answer_all, &stop[0]), 0);
    add_some_for_all();
    play(users);
    assert_int_equal(write(stop[1], "", 1), 1);
    pthread_join(answerer, NULL);
    close(stop[0]);
    close(stop[1]);
    sem_destroy(&all_served);
    udr_pool_count(connections, &counts);
    assert_counts(counts.idle, 0, 0);
    assert_int_equal(atomic_load(&rounds_had), (LANES - 1 + WORKERS) * ROUNDS);
    assert_int_equal(atomic_load(&violations), 0);
    assert_true(atomic_load(&taken_from_others) > 0);
}

static void serves_loops_and_workers(void **state)
{
    (void)state;
    play_with_max(0);
}

/* Fewer turns than there are threads: they wait for each other, too. */
static void serves_loops_and_workers_in_turn(void **state)
{
    (void)state;
    play_with_max(LANES - 1 + WORKERS - 1);
}

#define in_place(test) cmocka_unit_test_setup_teardown(test, pool_set_up, pool_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_place(serves_loops_and_workers),
        in_place(serves_loops_and_workers_in_turn),
    };
    apr_initialize();
    alarm(60); /* for a turn that never comes */
    return cmocka_run_group_tests_name("udr_pool_threads", tests, NULL, NULL);
}
