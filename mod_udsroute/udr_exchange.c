/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_exchange_private.h"
#include "mod_udsroute/udr_retry.h"

#include <apr_strings.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A full backlog is asked again after 1 ms, then after ever longer pauses up to this one. */
#define CONNECT_PAUSE_FIRST apr_time_from_msec(1)
#define CONNECT_PAUSE_MAX   apr_time_from_msec(50)

/* One try on a pooled connection, one on a new one: a second new one would meet the same member. */
#define ATTEMPTS_MAX 2

#define FOREVER apr_time_from_sec(3600)

static const struct {
    const char *name;
    unsigned int next; /* the states that may follow, as bits */
} states[UDR_EXCHANGE_STATES] = {
#define TO(state) (1U << UDR_EXCHANGE_##state)
    [UDR_EXCHANGE_START] = {"start", TO(TURN) | TO(CONNECT) | TO(SEND) | TO(FAILED)},
    [UDR_EXCHANGE_TURN] = {"turn", TO(CONNECT) | TO(SEND) | TO(FAILED)},
    [UDR_EXCHANGE_CONNECT] = {"connect", TO(SEND) | TO(FAILED)},
    [UDR_EXCHANGE_SEND] = {"send", TO(HEAD) | TO(RELAY) | TO(START) | TO(FAILED)},
    [UDR_EXCHANGE_HEAD] = {"head", TO(RELAY) | TO(START) | TO(FAILED)},
    [UDR_EXCHANGE_RELAY] = {"relay", TO(DONE) | TO(FAILED)},
    [UDR_EXCHANGE_DONE] = {"done", 0},
    [UDR_EXCHANGE_FAILED] = {"failed", 0},
#undef TO
};

const char *udr_exchange_state_name(udr_exchange_state_t state)
{
    return states[state].name;
}

bool udr_exchange_has_edge(udr_exchange_state_t from, udr_exchange_state_t to)
{
    return (states[from].next & (1U << to)) != 0;
}

void udr_exchange_trace(udr_exchange_t *x, const char *step, const char *format, ...)
{
    if (x->plan.ops->trace) {
        char text[512];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        x->plan.ops->trace(x->plan.client, step, text);
    }
}

/* The only place that moves from one state to another. An edge that is not in the table is a bug of ours. */
void udr_exchange_transit(udr_exchange_t *x, udr_exchange_state_t to)
{
    if (!udr_exchange_has_edge(x->state, to)) {
        fprintf(stderr, "mod_udsroute: no edge from state %s to %s\n", states[x->state].name, states[to].name);
        abort();
    }
    x->state = to;
    if (to == UDR_EXCHANGE_DONE || to == UDR_EXCHANGE_FAILED) {
        x->times.ended = x->now;
    }
}

bool udr_exchange_has_ended(const udr_exchange_t *x)
{
    return x->state == UDR_EXCHANGE_DONE || x->state == UDR_EXCHANGE_FAILED;
}

static void drop_connection(udr_exchange_t *x)
{
    if (x->connection) {
        udr_connection_close(x->connection);
        x->connection = NULL;
    }
    x->connected = false;
}

/* Where a limit holds for all lanes together, a connection that only one of them could use would count against the
 * others: it goes to the common lane, unwatched. */
static int lane_to_keep(udr_exchange_t *x)
{
    if (x->settings->max == 0) {
        return x->plan.lane;
    }
    if (x->connection->loop) {
        udr_loop_unwatch(x->connection->loop, &x->connection->watch);
        x->connection->loop = NULL;
    }
    return 0;
}

/* Gives the turn back, and the connection with it if it may serve others. */
void udr_exchange_release(udr_exchange_t *x, bool keep)
{
    if (!keep) {
        drop_connection(x);
    }
    if (x->has_turn) {
        udr_exchange_trace(x, "release", "connection %s", keep ? "kept" : "closed");
        udr_pool_give(x->plan.member->pool, x->connection, keep ? lane_to_keep(x) : 0);
        x->has_turn = false;
    }
    x->connection = NULL;
    x->connected = false;
}

