/* SPDX-License-Identifier: Apache-2.0 */
/* The request's way to the member: head and body, as the client gives it and the member takes it. */
#include "mod_udsroute/udr_exchange_private.h"

#include <apr_strings.h>

#include <errno.h>
#include <string.h>

/* How long a member may leave `Expect: 100-continue` unanswered before the body is sent all the same. RFC 9110, 10.1.1
 * lets a client do so; curl waits as long. */
#define CONTINUE_WAIT apr_time_from_sec(1)

/* The client's input filters (mod_reqtimeout) keep time only when they are asked: ask this often. */
#define LOOK_AGAIN apr_time_from_sec(1)

void udr_exchange_send_init(udr_exchange_t *x)
{
    udr_sender_t *sender = &x->sender;
    memset(sender, 0, sizeof *sender);
    sender->awaits_continue = x->plan.request->expect_continue;
    /* A CGI program can't say it. */
    sender->continue_until = x->now + (x->protocol->is_cgi ? 0 : CONTINUE_WAIT);
    sender->body_ended = x->plan.request->body == UDR_BODY_NONE ||
                         (x->plan.request->body == UDR_BODY_LENGTH && x->plan.request->length == 0);
}

static void add_part(udr_sender_t *sender, const char *ptr, apr_size_t len)
{
    if (len) {
        sender->parts[sender->count++] = (struct iovec){.iov_base = (void *)(uintptr_t)ptr, .iov_len = len};
    }
}

static void add_head(udr_exchange_t *x)
{
    const char *why = NULL;
    apr_size_t room = x->protocol->head_room(x->plan.request, &why);
    if (room == 0) {
        udr_exchange_fail(x, UDR_FAILURE_REQUEST, APR_EINVAL, why);
        return;
    }
    /* Most members take it at once: then it needs no memory of its own. */
    char *head = room <= x->scratch->size ? x->scratch->ptr : apr_palloc(x->pool, room);
    apr_size_t len = x->protocol->write_head(x->plan.request, udr_exchange_may_keep(x), head);
    x->sender.head_written = true;
    add_part(&x->sender, head, len);
    udr_exchange_trace(x, "send", "head of %lu bytes", (unsigned long)len);
}

/* What the member did not take of the head may not stay in the scratch, which is for received bytes next. */
static void save_head(udr_exchange_t *x)
{
    struct iovec *part = x->sender.parts;
    const char *at = part->iov_base;
    if (x->sender.count && at >= x->scratch->ptr && at < x->scratch->ptr + x->scratch->size) {
        part->iov_base = apr_pmemdup(x->pool, at, part->iov_len);
    }
}

static void add_end(udr_exchange_t *x)
{
    udr_slice_t end = x->protocol->write_end(x->plan.request, x->plan.ops->body_trailers(x->plan.client), x->pool);
    x->sender.end_written = true;
    x->sender.body_ended = true;
    add_part(&x->sender, end.ptr, end.len);
}

/* Less or more body than Content-Length says would make the next request on the connection begin in the wrong place. */
static bool fits_length(const udr_exchange_t *x, apr_uint64_t sent, bool at_end)
{
    const udr_request_t *request = x->plan.request;
    if (request->body != UDR_BODY_LENGTH) {
        return true;
    }
    return at_end ? sent == request->length : sent <= request->length;
}

static void add_body(udr_exchange_t *x)
{
    udr_sender_t *sender = &x->sender;
    udr_slice_t data, suffix;
    apr_status_t rv = x->plan.ops->body_peek(x->plan.client, &data);
    if (rv == APR_EAGAIN) {
        sender->client_empty = true;
        sender->client_look_again = x->now + LOOK_AGAIN;
    } else if (rv == APR_EOF && fits_length(x, sender->body_sent, true)) {
        add_end(x);
    } else if (rv == APR_EOF) {
        udr_exchange_fail(x, UDR_FAILURE_CLIENT_BODY, APR_INCOMPLETE, "it is shorter than its Content-Length");
    } else if (rv != APR_SUCCESS) {
        udr_exchange_fail(x, UDR_FAILURE_CLIENT_BODY, rv, NULL);
    } else if (!fits_length(x, sender->body_sent + data.len, false)) {
        udr_exchange_fail(x, UDR_FAILURE_CLIENT_BODY, APR_EINVAL, "it is longer than its Content-Length");
    } else {
        const udr_request_t *request = x->plan.request;
        if (x->protocol->frame_max && data.len > x->protocol->frame_max) {
            data.len = x->protocol->frame_max;
        }
        bool is_last = request->body == UDR_BODY_LENGTH && sender->body_sent + data.len == request->length;
        apr_size_t prefix = x->protocol->write_frame(request, data.len, is_last, sender->prefix, &suffix);
        add_part(sender, sender->prefix, prefix);
        add_part(sender, data.ptr, data.len);
        add_part(sender, suffix.ptr, suffix.len);
        sender->body_in_parts = data.len;
        x->client_active = x->now;
    }
}

