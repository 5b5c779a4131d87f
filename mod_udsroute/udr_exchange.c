/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_exchange_private.h"
#include "mod_udsroute/udr_retry.h"
#include "mod_udsroute/udr_runtime.h"

#include <apr_strings.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With one member: one try on a pooled connection, one on a new one. */
#define TRIES_MAX 2

/* Over all members: a request that makes applications fall over must not go round. */
#define UNANSWERED_MAX 3

/* What one run moves at most before the runner's other exchanges have their turn. */
#define RUN_BUDGET (512 * 1024)
#define PIECE_COST 2048

static const struct {
    const char *name;
    unsigned int next; /* the states that may follow, as bits */
} states[UDR_EXCHANGE_STATES] = {
#define TO(state) (1U << UDR_EXCHANGE_##state)
    [UDR_EXCHANGE_START] = {"start", TO(START) | TO(HOLD) | TO(QUEUE) | TO(TURN) | TO(CONNECT) | TO(SEND) | TO(FAILED)},
    [UDR_EXCHANGE_HOLD] = {"hold", TO(START) | TO(QUEUE) | TO(TURN) | TO(CONNECT) | TO(SEND) | TO(FAILED)},
    [UDR_EXCHANGE_QUEUE] = {"queue", TO(START) | TO(TURN) | TO(CONNECT) | TO(SEND) | TO(FAILED)},
    [UDR_EXCHANGE_TURN] = {"turn", TO(START) | TO(CONNECT) | TO(SEND) | TO(FAILED)},
    [UDR_EXCHANGE_CONNECT] = {"connect", TO(START) | TO(SEND) | TO(FAILED)},
    [UDR_EXCHANGE_SEND] = {"send", TO(HEAD) | TO(RELAY) | TO(START) | TO(FAILED)},
    [UDR_EXCHANGE_HEAD] = {"head", TO(RELAY) | TO(TUNNEL) | TO(START) | TO(FAILED)},
    [UDR_EXCHANGE_RELAY] = {"relay", TO(DONE) | TO(FAILED)},
    [UDR_EXCHANGE_TUNNEL] = {"tunnel", TO(DONE) | TO(FAILED)},
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

void udr_exchange_tell(udr_exchange_t *x, const char *step, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    x->plan.ops->trace(x->plan.client, step, text);
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
        udr_exchange_give_back_pipe(x);
        udr_exchange_end_pick(x, to == UDR_EXCHANGE_DONE);
    }
}

/* Between two frames, as far as the member takes it now. */
static void tell_to_abort(const udr_exchange_t *x)
{
    const struct iovec word = {.iov_base = (void *)(uintptr_t)x->protocol->abort.ptr,
                               .iov_len = x->protocol->abort.len};
    apr_size_t sent;
    if (word.iov_len && x->sender.wrote && x->sender.count == 0 && !x->sender.broken && !x->receiver.is_complete) {
        (void)udr_connection_send(x->connection, &word, 1, &sent);
    }
}

static void drop_connection(udr_exchange_t *x)
{
    if (x->connection) {
        tell_to_abort(x);
        udr_connection_close(x->connection);
        x->connection = NULL;
    }
    x->connected = false;
}

/* Gives the turn back, and the connection with it if it may serve others. */
void udr_exchange_release(udr_exchange_t *x, bool keep)
{
    if (!keep) {
        drop_connection(x);
    }
    udr_hunger_end(&x->hunger); /* before it is given back: it may answer another's call, not its own */
    if (x->has_turn) {
        udr_exchange_trace(x, "release", "connection %s", keep ? "kept" : "closed");
        udr_pool_give(x->member->pool, x->connection, keep && x->connection->loop ? x->plan.lane : 0);
        x->has_turn = false;
    }
    x->connection = NULL;
    x->connected = false;
}

void udr_exchange_spend(udr_exchange_t *x, apr_size_t bytes)
{
    /* A small piece costs as much time as a larger one. */
    apr_size_t cost = bytes < PIECE_COST ? PIECE_COST : bytes;
    x->budget -= cost < x->budget ? cost : x->budget;
}

