/* SPDX-License-Identifier: Apache-2.0 */
/* How the count stays true when a child is killed.
 *
 * What is in flight stands in two places: in the member's line, which all children compare with the limit, and in the
 * cell of the child's row, which tells what to take back when it dies. No processor writes both at once, so a child may
 * die between the two. Hence every change goes
 *
 *     cell: counting + 1  ──►  line  ──►  cell: counting - 1, counted + 1 (and busy, which goes down with the first)
 *
 * and nothing needs to be taken back by guess: udr_row marks the dead row, and udr_queue_recount() compares the line
 * with the sum over all rows but the dead. That sum is good when no living thread was counting from before the first
 * cell was read until after the last: `counting` is 0 everywhere at two passes over the cells, and no `counted` has
 * moved from one to the other. The line, read in between, is then over by just what the dead have left, and stays so
 * whatever the living do, until it is subtracted. Nobody is kept waiting for that, and to do it twice takes off 0.
 * busy goes up after the line and down before it: the line may be over for a moment, never below the truth, and the
 * limit holds.
 *
 * Waiting, turns granted and turns picked up change with the slot's mutex, which is robust: who locks it after a death
 * rebuilds them from the tickets (udr_queue_repair.c), whose state changes in one word. A granted turn counts with its
 * ticket (`granted` of the waiter's row) until the waiter picks it up. Only the slow path takes the mutex: nobody does
 * while there is room and nobody waits. */
#include "mod_udsroute/udr_queue_private.h"

#include "mod_udsroute/udr_debug.h"

#include <apr_errno.h>
#include <apr_thread_mutex.h>

typedef struct waiters_t {
    udr_queue_waiter_t *first;
    udr_queue_waiter_t *last;
} waiters_t;

struct udr_queue_t {
    udr_shared_t *shared;
    apr_uint32_t row;
    apr_uint32_t tickets_max;
    int descriptor;            /* listens to the row's signals */
    apr_thread_mutex_t *mutex; /* may be locked within a slot's, never the other way round */
    struct {
        waiters_t *waiters;     /* by slot, in the order in which their tickets are queued */
        apr_uint32_t *returned; /* tickets (of this row, from 0) that have been used and are free */
        apr_uint32_t returned_count;
        apr_uint32_t used; /* tickets from this on never were */
    } locked;              /* needs the mutex */
};

apr_status_t udr_queue_create(udr_queue_t **queue, udr_shared_t *shared, apr_uint32_t row, apr_pool_t *p)
{
    udr_queue_t *made = apr_pcalloc(p, sizeof *made);
    made->shared = shared;
    made->row = row;
    made->tickets_max = udr_shared_tickets_max(shared);
    made->locked.waiters = apr_pcalloc(p, udr_shared_slots_max(shared) * sizeof(waiters_t));
    made->locked.returned = apr_palloc(p, made->tickets_max * sizeof(apr_uint32_t));
    apr_status_t rv = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    if (rv == APR_SUCCESS) {
        rv = udr_signals_listen(&made->descriptor, udr_shared_signals(shared), row, p);
    }
    if (rv == APR_SUCCESS) {
        *queue = made;
    }
    return rv;
}

int udr_queue_descriptor(const udr_queue_t *queue)
{
    return queue->descriptor;
}

static void lock(udr_queue_t *queue)
{
    apr_thread_mutex_lock(queue->mutex);
}

static void unlock(udr_queue_t *queue)
{
    apr_thread_mutex_unlock(queue->mutex);
}

/* --- counting --- */

static bool has_room(apr_uint64_t line, apr_uint32_t limit)
{
    return limit == 0 || (line / LINE_WAITING == 0 && (apr_uint32_t)line < limit);
}

