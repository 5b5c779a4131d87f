/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one thread of libmicrohttpd (epoll) with its connections, which reads requests, calls handlers, sends answers.
 * Layer: the middle. Made and ended by udsb_server.c; given connections by the acceptor. */
#ifndef UDSB_WORKER_H
#define UDSB_WORKER_H

#include "backend/udsb_metrics.h"
#include "backend/udsbackend.h"

#include <stdbool.h>

typedef struct udsb_worker udsb_worker_t;

/* Starts a worker. NULL: errno says why. */
udsb_worker_t *udsb_worker_create(udsb_server_t *server);

/* Ends the thread and frees the worker; its connections must be closed (udsb_worker_cut). */
void udsb_worker_destroy(udsb_worker_t *worker);

const udsb_worker_metrics_t *udsb_worker_metrics(const udsb_worker_t *worker);

/* Gives an accepted, non-blocking socket to the worker with the fewest connections, which closes it. The acceptors' thread. */
void udsb_worker_add_connection(udsb_server_t *server, int descriptor);

/* server->stopping is set: closes the connections without a request, now and when their request is finished. Any thread. */
void udsb_worker_close_idle(udsb_worker_t *worker);

/* Closes all connections, whatever they do. They end on the worker's thread, soon. Any thread. */
void udsb_worker_cut(udsb_worker_t *worker);

#endif
