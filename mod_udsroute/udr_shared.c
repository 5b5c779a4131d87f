/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_shared.h"
#include "mod_udsroute/udr_clock.h"

#include <apr_errno.h>
#include <apr_md5.h>
#include <apr_shm.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CACHE_LINE ((apr_size_t)64)

enum { SLOT_FREE, SLOT_CLAIMED, SLOT_RELEASED };

/* At the beginning of the mapping. */
typedef struct head_t {
    _Alignas(CACHE_LINE) _Atomic apr_uint64_t epoch;
    _Alignas(CACHE_LINE) pthread_mutex_t reaping;
    pthread_mutex_t leading;
    _Atomic apr_uint32_t slots;    /* ever used; only grows */
    _Atomic apr_uint32_t rows;     /* likewise */
    _Atomic apr_uint32_t newest;   /* the generation that was begun last */
    _Atomic apr_uint32_t outdated; /* generations below this one: slots of theirs may belong to others by now */
    _Atomic apr_uint64_t leader;   /* udr_leader's */
} head_t;

struct udr_shared_t {
    head_t *head;
    udr_hot_t *hot;
    udr_slot_t *slots;
    udr_row_t *rows;
    udr_cell_t *cells; /* a row's are contiguous, and share no cache line with another's */
    udr_ticket_t *tickets;
    udr_signals_t *signals;
    apr_uint32_t slots_max;
    apr_uint32_t rows_max;
    apr_uint32_t tickets_max;
    apr_size_t cells_per_row;
    apr_uint32_t generation; /* not in the mapping: a child stays with the one it was forked in */
    apr_time_t created_at;
};

/* Sizes with this version; where longs, pointers or mutexes are of other sizes all of them differ, but they change
 * together with these. */
#define IS_SIZE(type, size) (sizeof(void *) != 8 || sizeof(pthread_mutex_t) != 40 || sizeof(type) == (size))
_Static_assert(IS_SIZE(head_t, 192), "another layout: increment UDR_SHARED_LAYOUT");
_Static_assert(IS_SIZE(struct udr_shared_t, 96), "another layout: increment UDR_SHARED_LAYOUT");
_Static_assert(IS_SIZE(udr_hot_t, 64), "another layout: increment UDR_SHARED_LAYOUT");
_Static_assert(IS_SIZE(udr_slot_t, 4768), "another layout: increment UDR_SHARED_LAYOUT");
_Static_assert(IS_SIZE(udr_row_t, 64), "another layout: increment UDR_SHARED_LAYOUT");
_Static_assert(IS_SIZE(udr_cell_t, 24), "another layout: increment UDR_SHARED_LAYOUT");
_Static_assert(IS_SIZE(udr_ticket_t, 24), "another layout: increment UDR_SHARED_LAYOUT");

/* Eight cells fill whole cache lines. */
#define CELLS_PER_LINES ((apr_size_t)8)
_Static_assert(CELLS_PER_LINES * sizeof(udr_cell_t) % CACHE_LINE == 0, "rows don't share a cache line");

/* --- making it --- */

static apr_status_t init_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error) {
        return error;
    }
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!error) {
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (!error) {
        error = pthread_mutex_init(mutex, &attributes);
    }
    (void)pthread_mutexattr_destroy(&attributes);
    return error;
}

/* The place of the next array of the mapping. */
static apr_size_t reserve(apr_size_t *size, apr_size_t count, apr_size_t each)
{
    apr_size_t place = *size;
    *size = APR_ALIGN(place + count * each, CACHE_LINE);
    return place;
}