/* Counts one in, unless the limit forbids or others wait. */
static bool count_in(udr_queue_t *queue, apr_uint32_t slot)
{
    udr_hot_t *hot = udr_shared_hot(queue->shared, slot);
    udr_cell_t *cell = udr_shared_cell(queue->shared, queue->row, slot);
    apr_uint32_t limit = atomic_load(&hot->limit);
    apr_uint64_t line = atomic_load(&hot->line);
    bool counted = limit == 0;
    if (!has_room(line, limit)) {
        return false;
    }
    atomic_fetch_add(&cell->count, CELL_COUNTING);
    UDR_SCHEDULE("enter:begun");
    if (limit == 0) {
        atomic_fetch_add(&hot->line, LINE_BUSY);
    }
    while (!counted && has_room(line, limit)) {
        counted = atomic_compare_exchange_weak(&hot->line, &line, line + LINE_BUSY);
    }
    UDR_SCHEDULE("enter:line");
    atomic_fetch_add(&cell->count, CELL_COUNTED - CELL_COUNTING + (counted ? CELL_BUSY : 0));
    UDR_SCHEDULE("enter:ended");
    return counted;
}

/* Counts one out. False: the row has been taken for dead, and nothing is left to be given back. */
static bool count_out(udr_queue_t *queue, apr_uint32_t slot, apr_uint64_t *line)
{
    udr_cell_t *cell = udr_shared_cell(queue->shared, queue->row, slot);
    apr_uint64_t count = atomic_load(&cell->count);
    do {
        if (cell_busy(count) == 0) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&cell->count, &count, count + CELL_COUNTING - CELL_BUSY));
    UDR_SCHEDULE("done:begun");
    *line = atomic_fetch_sub(&udr_shared_hot(queue->shared, slot)->line, LINE_BUSY);
    UDR_SCHEDULE("done:line");
    atomic_fetch_add(&cell->count, CELL_COUNTED - CELL_COUNTING);
    UDR_SCHEDULE("done:ended");
    return true;
}

/* With the slot's mutex: one more waits, unless there is room now. From here on whoever is done sees it. */
static bool count_waiting(udr_shared_t *shared, apr_uint32_t slot)
{
    udr_hot_t *hot = udr_shared_hot(shared, slot);
    apr_uint64_t line = atomic_load(&hot->line);
    do {
        if (has_room(line, atomic_load(&hot->limit))) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&hot->line, &line, line + LINE_WAITING));
    return true;
}

/* --- tickets --- */

static void link_ticket(udr_shared_t *shared, apr_uint32_t slot, apr_uint32_t ticket)
{
    udr_slot_t *at = udr_shared_slot(shared, slot);
    udr_ticket_t *new = udr_shared_ticket(shared, ticket);
    new->order = ++at->queue.arrivals;
    new->previous = at->queue.last;
    new->next = 0;
    atomic_store(&new->word, ticket_word(slot, TICKET_WAITS));
    UDR_SCHEDULE("wait:marked");
    if (at->queue.last) {
        udr_shared_ticket(shared, at->queue.last - 1)->next = ticket + 1;
    } else {
        at->queue.first = ticket + 1;
    }
    at->queue.last = ticket + 1;
}

void udr_queue_unlink(udr_shared_t *shared, apr_uint32_t slot, apr_uint32_t ticket)
{
    udr_slot_t *at = udr_shared_slot(shared, slot);
    const udr_ticket_t *old = udr_shared_ticket(shared, ticket);
    if (old->previous) {
        udr_shared_ticket(shared, old->previous - 1)->next = old->next;
    } else {
        at->queue.first = old->next;
    }
    UDR_SCHEDULE("unlink:half");
    if (old->next) {
        udr_shared_ticket(shared, old->next - 1)->previous = old->previous;
    } else {
        at->queue.last = old->previous;
    }
}

/* 1 + a ticket of this row; 0: none is left. */
static apr_uint32_t take_ticket(udr_queue_t *queue)
{
    apr_uint32_t own = UDR_SHARED_NONE;
    lock(queue);
    if (queue->locked.returned_count > 0) {
        own = queue->locked.returned[--queue->locked.returned_count];
    } else if (queue->locked.used < queue->tickets_max) {
        own = queue->locked.used++;
        atomic_store(&udr_shared_row(queue->shared, queue->row)->tickets, queue->locked.used);
    }
    unlock(queue);
    return own == UDR_SHARED_NONE ? 0 : queue->row * queue->tickets_max + own + 1;
}

/* With the queue's mutex. */
static void give_ticket_back(udr_queue_t *queue, apr_uint32_t ticket)
{
    queue->locked.returned[queue->locked.returned_count++] = (ticket - 1) % queue->tickets_max;
}

/* --- who waits here --- */

