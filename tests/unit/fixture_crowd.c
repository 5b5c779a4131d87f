/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_crowd.h"

#include <apr_errno.h>

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

stage_t *stage;
apr_uint32_t members[MEMBERS];

int crowd_set_up(void **state)
{
    static const char *const names[MEMBERS] = {"free", "three", "one"};
    static const apr_uint32_t limits[MEMBERS] = {0, 3, 1};
    if (shared_set_up(state) != 0) {
        return -1;
    }
    for (int i = 0; i < MEMBERS; i++) {
        assert_int_equal(claim(names[i], &members[i]), APR_SUCCESS);
        udr_queue_set_limit(shared, members[i], limits[i]);
    }
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return stage == MAP_FAILED ? -1 : 0;
}

int crowd_tear_down(void **state)
{
    munmap(stage, sizeof *stage);
    return shared_tear_down(state);
}

void pass_time(int us)
{
    struct timespec time = {.tv_nsec = us * 1000L};
    while (nanosleep(&time, &time) == -1 && errno == EINTR) {
    }
}

/* --- a worker --- */

typedef struct worker_t {
    udr_queue_waiter_t waiter; /* first: the wake function gets this */
    sem_t turn;
    crowd_t *crowd;
    unsigned int seed;
} worker_t;

static void wake_worker(udr_queue_waiter_t *waiter)
{
    sem_post(&((worker_t *)(void *)waiter)->turn);
}

/* Up to a millisecond or so. */
static void sleep_for_turn(worker_t *worker)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(rand_r(&worker->seed) % 3000) * 1000;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    (void)sem_timedwait(&worker->turn, &until);
}

/* False: it has given up, as some do. */
static bool have_turn(worker_t *worker, int which)
{
    udr_queue_t *queue = worker->crowd->child.queue;
    apr_status_t rv = udr_queue_enter(queue, members[which], &worker->waiter);
    for (int patience = rand_r(&worker->seed) % 20; rv != APR_SUCCESS; patience--) {
        if (udr_queue_granted(queue, &worker->waiter)) {
            return true;
        }
        if (patience < 0) {
            udr_queue_leave(queue, &worker->waiter);
            return false;
        }
        sleep_for_turn(worker);
    }
    return true;
}

static void be_served(worker_t *worker, int which)
{
    apr_uint32_t now = atomic_fetch_add(&stage->in_flight[which], 1) + 1;
    apr_uint32_t most = atomic_load(&stage->most[which]);
    while (now > most && !atomic_compare_exchange_weak(&stage->most[which], &most, now)) {
    }
    if (worker->crowd->pause_us > 0) {
        pass_time(rand_r(&worker->seed) % worker->crowd->pause_us);
    }
    atomic_fetch_sub(&stage->in_flight[which], 1);
    udr_queue_done(worker->crowd->child.queue, members[which]);
    atomic_fetch_add(&stage->served[worker->crowd->number], 1);
}

/* One request in flight, seen by the test, until it says go on. */
static void hold_one(worker_t *worker)
{
    (void)udr_queue_enter(worker->crowd->child.queue, members[0], &worker->waiter);
    atomic_fetch_add(&stage->holding, 1);
    while (atomic_load(&stage->phase) == HOLD) {
        pass_time(200);
    }
    udr_queue_done(worker->crowd->child.queue, members[0]);
}

static void *work(void *baton)
{
    worker_t *worker = baton;
    crowd_t *crowd = worker->crowd;
    int turns = 0;
    while (atomic_load(&stage->phase) == WORK && (crowd->turns == 0 || turns < crowd->turns)) {
        int which = rand_r(&worker->seed) % MEMBERS;
        if (have_turn(worker, which)) {
            be_served(worker, which);
            turns++;
        } else {
            atomic_fetch_add(&stage->gave_up, 1);
        }
        if (crowd->pause_us > 0) {
            pass_time(rand_r(&worker->seed) % crowd->pause_us);
        }
    }
    if (atomic_load(&stage->phase) == HOLD) {
        hold_one(worker);
    }
    atomic_fetch_sub(&crowd->working, 1);
    return NULL;
}

/* --- the child --- */

/* This thread wakes the others, and looks after the dead, until all have ended. */
static void tidy(crowd_t *crowd)
{
    struct pollfd fd = {.fd = udr_queue_descriptor(crowd->child.queue), .events = POLLIN};
    while (atomic_load(&crowd->working) > 0) {
        if (poll(&fd, 1, 2) == 1) {
            (void)udr_queue_wake(crowd->child.queue);
        } else {
            (void)udr_row_reap(shared);
        }
    }
}

int run_crowd(void *baton)
{
    crowd_t *crowd = baton;
    pthread_t threads[WORKERS];
    worker_t workers[WORKERS];
    if (!try_start_child(&crowd->child)) {
        return 1;
    }
    atomic_store(&crowd->working, WORKERS);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker_t){.waiter = {.wake = wake_worker}, .crowd = crowd};
        workers[i].seed = (unsigned int)(crowd->number * WORKERS + i) * 7919u + (unsigned int)time(NULL);
        sem_init(&workers[i].turn, 0, 0);
        if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) {
            return 2;
        }
    }
    tidy(crowd);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        sem_destroy(&workers[i].turn);
    }
    return udr_row_release(shared, crowd->child.row) == APR_SUCCESS ? 0 : 3;
}
