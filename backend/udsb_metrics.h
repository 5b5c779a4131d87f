/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a server. Each worker has its own for what happens on every request, so that threads share no cache line;
 * the sum is made when somebody asks. Layer: bottom. Used by workers, the acceptor and /metrics. */
#ifndef UDSB_METRICS_H
#define UDSB_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

/* One thread adds, any thread reads. */
typedef struct {
    _Alignas(64) _Atomic uint64_t requests[6]; /* [status / 100], finished; [0]: ended without an answer */
    _Atomic uint64_t started;                  /* requests, so that started - finished are in flight */
    _Atomic uint64_t bytes_in;                 /* of request bodies */
    _Atomic uint64_t bytes_out;                /* of response bodies */
} udsb_worker_metrics_t;

/* Any thread adds and reads. */
typedef struct {
    _Atomic uint64_t connections_open;
    _Atomic uint64_t connections_total;
    _Atomic uint64_t peers_refused;
    _Atomic uint64_t websockets_open;
    _Atomic uint64_t websocket_messages;
    _Atomic uint64_t waiting; /* requests that hold no thread */
} udsb_metrics_t;

/* By the one thread that owns the counter: no locked instruction. */
static inline void udsb_metrics_add_own(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

static inline void udsb_metrics_add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static inline uint64_t udsb_metrics_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
