/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the other end of a connection has been accepted. connect(2) on AF_UNIX succeeds as soon as there is room in
 * the listen backlog, and nothing that is written or polled tells when somebody takes it out of there. The kernel says
 * so to those who ask (sock_diag(7)), in a few microseconds. Layer: core. Used by udr_hunger. */
#ifndef UDR_ACCEPTANCE_H
#define UDR_ACCEPTANCE_H

typedef enum udr_acceptance_t {
    UDR_ACCEPTANCE_UNKNOWN, /* the kernel can't be asked: no Linux, no unix_diag, or RestrictAddressFamilies= without
                               AF_NETLINK */
    UDR_ACCEPTANCE_WAITS,   /* in the backlog */
    UDR_ACCEPTANCE_GIVEN    /* by whoever listens, once */
} udr_acceptance_t;

/* fd: of a connected AF_UNIX socket whose other end is open. */
udr_acceptance_t udr_acceptance_find(int fd);

#endif
