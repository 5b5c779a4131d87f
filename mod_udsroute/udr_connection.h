/* SPDX-License-Identifier: Apache-2.0 */
/* One stream socket to a member: made, connected, used and closed without ever blocking.
 * Layer: core. Owned by the pool while idle and by one exchange while busy; no locking of its own. */
#ifndef UDR_CONNECTION_H
#define UDR_CONNECTION_H

#include "mod_udsroute/udr_address.h"
#include "mod_udsroute/udr_loop.h"
#include "mod_udsroute/udr_settings.h"

#include <sys/uio.h>

/* Which socket file a connection was made to. A replaced file has another; an abstract name always {0, 0}. */
typedef struct udr_socket_file_t {
    dev_t device;
    ino_t inode;
} udr_socket_file_t;

typedef struct udr_connection_t {
    int fd;             /* O_NONBLOCK, FD_CLOEXEC */
    bool file_is_known; /* the file was the same before and after connect(2) */
    udr_socket_file_t file;
    unsigned int requests;         /* begun on it; over 1: reused */
    uint32_t heard;                /* of the watch's events, when it became idle */
    apr_time_t idle_since;         /* the pool's */
    struct udr_connection_t *next; /* the pool's */
    udr_loop_t *loop;              /* that watches it; NULL: none */
    udr_watch_t *watch; /* that loop's; its baton is whoever uses the connection now, NULL while it is idle */
} udr_connection_t;

/* Makes an unconnected socket. Returns an errno of socket(2) (EMFILE, ENFILE, ENOMEM …) on failure. From the heap;
 * udr_connection_close() frees it. */
apr_status_t udr_connection_create(udr_connection_t **connection);

/* connect(2), once. APR_SUCCESS: connected. EAGAIN: the listen backlog is full; no poll(2) tells when there is room, so
 * the caller waits for a while and calls again (an AF_UNIX connect is never EINPROGRESS). Any other errno is final. */
apr_status_t udr_connection_connect(udr_connection_t *connection, const udr_address_t *address);

/* The same for a connection that is used once: which file it leads to is not found out. */
apr_status_t udr_connection_reach(udr_connection_t *connection, const udr_address_t *address);

/* Is the process that called listen(2) at the other end the one that `peer` asks for (unix(7), SO_PEERCRED)? If not,
 * *who says who it is, from p. */
bool udr_connection_check_peer(const udr_connection_t *connection, const udr_peer_t *peer, const char **who,
                               apr_pool_t *p);

/* The member has closed an idle connection, or sent something nobody asked for. One recv(2) with MSG_PEEK. */
bool udr_connection_is_stale(const udr_connection_t *connection);

/* It becomes idle: whatever is heard of it from now on makes it suspect. On the thread of the loop that watches it, or
 * nobody watches it. */
void udr_connection_rest(udr_connection_t *connection);

/* On the thread of the loop that watches it: nothing has been heard of it since udr_connection_rest(). What has come
 * since the loop last asked the kernel is not known. false also when nobody watches it. */
bool udr_connection_is_quiet(const udr_connection_t *connection);

/* Sends what the socket takes now; *sent counts it. EAGAIN: nothing now. EPIPE and ECONNRESET: the member has closed.
 * No SIGPIPE. */
apr_status_t udr_connection_send(udr_connection_t *connection, const struct iovec *parts, int count, apr_size_t *sent);

/* Reads what is there. EAGAIN: nothing now. APR_EOF: closed in order. */
apr_status_t udr_connection_receive(udr_connection_t *connection, char *buffer, apr_size_t size, apr_size_t *received);

/* Has the loop watch it from now on, idle or busy; ready gets the events. On the loop's thread. */
apr_status_t udr_connection_watch(udr_connection_t *connection, udr_loop_t *loop,
                                  void (*ready)(udr_watch_t *watch, uint32_t events));

/* No longer so. On the loop's thread, or after its end. Harmless when nobody watches. */
void udr_connection_unwatch(udr_connection_t *connection);

/* The same on any thread, for an idle connection, which nobody else can take. */
void udr_connection_take_away(udr_connection_t *connection);

/* Which file is at address now. false: none (or unreadable). */
bool udr_socket_file_get(udr_socket_file_t *file, const udr_address_t *address);

/* As udr_connection_unwatch() where a loop watches it. */
void udr_connection_close(udr_connection_t *connection);

#endif
