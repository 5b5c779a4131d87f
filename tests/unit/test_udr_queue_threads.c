/* SPDX-License-Identifier: Apache-2.0 */
/* Turns among many threads of many processes, at once and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_crowd.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TURNS = 1000, HURRIED = 10000, QUEUED = 6 };

/* --- all at once --- */

static void assert_all_served(int crowds, int turns)
{
    for (int i = 0; i < crowds; i++) {
        assert_int_equal(atomic_load(&stage->served[i]), WORKERS * turns);
    }
    assert_in_range(atomic_load(&stage->most[1]), 1, 3);
    assert_int_equal(atomic_load(&stage->most[2]), 1);
    assert_nothing_left();
}

static void run_processes(int turns, int pause_us)
{
    crowd_t crowds[CROWDS];
    pid_t processes[CROWDS];
    for (int i = 0; i < CROWDS; i++) {
        crowds[i] = (crowd_t){.number = i, .turns = turns, .pause_us = pause_us};
        processes[i] = fork_child(run_crowd, &crowds[i]);
    }
    for (int i = 0; i < CROWDS; i++) {
        assert_int_equal(await_child(processes[i]), 0);
    }
    assert_all_served(CROWDS, turns);
}

static void counts_right_over_processes(void **state)
{
    (void)state;
    run_processes(TURNS, 100);
    /* The limit is used, and where there is none, more come in. */
    assert_int_equal(atomic_load(&stage->most[1]), 3);
    assert_true(atomic_load(&stage->most[0]) > 3);
}

static void counts_right_in_a_hurry(void **state)
{
    (void)state;
    run_processes(HURRIED, 0);
}

static void *run_in_thread(void *baton)
{
    return run_crowd(baton) == 0 ? NULL : baton;
}

/* The same in one process, which is what the thread sanitizer can see. */
static void counts_right_over_threads(void **state)
{
    crowd_t crowds[2];
    pthread_t threads[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        crowds[i] = (crowd_t){.number = i, .turns = TURNS, .pause_us = 20};
        assert_int_equal(pthread_create(&threads[i], NULL, run_in_thread, &crowds[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_all_served(2, TURNS);
}

/* --- in order --- */

typedef struct visit_t {
    int number;
    int said[2];
    child_t child;
} visit_t;

static bool has_one_more(visit_t *visit, guest_t *someone)
{
    struct pollfd fd = {.fd = udr_queue_descriptor(visit->child.queue), .events = POLLIN};
    return poll(&fd, 1, 30000) == 1 && udr_queue_wake(visit->child.queue) == 1 && is_granted(someone);
}

/* Waits twice, tells so, and exits with 0 when it has been woken once for each, in its place among all the others. */
static int visit_twice(void *baton)
{
    visit_t *visit = baton;
    char byte = 0;
    if (!try_start_child(&visit->child)) {
        return 1;
    }
    guest_t guests[] = {guest("1", &visit->child), guest("2", &visit->child)};
    if (enters(&guests[0]) != APR_EAGAIN || enters(&guests[1]) != APR_EAGAIN || write(visit->said[1], &byte, 1) != 1) {
        return 2;
    }
    for (int i = 0; i < 2; i++) {
        if (!has_one_more(visit, &guests[i])) {
            return 3;
        }
        /* With the only turn there is. */
        if (atomic_fetch_add(&stage->served[0], 1) != (apr_uint64_t)(2 * visit->number + i)) {
            return 4;
        }
        pass_time(1000);
        is_done(&visit->child);
    }
    return udr_row_release(shared, visit->child.row) == APR_SUCCESS ? 0 : 5;
}

static void serves_processes_in_order_of_arrival(void **state)
{
    visit_t visits[QUEUED];
    pid_t processes[QUEUED];
    char byte;
    (void)state;
    child_t child = start_child();
    guest_t someone = guest("S", &child);
    udr_queue_set_limit(shared, member, 1);
    assert_int_equal(enters(&someone), APR_SUCCESS);
    for (int i = 0; i < QUEUED; i++) {
        visits[i] = (visit_t){.number = i};
        assert_int_equal(pipe(visits[i].said), 0);
        processes[i] = fork_child(visit_twice, &visits[i]);
        assert_int_equal(read(visits[i].said[0], &byte, 1), 1);
        assert_line(1, 2 * (i + 1));
    }
    is_done(&child);
    for (int i = 0; i < QUEUED; i++) {
        assert_int_equal(await_child(processes[i]), 0);
        close(visits[i].said[0]);
        close(visits[i].said[1]);
    }
    assert_line(0, 0);
    end_child(&child);
}

#define with_crowd(test) cmocka_unit_test_setup_teardown(test, crowd_set_up, crowd_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_crowd(serves_processes_in_order_of_arrival),
        with_crowd(counts_right_over_processes),
        with_crowd(counts_right_in_a_hurry),
        with_crowd(counts_right_over_threads),
    };
    apr_initialize();
    alarm(120); /* for a turn that never comes */
    return cmocka_run_group_tests_name("udr_queue_threads", tests, NULL, NULL);
}
