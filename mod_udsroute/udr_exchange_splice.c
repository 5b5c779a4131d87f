/* SPDX-License-Identifier: Apache-2.0 */
/* Large bodies by splice(2): member → pipe → client's socket, past the client's filters. Only where the client's side
 * says that nothing but its socket is in the way, and for bytes that the protocol's reader knows to be body as they
 * are.
 *
 * A pipe is filled only when it is empty, and drained at once: bytes that stay in it wait for the client. So EAGAIN of
 * a fill is an empty socket and never a full pipe, and an exchange whose pipe holds bytes waits for the client alone.
 *
 * Where splice(2) is the dearer way, or there is no pipe to be had, a response's bytes take the same short cut by read
 * and write. What the client does not take at once goes through its filters, which keep it.
 */
#include "mod_udsroute/udr_exchange_private.h"

#include <errno.h>
#include <sys/socket.h>

/* Less of a body takes its usual way: measured, the system calls more make up for the copying less at about 64 KiB. */
#define BODY_MIN (128 * 1024)

/* The first move, and that after the client was full: what a client that stops reading leaves in a pipe is little. */
#define REACH_FIRST (128 * 1024)

/* splice(2) can't do it, here or with these descriptors. */
static bool is_impossible(apr_status_t rv)
{
    return rv == EINVAL || rv == ENOSYS || rv == APR_ENOTIMPL;
}

/* Not for the rest of this response. */
static void refuse(udr_exchange_t *x, apr_status_t why)
{
    udr_exchange_trace(x, "relay", "not spliced (%d)", why);
    x->splicer.is_refused = true;
    x->splicer.is_on = false;
}

apr_size_t udr_exchange_held(const udr_exchange_t *x)
{
    return x->splicer.pipe ? x->splicer.pipe->held : 0;
}

/* --- out of the pipe ------------------------------------------------------------------------------------------------
 */

static void count(udr_exchange_t *x, apr_size_t len)
{
    if (x->state == UDR_EXCHANGE_TUNNEL) {
        x->tunnel.received += len;
        x->tunnel.active = x->now;
    } else {
        x->receiver.relayed += len;
    }
}

static void pass_through_filters(udr_exchange_t *x, udr_slice_t data)
{
    count(x, data.len);
    if (udr_exchange_client_took(x, x->plan.ops->data(x->plan.client, data))) {
        (void)udr_exchange_client_took(x, x->plan.ops->push(x->plan.client, x->state == UDR_EXCHANGE_TUNNEL));
    }
}

/* Through the client's filters, after all. */
static void copy_out(udr_exchange_t *x)
{
    udr_slice_t data = {x->scratch->ptr, 0};
    apr_status_t rv = udr_pipe_read(x->splicer.pipe, x->scratch->ptr, udr_exchange_pass_room(x), &data.len);
    if (rv != APR_SUCCESS) {
        udr_exchange_fail(x, UDR_FAILURE_CLIENT_FILTER, rv, NULL);
        return;
    }
    pass_through_filters(x, data);
}

static void splice_out(udr_exchange_t *x)
{
    udr_splicer_t *splicer = &x->splicer;
    apr_size_t moved = 0;
    apr_status_t rv = udr_pipe_drain(splicer->pipe, splicer->client_fd, &moved);
    if (is_impossible(rv)) {
        refuse(x, rv);
    } else if (rv != APR_SUCCESS && rv != EAGAIN) {
        (void)udr_exchange_client_took(x, APR_ECONNABORTED);
    } else {
        if (moved) {
            count(x, moved);
            x->client_active = x->now;
            x->plan.ops->bypassed(x->plan.client, moved);
        }
        x->receiver.client_full = splicer->pipe->held > 0;
        if (x->receiver.client_full) {
            splicer->reach = REACH_FIRST;
        } else if (splicer->reach < UDR_PIPE_SIZE) {
            splicer->reach *= 2;
        }
    }
}

