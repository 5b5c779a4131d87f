/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_roster.h"
#include "mod_udsroute/udr_sticky.h"
#include "mod_udsroute/udr_verdict.h"

#include <stdatomic.h>
#include <string.h>

#define CLOSED (UDR_SLOT_DISABLED | UDR_SLOT_STOPPED | UDR_SLOT_DRAINS)

/* udr_candidate_t.place: as what it can take the request. */
enum { AWAY, MEMBER, SPARE, STANDBY };

/* How a set stands. */
typedef struct set_t {
    int members; /* usable, neither spare nor standby */
    int lacking; /* the same, unusable */
    int spares;  /* usable */
    int standbys;
} set_t;

static bool is_excluded(const udr_candidates_t *candidates, int index)
{
    apr_size_t word = (apr_size_t)index / 64;
    return word < candidates->excluded_words && (candidates->excluded[word] >> (index % 64) & 1);
}

/* What the operator says, and what the member says of itself: one that drains, or asks for no weight, keeps its own
 * sessions. */
static apr_uint32_t flags_of(const udr_candidate_t *candidate)
{
    apr_uint32_t agent = atomic_load(&candidate->slot->agent);
    bool drains = udr_slot_agent_state(agent) == UDR_AGENT_DRAIN || udr_slot_agent_percent(agent) == 0;
    return atomic_load(&candidate->hot->flags) | (drains ? UDR_SLOT_DRAINS : 0);
}

/* Out until when; 0: it is not. */
static apr_time_t out_until(const udr_candidate_t *candidate, apr_uint32_t flags, apr_time_t now)
{
    apr_time_t until = udr_verdict_out_until(candidate->slot);
    return until > now && !(flags & UDR_SLOT_IGNORES_ERRORS) ? until : 0;
}

/* The roster is good until the first of all times noted. */
static void note(udr_roster_t *roster, apr_time_t at)
{
    if (roster->until == 0 || at < roster->until) {
        roster->until = at;
    }
}

static int place_in(set_t *set, apr_uint32_t flags, bool is_usable)
{
    if (flags & UDR_SLOT_SPARE) {
        set->spares += is_usable;
        return is_usable ? SPARE : AWAY;
    }
    if (flags & UDR_SLOT_HOT_STANDBY) {
        set->standbys += is_usable;
        return is_usable ? STANDBY : AWAY;
    }
    set->members += is_usable;
    set->lacking += !is_usable;
    return is_usable ? MEMBER : AWAY;
}

/* Judges each once, for what is shared may be something else the next moment. Returns how many are only out. */
static int judge(set_t *sets, const udr_candidates_t *candidates, udr_roster_t *roster, bool recovers, apr_time_t now)
{
    int only_out = 0;
    memset(sets, 0, UDR_ROSTER_SETS * sizeof *sets);
    for (int i = 0; i < candidates->count; i++) {
        udr_candidate_t *candidate = &candidates->members[i];
        candidate->place = AWAY;
        if (candidate->is_away) {
            continue;
        }
        apr_uint32_t flags = flags_of(candidate);
        bool is_open = !(flags & CLOSED) && !is_excluded(candidates, i);
        apr_time_t until = is_open ? out_until(candidate, flags, now) : 0;
        if (until) {
            only_out++;
            if (until != UDR_VERDICT_NO_END) {
                note(roster, until);
            }
        }
        candidate->place = place_in(&sets[candidate->lbset], flags, is_open && (recovers || !until));
    }
    return only_out;
}

static int stand_ins(const set_t *set)
{
    return set->spares < set->lacking ? set->spares : set->lacking;
}

/* -1: nobody in any. */
static int lowest_open(const set_t *sets)
{
    for (int i = 0; i < UDR_ROSTER_SETS; i++) {
        if (sets[i].members || stand_ins(&sets[i]) || sets[i].standbys) {
            return i;
        }
    }
    return -1;
}

