/* SPDX-License-Identifier: Apache-2.0 */
/* A child's connections to one member: idle ones, newest first, and a queue of those who wait under `max`. Idle
 * connections lie in lanes: those that a loop watches in the lane of that loop, the others in lane 0. Whoever looks for
 * one takes it from the own lane first; from another loop's it is taken away from that loop, which costs a system call
 * and is cheaper than to connect. Layer: core. Used by the exchange from any thread, and tidied by the child; one mutex
 * inside. */
#ifndef UDR_POOL_H
#define UDR_POOL_H

#include "mod_udsroute/udr_connection.h"
#include "mod_udsroute/udr_member.h"
#include "mod_udsroute/udr_yield.h"

/* Somebody who waits for a turn. The caller's memory; the pool links it while it waits. */
typedef struct udr_waiter_t {
    void (*wake)(struct udr_waiter_t *waiter); /* called by the thread that gives up a turn, with the pool's mutex held:
                                                  only signal (an eventfd, say), never call the pool. May be NULL */
    void *baton;                               /* wake's */
    struct udr_waiter_t *next;                 /* needs the pool's mutex */
    bool queued;                               /* needs the pool's mutex */
    bool granted;                              /* needs the pool's mutex: the turn is the waiter's */
} udr_waiter_t;

/* What a pool holds now; for tests and the status. */
typedef struct udr_pool_counts_t {
    int idle;
    int busy; /* turns taken: connections in use or being made */
    int waiting;
} udr_pool_counts_t;

/* A pool for member, whose settings are complete. lanes: 1 and one for each loop. p: as long as the child lives; its
 * cleanup closes what is idle. */
apr_status_t udr_pool_create(udr_pool_t **pool, const udr_member_t *member, int lanes, apr_pool_t *p);

/* Where each connection takes a process of the member's (udr_protocol_t.is_exclusive): from now on the pool gives idle
 * ones up for requests that wait for a process, in this child or another; `min` or not, those first that have been idle
 * longest, whichever lane they are in. Once the member has its slot, and before the pool is used. */
void udr_pool_share(udr_pool_t *pool, udr_yield_t *yield);

/* To whom the pool gives up connections; NULL: it doesn't. */
udr_yield_t *udr_pool_yield(const udr_pool_t *pool);

/* Takes a turn. APR_SUCCESS: the turn is the caller's, who gives it back by udr_pool_give(). APR_EAGAIN: `max` turns
 * are taken; the waiter is queued, first come first served, and woken when its turn has come (then call again with it),
 * or the caller gives up by udr_pool_leave(). */
apr_status_t udr_pool_take(udr_pool_t *pool, udr_waiter_t *waiter);

/* Who is to be woken changes (the waiting goes from a worker to a loop). */
void udr_pool_readdress(udr_pool_t *pool, udr_waiter_t *waiter, void (*wake)(udr_waiter_t *waiter), void *baton);

/* Stops waiting; a turn granted meanwhile goes to the next. Harmless when not queued. */
void udr_pool_leave(udr_pool_t *pool, udr_waiter_t *waiter);

/* With a turn: an idle connection that is still good and goes to the socket file that is there now (as of the last
 * millisecond), or NULL (then make one). Those found stale on the way are closed. lane: of the calling thread; the
 * connection is unwatched, or watched by that lane's loop. is_replayable: the request may be sent again should the
 * connection be closed just now; then the kernel need not be asked about one that the loop has heard nothing of. If
 * not, one that has answered for the first time within the last 10 ms is left alone (closed, under `max`) as long as
 * the member has not been seen to keep any: it may close behind its answer. */
udr_connection_t *udr_pool_idle(udr_pool_t *pool, int lane, bool is_replayable, apr_time_t now);

/* Gives a turn back. connection: to be kept for others (the caller has found it clean), or NULL; watched by the calling
 * thread's own loop or by none. It is closed where a request waits for its process. */
void udr_pool_give(udr_pool_t *pool, udr_connection_t *connection, int lane);

/* Closes idle connections that are over `smax` and older than `ttl` (never going below `min`), and stale ones; and of
 * those that were given up what is left of them. Returns the number closed. */
int udr_pool_tidy(udr_pool_t *pool, int lane, apr_time_t now);

/* Closes the idle connections, of all lanes, that do not go to the socket file that is there now. Any thread. Returns
 * the number closed. */
int udr_pool_close_outdated(udr_pool_t *pool);

/* Closes all idle connections, of all lanes: nobody uses the member any more. Any thread. Returns the number closed. */
int udr_pool_empty(udr_pool_t *pool);

void udr_pool_count(udr_pool_t *pool, udr_pool_counts_t *counts);

#endif
