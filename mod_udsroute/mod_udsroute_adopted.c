/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/mod_udsroute_handler.h"
#include "mod_udsroute/mod_udsroute_sethandler.h"

#include "mod_udsroute/udr_clock.h"

#include <ap_mpm.h>
#include <apr_atomic.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <scoreboard.h>
#include <util_filter.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* See mod_udsroute_worker.c: a client that has shut down its sending side has gone, unless an answer comes soon. */
#define GONE_AFTER apr_time_from_msec(100)

/* A request's head is looked for in so many bytes, and for so long after its first: larger and slower ones a worker
 * reads, within httpd's limits and mod_reqtimeout's times. */
#define HEAD_MAX  8192
#define HEAD_TIME apr_time_from_sec(1)

/* So many pipelined requests are served before others have their turn. */
#define IN_A_ROW 16

/* How often to ask whether the worker that handed a connection over is through with it. */
#define THROUGH_PAUSE apr_time_from_msec(1)

/* As long as httpd's own short lingering close. */
#define LINGER apr_time_from_sec(2)

/* Hooks before the handler that take longer than this (authentication against a directory, say) have no place on a
 * loop: for so long the member's connections let workers read their requests; then it is tried again. */
#define SLOW_HOOKS  apr_time_from_msec(5)
#define SLOW_PERIOD apr_time_from_sec(5)

/* What a connection on the loop is about. */
typedef enum phase_t {
    PHASE_REQUEST, /* waits for the next request, or for the rest of its head */
    PHASE_SERVE,   /* a request is in httpd's hooks */
    PHASE_EXCHANGE,
    PHASE_WRITE,   /* the response is complete, the client has not taken all of it */
    PHASE_THROUGH, /* to be closed as soon as the worker that handed it over is through with it */
    PHASE_LINGER   /* closed on our side; waits for the client to close */
} phase_t;

/* What a worker is to do for it. */
typedef enum job_t {
    JOB_NONE,
    JOB_READ,    /* read a request and serve it */
    JOB_HANDLER, /* run the handler */
    JOB_FINISH   /* end a request whose exchange has ended */
} job_t;

struct udr_adopted_t {
    conn_rec *c; /* whose pool this lives in */
    udr_home_t *home;
    udr_owner_t owner;
    udr_task_t task;             /* its way to the loop */
    udr_task_t wake_task;        /* a turn has come */
    udr_task_t again_task;       /* the loop's: its next requests, after the others' */
    apr_uint32_t wake_is_posted; /* atomic */
    worker_score *slot;          /* scoreboard slot of the worker that handed it over; NULL: that one is through */
    request_rec *r;              /* the request in PHASE_EXCHANGE and for a worker's job */
    udr_client_t *client;        /* its exchange's client */
    job_t job;
    const char *handler; /* JOB_HANDLER: r->handler as ap_invoke_handler() had derived it for the call */

    /* the loop's thread alone */
    bool is_deferred; /* again_task is in the loop's list */
    bool is_in_row;   /* next_request() is at work: it serves what follows */
    bool is_here;     /* owner is UDR_OWNER_LOOP, as the loop's own events may ask at any time */
    phase_t phase;
    udr_watch_t watch; /* the client's socket */
    udr_timer_t timer;
    apr_time_t client_left_at;
    apr_time_t head_begun; /* when the first bytes of an unfinished head were seen; 0: none */
    apr_interval_time_t keep_alive_timeout;
    apr_interval_time_t timeout;
    apr_bucket_brigade *bb;
    apr_time_t serving_since; /* when the hooks began to run */
    udr_member_t *member;     /* of its last routed request */
    struct udr_adopted_t *previous;
    struct udr_adopted_t *next;
};

static const struct {
    const char *name;
    unsigned int next; /* who may follow, as bits */
} owners[UDR_OWNERS] = {
#define TO(owner) (1U << UDR_OWNER_##owner)
    [UDR_OWNER_WORKER] = {"worker", TO(LEAVING)},
    [UDR_OWNER_LEAVING] = {"leaving", TO(COMING)},
    [UDR_OWNER_COMING] = {"coming", TO(LOOP)},
    [UDR_OWNER_LOOP] = {"loop", TO(COMING) | TO(GOING) | TO(GONE)},
    [UDR_OWNER_GOING] = {"going", TO(GUEST)},
    [UDR_OWNER_GUEST] = {"guest", TO(COMING) | TO(LEAVING)},
    [UDR_OWNER_GONE] = {"gone", 0},
#undef TO
};

