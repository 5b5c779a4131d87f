/* SPDX-License-Identifier: Apache-2.0 */
/* The way to the client: down httpd's output filters, no more at once than they take without waiting for it; or past
 * them, for splice(2). */
#include "mod_udsroute/mod_udsroute_client_private.h"
#include "mod_udsroute/mod_udsroute_filters.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_response.h"

#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

#include <poll.h>

/* core's output filter keeps back less than this for a fuller packet (THRESHOLD_MIN_WRITE in server/core_filters.c):
 * what it keeps then does not mean that the client takes no more. */
#define CORE_COALESCES 4096

/* So little fits into the smallest send buffer that says it is writable. */
#define MESSAGE 1024

/* Longer heads go out with a worker. With half of what may be passed at once, and what core keeps back, this stays
 * below FlushMaxThreshold. */
#define HEAD_ON_LOOP 16384

/* So short a body a loop compresses itself: that is done before a worker would have woken up. */
#define BURNT_ON_LOOP 4096

/* mod_logio's, where it is loaded: what goes past core's output filter is counted for %O here. */
static APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_out) * count_bytes_out;

static void find_counter(void)
{
    count_bytes_out = APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_out);
}

void udr_client_register(void)
{
    ap_hook_optional_fn_retrieve(find_counter, NULL, NULL, APR_HOOK_MIDDLE);
}

apr_status_t udr_client_write_pending(conn_rec *c)
{
    ap_filter_t *last = c->output_filters;
    while (last->next) {
        last = last->next;
    }
    apr_status_t rv = last->frec->filter_func.out_func(last, NULL);
    if (rv != APR_SUCCESS || c->aborted) {
        return APR_ECONNABORTED;
    }
    return c->data_in_output_filters ? APR_EAGAIN : APR_SUCCESS;
}

/* Filters fail for reasons of their own, too (AP_FILTER_ERROR; what mod_security or mod_ext_filter makes of a
 * response). */
bool udr_client_is_lost(const conn_rec *c, apr_status_t rv)
{
    return c->aborted || APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_EPIPE(rv) ||
           APR_STATUS_IS_TIMEUP(rv) || APR_STATUS_IS_EAGAIN(rv);
}

/* Gives the filters what was collected; their answer as it is. */
apr_status_t udr_client_hand_down(udr_client_t *client)
{
    if (!client->has_passed) {
        udr_response_put_stamp(client->r, &client->stamp);
    }
    client->has_passed = true;
    client->collected = 0;
    apr_status_t rv = ap_pass_brigade(client->r->output_filters, client->out);
    apr_brigade_cleanup(client->out);
    return rv;
}

/* On a loop: would passing this on block it, or keep it for long? length: of the body, as far as known. */
bool udr_client_must_hold(const udr_client_t *client, apr_uint64_t length)
{
    const char *name = NULL;
    if (!udr_loops_here()) {
        return false;
    }
    /* core's output filter would wait for the client to take most of it. */
    if (!client->has_passed && client->head_size > HEAD_ON_LOOP) {
        return true;
    }
    udr_cost_t cost = udr_filters_cost(client->r, &name);
    if (cost < UDR_COST_BURNS || (cost == UDR_COST_BURNS && length <= BURNT_ON_LOOP)) {
        return false;
    }
    ap_log_rerror(APLOG_MARK, APLOG_TRACE5, 0, client->r, "relay: output filter %s is a worker's to run", name);
    return true;
}

bool udr_client_is_light(const udr_client_t *client)
{
    return client->head_size <= HEAD_ON_LOOP && !udr_filters_keep_back(client->r->connection);
}

/* Out of the runner's scratch. */
static void set_aside(udr_client_t *client)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(client->out); b != APR_BRIGADE_SENTINEL(client->out);
         b = APR_BUCKET_NEXT(b)) {
        (void)apr_bucket_setaside(b, client->r->pool); /* a transient one is copied to the heap, which can't fail */
    }
}

void udr_client_hold(udr_client_t *client)
{
    client->is_held = true;
    set_aside(client);
}

apr_status_t udr_client_pass(udr_client_t *client)
{
    apr_status_t rv = udr_client_hand_down(client);
    return udr_client_is_lost(client->r->connection, rv) ? APR_ECONNABORTED : rv;
}

/* The same past the filters of HTTP. */
apr_status_t udr_client_pass_to(udr_client_t *client, ap_filter_t *filters)
{
    apr_status_t rv = ap_pass_brigade(filters, client->out);
    apr_brigade_cleanup(client->out);
    return udr_client_is_lost(client->r->connection, rv) ? APR_ECONNABORTED : rv;
}

static bool is_writable(const udr_client_t *client)
{
    struct pollfd descriptor = {.fd = udr_client_fd(client), .events = POLLOUT};
    return descriptor.fd < 0 || poll(&descriptor, 1, 0) != 0;
}

/* A FLUSH bucket makes core wait for a client that takes nothing: it goes down alone, when all else is written and the
 * client takes more. What filters keep back until then is little. */
static apr_status_t flush_filters(udr_client_t *client)
{
    request_rec *r = client->r;
    const char *name;
    bool is_interim = !client->owes_flush;
    bool is_needed = udr_filters_cost(r, &name) != UDR_COST_NONE || (!is_interim && !client->has_passed);
    if (is_needed && !is_interim && udr_loops_here() && udr_filters_cost(r, &name) >= UDR_COST_BURNS) {
        udr_client_hold(client);
        return APR_EAGAIN;
    }
    if (is_needed && !is_writable(client)) {
        return APR_EAGAIN;
    }
    client->owes_flush = false;
    client->owes_interim = false;
    if (!is_needed) {
        return APR_SUCCESS;
    }
    APR_BRIGADE_INSERT_TAIL(client->out, apr_bucket_flush_create(r->connection->bucket_alloc));
    return is_interim ? udr_client_pass_to(client, r->connection->output_filters) : udr_client_pass(client);
}

