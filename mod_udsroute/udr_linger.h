/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that are closed for writing and wait, on a loop, for the client to close: what it still sends is thrown away.
 * Closed with bytes unread, or before the last have come, a socket is reset, and the answer that is on its way to the
 * client with it.
 * Layer: core. Created with a child's loops; used by whoever ends a connection. */
#ifndef UDR_LINGER_H
#define UDR_LINGER_H

#include "mod_udsroute/udr_loop.h"

/* So many at the most are there on a loop: they are nobody's connections any more, so nothing else keeps clients that
 * never close from taking all descriptors of the process. Those that are lent count for whoever has lent them. */
#define UDR_LINGER_MAX 512

typedef struct udr_linger_t udr_linger_t;

/* On that loop; from p, which closes what is left. The loop's thread must have ended by then. most: 1 to
 * UDR_LINGER_MAX, how many may be there that are not lent. */
udr_linger_t *udr_linger_create(udr_loop_t *loop, unsigned int most, apr_pool_t *p);

/* Any thread, unless the loop stops. The descriptor is closed when the client has closed, after `limit` at the latest.
 * APR_ENOSPC, APR_ENOMEM: it is still the caller's. */
apr_status_t udr_linger_add(udr_linger_t *linger, int fd, apr_interval_time_t limit);

/* On the loop's thread: waits for the client likewise, and calls `done` there when it would close the descriptor, which
 * stays its owner's (not once the loop has ended). Not watched by anybody else meanwhile. APR_ENOMEM: it is not. */
apr_status_t udr_linger_lend(udr_linger_t *linger, int fd, apr_interval_time_t limit, void (*done)(void *baton),
                             void *baton);

/* How many are there but for those that are lent. Any thread. */
unsigned int udr_linger_count(const udr_linger_t *linger);

/* On the loop's thread, once nothing is added any more: calls `done` when no socket is left, after `limit` at the
 * latest. */
void udr_linger_await_end(udr_linger_t *linger, apr_interval_time_t limit, void (*done)(void *baton), void *baton);

#endif
