/* SPDX-License-Identifier: Apache-2.0 */
/* For tests alone: a module that notes all that a request record says once the request has been read, for the access
 * log to write (%{record}n). */
#include <httpd.h>

#include <apr_strings.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

static __thread apr_array_header_t *words; /* of the request that is being recorded */

static void add(request_rec *r, const char *name, const char *text)
{
    const char *word =
        text ? apr_pstrcat(r->pool, name, "='", text, "' ", NULL) : apr_pstrcat(r->pool, name, "=- ", NULL);
    APR_ARRAY_PUSH(words, const char *) = word;
}

static void add_number(request_rec *r, const char *name, apr_int64_t number)
{
    add(r, name, apr_psprintf(r->pool, "%" APR_INT64_T_FMT, number));
}

static int add_entry(void *baton, const char *key, const char *value)
{
    add(baton, key, value);
    return 1;
}

static void add_table(request_rec *r, const char *name, const apr_table_t *table)
{
    add_number(r, name, apr_table_elts(table)->nelts);
    apr_table_do(add_entry, r, table, NULL);
}

static void add_filters(request_rec *r, const char *name, const ap_filter_t *f)
{
    const char *names = "";
    for (; f; f = f->next) {
        names = apr_pstrcat(r->pool, names, f->frec->name, " ", NULL);
    }
    add(r, name, names);
}

static void add_line(request_rec *r)
{
    add(r, "line", r->the_request);
    add(r, "method", r->method);
    add_number(r, "number", r->method_number);
    add_number(r, "head", r->header_only);
    add(r, "protocol", r->protocol);
    add_number(r, "version", r->proto_num);
    add_number(r, "simple", r->assbackwards);
}

static void add_uri(request_rec *r)
{
    const apr_uri_t *uri = &r->parsed_uri;
    add(r, "unparsed", r->unparsed_uri);
    add(r, "uri", r->uri);
    add(r, "args", r->args);
    add(r, "scheme", uri->scheme);
    add(r, "hostinfo", uri->hostinfo);
    add(r, "user", uri->user);
    add(r, "password", uri->password);
    add(r, "name", uri->hostname);
    add(r, "port", uri->port_str);
    add(r, "path", uri->path);
    add(r, "query", uri->query);
    add(r, "fragment", uri->fragment);
    add_number(r, "port-number", uri->port);
    add_number(r, "initialized", uri->is_initialized);
    add_number(r, "one-path", r->uri == uri->path);
    add_number(r, "one-query", r->args == uri->query);
}

static void add_rest(request_rec *r)
{
    apr_interval_time_t timeout = 0;
    (void)apr_socket_timeout_get(ap_get_conn_socket(r->connection), &timeout);
    add(r, "hostname", r->hostname);
    add(r, "server", r->server->server_hostname);
    add_number(r, "server-config", r->per_dir_config == r->server->lookup_defaults);
    add_number(r, "status", r->status);
    add_number(r, "expecting", r->expecting_100);
    add_number(r, "read-body", r->read_body);
    add_number(r, "read-length", r->read_length);
    add_number(r, "read-chunked", r->read_chunked);
    add_number(r, "chunked", r->chunked);
    add_number(r, "proxy", r->proxyreq);
    add_number(r, "path-info", r->used_path_info);
    add(r, "filename", r->filename);
    add(r, "remote-user", r->user);
    add(r, "agent", r->useragent_ip);
    add_number(r, "agent-address", r->useragent_addr == r->connection->client_addr);
    add_number(r, "keepalive", r->connection->keepalive);
    add_number(r, "keepalives", r->connection->keepalives);
    add_number(r, "timeout", timeout);
    add_number(r, "is-now", apr_time_now() - r->request_time < apr_time_from_sec(5));
}

static int record(request_rec *r)
{
    words = apr_array_make(r->pool, 100, sizeof(const char *));
    add_line(r);
    add_uri(r);
    add_rest(r);
    add_table(r, "headers-in", r->headers_in);
    add_table(r, "trailers-in", r->trailers_in);
    add_table(r, "headers-out", r->headers_out);
    add_table(r, "err-headers-out", r->err_headers_out);
    add_table(r, "environment", r->subprocess_env);
    add_table(r, "notes", r->notes);
    add_filters(r, "input", r->input_filters);
    add_filters(r, "proto-input", r->proto_input_filters);
    add_filters(r, "connection-input", r->connection->input_filters);
    add_filters(r, "output", r->output_filters);
    apr_table_setn(r->notes, "record", apr_array_pstrcat(r->pool, words, 0));
    return DECLINED;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_read_request(record, NULL, NULL, APR_HOOK_REALLY_LAST);
}

__attribute__((visibility("default"))) module AP_MODULE_DECLARE_DATA udr_record_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE,
#endif
};