static void after_request(udr_adopted_t *a);
static void bury(udr_adopted_t *a);

bool udr_adopted_has_edge(udr_owner_t from, udr_owner_t to)
{
    return (owners[from].next & (1U << to)) != 0;
}

/* The only place where a connection changes hands. */
static void pass_to(udr_adopted_t *a, udr_owner_t to)
{
    if (!udr_adopted_has_edge(a->owner, to)) {
        fprintf(stderr, "mod_udsroute: a connection can't go from %s to %s\n", owners[a->owner].name, owners[to].name);
        abort();
    }
    a->owner = to;
}

/* --- the way to the loop and to a worker ---------------------------------------------------------------------------
 */

static void set_timer(udr_adopted_t *a, apr_interval_time_t after)
{
    udr_loop_set_timer(a->home->loop, &a->timer, udr_loop_now(a->home->loop) + after);
}

static void post(udr_adopted_t *a)
{
    pass_to(a, UDR_OWNER_COMING);
    udr_loop_post(a->home->loop, &a->task);
}

static void guest(void *baton);

static void go_to_worker(udr_adopted_t *a)
{
    udr_loop_clear_timer(a->home->loop, &a->timer);
    a->is_here = false;
    pass_to(a, UDR_OWNER_GOING);
    if (ap_mpm_register_timed_callback(0, guest, a) != APR_SUCCESS) {
        /* Out of memory, at worst: then here is better than never. */
        guest(a);
    }
}

/* --- exchanges -----------------------------------------------------------------------------------------------------
 */

/* A turn has come, on whichever thread gave its own up. */
static void wake(udr_waiter_t *waiter)
{
    udr_adopted_t *a = waiter->baton;
    /* Posted already: the loop will look. */
    if (apr_atomic_xchg32(&a->wake_is_posted, 1) == 0) {
        udr_loop_post(a->home->loop, &a->wake_task);
    }
}

static void settle(udr_adopted_t *a)
{
    request_rec *r = a->r;
    udr_client_t *client = a->client;
    udr_loop_clear_timer(a->home->loop, &a->timer);
    if (!udr_handler_is_plain(client)) {
        a->job = JOB_FINISH;
        go_to_worker(a);
        return;
    }
    a->r = NULL;
    a->client = NULL;
    (void)udr_handler_finish(client);
    ap_finalize_request_protocol(r);
    ap_process_request_after_handler(r);
    after_request(a);
}

static void member_ready(udr_watch_t *watch, uint32_t events);

/* Waits for what the exchange waits for. */
static void arm(udr_adopted_t *a)
{
    udr_connection_t *connection = udr_exchange_connection(a->client->exchange);
    apr_time_t until = udr_exchange_wait(a->client->exchange)->until;
    if (connection) {
        connection->watch.baton = a;
        if (!connection->loop) {
            connection->watch.ready = member_ready;
            if (udr_loop_watch(a->home->loop, &connection->watch, connection->fd) == APR_SUCCESS) {
                connection->loop = a->home->loop;
            } else if (udr_loop_now(a->home->loop) + THROUGH_PAUSE < until) {
                until =
                    udr_loop_now(a->home->loop) + THROUGH_PAUSE; /* not to be watched: then asked, again and again */
            }
        }
    }
    if (a->client_left_at && a->client_left_at + GONE_AFTER < until) {
        until = a->client_left_at + GONE_AFTER;
    }
    udr_loop_set_timer(a->home->loop, &a->timer, until);
}

