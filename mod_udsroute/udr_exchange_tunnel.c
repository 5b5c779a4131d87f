/* SPDX-License-Identifier: Apache-2.0 */
/* The tunnel: after 101 the two connections carry another protocol (RFC 9110, 7.8). Bytes go both ways as they come;
 * each direction ends by itself. */
#include "mod_udsroute/udr_exchange_private.h"
#include "mod_udsroute/udr_fields.h"

#include <apr_strings.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* RFC 9110, 7.8: the server must not switch to a protocol that the client has not offered, nor before it has the whole
 * request; it says so in Upgrade and Connection. Returns why not, or NULL. */
static const char *check_switch(udr_exchange_t *x)
{
    if (!x->plan.request->upgrade) {
        return "101 Switching Protocols, which was not asked for";
    }
    if (x->state != UDR_EXCHANGE_HEAD || !x->sender.done) {
        return "101 Switching Protocols before the request was complete";
    }
    /* A client must not take one without (RFC 6455, 4.1), and what it gets is written here: the fault would not show.
     * Who only repeats what another server has said, status and fields, leaves out what concerns the connection. */
    const char *connection = udr_http1_field_list(x->receiver.reader.head->fields, "Connection", x->pool);
    if (!udr_fields_list_has(connection, "Upgrade", 7)) {
        return "101 Switching Protocols without Connection: Upgrade";
    }
    const char *chosen = udr_http1_field_list(x->receiver.reader.head->fields, "Upgrade", x->pool);
    if (!chosen) {
        return "101 Switching Protocols without an Upgrade field";
    }
    if (!udr_fields_list_within(chosen, x->plan.request->upgrade)) {
        return "101 Switching Protocols to a protocol that was not offered";
    }
    return NULL;
}

static void pass_on(udr_exchange_t *x, udr_slice_t data)
{
    x->tunnel.received += data.len;
    x->tunnel.active = x->now;
    if (udr_exchange_client_took(x, x->plan.ops->data(x->plan.client, data))) {
        (void)udr_exchange_client_took(x, x->plan.ops->push(x->plan.client, true));
    }
}

void udr_exchange_begin_tunnel(udr_exchange_t *x, udr_slice_t data)
{
    const char *why = check_switch(x);
    if (why) {
        udr_exchange_fail(x, UDR_FAILURE_RESPONSE, APR_SUCCESS, why);
        return;
    }
    udr_exchange_trace(x, "head", "status 101: a tunnel from here on");
    if (!x->times.first_byte) {
        x->times.first_byte = x->now; /* it came in one read with an interim response */
    }
    x->receiver.head_passed = true;
    x->receiver.stash_len = 0;
    x->tunnel.begun = true;
    x->tunnel.active = x->now;
    x->sender.client_empty = false;
    x->sender.client_look_again = APR_INT64_MAX;
    udr_exchange_transit(x, UDR_EXCHANGE_TUNNEL);
    udr_exchange_report_switched(x);
    if (udr_exchange_client_took(x, x->plan.ops->upgrade(x->plan.client, x->receiver.reader.head)) && data.len) {
        pass_on(x, data);
    }
}

/* The client sends no more: neither do we. */
static void end_of_client(udr_exchange_t *x)
{
    x->tunnel.client_ended = true;
    (void)shutdown(x->connection->fd, SHUT_WR);
    udr_exchange_trace(x, "tunnel", "the client sends no more, after %" APR_UINT64_T_FMT " bytes", x->tunnel.sent);
}

/* The member takes no more, either. (One that has shut down its sending side alone shows POLLRDHUP only.) */
static bool has_closed(const udr_exchange_t *x)
{
    struct pollfd descriptor = {.fd = x->connection->fd};
    return poll(&descriptor, 1, 0) == 1 && (descriptor.revents & POLLHUP);
}

