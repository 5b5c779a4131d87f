/* SPDX-License-Identifier: Apache-2.0 */
/* What has been read of a directory, merged into the berths: who stays, who has gone, and where those who are new go.
 */
#include "mod_udsroute/udr_berth_private.h"

#include "mod_udsroute/udr_debug.h"
#include "mod_udsroute/udr_operator.h"
#include "mod_udsroute/udr_verdict.h"

#include <apr_strings.h>

#include <stddef.h>
#include <string.h>

/* --- a berth ---------------------------------------------------------------------------------------------------------
 */

static void open_berth(const udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t slot, apr_uint64_t file,
                       apr_time_t now)
{
    udr_berth_t *berth = udr_berth_at(shared, slot);
    udr_verdict_begin_anew(udr_shared_slot(shared, slot), now);
    atomic_store(&berth->file, file);
    atomic_store(&berth->since, now);
    /* Those that were there before the server are as its single members: taken for good until a check says otherwise.
     */
    bool is_first = atomic_load(&udr_berths_of(shared, glob)->merged) == 0;
    atomic_store(&berth->state, glob->needs_check && !is_first ? UDR_BERTH_UNCHECKED : UDR_BERTH_OPEN);
}

/* All that was known of the one before, but for what is the queue's. Its bytes are left where they are in comparison
 * with others': bytraffic may not have noticed that somebody else is here now. */
static void wipe(udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t berth)
{
    udr_slot_t *slot = udr_shared_slot(shared, berth);
    udr_hot_t *hot = udr_shared_hot(shared, berth);
    memset((char *)slot + offsetof(udr_slot_t, pause_ms), 0,
           offsetof(udr_slot_t, glob) - offsetof(udr_slot_t, pause_ms));
    atomic_store(&hot->elected, 0);
    atomic_store(&hot->traffic_base, atomic_load(&hot->traffic_base) - atomic_exchange(&hot->traffic, 0));
    atomic_store(&hot->latency, 0);
    atomic_store(&hot->latency_at, 0);
    udr_operator_begin(hot, slot, &glob->settings);
}

/* False: a request is under way there after all. */
static bool move_in(udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t slot, const udr_sighted_t *sighted,
                    apr_time_t now)
{
    udr_berth_t *berth = udr_berth_at(shared, slot);
    apr_uint32_t tenancy = atomic_load(&berth->tenancy);
    atomic_store(&berth->tenancy, tenancy + 1);
    if (udr_berth_is_in_use(shared, slot)) {
        atomic_store(&berth->tenancy, tenancy);
        return false;
    }
    atomic_thread_fence(memory_order_release); /* no letter of the name before the odd number */
    UDR_SCHEDULE("berth:moving");
    udr_berth_write_name(berth, sighted->name);
    wipe(shared, glob, slot);
    open_berth(shared, glob, slot, sighted->file, now);
    if (glob->settings.status & UDR_STATUS_ERROR) {
        udr_verdict_mark(udr_shared_slot(shared, slot), glob->settings.retry, now);
    }
    atomic_store(&berth->tenancy, tenancy + 2);
    return true;
}

/* One that nobody ever had, or nobody has needed for longest; NULL: all are taken. */
static const apr_uint32_t *find_vacant(const udr_shared_t *shared, const udr_glob_t *glob)
{
    const apr_uint32_t *best = NULL;
    apr_time_t best_since = 0;
    for (int i = 0; i < glob->growth; i++) {
        const udr_berth_t *berth = udr_berth_at(shared, glob->berths[i]);
        apr_time_t since = atomic_load(&berth->tenancy) ? atomic_load(&berth->since) : 0;
        if (!udr_berth_is_present(berth) && !udr_berth_is_in_use(shared, glob->berths[i]) &&
            (!best || since < best_since)) {
            best = &glob->berths[i];
            best_since = since;
        }
    }
    return best;
}

/* --- merging --- */

typedef struct merge_t {
    udr_shared_t *shared;
    const udr_glob_t *glob;
    const udr_listing_t *listing;
    bool *is_placed; /* of the listing: it has a berth */
    udr_arrivals_t *arrivals;
    apr_time_t now;
    apr_pool_t *p;
    bool has_changed;
} merge_t;

