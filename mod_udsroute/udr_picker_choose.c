/* SPDX-License-Identifier: Apache-2.0 */
/* Who takes a request: the member of its session, who the method says, one that has just gone, or nobody yet. All with
 * the picker's mutex. */
#include "mod_udsroute/udr_picker_private.h"
#include "mod_udsroute/udr_sticky.h"

#include <string.h>

/* How long who waits is to wait, for each that asks; see pause_before_asking(). */
#define PAUSE_EACH ((apr_interval_time_t)50)
#define PAUSE_MAX  apr_time_from_msec(250)

/* pick: without those that it has tried; NULL: all of them. */
static udr_candidates_t candidates_for(const udr_picker_t *picker, const udr_pick_t *pick)
{
    return (udr_candidates_t){.members = picker->locked.candidates,
                              .count = picker->count,
                              .excluded = pick ? pick->excluded : NULL,
                              .excluded_words = pick ? picker->words : 0};
}

static void draw(udr_picker_t *picker, udr_roster_t *roster, const udr_pick_t *pick, apr_time_t now)
{
    const udr_candidates_t candidates = candidates_for(picker, pick);
    udr_roster_draw(roster, &candidates, picker->balancer->settings.force_recovery != 0, now);
}

void udr_picker_refresh(udr_picker_t *picker, apr_time_t now)
{
    udr_roster_t *roster = &picker->locked.roster;
    apr_uint64_t epoch = udr_shared_epoch(picker->shared);
    if (epoch == picker->locked.epoch && (roster->until == 0 || now < roster->until)) {
        return;
    }
    if (picker->locked.tenants && epoch != picker->locked.epoch &&
        udr_tenants_sync(picker->locked.tenants, picker->locked.candidates)) {
        picker->locked.moves++;
    }
    picker->locked.epoch = epoch; /* read before: what changes meanwhile is seen the next time */
    draw(picker, roster, NULL, now);
    picker->method->prepare(picker->locked.method, roster->seats, roster->count);
}

/* Who of the members has only just gone, so that the request may wait for it, each in turn; -1: nobody. bound: to the
 * route of its session alone; NULL: to any. *until: when the last of them has been gone for too long. */
static int find_just_gone(const udr_picker_t *picker, const udr_occasion_t *bound, apr_time_t now, apr_time_t *until)
{
    int found = -1;
    *until = 0;
    for (int i = 0; i < picker->count; i++) {
        int index = (picker->locked.probed + 1 + i) % picker->count;
        const udr_candidate_t *candidate = &picker->locked.candidates[index];
        if (candidate->is_away) {
            continue;
        }
        apr_uint32_t flags = atomic_load_explicit(&candidate->hot->flags, memory_order_relaxed);
        apr_time_t gone_until =
            udr_verdict_gone_until(candidate->slot, udr_picker_member(picker, index)->settings.hold, now);
        /* One that closes without an answer may still take connections: then a request that it falls over must not keep
         * all others waiting. They ask it, where that is allowed; if it has gone, connecting tells. */
        bool may_be_asked = picker->balancer->settings.force_recovery &&
                            udr_verdict_cause(atomic_load(&candidate->slot->cause)) == UDR_CAUSE_UNANSWERED;
        if (gone_until > 0 && !may_be_asked && !(flags & (UDR_SLOT_DISABLED | UDR_SLOT_STOPPED | UDR_SLOT_DRAINS)) &&
            (!bound || udr_sticky_is_route(candidate->route, bound->route, bound->route_len))) {
            *until = gone_until > *until ? gone_until : *until;
            found = found < 0 ? index : found;
        }
    }
    return found;
}

/* Is a member of a glob, whose socket has gone, waited for (`hold`)? bound: that of this session's route; NULL: anyone,
 * when its glob has none left; a member that is there is asked instead. Returns until when, the latest; 0: nobody is.
 */
static apr_time_t find_file_gone(const udr_picker_t *picker, const udr_occasion_t *bound, apr_time_t now)
{
    const apr_array_header_t *globs = picker->balancer->globs;
    apr_time_t until = 0;
    for (int i = 0; i < globs->nelts && picker->locked.tenants; i++) {
        const udr_glob_t *glob = APR_ARRAY_IDX(globs, i, const udr_glob_t *);
        apr_time_t since = bound ? 0 : udr_berth_empty_since(picker->shared, glob);
        for (int k = 0; bound && k < glob->growth; k++) {
            const udr_candidate_t *candidate = &picker->locked.candidates[glob->first + k];
            if (candidate->gone_at > since && udr_sticky_is_route(candidate->route, bound->route, bound->route_len)) {
                since = candidate->gone_at;
            }
        }
        if (since && since + glob->settings.hold > now && since + glob->settings.hold > until) {
            until = since + glob->settings.hold;
        }
    }
    return until;
}

