/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts the connections of one listener, refuses peers that are not allowed, and hands the rest to the workers.
 * Layer: the middle. Runs on the server's loop; made and ended by udsb_server.c.
 *
 * Why not leave it to libmicrohttpd: its threads would all wake up for each connection, credentials could not be checked
 * before bytes are read, one daemon could serve one listener only, and it could not stop accepting without losing what the
 * backlog holds. */
#ifndef UDSB_ACCEPTOR_H
#define UDSB_ACCEPTOR_H

#include "backend/udsb_loop.h"
#include "backend/udsb_socket.h"

typedef struct {
    udsb_watch_t watch;
    udsb_timer_t retry; /* accepting is paused: no descriptors left, or too many connections */
    udsb_server_t *server;
    udsb_socket_t socket;
    bool is_complaining; /* the reason of the pause has been logged */
} udsb_acceptor_t;

/* Takes over the socket. NULL: out of memory, the socket is still the caller's. */
udsb_acceptor_t *udsb_acceptor_create(udsb_server_t *server, const udsb_socket_t *socket);

/* On the loop's thread. Start returns 0 or errno. */
int udsb_acceptor_start(udsb_acceptor_t *acceptor);
/* Refuses new connections, accepts those already in the backlog, and stops. */
void udsb_acceptor_stop(udsb_acceptor_t *acceptor);

/* After stop: the file is unlinked (log: where a failure goes), the socket closed. */
void udsb_acceptor_destroy(udsb_acceptor_t *acceptor);

#endif
