/* SPDX-License-Identifier: Apache-2.0 */
/* An adopted connection's exchange: run when something has come about, waited for in between. */
#include "mod_udsroute/mod_udsroute_adopted_private.h"
#include "mod_udsroute/mod_udsroute_handler.h"
#include "mod_udsroute/udr_clock.h"

#include <apr_atomic.h>
#include <http_protocol.h>
#include <http_request.h>

#include <poll.h>
#include <sys/epoll.h>

/* A descriptor that can't be watched is asked this often. */
#define ASK_AGAIN apr_time_from_msec(1)

static void post_wake(udr_adopted_t *a)
{
    /* Posted already: the loop will look. */
    if (apr_atomic_xchg32(&a->wake_is_posted, 1) == 0) {
        UDR_SCHEDULE("wake");
        udr_loop_post(a->home->loop, &a->wake_task);
    }
}

void udr_adopted_wake(udr_waiter_t *waiter)
{
    post_wake(waiter->baton);
}

void udr_adopted_wake_queued(udr_queue_waiter_t *waiter)
{
    post_wake(waiter->baton);
}

static void settle(udr_adopted_t *a)
{
    request_rec *r = a->r;
    udr_client_t *client = a->client;
    UDR_ASSERT(udr_loops_here() == a->home);
    if (!udr_handler_is_plain(client)) {
        udr_adopted_set_phase(a, PHASE_SERVE);
        a->job = JOB_FINISH;
        udr_adopted_go_to_worker(a);
        return;
    }
    a->r = NULL;
    a->client = NULL;
    (void)udr_handler_finish(client);
    udr_adopted_end_request(a, r);
}

static void member_ready(udr_watch_t *watch, uint32_t events);

void udr_adopted_arm(udr_adopted_t *a)
{
    udr_connection_t *connection = udr_exchange_connection(a->client->exchange);
    udr_adopted_set_phase(a, PHASE_EXCHANGE); /* a tunnel, perhaps, since it ran */
    if (a->client->is_held || a->client->wants_worker) {
        if (connection) {
            udr_connection_unwatch(connection);
        }
        a->job = JOB_STEP;
        udr_adopted_go_to_worker(a);
        return;
    }
    const udr_wait_t *wait = udr_exchange_wait(a->client->exchange);
    apr_time_t until = wait->until;
    if (connection && !connection->loop &&
        udr_connection_watch(connection, a->home->loop, member_ready) != APR_SUCCESS &&
        udr_loop_now(a->home->loop) + ASK_AGAIN < until) {
        until = udr_loop_now(a->home->loop) + ASK_AGAIN; /* not to be watched: then asked, again and again */
    }
    if (connection && connection->watch) {
        connection->watch->baton = a;
        udr_loop_watch_out(a->home->loop, connection->watch, (wait->member & POLLOUT) != 0);
    }
    if (wait->client & POLLOUT) {
        udr_loop_watch_out(a->home->loop, &a->watch, true);
    }
    if (a->client_left_at && !a->client->is_tunnel && a->client_left_at + UDR_CLIENT_GONE_AFTER < until) {
        until = a->client_left_at + UDR_CLIENT_GONE_AFTER;
    }
    udr_loop_set_timer(a->home->loop, &a->timer, until);
}

void udr_adopted_advance(udr_adopted_t *a, unsigned int ready)
{
    apr_time_t now = udr_clock_now();
    UDR_ASSERT(udr_loops_here() == a->home);
    UDR_STEP_PART("an exchange");
    a->home->recently = now;
    /* While its body is read, the end of what it sends is for the body to tell; and an answer that comes is passed on.
     */
    bool has_more = (ready & UDR_READY_MEMBER_IN) || udr_exchange_reads_client(a->client->exchange);
    a->client->sending_ended = a->client_left_at != 0;
    if (a->client->is_tunnel) {
        /* Its two directions end each by itself. */
    } else if (a->client_left_at && has_more) {
        a->client_left_at = now;
    } else if (a->client_left_at && now - a->client_left_at >= UDR_CLIENT_GONE_AFTER) {
        ready |= UDR_READY_CLIENT_GONE;
    }
    if (a->c->aborted) {
        ready |= UDR_READY_CLIENT_GONE;
    }
    if (udr_exchange_run(a->client->exchange, &a->home->scratch, ready, now)) {
        udr_adopted_arm(a);
    } else {
        settle(a);
    }
}

static void member_ready(udr_watch_t *watch, uint32_t events)
{
    udr_adopted_t *a = watch->baton;
    unsigned int ready = 0;
    if (!a || !a->is_here || a->phase != PHASE_EXCHANGE) {
        return; /* idle, or on its way */
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
        ready |= UDR_READY_MEMBER_IN;
    }
    if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
        ready |= UDR_READY_MEMBER_ENDED;
    }
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        ready |= UDR_READY_MEMBER_OUT;
    }
    udr_adopted_advance(a, ready);
}

void udr_adopted_woken(udr_task_t *task)
{
    udr_adopted_t *a = task->baton;
    UDR_ASSERT(udr_loops_here() == a->home);
    UDR_SCHEDULE("woken");
    apr_atomic_set32(&a->wake_is_posted, 0);
    if (a->is_here && a->phase == PHASE_EXCHANGE) {
        udr_adopted_advance(a, 0);
    }
}
