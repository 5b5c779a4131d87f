/* SPDX-License-Identifier: Apache-2.0 */
/* Tells at once when the file of a socket appears or goes (inotify(7)), also when its directory goes and is made anew.
 * Layer: core. One for a loop or a thread, made in the child that uses it; all functions are for that thread. */
#ifndef UDR_DIRWATCH_H
#define UDR_DIRWATCH_H

#include "mod_udsroute/udr_address.h"

#include <apr_errno.h>

typedef struct udr_dirwatch_t udr_dirwatch_t;

/* What can be said of a socket's file now. */
typedef enum udr_sighting_t {
    UDR_SIGHTING_THERE, /* it has appeared, was replaced, or it or its directory has another mode: worth a connect */
    UDR_SIGHTING_GONE,  /* there is none */
    UDR_SIGHTING_BLIND  /* its directory can't be watched any more: look with stat(2), until it is seen again */
} udr_sighting_t;

/* Who wants to know of one socket; in the memory of whoever it belongs to, from udr_dirwatch_add() to
 * udr_dirwatch_remove(), or to the end of the dirwatch. All zero but the first two. */
typedef struct udr_watcher_t {
    void (*seen)(struct udr_watcher_t *watcher, udr_sighting_t sighting);
    void *baton; /* its owner's */
    /* The dirwatch's. */
    const udr_address_t *address;
    const char *name;                  /* of the file in its directory; in address */
    struct udr_directory_t *directory; /* NULL: not watched */
    struct udr_watcher_t *next;        /* in the same directory */
    struct udr_watcher_t *pending;     /* the next that has to be told */
    bool is_pending;
} udr_watcher_t;

/* From p, which destroys it. APR_ENOTIMPL: no inotify here. EMFILE: the user has too many instances
 * (fs.inotify.max_user_instances, one a dirwatch). Without one the caller looks with stat(2). */
apr_status_t udr_dirwatch_create(udr_dirwatch_t **dirwatch, apr_pool_t *p);

/* To be watched for reading, edge-triggered or not; then udr_dirwatch_read(). */
int udr_dirwatch_fd(const udr_dirwatch_t *dirwatch);

/* Watches for the file of address, or, if that is a pattern, for all files that match: `seen` then tells that some of
 * them may have come or gone, and never that there is none (UDR_SIGHTING_THERE: the directory is seen). The address
 * lives as long as the watcher. What is the case already isn't told: look, after this. APR_ENOTIMPL: an abstract name
 * has no file. ENOSPC (fs.inotify.max_user_watches), EACCES (watching a directory takes the right to read it) or
 * another errno: not watched, look with stat(2). From within `seen`, too.
 *
 * Watched are the directory and those above it, up to the root, as far as they exist and can be read; directories that
 * several sockets share are watched once. So a directory may be removed, renamed and made again, at any level, and the
 * socket in it is seen when it is there. A symbolic link on the way is followed when the watch is set. That a link
 * leads elsewhere from now on is noticed; what is above the directory that it leads to is not watched. If the socket's
 * own name is a link, it is the link that is watched. What is mounted over a directory is not noticed. */
apr_status_t udr_dirwatch_add(udr_dirwatch_t *dirwatch, udr_watcher_t *watcher, const udr_address_t *address);

/* No call of `seen` any more. Harmless when it is not watched. From within `seen`, too. */
void udr_dirwatch_remove(udr_dirwatch_t *dirwatch, udr_watcher_t *watcher);

/* Reads all that has happened, and then tells those concerned, each once: what is the case after all of it. What
 * happens meanwhile makes the descriptor readable anew. Never blocks. May tell of what has not changed, never leaves
 * out what has (events that the kernel lost included). */
void udr_dirwatch_read(udr_dirwatch_t *dirwatch);

#endif
