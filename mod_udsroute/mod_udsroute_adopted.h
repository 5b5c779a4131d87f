/* SPDX-License-Identifier: Apache-2.0 */
/* An adopted connection: a client's connection that has left the MPM for a loop of ours, and what becomes of it there
 * (DESIGN, "Loops"). Layer: glue. Made by the handler, handed over in the suspend_connection hook, the loop's
 * afterwards. */
#ifndef MOD_UDSROUTE_ADOPTED_H
#define MOD_UDSROUTE_ADOPTED_H

#include "mod_udsroute/mod_udsroute_client.h"
#include "mod_udsroute/mod_udsroute_loops.h"

/* Whose a connection is. At any time exactly one thread may touch it: */
typedef enum udr_owner_t {
    UDR_OWNER_WORKER,  /* the MPM's worker thread, within its process_connection hooks */
    UDR_OWNER_LEAVING, /* the same, from the handler's SUSPENDED to the suspend_connection hook */
    UDR_OWNER_COMING,  /* nobody: in the queue to the loop (or in that of the loop to itself) */
    UDR_OWNER_LOOP,    /* the loop's thread */
    UDR_OWNER_GOING,   /* nobody: in the MPM's queue to a worker */
    UDR_OWNER_GUEST,   /* a worker thread, within our callback */
    UDR_OWNER_GONE,    /* the loop's thread, on the way to be freed */
    UDR_OWNERS
} udr_owner_t;

typedef struct udr_adopted_t udr_adopted_t;

/* Whether the table of owners has an edge from one to the other; for tests. */
bool udr_adopted_has_edge(udr_owner_t from, udr_owner_t to);

/* May this request, in the handler on a worker thread, go to a loop if it has to wait? */
bool udr_adopted_may_park(request_rec *r);

/* Is it worth to do so without having waited: the connection is to stay and has been routed before? */
bool udr_adopted_has_earned(request_rec *r);

/* The exchange waits, in the handler: it is to go on on a loop. The handler returns SUSPENDED. On a worker thread or on
 * the loop. */
void udr_adopted_park(udr_client_t *client);

/* On the loop's thread: what the handler would do now may block (an error page, a dear filter): a worker shall run the
 * handler, or its end when client is not NULL. The handler returns SUSPENDED. */
void udr_adopted_send_to_worker(request_rec *r, udr_client_t *client);

/* On the loop's thread: what an exchange for a request of an adopted connection is to be planned with. */
void udr_adopted_plan(const request_rec *r, udr_exchange_plan_t *plan);

/* Hook handler, before all others: on the loop's thread a handler that is not ours goes to a worker. */
int udr_adopted_guard(request_rec *r);

/* Hook suspend_connection: hands over. */
void udr_adopted_suspend(conn_rec *c, request_rec *r);

/* Closes connections that wait for a request. On the loop's thread. */
void udr_adopted_close_idle(udr_home_t *home);

#endif
