/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a Unix socket (SO_PEERCRED), and who may be. Users and groups by name or id.
 * Layer: bottom. Used by the acceptor, by listeners and by the program's options. */
#ifndef UDSB_PEER_H
#define UDSB_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct {
    pid_t pid; /* of who called connect(2), or listen(2) at the other end; 0: in another pid namespace */
    uid_t uid;
    gid_t gid;
} udsb_peer_t;

/* The users that may connect; all when there are none. */
typedef struct {
    uid_t *users;
    size_t count;
} udsb_peer_list_t;

/* True and *peer for a connected socket; false: errno says why. */
bool udsb_peer_of(udsb_peer_t *peer, int descriptor);

/* Writes "process 123 (name) of user www-data (33)"; what is not known is left out. */
void udsb_peer_describe(const udsb_peer_t *peer, char *text, size_t size);

/* A user or group, by name or else by number. False: there is none (a number is always one). Blocks on the user
 * database. */
bool udsb_peer_find_user(uid_t *result, const char *text);
bool udsb_peer_find_group(gid_t *result, const char *text);

/* False: out of memory. */
bool udsb_peer_list_add(udsb_peer_list_t *list, uid_t user);
bool udsb_peer_list_allows(const udsb_peer_list_t *list, uid_t user);
void udsb_peer_list_clear(udsb_peer_list_t *list);

#endif