static void advance(udr_adopted_t *a, unsigned int ready)
{
    apr_time_t now = udr_clock_now();
    /* While the client still sends, the end of what it sends is for the body to tell; and an answer that comes is
     * passed on. */
    bool has_more = (ready & UDR_READY_MEMBER_IN) || !udr_exchange_body_taken(a->client->exchange);
    if (a->client_left_at && has_more) {
        a->client_left_at = now;
    } else if (a->client_left_at && now - a->client_left_at >= GONE_AFTER) {
        ready |= UDR_READY_CLIENT_GONE;
    }
    if (a->c->aborted) {
        ready |= UDR_READY_CLIENT_GONE;
    }
    if (udr_exchange_run(a->client->exchange, &a->home->scratch, ready, now)) {
        arm(a);
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
    /* Writability is reported with every answer: it is news only to who waits for it. */
    if (ready == UDR_READY_MEMBER_OUT && !(udr_exchange_wait(a->client->exchange)->member & EPOLLOUT)) {
        return;
    }
    advance(a, ready);
}

static void woken(udr_task_t *task)
{
    udr_adopted_t *a = task->baton;
    apr_atomic_set32(&a->wake_is_posted, 0);
    if (a->is_here && a->phase == PHASE_EXCHANGE) {
        advance(a, 0);
    }
}

/* --- requests ------------------------------------------------------------------------------------------------------
 */

typedef enum head_t { HEAD_NONE, HEAD_PART, HEAD_WHOLE, HEAD_LARGE, HEAD_GONE } head_t;

static bool has_empty_line(const char *data, apr_size_t len)
{
    const char *end = data + len;
    for (const char *s = data; (s = memchr(s, '\n', (apr_size_t)(end - s))) != NULL;) {
        s++;
        if (s < end && *s == '\n') {
            return true;
        }
        if (end - s >= 2 && s[0] == '\r' && s[1] == '\n') {
            return true;
        }
    }
    return false;
}

/* Looks, without taking anything, whether the head of the next request is there; through the input filters, so that TLS
 * is the same. */
static head_t look_for_head(udr_adopted_t *a)
{
    head_t found = HEAD_GONE;
    apr_size_t len = HEAD_MAX;
    apr_status_t rv = ap_get_brigade(a->c->input_filters, a->bb, AP_MODE_SPECULATIVE, APR_NONBLOCK_READ, HEAD_MAX);
    if (APR_STATUS_IS_EAGAIN(rv) || (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(a->bb))) {
        found = HEAD_NONE;
    } else if (rv == APR_SUCCESS && apr_brigade_flatten(a->bb, a->home->scratch.ptr, &len) == APR_SUCCESS && len > 0) {
        if (has_empty_line(a->home->scratch.ptr, len)) {
            found = HEAD_WHOLE;
        } else {
            found = len < HEAD_MAX ? HEAD_PART : HEAD_LARGE;
        }
    }
    apr_brigade_cleanup(a->bb);
    return found;
}

static void let_worker_read(udr_adopted_t *a)
{
    a->head_begun = 0;
    a->job = JOB_READ;
    go_to_worker(a);
}

/* Reads the request whose head is there and runs it through httpd's hooks; our handler starts an exchange, another one
 * goes to a worker. */
static void serve(udr_adopted_t *a)
{
    conn_rec *c = a->c;
    udr_loop_clear_timer(a->home->loop, &a->timer);
    a->head_begun = 0;
    a->phase = PHASE_SERVE;
    c->keepalive = AP_CONN_UNKNOWN;
    c->cs->state = CONN_STATE_READ_REQUEST_LINE;
    request_rec *r = ap_read_request(c);
    if (!r || r->status != HTTP_OK) {
        bury(a);
        return;
    }
    a->keep_alive_timeout = r->server->keep_alive_timeout;
    a->timeout = r->server->timeout;
    c->cs->state = CONN_STATE_HANDLER;
    a->serving_since = udr_clock_now();
    ap_process_async_request(r);
    if (c->cs->state != CONN_STATE_SUSPENDED) {
        after_request(a);
    } else if (a->job != JOB_NONE) {
        go_to_worker(a); /* not before httpd has let go of the request */
    } else {
        arm(a);
    }
}

static bool has_slow_hooks(const udr_adopted_t *a)
{
    return a->member && a->member->slow_until > udr_loop_now(a->home->loop);
}

/* Serves the next request if its head is there. Returns whether to look for another. */
static bool take_request(udr_adopted_t *a)
{
    switch (look_for_head(a)) {
    case HEAD_NONE:
        if (a->client_left_at) {
            bury(a);
        } else {
            set_timer(a, a->keep_alive_timeout);
        }
        return false;
    case HEAD_PART:
        if (!a->head_begun) {
            a->head_begun = udr_loop_now(a->home->loop);
            set_timer(a, HEAD_TIME);
        }
        return false;
    case HEAD_WHOLE:
        if (has_slow_hooks(a)) {
            let_worker_read(a);
            return false;
        }
        serve(a);
        return true;
    case HEAD_LARGE:
        let_worker_read(a);
        return false;
    case HEAD_GONE:
        bury(a);
        return false;
    }
    return false;
}

static void next_request(udr_adopted_t *a)
{
    a->phase = PHASE_REQUEST;
    a->is_in_row = true;
    for (int i = 0; i < IN_A_ROW && a->is_here && a->phase == PHASE_REQUEST; i++) {
        if (!take_request(a)) {
            break;
        }
    }
    a->is_in_row = false;
    if (a->is_here && a->phase == PHASE_REQUEST && !a->timer.place) {
        /* A client that sends without end must not keep the others waiting. */
        if (!a->is_deferred) {
            a->is_deferred = true;
            udr_loop_defer(a->home->loop, &a->again_task);
        }
    }
}

/* A request has ended (r may be freed already): the client gets the rest of its response, and is kept or closed. */
static void after_request(udr_adopted_t *a)
{
    conn_rec *c = a->c;
    apr_status_t rv = c->aborted ? APR_ECONNABORTED : udr_client_write_pending(c);
    if (rv == APR_EAGAIN) {
        a->phase = PHASE_WRITE;
        set_timer(a, a->timeout);
    } else if (rv != APR_SUCCESS || c->keepalive != AP_CONN_KEEPALIVE || a->home->is_stopping) {
        bury(a);
    } else {
        udr_loop_clear_timer(a->home->loop, &a->timer);
        a->phase = PHASE_REQUEST;
        a->head_begun = 0;
        if (!a->is_in_row) {
            next_request(a);
        }
    }
}

/* --- events of the client ------------------------------------------------------------------------------------------
 */

static void discard(udr_adopted_t *a)
{
    char bytes[4096];
    apr_size_t len;
    apr_status_t rv;
    do {
        len = sizeof bytes;
        rv = apr_socket_recv(ap_get_conn_socket(a->c), bytes, &len);
    } while (rv == APR_SUCCESS && len > 0);
    if (!APR_STATUS_IS_EAGAIN(rv) && !APR_STATUS_IS_TIMEUP(rv)) {
        set_timer(a, 0);
    }
}

static void client_ready(udr_watch_t *watch, uint32_t events)
{
    udr_adopted_t *a = watch->baton;
    unsigned int ready = 0;
    if ((events & EPOLLRDHUP) && !a->client_left_at) {
        a->client_left_at = udr_loop_now(a->home->loop);
    }
    if (!a->is_here) {
        return; /* looked for when it comes back: reads and writes are tried before they are waited for */
    }
    switch (a->phase) {
    case PHASE_EXCHANGE:
        ready |= (events & EPOLLIN) ? UDR_READY_CLIENT_IN : 0;
        ready |= (events & EPOLLOUT) ? UDR_READY_CLIENT_OUT : 0;
        ready |= (events & (EPOLLHUP | EPOLLERR)) ? UDR_READY_CLIENT_GONE : 0;
        if (ready) {
            advance(a, ready);
        } else {
            arm(a);
        }
        break;
    case PHASE_REQUEST:
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
            next_request(a);
        }
        break;
    case PHASE_WRITE:
        if (events & (EPOLLHUP | EPOLLERR)) {
            a->c->aborted = 1;
        }
        after_request(a);
        break;
    case PHASE_LINGER:
        discard(a);
        break;
    case PHASE_SERVE:
    case PHASE_THROUGH:
        break;
    }
}