/* Puts together what is to be sent next. */
static void take_parts(udr_exchange_t *x)
{
    udr_sender_t *sender = &x->sender;
    if (!sender->head_written) {
        add_head(x);
    }
    if (udr_exchange_has_ended(x) || sender->body_ended) {
        return;
    }
    if (sender->awaits_continue && x->now >= sender->continue_until) {
        udr_exchange_trace(x, "send", "no 100 Continue from the member: the body is asked for without");
        sender->awaits_continue = false;
        (void)udr_exchange_client_took(x, x->plan.ops->body_invite(x->plan.client));
    }
    if (!sender->awaits_continue && !sender->client_empty) {
        add_body(x);
    }
}

static void consume_parts(udr_exchange_t *x)
{
    udr_sender_t *sender = &x->sender;
    if (sender->body_in_parts) {
        x->plan.ops->body_consume(x->plan.client, sender->body_in_parts);
        sender->body_touched = true;
        sender->body_sent += sender->body_in_parts;
        sender->body_in_parts = 0;
        /* The end is known without asking the client for it. */
        if (x->plan.request->body == UDR_BODY_LENGTH && sender->body_sent == x->plan.request->length) {
            sender->body_ended = true;
        }
    }
}

static void drop_sent(udr_sender_t *sender, apr_size_t sent)
{
    int first = 0;
    while (first < sender->count && sent >= sender->parts[first].iov_len) {
        sent -= sender->parts[first].iov_len;
        first++;
    }
    sender->count -= first;
    memmove(sender->parts, sender->parts + first, (size_t)sender->count * sizeof *sender->parts);
    if (sender->count) {
        sender->parts[0].iov_base = (char *)sender->parts[0].iov_base + sent;
        sender->parts[0].iov_len -= sent;
    }
}

/* Returns whether the member took something. */
static bool send_parts(udr_exchange_t *x)
{
    udr_sender_t *sender = &x->sender;
    apr_size_t sent = 0;
    apr_status_t rv = udr_connection_send(x->connection, sender->parts, sender->count, &sent);
    if (rv == EAGAIN) {
        sender->member_full = true;
        save_head(x);
        return false;
    }
    if (rv != APR_SUCCESS && !sender->wrote && x->reused) {
        /* Closed while it was idle. Whatever it says was said before it was asked. */
        udr_exchange_fail(x, UDR_FAILURE_CLOSED, rv, NULL);
        return false;
    }
    if (rv != APR_SUCCESS) {
        /* It may have answered before it closed (413, say): the response decides what this was. */
        udr_exchange_trace(x, "send", "the member takes no more (%s)", strerror(rv));
        sender->broken = true;
        sender->error = rv;
        x->receiver.readable = true;
        return false;
    }
    sender->wrote = true;
    udr_exchange_spend(x, sent);
    x->member_active = x->now;
    drop_sent(sender, sent);
    save_head(x);
    return true;
}

void udr_exchange_send(udr_exchange_t *x)
{
    udr_sender_t *sender = &x->sender;
    while (!sender->done && !sender->member_full && x->budget > 0) {
        if (sender->count == 0) {
            take_parts(x);
            if (udr_exchange_has_ended(x)) {
                return;
            }
        }
        if (sender->count && !send_parts(x)) {
            return;
        }
        if (sender->count == 0) {
            bool moved = sender->body_in_parts != 0;
            consume_parts(x);
            if (sender->body_ended) {
                sender->done = true;
                udr_exchange_trace(x, "send", "complete, %" APR_UINT64_T_FMT " bytes of body", sender->body_sent);
            } else if (!moved && (sender->client_empty || sender->awaits_continue)) {
                return;
            }
        }
    }
}