static void end_of_member(udr_exchange_t *x)
{
    x->tunnel.member_ended = true;
    if (has_closed(x)) {
        x->tunnel.client_ended = true;
    }
    udr_exchange_trace(x, "tunnel", "the member sends no more, after %" APR_UINT64_T_FMT " bytes", x->tunnel.received);
    apr_status_t rv = x->plan.ops->shut(x->plan.client);
    if (rv == APR_EOF) {
        x->tunnel.client_ended = true;
    } else {
        (void)udr_exchange_client_took(x, rv);
    }
}

/* Client to member: what is at hand goes out at once, or stays with the client's side until the member takes it. */
static void move_up(udr_exchange_t *x)
{
    udr_slice_t data;
    apr_size_t sent = 0;
    apr_status_t rv = x->plan.ops->body_peek(x->plan.client, &data);
    if (rv == APR_EAGAIN) {
        x->sender.client_empty = true;
        return;
    }
    if (rv == APR_EOF) {
        end_of_client(x);
        return;
    }
    if (rv != APR_SUCCESS) {
        udr_exchange_fail(x, UDR_FAILURE_CLIENT_GONE, rv, NULL);
        return;
    }
    struct iovec part = {.iov_base = (void *)(uintptr_t)data.ptr, .iov_len = data.len};
    rv = udr_connection_send(x->connection, &part, 1, &sent);
    if (rv == EAGAIN) {
        x->sender.member_full = true;
        return;
    }
    if (rv != APR_SUCCESS) {
        /* It takes no more; its last words are still to be read, and tell whether this is an end or a cut. */
        x->tunnel.client_ended = true;
        x->receiver.readable = true;
        x->receiver.ended = true;
        return;
    }
    x->plan.ops->body_consume(x->plan.client, sent);
    udr_exchange_spend(x, sent);
    x->tunnel.sent += sent;
    x->tunnel.active = x->now;
}

/* Member to client. */
static void move_down(udr_exchange_t *x)
{
    udr_receiver_t *receiver = &x->receiver;
    apr_size_t room = udr_exchange_pass_room(x);
    apr_size_t received = 0;
    apr_status_t rv = udr_connection_receive(x->connection, x->scratch->ptr, room, &received);
    if (rv == EAGAIN) {
        receiver->readable = false;
        return;
    }
    if (rv == APR_EOF) {
        receiver->readable = false;
        end_of_member(x);
        return;
    }
    if (rv != APR_SUCCESS) {
        udr_exchange_fail(x, UDR_FAILURE_CLOSED, rv, NULL);
        return;
    }
    x->tunnel.is_bulk = received == room;
    receiver->readable = received == room || receiver->ended;
    udr_exchange_spend(x, received);
    pass_on(x, (udr_slice_t){x->scratch->ptr, received});
}

static bool may_move_up(const udr_exchange_t *x)
{
    return x->state == UDR_EXCHANGE_TUNNEL && x->budget > 0 && !x->tunnel.client_ended && !x->sender.client_empty &&
           !x->sender.member_full;
}

static bool may_move_down(const udr_exchange_t *x)
{
    return x->state == UDR_EXCHANGE_TUNNEL && x->budget > 0 && !x->tunnel.member_ended && x->receiver.readable &&
           !x->receiver.client_full;
}

void udr_exchange_tunnel(udr_exchange_t *x)
{
    udr_exchange_drain(x);
    while (may_move_up(x) || may_move_down(x)) {
        if (may_move_up(x)) {
            move_up(x);
        }
        if (may_move_down(x) && !udr_exchange_splice(x)) {
            move_down(x);
        }
    }
    if (x->state != UDR_EXCHANGE_TUNNEL) {
        return;
    }
    /* What the client has not taken yet it gets when the request ends. */
    if (x->tunnel.client_ended && x->tunnel.member_ended) {
        udr_exchange_release(x, false);
        udr_exchange_transit(x, UDR_EXCHANGE_DONE);
    } else if (x->now - x->tunnel.active >= x->settings->timeout) {
        udr_exchange_fail(x, UDR_FAILURE_TUNNEL_IDLE, APR_SUCCESS, NULL);
    }
}
