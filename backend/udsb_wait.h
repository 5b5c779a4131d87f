/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait without a thread: libmicrohttpd suspends the connection, a timer of the worker's loop resumes it,
 * or the client's going away does. Layer: the middle. Asked for by udsb_request_wait(), done by udsb_worker.c.
 * Everything here is for the worker's thread. */
#ifndef UDSB_WAIT_H
#define UDSB_WAIT_H

#include "backend/udsb_loop.h"
#include "backend/udsbackend.h"

typedef struct udsb_wait {
    bool is_wanted;  /* the handler has asked for it */
    bool until_stop; /* ends as well when the server stops */
    uint64_t milliseconds;
    bool is_gone; /* the client went away, or the server is in a hurry: nothing is to be answered any more */

    /* while it lasts */
    udsb_timer_t timer;
    udsb_watch_t watch; /* for EPOLLHUP: both directions of the peer are closed */
    struct udsb_wait *next, *previous;
} udsb_wait_t;

typedef struct {
    udsb_wait_t *first;
} udsb_wait_list_t;

/* Suspends the connection until the wait is over; from within a callback of libmicrohttpd. */
void udsb_wait_begin(udsb_request_t *request);

/* Ends the waits with until_stop (all: every one, as gone). */
void udsb_wait_flush(udsb_wait_list_t *waits, bool all);

#endif
