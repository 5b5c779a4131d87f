/* SPDX-License-Identifier: Apache-2.0 */
/* Follows a path to a socket as the kernel would, component by component, and stops at the first that is at fault: what
 * `namei -l` shows, judged for the user this process runs as.
 * Layer: core. Used by the diagnosis. */
#ifndef UDR_WALK_H
#define UDR_WALK_H

#include <apr_pools.h>

#include <sys/stat.h>

typedef enum udr_finding_t {
    UDR_FINDING_NONE, /* the path leads to a socket that this process may connect to */
    UDR_FINDING_NO_DIRECTORY,
    UDR_FINDING_NO_SOCKET,
    UDR_FINDING_NOT_A_DIRECTORY,
    UDR_FINDING_NOT_SEARCHABLE,
    UDR_FINDING_NOT_A_SOCKET,
    UDR_FINDING_NOT_WRITABLE, /* connect(2) needs write permission on the socket */
    UDR_FINDING_LOOP,         /* more links than the kernel follows */
    UDR_FINDING_UNREADABLE    /* lstat(2) or readlink(2) failed in another way */
} udr_finding_t;

/* Where a walk has come to. */
typedef struct udr_walk_t {
    const char *path; /* of the component looked at last, links resolved; "/" for the root */
    const char *link; /* " (by way of the symbolic link A to B)": the last one, for sentences; "" if there was none */
    struct stat info; /* of path, where it exists */
    int error;        /* errno, after NO_DIRECTORY, NO_SOCKET and UNREADABLE */
} udr_walk_t;

/* Walks. path: absolute. The result and what it points to come from p. Makes a few system calls a component, takes no
 * lock; any thread. What it finds is true at the time of the call only. */
udr_finding_t udr_walk(udr_walk_t *walk, const char *path, apr_pool_t *p);

#endif
