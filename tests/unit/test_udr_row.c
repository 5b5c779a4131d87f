/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of children that come and go. Deaths in the middle of something are in test_udr_queue_repair.c and, at moments
 * that nobody has chosen, in test_udr_row_deaths.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_shared.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_alive(apr_uint32_t row)
{
    return atomic_load(&udr_shared_row(shared, row)->state) == UDR_ROW_ALIVE;
}

static void gives_each_child_a_row(void **state)
{
    child_t children[ROWS];
    apr_uint32_t row = 77;
    (void)state;
    for (apr_uint32_t i = 0; i < ROWS; i++) {
        children[i] = start_child();
        assert_int_equal(children[i].row, i);
        assert_true(is_alive(i));
        assert_int_equal(udr_shared_rows(shared), i + 1);
    }
    assert_int_equal(udr_row_claim(shared, &row), APR_ENOSPC);
    assert_int_equal(row, 77);
    end_child(&children[5]);
    assert_false(is_alive(5));
    children[5] = start_child();
    assert_int_equal(children[5].row, 5);
    for (int i = 0; i < ROWS; i++) {
        end_child(&children[i]);
    }
}

static void notes_the_generation(void **state)
{
    (void)state;
    child_t old = start_child();
    (void)udr_shared_begin_generation(shared);
    child_t young = start_child();
    assert_int_equal(atomic_load(&udr_shared_row(shared, old.row)->generation), 1);
    assert_int_equal(atomic_load(&udr_shared_row(shared, young.row)->generation), 2);
    end_child(&old);
    end_child(&young);
}

static void is_kept_while_something_is_in_flight(void **state)
{
    (void)state;
    child_t child = start_child();
    guest_t someone = guest("S", &child);
    guest_t other = guest("O", &child);
    udr_queue_set_limit(shared, member, 1);
    assert_int_equal(enters(&someone), APR_SUCCESS);
    assert_int_equal(udr_row_release(shared, child.row), APR_EBUSY);
    is_queued(&other);
    is_done(&child);
    assert_int_equal(udr_row_release(shared, child.row), APR_EBUSY);
    udr_queue_leave(child.queue, &other.waiter);
    end_child(&child);
}

static void starts_without_signals_of_the_one_before(void **state)
{
    (void)state;
    child_t child = start_child();
    udr_signals_give(udr_shared_signals(shared), child.row);
    end_child(&child);
    child = start_child();
    struct pollfd fd = {.fd = udr_queue_descriptor(child.queue), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0);
    end_child(&child);
}

/* --- deaths --- */

static int take_much_and_die(void *baton)
{
    child_t child;
    (void)baton;
    if (!try_start_child(&child)) {
        return 1;
    }
    for (int i = 0; i < 5; i++) {
        guest_t someone = guest("S", &child);
        if (enters(&someone) != APR_SUCCESS) {
            return 1;
        }
    }
    atomic_fetch_add(&udr_shared_cell(shared, child.row, member)->open, 5);
    atomic_fetch_add(&udr_shared_cell(shared, child.row, member)->idle, 2);
    raise(SIGKILL);
    return 1;
}

static void gives_back_what_the_dead_have_left(void **state)
{
    udr_shared_counts_t counts;
    (void)state;
    child_t child = start_child();
    guest_t someone = guest("S", &child);
    assert_int_equal(enters(&someone), APR_SUCCESS);
    assert_true(WIFSIGNALED(await_child(fork_child(take_much_and_die, NULL))));
    assert_true(WIFSIGNALED(await_child(fork_child(take_much_and_die, NULL))));
    assert_line(11, 0);
    assert_int_equal(udr_row_reap(shared), 2);
    udr_shared_count(shared, member, &counts);
    assert_int_equal(counts.busy, 1);
    assert_int_equal(counts.open, 0);
    assert_int_equal(counts.idle, 0);
    assert_int_equal(udr_row_reap(shared), 0);
    is_done(&child);
    end_child(&child);
}