/* Whether nothing would be lost or done twice. */
static bool is_safe_to_repeat(const udr_exchange_t *x, udr_failure_kind_t kind)
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
    return udr_retry_is_safe(&attempt);
}

/* Failures that have nothing to do with this request or its client. */
static bool is_of_member(udr_failure_kind_t kind)
{
    return kind == UDR_FAILURE_QUEUE || kind == UDR_FAILURE_TURN || kind == UDR_FAILURE_CONNECT ||
           kind == UDR_FAILURE_CONNECT_TIMEOUT || kind == UDR_FAILURE_PEER || kind == UDR_FAILURE_CLOSED;
}

void udr_exchange_fail(udr_exchange_t *x, udr_failure_kind_t kind, apr_status_t error, const char *why)
{
    bool is_safe = is_of_member(kind) && is_safe_to_repeat(x, kind);
    x->unanswered += kind == UDR_FAILURE_CLOSED && x->sender.wrote;
    is_safe = is_safe && x->unanswered < UNANSWERED_MAX;
    if (is_safe && kind == UDR_FAILURE_CLOSED && x->reused && x->tries < TRIES_MAX) {
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
    /* One that was used before has understood what it was asked. */
    bool is_unanswered = kind == UDR_FAILURE_CLOSED || kind == UDR_FAILURE_TIMEOUT;
    if (is_unanswered && x->connected && !x->reused && !x->receiver.begun) {
        x->failure.suspicion =
            udr_runtime_suspect(udr_runtime_process(x->connection->fd), x->member->target->scheme, x->pool);
    }
    bool has_others = udr_exchange_leave_member(x, kind, error);
    udr_exchange_release(x, false);
    if (is_safe && has_others) {
        udr_exchange_trace(x, "retry", "member %s failed: another one", x->member->target->text);
        x->fresh_only = false;
        x->tries = 0;
        udr_exchange_transit(x, UDR_EXCHANGE_START);
        return;
    }
    udr_exchange_transit(x, UDR_EXCHANGE_FAILED);
}

/* --- sending and receiving -----------------------------------------------------------------------------------------
 */

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
        if (x->hunger.yield) {
            udr_exchange_look_for_process(x);
        }
        /* A 100 Continue sets the body in motion. */
    } while (!udr_exchange_has_ended(x) && x->state != UDR_EXCHANGE_START && awaited && !x->sender.awaits_continue);
    if (x->state == UDR_EXCHANGE_RELAY) {
        udr_exchange_flush_if_due(x);
    }
    if (x->state != UDR_EXCHANGE_START && x->state != UDR_EXCHANGE_TUNNEL && !udr_exchange_has_ended(x)) {
        udr_exchange_check_timeouts(x);
    }
}

static void stop_waiting(udr_exchange_t *x)
{
    if (x->member) {
        udr_pool_leave(x->member->pool, &x->waiter);
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
        stop_waiting(x);
        udr_exchange_fail(x, UDR_FAILURE_CLIENT_GONE, APR_SUCCESS, NULL);
    }
}

/* One step. Returns whether another may follow at once. */
static bool step(udr_exchange_t *x)
{
    udr_exchange_state_t before = x->state;
    switch (before) {
    case UDR_EXCHANGE_START:
        udr_exchange_start(x);
        break;
    case UDR_EXCHANGE_HOLD:
        if (udr_pick_is_awake(&x->pick) || x->now >= x->hold_until) {
            udr_exchange_start(x);
        }
        break;
    case UDR_EXCHANGE_QUEUE:
        udr_exchange_wait_in_queue(x);
        break;
    case UDR_EXCHANGE_TURN:
        udr_exchange_wait_for_turn(x);
        break;
    case UDR_EXCHANGE_CONNECT:
        if (x->now >= x->connect_again || x->now - x->times.connecting >= x->settings->connect_timeout) {
            udr_exchange_try_to_connect(x);
        }
        break;
    case UDR_EXCHANGE_TUNNEL:
        udr_exchange_tunnel(x);
        return false;
    default:
        converse(x);
        /* What can be done now has been done, unless it starts over or becomes a tunnel. */
        return x->state == UDR_EXCHANGE_START || x->state == UDR_EXCHANGE_TUNNEL;
    }
    return x->state == UDR_EXCHANGE_START || (x->state == UDR_EXCHANGE_SEND && before != UDR_EXCHANGE_SEND);
}