/* Anonymous shared memory is zero, and only what is touched takes any. */
static apr_status_t map(udr_shared_t *shared, apr_pool_t *p)
{
    apr_size_t size = 0;
    apr_size_t head = reserve(&size, 1, sizeof(head_t));
    apr_size_t hot = reserve(&size, shared->slots_max, sizeof(udr_hot_t));
    apr_size_t slots = reserve(&size, shared->slots_max, sizeof(udr_slot_t));
    apr_size_t rows = reserve(&size, shared->rows_max, sizeof(udr_row_t));
    apr_size_t cells = reserve(&size, shared->rows_max * shared->cells_per_row, sizeof(udr_cell_t));
    apr_size_t tickets = reserve(&size, (apr_size_t)shared->rows_max * shared->tickets_max, sizeof(udr_ticket_t));
    apr_shm_t *memory;
    apr_status_t rv = apr_shm_create(&memory, size + CACHE_LINE, NULL, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* APR keeps the size in front, which spoils the alignment. */
    char *base = (char *)APR_ALIGN((uintptr_t)apr_shm_baseaddr_get(memory), CACHE_LINE);
    shared->head = (head_t *)(void *)(base + head);
    shared->hot = (udr_hot_t *)(void *)(base + hot);
    shared->slots = (udr_slot_t *)(void *)(base + slots);
    shared->rows = (udr_row_t *)(void *)(base + rows);
    shared->cells = (udr_cell_t *)(void *)(base + cells);
    shared->tickets = (udr_ticket_t *)(void *)(base + tickets);
    return APR_SUCCESS;
}

apr_status_t udr_shared_create(udr_shared_t **shared, apr_uint32_t slots_max, apr_uint32_t rows_max,
                               apr_uint32_t tickets_max, apr_pool_t *p)
{
    /* A ticket's word has 30 bits for the slot, and 1 + the ticket has 32. */
    if (slots_max == 0 || slots_max >= 1u << 30 || rows_max == 0 || tickets_max == 0 ||
        (apr_uint64_t)rows_max * tickets_max >= APR_UINT32_MAX) {
        return APR_EINVAL;
    }
    udr_shared_t *made = apr_pcalloc(p, sizeof *made);
    made->slots_max = slots_max;
    made->rows_max = rows_max;
    made->tickets_max = tickets_max;
    made->cells_per_row = APR_ALIGN(slots_max, CELLS_PER_LINES);
    made->created_at = udr_clock_now();
    apr_status_t rv = map(made, p);
    if (rv == APR_SUCCESS) {
        rv = udr_signals_create(&made->signals, rows_max, p);
    }
    if (rv == APR_SUCCESS) {
        rv = init_mutex(&made->head->reaping);
    }
    if (rv == APR_SUCCESS) {
        rv = init_mutex(&made->head->leading);
    }
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < rows_max; i++) {
        rv = init_mutex(&made->rows[i].life);
    }
    if (rv == APR_SUCCESS) {
        *shared = made;
    }
    return rv;
}

/* --- slots --- */

void udr_shared_identify(unsigned char identity[UDR_IDENTITY_SIZE], const char *balancer, const char *address,
                         const char *scheme, const char *path)
{
    const char *const parts[] = {balancer, address, scheme, path};
    apr_md5_ctx_t md5;
    apr_md5_init(&md5);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *part = parts[i] ? parts[i] : "";
        /* With its end: "ab" and "c" are not "a" and "bc". */
        apr_md5_update(&md5, part, strlen(part) + 1);
    }
    apr_md5_final(identity, &md5);
}

apr_uint32_t udr_shared_begin_generation(udr_shared_t *shared)
{
    ++shared->generation;
    atomic_store(&shared->head->newest, shared->generation);
    return shared->generation;
}

static apr_uint32_t find(const udr_shared_t *shared, const unsigned char *identity)
{
    for (apr_uint32_t i = 0; i < udr_shared_slots(shared); i++) {
        if (shared->slots[i].state != SLOT_FREE &&
            memcmp(shared->slots[i].identity, identity, UDR_IDENTITY_SIZE) == 0) {
            return i;
        }
    }
    return UDR_SHARED_NONE;
}

/* One that has never been anybody's. Its mutex is made once and for all: that of a slot that is reused may be locked by
 * one who only looks. */
static apr_status_t add_slot(udr_shared_t *shared, apr_uint32_t *slot)
{
    apr_uint32_t next = udr_shared_slots(shared);
    if (next == shared->slots_max) {
        return APR_ENOSPC;
    }
    apr_status_t rv = init_mutex(&shared->slots[next].queue.mutex);
    if (rv == APR_SUCCESS) {
        atomic_store(&shared->head->slots, next + 1);
        *slot = next;
    }
    return rv;
}

