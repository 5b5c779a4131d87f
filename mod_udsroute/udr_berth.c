/* SPDX-License-Identifier: Apache-2.0 */
/* How the table stays true.
 *
 * Writers hold the mutex of the glob's slot. It is robust, and whoever dies with it leaves each berth either as it was
 * or with an odd tenancy: the next one empties such a berth, which the directory's next reading fills. `change` says
 * after a death that somebody was at it, so that the epoch is incremented after all; and then, as whoever does so may
 * be about a single berth, that the directory is to be read.
 *
 * Readers take no lock: a name is good when its tenancy was even and the same before and after (a seqlock). Nor do
 * requests, and yet no berth gets another name while one is under way: a request counts itself in first and then looks
 * at the tenancy; who moves a name in makes the tenancy odd first and then looks for requests. One of the two sees the
 * other, and gives way.
 *
 *     free ──► unchecked ──► open ──► draining ──► free        (a name that comes back while it drains: open again)
 *      └──────── no check wanted ──────┘
 */
#include "mod_udsroute/udr_berth_private.h"

#include "mod_udsroute/udr_debug.h"

#include <errno.h>
#include <string.h>

/* --- names --- */

void udr_berth_write_name(udr_berth_t *berth, const char *name)
{
    char bytes[8 * UDR_BERTH_WORDS] = "";
    memcpy(bytes, name, strlen(name));
    for (int i = 0; i < UDR_BERTH_WORDS; i++) {
        apr_uint64_t word;
        memcpy(&word, bytes + 8 * i, 8);
        atomic_store_explicit(&berth->name[i], word, memory_order_relaxed);
    }
}

void udr_berth_read_name(const udr_berth_t *berth, char *name)
{
    for (int i = 0; i < UDR_BERTH_WORDS; i++) {
        apr_uint64_t word = atomic_load_explicit(&berth->name[i], memory_order_relaxed);
        memcpy(name + 8 * i, &word, 8);
    }
}

bool udr_berth_read(const udr_shared_t *shared, apr_uint32_t berth, udr_lodging_t *lodging)
{
    const udr_berth_t *at = udr_berth_at(shared, berth);
    lodging->tenancy = atomic_load(&at->tenancy);
    lodging->state = atomic_load(&at->state);
    lodging->since = atomic_load(&at->since);
    udr_berth_read_name(at, lodging->name);
    atomic_thread_fence(memory_order_acquire);
    return lodging->tenancy % 2 == 0 && lodging->tenancy == atomic_load(&at->tenancy);
}

apr_uint32_t udr_berth_state(const udr_shared_t *shared, apr_uint32_t berth)
{
    return atomic_load(&udr_berth_at(shared, berth)->state);
}

apr_time_t udr_berth_since(const udr_shared_t *shared, apr_uint32_t berth)
{
    return atomic_load(&udr_berth_at(shared, berth)->since);
}

bool udr_berth_is_held(const udr_shared_t *shared, apr_uint32_t berth, apr_uint32_t tenancy)
{
    return atomic_load(&udr_berth_at(shared, berth)->tenancy) == tenancy;
}

/* --- with the mutex --- */

/* What one has left who died in the middle of a name. */
static void repair(const udr_shared_t *shared, const udr_glob_t *glob)
{
    for (int i = 0; i < glob->growth; i++) {
        udr_berth_t *berth = udr_berth_at(shared, glob->berths[i]);
        apr_uint32_t tenancy = atomic_load(&berth->tenancy);
        if (tenancy % 2 != 0) {
            udr_berth_write_name(berth, "");
            atomic_store(&berth->state, UDR_BERTH_FREE);
            atomic_store(&berth->tenancy, tenancy + 1);
        }
    }
}

static pthread_mutex_t *mutex_of(const udr_shared_t *shared, const udr_glob_t *glob)
{
    return &udr_shared_slot(shared, glob->slot)->queue.mutex;
}

/* What one has left who has died with it, whoever changes something next puts in order. */
static void lock(const udr_shared_t *shared, const udr_glob_t *glob)
{
    if (pthread_mutex_lock(mutex_of(shared, glob)) == EOWNERDEAD) {
        (void)pthread_mutex_consistent(mutex_of(shared, glob));
    }
}

static void unlock(const udr_shared_t *shared, const udr_glob_t *glob)
{
    (void)pthread_mutex_unlock(mutex_of(shared, glob));
}

bool udr_berth_begin_change(udr_shared_t *shared, const udr_glob_t *glob)
{
    udr_berths_t *berths = udr_berths_of(shared, glob);
    lock(shared, glob);
    if (atomic_load(&berths->generation) > udr_shared_generation(shared)) {
        unlock(shared, glob);
        return false;
    }
    if (atomic_fetch_or(&berths->change, UDR_BERTH_CHANGING) & UDR_BERTH_CHANGING) {
        atomic_fetch_or(&berths->change, UDR_BERTH_UNREAD);
        repair(shared, glob);
        udr_shared_bump_epoch(shared);
    }
    return true;
}

void udr_berth_end_change(udr_shared_t *shared, const udr_glob_t *glob, bool has_changed, apr_time_t now)
{
    udr_berths_t *berths = udr_berths_of(shared, glob);
    apr_uint32_t before = atomic_load(&berths->present);
    apr_uint32_t present = 0;
    for (int i = 0; i < glob->growth; i++) {
        present += udr_berth_state(shared, glob->berths[i]) == UDR_BERTH_OPEN;
    }
    if (present > 0) {
        atomic_store(&berths->empty_since, 0);
    } else if (before > 0) {
        atomic_store(&berths->empty_since, now);
    }
    atomic_store(&berths->present, present);
    UDR_SCHEDULE("berth:changed");
    if (has_changed) {
        udr_shared_bump_epoch(shared);
    }
    atomic_fetch_and(&berths->change, ~(apr_uint32_t)UDR_BERTH_CHANGING);
    unlock(shared, glob);
}

