/* SPDX-License-Identifier: Apache-2.0 */
/* The runner that waits in the MPM's worker thread: poll(2) at each wait point of an exchange.
 * Layer: glue. Used by the handler. */
#ifndef MOD_UDSROUTE_WORKER_H
#define MOD_UDSROUTE_WORKER_H

#include "mod_udsroute/mod_udsroute_client.h"

/* What an exchange needs of the thread that runs it: a scratch, and a descriptor to be woken by. */
typedef struct udr_worker_t udr_worker_t;

/* Once in each child, before any request. */
apr_status_t udr_worker_child_init(apr_pool_t *pchild);

/* Lends one to an exchange: this thread's own, which is kept for the next; but a subrequest that an output filter makes
 * (mod_include) runs within the outer exchange, whose bytes are in that one's scratch: it gets another. NULL: out of
 * memory or descriptors. */
udr_worker_t *udr_worker_borrow(void);

/* Takes it back, on the same thread. */
void udr_worker_return(udr_worker_t *worker);

/* How many tunnels threads of this child run at present. Any thread. */
unsigned int udr_worker_tunnels(void);

/* On a worker thread: it begins to do something for a connection, whatever that asks for, and has done so. */
void udr_worker_begin(void);
void udr_worker_end(void);

/* Have nearly all threads of this child been busy at some moment of the last seconds? now: udr_clock_now(). */
bool udr_worker_were_scarce(apr_time_t now);

/* More than so many eighths of the child's threads are lent: the more, the sooner whoever can wait elsewhere should. (A
 * child without an idle thread closes the connections that are between two requests.) */
bool udr_worker_are_busy(unsigned int eighths);

/* For udr_exchange_plan_t: wakes the worker that is the waiter's baton. */
void udr_worker_wake(udr_waiter_t *waiter);
void udr_worker_wake_queued(udr_queue_waiter_t *waiter);

/* Runs client->exchange in this thread: to its end (true), or until it has waited for so long and waits still (false).
 * ready: for the first run, see udr_exchange_run(). limit: under 0: without limit. */
bool udr_worker_run(udr_worker_t *worker, udr_client_t *client, unsigned int ready, apr_interval_time_t limit);

#endif
