/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_row.h"

#include "mod_udsroute/udr_debug.h"

#include <apr_errno.h>

#include <errno.h>
#include <sched.h>

/* A recount takes microseconds and fails while a thread is in the middle of counting, mostly one that has lost its
 * processor there. */
#define RECOUNTS_MAX 100

/* The mutex, unless another has it. Whatever it protects is kept such that a death with it needs no repair. */
static bool try_lock(pthread_mutex_t *mutex)
{
    int error = pthread_mutex_trylock(mutex);
    if (error == EOWNERDEAD) {
        (void)pthread_mutex_consistent(mutex);
    }
    return error == 0 || error == EOWNERDEAD;
}

/* --- claiming --- */

static bool try_claim(udr_shared_t *shared, apr_uint32_t index)
{
    udr_row_t *row = udr_shared_row(shared, index);
    if (atomic_load(&row->state) != UDR_ROW_FREE || !try_lock(&row->life)) {
        return false;
    }
    if (atomic_load(&row->state) != UDR_ROW_FREE) {
        /* A row that is claimed and not locked: its child has died, and the next reap finds out. */
        (void)pthread_mutex_unlock(&row->life);
        return false;
    }
    udr_shared_use_row(shared, index);
    atomic_store(&row->tickets, 0);
    atomic_store(&row->parked, 0);
    atomic_store(&row->tunnels, 0);
    atomic_store(&row->generation, udr_shared_generation(shared));
    UDR_SCHEDULE("claim:locked");
    atomic_store(&row->state, UDR_ROW_ALIVE);
    UDR_SCHEDULE("claim:alive");
    return true;
}

/* What its child has changed and had no time to tell the others of, they see now: the epoch is incremented after what
 * it is for. */
static void free_row(udr_shared_t *shared, udr_row_t *row)
{
    udr_shared_bump_epoch(shared);
    atomic_store(&row->state, UDR_ROW_FREE);
    UDR_SCHEDULE("release:free");
}

apr_status_t udr_row_claim(udr_shared_t *shared, apr_uint32_t *row)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        for (apr_uint32_t i = 0; i < udr_shared_rows_max(shared); i++) {
            if (!try_claim(shared, i)) {
                continue;
            }
            if (udr_shared_is_outdated(shared, udr_shared_generation(shared))) {
                free_row(shared, udr_shared_row(shared, i));
                (void)pthread_mutex_unlock(&udr_shared_row(shared, i)->life);
                return ESTALE;
            }
            *row = i;
            return APR_SUCCESS;
        }
        /* Some of them may be dead. */
        (void)udr_row_reap(shared);
    }
    return APR_ENOSPC;
}

static void clear_connections(udr_shared_t *shared, apr_uint32_t row)
{
    for (apr_uint32_t slot = 0; slot < udr_shared_slots(shared); slot++) {
        udr_cell_t *cell = udr_shared_cell(shared, row, slot);
        atomic_store(&cell->open, 0);
        atomic_store(&cell->idle, 0);
        atomic_store(&cell->held, 0);
    }
}

apr_status_t udr_row_release(udr_shared_t *shared, apr_uint32_t row)
{
    if (!udr_queue_is_empty(shared, row)) {
        return APR_EBUSY;
    }
    clear_connections(shared, row);
    free_row(shared, udr_shared_row(shared, row));
    (void)pthread_mutex_unlock(&udr_shared_row(shared, row)->life);
    return APR_SUCCESS;
}

/* --- reaping --- */

/* Marks the rows whose children have died; what is marked stays so until all is given back, whoever does it. Returns
 * whether there are any. The own row is locked, like all that live. */
static bool mark_dead(udr_shared_t *shared)
{
    bool found = false;
    for (apr_uint32_t i = 0; i < udr_shared_rows(shared); i++) {
        udr_row_t *row = udr_shared_row(shared, i);
        if (atomic_load(&row->state) == UDR_ROW_ALIVE && try_lock(&row->life)) {
            /* One that is released just now is free, and was locked a moment ago. */
            if (atomic_load(&row->state) == UDR_ROW_ALIVE) {
                atomic_store(&row->state, UDR_ROW_DEAD);
            }
            UDR_SCHEDULE("reap:marked");
            (void)pthread_mutex_unlock(&row->life);
        }
        found |= atomic_load(&row->state) == UDR_ROW_DEAD;
    }
    return found;
}

static void recount(udr_shared_t *shared, apr_uint32_t slot)
{
    for (int i = 0; i < RECOUNTS_MAX && !udr_queue_recount(shared, slot); i++) {
        sched_yield();
    }
}

/* Rows that nothing is left of any more. */
static int free_dead(udr_shared_t *shared)
{
    int freed = 0;
    for (apr_uint32_t i = 0; i < udr_shared_rows(shared); i++) {
        udr_row_t *row = udr_shared_row(shared, i);
        if (atomic_load(&row->state) == UDR_ROW_DEAD && udr_queue_is_empty(shared, i)) {
            clear_connections(shared, i);
            UDR_SCHEDULE("reap:cleared");
            free_row(shared, row);
            freed++;
        }
    }
    return freed;
}

int udr_row_reap(udr_shared_t *shared)
{
    pthread_mutex_t *reaping = udr_shared_reaping(shared);
    int freed = 0;
    /* One does it for all. */
    if (!try_lock(reaping)) {
        return 0;
    }
    bool has_dead = mark_dead(shared);
    for (apr_uint32_t i = 0; has_dead && i < udr_shared_rows(shared); i++) {
        if (atomic_load(&udr_shared_row(shared, i)->state) == UDR_ROW_DEAD) {
            udr_queue_discard(shared, i);
        }
    }
    for (apr_uint32_t slot = 0; slot < udr_shared_slots(shared); slot++) {
        if (atomic_load(&udr_shared_hot(shared, slot)->needs_recount)) {
            recount(shared, slot);
        }
        udr_queue_nudge(shared, slot);
    }
    if (has_dead) {
        freed = free_dead(shared);
    }
    (void)pthread_mutex_unlock(reaping);
    return freed;
}