/* The members that can't take one more at once are left out, as long as there is one that can. */
static const apr_uint64_t *without_full(udr_picker_t *picker, const udr_pick_t *pick)
{
    bool has_room = false;
    memcpy(picker->locked.full, pick->excluded, picker->words * sizeof(apr_uint64_t));
    for (int i = 0; i < picker->locked.roster.count; i++) {
        const udr_seat_t *seat = &picker->locked.roster.seats[i];
        apr_uint32_t limit = atomic_load_explicit(&seat->hot->limit, memory_order_relaxed);
        if (limit > 0 && udr_seat_load(seat) >= limit) {
            picker->locked.full[seat->member / 64] |= udr_picker_bit(seat->member);
        } else {
            has_room |= (pick->excluded[seat->member / 64] >> (seat->member % 64) & 1) == 0;
        }
    }
    return has_room ? picker->locked.full : pick->excluded;
}

static int choose_by_method(udr_picker_t *picker, const udr_pick_t *pick, apr_time_t now)
{
    const udr_roster_t *roster = &picker->locked.roster;
    udr_choice_t choice = {
        .excluded = picker->has_limits ? without_full(picker, pick) : pick->excluded,
        .excluded_words = picker->words,
        .key = pick->occasion.key,
        .key_len = pick->occasion.key_len,
        .random = &picker->locked.random,
        .now = now,
        .is_again = pick->tried > 0,
    };
    int seat = picker->method->pick(picker->locked.method, roster->seats, roster->count, &choice);
    return seat < 0 ? -1 : roster->seats[seat].member;
}

/* A roster of this request's own, where those that it has tried count as failed: their spares and the next set stand in
 * for them. The one that has least to do by its weight takes it: the method is not asked, for what it keeps of the
 * members (turns, levels of traffic) is about the roster of all. */
static int choose_among_others(udr_picker_t *picker, const udr_pick_t *pick, apr_time_t now)
{
    udr_roster_t *others = &picker->locked.others;
    const udr_seat_t *best = NULL;
    draw(picker, others, pick, now);
    for (int i = 0; i < others->count; i++) {
        const udr_seat_t *seat = &others->seats[i];
        if (!best || (udr_seat_load(seat) + 1) * best->weight < (udr_seat_load(best) + 1) * seat->weight) {
            best = seat;
        }
    }
    return best ? best->member : -1;
}

/* The member of its session, or -1. */
static int choose_by_session(udr_picker_t *picker, udr_pick_t *pick, apr_time_t now)
{
    const udr_candidates_t candidates = candidates_for(picker, pick);
    const udr_occasion_t *occasion = &pick->occasion;
    pick->is_bound = picker->balancer->settings.no_failover &&
                     (udr_roster_has_route(&candidates, occasion->route, occasion->route_len) ||
                      find_file_gone(picker, occasion, now));
    bool recovers = picker->locked.roster.all_out && picker->balancer->settings.force_recovery;
    return udr_roster_find(&candidates, occasion->route, occasion->route_len, recovers, now);
}

/* How long who waits is to wait before it asks again: longer, the more there are that ask. (Ten thousand that ask a
 * hundred times a second would take the processor that the application needs to start.) */
static apr_interval_time_t pause_before_asking(udr_picker_t *picker, apr_time_t now)
{
    if (now - picker->locked.asked_since >= UDR_PICKER_PROBE_PAUSE) {
        picker->locked.asked_since = now;
        picker->locked.asked_before = picker->locked.asked;
        picker->locked.asked = 0;
    }
    picker->locked.asked++;
    apr_interval_time_t pause = (picker->locked.asked + picker->locked.asked_before) * PAUSE_EACH;
    if (pause < UDR_PICKER_PROBE_PAUSE) {
        return UDR_PICKER_PROBE_PAUSE;
    }
    return pause < PAUSE_MAX ? pause : PAUSE_MAX;
}