void udr_berth_close(const udr_shared_t *shared, apr_uint32_t slot, apr_time_t now)
{
    udr_berth_t *berth = udr_berth_at(shared, slot);
    atomic_store(&berth->since, now);
    atomic_store(&berth->state, udr_berth_is_in_use(shared, slot) ? UDR_BERTH_DRAINING : UDR_BERTH_FREE);
}

/* --- single ones --- */

bool udr_berth_pin(const udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t berth, apr_uint32_t tenancy)
{
    lock(shared, glob);
    bool is_held = udr_berth_is_held(shared, berth, tenancy);
    if (!is_held) {
        unlock(shared, glob);
    }
    return is_held;
}

void udr_berth_unpin(const udr_shared_t *shared, const udr_glob_t *glob)
{
    unlock(shared, glob);
}

bool udr_berth_lose(udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t berth, apr_uint32_t tenancy,
                    apr_time_t now)
{
    bool is_first = false;
    if (!udr_berth_is_held(shared, berth, tenancy) || !udr_berth_is_present(udr_berth_at(shared, berth)) ||
        !udr_berth_begin_change(shared, glob)) {
        return false;
    }
    if (udr_berth_is_held(shared, berth, tenancy) && udr_berth_is_present(udr_berth_at(shared, berth))) {
        udr_berth_close(shared, berth, now);
        is_first = true;
    }
    udr_berth_end_change(shared, glob, is_first, now);
    return is_first;
}

/* Whom a check has met that was begun before its file came is not known. */
static bool is_unchecked_since(const udr_berth_t *berth, apr_time_t begun)
{
    return atomic_load(&berth->state) == UDR_BERTH_UNCHECKED && begun >= atomic_load(&berth->since);
}

bool udr_berth_pass(udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t berth, apr_uint32_t tenancy,
                    apr_time_t begun, apr_time_t now)
{
    bool has_passed = false;
    udr_berth_t *at = udr_berth_at(shared, berth);
    if (!is_unchecked_since(at, begun) || !udr_berth_begin_change(shared, glob)) {
        return false;
    }
    if (udr_berth_is_held(shared, berth, tenancy) && is_unchecked_since(at, begun)) {
        atomic_store(&at->state, UDR_BERTH_OPEN);
        has_passed = true;
    }
    udr_berth_end_change(shared, glob, has_passed, now);
    return has_passed;
}

bool udr_berth_tend(udr_shared_t *shared, const udr_glob_t *glob)
{
    const udr_berths_t *berths = udr_berths_of(shared, glob);
    bool has_vacant = false;
    for (int i = 0; i < glob->growth; i++) {
        udr_berth_t *berth = udr_berth_at(shared, glob->berths[i]);
        apr_uint32_t draining = UDR_BERTH_DRAINING;
        if (!udr_berth_is_in_use(shared, glob->berths[i])) {
            /* Without the mutex: a name that comes back at this moment opens it, and that stands. */
            (void)atomic_compare_exchange_strong(&berth->state, &draining, UDR_BERTH_FREE);
            has_vacant |= !udr_berth_is_present(berth);
        }
    }
    bool is_owner = atomic_load(&berths->generation) <= udr_shared_generation(shared);
    bool has_left_out = has_vacant && (atomic_load(&berths->told) & UDR_BERTH_TOLD_LEFT_OUT);
    return is_owner && (has_left_out || atomic_load(&berths->change));
}

void udr_berth_claim(udr_shared_t *shared, const udr_glob_t *glob)
{
    udr_berths_t *berths = udr_berths_of(shared, glob);
    if (udr_berth_begin_change(shared, glob)) {
        repair(shared, glob); /* one may have died over a berth that was none meanwhile: `growth` was lowered */
        atomic_store(&berths->generation, udr_shared_generation(shared));
        for (int i = 0; !glob->needs_check && i < glob->growth; i++) {
            apr_uint32_t unchecked = UDR_BERTH_UNCHECKED;
            (void)atomic_compare_exchange_strong(&udr_berth_at(shared, glob->berths[i])->state, &unchecked,
                                                 UDR_BERTH_OPEN);
        }
        /* Whoever has no place under this configuration, or can't read the directory, is told with it. */
        atomic_store(&berths->told, 0);
        atomic_store(&berths->error, 0);
        udr_berth_end_change(shared, glob, true, 0);
    }
}

apr_time_t udr_berth_empty_since(const udr_shared_t *shared, const udr_glob_t *glob)
{
    return atomic_load(&udr_berths_of(shared, glob)->empty_since);
}

apr_uint32_t udr_berth_present(const udr_shared_t *shared, const udr_glob_t *glob)
{
    return atomic_load(&udr_berths_of(shared, glob)->present);
}

bool udr_berth_note_error(udr_shared_t *shared, const udr_glob_t *glob, apr_status_t error)
{
    return atomic_exchange(&udr_berths_of(shared, glob)->error, (apr_uint32_t)error) != (apr_uint32_t)error && error;
}

udr_quota_t *udr_berth_quota(const udr_shared_t *shared, const udr_glob_t *glob)
{
    return &udr_berths_of(shared, glob)->quota;
}
