/* SPDX-License-Identifier: Apache-2.0 */
/* Who owes something, for how long, and what the exchange waits for. */
#include "mod_udsroute/udr_exchange_private.h"

#include <poll.h>

#define FOREVER apr_time_from_sec(3600)

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

void udr_exchange_check_timeouts(udr_exchange_t *x)
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
    if (x->hunger.yield) {
        wait_until(x, x->hunger.look_at);
    }
    if (is_member_due(x)) {
        wait_until(x, x->member_active + x->settings->timeout);
    }
    if (is_client_due(x)) {
        wait_until(x, x->client_active + x->plan.client_timeout);
    }
}

static void wait_in_tunnel(udr_exchange_t *x)
{
    if (x->sender.member_full) {
        x->wait.member |= POLLOUT;
    } else if (!x->tunnel.client_ended) {
        x->wait.client |= POLLIN;
    }
    if (x->receiver.client_full) {
        x->wait.client |= POLLOUT;
    } else if (!x->tunnel.member_ended) {
        x->wait.member |= POLLIN;
    }
    wait_until(x, x->tunnel.active + x->settings->timeout);
}

void udr_exchange_set_wait(udr_exchange_t *x)
{
    x->wait = (udr_wait_t){.until = x->now + FOREVER};
    if (x->budget == 0) {
        wait_until(x, x->now + 1);
    }
    switch (x->state) {
    case UDR_EXCHANGE_HOLD:
        x->wait.turn = true;
        wait_until(x, x->hold_until);
        break;
    case UDR_EXCHANGE_QUEUE:
        x->wait.turn = true;
        wait_until(x, x->queued_at + x->settings->queue);
        break;
    case UDR_EXCHANGE_TURN:
        x->wait.turn = true;
        wait_until(x, x->turn_since + x->settings->acquire);
        break;
    case UDR_EXCHANGE_CONNECT:
        wait_until(x, x->connect_again);
        wait_until(x, x->times.connecting + x->settings->connect_timeout);
        break;
    case UDR_EXCHANGE_TUNNEL:
        wait_in_tunnel(x);
        break;
    default:
        wait_in_conversation(x);
        break;
    }
}
