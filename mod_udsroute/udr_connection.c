/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "mod_udsroute/udr_connection.h"

#include <apr_errno.h>
#include <apr_strings.h>
#include <apr_user.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

apr_status_t udr_connection_create(udr_connection_t **connection)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return errno;
    }
    udr_connection_t *made = calloc(1, sizeof *made);
    if (!made) {
        close(fd);
        return APR_ENOMEM;
    }
    made->fd = fd;
    *connection = made;
    return APR_SUCCESS;
}

bool udr_socket_file_get(udr_socket_file_t *file, const udr_address_t *address)
{
    struct stat status;
    if (address->kind != UDR_ADDRESS_PATH) {
        *file = (udr_socket_file_t){0, 0};
        return true;
    }
    if (stat(address->name, &status) != 0) {
        return false;
    }
    *file = (udr_socket_file_t){status.st_dev, status.st_ino};
    return true;
}

apr_status_t udr_connection_reach(udr_connection_t *connection, const udr_address_t *address)
{
    struct sockaddr_un sa;
    socklen_t len = udr_address_sockaddr(address, &sa);
    int rc;
    do {
        rc = connect(connection->fd, (const struct sockaddr *)&sa, len);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? errno : APR_SUCCESS;
}

apr_status_t udr_connection_connect(udr_connection_t *connection, const udr_address_t *address)
{
    udr_socket_file_t before, after;
    bool known = udr_socket_file_get(&before, address);
    apr_status_t rv = udr_connection_reach(connection, address);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* connect(2) does not say which file it went to: one that changed meanwhile may be either. */
    connection->file_is_known =
        known && udr_socket_file_get(&after, address) && before.device == after.device && before.inode == after.inode;
    connection->file = before;
    return APR_SUCCESS;
}

#if HAVE_DECL_SO_PEERCRED
static const char *user_name(uid_t user, apr_pool_t *p)
{
    char *name;
    return apr_uid_name_get(&name, user, p) == APR_SUCCESS ? name : "?";
}

static const char *group_name(gid_t group, apr_pool_t *p)
{
    char *name;
    return apr_gid_name_get(&name, group, p) == APR_SUCCESS ? name : "?";
}

bool udr_connection_check_peer(const udr_connection_t *connection, const udr_peer_t *peer, const char **who,
                               apr_pool_t *p)
{
    struct ucred credentials;
    socklen_t len = sizeof credentials;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0) {
        *who = apr_psprintf(p, "unknown (SO_PEERCRED: %s)", strerror(errno));
        return false;
    }
    if ((peer->check_user && credentials.uid != peer->user) || (peer->check_group && credentials.gid != peer->group)) {
        *who = apr_psprintf(p, "%s:%s (%lu:%lu), process %ld", user_name(credentials.uid, p),
                            group_name(credentials.gid, p), (unsigned long)credentials.uid,
                            (unsigned long)credentials.gid, (long)credentials.pid);
        return false;
    }
    return true;
}
#else
bool udr_connection_check_peer(const udr_connection_t *connection, const udr_peer_t *peer, const char **who,
                               apr_pool_t *p)
{
    (void)connection;
    (void)peer;
    (void)p;
    *who = "unknown: this system has no SO_PEERCRED";
    return false;
}
#endif

bool udr_connection_is_stale(const udr_connection_t *connection)
{
    char byte;
    ssize_t n;
    do {
        n = recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

void udr_connection_rest(udr_connection_t *connection)
{
    const udr_watch_t *watch = connection->watch;
    if (watch) {
        /* An event that is yet to be dealt with may be about bytes behind the response. */
        connection->heard = watch->taken == watch->dealt_with ? watch->taken : watch->taken - 1;
    }
}

bool udr_connection_is_quiet(const udr_connection_t *connection)
{
    return connection->watch && connection->watch->taken == connection->heard;
}

apr_status_t udr_connection_send(udr_connection_t *connection, const struct iovec *parts, int count, apr_size_t *sent)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    ssize_t n;
    do {
        n = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno;
    }
    *sent = (apr_size_t)n;
    return APR_SUCCESS;
}

apr_status_t udr_connection_receive(udr_connection_t *connection, char *buffer, apr_size_t size, apr_size_t *received)
{
    ssize_t n;
    do {
        n = recv(connection->fd, buffer, size, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno;
    }
    if (n == 0) {
        return APR_EOF;
    }
    *received = (apr_size_t)n;
    return APR_SUCCESS;
}

apr_status_t udr_connection_watch(udr_connection_t *connection, udr_loop_t *loop,
                                  void (*ready)(udr_watch_t *watch, uint32_t events))
{
    udr_watch_t *watch = calloc(1, sizeof *watch);
    if (!watch) {
        return APR_ENOMEM;
    }
    watch->ready = ready;
    apr_status_t rv = udr_loop_watch(loop, watch, connection->fd);
    if (rv != APR_SUCCESS) {
        free(watch);
        return rv;
    }
    connection->loop = loop;
    connection->watch = watch;
    return APR_SUCCESS;
}

void udr_connection_unwatch(udr_connection_t *connection)
{
    if (connection->loop) {
        udr_loop_unwatch(connection->loop, connection->watch);
        free(connection->watch);
        connection->loop = NULL;
        connection->watch = NULL;
    }
}

void udr_connection_take_away(udr_connection_t *connection)
{
    if (connection->loop) {
        udr_loop_abandon(connection->loop, connection->watch);
        connection->loop = NULL;
        connection->watch = NULL;
    }
}

void udr_connection_close(udr_connection_t *connection)
{
    udr_connection_unwatch(connection);
    close(connection->fd);
    free(connection);
}
