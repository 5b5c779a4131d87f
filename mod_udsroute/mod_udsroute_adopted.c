/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_adopted_private.h"
#include "mod_udsroute/mod_udsroute_filters.h"
#include "mod_udsroute/mod_udsroute_input.h"
#include "mod_udsroute/udr_clock.h"

#include <apr_atomic.h>
#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <scoreboard.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

void udr_adopted_pass_to(udr_adopted_t *a, udr_owner_t to)
{
    if (!udr_owner_may_pass(a->owner, to)) {
        fprintf(stderr, "mod_udsroute: a connection can't go from %s to %s\n", udr_owner_name(a->owner),
                udr_owner_name(to));
        abort();
    }
    UDR_SCHEDULE_TRANSFER(udr_owner_name(a->owner), udr_owner_name(to));
    a->owner = to;
}

/* What it counts as on the status page. */
static udr_held_t held_as(const udr_adopted_t *a)
{
    switch (a->phase) {
    case PHASE_REQUEST:
        return UDR_HELD_IDLE;
    case PHASE_EXCHANGE:
        return a->client && a->client->is_tunnel ? UDR_HELD_TUNNEL : UDR_HELD_PARKED;
    case PHASE_THROUGH:
    case PHASE_LINGER:
        return UDR_HELD_CLOSING;
    case PHASE_SERVE:
    case PHASE_WRITE:
        break;
    }
    return UDR_HELD_SERVED;
}

void udr_adopted_set_phase(udr_adopted_t *a, phase_t phase)
{
    a->phase = phase;
    udr_loops_hold(a->home, &a->held, held_as(a));
}

void udr_adopted_set_timer(udr_adopted_t *a, apr_interval_time_t after)
{
    udr_loop_set_timer(a->home->loop, &a->timer, udr_loop_now(a->home->loop) + after);
}

void udr_adopted_post(udr_adopted_t *a)
{
    udr_adopted_pass_to(a, UDR_OWNER_COMING);
    udr_loop_post(a->home->loop, &a->task);
}

void udr_adopted_take_settings(udr_adopted_t *a, const server_rec *s)
{
    /* As the event MPM: a virtual host that sets none has the address's first one's. */
    a->keep_alive_timeout = (s->keep_alive_timeout_set ? s : a->c->base_server)->keep_alive_timeout;
    a->timeout = s->timeout;
}

/* --- events of the loop ---------------------------------------------------------------------------------------------
 */

static void client_ready(udr_watch_t *watch, uint32_t events)
{
    udr_adopted_t *a = watch->baton;
    unsigned int ready = 0;
    UDR_ASSERT(udr_loops_here() == a->home);
    if ((events & EPOLLRDHUP) && !a->client_left_at) {
        a->client_left_at = udr_loop_now(a->home->loop);
    }
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        udr_input_ended(a->c);
    }
    if (!a->is_here) {
        a->has_news |= (events & (EPOLLIN | EPOLLRDHUP)) != 0;
        a->has_hung_up |= (events & (EPOLLHUP | EPOLLERR)) != 0;
        return; /* looked for when it comes back: reads and writes are tried before they are waited for */
    }
    udr_input_awake(a->c);
    switch (a->phase) {
    case PHASE_EXCHANGE:
        ready |= (events & (EPOLLIN | EPOLLRDHUP)) ? UDR_READY_CLIENT_IN : 0;
        ready |= (events & EPOLLOUT) ? UDR_READY_CLIENT_OUT : 0;
        ready |= (events & (EPOLLHUP | EPOLLERR)) ? udr_client_hung_up(a->client) : 0;
        if (ready) {
            udr_adopted_advance(a, ready);
        } else {
            udr_adopted_arm(a);
        }
        break;
    case PHASE_REQUEST:
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
            udr_adopted_next_request(a);
        }
        break;
    case PHASE_WRITE:
        if (events & (EPOLLHUP | EPOLLERR)) {
            a->c->aborted = 1;
        }
        udr_adopted_after_request(a, false);
        break;
    case PHASE_SERVE:
    case PHASE_THROUGH:
    case PHASE_LINGER:
        break;
    }
}