/* The balancer's own `timeout`: a member may become free, be enabled or come back. */
static int wait_for_anybody(udr_pick_t *pick, apr_time_t now, apr_time_t *until)
{
    if (!pick->wanting_since) {
        pick->wanting_since = now;
    }
    if (now - pick->wanting_since >= pick->picker->balancer->settings.timeout) {
        return UDR_CHOSEN_NOBODY;
    }
    memset(pick->excluded, 0, pick->picker->words * sizeof(apr_uint64_t));
    *until = now + pause_before_asking(pick->picker, now);
    return UDR_CHOSEN_LATER;
}

/* Who has just gone may be back at any moment: its requests wait, and one at a time looks. */
static int look_or_wait(udr_pick_t *pick, int gone, apr_time_t now, apr_time_t *until)
{
    udr_picker_t *picker = pick->picker;
    if (now >= picker->locked.probe_at) {
        picker->locked.probe_at = now + UDR_PICKER_PROBE_PAUSE;
        picker->locked.probed = gone;
        return gone;
    }
    apr_time_t again = now + pause_before_asking(picker, now);
    *until = again < *until ? again : *until;
    if (!pick->has_held) {
        pick->has_held = true;
        atomic_fetch_add_explicit(&udr_shared_slot(picker->shared, udr_picker_member(picker, gone)->slot)->held, 1,
                                  memory_order_relaxed);
    }
    return UDR_CHOSEN_LATER;
}

/* Berths that it has tried may have other members by now. */
static void heed_moves(udr_pick_t *pick)
{
    const udr_picker_t *picker = pick->picker;
    if (pick->moves == picker->locked.moves) {
        return;
    }
    pick->moves = picker->locked.moves;
    for (int i = picker->balancer->members->nelts; i < picker->count; i++) {
        pick->excluded[i / 64] &= ~udr_picker_bit(i);
        pick->forgiven[i / 64] &= ~udr_picker_bit(i);
    }
}

static int choose(udr_pick_t *pick, apr_time_t now, apr_time_t *until)
{
    udr_picker_t *picker = pick->picker;
    const udr_roster_t *roster = &picker->locked.roster;
    udr_picker_refresh(picker, now);
    heed_moves(pick);
    int chosen = pick->occasion.route ? choose_by_session(picker, pick, now) : -1;
    if (chosen < 0 && !pick->is_bound && !roster->all_out) {
        chosen = choose_by_method(picker, pick, now);
        if (chosen < 0 && pick->tried > 0) {
            roster = &picker->locked.others;
            chosen = choose_among_others(picker, pick, now);
        }
    }
    if (chosen >= 0 && !roster->all_out) {
        return chosen;
    }
    /* What is open now is so only because all are out. */
    int gone = find_just_gone(picker, pick->is_bound ? &pick->occasion : NULL, now, until);
    if (gone >= 0) {
        return look_or_wait(pick, gone, now, until);
    }
    apr_time_t file_until = find_file_gone(picker, pick->is_bound ? &pick->occasion : NULL, now);
    if (file_until) {
        apr_time_t again = now + pause_before_asking(picker, now);
        *until = again < file_until ? again : file_until;
        return UDR_CHOSEN_LATER;
    }
    if (chosen < 0 && !pick->is_bound) {
        chosen = choose_by_method(picker, pick, now);
    }
    return chosen < 0 ? wait_for_anybody(pick, now, until) : chosen;
}

/* Those that have gone may be asked again, but not at once: nothing else would keep a request from going round and
 * round where `retry` is 0, or members are never out (+I). */
static void forgive(udr_pick_t *pick)
{
    for (apr_size_t i = 0; i < pick->picker->words; i++) {
        pick->tried -= __builtin_popcountll(pick->excluded[i] & pick->forgiven[i]);
        pick->excluded[i] &= ~pick->forgiven[i];
        pick->forgiven[i] = 0;
    }
    pick->again_at = 0;
}

int udr_picker_choose(udr_pick_t *pick, apr_time_t now, apr_time_t *until)
{
    if (pick->again_at && now >= pick->again_at) {
        forgive(pick);
    }
    int chosen = choose(pick, now, until);
    if (chosen == UDR_CHOSEN_NOBODY && pick->again_at) {
        *until = pick->again_at;
        return UDR_CHOSEN_LATER;
    }
    return chosen;
}