/* The one that was released first: where that can't be reused, no other can. */
static apr_uint32_t longest_released(const udr_shared_t *shared)
{
    apr_uint32_t best = UDR_SHARED_NONE;
    for (apr_uint32_t i = 0; i < udr_shared_slots(shared); i++) {
        const udr_slot_t *slot = &shared->slots[i];
        if (slot->state == SLOT_RELEASED &&
            (best == UDR_SHARED_NONE || slot->released_in < shared->slots[best].released_in)) {
            best = i;
        }
    }
    return best;
}

static bool is_older_row_in_use(const udr_shared_t *shared, apr_uint32_t generation)
{
    for (apr_uint32_t i = 0; i < udr_shared_rows(shared); i++) {
        if (atomic_load(&shared->rows[i].state) != UDR_ROW_FREE &&
            atomic_load(&shared->rows[i].generation) < generation) {
            return true;
        }
    }
    return false;
}

/* A child that was forked long ago may still be about to claim its row. So it is said first that its generation is
 * outdated, and then looked again; the child claims first, and then looks whether it is. One of the two sees it. */
static apr_status_t reuse_slot(udr_shared_t *shared, apr_uint32_t *slot)
{
    apr_uint32_t released = longest_released(shared);
    if (released == UDR_SHARED_NONE || is_older_row_in_use(shared, shared->slots[released].released_in)) {
        return APR_ENOSPC;
    }
    if (atomic_load(&shared->head->outdated) < shared->slots[released].released_in) {
        atomic_store(&shared->head->outdated, shared->slots[released].released_in);
    }
    if (is_older_row_in_use(shared, shared->slots[released].released_in)) {
        return APR_ENOSPC;
    }
    /* Nobody has any business with it; those who look at all slots find nothing there, before and after. */
    memset(&shared->slots[released], 0, offsetof(udr_slot_t, queue));
    memset(&shared->hot[released], 0, sizeof(udr_hot_t));
    *slot = released;
    return APR_SUCCESS;
}

