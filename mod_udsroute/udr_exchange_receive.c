/* SPDX-License-Identifier: Apache-2.0 */
/* The response's way to the client: read into the runner's scratch, understood by the protocol's reader, passed on in
 * place. */
#include "mod_udsroute/udr_exchange_private.h"

#include <errno.h>
#include <string.h>

/* A member that sends nothing but 1xx is no server. */
#define INTERIMS_MAX 64

/* So much of a body that nobody wants is read to save the connection. */
#define DROP_MAX 65536

#define STASH_FIRST 2048

void udr_exchange_receive_init(udr_exchange_t *x)
{
    udr_receiver_t *receiver = &x->receiver;
    udr_http1_limits_t limits = {x->settings->field_size, 8 * x->settings->field_size};
    char *stash = receiver->stash;
    apr_size_t stash_size = receiver->stash_size;
    memset(receiver, 0, sizeof *receiver);
    receiver->stash = stash;
    receiver->stash_size = stash_size;
    receiver->wanted = true;
    x->protocol->reader_init(&receiver->reader, x->plan.request, &limits);
}

/* The client only keeps it for now: no time has passed. */
static bool client_kept(udr_exchange_t *x, apr_status_t rv)
{
    if (rv != APR_SUCCESS && rv != APR_EAGAIN) {
        udr_exchange_fail(x, rv == APR_ECONNABORTED ? UDR_FAILURE_CLIENT_GONE : UDR_FAILURE_CLIENT_FILTER, rv, NULL);
        return false;
    }
    x->client_active = x->now;
    if (rv == APR_EAGAIN) {
        x->receiver.client_full = true;
    }
    return true;
}

bool udr_exchange_client_took(udr_exchange_t *x, apr_status_t rv)
{
    if (x->plan.clock && (rv == APR_SUCCESS || rv == APR_EAGAIN)) {
        /* Filters may have blocked: for so long the member was not asked. */
        apr_interval_time_t passed = x->plan.clock() - x->now;
        x->now += passed;
        x->member_active += passed;
        x->tunnel.active += passed;
    }
    return client_kept(x, rv);
}

static void push(udr_exchange_t *x, bool flush)
{
    x->receiver.has_pushed = true;
    if (udr_exchange_client_took(x, x->plan.ops->push(x->plan.client, flush)) && flush) {
        x->receiver.unflushed = false;
        x->receiver.has_data = false;
    }
}

static void take_interim(udr_exchange_t *x)
{
    const udr_http1_head_t *head = x->receiver.reader.head;
    udr_exchange_trace(x, "head", "interim response %d", head->status);
    if (++x->receiver.interims > INTERIMS_MAX) {
        udr_exchange_fail(x, UDR_FAILURE_RESPONSE, APR_SUCCESS, "more than 64 interim responses");
    } else if (head->status != 100) {
        udr_exchange_client_took(x, x->plan.ops->interim(x->plan.client, head));
    } else if (x->sender.awaits_continue) {
        x->sender.awaits_continue = false;
        udr_exchange_client_took(x, x->plan.ops->body_invite(x->plan.client));
    }
    x->times.first_byte = 0; /* it is the final response that counts */
}

static void take_head(udr_exchange_t *x)
{
    udr_receiver_t *receiver = &x->receiver;
    udr_exchange_trace(x, "head", "status %d", receiver->reader.head->status);
    if (!x->times.first_byte) {
        x->times.first_byte = x->now; /* it came in one read with an interim response */
    }
    if (x->sender.awaits_continue) {
        udr_exchange_trace(x, "send", "a final response instead of 100 Continue: the body is not sent");
        x->sender.broken = true;
    }
    receiver->head_passed = true;
    receiver->unflushed = true;
    udr_exchange_report_answered(x);
    udr_exchange_transit(x, UDR_EXCHANGE_RELAY);
    (void)udr_exchange_client_took(x, x->plan.ops->head(x->plan.client, receiver->reader.head, &receiver->wanted));
}

static void take_data(udr_exchange_t *x, udr_slice_t data)
{
    udr_receiver_t *receiver = &x->receiver;
    if (!receiver->wanted) {
        receiver->dropped += data.len;
        return;
    }
    receiver->has_data = true;
    receiver->unflushed = true;
    receiver->relayed += data.len;
    (void)client_kept(x, x->plan.ops->data(x->plan.client, data));
}

/* Some applications (those of Gunicorn, for one) send a body with the answer to HEAD, too, and a moment after the head:
 * by then the connection could serve another request, which would be answered with that body. No length, or one over 0,
 * and there may be one. */
static bool may_send_more(const udr_exchange_t *x)
{
    const udr_http1_head_t *head = x->receiver.reader.head;
    return !x->protocol->is_framed && strcmp(x->plan.request->method, "HEAD") == 0 &&
           !(head->has_length && head->length == 0);
}

