/* SPDX-License-Identifier: Apache-2.0 */
/* What a server consists of.
 * Layer: the middle; only udsb_server.c changes its life, the others find each other through it. */
#ifndef UDSB_SERVER_H
#define UDSB_SERVER_H

#include "backend/udsb_acceptor.h"
#include "backend/udsb_error.h"
#include "backend/udsb_log.h"
#include "backend/udsb_loop.h"
#include "backend/udsb_metrics.h"
#include "backend/udsb_peer.h"
#include "backend/udsb_route.h"
#include "backend/udsb_worker.h"

#include <pthread.h>
#include <stdatomic.h>

/* One way only. */
typedef enum { UDSB_SERVER_NEW, UDSB_SERVER_RUNNING, UDSB_SERVER_STOPPED } udsb_server_step_t;

struct udsb_server {
    /* set before start, then read by all threads */
    udsb_server_options_t options;
    udsb_log_t log;
    udsb_routes_t routes;
    udsb_peer_list_t peers;
    udsb_acceptor_t **acceptors; /* owned; one for each listener */
    size_t acceptor_count;
    udsb_worker_t **workers; /* owned; one for each thread */
    unsigned worker_count;
    uint64_t started_ms; /* udsb_loop_now() */

    /* of the program's thread */
    udsb_server_step_t step;
    udsb_error_t error;

    atomic_bool draining; /* /healthz says so */
    atomic_bool stopping; /* connections end with their request */
    atomic_bool hurrying; /* requests are cut off */
    udsb_metrics_t metrics;

    struct {                   /* needs the mutex, busy excepted */
        _Atomic uint64_t busy; /* connections that have something to finish, as counted last */
        pthread_mutex_t mutex;
        pthread_cond_t changed; /* no connection is left, or hurrying was set */
    } finish;
};

/* udsb_server_map with a context that is the server's own: destroy(context) at its end, and when this fails. */
udsb_result_t udsb_server_map_owned(udsb_server_t *server, const udsb_route_t *route, void (*destroy)(void *context));

/* A connection has ended; wakes udsb_server_stop() when it was the last one. Any thread. */
void udsb_server_connection_ended(udsb_server_t *server);

#endif