bool udr_exchange_run(udr_exchange_t *x, const udr_scratch_t *scratch, unsigned int ready, apr_time_t now)
{
    x->now = now;
    x->scratch = scratch;
    x->budget = RUN_BUDGET;
    if (!x->times.begun) {
        x->times.begun = now;
    }
    take_ready(x, ready);
    while (!udr_exchange_has_ended(x) && step(x)) {
    }
    udr_exchange_give_back_pipe(x);
    x->scratch = NULL;
    if (udr_exchange_has_ended(x)) {
        return false;
    }
    udr_exchange_set_wait(x);
    return true;
}

/* --- life and results ----------------------------------------------------------------------------------------------
 */

void udr_exchange_cancel(udr_exchange_t *x)
{
    if (!udr_exchange_has_ended(x)) {
        stop_waiting(x);
        udr_exchange_release(x, false);
        x->failure.kind = UDR_FAILURE_CLIENT_GONE;
        x->failure.state = x->state;
        udr_exchange_transit(x, UDR_EXCHANGE_FAILED);
    }
}

void udr_exchange_stop(udr_exchange_t *x)
{
    if (!udr_exchange_has_ended(x)) {
        stop_waiting(x);
        x->now = udr_clock_now();
        udr_exchange_fail(x, UDR_FAILURE_STOPPED, APR_SUCCESS, NULL);
    }
}

static apr_status_t cancel_at_end(void *baton)
{
    udr_exchange_t *x = baton;
    udr_exchange_cancel(x);
    udr_pick_end(&x->pick);
    return APR_SUCCESS;
}

apr_size_t udr_exchange_size(void)
{
    return sizeof(udr_exchange_t);
}

void udr_exchange_retire(udr_exchange_t *x)
{
    apr_pool_cleanup_kill(x->pool, x, cancel_at_end);
    udr_pick_end(&x->pick);
}

udr_exchange_t *udr_exchange_create(const udr_exchange_plan_t *plan, void *room, apr_pool_t *p)
{
    udr_exchange_t *x = room ? memset(room, 0, sizeof *x) : apr_pcalloc(p, sizeof *x);
    x->plan = *plan;
    x->pool = p;
    if (plan->picker) {
        udr_pick_begin(&x->pick, plan->picker, &plan->occasion, plan->wake_queued, plan->wake_baton, p);
    } else {
        udr_exchange_use_member(x, plan->member);
    }
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

void udr_exchange_move(udr_exchange_t *x, void (*wake)(udr_waiter_t *waiter),
                       void (*wake_queued)(udr_queue_waiter_t *waiter), void *wake_baton, int lane)
{
    x->plan.lane = lane;
    if (x->plan.picker) {
        udr_pick_readdress(&x->pick, wake_queued, wake_baton);
    }
    if (x->member) {
        udr_pool_readdress(x->member->pool, &x->waiter, wake, wake_baton);
    } else {
        x->waiter.wake = wake; /* nobody knows it yet */
        x->waiter.baton = wake_baton;
    }
}

apr_size_t udr_exchange_scratch_size(const udr_exchange_t *x)
{
    return x->plan.picker ? udr_picker_buffer_size(x->plan.picker) : x->settings->buffer_size;
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

udr_member_t *udr_exchange_member(const udr_exchange_t *x)
{
    return x->member;
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

bool udr_exchange_is_tunnel(const udr_exchange_t *x, apr_uint64_t *sent, apr_uint64_t *received)
{
    *sent = x->tunnel.sent;
    *received = x->tunnel.received;
    return x->tunnel.begun;
}

bool udr_exchange_body_taken(const udr_exchange_t *x)
{
    if (x->tunnel.begun) {
        return x->tunnel.client_ended;
    }
    return x->plan.request->body == UDR_BODY_NONE || x->sender.body_ended;
}

bool udr_exchange_client_is_full(const udr_exchange_t *x)
{
    return x->receiver.client_full;
}

bool udr_exchange_reads_client(const udr_exchange_t *x)
{
    return x->state >= UDR_EXCHANGE_SEND && !udr_exchange_body_taken(x);
}
