/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_answer.h"
#include "mod_udsroute/mod_udsroute_client_private.h"
#include "mod_udsroute/mod_udsroute_request.h"
#include "mod_udsroute/mod_udsroute_response.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include <sys/socket.h>

udr_client_t *udr_client_create(request_rec *r, const udr_match_t *match, udr_request_t *request)
{
    udr_client_t *client = apr_pcalloc(r->pool, sizeof *client);
    client->r = r;
    client->match = match;
    client->request = request;
    client->first_status = r->status;
    client->is_chunked = apr_table_get(r->headers_in, "Transfer-Encoding") != NULL;
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

unsigned int udr_client_hung_up(udr_client_t *client)
{
    int error = 0;
    socklen_t len = sizeof error;
    bool is_cut = getsockopt(udr_client_fd(client), SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0;
    /* A tunnel whose two directions are shut, one of them by us, has come to its end and not been cut. */
    if (client->is_tunnel && !is_cut && !udr_exchange_body_taken(client->exchange)) {
        client->sending_ended = true;
        return UDR_READY_CLIENT_IN | UDR_READY_CLIENT_OUT;
    }
    return UDR_READY_CLIENT_GONE;
}

apr_size_t udr_client_pass_limit(const request_rec *r)
{
    const core_server_config *core = ap_get_core_module_config(r->connection->base_server->module_config);
    /* Room for what core keeps back for a fuller packet, and for what TLS and the chunked coding add. */
    apr_size_t room = 6144;
    return core->flush_max_threshold > 2 * room ? core->flush_max_threshold - room : room;
}

/* --- the response --------------------------------------------------------------------------------------------------
 */

static apr_status_t data(void *baton, udr_slice_t bytes)
{
    udr_client_t *client = baton;
    client->collected += bytes.len;
    apr_bucket *b = apr_bucket_transient_create(bytes.ptr, bytes.len, client->r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(client->out, b);
    client->unflushed += bytes.len;
    return APR_SUCCESS;
}

/* Passes on an answer that is there as a whole, where httpd's filters have nothing to do with it. Returns whether it
 * has. */
static bool pass_whole(udr_client_t *client, apr_status_t *rv)
{
    bool is_passed =
        !client->has_passed && udr_answer_pass(client->r, &client->stamp, client->out, client->collected, rv);
    client->has_passed |= is_passed;
    return is_passed;
}

static apr_status_t pass_end(udr_client_t *client, udr_slice_t trailers)
{
    request_rec *r = client->r;
    apr_status_t rv;
    if (trailers.len) {
        /* The head goes first: with a body that is complete httpd would send a length and no trailers. */
        rv = udr_client_push(client, true);
        if (rv != APR_SUCCESS && rv != APR_EAGAIN) {
            return rv;
        }
        udr_response_set_trailers(r, trailers);
    }
    if (!pass_whole(client, &rv)) {
        APR_BRIGADE_INSERT_TAIL(client->out, apr_bucket_eos_create(r->connection->bucket_alloc));
        rv = udr_client_hand_down(client);
    }
    /* Once the filters have it all, a client that closes at once has gone with a complete response. */
    return rv != APR_SUCCESS && udr_client_is_lost(r->connection, rv) ? APR_ECONNABORTED : rv;
}

static apr_status_t end(void *baton, udr_slice_t trailers)
{
    udr_client_t *client = baton;
    apr_status_t rv;
    if (!trailers.len && udr_client_is_light(client) && pass_whole(client, &rv)) {
        return rv != APR_SUCCESS && udr_client_is_lost(client->r->connection, rv) ? APR_ECONNABORTED : rv;
    }
    if (udr_client_must_hold(client, client->has_passed ? UDR_CLIENT_UNKNOWN : client->collected)) {
        client->is_held_to_end = true;
        client->trailers = (udr_slice_t){apr_pstrmemdup(client->r->pool, trailers.ptr, trailers.len), trailers.len};
        udr_client_hold(client);
        return APR_SUCCESS;
    }
    return pass_end(client, trailers);
}

apr_status_t udr_client_pass_held(udr_client_t *client)
{
    client->is_held = false;
    if (client->is_held_to_end) {
        return end(client, client->trailers);
    }
    return client->is_tunnel ? udr_client_push(client, true) : udr_client_pass(client);
}

void udr_client_take_back(udr_client_t *client)
{
    apr_brigade_cleanup(client->out);
    udr_response_reset(client->r);
    client->stamp = (udr_stamp_t){NULL, NULL};
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
    (void)udr_client_pass(client);
    c->keepalive = AP_CONN_CLOSE;
    /* A body that ends with the connection has no other sign of being cut than a reset. (What a filter includes is not
     * the client's body.) */
    if (!r->main && !r->chunked && !apr_table_get(r->headers_out, "Content-Length") && fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        c->aborted = 1;
    }
}

static void picked(void *baton, udr_member_t *member)
{
    udr_client_t *client = baton;
    client->member = member;
    udr_request_address(client->request, client->r, client->match, member);
}

/* --- the table -----------------------------------------------------------------------------------------------------
 */

static void trace(void *baton, const char *step, const char *text)
{
    const udr_client_t *client = baton;
    ap_log_rerror(APLOG_MARK, APLOG_TRACE5, 0, client->r, "%s: %s", step, text);
}

#define OPS                                                                                                            \
    .picked = picked, .body_peek = udr_client_body_peek, .body_consume = udr_client_body_consume,                      \
    .body_trailers = udr_client_body_trailers, .body_invite = udr_client_body_invite, .interim = udr_client_interim,   \
    .head = udr_client_head, .upgrade = udr_client_upgrade, .shut = udr_client_shut, .note = udr_client_note,          \
    .data = data, .push = udr_client_push, .drain = udr_client_drain, .bypass = udr_client_bypass,                     \
    .bypassed = udr_client_bypassed, .end = end

const udr_client_ops_t *udr_client_ops(const request_rec *r)
{
    static const udr_client_ops_t silent = {OPS};
    static const udr_client_ops_t traced = {OPS, .trace = trace};
    return APLOG_R_IS_LEVEL(r, APLOG_TRACE5) ? &traced : &silent;
}