/* --- the end -------------------------------------------------------------------------------------------------------
 */

static void vanish(udr_task_t *task)
{
    udr_adopted_t *a = task->baton;
    conn_rec *c = a->c;
    c->cs->state = CONN_STATE_SUSPENDED; /* what the MPM counts it as */
    apr_socket_close(ap_get_conn_socket(c));
    apr_pool_destroy(c->pool); /* a with it; the MPM's cleanups correct its counts */
}

/* At the end of the round: until then, whoever has called may look at it. */
static void destroy(udr_adopted_t *a)
{
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
    a->home->count--;
    a->is_here = false;
    pass_to(a, UDR_OWNER_GONE);
    a->task.run = vanish;
    udr_loop_defer(a->home->loop, &a->task);
}

/* The worker that handed the connection over still writes to it (c->sbh, its own state) after the suspend_connection
 * hook. It is through when its scoreboard slot no longer says what the hook put there. */
static bool is_worker_through(udr_adopted_t *a)
{
    if (a->slot && a->slot->status == SERVER_BUSY_LOG) {
        return false;
    }
    a->slot = NULL;
    return true;
}

static void bury(udr_adopted_t *a)
{
    if (!is_worker_through(a) || apr_atomic_read32(&a->wake_is_posted)) {
        a->phase = PHASE_THROUGH;
        set_timer(a, THROUGH_PAUSE);
        return;
    }
    a->c->cs->state = CONN_STATE_SUSPENDED;
    if (a->c->aborted || ap_start_lingering_close(a->c)) {
        destroy(a);
        return;
    }
    a->phase = PHASE_LINGER;
    apr_socket_timeout_set(ap_get_conn_socket(a->c), 0);
    set_timer(a, LINGER);
    discard(a);
}

