/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_client.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_response.h"
#include "mod_udsroute/udr_fields.h"

#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include <poll.h>
#include <sys/socket.h>

/* How much body is asked of the input filters at once. */
#define BODY_READ 65536

/* core's output filter keeps back less than this for a fuller packet (THRESHOLD_MIN_WRITE in server/core_filters.c):
 * what it keeps then does not mean that the client takes no more. */
#define CORE_COALESCES 4096

udr_client_t *udr_client_create(request_rec *r, udr_member_t *member)
{
    udr_client_t *client = apr_pcalloc(r->pool, sizeof *client);
    client->r = r;
    client->member = member;
    client->first_status = r->status;
    client->out = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    return client;
}

int udr_client_fd(const udr_client_t *client)
{
    conn_rec *c = client->r->connection;
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    apr_os_sock_t fd = -1;
    if (!socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS) {
        return -1;
    }
    return fd;
}

apr_size_t udr_client_pass_limit(const request_rec *r)
{
    const core_server_config *core = ap_get_core_module_config(r->connection->base_server->module_config);
    /* Room for the head and for what the chunked coding adds. */
    apr_size_t room = 2048;
    return core->flush_max_threshold > 2 * room ? core->flush_max_threshold - room : room;
}

/* --- the request body ----------------------------------------------------------------------------------------------
 */

/* LimitRequestBody for a body of unknown length; httpd's own filter leaves proxied requests alone. */
static bool is_over_limit(const udr_client_t *client)
{
    const core_dir_config *core = ap_get_core_module_config(client->r->per_dir_config);
    return core->limit_req_body > 0 && client->body_taken > core->limit_req_body;
}

/* Asks the input filters for more. */
static apr_status_t fill_in(udr_client_t *client)
{
    request_rec *r = client->r;
    if (!client->in) {
        client->in = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    }
    apr_status_t rv = ap_get_brigade(r->input_filters, client->in, AP_MODE_READBYTES, APR_NONBLOCK_READ, BODY_READ);
    if (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(client->in)) {
        return APR_EAGAIN;
    }
    return APR_STATUS_IS_EAGAIN(rv) ? APR_EAGAIN : rv;
}

static apr_status_t body_peek(void *baton, udr_slice_t *data)
{
    udr_client_t *client = baton;
    if (client->body_status) {
        return APR_EGENERAL;
    }
    while (!client->in_ended) {
        if (!client->in || APR_BRIGADE_EMPTY(client->in)) {
            apr_status_t rv = fill_in(client);
            if (rv != APR_SUCCESS) {
                return rv;
            }
        }
        apr_bucket *b = APR_BRIGADE_FIRST(client->in);
        if (APR_BUCKET_IS_EOS(b)) {
            client->in_ended = true;
        } else if (AP_BUCKET_IS_ERROR(b)) {
            client->body_status = ((ap_bucket_error *)b->data)->status;
            return APR_EGENERAL;
        } else if (!APR_BUCKET_IS_METADATA(b)) {
            apr_status_t rv = apr_bucket_read(b, &data->ptr, &data->len, APR_NONBLOCK_READ);
            if (rv != APR_SUCCESS || data->len > 0) {
                return APR_STATUS_IS_EAGAIN(rv) ? APR_EAGAIN : rv;
            }
        }
        apr_bucket_delete(b);
    }
    return APR_EOF;
}

