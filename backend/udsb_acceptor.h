/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts the connections of one listener, refuses peers that are not allowed, and hands the rest to the workers.
 * Layer: the middle. Made and ended by udsb_server.c.
 *
 * Every worker watches every listener, and the kernel wakes one of them (EPOLLEXCLUSIVE), which mostly keeps what it
 * accepts. Why not leave it to libmicrohttpd: all threads would wake up for each connection, credentials could not be
 * checked before bytes are read, and it could not stop accepting without losing what the backlog holds. The price: it
 * does not know that these connections are no TCP, and tries TCP_NODELAY and TCP_CORK in vain on each answer (0.2 µs).
 */
#ifndef UDSB_ACCEPTOR_H
#define UDSB_ACCEPTOR_H

#include "backend/udsb_loop.h"
#include "backend/udsb_socket.h"
#include "backend/udsb_worker.h"

struct udsb_acceptor;

/* One worker's part. */
typedef struct {
    struct udsb_acceptor *acceptor;
    udsb_worker_t *worker;
    udsb_watch_t watch;
    udsb_timer_t retry; /* accepting is paused: no descriptors left, or too many connections */
} udsb_acceptor_part_t;

typedef struct udsb_acceptor {
    udsb_server_t *server;
    udsb_socket_t socket;
    atomic_bool is_complaining;  /* the reason of the pause has been logged */
    udsb_acceptor_part_t *parts; /* one for each worker */
} udsb_acceptor_t;

/* Takes over the socket. NULL: out of memory, the socket is still the caller's. The program's thread. */
udsb_acceptor_t *udsb_acceptor_create(udsb_server_t *server, const udsb_socket_t *socket);

/* Starts and stops to accept on one worker's thread. Start returns 0 or errno. */
int udsb_acceptor_start(udsb_acceptor_t *acceptor, udsb_worker_t *worker);
void udsb_acceptor_stop(udsb_acceptor_t *acceptor, udsb_worker_t *worker);

/* When all workers have stopped: refuses new connections and accepts those already in the backlog. The program's
 * thread. */
void udsb_acceptor_accept_rest(udsb_acceptor_t *acceptor);

/* Unlinks the file, closes the socket. The program's thread. */
void udsb_acceptor_destroy(udsb_acceptor_t *acceptor);

#endif
