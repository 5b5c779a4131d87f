/* SPDX-License-Identifier: Apache-2.0 */
/* Why a socket can't be reached, in words that name the component at fault and the remedy.
 * Layer: core. Used by the glue when it logs a failure; runs as the user httpd runs as; makes system calls (lstat(2),
 * access(2), open of /proc), so never on the path of a request that goes well. */
#ifndef UDR_DIAGNOSIS_H
#define UDR_DIAGNOSIS_H

#include "mod_udsroute/udr_address.h"

typedef enum udr_fault_t {
    UDR_FAULT_PERMISSION, /* EACCES, EPERM: the operator's */
    UDR_FAULT_ABSENT,     /* ENOENT, ENOTDIR: no such file */
    UDR_FAULT_STALE,      /* ECONNREFUSED: a file, nobody listening */
    UDR_FAULT_BUSY,       /* EAGAIN: the listen backlog is full */
    UDR_FAULT_OTHER       /* anything else: EPROTOTYPE (not a stream socket), ENOTSOCK, EMFILE … */
} udr_fault_t;

/* Which kind of failure an errno of connect(2) is. */
udr_fault_t udr_fault_of(int error);

/* Explains. error: errno of connect(2) or socket(2). Returns a sentence or two from p, without a line feed, such as
 *   permission: "directory /run/app (owner root:app, mode 0750) may not be searched by user www-data (33): …"
 *   no file:    "directory /run/app does not exist: …", "/run/app/a.sock does not exist: is the backend started …"
 *   stale:      "/run/app/a.sock is there, but nothing listens on it: a file left behind …; start the backend …"
 *   no socket:  "/run/app/a.sock is a regular file, no socket: …"
 *   busy:       "the listen backlog of … is full (current 5, maximum 4): …", the figures where sock_diag(7) tells
 *   abstract:   "nothing listens under the abstract name … in this network namespace: …"
 * The first component at fault is named, as namei -l would show it. What is found may be newer than the error; the
 * sentence says so where the two differ. */
const char *udr_diagnosis_explain(const udr_address_t *address, int error, apr_pool_t *p);

#endif
