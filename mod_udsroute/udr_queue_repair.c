/* SPDX-License-Identifier: Apache-2.0 */
/* After a death: what a slot's mutex protects is rebuilt from the tickets, and the number in flight from the rows. All
 * of it may be begun again when whoever does it dies in the middle. */
#include "mod_udsroute/udr_queue_private.h"

#include "mod_udsroute/udr_debug.h"

#include <errno.h>
#include <stddef.h>

/* --- sorting by order of arrival, without memory of its own --- */

/* Runs of tickets, linked by `next`; the n-th is empty or 2^n long. */
enum { RUNS = 32 };

static apr_uint32_t merge(udr_shared_t *shared, apr_uint32_t a, apr_uint32_t b)
{
    _Atomic apr_uint32_t first = 0;
    _Atomic apr_uint32_t *end = &first;
    while (a && b) {
        udr_ticket_t *ticket_a = udr_shared_ticket(shared, a - 1);
        udr_ticket_t *ticket_b = udr_shared_ticket(shared, b - 1);
        if (ticket_a->order < ticket_b->order) {
            *end = a;
            end = &ticket_a->next;
            a = *end;
        } else {
            *end = b;
            end = &ticket_b->next;
            b = *end;
        }
    }
    *end = a ? a : b;
    return first;
}

static void add_to_runs(udr_shared_t *shared, apr_uint32_t *runs, apr_uint32_t ticket)
{
    apr_uint32_t run = ticket + 1;
    int i = 0;
    udr_shared_ticket(shared, ticket)->next = 0;
    for (; runs[i]; i++) {
        run = merge(shared, runs[i], run);
        runs[i] = 0;
    }
    runs[i] = run;
}

static apr_uint32_t link_runs(udr_shared_t *shared, udr_slot_t *at, const apr_uint32_t *runs)
{
    apr_uint32_t count = 0;
    apr_uint32_t all = 0;
    for (int i = 0; i < RUNS; i++) {
        all = merge(shared, runs[i], all);
    }
    at->queue.first = all;
    at->queue.last = 0;
    while (all) {
        udr_ticket_t *ticket = udr_shared_ticket(shared, all - 1);
        ticket->previous = at->queue.last;
        at->queue.last = all;
        all = ticket->next;
        count++;
    }
    return count;
}

/* --- rebuilding --- */

static void set_waiting(udr_hot_t *hot, apr_uint32_t waiting)
{
    apr_uint64_t line = atomic_load(&hot->line);
    while (!atomic_compare_exchange_weak(&hot->line, &line, waiting * LINE_WAITING + (apr_uint32_t)line)) {
    }
}

/* The tickets of one row: those that wait are added, those with a turn counted. */
static apr_uint32_t sort_out(udr_shared_t *shared, apr_uint32_t row, apr_uint32_t slot, apr_uint32_t *runs)
{
    apr_uint32_t granted = 0;
    apr_uint32_t first = row * udr_shared_tickets_max(shared);
    apr_uint32_t end = first + atomic_load(&udr_shared_row(shared, row)->tickets);
    for (apr_uint32_t ticket = first; ticket < end; ticket++) {
        apr_uint32_t word = atomic_load(&udr_shared_ticket(shared, ticket)->word);
        if (word == ticket_word(slot, TICKET_WAITS)) {
            add_to_runs(shared, runs, ticket);
        } else if (word == ticket_word(slot, TICKET_GRANTED)) {
            granted++;
        }
    }
    return granted;
}

static void rebuild(udr_shared_t *shared, apr_uint32_t slot)
{
    apr_uint32_t runs[RUNS] = {0};
    udr_hot_t *hot = udr_shared_hot(shared, slot);
    atomic_store(&hot->needs_recount, 1);
    UDR_SCHEDULE("rebuild:begun");
    for (apr_uint32_t row = 0; row < udr_shared_rows(shared); row++) {
        apr_uint32_t granted = sort_out(shared, row, slot, runs);
        atomic_store(&udr_shared_cell(shared, row, slot)->granted, granted);
        if (granted > 0) {
            udr_signals_give(udr_shared_signals(shared), row);
        }
    }
    UDR_SCHEDULE("rebuild:sorted");
    set_waiting(hot, link_runs(shared, udr_shared_slot(shared, slot), runs));
    UDR_SCHEDULE("rebuild:linked");
}

void udr_queue_lock(udr_shared_t *shared, apr_uint32_t slot)
{
    pthread_mutex_t *mutex = &udr_shared_slot(shared, slot)->queue.mutex;
    if (pthread_mutex_lock(mutex) == EOWNERDEAD) {
        rebuild(shared, slot);
        (void)pthread_mutex_consistent(mutex);
    }
}

void udr_queue_unlock(udr_shared_t *shared, apr_uint32_t slot)
{
    (void)pthread_mutex_unlock(&udr_shared_slot(shared, slot)->queue.mutex);
}

/* --- what the dead have left --- */

static bool is_ticket_free(udr_shared_t *shared, apr_uint32_t ticket)
{
    return (atomic_load(&udr_shared_ticket(shared, ticket)->word) & TICKET_STATE) == TICKET_FREE;
}