void udr_exchange_finish(udr_exchange_t *x)
{
    if (x->receiver.wanted &&
        !udr_exchange_client_took(x, x->plan.ops->end(x->plan.client, x->receiver.reader.trailers))) {
        return;
    }
    udr_exchange_transit(x, UDR_EXCHANGE_DONE);
}

/* Read with the response, or left in the socket by a read that had no room for more, or after which the member has
 * closed: no event will tell of these any more. */
static bool has_more_behind(const udr_exchange_t *x, bool extra)
{
    return extra || (x->receiver.readable && udr_connection_is_stale(x->connection));
}

void udr_exchange_complete(udr_exchange_t *x, bool extra)
{
    const udr_http1_head_t *head = x->receiver.reader.head;
    bool keep = udr_exchange_may_keep(x) && head->persistent && x->sender.done && x->connection->file_is_known &&
                !may_send_more(x) && !has_more_behind(x, extra);
    udr_exchange_trace(x, "relay", "complete, %" APR_UINT64_T_FMT " bytes of body", x->receiver.relayed);
    x->receiver.is_complete = true;
    /* The member is free before the client has taken the last byte. */
    udr_exchange_release(x, keep);
    if (udr_exchange_held(x)) {
        udr_exchange_end_pick(x, true);
        x->splicer.is_last = true;
        x->sender.broken = !x->sender.done; /* nobody is there to take the rest of the request */
    } else {
        udr_exchange_finish(x);
    }
}

/* Names the protocol that a malformed answer is in, if it is one that people mix up. The reader refuses at the first
 * wrong byte: what has come meanwhile may tell. */
static const char *name_protocol(udr_exchange_t *x, const char *data, apr_size_t len)
{
    char begin[16];
    apr_size_t more = 0;
    if (len > sizeof begin) {
        len = sizeof begin;
    }
    memcpy(begin, data, len);
    if (len < sizeof begin &&
        udr_connection_receive(x->connection, begin + len, sizeof begin - len, &more) == APR_SUCCESS) {
        len += more;
    }
    return x->protocol->recognize(begin, len);
}

static void refuse(udr_exchange_t *x, const char *data, apr_size_t len)
{
    if (!x->receiver.spoken) {
        x->failure.protocol = name_protocol(x, data, len);
    }
    udr_exchange_fail(x, x->receiver.reader.is_busy ? UDR_FAILURE_BUSY : UDR_FAILURE_RESPONSE, APR_SUCCESS,
                      x->receiver.reader.why);
}

/* Has the reader understand as much as it can. Returns how many bytes were used, all of them when the exchange is over.
 */
static apr_size_t understand(udr_exchange_t *x, char *data, apr_size_t len)
{
    apr_size_t used = 0;
    while (!udr_exchange_has_ended(x)) {
        udr_codec_step_t step = {0, {NULL, 0}};
        udr_codec_status_t status = x->protocol->reader_feed(&x->receiver.reader, data + used, len - used, &step);
        switch (status) {
        case UDR_CODEC_INTERIM:
            take_interim(x);
            break;
        case UDR_CODEC_HEAD:
            if (x->receiver.reader.head->status == 101) {
                apr_size_t behind = used + step.consumed;
                udr_exchange_begin_tunnel(x, (udr_slice_t){data + behind, len - behind});
                return len;
            }
            take_head(x);
            break;
        case UDR_CODEC_DATA:
            take_data(x, step.data);
            break;
        case UDR_CODEC_NOTE:
            x->plan.ops->note(x->plan.client, step.data);
            break;
        case UDR_CODEC_END:
            if (len > used + step.consumed) {
                udr_exchange_trace(x, "relay", "%lu bytes behind the complete response",
                                   (unsigned long)(len - used - step.consumed));
            }
            udr_exchange_complete(x, len > used + step.consumed);
            return len;
        case UDR_CODEC_BAD:
            refuse(x, data + used, len - used);
            return len;
        case UDR_CODEC_MORE:
            x->receiver.spoken = x->receiver.spoken || step.consumed;
            return used + step.consumed;
        }
        used += step.consumed;
        x->receiver.spoken = true;
    }
    return len;
}

/* Keeps what the reader could not use yet where the next read goes on. */
static void keep_rest(udr_exchange_t *x, const char *rest, apr_size_t len)
{
    udr_receiver_t *receiver = &x->receiver;
    if (len > receiver->stash_size / 2) {
        apr_size_t size = receiver->stash_size ? receiver->stash_size : STASH_FIRST;
        while (len > size / 2) {
            size *= 2;
        }
        char *larger = apr_palloc(x->pool, size);
        memcpy(larger, rest, len);
        receiver->stash = larger;
        receiver->stash_size = size;
    } else if (len) {
        memmove(receiver->stash, rest, len);
    }
    receiver->stash_len = len;
}

/* Who closes a Unix socket without having read all there is resets it, and many programs leave a body unread. Where the
 * answer ends with the connection, that says no more of its being whole than any other close. */
