/* SPDX-License-Identifier: Apache-2.0 */
/* A socket file in a directory of its own, and what tests of connections do around it: listen, accept, fill the
 * backlog, replace the file, count descriptors. Failures end the test that runs. */
#ifndef FIXTURE_SOCKET_H
#define FIXTURE_SOCKET_H

#include "mod_udsroute/udr_connection.h"

#include <apr_pools.h>

/* More than a backlog of 0 or 1 holds. */
#define PLACE_CROWD 8

typedef struct place_t {
    apr_pool_t *pool;
    const char *directory;
    const char *path;
    const udr_address_t *address;
    int listener;           /* -1: nobody listens */
    int crowd[PLACE_CROWD]; /* connections that fill the backlog */
    int crowd_count;
    int descriptors; /* open when the place was made */
} place_t;

/* Makes the directory; the socket does not exist yet. From p. Returns false when that fails (it runs in set-ups). */
bool place_make(place_t *place, apr_pool_t *p);

/* Removes all of it. Returns false, and says so, when the directory holds more than the socket, or when descriptors are
 * open that were not before. */
bool place_drop(place_t *place);

const udr_address_t *place_address(const place_t *place, const char *text);

/* Binds a new socket file (in place of an old one) and listens on it. */
void place_listen(place_t *place, int backlog);

/* Closes the listener and leaves its file behind. */
void place_abandon(place_t *place);

/* Accepts one connection, non-blocking from then on. */
int place_accept(const place_t *place);

/* Whether a connection waits to be accepted. */
bool place_is_wanted(const place_t *place);

/* Connects until the backlog takes no more. */
void place_crowd_backlog(place_t *place);

/* Accepts one connection of the crowd and closes it: there is room for one more. */
void place_make_room(const place_t *place);

/* Closes the crowd's connections, accepted or not. */
void place_disperse(place_t *place);

/* A connection of the kind under test, connected. */
udr_connection_t *place_connect(const place_t *place);

/* Who listens, as the log names it: this process. */
const char *place_describe_peer(const place_t *place);

int count_descriptors(void);

#endif