static int find_listed(const udr_listing_t *listing, const char *name)
{
    int low = 0;
    int high = listing->sockets->nelts;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = strcmp(name, APR_ARRAY_IDX(listing->sockets, middle, udr_sighted_t).name);
        if (order == 0) {
            return middle;
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return -1;
}

static void say(const merge_t *merge, apr_array_header_t *names, const char *name)
{
    APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(merge->p, name);
}

/* It has been there, or has been before. Another file, or another mode, is worth a new try if it is out. */
static void keep(merge_t *merge, apr_uint32_t slot, const udr_sighted_t *sighted)
{
    udr_berth_t *berth = udr_berth_at(merge->shared, slot);
    bool comes = !udr_berth_is_present(berth);
    if (!comes && atomic_load(&berth->file) == sighted->file) {
        return;
    }
    if (comes) {
        open_berth(merge->shared, merge->glob, slot, sighted->file, merge->now);
        say(merge, merge->arrivals->came, sighted->name);
    } else {
        atomic_store(&berth->file, sighted->file);
        /* As if it had just come: what a check finds that was begun before is somebody else's, the next one is made at
         * once, and nobody may listen yet. */
        atomic_store(&berth->since, merge->now);
        (void)udr_verdict_file_appeared(udr_shared_slot(merge->shared, slot), merge->now);
    }
    merge->has_changed = true;
}

static void compare_berth(merge_t *merge, apr_uint32_t slot)
{
    udr_berth_t *berth = udr_berth_at(merge->shared, slot);
    char name[8 * UDR_BERTH_WORDS];
    udr_berth_read_name(berth, name);
    int listed = *name ? find_listed(merge->listing, name) : -1;
    if (listed >= 0 && !merge->is_placed[listed]) {
        merge->is_placed[listed] = true;
        keep(merge, slot, &APR_ARRAY_IDX(merge->listing->sockets, listed, udr_sighted_t));
    } else if (udr_berth_is_present(berth)) {
        udr_berth_close(merge->shared, slot, merge->now);
        if (listed < 0) { /* else it has another berth: `growth` was lowered for a while */
            say(merge, merge->arrivals->went, name);
        }
        merge->has_changed = true;
    }
}

/* Those that have no berth yet; returns the first that gets none. */
static const char *place_others(merge_t *merge)
{
    const apr_array_header_t *sockets = merge->listing->sockets;
    for (int i = 0; i < sockets->nelts; i++) {
        const udr_sighted_t *sighted = &APR_ARRAY_IDX(sockets, i, udr_sighted_t);
        const apr_uint32_t *vacant = NULL;
        while (!merge->is_placed[i] && (vacant = find_vacant(merge->shared, merge->glob)) &&
               !(merge->is_placed[i] = move_in(merge->shared, merge->glob, *vacant, sighted, merge->now))) {
        }
        if (!merge->is_placed[i]) {
            return apr_pstrdup(merge->p, sighted->name);
        }
        if (vacant) {
            say(merge, merge->arrivals->came, sighted->name);
            merge->has_changed = true;
        }
    }
    return NULL;
}

/* Returns the name when it is to be told: once, until there is none of its kind. */
static const char *tell_once(udr_berths_t *berths, apr_uint32_t bit, const char *name)
{
    apr_uint32_t told = name ? atomic_fetch_or(&berths->told, bit) : atomic_fetch_and(&berths->told, ~bit);
    return told & bit ? NULL : name;
}

apr_uint64_t udr_berth_begin(udr_shared_t *shared, const udr_glob_t *glob)
{
    return atomic_fetch_add(&udr_berths_of(shared, glob)->begun, 1) + 1;
}

void udr_berth_merge(udr_shared_t *shared, const udr_glob_t *glob, apr_uint64_t number, const udr_listing_t *listing,
                     apr_time_t now, udr_arrivals_t *arrivals, apr_pool_t *p)
{
    udr_berths_t *berths = udr_berths_of(shared, glob);
    *arrivals =
        (udr_arrivals_t){.came = apr_array_make(p, 4, sizeof(char *)), .went = apr_array_make(p, 4, sizeof(char *))};
    merge_t merge = {.shared = shared, .glob = glob, .listing = listing, .arrivals = arrivals, .now = now, .p = p};
    merge.is_placed = apr_pcalloc(p, (apr_size_t)listing->sockets->nelts + 1);
    if (!udr_berth_begin_change(shared, glob)) {
        return;
    }
    if (number > atomic_load(&berths->merged)) {
        for (int i = 0; i < glob->growth; i++) {
            compare_berth(&merge, glob->berths[i]);
        }
        arrivals->left_out = tell_once(berths, UDR_BERTH_TOLD_LEFT_OUT, place_others(&merge));
        arrivals->unusable = tell_once(berths, UDR_BERTH_TOLD_UNUSABLE, listing->unusable);
        atomic_store(&berths->merged, number);
        atomic_fetch_and(&berths->change, ~(apr_uint32_t)UDR_BERTH_UNREAD);
    }
    udr_berth_end_change(shared, glob, merge.has_changed, now);
}