/* It may have died between a verdict and the epoch: the others would pick as before for ever. */
static void has_the_living_look_at_what_the_dead_have_changed(void **state)
{
    (void)state;
    assert_true(WIFSIGNALED(await_child(fork_child(take_much_and_die, NULL))));
    apr_uint64_t epoch = udr_shared_epoch(shared);
    assert_int_equal(udr_row_reap(shared), 1);
    assert_true(udr_shared_epoch(shared) > epoch);
    epoch = udr_shared_epoch(shared);
    assert_int_equal(udr_row_reap(shared), 0);
    assert_true(udr_shared_epoch(shared) == epoch);
}

static void leaves_the_living_alone(void **state)
{
    (void)state;
    child_t a = start_child();
    child_t b = start_child();
    guest_t someone = guest("S", &a);
    assert_int_equal(enters(&someone), APR_SUCCESS);
    assert_int_equal(udr_row_reap(shared), 0);
    assert_int_equal(udr_row_reap(shared), 0);
    assert_int_equal(udr_row_reap(shared), 0);
    assert_line(1, 0);
    assert_true(is_alive(a.row) && is_alive(b.row));
    is_done(&a);
    end_child(&a);
    end_child(&b);
}

/* A new child needs no other to look after the dead for it. */
static void finds_a_row_among_the_dead(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        assert_true(WIFSIGNALED(await_child(fork_child(take_much_and_die, NULL))));
    }
    assert_line(5 * ROWS, 0);
    child_t child = start_child();
    assert_line(0, 0);
    end_child(&child);
}

/* The parent, without a row of its own, before it reuses slots. */
static void frees_slots_of_dead_generations(void **state)
{
    static const char *const names[] = {"2", "3", "4", "5", "6"};
    apr_uint32_t slot;
    (void)state;
    assert_true(WIFSIGNALED(await_child(fork_child(take_much_and_die, NULL))));
    (void)udr_shared_begin_generation(shared);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(claim(names[i], &slot), APR_SUCCESS);
    }
    udr_shared_end_generation(shared);
    (void)udr_shared_begin_generation(shared);
    assert_int_equal(claim("new", &slot), APR_ENOSPC);
    assert_int_equal(udr_row_reap(shared), 1);
    assert_int_equal(claim("new", &slot), APR_SUCCESS);
    assert_int_equal(slot, member);
}

static void *hold_reaping(void *baton)
{
    sem_t *steps = baton;
    assert_int_equal(pthread_mutex_lock(udr_shared_reaping(shared)), 0);
    sem_post(&steps[0]);
    sem_wait(&steps[1]);
    pthread_mutex_unlock(udr_shared_reaping(shared));
    return NULL;
}

static void lets_one_do_it_for_all(void **state)
{
    pthread_t thread;
    sem_t steps[2];
    (void)state;
    child_t child = start_child();
    assert_true(WIFSIGNALED(await_child(fork_child(take_much_and_die, NULL))));
    sem_init(&steps[0], 0, 0);
    sem_init(&steps[1], 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, hold_reaping, steps), 0);
    sem_wait(&steps[0]);
    assert_int_equal(udr_row_reap(shared), 0); /* and doesn't wait */
    sem_post(&steps[1]);
    pthread_join(thread, NULL);
    assert_int_equal(udr_row_reap(shared), 1);
    sem_destroy(&steps[0]);
    sem_destroy(&steps[1]);
    end_child(&child);
}

#define with_shared(test) cmocka_unit_test_setup_teardown(test, shared_set_up, shared_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_shared(gives_each_child_a_row),
        with_shared(notes_the_generation),
        with_shared(is_kept_while_something_is_in_flight),
        with_shared(starts_without_signals_of_the_one_before),
        with_shared(gives_back_what_the_dead_have_left),
        with_shared(has_the_living_look_at_what_the_dead_have_changed),
        with_shared(leaves_the_living_alone),
        with_shared(finds_a_row_among_the_dead),
        with_shared(frees_slots_of_dead_generations),
        with_shared(lets_one_do_it_for_all),
    };
    apr_initialize();
    alarm(60);
    return cmocka_run_group_tests_name("udr_row", tests, NULL, NULL);
}