void udr_exchange_drain(udr_exchange_t *x)
{
    while (!udr_exchange_has_ended(x) && udr_exchange_held(x) && !x->receiver.client_full) {
        if (x->splicer.is_on) {
            splice_out(x);
        } else {
            copy_out(x);
        }
    }
    if (x->splicer.is_last && !udr_exchange_has_ended(x) && !udr_exchange_held(x)) {
        udr_exchange_finish(x);
    }
}

/* --- into the pipe --------------------------------------------------------------------------------------------------
 */

/* How many body bytes come next as they are. */
static apr_uint64_t bytes_due(const udr_exchange_t *x)
{
    return x->state == UDR_EXCHANGE_TUNNEL ? UINT64_MAX : x->protocol->reader_verbatim(&x->receiver.reader);
}

static apr_size_t room_for(const udr_exchange_t *x)
{
    apr_uint64_t due = bytes_due(x);
    apr_size_t room = x->splicer.reach < x->budget ? x->splicer.reach : x->budget;
    return due < room ? (apr_size_t)due : room;
}

static void fill(udr_exchange_t *x)
{
    udr_receiver_t *receiver = &x->receiver;
    apr_size_t moved = 0;
    apr_status_t rv = udr_pipe_fill(x->splicer.pipe, x->connection->fd, room_for(x), &moved);
    if (rv == EAGAIN) {
        receiver->readable = false;
        x->tunnel.is_bulk = false;
        return;
    }
    if (is_impossible(rv)) {
        refuse(x, rv);
        return;
    }
    if (rv == APR_EOF && x->state == UDR_EXCHANGE_TUNNEL) {
        x->tunnel.is_bulk = false; /* the read that follows tells of it */
        return;
    }
    if (rv != APR_SUCCESS) {
        udr_exchange_closed(x, rv);
        return;
    }
    x->tunnel.active = x->now;
    receiver->flush_at = 0;
    x->member_active = x->now;
    udr_exchange_spend(x, moved);
    if (x->state != UDR_EXCHANGE_TUNNEL) {
        x->protocol->reader_skip(&receiver->reader, moved);
    }
}

/* --- without a pipe -------------------------------------------------------------------------------------------------
 */

/* Of a tunnel, whose filters are few, there is nothing to be gained by it. */
static void do_without_pipe(udr_exchange_t *x, apr_status_t why)
{
    if (x->state == UDR_EXCHANGE_TUNNEL) {
        refuse(x, why);
    } else if (!x->splicer.is_written) {
        udr_exchange_trace(x, "relay", "written, not spliced (%d)", why);
        x->splicer.is_written = true;
    }
}

/* The filters keep what the client has not taken; before anything goes past them again they have to be asked. */
static void leave_to_filters(udr_exchange_t *x, udr_slice_t rest)
{
    x->splicer.is_on = false;
    x->receiver.has_data = true;
    x->receiver.unflushed = true;
    pass_through_filters(x, rest);
}