static void body_consume(void *baton, apr_size_t len)
{
    udr_client_t *client = baton;
    apr_bucket *b = APR_BRIGADE_FIRST(client->in);
    if (len < b->length) {
        apr_bucket_split(b, len);
    }
    apr_bucket_delete(b);
    client->body_taken += (apr_off_t)len;
    if (is_over_limit(client)) {
        client->body_status = HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
}

static const apr_table_t *body_trailers(void *baton)
{
    const udr_client_t *client = baton;
    request_rec *r = client->r;
    const char *connection = apr_table_get(r->headers_in, "Connection");
    if (apr_is_empty_table(r->trailers_in) || !connection) {
        return r->trailers_in;
    }
    /* RFC 9110, 7.6.1: what Connection names is not passed on, wherever it stands. */
    apr_table_t *trailers = apr_table_copy(r->pool, r->trailers_in);
    udr_fields_drop_listed(trailers, connection, r->pool);
    return trailers;
}

static apr_status_t body_invite(void *baton)
{
    udr_client_t *client = baton;
    request_rec *r = client->r;
    /* httpd's input filter does this on a blocking read only. */
    if (r->expecting_100) {
        int status = r->status;
        const char *line = r->status_line;
        r->status = HTTP_CONTINUE;
        r->status_line = NULL;
        ap_send_interim_response(r, 0);
        r->status = status;
        r->status_line = line;
    }
    return r->connection->aborted ? APR_ECONNABORTED : APR_SUCCESS;
}

/* --- the response --------------------------------------------------------------------------------------------------
 */

static apr_status_t interim(void *baton, const udr_http1_head_t *head)
{
    udr_client_t *client = baton;
    udr_response_send_interim(client->r, head);
    return client->r->connection->aborted ? APR_ECONNABORTED : APR_SUCCESS;
}

static apr_status_t head(void *baton, const udr_http1_head_t *response, bool *wanted)
{
    udr_client_t *client = baton;
    request_rec *r = client->r;
    client->member_status = response->status;
    udr_response_set_head(r, response);
    /* An error page that was found is no success: the status stays the error's. */
    if (ap_is_HTTP_ERROR(client->first_status) && response->status == HTTP_OK) {
        r->status = client->first_status;
        r->status_line = NULL;
    }
    /* The rest of a body that nobody reads would be taken for the next request, or cost its whole length to skip. */
    if (!udr_exchange_body_taken(client->exchange)) {
        r->connection->keepalive = AP_CONN_CLOSE;
        /* httpd would let such a body end with the connection; chunked, a cut shows even behind another proxy. */
        if (!response->has_length && !r->header_only && r->proto_num >= HTTP_VERSION(1, 1)) {
            r->chunked = 1;
        }
    }
    if (udr_response_is_overridden(r, response->status)) {
        client->is_overridden = true;
        *wanted = false;
    }
    return APR_SUCCESS;
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

static apr_status_t write_pending(udr_client_t *client)
{
    apr_status_t rv = udr_client_write_pending(client->r->connection);
    if (rv == APR_SUCCESS) {
        client->unflushed = 0;
    }
    return rv;
}

/* Filters fail for reasons of their own, too (AP_FILTER_ERROR; what mod_security or mod_ext_filter makes of a
 * response). */
static bool is_connection_lost(const conn_rec *c, apr_status_t rv)
{
    return c->aborted || APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_EPIPE(rv) ||
           APR_STATUS_IS_TIMEUP(rv) || APR_STATUS_IS_EAGAIN(rv);
}

/* Gives the filters what was collected; their answer as it is. */
static apr_status_t hand_down(udr_client_t *client)
{
    client->has_passed = true;
    apr_status_t rv = ap_pass_brigade(client->r->output_filters, client->out);
    apr_brigade_cleanup(client->out);
    return rv;
}

static apr_status_t pass(udr_client_t *client)
{
    apr_status_t rv = hand_down(client);
    return is_connection_lost(client->r->connection, rv) ? APR_ECONNABORTED : rv;
}

static apr_status_t data(void *baton, udr_slice_t bytes)
{
    udr_client_t *client = baton;
    apr_bucket *b = apr_bucket_transient_create(bytes.ptr, bytes.len, client->r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(client->out, b);
    client->unflushed += bytes.len;
    return APR_SUCCESS;
}

static bool is_writable(const udr_client_t *client)
{
    struct pollfd descriptor = {.fd = udr_client_fd(client), .events = POLLOUT};
    return poll(&descriptor, 1, 0) != 0;
}

static apr_status_t push(void *baton, bool flush)
{
    udr_client_t *client = baton;
    conn_rec *c = client->r->connection;
    /* A FLUSH bucket makes core wait for a client that takes nothing: a loop must not. */
    bool is_full = flush && udr_loops_here() && !is_writable(client);
    if (flush && !is_full) {
        APR_BRIGADE_INSERT_TAIL(client->out, apr_bucket_flush_create(c->bucket_alloc));
    }
    apr_status_t rv = pass(client);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (is_full) {
        return APR_EAGAIN;
    }
    if (flush || !c->data_in_output_filters || c->master) {
        client->unflushed = 0;
        return APR_SUCCESS;
    }
    return client->unflushed < CORE_COALESCES ? APR_SUCCESS : write_pending(client);
}

static apr_status_t drain(void *baton)
{
    return write_pending(baton);
}

static apr_status_t end(void *baton, udr_slice_t trailers)
{
    udr_client_t *client = baton;
    request_rec *r = client->r;
    if (trailers.len) {
        /* The head goes first: with a body that is complete httpd would send a length and no trailers. */
        apr_status_t rv = push(client, true);
        if (rv != APR_SUCCESS && rv != APR_EAGAIN) {
            return rv;
        }
        udr_response_set_trailers(r, trailers);
    }
    APR_BRIGADE_INSERT_TAIL(client->out, apr_bucket_eos_create(r->connection->bucket_alloc));
    apr_status_t rv = hand_down(client);
    /* Once the filters have it all, a client that closes at once has gone with a complete response. */
    return rv != APR_SUCCESS && is_connection_lost(r->connection, rv) ? APR_ECONNABORTED : rv;
}

void udr_client_take_back(udr_client_t *client)
{
    apr_brigade_cleanup(client->out);
    udr_response_reset(client->r);
    client->r->status = client->first_status;
}

void udr_client_break_off(udr_client_t *client)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    request_rec *r = client->r;
    conn_rec *c = r->connection;
    int fd = udr_client_fd(client);
    /* Filters end their data at an error bucket: no last chunk (HTTP/1.1), RST_STREAM (HTTP/2). */
    APR_BRIGADE_INSERT_TAIL(client->out, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, c->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(client->out, apr_bucket_eos_create(c->bucket_alloc));
    (void)pass(client);
    c->keepalive = AP_CONN_CLOSE;
    /* A body that ends with the connection has no other sign of being cut than a reset. (What a filter includes is not
     * the client's body.) */
    if (!r->main && !r->chunked && !apr_table_get(r->headers_out, "Content-Length") && fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        c->aborted = 1;
    }
}

/* --- the table -----------------------------------------------------------------------------------------------------
 */

static void trace(void *baton, const char *step, const char *text)
{
    const udr_client_t *client = baton;
    ap_log_rerror(APLOG_MARK, APLOG_TRACE5, 0, client->r, "%s: %s", step, text);
}

#define OPS                                                                                                            \
    .body_peek = body_peek, .body_consume = body_consume, .body_trailers = body_trailers, .body_invite = body_invite,  \
    .interim = interim, .head = head, .data = data, .push = push, .drain = drain, .end = end

const udr_client_ops_t *udr_client_ops(const request_rec *r)
{
    static const udr_client_ops_t silent = {OPS};
    static const udr_client_ops_t traced = {OPS, .trace = trace};
    return APLOG_R_IS_LEVEL(r, APLOG_TRACE5) ? &traced : &silent;
}
