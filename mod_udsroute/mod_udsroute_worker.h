/* SPDX-License-Identifier: Apache-2.0 */
/* The runner that waits in the MPM's worker thread: poll(2) at each wait point of an exchange.
 * Layer: glue. Used by the handler. */
#ifndef MOD_UDSROUTE_WORKER_H
#define MOD_UDSROUTE_WORKER_H

#include "mod_udsroute/mod_udsroute_client.h"

/* What a worker thread keeps for its exchanges: the scratch, and a descriptor to be woken by. */
typedef struct udr_worker_t udr_worker_t;

/* Once in each child, before any request. */
apr_status_t udr_worker_child_init(apr_pool_t *pchild);

/* This thread's; made on first use, freed when the thread ends. NULL: out of memory or descriptors. */
udr_worker_t *udr_worker_get(void);

/* For udr_exchange_plan_t: wakes the worker that is the waiter's baton. */
void udr_worker_wake(udr_waiter_t *waiter);

/* Runs client->exchange to its end in this thread. */
void udr_worker_run(udr_worker_t *worker, udr_client_t *client);

#endif