static void write_out(udr_exchange_t *x, udr_slice_t data)
{
    ssize_t n;
    do {
        n = send(x->splicer.client_fd, data.ptr, data.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        (void)udr_exchange_client_took(x, APR_ECONNABORTED);
        return;
    }
    apr_size_t sent = n > 0 ? (apr_size_t)n : 0;
    if (sent) {
        count(x, sent);
        x->client_active = x->now;
        x->plan.ops->bypassed(x->plan.client, sent);
    }
    if (sent < data.len) {
        leave_to_filters(x, (udr_slice_t){data.ptr + sent, data.len - sent});
    }
}

/* One read, no more than the filters take at once, and what follows from it. */
static void write_once(udr_exchange_t *x)
{
    apr_uint64_t due = bytes_due(x);
    apr_size_t received = 0;
    if (!udr_exchange_read_member(x, x->scratch->ptr, udr_exchange_pass_room(x), &received)) {
        return;
    }
    apr_size_t len = due < received ? (apr_size_t)due : received;
    x->protocol->reader_skip(&x->receiver.reader, len);
    write_out(x, (udr_slice_t){x->scratch->ptr, len});
    if (!udr_exchange_has_ended(x) && len == due) {
        udr_exchange_complete(x, received > len);
    }
}

/* --- which way ------------------------------------------------------------------------------------------------------
 */

/* A pipe for this run. */
static bool provide_pipe(udr_exchange_t *x)
{
    if (!x->splicer.pipe) {
        apr_status_t rv = udr_pipe_borrow(x->scratch->pipes, &x->splicer.pipe);
        if (rv != APR_SUCCESS) {
            do_without_pipe(x, rv);
        }
    }
    return x->splicer.pipe != NULL;
}

/* Asks the client's side. */
static void begin(udr_exchange_t *x)
{
    udr_splicer_t *splicer = &x->splicer;
    apr_status_t rv = x->plan.ops->bypass(x->plan.client, &splicer->client_fd);
    if (rv == APR_ENOTIMPL) {
        refuse(x, rv);
        return;
    }
    if (!udr_exchange_client_took(x, rv) || rv != APR_SUCCESS) {
        return;
    }
    splicer->is_on = true;
    splicer->reach = REACH_FIRST;
    x->receiver.unflushed = false;
    x->receiver.has_data = false;
    udr_exchange_trace(x, "relay", "past the filters from here on");
    if (!splicer->is_written && !udr_pipe_suits(splicer->client_fd)) {
        do_without_pipe(x, APR_SUCCESS);
    }
}

/* The head and the first bytes take the way through the filters: then these know of the response, and have said what
 * they do with it. Of a tunnel, what comes in one piece with more behind it is spliced, not each message. */
static bool is_worth_it(const udr_exchange_t *x)
{
    const udr_receiver_t *receiver = &x->receiver;
    if (x->state == UDR_EXCHANGE_TUNNEL) {
        return x->tunnel.is_bulk;
    }
    return x->state == UDR_EXCHANGE_RELAY && x->protocol->reader_verbatim && receiver->wanted &&
           receiver->relayed > 0 && receiver->stash_len == 0 && bytes_due(x) >= BODY_MIN;
}

static void splice_once(udr_exchange_t *x)
{
    fill(x);
    if (!udr_exchange_has_ended(x) && x->splicer.is_on) {
        /* The member is free before the client has taken the last bytes. */
        if (bytes_due(x) == 0) {
            udr_exchange_complete(x, false);
        }
        udr_exchange_drain(x);
    }
}

bool udr_exchange_splice(udr_exchange_t *x)
{
    udr_splicer_t *splicer = &x->splicer;
    bool goes_on = splicer->is_on && x->state == UDR_EXCHANGE_RELAY;
    if (splicer->is_refused || !x->scratch->pipes || !x->plan.ops->bypass || !(goes_on || is_worth_it(x))) {
        return false;
    }
    if (!splicer->is_on) {
        begin(x);
        if (!splicer->is_on && !splicer->is_refused) {
            return true; /* the client has to take first what it has been given */
        }
    }
    if (splicer->is_on && !splicer->is_written && provide_pipe(x)) {
        splice_once(x);
        return true;
    }
    if (splicer->is_on) {
        write_once(x);
        return true;
    }
    return false;
}

void udr_exchange_give_back_pipe(udr_exchange_t *x)
{
    udr_splicer_t *splicer = &x->splicer;
    if (!splicer->pipe || (splicer->pipe->held && !udr_exchange_has_ended(x))) {
        return;
    }
    if (x->scratch && x->scratch->pipes) {
        udr_pipe_return(x->scratch->pipes, splicer->pipe);
    } else {
        udr_pipe_close(splicer->pipe);
    }
    splicer->pipe = NULL;
}
