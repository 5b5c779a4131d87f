/* SPDX-License-Identifier: Apache-2.0 */
/* What a balancing method costs: nanoseconds for a pick, and for a pick with what is counted then and at the release.
 * make bench-methods; by hand: bench_methods [MEMBERS [PROCESSES]]. Exits with 1 when a figure is over its limit. */
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_latency.h"
#include "mod_udsroute/udr_method.h"
#include "mod_udsroute/udr_random.h"
#include "mod_udsroute/udr_wheel.h"

#include <apr_general.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEMBERS_MAX = 4096, REQUESTS = 100000, ROUNDS = 20, KEYS = 64 };

static const double pick_limit = 1000;     /* ns, with what is counted */
static const double wheel_limit = 3000000; /* ns */

/* Shared by the processes. */
typedef struct shared_t {
    udr_hot_t hot[MEMBERS_MAX];
    _Atomic apr_uint64_t turn;
} shared_t;

static shared_t *shared;
static udr_seat_t seats[MEMBERS_MAX];
static int members = 256;
static apr_uint64_t numbers = 1;
static char keys[KEYS][64];
static volatile int sink;
static int status;

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void make_seats(void)
{
    static const apr_uint32_t weights[] = {100, 200, 500};
    for (int i = 0; i < members; i++) {
        seats[i] = (udr_seat_t){
            .hot = &shared->hot[i], .identity = udr_random_next(&numbers), .member = i, .weight = weights[i % 3]};
        udr_latency_record(seats[i].hot, 1000 + udr_random_below(&numbers, 3000), udr_clock_now());
    }
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "/catalogue/search?q=socket&page=%d&sort=price&order=down", i);
    }
}

static void take(const udr_seat_t *seat)
{
    atomic_fetch_add_explicit(&seat->hot->line, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&seat->hot->elected, 1, memory_order_relaxed);
}

static void release(const udr_seat_t *seat, apr_time_t now)
{
    atomic_fetch_sub_explicit(&seat->hot->line, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&seat->hot->traffic, 4096, memory_order_relaxed);
    udr_latency_record(seat->hot, 2000, now);
}

/* One round; twice as many requests as members are in flight all the time. counts: take and release as well. */
static double measure(const udr_method_t *method, void *state, udr_choice_t *choice, bool counts)
{
    static int in_flight[2 * MEMBERS_MAX];
    const int crowd = 2 * members;
    for (int i = 0; i < crowd; i++) {
        take(&seats[in_flight[i] = i % members]);
    }
    double begin = now_ns();
    for (int i = 0; i < REQUESTS; i++) {
        choice->key = keys[i % KEYS];
        choice->key_len = 54;
        int place = method->pick(state, seats, members, choice);
        if (counts) {
            int *slot = &in_flight[i % crowd];
            take(&seats[place]);
            release(&seats[*slot], choice->now);
            *slot = place;
        } else {
            sink = place;
        }
    }
    double took = (now_ns() - begin) / REQUESTS;
    for (int i = 0; i < crowd; i++) {
        release(&seats[in_flight[i]], choice->now);
    }
    return took;
}

static double best_of(const udr_method_t *method, void *state, bool counts)
{
    udr_choice_t choice = {.random = &numbers, .now = udr_clock_now()};
    double best = measure(method, state, &choice, counts);
    for (int i = 1; i < ROUNDS; i++) {
        double took = measure(method, state, &choice, counts);
        best = took < best ? took : best;
    }
    return best;
}

static void measure_method(const udr_method_t *method, apr_pool_t *pool)
{
    void *state;
    if (method->create(&state, &shared->turn, members, pool) != APR_SUCCESS) {
        exit(2);
    }
    method->prepare(state, seats, members);
    double pick = best_of(method, state, false);
    double all = best_of(method, state, true);
    printf("%-12s %8.0f %16.0f\n", method->name, pick, all);
    status |= all > pick_limit;
}

/* weights: 1, 1 + step, 1 + 2 step, … of so many kinds. */
static void measure_wheel(int kinds, int step, apr_pool_t *parent)
{
    static apr_uint32_t weights[MEMBERS_MAX];
    double best = 1e12;
    udr_wheel_t wheel;
    for (int i = 0; i < members; i++) {
        weights[i] = 1 + (apr_uint32_t)(i % kinds * step);
    }
    for (int i = 0; i < ROUNDS; i++) {
        apr_pool_t *pool;
        if (apr_pool_create(&pool, parent) != APR_SUCCESS) {
            exit(2);
        }
        double begin = now_ns();
        udr_wheel_build(&wheel, weights, members, pool);
        double took = now_ns() - begin;
        best = took < best ? took : best;
        apr_pool_destroy(pool);
    }
    printf("%5d weights, period %5u: %6.0f us\n", kinds, wheel.period, best / 1000);
    status |= best > wheel_limit;
}

static void measure_all(void)
{
    static const udr_method_t *const methods[] = {&udr_method_byrequests, &udr_method_bytraffic, &udr_method_bybusyness,
                                                  &udr_method_leasttime, &udr_method_hash};
    apr_pool_t *pool;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        exit(2);
    }
    printf("%-12s %8s %16s   ns, %d members\n", "method", "pick", "pick and release", members);
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        measure_method(methods[i], pool);
    }
    printf("the wheel of byrequests:\n");
    measure_wheel(1, 1, pool);
    measure_wheel(3, 2, pool);
    measure_wheel(60, 7, pool);
    measure_wheel(members, 1, pool);
    measure_wheel(members, 39, pool);
    apr_pool_destroy(pool);
}

/* The others do the same at the same time, and say nothing. */
static void start_others(int count, pid_t *children)
{
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            numbers += (apr_uint64_t)i + 2;
            if (!freopen("/dev/null", "w", stdout)) {
                _exit(2);
            }
            for (;;) {
                measure_all();
            }
        }
    }
}

int main(int argc, char **argv)
{
    pid_t children[63];
    int others = argc > 2 ? atoi(argv[2]) - 1 : 0;
    members = argc > 1 ? atoi(argv[1]) : members;
    if (members < 1 || members > MEMBERS_MAX || others < 0 || others > 63) {
        fprintf(stderr, "bench_methods [MEMBERS [PROCESSES]]: 1 to %d members, 1 to 64 processes\n", MEMBERS_MAX);
        return 2;
    }
    apr_initialize();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return 2;
    }
    make_seats();
    start_others(others, children);
    measure_all();
    for (int i = 0; i < others; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    return status;
}
