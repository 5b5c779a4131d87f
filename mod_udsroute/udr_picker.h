/* SPDX-License-Identifier: Apache-2.0 */
/* Who of a balancer's members takes a request: sessions, methods, failures, `maxconn`, and waiting for a member that
 * has just gone. A picker is a child's side of one balancer, a pick one request's dealings with it. Layer: core, above
 * roster, methods, verdict and queue. Pickers are made in each child; picks are the exchange's. */
#ifndef UDR_PICKER_H
#define UDR_PICKER_H

#include "mod_udsroute/udr_balancer.h"
#include "mod_udsroute/udr_method.h"
#include "mod_udsroute/udr_queue.h"
#include "mod_udsroute/udr_verdict.h"
#include "mod_udsroute/udr_yield.h"

typedef struct udr_picker_t udr_picker_t;

/* For a balancer whose members have their slots (udr_member_t.slot, udr_balancer_t.slot). news: told of a member that
 * went out or came back (UDR_CHANGE_…), once over all children; any thread, no lock held. From p, a child's. */
apr_status_t
udr_picker_create(udr_picker_t **picker, const udr_balancer_t *balancer, udr_shared_t *shared, udr_queue_t *queue,
                  void (*news)(const udr_balancer_t *balancer, const udr_member_t *member, unsigned int change),
                  apr_pool_t *p);

/* What a picker of a balancer with globs needs besides. */
typedef struct udr_picker_globs_t {
    int lanes;          /* as for udr_pool_create() */
    udr_yield_t *yield; /* as for udr_pool_share(), or NULL */
    /* connect(2) has found out that a member's socket has gone; told once over all children. Any thread, no lock held.
     */
    void (*lost)(const udr_balancer_t *balancer, const udr_member_t *member);
    /* Before each pick; for where nobody else looks into the directories. NULL: somebody does. */
    void (*look)(const udr_balancer_t *balancer, apr_time_t now);
} udr_picker_globs_t;

/* The globs of its balancer, which have their slots: from now on their members are picked, too. From p, as the picker;
 * before the first pick. */
apr_status_t udr_picker_open_globs(udr_picker_t *picker, const udr_picker_globs_t *globs, apr_pool_t *p);

/* Goes through the members as of now: those of the configuration, and those of the globs, with what their berths say
 * (UDR_BERTH_…; the others' are open). Those that this child has known once and that are forgotten now are free. No
 * lock is held while visit runs, and the member stays as long. Any thread. */
void udr_picker_visit(udr_picker_t *picker, void (*visit)(void *baton, udr_member_t *member, apr_uint32_t state),
                      void *baton);

/* The child's own thread, now and then: lets members go that have left. */
void udr_picker_tidy(udr_picker_t *picker);

const udr_balancer_t *udr_picker_balancer(const udr_picker_t *picker);

/* The largest iobuffersize of its members. */
apr_size_t udr_picker_buffer_size(const udr_picker_t *picker);

/* What of the request its method hashes. */
const udr_key_t *udr_picker_key(const udr_picker_t *picker);

/* What of the request decides. */
typedef struct udr_occasion_t {
    const char *key; /* what the method hashes; NULL: it has none */
    apr_size_t key_len;
    const char *route; /* of its session; NULL: none */
    apr_size_t route_len;
} udr_occasion_t;