static bool may_try_again(const udr_exchange_t *x, udr_failure_kind_t kind)
{
    udr_attempt_t attempt = {
        .connected = x->connected,
        .reused = x->reused,
        .wrote = x->sender.wrote,
        .closed = kind == UDR_FAILURE_CLOSED,
        .response_begun = x->receiver.begun,
        .idempotent = udr_request_is_idempotent(x->plan.request),
        .body_replayable = !x->sender.body_touched,
    };
    return kind == UDR_FAILURE_CLOSED && x->reused && x->attempts < ATTEMPTS_MAX && udr_retry_is_safe(&attempt);
}

void udr_exchange_fail(udr_exchange_t *x, udr_failure_kind_t kind, apr_status_t error, const char *why)
{
    if (may_try_again(x, kind)) {
        udr_exchange_trace(x, "retry", "pooled connection was closed by the member (%s): once more on a new one",
                           why ? why : "reset");
        drop_connection(x);
        x->fresh_only = true;
        udr_exchange_transit(x, UDR_EXCHANGE_START);
        return;
    }
    x->failure.kind = kind;
    x->failure.state = x->state;
    x->failure.error = error;
    x->failure.why = why;
    udr_exchange_release(x, false);
    udr_exchange_transit(x, UDR_EXCHANGE_FAILED);
}

/* --- the steps up to a connection ----------------------------------------------------------------------------------
 */

static void begin_to_send(udr_exchange_t *x)
{
    x->connected = true;
    x->connection->requests++;
    x->reused = x->connection->requests > 1;
    x->member_active = x->now;
    x->client_active = x->now;
    x->member_was_due = false;
    x->client_was_due = false;
    if (x->reused) {
        udr_exchange_trace(x, "pool", "idle connection taken, request %u on it", x->connection->requests);
    } else {
        udr_exchange_trace(x, "connect", "connected in %ld us", (long)(x->times.connected - x->times.connecting));
    }
    udr_exchange_transit(x, UDR_EXCHANGE_SEND);
    udr_exchange_receive_init(x);
    udr_exchange_send_init(x);
}

/* Half of the pause is fixed and half chance, so that those who wait do not come back all at once. */
static apr_interval_time_t with_jitter(const udr_exchange_t *x, apr_interval_time_t pause)
{
    apr_uint64_t mixed = ((apr_uint64_t)x->now ^ (apr_uint64_t)(uintptr_t)x) * 0x9E3779B97F4A7C15U;
    return pause / 2 + (apr_interval_time_t)((mixed >> 33) % (apr_uint64_t)pause);
}

static void wait_for_backlog(udr_exchange_t *x)
{
    if (x->now - x->times.connecting >= x->settings->connect_timeout) {
        udr_exchange_fail(x, UDR_FAILURE_CONNECT_TIMEOUT, EAGAIN, NULL);
        return;
    }
    x->connect_again = x->now + with_jitter(x, x->connect_pause);
    x->connect_pause = x->connect_pause * 2 < CONNECT_PAUSE_MAX ? x->connect_pause * 2 : CONNECT_PAUSE_MAX;
    udr_exchange_trace(x, "connect", "listen backlog is full, trying again in %ld us",
                       (long)(x->connect_again - x->now));
}

/* CONNECT: one try. Leaves the state when it is decided. */
static void try_to_connect(udr_exchange_t *x)
{
    const char *who;
    apr_status_t rv = udr_connection_connect(x->connection, x->plan.member->target->address);
    if (rv == EAGAIN) {
        wait_for_backlog(x);
    } else if (rv != APR_SUCCESS) {
        udr_exchange_fail(x, UDR_FAILURE_CONNECT, rv, NULL);
    } else if (x->settings->peer && !udr_connection_check_peer(x->connection, x->settings->peer, &who, x->pool)) {
        udr_exchange_fail(x, UDR_FAILURE_PEER, APR_SUCCESS, who);
    } else {
        /* At least a microsecond: 0 says in the log that there was no connecting. */
        apr_time_t connected = udr_clock_now();
        x->times.connected = connected > x->times.connecting ? connected : x->times.connecting + 1;
        begin_to_send(x);
    }
}

