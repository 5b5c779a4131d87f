/* SPDX-License-Identifier: Apache-2.0 */
/* Which members of a balancer can take a request now: sets, spares, hot standby, what the operator says, who is out.
 * Layer: core. Used by the balancer, which keeps what it says until the epoch changes or the time has come; the methods
 * pick among the seats. No allocation, no lock. */
#ifndef UDR_ROSTER_H
#define UDR_ROSTER_H

#include "mod_udsroute/udr_method.h"

#include <apr_time.h>

#include <stdbool.h>

/* lbset is 0 … 99, as in mod_proxy. */
#define UDR_ROSTER_SETS 100

/* How much a member's weight stands still for while it grows (`slowstart`). */
#define UDR_ROSTER_STEP apr_time_from_msec(100)

/* What is configured of a member, and what is shared of it. */
typedef struct udr_candidate_t {
    udr_hot_t *hot;
    const udr_slot_t *slot;
    apr_uint64_t identity;         /* hash of its identity, for the seat */
    apr_uint32_t weight;           /* `loadfactor` in hundredths; 1 … 10000 */
    int lbset;                     /* 0 … UDR_ROSTER_SETS - 1 */
    apr_interval_time_t slowstart; /* 0: none */
    const char *route;             /* for sticky sessions; NULL or "": none */
    const char *redirect;          /* the route that takes its sessions while it can't; NULL or "": none */
    bool is_away;                  /* of a glob: its socket isn't there (any more), or unchecked; nobody's place */
    apr_time_t gone_at;            /* of a glob: when its socket went; 0: it is there, or never was */
    int place;                     /* the roster's own, from judging to seating */
} udr_candidate_t;

/* A balancer's members, in the order of the configuration. */
typedef struct udr_candidates_t {
    udr_candidate_t *members;
    int count;
    const apr_uint64_t *excluded; /* members that this request has tried already, as in udr_choice_t; may be NULL */
    apr_size_t excluded_words;
} udr_candidates_t;

typedef struct udr_roster_t {
    udr_seat_t *seats; /* the caller's, room for as many as there are candidates; in the order of the candidates */
    int count;
    apr_time_t until; /* at this time it is to be drawn up anew; 0: not before the epoch changes */
    /* Nobody could take a request but for having failed before. With forcerecovery their seats are open, otherwise
     * there are none. */
    bool all_out;
} udr_roster_t;

/* Draws it up. roster->seats is set by the caller. now: udr_clock_now().
 *
 * As mod_proxy does it: the lowest lbset counts that has anybody. Of each set first the members that are usable, with
 * one usable spare (+R) for each that is not (drained, disabled, stopped, out, tried already); if that is nobody, its
 * hot standby (+H). Usable is who is neither disabled (+D), stopped (+S), drained (+N, or as it says itself in answers
 * to checks) nor tried already, and not out (+I: is never out). If there is nobody in any set and forcerecovery is on,
 * those that are only out are usable. */
void udr_roster_draw(udr_roster_t *roster, const udr_candidates_t *candidates, bool force_recovery, apr_time_t now);

/* The member that serves a session of this route (len bytes), as an index, or -1: no usable member has it. Drained
 * members serve their own sessions, sets and spares do not matter, standby comes last; if the member of the route is
 * not usable, the one that its `redirect` names does. recovers: the roster says all_out, and forcerecovery is on. */
int udr_roster_find(const udr_candidates_t *candidates, const char *route, apr_size_t len, bool recovers,
                    apr_time_t now);

/* Does any member, usable or not, have this route? (Those that are away don't count.) (`nofailover`: then its sessions
 * go nowhere else.) */
bool udr_roster_has_route(const udr_candidates_t *candidates, const char *route, apr_size_t len);

#endif