/* With the slot's mutex, for the same order as that of the tickets. */
static void list_waiter(udr_queue_t *queue, udr_queue_waiter_t *waiter)
{
    lock(queue);
    waiters_t *waiters = &queue->locked.waiters[waiter->slot];
    waiter->previous = waiters->last;
    waiter->next = NULL;
    waiter->is_listed = true;
    if (waiters->last) {
        waiters->last->next = waiter;
    } else {
        waiters->first = waiter;
    }
    waiters->last = waiter;
    unlock(queue);
}

/* With the queue's mutex. */
static void unlist(udr_queue_t *queue, udr_queue_waiter_t *waiter)
{
    waiters_t *waiters = &queue->locked.waiters[waiter->slot];
    if (!waiter->is_listed) {
        return;
    }
    *(waiter->previous ? &waiter->previous->next : &waiters->first) = waiter->next;
    *(waiter->next ? &waiter->next->previous : &waiters->last) = waiter->previous;
    waiter->is_listed = false;
}

/* Its ticket is free: from here on nothing knows the waiter. */
static void forget(udr_queue_t *queue, udr_queue_waiter_t *waiter)
{
    lock(queue);
    unlist(queue, waiter);
    give_ticket_back(queue, waiter->ticket);
    waiter->ticket = 0;
    unlock(queue);
}

static apr_uint32_t state_of(const udr_queue_t *queue, const udr_queue_waiter_t *waiter)
{
    return atomic_load(&udr_shared_ticket(queue->shared, waiter->ticket - 1)->word) & TICKET_STATE;
}

/* --- turns --- */

/* With the slot's mutex: the turn of one who waits. */
static bool count_turn(udr_hot_t *hot)
{
    apr_uint32_t limit = atomic_load(&hot->limit);
    apr_uint64_t line = atomic_load(&hot->line);
    do {
        if (limit && (apr_uint32_t)line >= limit) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&hot->line, &line, line + LINE_BUSY - LINE_WAITING));
    return true;
}

void udr_queue_grant(udr_shared_t *shared, apr_uint32_t slot)
{
    udr_slot_t *at = udr_shared_slot(shared, slot);
    while (at->queue.first && count_turn(udr_shared_hot(shared, slot))) {
        apr_uint32_t ticket = at->queue.first - 1;
        apr_uint32_t row = ticket / udr_shared_tickets_max(shared);
        UDR_SCHEDULE("grant:line");
        udr_queue_unlink(shared, slot, ticket);
        atomic_store(&udr_shared_ticket(shared, ticket)->word, ticket_word(slot, TICKET_GRANTED));
        UDR_SCHEDULE("grant:marked");
        atomic_fetch_add(&udr_shared_cell(shared, row, slot)->granted, 1);
        UDR_SCHEDULE("grant:counted");
        /* Still with the mutex: whoever finds it of a dead one signals again. */
        udr_signals_give(udr_shared_signals(shared), row);
    }
}

static apr_status_t wait_for_turn(udr_queue_t *queue, apr_uint32_t slot, udr_queue_waiter_t *waiter)
{
    apr_uint32_t ticket = take_ticket(queue);
    bool entered = false;
    bool waits = false;
    if (ticket == 0) {
        return APR_ENOSPC;
    }
    waiter->slot = slot;
    waiter->ticket = ticket;
    udr_queue_lock(queue->shared, slot);
    while (!entered && !waits) {
        waits = count_waiting(queue->shared, slot);
        entered = !waits && count_in(queue, slot);
    }
    if (waits) {
        UDR_SCHEDULE("wait:line");
        link_ticket(queue->shared, slot, ticket - 1);
        list_waiter(queue, waiter);
        UDR_SCHEDULE("wait:listed");
    }
    udr_queue_unlock(queue->shared, slot);
    if (entered) {
        forget(queue, waiter);
    }
    return entered ? APR_SUCCESS : APR_EAGAIN;
}

apr_status_t udr_queue_enter(udr_queue_t *queue, apr_uint32_t slot, udr_queue_waiter_t *waiter)
{
    return count_in(queue, slot) ? APR_SUCCESS : wait_for_turn(queue, slot, waiter);
}

