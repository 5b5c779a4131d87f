/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in flight on a member, exact over all children, and `maxconn`: who comes too late waits for its turn, first
 * come first served whichever child it is in, and one turn wakes one. Layer: core. Used by the balancer from any thread
 * of a child; udr_row repairs it after a child's death. How the count stays true then is told in udr_queue.c. */
#ifndef UDR_QUEUE_H
#define UDR_QUEUE_H

#include "mod_udsroute/udr_shared.h"

/* A child's side of all queues: who waits here. */
typedef struct udr_queue_t udr_queue_t;

/* Somebody who waits for a turn. The caller's memory, all zero but for the first two; used by one thread at a time. */
typedef struct udr_queue_waiter_t {
    void (*wake)(struct udr_queue_waiter_t *waiter); /* called once by the thread in udr_queue_wake(), with the queue's
                                                        mutex held: only signal, never call the queue. May be NULL */
    void *baton;                                     /* wake's */
    apr_uint32_t slot;                               /* the queue's, as all that follows */
    apr_uint32_t ticket;                             /* 1 + the ticket; 0: doesn't wait */
    bool is_listed;                                  /* needs the queue's mutex, as the next two */
    struct udr_queue_waiter_t *previous;
    struct udr_queue_waiter_t *next;
} udr_queue_waiter_t;

/* For a child that has claimed row, from its pool. errno when there is no mutex or descriptor to be had. */
apr_status_t udr_queue_create(udr_queue_t **queue, udr_shared_t *shared, apr_uint32_t row, apr_pool_t *p);

/* One request more on the member. APR_SUCCESS: it counts, until udr_queue_done(). APR_EAGAIN: `maxconn` is reached, or
 * others wait already; the waiter is queued, and woken when its turn has come: then call udr_queue_granted(), or give
 * up by udr_queue_leave(). APR_ENOSPC: the child has no ticket left; neither counted nor queued. */
apr_status_t udr_queue_enter(udr_queue_t *queue, apr_uint32_t slot, udr_queue_waiter_t *waiter);

/* True: the turn has come and is the caller's, who waits no longer and ends it by udr_queue_done(). False: not yet, or
 * it doesn't wait at all. Any time, woken or not. */
bool udr_queue_granted(udr_queue_t *queue, udr_queue_waiter_t *waiter);

/* Stops waiting; a turn that has come meanwhile goes to the next. Harmless when it doesn't wait. */
void udr_queue_leave(udr_queue_t *queue, udr_queue_waiter_t *waiter);

/* Who is to be woken changes. The former one may have been woken already: look by udr_queue_granted() afterwards. */
void udr_queue_readdress(udr_queue_t *queue, udr_queue_waiter_t *waiter, void (*wake)(udr_queue_waiter_t *waiter),
                         void *baton);

/* One request less; the longest waiting ones get their turns, as far as the limit allows. */
void udr_queue_done(udr_queue_t *queue, apr_uint32_t slot);

/* Readable when there may be somebody for udr_queue_wake(). */
int udr_queue_descriptor(const udr_queue_t *queue);

/* After the queue's descriptor has become readable, or at any other time: clears it and wakes
 * those of this child whose turn has come, longest waiting first. One thread at a time. Returns how many. */
int udr_queue_wake(udr_queue_t *queue);

/* `maxconn` of a member, 0: none. Any process, the parent with its new configuration in the first place: it holds for
 * all generations from now on. More of those who wait get their turns when it is raised. */
void udr_queue_set_limit(udr_shared_t *shared, apr_uint32_t slot, apr_uint32_t limit);

/* --- for udr_row; any process, one at a time --- */

/* A dead row's tickets wait no longer, what one has left who died with a slot's mutex is mended, and the slots to be
 * recounted are marked (udr_hot_t.needs_recount). */
void udr_queue_discard(udr_shared_t *shared, apr_uint32_t row);

/* Sets the number in flight to what the living contribute, and clears the dead rows' cells and the mark. The turns that
 * come free are handed out by udr_queue_nudge(). False: it could not be seen, as somebody was in the middle of
 * counting; try again. */
bool udr_queue_recount(udr_shared_t *shared, apr_uint32_t slot);

/* Nothing of this row is in flight or waits. */
bool udr_queue_is_empty(udr_shared_t *shared, apr_uint32_t row);

/* Hands out turns that have come free after a recount, or that one who died, or stands still, did not hand on. */
void udr_queue_nudge(udr_shared_t *shared, apr_uint32_t slot);

#endif