static void expired(udr_timer_t *timer)
{
    udr_adopted_t *a = timer->baton;
    switch (a->phase) {
    case PHASE_EXCHANGE:
        advance(a, 0);
        break;
    case PHASE_REQUEST:
        if (a->head_begun) {
            let_worker_read(a);
        } else {
            bury(a);
        }
        break;
    case PHASE_WRITE:
        a->c->aborted = 1;
        bury(a);
        break;
    case PHASE_THROUGH:
        bury(a);
        break;
    case PHASE_LINGER:
        destroy(a);
        break;
    case PHASE_SERVE:
        break;
    }
}

void udr_adopted_close_idle(udr_home_t *home)
{
    for (udr_adopted_t *a = home->first, *next; a; a = next) {
        next = a->next;
        /* A request that has arrived meanwhile is still served; httpd says `Connection: close` with it. */
        if (a->is_here && a->phase == PHASE_REQUEST && !a->head_begun) {
            next_request(a);
            if (a->is_here && a->phase == PHASE_REQUEST && !a->head_begun) {
                bury(a);
            }
        }
    }
}

/* --- on a worker ---------------------------------------------------------------------------------------------------
 */

/* What ap_invoke_handler() and ap_process_async_request() do with a handler's result. */
static void end_request(request_rec *r, int rc)
{
    if (rc == DECLINED || rc == SUSPENDED) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, UDRNO(0019) "handler '%s' %s", r->handler ? r->handler : "(none)",
                      rc == DECLINED ? "is not found" : "suspends a request on an adopted connection, which can't be");
        rc = HTTP_INTERNAL_SERVER_ERROR;
    } else if (rc != OK && rc != DONE && rc != AP_FILTER_ERROR && !ap_is_HTTP_VALID_RESPONSE(rc)) {
        rc = HTTP_INTERNAL_SERVER_ERROR;
    }
    if (rc != OK && rc != DONE) {
        r->status = HTTP_OK; /* ap_die() would take it for an error within an error page */
    }
    ap_die(rc, r);
    ap_process_request_after_handler(r);
}

static void run_handler(udr_adopted_t *a)
{
    request_rec *r = a->r;
    const char *before = r->handler;
    r->handler = a->handler;
    int rc = ap_run_handler(r);
    r->handler = before;
    end_request(r, rc);
}

static void read_and_serve(udr_adopted_t *a)
{
    conn_rec *c = a->c;
    c->keepalive = AP_CONN_UNKNOWN;
    c->cs->state = CONN_STATE_READ_REQUEST_LINE;
    request_rec *r = ap_read_request(c);
    if (!r || r->status != HTTP_OK) {
        c->keepalive = AP_CONN_CLOSE;
        return;
    }
    a->keep_alive_timeout = r->server->keep_alive_timeout;
    a->timeout = r->server->timeout;
    c->cs->state = CONN_STATE_HANDLER;
    ap_process_async_request(r);
}

/* What modules keep by thread (mod_lua its interpreter) goes by c->current_thread. */
static apr_thread_t *this_thread(void)
{
#if AP_HAS_THREAD_LOCAL
    return ap_thread_current();
#else
    return NULL;
#endif
}

/* On a worker thread, called by the MPM. */
static void guest(void *baton)
{
    udr_adopted_t *a = baton;
    job_t job = a->job;
    pass_to(a, UDR_OWNER_GUEST);
    a->job = JOB_NONE;
    a->c->current_thread = this_thread();
    if (job == JOB_HANDLER) {
        run_handler(a);
    } else if (job == JOB_FINISH) {
        end_request(a->r, udr_handler_finish(a->client));
    } else {
        read_and_serve(a);
    }
    if (a->owner == UDR_OWNER_GUEST) {
        a->r = NULL;
        a->client = NULL;
    }
    post(a); /* the loop's from here on */
}

/* --- arrival -------------------------------------------------------------------------------------------------------
 */

/* The MPM gives a connection the number of the worker that serves it, and mod_cgid finds a script to kill by that
 * number. An adopted one must not go by a number that the worker uses again. */