/* A tunnel's bytes, no more at once than core takes without waiting; the rest (of a long 101 head, and what came behind
 * it) has to wait for the client. */
static apr_status_t pass_pieces(udr_client_t *client)
{
    conn_rec *c = client->r->connection;
    apr_off_t limit = (apr_off_t)udr_client_pass_limit(client->r);
    apr_status_t rv = APR_SUCCESS;
    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(client->out)) {
        apr_bucket *rest = APR_BRIGADE_SENTINEL(client->out);
        (void)apr_brigade_partition(client->out, limit, &rest);
        apr_bucket_brigade *later = NULL;
        if (rest != APR_BRIGADE_SENTINEL(client->out)) {
            later = apr_brigade_split(client->out, rest);
        }
        rv = udr_client_pass(client);
        if (later) {
            APR_BRIGADE_CONCAT(client->out, later);
            apr_brigade_destroy(later);
        }
        if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(client->out) && c->data_in_output_filters) {
            rv = udr_client_write_pending(c);
        }
    }
    set_aside(client);
    return rv;
}

static void shut_down(udr_client_t *client)
{
    client->owes_shutdown = false;
    (void)apr_socket_shutdown(ap_get_conn_socket(client->r->connection), APR_SHUTDOWN_WRITE);
}

/* The client gets all that is there for it, as far as it takes it now. */
apr_status_t udr_client_drain_all(udr_client_t *client)
{
    conn_rec *c = client->r->connection;
    apr_status_t rv = c->data_in_output_filters ? udr_client_write_pending(c) : APR_SUCCESS;
    if (rv == APR_SUCCESS && client->is_tunnel && !APR_BRIGADE_EMPTY(client->out)) {
        rv = pass_pieces(client);
        rv = rv == APR_SUCCESS && c->data_in_output_filters ? udr_client_write_pending(c) : rv;
    }
    if (rv == APR_SUCCESS && (client->owes_flush || client->owes_interim)) {
        rv = flush_filters(client);
        if (rv == APR_SUCCESS && c->data_in_output_filters) {
            rv = udr_client_write_pending(c);
        }
    }
    if (rv == APR_SUCCESS) {
        client->unflushed = 0;
        if (client->owes_shutdown) {
            shut_down(client);
        }
    }
    return rv;
}

apr_status_t udr_client_push(void *baton, bool flush)
{
    udr_client_t *client = baton;
    conn_rec *c = client->r->connection;
    if (udr_client_must_hold(client, client->has_length ? client->length : UDR_CLIENT_UNKNOWN)) {
        client->owes_flush |= flush;
        udr_client_hold(client);
        return APR_EAGAIN;
    }
    /* A tunnel's messages are small: written at once they cost core's output filter no pool to set them aside. */
    bool is_message = client->is_tunnel && client->unflushed <= MESSAGE && !c->data_in_output_filters;
    bool is_flushed = flush && (c->master || (is_message && is_writable(client)));
    if (is_flushed) {
        APR_BRIGADE_INSERT_TAIL(client->out, apr_bucket_flush_create(c->bucket_alloc));
    }
    apr_status_t rv = APR_SUCCESS;
    if (!APR_BRIGADE_EMPTY(client->out)) {
        rv = client->is_tunnel ? pass_pieces(client) : udr_client_pass(client);
    }
    if (rv != APR_SUCCESS) {
        client->owes_flush |= flush && rv == APR_EAGAIN;
        return rv;
    }
    if (c->master || (!flush && !c->data_in_output_filters)) {
        client->unflushed = 0;
        return APR_SUCCESS;
    }
    if (!flush && client->unflushed < CORE_COALESCES) {
        return APR_SUCCESS;
    }
    client->owes_flush = flush && !is_flushed;
    return udr_client_drain_all(client);
}

apr_status_t udr_client_drain(void *baton)
{
    udr_client_t *client = baton;
    if (client->is_held && udr_loops_here()) {
        return APR_EAGAIN;
    }
    apr_status_t rv = client->is_held ? udr_client_pass_held(client) : APR_SUCCESS;
    return rv == APR_SUCCESS ? udr_client_drain_all(client) : rv;
}

/* --- past the filters ----------------------------------------------------------------------------------------------
 */

apr_status_t udr_client_bypass(void *baton, int *fd)
{
    udr_client_t *client = baton;
    const request_rec *r = client->r;
    apr_interval_time_t timeout = -1;
    if (r->connection->master || r->main || r->header_only || client->is_held || !udr_filters_are_transparent(r) ||
        apr_socket_timeout_get(ap_get_conn_socket(r->connection), &timeout) != APR_SUCCESS || timeout < 0) {
        return APR_ENOTIMPL; /* (APR makes a socket O_NONBLOCK when it has a timeout) */
    }
    apr_status_t rv = udr_client_drain_all(client);
    if (rv == APR_SUCCESS) {
        *fd = udr_client_fd(client);
    }
    return rv;
}

void udr_client_bypassed(void *baton, apr_size_t len)
{
    const udr_client_t *client = baton;
    if (!client->is_tunnel) {
        client->r->bytes_sent += (apr_off_t)len; /* as httpd's CONTENT_LENGTH filter */
    }
    if (count_bytes_out) {
        count_bytes_out(client->r->connection, (apr_off_t)len);
    }
}