bool udr_queue_granted(udr_queue_t *queue, udr_queue_waiter_t *waiter)
{
    /* Only a waiter's own thread takes its ticket out of this state. */
    if (!waiter->ticket || state_of(queue, waiter) != TICKET_GRANTED) {
        return false;
    }
    udr_cell_t *cell = udr_shared_cell(queue->shared, queue->row, waiter->slot);
    udr_queue_lock(queue->shared, waiter->slot);
    atomic_store(&udr_shared_ticket(queue->shared, waiter->ticket - 1)->word, TICKET_FREE);
    UDR_SCHEDULE("granted:marked");
    atomic_fetch_sub(&cell->granted, 1);
    UDR_SCHEDULE("granted:taken");
    atomic_fetch_add(&cell->count, CELL_COUNTED + CELL_BUSY);
    udr_queue_unlock(queue->shared, waiter->slot);
    UDR_SCHEDULE("granted:ended");
    forget(queue, waiter);
    return true;
}

void udr_queue_leave(udr_queue_t *queue, udr_queue_waiter_t *waiter)
{
    if (!waiter->ticket) {
        return;
    }
    udr_queue_lock(queue->shared, waiter->slot);
    apr_uint32_t state = state_of(queue, waiter);
    if (state == TICKET_GRANTED) {
        atomic_fetch_sub(&udr_shared_cell(queue->shared, queue->row, waiter->slot)->granted, 1);
        UDR_SCHEDULE("leave:taken");
    } else if (state == TICKET_WAITS) {
        udr_queue_unlink(queue->shared, waiter->slot, waiter->ticket - 1);
    }
    if (state != TICKET_FREE) {
        atomic_store(&udr_shared_ticket(queue->shared, waiter->ticket - 1)->word, TICKET_FREE);
        UDR_SCHEDULE("leave:marked");
        atomic_fetch_sub(&udr_shared_hot(queue->shared, waiter->slot)->line,
                         state == TICKET_GRANTED ? LINE_BUSY : LINE_WAITING);
        UDR_SCHEDULE("leave:line");
        udr_queue_grant(queue->shared, waiter->slot);
    }
    udr_queue_unlock(queue->shared, waiter->slot);
    forget(queue, waiter);
}

void udr_queue_readdress(udr_queue_t *queue, udr_queue_waiter_t *waiter, void (*wake)(udr_queue_waiter_t *waiter),
                         void *baton)
{
    lock(queue);
    waiter->wake = wake;
    waiter->baton = baton;
    unlock(queue);
}

void udr_queue_done(udr_queue_t *queue, apr_uint32_t slot)
{
    apr_uint64_t line;
    /* Between the two nobody overtakes those who wait: while there are any, no newcomer is let in. */
    if (count_out(queue, slot, &line) && line / LINE_WAITING > 0) {
        udr_queue_lock(queue->shared, slot);
        udr_queue_grant(queue->shared, slot);
        udr_queue_unlock(queue->shared, slot);
    }
}

/* With the queue's mutex. Turns come in order: behind the first that waits none has got any. (One whose ticket is free
 * is just about to be taken off the list by its own thread.) */
static int wake_those_of(udr_queue_t *queue, waiters_t *waiters)
{
    int woken = 0;
    udr_queue_waiter_t *next;
    for (udr_queue_waiter_t *waiter = waiters->first; waiter && state_of(queue, waiter) != TICKET_WAITS;
         waiter = next) {
        next = waiter->next;
        if (state_of(queue, waiter) == TICKET_GRANTED) {
            unlist(queue, waiter);
            if (waiter->wake) {
                waiter->wake(waiter);
            }
            woken++;
        }
    }
    return woken;
}

int udr_queue_wake(udr_queue_t *queue)
{
    int woken = 0;
    udr_signals_clear(queue->descriptor);
    lock(queue);
    for (apr_uint32_t slot = 0; slot < udr_shared_slots(queue->shared); slot++) {
        woken += wake_those_of(queue, &queue->locked.waiters[slot]);
    }
    unlock(queue);
    return woken;
}

void udr_queue_set_limit(udr_shared_t *shared, apr_uint32_t slot, apr_uint32_t limit)
{
    atomic_store(&udr_shared_hot(shared, slot)->limit, limit);
    udr_queue_lock(shared, slot);
    udr_queue_grant(shared, slot);
    udr_queue_unlock(shared, slot);
}
