/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an adopted connection: a lingering close, and its memory when nobody looks at it any more. */
#include "mod_udsroute/mod_udsroute_adopted_private.h"
#include "mod_udsroute/mod_udsroute_close.h"
#include "mod_udsroute/mod_udsroute_filters.h"

#include <apr_atomic.h>
#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* How often to ask whether the worker that handed a connection over is through with it. */
#define THROUGH_PAUSE apr_time_from_msec(1)

/* A worker whose slot does not tell is through after this: it has a handful of instructions left, and those who wait
 * for a processor get one. */
#define SURELY_THROUGH apr_time_from_sec(1)

void udr_adopted_shut(udr_adopted_t *a)
{
    apr_os_sock_t fd;
    UDR_ASSERT(udr_loops_here() == a->home);
    /* The loop alone closes the descriptor, so it is still the client's, whoever has the connection. */
    if (apr_os_sock_get(&fd, ap_get_conn_socket(a->c)) == APR_SUCCESS) {
        (void)shutdown(fd, SHUT_RDWR);
    }
}

static void vanish(udr_task_t *task)
{
    udr_adopted_t *a = task->baton;
    conn_rec *c = a->c;
    UDR_ASSERT(udr_loops_here() == a->home);
    UDR_STEP_PART("freeing a connection");
    c->cs->state = CONN_STATE_SUSPENDED; /* what the MPM counts it as */
    apr_socket_close(ap_get_conn_socket(c));
    apr_pool_destroy(c->pool); /* a with it; the MPM's cleanups correct its counts */
}

/* Returns whether it is too early to free it. The client is told no later that its connection has ended. */
static bool is_to_be_kept(udr_adopted_t *a)
{
    apr_interval_time_t left = a->kept_until - udr_loop_now(a->home->loop);
    if (left <= 0) {
        return false;
    }
    udr_adopted_set_phase(a, PHASE_LINGER);
    udr_adopted_set_timer(a, left);
    return true;
}

/* At the end of the round: until then, whoever has called may look at it. */
void udr_adopted_destroy(udr_adopted_t *a)
{
    if (is_to_be_kept(a)) {
        return;
    }
    udr_loop_clear_timer(a->home->loop, &a->timer);
    udr_loop_unwatch(a->home->loop, &a->watch);
    if (a->previous) {
        a->previous->next = a->next;
    } else {
        a->home->first = a->next;
    }
    if (a->next) {
        a->next->previous = a->previous;
    }
    udr_loops_hold(a->home, &a->held, UDR_HELD_NOT);
    a->is_here = false;
    udr_adopted_pass_to(a, UDR_OWNER_GONE);
    a->task.run = vanish;
    udr_loop_defer(a->home->loop, &a->task);
}

/* The worker that handed the connection over still writes to it (c->sbh, its own state) after the suspend_connection
 * hook. It is through when its scoreboard slot no longer says what the hook put there; unless the listener has written
 * over that, as it does in all slots when the child begins to end. */
static bool is_worker_through(udr_adopted_t *a)
{
    int status = a->slot ? a->slot->status : SERVER_READY;
    if (status == SERVER_BUSY_LOG) {
        return false;
    }
    if (status == SERVER_GRACEFUL) {
        a->kept_until = a->handed_over_at + SURELY_THROUGH;
    }
    a->slot = NULL;
    return true;
}

static bool has_room(const udr_adopted_t *a)
{
    struct pollfd descriptor = {.fd = a->watch.fd, .events = POLLOUT};
    return poll(&descriptor, 1, 0) == 1 && (descriptor.revents & POLLOUT);
}

static void client_has_gone(void *baton)
{
    udr_adopted_destroy(baton);
}

/* Whether the client has closed already, or there is no reason to wait until it does. */
static bool has_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* Closed for writing, it has nothing more to do with httpd: only its socket waits for the client, and the MPM counts it
 * no longer. But no more than so many may wait like that. Beyond, a connection waits whole: the MPM, which counts it,
 * then accepts no more than it has room for. To close it at once would cost a client that still sends its answer. */
static void await_client(udr_adopted_t *a)
{
    int fd = a->watch.fd;
    if (has_closed(fd) || udr_close_leave_to_loop(a->c, fd, a->home)) {
        udr_adopted_destroy(a);
        return;
    }
    udr_loop_clear_timer(a->home->loop, &a->timer);
    udr_loop_unwatch(a->home->loop, &a->watch);
    udr_adopted_set_phase(a, PHASE_LINGER);
    if (udr_linger_lend(a->home->linger, fd, UDR_CLOSE_SHORT, client_has_gone, a) != APR_SUCCESS) {
        udr_adopted_destroy(a);
    }
}

void udr_adopted_bury(udr_adopted_t *a)
{
    UDR_ASSERT(udr_loops_here() == a->home);
    UDR_STEP_PART("closing a connection");
    if (!is_worker_through(a) || apr_atomic_read32(&a->wake_is_posted)) {
        UDR_SCHEDULE("through");
        udr_adopted_set_phase(a, PHASE_THROUGH);
        udr_adopted_set_timer(a, THROUGH_PAUSE);
        return;
    }
    a->c->cs->state = CONN_STATE_SUSPENDED;
    /* TLS says goodbye, and httpd would wait for a client that has no room for it. */
    if (udr_filters_keep_back(a->c) && !has_room(a)) {
        a->c->aborted = 1;
    }
    if (a->c->aborted || ap_start_lingering_close(a->c)) {
        udr_adopted_destroy(a);
    } else {
        await_client(a);
    }
}
