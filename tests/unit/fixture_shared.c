/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_shared.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

apr_pool_t *pool;
udr_shared_t *shared;
apr_uint32_t member;
char woken[32];

int shared_set_up(void **state)
{
    (void)state;
    woken[0] = '\0';
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS ||
        udr_shared_create(&shared, SLOTS, ROWS, TICKETS, pool) != APR_SUCCESS) {
        return -1;
    }
    (void)udr_shared_begin_generation(shared);
    if (claim("member", &member) != APR_SUCCESS) {
        return -1;
    }
    udr_shared_end_generation(shared);
    return 0;
}

int shared_tear_down(void **state)
{
    (void)state;
    assert_nothing_left();
    apr_pool_destroy(pool);
    return 0;
}

bool try_start_child(child_t *child)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* a pool is one thread's at a time */
    if (udr_row_claim(shared, &child->row) != APR_SUCCESS) {
        return false;
    }
    pthread_mutex_lock(&mutex);
    apr_status_t rv = udr_queue_create(&child->queue, shared, child->row, pool);
    pthread_mutex_unlock(&mutex);
    return rv == APR_SUCCESS;
}

child_t start_child(void)
{
    child_t child = {UDR_SHARED_NONE, NULL};
    assert_true(try_start_child(&child));
    return child;
}

void end_child(child_t *child)
{
    assert_int_equal(udr_row_release(shared, child->row), APR_SUCCESS);
}

apr_status_t claim(const char *name, apr_uint32_t *slot)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    udr_shared_identify(identity, "balancer", name, "http", "/");
    return udr_shared_claim(shared, identity, slot, NULL);
}

static void note_wake(udr_queue_waiter_t *waiter)
{
    const guest_t *someone = (const guest_t *)(const void *)waiter;
    strncat(woken, someone->name, sizeof woken - strlen(woken) - 1);
}

guest_t guest(const char *name, child_t *child)
{
    return (guest_t){.waiter = {.wake = note_wake}, .name = name, .child = child};
}

apr_status_t enters(guest_t *someone)
{
    return udr_queue_enter(someone->child->queue, member, &someone->waiter);
}

void is_queued(guest_t *someone)
{
    assert_int_equal(enters(someone), APR_EAGAIN);
}

bool is_granted(guest_t *someone)
{
    return udr_queue_granted(someone->child->queue, &someone->waiter);
}

void is_done(child_t *child)
{
    udr_queue_done(child->queue, member);
}

void check_line(int busy, int waiting, const char *file, int line)
{
    udr_shared_counts_t counts;
    udr_shared_count(shared, member, &counts);
    _assert_int_equal(counts.busy, (unsigned int)busy, file, line);
    _assert_int_equal(counts.waiting, (unsigned int)waiting, file, line);
}

void check_nothing_left(const char *file, int line)
{
    for (apr_uint32_t row = 0; row < ROWS; row++) {
        _assert_int_equal(atomic_load(&udr_shared_row(shared, row)->state), UDR_ROW_FREE, file, line);
        _assert_true(udr_queue_is_empty(shared, row), "the row is empty", file, line);
    }
    for (apr_uint32_t slot = 0; slot < udr_shared_slots(shared); slot++) {
        _assert_int_equal(atomic_load(&udr_shared_hot(shared, slot)->line), 0, file, line);
        _assert_int_equal(atomic_load(&udr_shared_hot(shared, slot)->needs_recount), 0, file, line);
        _assert_int_equal(udr_shared_slot(shared, slot)->queue.first, 0, file, line);
        _assert_int_equal(udr_shared_slot(shared, slot)->queue.last, 0, file, line);
    }
}

pid_t fork_child(int (*run)(void *baton), void *baton)
{
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        alarm(60);
        _exit(run(baton));
    }
    return process;
}

int await_child(pid_t process)
{
    int status = -1;
    assert_int_equal(waitpid(process, &status, 0), process);
    return status;
}