apr_status_t udr_shared_claim(udr_shared_t *shared, const unsigned char identity[UDR_IDENTITY_SIZE], apr_uint32_t *slot,
                              bool *is_again)
{
    apr_status_t rv = APR_SUCCESS;
    apr_uint32_t found = find(shared, identity);
    if (found == UDR_SHARED_NONE) {
        /* New ones first: what was released keeps its counters for as long as there is room, and may come back. */
        rv = add_slot(shared, &found);
        if (APR_STATUS_IS_ENOSPC(rv)) {
            rv = reuse_slot(shared, &found);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
        shared->slots[found].known_since = shared->generation;
    }
    if (is_again) {
        *is_again = shared->slots[found].state == SLOT_CLAIMED && shared->slots[found].generation == shared->generation;
    }
    memcpy(shared->slots[found].identity, identity, UDR_IDENTITY_SIZE);
    shared->slots[found].state = SLOT_CLAIMED;
    shared->slots[found].generation = shared->generation;
    *slot = found;
    return APR_SUCCESS;
}

void udr_shared_disclaim(udr_shared_t *shared, apr_uint32_t slot)
{
    udr_slot_t *at = &shared->slots[slot];
    at->state = SLOT_RELEASED;
    at->released_in = at->known_since == shared->generation ? 0 : shared->generation;
}

void udr_shared_end_generation(udr_shared_t *shared)
{
    for (apr_uint32_t i = 0; i < udr_shared_slots(shared); i++) {
        udr_slot_t *slot = &shared->slots[i];
        if (slot->state == SLOT_CLAIMED && slot->generation != shared->generation) {
            slot->state = SLOT_RELEASED;
            slot->released_in = shared->generation;
        }
    }
}

/* --- access --- */

apr_uint32_t udr_shared_generation(const udr_shared_t *shared)
{
    return shared->generation;
}

apr_time_t udr_shared_created_at(const udr_shared_t *shared)
{
    return shared->created_at;
}

apr_uint32_t udr_shared_slots(const udr_shared_t *shared)
{
    return atomic_load(&shared->head->slots);
}

apr_uint32_t udr_shared_rows(const udr_shared_t *shared)
{
    return atomic_load(&shared->head->rows);
}

apr_uint32_t udr_shared_slots_max(const udr_shared_t *shared)
{
    return shared->slots_max;
}

apr_uint32_t udr_shared_rows_max(const udr_shared_t *shared)
{
    return shared->rows_max;
}

apr_uint32_t udr_shared_tickets_max(const udr_shared_t *shared)
{
    return shared->tickets_max;
}

udr_hot_t *udr_shared_hot(const udr_shared_t *shared, apr_uint32_t slot)
{
    return &shared->hot[slot];
}

udr_slot_t *udr_shared_slot(const udr_shared_t *shared, apr_uint32_t slot)
{
    return &shared->slots[slot];
}

udr_row_t *udr_shared_row(const udr_shared_t *shared, apr_uint32_t row)
{
    return &shared->rows[row];
}

udr_cell_t *udr_shared_cell(const udr_shared_t *shared, apr_uint32_t row, apr_uint32_t slot)
{
    return &shared->cells[row * shared->cells_per_row + slot];
}

udr_ticket_t *udr_shared_ticket(const udr_shared_t *shared, apr_uint32_t ticket)
{
    return &shared->tickets[ticket];
}

void udr_shared_count(const udr_shared_t *shared, apr_uint32_t slot, udr_shared_counts_t *counts)
{
    apr_uint64_t line = atomic_load(&shared->hot[slot].line);
    *counts = (udr_shared_counts_t){.busy = (apr_uint32_t)line, .waiting = (apr_uint32_t)(line >> 32)};
    for (apr_uint32_t i = 0; i < udr_shared_rows(shared); i++) {
        udr_cell_t *cell = udr_shared_cell(shared, i, slot);
        counts->open += atomic_load_explicit(&cell->open, memory_order_relaxed);
        counts->idle += atomic_load_explicit(&cell->idle, memory_order_relaxed);
    }
}

void udr_shared_count_held(const udr_shared_t *shared, udr_shared_held_t *held)
{
    *held = (udr_shared_held_t){.parked = 0};
    for (apr_uint32_t i = 0; i < udr_shared_rows(shared); i++) {
        const udr_row_t *row = &shared->rows[i];
        if (atomic_load(&row->state) == UDR_ROW_ALIVE) {
            held->parked += atomic_load_explicit(&row->parked, memory_order_relaxed);
            held->tunnels += atomic_load_explicit(&row->tunnels, memory_order_relaxed);
        }
    }
}

apr_uint64_t udr_shared_epoch(const udr_shared_t *shared)
{
    return atomic_load_explicit(&shared->head->epoch, memory_order_acquire);
}

void udr_shared_bump_epoch(udr_shared_t *shared)
{
    atomic_fetch_add_explicit(&shared->head->epoch, 1, memory_order_release);
}

/* --- rows --- */

pthread_mutex_t *udr_shared_reaping(const udr_shared_t *shared)
{
    return &shared->head->reaping;
}

void udr_shared_use_row(udr_shared_t *shared, apr_uint32_t row)
{
    apr_uint32_t rows = atomic_load(&shared->head->rows);
    while (rows <= row && !atomic_compare_exchange_weak(&shared->head->rows, &rows, row + 1)) {
    }
}

pthread_mutex_t *udr_shared_leading(const udr_shared_t *shared)
{
    return &shared->head->leading;
}

_Atomic apr_uint64_t *udr_shared_leader(const udr_shared_t *shared)
{
    return &shared->head->leader;
}

bool udr_shared_is_succeeded(const udr_shared_t *shared)
{
    return shared->generation < atomic_load(&shared->head->newest);
}

bool udr_shared_is_outdated(const udr_shared_t *shared, apr_uint32_t generation)
{
    return generation < atomic_load(&shared->head->outdated);
}

const udr_signals_t *udr_shared_signals(const udr_shared_t *shared)
{
    return shared->signals;
}