static bool is_end_of_answer(const udr_exchange_t *x, apr_status_t error)
{
    return APR_STATUS_IS_ECONNRESET(error) && x->protocol->is_cgi && !x->protocol->is_framed &&
           x->receiver.reader.head->framing == UDR_HTTP1_TO_CLOSE;
}

void udr_exchange_closed(udr_exchange_t *x, apr_status_t error)
{
    udr_receiver_t *receiver = &x->receiver;
    receiver->readable = false;
    if (error == APR_EOF || is_end_of_answer(x, error)) {
        if (x->protocol->reader_eof(&receiver->reader, receiver->stash_len) == UDR_CODEC_END) {
            udr_exchange_complete(x, false);
            return;
        }
        error = x->sender.broken ? x->sender.error : APR_SUCCESS;
    }
    udr_exchange_fail(x, UDR_FAILURE_CLOSED, error, receiver->reader.why);
}

bool udr_exchange_read_member(udr_exchange_t *x, char *buffer, apr_size_t room, apr_size_t *received)
{
    udr_receiver_t *receiver = &x->receiver;
    apr_status_t rv = udr_connection_receive(x->connection, buffer, room, received);
    if (rv == EAGAIN) {
        receiver->readable = false;
        return false;
    }
    if (rv != APR_SUCCESS) {
        udr_exchange_closed(x, rv);
        return false;
    }
    /* A short read has emptied the socket, most likely: let poll(2) say when there is more. */
    receiver->readable = *received == room || receiver->ended;
    udr_exchange_spend(x, *received);
    receiver->begun = true;
    receiver->flush_at = 0;
    x->member_active = x->now;
    if (!x->times.first_byte) {
        x->times.first_byte = x->now;
    }
    return true;
}

/* One read and what follows from it. */
static void receive_once(udr_exchange_t *x)
{
    udr_receiver_t *receiver = &x->receiver;
    bool from_stash = receiver->stash_len > 0;
    char *buffer = from_stash ? receiver->stash : x->scratch->ptr;
    apr_size_t size = from_stash ? receiver->stash_size : x->scratch->size;
    apr_size_t room = size - receiver->stash_len;
    apr_size_t received = 0;
    /* The first bytes go with the head. */
    apr_size_t limit = receiver->has_pushed ? x->plan.pass_limit : (x->plan.pass_limit + 1) / 2;
    if (room > limit) {
        room = limit;
    }
    if (!udr_exchange_read_member(x, buffer + receiver->stash_len, room, &received)) {
        return;
    }
    apr_size_t len = receiver->stash_len + received;
    apr_size_t used = understand(x, buffer, len);
    if (udr_exchange_has_ended(x)) {
        return;
    }
    if (x->state == UDR_EXCHANGE_TUNNEL) {
        return;
    }
    if (receiver->wanted && receiver->has_data) {
        push(x, x->settings->flush == UDR_FLUSH_ON);
    }
    if (!udr_exchange_has_ended(x)) {
        keep_rest(x, buffer + used, len - used);
    }
}

/* The client gets something else than this body: what is at hand of it is read to save the connection, no more. */
static bool gives_up_dropping(udr_exchange_t *x)
{
    return !x->receiver.wanted && (!x->receiver.readable || x->receiver.dropped > DROP_MAX);
}

void udr_exchange_receive(udr_exchange_t *x)
{
    udr_receiver_t *receiver = &x->receiver;
    udr_exchange_drain(x);
    while (!udr_exchange_has_ended(x) && x->state != UDR_EXCHANGE_TUNNEL && x->connected && receiver->readable &&
           !receiver->client_full && x->budget > 0) {
        if (!udr_exchange_splice(x)) {
            receive_once(x);
        }
        if (!udr_exchange_has_ended(x) && x->state == UDR_EXCHANGE_RELAY && gives_up_dropping(x)) {
            udr_exchange_release(x, false);
            udr_exchange_transit(x, UDR_EXCHANGE_DONE);
        }
    }
}

/* The member sends no more for now: whether to let the client have what was kept back for a fuller packet.
 * flushpackets=auto: at once when the response is a stream. Where its length is known, and while there is only a head,
 * more is likely to follow directly: for that flushwait is granted. */
void udr_exchange_flush_if_due(udr_exchange_t *x)
{
    udr_receiver_t *receiver = &x->receiver;
    if (!receiver->unflushed || receiver->client_full || x->settings->flush == UDR_FLUSH_OFF) {
        return;
    }
    bool is_stream = receiver->has_data && receiver->reader.head->framing != UDR_HTTP1_LENGTH;
    if (!receiver->flush_at) {
        receiver->flush_at = x->now + x->settings->flush_wait;
    }
    if (is_stream || x->settings->flush == UDR_FLUSH_ON || x->now >= receiver->flush_at) {
        receiver->flush_at = 0;
        push(x, true);
    }
}