static void discard_ticket(udr_shared_t *shared, apr_uint32_t ticket)
{
    udr_ticket_t *at = udr_shared_ticket(shared, ticket);
    /* The slot of a dead row's ticket stays; its state may change until the mutex is ours. */
    apr_uint32_t slot = atomic_load(&at->word) >> TICKET_SLOT_SHIFT;
    udr_queue_lock(shared, slot);
    if (atomic_load(&at->word) == ticket_word(slot, TICKET_WAITS)) {
        udr_queue_unlink(shared, slot, ticket);
        atomic_store(&at->word, TICKET_FREE);
        UDR_SCHEDULE("discard:marked");
        atomic_fetch_sub(&udr_shared_hot(shared, slot)->line, LINE_WAITING);
    }
    atomic_store(&at->word, TICKET_FREE);
    udr_queue_unlock(shared, slot);
}

static bool is_dead(udr_shared_t *shared, apr_uint32_t row)
{
    return atomic_load(&udr_shared_row(shared, row)->state) == UDR_ROW_DEAD;
}

static bool is_cell_empty(udr_cell_t *cell)
{
    apr_uint64_t count = atomic_load(&cell->count);
    return cell_busy(count) == 0 && !cell_is_counting(count) && atomic_load(&cell->granted) == 0;
}

bool udr_queue_is_empty(udr_shared_t *shared, apr_uint32_t row)
{
    apr_uint32_t first = row * udr_shared_tickets_max(shared);
    apr_uint32_t end = first + atomic_load(&udr_shared_row(shared, row)->tickets);
    for (apr_uint32_t slot = 0; slot < udr_shared_slots(shared); slot++) {
        if (!is_cell_empty(udr_shared_cell(shared, row, slot))) {
            return false;
        }
    }
    for (apr_uint32_t ticket = first; ticket < end; ticket++) {
        if (!is_ticket_free(shared, ticket)) {
            return false;
        }
    }
    return true;
}

void udr_queue_discard(udr_shared_t *shared, apr_uint32_t row)
{
    apr_uint32_t first = row * udr_shared_tickets_max(shared);
    apr_uint32_t end = first + atomic_load(&udr_shared_row(shared, row)->tickets);
    for (apr_uint32_t ticket = first; ticket < end; ticket++) {
        if (!is_ticket_free(shared, ticket)) {
            discard_ticket(shared, ticket);
        }
    }
    for (apr_uint32_t slot = 0; slot < udr_shared_slots(shared); slot++) {
        /* Only who locks it is told that its owner has died. */
        udr_queue_lock(shared, slot);
        udr_queue_unlock(shared, slot);
        if (!is_cell_empty(udr_shared_cell(shared, row, slot))) {
            atomic_store(&udr_shared_hot(shared, slot)->needs_recount, 1);
        }
    }
}

/* One pass over the cells of the living. */
typedef struct pass_t {
    apr_uint64_t busy;
    apr_uint64_t counted; /* the sum of what only goes up (modulo 2^24, like each): the same again, nothing has moved */
} pass_t;

static bool pass_over(udr_shared_t *shared, apr_uint32_t slot, pass_t *pass)
{
    *pass = (pass_t){0, 0};
    for (apr_uint32_t row = 0; row < udr_shared_rows(shared); row++) {
        udr_cell_t *cell = udr_shared_cell(shared, row, slot);
        apr_uint64_t count = atomic_load(&cell->count);
        if (is_dead(shared, row)) {
            continue;
        }
        if (cell_is_counting(count)) {
            return false;
        }
        pass->busy += cell_busy(count) + atomic_load(&cell->granted);
        pass->counted += count / CELL_COUNTED;
    }
    return true;
}

/* With the slot's mutex: by how much the line is over what the living have in flight. See udr_queue.c. */
static bool find_surplus(udr_shared_t *shared, apr_uint32_t slot, apr_uint64_t *surplus)
{
    pass_t before;
    pass_t after;
    if (!pass_over(shared, slot, &before)) {
        return false;
    }
    UDR_SCHEDULE("recount:passed");
    apr_uint64_t line = atomic_load(&udr_shared_hot(shared, slot)->line);
    UDR_SCHEDULE("recount:read");
    if (!pass_over(shared, slot, &after) || after.counted != before.counted) {
        return false;
    }
    *surplus = (apr_uint32_t)line - before.busy;
    return true;
}

static void clear_dead_cells(udr_shared_t *shared, apr_uint32_t slot)
{
    for (apr_uint32_t row = 0; row < udr_shared_rows(shared); row++) {
        udr_cell_t *cell = udr_shared_cell(shared, row, slot);
        if (is_dead(shared, row) && !is_cell_empty(cell)) {
            atomic_store(&cell->count, 0);
            atomic_store(&cell->granted, 0);
        }
    }
}

bool udr_queue_recount(udr_shared_t *shared, apr_uint32_t slot)
{
    udr_hot_t *hot = udr_shared_hot(shared, slot);
    apr_uint64_t surplus;
    udr_queue_lock(shared, slot);
    bool found = find_surplus(shared, slot, &surplus);
    if (found) {
        UDR_SCHEDULE("recount:found");
        atomic_fetch_sub(&hot->line, surplus * LINE_BUSY);
        UDR_SCHEDULE("recount:line");
        clear_dead_cells(shared, slot);
        atomic_store(&hot->needs_recount, 0);
    }
    udr_queue_unlock(shared, slot);
    return found;
}

void udr_queue_nudge(udr_shared_t *shared, apr_uint32_t slot)
{
    udr_hot_t *hot = udr_shared_hot(shared, slot);
    apr_uint64_t line = atomic_load(&hot->line);
    apr_uint32_t limit = atomic_load(&hot->limit);
    if (line / LINE_WAITING > 0 && (limit == 0 || (apr_uint32_t)line < limit)) {
        udr_queue_lock(shared, slot);
        udr_queue_grant(shared, slot);
        udr_queue_unlock(shared, slot);
    }
}
