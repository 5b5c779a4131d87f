/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_acceptor.h"
#include "backend/udsb_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    ACCEPT_AT_ONCE = 64, /* then timers and other listeners have their turn */
    RETRY_MS = 20
};

static bool may_connect(const udsb_acceptor_t *acceptor, int connection)
{
    udsb_server_t *const server = acceptor->server;
    udsb_peer_t peer;
    char who[192];

    if (!server->peers.count)
        return true;
    if (!udsb_peer_of(&peer, connection)) {
        udsb_log_event(&server->log, UDSB_LOG_WARNING, "refused a connection on %s: no credentials: %s",
                       acceptor->socket.address.text, strerror(errno));
    } else if (udsb_peer_list_allows(&server->peers, peer.uid)) {
        return true;
    } else {
        udsb_peer_describe(&peer, who, sizeof who);
        udsb_log_event(&server->log, UDSB_LOG_WARNING, "refused a connection on %s: %s is not an allowed peer",
                       acceptor->socket.address.text, who);
    }
    udsb_metrics_add(&server->metrics.peers_refused, 1);
    return false;
}

/* Connections stay in the backlog until the timer tries again. */
static void pause_accepting(udsb_acceptor_t *acceptor, const char *why)
{
    udsb_server_t *const server = acceptor->server;

    if (!acceptor->is_complaining)
        udsb_log_event(&server->log, UDSB_LOG_WARNING, "connections to %s have to wait: %s",
                       acceptor->socket.address.text, why);
    acceptor->is_complaining = true;
    if (udsb_loop_set_timer(server->loop, &acceptor->retry, RETRY_MS))
        udsb_loop_unwatch(server->loop, &acceptor->watch);
}

/* Accepts one connection. False: there is none, or none can be taken now. */
static bool accept_one(udsb_acceptor_t *acceptor)
{
    udsb_server_t *const server = acceptor->server;
    int connection;

    if (udsb_metrics_get(&server->metrics.connections_open) >= server->options.max_connections) {
        pause_accepting(acceptor, "the limit of open connections is reached");
        return false;
    }
    connection = accept4(acceptor->socket.descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) {
        if (errno == EINTR || errno == ECONNABORTED)
            return true;
        if (errno != EAGAIN && errno != EINVAL) /* EINVAL: refused by udsb_acceptor_stop, and nothing is left */
            pause_accepting(acceptor, strerror(errno));
        return false;
    }
    if (!may_connect(acceptor, connection)) {
        close(connection);
        return true;
    }
    udsb_metrics_add(&server->metrics.connections_total, 1);
    udsb_worker_add_connection(server, connection);
    return true;
}

static void ready(udsb_watch_t *watch, uint32_t events)
{
    udsb_acceptor_t *const acceptor = (udsb_acceptor_t *)((char *)watch - offsetof(udsb_acceptor_t, watch));
    int count = 0;

    (void)events;
    while (count++ < ACCEPT_AT_ONCE && accept_one(acceptor))
        acceptor->is_complaining = false;
}

static void retry(udsb_timer_t *timer)
{
    udsb_acceptor_t *const acceptor = (udsb_acceptor_t *)((char *)timer - offsetof(udsb_acceptor_t, retry));

    if (udsb_loop_watch(acceptor->server->loop, &acceptor->watch, EPOLLIN))
        pause_accepting(acceptor, strerror(errno));
}

udsb_acceptor_t *udsb_acceptor_create(udsb_server_t *server, const udsb_socket_t *socket)
{
    udsb_acceptor_t *const acceptor = calloc(1, sizeof *acceptor);

    if (!acceptor)
        return NULL;
    acceptor->server = server;
    acceptor->socket = *socket;
    acceptor->watch.ready = ready;
    acceptor->watch.descriptor = socket->descriptor;
    acceptor->retry.fired = retry;
    return acceptor;
}

int udsb_acceptor_start(udsb_acceptor_t *acceptor)
{
    return udsb_loop_watch(acceptor->server->loop, &acceptor->watch, EPOLLIN);
}

void udsb_acceptor_stop(udsb_acceptor_t *acceptor)
{
    udsb_loop_unwatch(acceptor->server->loop, &acceptor->watch);
    /* Whoever connected before this line is served. The backlog of an adopted socket stays for its next server. */
    udsb_socket_refuse(&acceptor->socket);
    while (acceptor->socket.is_ours && accept_one(acceptor))
        ;
    udsb_loop_clear_timer(acceptor->server->loop, &acceptor->retry);
}

void udsb_acceptor_destroy(udsb_acceptor_t *acceptor)
{
    udsb_error_t error;

    if (udsb_socket_unlink(&acceptor->socket, &error))
        udsb_log_event(&acceptor->server->log, UDSB_LOG_WARNING, "%s", error.text);
    udsb_socket_close(&acceptor->socket);
    free(acceptor);
}