static void connect_anew(udr_exchange_t *x)
{
    apr_status_t rv = udr_connection_create(&x->connection);
    if (rv != APR_SUCCESS) {
        udr_exchange_fail(x, UDR_FAILURE_SOCKET, rv, NULL);
        return;
    }
    x->times.connecting = x->now;
    x->connect_pause = CONNECT_PAUSE_FIRST;
    udr_exchange_transit(x, UDR_EXCHANGE_CONNECT);
    try_to_connect(x);
}

/* With a turn: a pooled connection if there is a good one, else a new one. */
static void use_turn(udr_exchange_t *x)
{
    x->has_turn = true;
    x->attempts++;
    if (!x->times.turn) {
        x->times.turn = x->now;
    }
    x->connection = x->fresh_only ? NULL : udr_pool_idle(x->plan.member->pool, x->plan.lane);
    if (x->connection) {
        x->times.connecting = 0;
        x->times.connected = x->now;
        begin_to_send(x);
    } else {
        connect_anew(x);
    }
}

static void start(udr_exchange_t *x)
{
    udr_exchange_trace(x, "pick", "member %s, attempt %d", x->plan.member->target->text, x->attempts + 1);
    if (x->has_turn || udr_pool_take(x->plan.member->pool, &x->waiter) == APR_SUCCESS) {
        use_turn(x);
        return;
    }
    udr_exchange_trace(x, "pool", "all %d connections are in use, waiting for a turn", x->settings->max);
    udr_exchange_transit(x, UDR_EXCHANGE_TURN);
}

static void wait_for_turn(udr_exchange_t *x)
{
    if (udr_pool_take(x->plan.member->pool, &x->waiter) == APR_SUCCESS) {
        use_turn(x);
    } else if (x->now - x->times.begun >= x->settings->acquire) {
        udr_pool_leave(x->plan.member->pool, &x->waiter);
        udr_exchange_fail(x, UDR_FAILURE_TURN, APR_SUCCESS, NULL);
    }
}

/* --- sending and receiving -----------------------------------------------------------------------------------------
 */

/* The member owes us something: the response, or room for the request. */
static bool is_member_due(const udr_exchange_t *x)
{
    if (x->receiver.client_full) {
        return false;
    }
    return x->sender.member_full || x->sender.done || x->sender.broken;
}

static bool is_client_due(const udr_exchange_t *x)
{
    return x->receiver.client_full || (x->sender.client_empty && !x->sender.awaits_continue);
}

/* Whose turn it is has its time counted from when it became so, or from the last thing it did. */
static void check_timeouts(udr_exchange_t *x)
{
    bool member_is_due = is_member_due(x);
    bool client_is_due = is_client_due(x);
    if (member_is_due && !x->member_was_due) {
        x->member_active = x->now;
    }
    if (client_is_due && !x->client_was_due) {
        x->client_active = x->now;
    }
    x->member_was_due = member_is_due;
    x->client_was_due = client_is_due;
    if (member_is_due && x->now - x->member_active >= x->settings->timeout) {
        udr_exchange_fail(x, UDR_FAILURE_TIMEOUT, APR_SUCCESS, NULL);
    } else if (client_is_due && x->now - x->client_active >= x->plan.client_timeout) {
        udr_exchange_fail(x, UDR_FAILURE_CLIENT_TIMEOUT, APR_SUCCESS, NULL);
    }
}

