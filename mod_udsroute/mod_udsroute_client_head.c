/* SPDX-License-Identifier: Apache-2.0 */
/* The heads of the member's responses: interim ones, the final one, and the one after which there is a tunnel. */
#include "mod_udsroute/mod_udsroute_client_private.h"
#include "mod_udsroute/mod_udsroute_environment.h"
#include "mod_udsroute/mod_udsroute_filters.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_response.h"

#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

/* httpd's own way (ap_send_interim_response()) would wait for a client that takes nothing. */
static apr_status_t pass_interim(udr_client_t *client)
{
    conn_rec *c = client->r->connection;
    if (c->master) {
        APR_BRIGADE_INSERT_TAIL(client->out, apr_bucket_flush_create(c->bucket_alloc));
        return udr_client_pass_to(client, c->output_filters);
    }
    apr_status_t rv = udr_client_pass_to(client, c->output_filters);
    client->owes_interim = true;
    return rv == APR_SUCCESS ? udr_client_drain_all(client) : rv;
}

apr_status_t udr_client_interim(void *baton, const udr_http1_head_t *head)
{
    udr_client_t *client = baton;
    request_rec *r = client->r;
    if (r->connection->master) {
        udr_response_send_interim(r, head); /* HTTP/2 makes frames of it */
        return r->connection->aborted ? APR_ECONNABORTED : APR_SUCCESS;
    }
    if (r->proto_num < HTTP_VERSION(1, 1)) {
        return APR_SUCCESS;
    }
    /* The client has not even taken the one before, or this is so long that core would wait for it: it has to do
     * without what is advice, after all. */
    if (r->connection->data_in_output_filters && udr_client_write_pending(r->connection) == APR_EAGAIN) {
        return APR_EAGAIN;
    }
    if (head->fields.len > udr_client_pass_limit(r) / 2) {
        return APR_SUCCESS;
    }
    udr_response_write_interim(r, head, client->out);
    return pass_interim(client);
}

apr_status_t udr_client_body_invite(void *baton)
{
    udr_client_t *client = baton;
    request_rec *r = client->r;
    /* httpd's input filter does this on a blocking read only. */
    if (!r->expecting_100 || r->proto_num < HTTP_VERSION(1, 1)) {
        return APR_SUCCESS;
    }
    r->expecting_100 = 0;
    apr_brigade_puts(client->out, NULL, NULL, "HTTP/1.1 100 Continue\r\n\r\n");
    return pass_interim(client);
}

apr_status_t udr_client_head(void *baton, const udr_http1_head_t *response, bool *wanted)
{
    udr_client_t *client = baton;
    request_rec *r = client->r;
    client->member_status = response->status;
    client->head_size = response->fields.len;
    client->has_length = response->has_length;
    client->length = response->length;
    udr_environment_tell_member(client);
    udr_response_set_head(r, response, &client->stamp);
    if (response->status == HTTP_UPGRADE_REQUIRED) {
        udr_response_set_upgrade(r, response, client->member->settings.upgrade);
    }
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

/* --- after 101 -----------------------------------------------------------------------------------------------------
 */

void udr_client_trim(conn_rec *c)
{
    enum { PIECES = 6, PIECE = 4096 };
    apr_allocator_t *allocator = apr_pool_allocator_get(c->pool);
    apr_memnode_t *pieces[PIECES];
    apr_allocator_max_free_set(allocator, 1);
    for (int i = 0; i < PIECES; i++) {
        pieces[i] = apr_allocator_alloc(allocator, PIECE);
    }
    for (int i = 0; i < PIECES && pieces[i]; i++) {
        apr_allocator_free(allocator, pieces[i]);
    }
}

apr_status_t udr_client_upgrade(void *baton, const udr_http1_head_t *response)
{
    udr_client_t *client = baton;
    request_rec *r = client->r;
    conn_rec *c = r->connection;
    if (c->data_in_output_filters && udr_client_write_pending(c) != APR_SUCCESS) {
        return APR_ECONNABORTED; /* it has not taken the interim responses before this one */
    }
    client->member_status = response->status;
    client->has_passed = true;
    client->is_tunnel = true;
    client->in_ended = false;
    if (client->in) {
        apr_brigade_cleanup(client->in); /* the end of the request's body, at most */
    }
    /* What follows is no HTTP: it knows no request's filters, no time for a head, and no next request. */
    ap_remove_input_filter_byhandle(c->input_filters, "reqtimeout");
    r->input_filters = r->proto_input_filters = c->input_filters;
    r->output_filters = r->proto_output_filters = c->output_filters;
    r->eos_sent = 1;
    c->keepalive = AP_CONN_CLOSE;
    udr_response_write_switch(r, response, client->out);
    apr_off_t len = 0;
    (void)apr_brigade_length(client->out, 1, &len);
    client->unflushed = (apr_size_t)len;
    apr_status_t rv = udr_client_push(client, true);
    if (udr_loops_here()) {
        udr_client_trim(c);
    }
    return rv;
}

apr_status_t udr_client_shut(void *baton)
{
    udr_client_t *client = baton;
    const char *name;
    if (udr_filters_cost(client->r, &name) != UDR_COST_NONE) {
        return APR_EOF; /* TLS: its end is told by closing */
    }
    client->owes_shutdown = true;
    return udr_client_drain_all(client);
}
