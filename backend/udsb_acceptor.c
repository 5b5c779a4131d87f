/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_acceptor.h"
#include "backend/udsb_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    ACCEPT_AT_ONCE = 16, /* then requests have their turn */
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

typedef enum { ACCEPTED, NOTHING_LEFT, MUST_PAUSE } outcome_t;

/* Accepts one connection; why: the reason for MUST_PAUSE. current: the worker whose thread this is, or NULL. */
static outcome_t accept_one(udsb_acceptor_t *acceptor, udsb_worker_t *current, const char **why)
{
    udsb_server_t *const server = acceptor->server;
    int connection;

    if (udsb_metrics_get(&server->metrics.connections_open) >= server->options.max_connections) {
        *why = "the limit of open connections is reached";
        return MUST_PAUSE;
    }
    connection = accept4(acceptor->socket.descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) {
        if (errno == EINTR || errno == ECONNABORTED)
            return ACCEPTED;
        if (errno == EAGAIN)
            return NOTHING_LEFT;
        *why = strerror(errno);
        return MUST_PAUSE;
    }
    if (may_connect(acceptor, connection))
        udsb_worker_give(server, current, connection);
    else
        close(connection);
    return ACCEPTED;
}

/* Connections stay in the backlog until the timer tries again. */
static void pause_accepting(udsb_acceptor_part_t *part, const char *why)
{
    udsb_acceptor_t *const acceptor = part->acceptor;

    if (!atomic_exchange(&acceptor->is_complaining, true))
        udsb_log_event(&acceptor->server->log, UDSB_LOG_WARNING, "connections to %s have to wait: %s",
                       acceptor->socket.address.text, why);
    if (udsb_loop_set_timer(part->worker->loop, &part->retry, RETRY_MS))
        udsb_loop_unwatch(part->worker->loop, &part->watch);
}

static void ready(udsb_watch_t *watch, uint32_t events)
{
    udsb_acceptor_part_t *const part = (udsb_acceptor_part_t *)((char *)watch - offsetof(udsb_acceptor_part_t, watch));
    outcome_t outcome = ACCEPTED;
    const char *why = "";

    (void)events;
    for (int i = 0; i < ACCEPT_AT_ONCE && outcome == ACCEPTED; i++)
        outcome = accept_one(part->acceptor, part->worker, &why);
    if (outcome == MUST_PAUSE)
        pause_accepting(part, why);
    else
        atomic_store_explicit(&part->acceptor->is_complaining, false, memory_order_relaxed);
}

static int watch(udsb_acceptor_part_t *part)
{
    return udsb_loop_watch(part->worker->loop, &part->watch, EPOLLIN | EPOLLEXCLUSIVE);
}

static void retry(udsb_timer_t *timer)
{
    udsb_acceptor_part_t *const part = (udsb_acceptor_part_t *)((char *)timer - offsetof(udsb_acceptor_part_t, retry));

    if (watch(part))
        pause_accepting(part, strerror(errno));
}

udsb_acceptor_t *udsb_acceptor_create(udsb_server_t *server, const udsb_socket_t *socket)
{
    udsb_acceptor_t *const acceptor = calloc(1, sizeof *acceptor);

    if (!acceptor)
        return NULL;
    acceptor->parts = calloc(server->options.threads, sizeof *acceptor->parts);
    if (!acceptor->parts) {
        free(acceptor);
        return NULL;
    }
    acceptor->server = server;
    acceptor->socket = *socket;
    return acceptor;
}

int udsb_acceptor_start(udsb_acceptor_t *acceptor, udsb_worker_t *worker)
{
    udsb_acceptor_part_t *const part = &acceptor->parts[worker->number];

    *part = (udsb_acceptor_part_t){.acceptor = acceptor,
                                   .worker = worker,
                                   .watch = {.ready = ready, .descriptor = acceptor->socket.descriptor},
                                   .retry = {.fired = retry}};
    return watch(part);
}

void udsb_acceptor_stop(udsb_acceptor_t *acceptor, udsb_worker_t *worker)
{
    udsb_acceptor_part_t *const part = &acceptor->parts[worker->number];

    udsb_loop_unwatch(worker->loop, &part->watch);
    udsb_loop_clear_timer(worker->loop, &part->retry);
}

void udsb_acceptor_accept_rest(udsb_acceptor_t *acceptor)
{
    const char *why;

    /* The backlog of an adopted socket stays for its next server. */
    if (!acceptor->socket.is_ours)
        return;
    udsb_socket_refuse(&acceptor->socket);
    while (accept_one(acceptor, NULL, &why) == ACCEPTED)
        ;
}

void udsb_acceptor_destroy(udsb_acceptor_t *acceptor)
{
    udsb_error_t error;

    if (udsb_socket_unlink(&acceptor->socket, &error))
        udsb_log_event(&acceptor->server->log, UDSB_LOG_WARNING, "%s", error.text);
    udsb_socket_close(&acceptor->socket);
    free(acceptor->parts);
    free(acceptor);
}