static long unique_id(void)
{
    static apr_uint32_t count; /* atomic */
    return ((long)getpid() << 24) | (long)(apr_atomic_inc32(&count) & 0xffffff);
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
    home->count++;
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
    pass_to(a, UDR_OWNER_LOOP);
    a->is_here = true;
    a->c->current_thread = a->home->thread;
    if (is_new && !move_in(a)) {
        a->c->aborted = 1;
        bury(a);
    } else if (a->client) {
        a->phase = PHASE_EXCHANGE;
        advance(a, UDR_READY_MEMBER_IN);
    } else {
        after_request(a);
    }
}

static void again(udr_task_t *task)
{
    udr_adopted_t *a = task->baton;
    a->is_deferred = false;
    if (a->is_here && a->phase == PHASE_REQUEST) {
        next_request(a);
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
    a->wake_task.run = woken;
    a->wake_task.baton = a;
    a->again_task.run = again;
    a->again_task.baton = a;
    a->bb = apr_brigade_create(c->pool, c->bucket_alloc);
    return a;
}

/* --- what the handler asks -----------------------------------------------------------------------------------------
 */

/* Filters that neither block nor burn. */
static bool is_cheap(const ap_filter_t *filter)
{
    static const char *const names[] = {
        "content_length",    "http_header",      "http_outerror",  "core",      "byterange",        "chunk",
        "log_input_output",  "reqtimeout",       "ssl/tls filter", "old_write", "ssl/tls coalesce", "fixup_headers_out",
        "udsroute_trailers", "fixup_headers_err"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(filter->frec->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_cheap_filters(const request_rec *r)
{
    for (const ap_filter_t *f = r->output_filters; f; f = f->next) {
        if (!is_cheap(f)) {
            return false;
        }
    }
    return r->input_filters == r->proto_input_filters;
}

bool udr_adopted_may_park(request_rec *r)
{
    conn_rec *c = r->connection;
    return udr_loops_count() > 0 && !udr_loops_here() && !r->main && !r->prev && !c->master && c->cs &&
           !c->clogging_input_filters && has_cheap_filters(r);
}

bool udr_adopted_has_earned(request_rec *r)
{
    return udr_conn_get(r->connection)->routed > 1 && r->server->keep_alive && r->proto_num >= HTTP_VERSION(1, 1) &&
           !ap_find_token(r->pool, apr_table_get(r->headers_in, "Connection"), "close");
}

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
    if (udr_loops_here()) {
        a->phase = PHASE_EXCHANGE;
        return;
    }
    client->is_parked = true;
    a->keep_alive_timeout = r->server->keep_alive_timeout;
    a->timeout = r->server->timeout;
    pass_to(a, UDR_OWNER_LEAVING);
    udr_exchange_move(client->exchange, wake, a, a->home->lane);
}

void udr_adopted_send_to_worker(request_rec *r, udr_client_t *client)
{
    udr_adopted_t *a = udr_conn_get(r->connection)->adopted;
    a->r = r;
    a->client = client;
    a->handler = r->handler;
    a->job = client ? JOB_FINISH : JOB_HANDLER;
}

void udr_adopted_plan(const request_rec *r, udr_exchange_plan_t *plan)
{
    udr_adopted_t *a = udr_conn_get(r->connection)->adopted;
    apr_time_t now = udr_clock_now();
    if (now - a->serving_since > SLOW_HOOKS) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      "the hooks before the handler took %ld us: for a while workers read requests for member %s",
                      (long)(now - a->serving_since), plan->member->target->text);
        plan->member->slow_until = now + SLOW_PERIOD;
    }
    a->member = plan->member;
    plan->wake = wake;
    plan->wake_baton = a;
    plan->lane = a->home->lane;
}

int udr_adopted_guard(request_rec *r)
{
    if (!udr_loops_here() || r->main || r->prev) {
        return DECLINED;
    }
    if ((udr_match_get(r) || udr_sethandler_is_ours(r)) && has_cheap_filters(r)) {
        return DECLINED;
    }
    udr_adopted_send_to_worker(r, NULL);
    return SUSPENDED;
}

void udr_adopted_suspend(conn_rec *c, request_rec *r)
{
    udr_adopted_t *a = udr_conn_get(c)->adopted;
    (void)r;
    if (!a || a->owner != UDR_OWNER_LEAVING || c->cs->state != CONN_STATE_SUSPENDED) {
        return;
    }
    a->slot = ap_get_scoreboard_worker(c->sbh);
    ap_update_child_status(c->sbh, SERVER_BUSY_LOG, NULL);
    c->sbh = NULL;
    post(a);
}
