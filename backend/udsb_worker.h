/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one thread with a loop, on which libmicrohttpd reads requests and sends answers of its connections.
 * Layer: the middle. Made and ended by udsb_server.c; given connections by the acceptor. Everything here is for the
 * worker's own thread, but for what says otherwise. */
#ifndef UDSB_WORKER_H
#define UDSB_WORKER_H

#include "backend/udsb_loop.h"
#include "backend/udsb_metrics.h"
#include "backend/udsb_wait.h"
#include "backend/udsb_websocket.h"

#include <stdatomic.h>

typedef struct udsb_worker {
    udsb_server_t *server;
    udsb_loop_t *loop;
    struct MHD_Daemon *daemon;
    udsb_watch_t watch;      /* libmicrohttpd's own epoll descriptor */
    bool has_events;         /* it has, or something was resumed, which it does not see by itself */
    unsigned number;         /* 0 for the first worker */
    atomic_uint connections; /* that it has or is about to get; any thread */
    udsb_worker_metrics_t metrics;

    struct udsb_connection *first; /* of its open connections */
    udsb_wait_list_t waits;
    udsb_websocket_list_t websockets;
} udsb_worker_t;

/* Starts a worker. NULL: errno says why. The program's thread. */
udsb_worker_t *udsb_worker_create(udsb_server_t *server, unsigned number);

/* Ends the thread and frees the worker; its connections must have ended. The program's thread. */
void udsb_worker_destroy(udsb_worker_t *worker);

/* Gives an accepted, non-blocking socket to the worker with the fewest connections. current: the worker whose thread
 * this is, NULL on other threads. */
void udsb_worker_give(udsb_server_t *server, udsb_worker_t *current, int descriptor);

/* server->stopping is set: closes the connections without a request, now and when their request is finished; ends
 * streams that wait, and WebSockets. */
void udsb_worker_stop(udsb_worker_t *worker);

/* How many of its connections have a request or are WebSockets. */
uint64_t udsb_worker_count_busy(const udsb_worker_t *worker);

/* server->hurrying is set: closes all connections, whatever they do. */
void udsb_worker_cut(udsb_worker_t *worker);

#endif