/* Sends and receives until neither gets any further. */
static void converse(udr_exchange_t *x)
{
    bool awaited;
    do {
        awaited = x->sender.awaits_continue;
        if (!x->sender.done && !x->sender.broken) {
            udr_exchange_send(x);
        }
        if (x->state == UDR_EXCHANGE_SEND && (x->sender.done || x->sender.broken)) {
            udr_exchange_transit(x, UDR_EXCHANGE_HEAD);
        }
        if (!udr_exchange_has_ended(x) && x->receiver.readable) {
            udr_exchange_receive(x);
        }
        /* A 100 Continue sets the body in motion. */
    } while (!udr_exchange_has_ended(x) && x->state != UDR_EXCHANGE_START && awaited && !x->sender.awaits_continue);
    if (x->state == UDR_EXCHANGE_RELAY) {
        udr_exchange_flush_if_due(x);
    }
    if (x->state != UDR_EXCHANGE_START && !udr_exchange_has_ended(x)) {
        check_timeouts(x);
    }
}

/* --- waiting -------------------------------------------------------------------------------------------------------
 */

static void wait_until(udr_exchange_t *x, apr_time_t time)
{
    if (time < x->wait.until) {
        x->wait.until = time;
    }
}

static void wait_in_conversation(udr_exchange_t *x)
{
    const udr_sender_t *sender = &x->sender;
    const udr_receiver_t *receiver = &x->receiver;
    if (!sender->done && !sender->broken) {
        if (sender->member_full) {
            x->wait.member |= POLLOUT;
        } else if (sender->client_empty) {
            x->wait.client |= POLLIN;
            wait_until(x, sender->client_look_again);
        } else if (sender->awaits_continue) {
            wait_until(x, sender->continue_until);
        }
    }
    if (receiver->client_full) {
        x->wait.client |= POLLOUT;
    } else {
        x->wait.member |= POLLIN;
        if (receiver->flush_at) {
            wait_until(x, receiver->flush_at);
        }
    }
    if (is_member_due(x)) {
        wait_until(x, x->member_active + x->settings->timeout);
    }
    if (is_client_due(x)) {
        wait_until(x, x->client_active + x->plan.client_timeout);
    }
}

static void set_wait(udr_exchange_t *x)
{
    x->wait = (udr_wait_t){.until = x->now + FOREVER};
    switch (x->state) {
    case UDR_EXCHANGE_TURN:
        x->wait.turn = true;
        wait_until(x, x->times.begun + x->settings->acquire);
        break;
    case UDR_EXCHANGE_CONNECT:
        wait_until(x, x->connect_again);
        wait_until(x, x->times.connecting + x->settings->connect_timeout);
        break;
    default:
        wait_in_conversation(x);
        break;
    }
}

static void take_ready(udr_exchange_t *x, unsigned int ready)
{
    if (ready & UDR_READY_MEMBER_IN) {
        x->receiver.readable = true;
    }
    if (ready & UDR_READY_MEMBER_ENDED) {
        x->receiver.readable = true;
        x->receiver.ended = true;
    }
    if (ready & UDR_READY_MEMBER_OUT) {
        x->sender.member_full = false;
    }
    if (x->sender.client_empty && ((ready & UDR_READY_CLIENT_IN) || x->now >= x->sender.client_look_again)) {
        x->sender.client_empty = false;
    }
    if (x->receiver.client_full && (ready & UDR_READY_CLIENT_OUT)) {
        apr_status_t rv = x->plan.ops->drain(x->plan.client);
        x->client_active = x->now;
        x->receiver.client_full = rv == APR_EAGAIN;
        x->receiver.readable = true;
        if (rv != APR_SUCCESS && rv != APR_EAGAIN) {
            ready |= UDR_READY_CLIENT_GONE;
        }
    }
    if ((ready & UDR_READY_CLIENT_GONE) && !udr_exchange_has_ended(x)) {
        udr_pool_leave(x->plan.member->pool, &x->waiter);
        udr_exchange_fail(x, UDR_FAILURE_CLIENT_GONE, APR_SUCCESS, NULL);
    }
}

