/* SPDX-License-Identifier: Apache-2.0 */
/* The way to a connection: a turn, then a pooled connection or a new one. */
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_exchange_private.h"

#include <errno.h>

/* A full backlog is asked again after 1 ms, then after ever longer pauses up to this one. */
#define CONNECT_PAUSE_FIRST apr_time_from_msec(1)
#define CONNECT_PAUSE_MAX   apr_time_from_msec(50)

/* A new connection may wait for a process that idle connections keep. */
static void begin_hunger(udr_exchange_t *x)
{
    udr_yield_t *yield = udr_protocol_keeps_process(x->protocol) ? udr_pool_yield(x->member->pool) : NULL;
    if (yield) {
        udr_hunger_begin(&x->hunger, yield, udr_member_calls_at(x->member), x->now);
    }
}

void udr_exchange_look_for_process(udr_exchange_t *x)
{
    bool had_called = x->hunger.has_called;
    if (x->receiver.begun) {
        udr_hunger_end(&x->hunger);
        return;
    }
    udr_hunger_look(&x->hunger, x->connection->fd, x->now);
    if (x->hunger.has_called && !had_called) {
        udr_exchange_trace(x, "yield", "no process of the member's takes the connection: idle ones are to be given up");
    }
}

static void begin_to_send(udr_exchange_t *x)
{
    x->connected = true;
    x->failure = (udr_failure_t){.kind = UDR_FAILURE_NONE}; /* of a member that was tried before */
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
    begin_hunger(x);
    udr_hunger_look(&x->hunger, -1, x->now);
    x->connect_again = x->now + with_jitter(x, x->connect_pause);
    x->connect_pause = x->connect_pause * 2 < CONNECT_PAUSE_MAX ? x->connect_pause * 2 : CONNECT_PAUSE_MAX;
    udr_exchange_trace(x, "connect", "listen backlog is full, trying again in %ld us",
                       (long)(x->connect_again - x->now));
}

void udr_exchange_try_to_connect(udr_exchange_t *x)
{
    const char *who;
    apr_status_t rv = udr_connection_connect(x->connection, x->member->target->address);
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
        udr_exchange_report_connected(x);
        begin_hunger(x);
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
    udr_exchange_try_to_connect(x);
}

/* A process that serves one connection at a time ends right behind an answer, when it has served enough (PHP-FPM's
 * pm.max_requests) or is to be replaced: it closes a moment after the connection has come back, too late for the peek
 * at it. What could not be sent again then gets a connection of its own, and the process that had this one is free. */
static udr_connection_t *take_idle(const udr_exchange_t *x)
{
    const udr_request_t *request = x->plan.request;
    bool is_replayable = request->body == UDR_BODY_NONE && udr_request_is_idempotent(request);
    udr_connection_t *connection = udr_pool_idle(x->member->pool, x->plan.lane, is_replayable, x->now);
    if (connection && !is_replayable && x->member->target->scheme->protocol->is_exclusive) {
        udr_connection_close(connection);
        return NULL;
    }
    return connection;
}

/* With a turn: a pooled connection if there is a good one, else a new one. */
static void use_turn(udr_exchange_t *x)
{
    x->has_turn = true;
    x->attempts++;
    x->tries++;
    x->attempt_begun = x->now;
    x->answered_at = 0;
    if (!x->times.turn) {
        x->times.turn = x->now;
    }
    x->connection = x->fresh_only ? NULL : take_idle(x);
    if (x->connection) {
        x->times.connecting = 0;
        x->times.connected = x->now;
        begin_to_send(x);
    } else {
        connect_anew(x);
    }
}

void udr_exchange_take_turn(udr_exchange_t *x)
{
    udr_exchange_trace(x, "pick", "member %s, attempt %d", x->member->target->text, x->attempts + 1);
    if (x->has_turn || udr_pool_take(x->member->pool, &x->waiter) == APR_SUCCESS) {
        use_turn(x);
        return;
    }
    udr_exchange_trace(x, "pool", "all %d connections are in use, waiting for a turn", x->settings->max);
    x->turn_since = x->now;
    udr_exchange_transit(x, UDR_EXCHANGE_TURN);
}

void udr_exchange_wait_for_turn(udr_exchange_t *x)
{
    if (udr_pool_take(x->member->pool, &x->waiter) == APR_SUCCESS) {
        use_turn(x);
    } else if (x->now - x->turn_since >= x->settings->acquire) {
        udr_pool_leave(x->member->pool, &x->waiter);
        udr_exchange_fail(x, UDR_FAILURE_TURN, APR_SUCCESS, NULL);
    }
}