/* A member that came up grows from a hundredth to its weight, in steps. */
static apr_uint32_t weigh(const udr_candidate_t *candidate, udr_roster_t *roster, apr_time_t now)
{
    apr_uint32_t operators = atomic_load(&candidate->hot->weight);
    apr_uint32_t share = udr_slot_agent_percent(atomic_load(&candidate->slot->agent));
    apr_uint32_t full = (operators ? operators : candidate->weight) * share / 100;
    full = full ? full : 1;
    apr_time_t up_since = atomic_load(&candidate->slot->up_since);
    apr_interval_time_t span = candidate->slowstart;
    if (span == 0 || up_since == 0 || now - up_since >= span) {
        return full;
    }
    /* Another process may have brought it up since now was read. */
    apr_int64_t steps = now > up_since ? (now - up_since) / UDR_ROSTER_STEP : 0;
    apr_interval_time_t next = (steps + 1) * UDR_ROSTER_STEP;
    note(roster, up_since + (next < span ? next : span));
    apr_uint32_t weight = (apr_uint32_t)((apr_int64_t)full * steps * UDR_ROSTER_STEP / span);
    return weight ? weight : 1;
}

static void seat_all(udr_roster_t *roster, const udr_candidates_t *candidates, int lbset, const set_t *set,
                     apr_time_t now)
{
    int spares = stand_ins(set);
    bool needs_standby = !set->members && !spares;
    for (int i = 0; i < candidates->count; i++) {
        const udr_candidate_t *candidate = &candidates->members[i];
        bool is_wanted = candidate->place == MEMBER || (candidate->place == SPARE && spares > 0) ||
                         (candidate->place == STANDBY && needs_standby);
        if (candidate->lbset != lbset || !is_wanted) {
            continue;
        }
        spares -= candidate->place == SPARE;
        roster->seats[roster->count++] = (udr_seat_t){
            .member = i,
            .hot = candidate->hot,
            .weight = weigh(candidate, roster, now),
            .identity = candidate->identity,
        };
    }
}

void udr_roster_draw(udr_roster_t *roster, const udr_candidates_t *candidates, bool force_recovery, apr_time_t now)
{
    set_t sets[UDR_ROSTER_SETS];
    roster->count = 0;
    roster->until = 0;
    int only_out = judge(sets, candidates, roster, false, now);
    int lbset = lowest_open(sets);
    roster->all_out = lbset < 0 && only_out > 0;
    if (roster->all_out && force_recovery) {
        judge(sets, candidates, roster, true, now);
        lbset = lowest_open(sets);
    }
    if (lbset >= 0) {
        seat_all(roster, candidates, lbset, &sets[lbset], now);
    }
}

static bool has_route(const udr_candidate_t *candidate, const char *route, apr_size_t len)
{
    return udr_sticky_is_route(candidate->route, route, len);
}

/* For a session of its own; drained is no matter. */
static bool serves(const udr_candidates_t *candidates, int index, bool recovers, apr_time_t now)
{
    const udr_candidate_t *candidate = &candidates->members[index];
    apr_uint32_t flags = atomic_load(&candidate->hot->flags);
    return !(flags & (UDR_SLOT_DISABLED | UDR_SLOT_STOPPED)) && !candidate->is_away &&
           !is_excluded(candidates, index) && (recovers || !out_until(candidate, flags, now));
}

/* The best of this route, or -1 and *redirect: where the first that has one sends its sessions. */
static int find_direct(const udr_candidates_t *candidates, const char *route, apr_size_t len, bool recovers,
                       const char **redirect, apr_time_t now)
{
    int standby = -1;
    *redirect = NULL;
    for (int i = 0; i < candidates->count; i++) {
        const udr_candidate_t *candidate = &candidates->members[i];
        if (!has_route(candidate, route, len)) {
            continue;
        }
        if (!serves(candidates, i, recovers, now)) {
            *redirect = *redirect ? *redirect : candidate->redirect;
        } else if (!(atomic_load(&candidate->hot->flags) & UDR_SLOT_HOT_STANDBY)) {
            return i;
        } else if (standby < 0) {
            standby = i;
        }
    }
    return standby;
}

int udr_roster_find(const udr_candidates_t *candidates, const char *route, apr_size_t len, bool recovers,
                    apr_time_t now)
{
    /* Redirections may lead in circles. */
    for (int hops = 0; hops <= candidates->count; hops++) {
        const char *redirect;
        int found = find_direct(candidates, route, len, recovers, &redirect, now);
        if (found >= 0 || !redirect) {
            return found;
        }
        route = redirect;
        len = strlen(redirect);
    }
    return -1;
}

bool udr_roster_has_route(const udr_candidates_t *candidates, const char *route, apr_size_t len)
{
    for (int i = 0; i < candidates->count; i++) {
        if (!candidates->members[i].is_away && has_route(&candidates->members[i], route, len)) {
            return true;
        }
    }
    return false;
}
