/* SPDX-License-Identifier: Apache-2.0 */
/* What may be on a loop and what may not: which requests may park, and which handlers and filters may block.
 * Layer: glue. Asked by the handler, and as a hook before all other handlers. */
#ifndef MOD_UDSROUTE_PARKING_H
#define MOD_UDSROUTE_PARKING_H

#include "mod_udsroute/mod_udsroute.h"

/* May this connection, of which a worker thread has hold, go to a loop? */
bool udr_parking_is_open_to(conn_rec *c);

/* May this request, in the handler on a worker thread, go to a loop if it has to wait? */
bool udr_parking_is_possible(request_rec *r);

/* Is the connection to live on a loop from now on, whether this request waits or not: it is to stay, and has been
 * routed before or would find no idle thread for its next request? */
bool udr_parking_is_earned(request_rec *r);

/* A worker has served a routed request of this connection: is it to wait for the next one on a loop? The MPM, whose it
 * is so far, closes what it keeps whenever all its threads are busy, be it for a moment and with whatever. But a
 * connection that is not routed again is cheaper there: of those that have had one routed request only so many are
 * tried that the loops do not spend much on them in vain. */
bool udr_parking_is_open_between(conn_rec *c);

/* It has been routed again. */
void udr_parking_pays(conn_rec *c);

/* How long the worker of a request that has not earned the loop waits before the loop takes it: UDSPark, or more where
 * that is cheaper and takes no thread from anybody. */
apr_interval_time_t udr_parking_patience(request_rec *r);

/* Hook handler, before all others: on the loop's thread a handler that is not ours goes to a worker. */
int udr_parking_guard(request_rec *r);

#endif