static void expired(udr_timer_t *timer)
{
    udr_adopted_t *a = timer->baton;
    UDR_ASSERT(udr_loops_here() == a->home);
    switch (a->phase) {
    case PHASE_EXCHANGE:
        udr_adopted_advance(a, 0);
        break;
    case PHASE_REQUEST:
        if (a->head_begun) {
            udr_adopted_let_worker_read(a);
        } else {
            udr_adopted_bury(a);
        }
        break;
    case PHASE_WRITE:
        /* About to be written, it is nobody's fault; that it was set for what came before, too, saves clearing it. */
        if (!a->is_deferred) {
            a->c->aborted = 1;
            udr_adopted_bury(a);
        }
        break;
    case PHASE_THROUGH:
        udr_adopted_bury(a);
        break;
    case PHASE_LINGER:
        udr_adopted_destroy(a); /* it was too early */
        break;
    case PHASE_SERVE:
        break;
    }
}

void udr_adopted_end_tunnels(udr_home_t *home)
{
    for (udr_adopted_t *a = home->first, *next; a; a = next) {
        next = a->next;
        if (a->is_here && a->phase == PHASE_EXCHANGE && a->client->is_tunnel) {
            udr_exchange_stop(a->client->exchange);
            udr_adopted_advance(a, 0);
        }
    }
}

void udr_adopted_close_idle(udr_home_t *home)
{
    UDR_ASSERT(udr_loops_here() == home);
    for (udr_adopted_t *a = home->first, *next; a; a = next) {
        next = a->next;
        /* A request that has arrived meanwhile is still served; httpd says `Connection: close` with it. */
        if (a->is_here && a->phase == PHASE_REQUEST && !a->head_begun) {
            udr_adopted_next_request(a);
            if (a->is_here && a->phase == PHASE_REQUEST && !a->head_begun) {
                udr_adopted_bury(a);
            }
        }
    }
}

void udr_adopted_free_workers(udr_home_t *home)
{
    UDR_ASSERT(udr_loops_here() == home);
    for (udr_adopted_t *a = home->first; a; a = a->next) {
        if (!a->is_here) {
            udr_adopted_shut(a);
        }
    }
}

/* --- arrival -------------------------------------------------------------------------------------------------------
 */

/* The MPM gives a connection the number of the worker that serves it, and mod_cgid finds a script to kill by that
 * number. An adopted one must not go by a number that the worker uses again. */
static long unique_id(void)
{
    static apr_uint32_t count; /* atomic */
    return (long)(((unsigned long)getpid() << 24) | (apr_atomic_inc32(&count) & 0xffffff));
}

/* The first time: the loop takes the client's socket into its care. Returns whether it could. */
static bool move_in(udr_adopted_t *a)
{
    udr_home_t *home = a->home;
    a->next = home->first;
    if (home->first) {
        home->first->previous = a;
    }
    home->first = a;
    a->watch.ready = client_ready;
    a->watch.baton = a;
    a->timer.expired = expired;
    a->timer.baton = a;
    a->c->id = unique_id();
    apr_os_sock_t fd;
    return apr_os_sock_get(&fd, ap_get_conn_socket(a->c)) == APR_SUCCESS &&
           udr_loop_watch(home->loop, &a->watch, fd) == APR_SUCCESS;
}

static void arrive(udr_task_t *task)
{
    udr_adopted_t *a = task->baton;
    bool is_new = !a->watch.ready;
    UDR_ASSERT(udr_loops_here() == a->home);
    udr_adopted_pass_to(a, UDR_OWNER_LOOP);
    a->is_here = true;
    a->c->current_thread = a->home->thread;
    udr_input_awake(a->c);
    if (is_new && !move_in(a)) {
        a->c->aborted = 1;
        udr_adopted_bury(a);
    } else if (a->client) {
        udr_adopted_set_phase(a, PHASE_EXCHANGE);
        /* What has come meanwhile is not told again. */
        unsigned int ready = UDR_READY_MEMBER_IN | UDR_READY_CLIENT_OUT;
        /* (A chunked body would go straight back to the worker that has just read all of it.) */
        ready |= is_new || a->has_news || !a->client->is_chunked ? UDR_READY_CLIENT_IN : 0;
        ready |= a->has_hung_up ? udr_client_hung_up(a->client) : 0;
        udr_adopted_advance(a, ready);
    } else {
        /* The first time, its worker has found no further request; one that has come since is told of. */
        udr_adopted_after_request(a, is_new);
    }
}

