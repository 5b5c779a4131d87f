/* SPDX-License-Identifier: Apache-2.0 */
/* The request's body, as httpd's input filters give it; after 101, what the client sends into the tunnel. */
#include "mod_udsroute/mod_udsroute_client_private.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/udr_fields.h"

#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

/* How much body is asked of the input filters at once. */
#define BODY_READ 65536

/* LimitRequestBody for a body of unknown length; httpd's own filter leaves proxied requests alone. */
static bool is_over_limit(const udr_client_t *client)
{
    const core_dir_config *core = ap_get_core_module_config(client->r->per_dir_config);
    return !client->is_tunnel && core->limit_req_body > 0 && client->body_taken > core->limit_req_body;
}

/* The connection's, as an idle tunnel has no page to spare; what another request has left in it is nobody's. */
static apr_bucket_brigade *body_brigade(conn_rec *c)
{
    udr_conn_t *conn = udr_conn_get(c);
    if (!conn->body) {
        conn->body = apr_brigade_create(c->pool, c->bucket_alloc);
    }
    apr_brigade_cleanup(conn->body);
    return conn->body;
}

/* Asks the input filters for more. */
static apr_status_t fill_in(udr_client_t *client)
{
    request_rec *r = client->r;
    if (client->is_chunked && !client->is_tunnel && udr_loops_here()) {
        client->wants_worker = true;
        return APR_EAGAIN;
    }
    if (!client->in) {
        client->in = body_brigade(r->connection);
    }
    apr_status_t rv = ap_get_brigade(r->input_filters, client->in, AP_MODE_READBYTES, APR_NONBLOCK_READ, BODY_READ);
    bool has_nothing = APR_STATUS_IS_EAGAIN(rv) || (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(client->in));
    if (has_nothing && client->sending_ended) {
        /* core's input filter tells of the end when it is asked again. */
        rv = ap_get_brigade(r->input_filters, client->in, AP_MODE_READBYTES, APR_NONBLOCK_READ, BODY_READ);
    }
    if (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(client->in)) {
        return APR_EAGAIN;
    }
    return APR_STATUS_IS_EAGAIN(rv) ? APR_EAGAIN : rv;
}

apr_status_t udr_client_body_peek(void *baton, udr_slice_t *data)
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

void udr_client_body_consume(void *baton, apr_size_t len)
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

const apr_table_t *udr_client_body_trailers(void *baton)
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