/* One request's. The caller's memory, from udr_pick_begin() on; one thread at a time. */
typedef struct udr_pick_t {
    udr_picker_t *picker;
    udr_occasion_t occasion;
    udr_member_t *member;     /* the present one, or the last; NULL: none yet. It stays until udr_pick_end() */
    int index;                /* its index in the balancer */
    int tried;                /* how many members so far */
    unsigned int moves;       /* the picker's, when this was asked last */
    bool is_counted;          /* as in flight, at the present one */
    bool is_bound;            /* its session goes to no other member (`nofailover`) */
    bool has_held;            /* it has waited for one to come back */
    bool is_later;            /* it waits for that, or for anybody: udr_picker_wake_held() may wake it */
    _Atomic bool is_awake;    /* that has been done */
    apr_time_t again_at;      /* those forgiven are not asked again before; 0: nobody is forgiven */
    apr_time_t wanting_since; /* nobody could take it; 0: that was not so yet */
    apr_uint64_t *excluded;   /* members that it is not to try again: bits */
    apr_uint64_t *forgiven;   /* of these, the ones that have gone and may be back: bits */
    apr_uint64_t few[2];      /* both, where members are few */
    udr_queue_waiter_t waiter;
    bool is_listed; /* needs the picker's mutex, as the next two: among those that wait so */
    struct udr_pick_t *previous;
    struct udr_pick_t *next;
} udr_pick_t;

typedef enum udr_picked_t {
    UDR_PICKED_MEMBER, /* pick->member */
    UDR_PICKED_TURN,   /* pick->member, after others: its waiter is woken, then ask udr_pick_has_turn() */
    UDR_PICKED_LATER,  /* whoever could take it has just gone: ask again at the time given, or when the waiter is
                          woken and udr_pick_is_awake() */
    UDR_PICKED_NOBODY, /* none can take it */
    UDR_PICKED_FULL    /* pick->member has no place for one more that waits */
} udr_picked_t;

/* wake: see udr_queue_waiter_t. occasion is copied, what it points to is not. p: a request's. */
void udr_pick_begin(udr_pick_t *pick, udr_picker_t *picker, const udr_occasion_t *occasion,
                    void (*wake)(udr_queue_waiter_t *waiter), void *wake_baton, apr_pool_t *p);

/* The next member; the former one, if any, is not picked again. *until: set with UDR_PICKED_LATER. */
udr_picked_t udr_pick_next(udr_pick_t *pick, apr_time_t now, apr_time_t *until);

/* After UDR_PICKED_TURN. */
bool udr_pick_has_turn(udr_pick_t *pick);

/* After UDR_PICKED_LATER: somebody may be back before the time given. True once for each time. */
bool udr_pick_is_awake(udr_pick_t *pick);

/* Who is woken changes. */
void udr_pick_readdress(udr_pick_t *pick, void (*wake)(udr_queue_waiter_t *waiter), void *wake_baton);

/* What has become of the attempt at the present member. */
void udr_pick_report(udr_pick_t *pick, const udr_report_t *report, apr_time_t now);

/* The present member is out: what becomes of this attempt may bring it back. */
bool udr_pick_is_on_trial(const udr_pick_t *pick);

/* The present member is left: to try another, or at the end. Stops waiting, too. Harmless when there is none. */
void udr_pick_leave(udr_pick_t *pick);

/* The pick is over; its member may go. After udr_pick_leave(). Harmless when it is repeated. */
void udr_pick_end(udr_pick_t *pick);

/* The present member has failed, and nothing was lost: may another one be tried (`maxattempts`, `nofailover`), or this
 * one be waited for (`hold`)? failed_at: when the first of them failed such that it may have gone; 0: none. */
bool udr_pick_may_go_on(udr_pick_t *pick, apr_time_t failed_at, apr_time_t now);

/* What has come of a request that is over. */
typedef struct udr_account_t {
    int status;        /* of the response; 0: none */
    apr_uint64_t sent; /* bytes of the body; in a tunnel, of all */
    apr_uint64_t received;
    apr_time_t begun; /* the attempt (its turns had come by then) whose response is complete; 0: none is, or it says
                         nothing of how fast the member answers */
} udr_account_t;

/* Counts it at the present member. Before udr_pick_leave(). */
void udr_pick_account(udr_pick_t *pick, const udr_account_t *account, apr_time_t now);

/* The socket of a member has appeared: all that got UDR_PICKED_LATER here are woken, on this thread. Any thread. */
void udr_picker_wake_held(udr_picker_t *picker);

/* A status of `failonstatus`? */
bool udr_picker_fails_on(const udr_picker_t *picker, int status);

#endif