static udr_adopted_t *adopt(conn_rec *c)
{
    udr_adopted_t *a = apr_pcalloc(c->pool, sizeof *a);
    a->c = c;
    a->home = udr_loops_choose();
    a->owner = UDR_OWNER_WORKER;
    a->task.run = arrive;
    a->task.baton = a;
    a->wake_task.run = udr_adopted_woken;
    a->wake_task.baton = a;
    a->again_task.run = udr_adopted_again;
    a->again_task.baton = a;
    a->is_look_counted = udr_filters_count_looks(c);
    a->bb = apr_brigade_create(c->pool, c->bucket_alloc);
    return a;
}

/* --- what the handler asks -----------------------------------------------------------------------------------------
 */

void udr_adopted_park(udr_client_t *client)
{
    request_rec *r = client->r;
    udr_conn_t *conn = udr_conn_get(r->connection);
    if (!conn->adopted) {
        conn->adopted = adopt(r->connection);
    }
    udr_adopted_t *a = conn->adopted;
    a->r = r;
    a->client = client;
    a->job = JOB_NONE;
    client->is_parked = udr_exchange_state(client->exchange) != UDR_EXCHANGE_DONE;
    if (udr_loops_here()) {
        udr_adopted_set_phase(a, PHASE_EXCHANGE);
        return;
    }
    if (client->is_tunnel) {
        udr_client_trim(r->connection);
    }
    udr_adopted_take_settings(a, r->server);
    udr_adopted_pass_to(a, UDR_OWNER_LEAVING);
    udr_exchange_move(client->exchange, udr_adopted_wake, udr_adopted_wake_queued, a, a->home->lane);
    UDR_SCHEDULE("parked");
}

void udr_adopted_keep(conn_rec *c, const server_rec *s)
{
    udr_adopted_t *a = adopt(c);
    udr_conn_get(c)->adopted = a;
    udr_adopted_take_settings(a, s);
    udr_adopted_pass_to(a, UDR_OWNER_LEAVING);
    c->cs->state = CONN_STATE_SUSPENDED;
}

void udr_adopted_send_to_worker(request_rec *r, udr_client_t *client)
{
    udr_adopted_t *a = udr_conn_get(r->connection)->adopted;
    UDR_ASSERT(udr_loops_here() == a->home);
    a->r = r;
    a->client = client;
    a->handler = r->handler;
#if APR_HAS_THREADS
    if (!client && !r->invoke_mtx) {
        /* As ap_process_async_request() does for whoever may ask for it. */
        (void)apr_thread_mutex_create(&r->invoke_mtx, APR_THREAD_MUTEX_DEFAULT, r->pool);
    }
#endif
    a->job = client ? JOB_FINISH : JOB_HANDLER;
}

apr_time_t udr_adopted_plan(const request_rec *r, udr_balancer_t *balancer, udr_exchange_plan_t *plan)
{
    udr_adopted_t *a = udr_conn_get(r->connection)->adopted;
    /* What is slow are the hooks before the handler, whichever member it is. */
    a->balancer = balancer;
    plan->wake = udr_adopted_wake;
    plan->wake_queued = udr_adopted_wake_queued;
    plan->wake_baton = a;
    plan->lane = a->home->lane;
    return udr_adopted_judge_hooks(a, r);
}

void udr_adopted_suspend(conn_rec *c, request_rec *r)
{
    udr_adopted_t *a = udr_conn_get(c)->adopted;
    (void)r;
    if (!a || a->owner != UDR_OWNER_LEAVING || c->cs->state != CONN_STATE_SUSPENDED) {
        return;
    }
    a->slot = ap_get_scoreboard_worker(c->sbh);
    a->handed_over_at = udr_clock_now();
    ap_update_child_status(c->sbh, SERVER_BUSY_LOG, NULL);
    c->sbh = NULL;
    udr_adopted_post(a);
    UDR_SCHEDULE("suspend-posted");
}
