/* SPDX-License-Identifier: Apache-2.0 */
/* An adopted connection: a client's connection that has left the MPM for a loop of ours, and what becomes of it there
 * (DESIGN, "Loops"). Layer: glue. Made by the handler, handed over in the suspend_connection hook, the loop's
 * afterwards. */
#ifndef MOD_UDSROUTE_ADOPTED_H
#define MOD_UDSROUTE_ADOPTED_H

#include "mod_udsroute/mod_udsroute_client.h"
#include "mod_udsroute/mod_udsroute_loops.h"

typedef struct udr_adopted_t udr_adopted_t;

/* The exchange waits, in the handler: it is to go on on a loop. The handler returns SUSPENDED. On a worker thread or on
 * the loop. */
void udr_adopted_park(udr_client_t *client);

/* On a worker thread, in the process_connection hook: a request to this server has been served, there is no other yet,
 * and the connection waits for it on a loop from now on. It must be the MPM's so far. */
void udr_adopted_keep(conn_rec *c, const server_rec *s);

/* On the loop's thread: what the handler would do now may block (an error page, a dear filter): a worker shall run the
 * handler, or its end when client is not NULL. The handler returns SUSPENDED. */
void udr_adopted_send_to_worker(request_rec *r, udr_client_t *client);

/* On the loop's thread: what an exchange for a request of an adopted connection is to be planned with. Returns the
 * time. */
apr_time_t udr_adopted_plan(const request_rec *r, udr_balancer_t *balancer, udr_exchange_plan_t *plan);

/* Hook suspend_connection: hands over. */
void udr_adopted_suspend(conn_rec *c, request_rec *r);

/* Ends all tunnels. On the loop's thread. */
void udr_adopted_end_tunnels(udr_home_t *home);

/* Closes connections that wait for a request. On the loop's thread. */
void udr_adopted_close_idle(udr_home_t *home);

/* The child ends at once: no worker is to wait for a client any more. On the loop's thread. */
void udr_adopted_free_workers(udr_home_t *home);

#endif