/* One step. Returns whether another may follow at once. */
static bool step(udr_exchange_t *x)
{
    udr_exchange_state_t before = x->state;
    switch (before) {
    case UDR_EXCHANGE_START:
        start(x);
        break;
    case UDR_EXCHANGE_TURN:
        wait_for_turn(x);
        break;
    case UDR_EXCHANGE_CONNECT:
        if (x->now >= x->connect_again || x->now - x->times.connecting >= x->settings->connect_timeout) {
            try_to_connect(x);
        }
        break;
    default:
        converse(x);
        /* What can be done now has been done, unless it starts over. */
        return x->state == UDR_EXCHANGE_START;
    }
    return x->state != before && x->state != UDR_EXCHANGE_TURN && x->state != UDR_EXCHANGE_CONNECT &&
           !udr_exchange_has_ended(x);
}

bool udr_exchange_run(udr_exchange_t *x, const udr_scratch_t *scratch, unsigned int ready, apr_time_t now)
{
    x->now = now;
    x->scratch = scratch;
    if (!x->times.begun) {
        x->times.begun = now;
    }
    take_ready(x, ready);
    while (!udr_exchange_has_ended(x) && step(x)) {
    }
    x->scratch = NULL;
    if (udr_exchange_has_ended(x)) {
        return false;
    }
    set_wait(x);
    return true;
}

/* --- life and results ----------------------------------------------------------------------------------------------
 */

void udr_exchange_cancel(udr_exchange_t *x)
{
    if (!udr_exchange_has_ended(x)) {
        udr_pool_leave(x->plan.member->pool, &x->waiter);
        udr_exchange_release(x, false);
        x->failure.kind = UDR_FAILURE_CLIENT_GONE;
        x->failure.state = x->state;
        udr_exchange_transit(x, UDR_EXCHANGE_FAILED);
    }
}

static apr_status_t cancel_at_end(void *baton)
{
    udr_exchange_cancel(baton);
    return APR_SUCCESS;
}

udr_exchange_t *udr_exchange_create(const udr_exchange_plan_t *plan, apr_pool_t *p)
{
    udr_exchange_t *x = apr_pcalloc(p, sizeof *x);
    x->plan = *plan;
    x->settings = &plan->member->settings;
    x->protocol = plan->member->target->scheme->protocol;
    x->pool = p;
    x->waiter.wake = plan->wake;
    x->waiter.baton = plan->wake_baton;
    apr_pool_cleanup_register(p, x, cancel_at_end, apr_pool_cleanup_null);
    return x;
}

const udr_wait_t *udr_exchange_wait(const udr_exchange_t *x)
{
    return &x->wait;
}

int udr_exchange_fd(const udr_exchange_t *x)
{
    return x->connected ? x->connection->fd : -1;
}

udr_connection_t *udr_exchange_connection(const udr_exchange_t *x)
{
    return x->connected ? x->connection : NULL;
}

void udr_exchange_move(udr_exchange_t *x, void (*wake)(udr_waiter_t *waiter), void *wake_baton, int lane)
{
    x->plan.lane = lane;
    udr_pool_readdress(x->plan.member->pool, &x->waiter, wake, wake_baton);
}

apr_size_t udr_exchange_scratch_size(const udr_exchange_t *x)
{
    return x->settings->buffer_size;
}

udr_exchange_state_t udr_exchange_state(const udr_exchange_t *x)
{
    return x->state;
}

const udr_failure_t *udr_exchange_failure(const udr_exchange_t *x)
{
    return &x->failure;
}

const udr_times_t *udr_exchange_times(const udr_exchange_t *x)
{
    return &x->times;
}

int udr_exchange_attempts(const udr_exchange_t *x)
{
    return x->attempts;
}

bool udr_exchange_head_passed(const udr_exchange_t *x)
{
    return x->receiver.head_passed;
}

apr_uint64_t udr_exchange_moved(const udr_exchange_t *x)
{
    return x->sender.body_sent + x->receiver.relayed;
}

bool udr_exchange_body_taken(const udr_exchange_t *x)
{
    return x->plan.request->body == UDR_BODY_NONE || x->sender.body_ended;
}
