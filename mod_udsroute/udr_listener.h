/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel tells of the socket that is bound to an address: does it listen, of which type is it, how long is its
 * queue? Layer: core. Used by the diagnosis and the status. Only sockets of this network namespace are told of. */
#ifndef UDR_LISTENER_H
#define UDR_LISTENER_H

#include "mod_udsroute/udr_address.h"

typedef struct udr_listener_t {
    bool bound;     /* a socket bears the name and is not connected */
    bool listening; /* it has called listen(2) */
    int type;       /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET; 0 if none is bound */
} udr_listener_t;

/* Of a listening socket. */
typedef struct udr_backlog_t {
    bool known;       /* false: nobody listens, or the process may not ask */
    unsigned current; /* connections that wait to be accepted */
    unsigned
        maximum; /* what listen(2) was given, capped by net.core.somaxconn; connect(2) waits when current is over it */
} udr_backlog_t;

/* Looks for the very name in /proc/net/unix, whether or not its file is visible to this process. Reads the whole table:
 * for failures, not for each request. */
udr_listener_t udr_listener_find(const udr_address_t *address, apr_pool_t *p);

/* Asks sock_diag(7). A path is looked up by the file it leads to. */
udr_backlog_t udr_listener_backlog(const udr_address_t *address);

/* The same for several at once, which costs the kernel as much as one: it tells of all listeners of the machine.
 * backlogs: in the order of the addresses. p: for what it takes meanwhile. */
void udr_listener_backlogs(const udr_address_t *const *addresses, udr_backlog_t *backlogs, apr_size_t count,
                           apr_pool_t *p);

#endif
