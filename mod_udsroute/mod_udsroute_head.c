/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_head.h"
#include "mod_udsroute/mod_udsroute_input.h"

#include <ap_mmn.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_vhost.h>
#include <mod_core.h>
#include <util_filter.h>

#include <string.h>

/* Whether httpd offers the parts of ap_read_request() one by one (2.4.51 and later). */
#define HAS_PARTS AP_MODULE_MAGIC_AT_LEAST(20120211, 121)

/* Longer ones are looked up each time. */
#define HOST_MAX 255

struct udr_host_t {
    udr_slice_t text; /* the field's value */
    const char *name;
    server_rec *server;
    apr_port_t port; /* as httpd notes it in parsed_uri; 0: none was given */
    char *port_text;
};

/* Those that clients use; the others are httpd's to look up, or to refuse (RegisteredMethods). M_INVALID: another. */
static int method_number(udr_slice_t method)
{
    static const struct {
        const char name[8];
        apr_size_t len;
        int number;
    } known[] = {
        {"GET", 3, M_GET},       {"POST", 4, M_POST},       {"HEAD", 4, M_GET},    {"PUT", 3, M_PUT},
        {"DELETE", 6, M_DELETE}, {"OPTIONS", 7, M_OPTIONS}, {"PATCH", 5, M_PATCH},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].len == method.len && memcmp(known[i].name, method.ptr, method.len) == 0) {
            return known[i].number;
        }
    }
    return M_INVALID;
}

bool udr_head_is_plain(udr_head_t *head, udr_slice_t bytes, conn_rec *c)
{
    const server_rec *s = c->base_server;
    const udr_head_limits_t limits = {
        .line = s->limit_req_line > 0 ? (apr_size_t)s->limit_req_line : 0,
        .field = s->limit_req_fieldsize > 0 ? (apr_size_t)s->limit_req_fieldsize : 0,
        .fields = s->limit_req_fields,
    };
    /* httpd writes the request line it has read into the log. */
    return HAS_PARTS && udr_head_read(head, bytes, &limits) && method_number(head->method) != M_INVALID &&
           ap_get_conn_module_loglevel(c, AP_CORE_MODULE_INDEX) < APLOG_TRACE5;
}

#if HAS_PARTS

/* The head in the request's memory, where its parts are made strings. */
typedef struct text_t {
    const char *from;
    char *to;
} text_t;

static char *text_of(const text_t *text, udr_slice_t slice)
{
    char *start = text->to + (slice.ptr - text->from);
    start[slice.len] = '\0';
    return start;
}

/* As ap_parse_request_line() and ap_parse_uri(): three copies of the target, as one of them is decoded. */
static void fill_line(request_rec *r, const udr_head_t *head, const text_t *text)
{
    r->the_request = apr_pstrmemdup(r->pool, head->line.ptr, head->line.len);
    r->unparsed_uri = apr_pstrmemdup(r->pool, head->target.ptr, head->target.len);
    r->method = text_of(text, head->method);
    r->method_number = method_number(head->method);
    r->protocol = text_of(text, head->protocol);
    r->proto_num = HTTP_VERSION(1, head->minor);
    r->header_only = r->method_number == M_GET && r->method[0] == 'H';
    r->parsed_uri.is_initialized = 1;
    r->parsed_uri.path = text_of(text, head->path);
    r->parsed_uri.query = head->has_query ? text_of(text, head->query) : NULL;
    r->uri = r->parsed_uri.path;
    r->args = r->parsed_uri.query;
}

static void fill_fields(request_rec *r, const udr_head_t *head, const text_t *text)
{
    for (int i = 0; i < head->count; i++) {
        apr_table_addn(r->headers_in, text_of(text, head->fields[i].name), text_of(text, head->fields[i].value));
    }
}

static void apply_server(request_rec *r)
{
    apr_socket_timeout_set(ap_get_conn_socket(r->connection), r->server->timeout);
    r->per_dir_config = r->server->lookup_defaults;
}

static udr_host_t *remember(const request_rec *r, udr_slice_t text)
{
    apr_pool_t *p = r->connection->pool;
    udr_host_t *host = apr_palloc(p, sizeof *host);
    host->text = (udr_slice_t){apr_pstrmemdup(p, text.ptr, text.len), text.len};
    host->name = apr_pstrdup(p, r->hostname);
    host->server = r->server;
    host->port = r->parsed_uri.port;
    host->port_text = r->parsed_uri.port_str ? apr_pstrdup(p, r->parsed_uri.port_str) : NULL;
    return host;
}

/* As ap_check_request_header(): checks the Host and finds the virtual host, which go by the field and the connection
 * alone. Only a connection's first one is remembered. */
static bool check_host(request_rec *r, udr_slice_t text)
{
    udr_conn_t *conn = udr_conn_get(r->connection);
    const udr_host_t *known = conn->host;
    if (known && known->text.len == text.len && memcmp(known->text.ptr, text.ptr, text.len) == 0) {
        r->hostname = known->name;
        r->server = known->server;
        r->parsed_uri.port = known->port;
        r->parsed_uri.port_str = known->port_text;
        return true;
    }
    if (!ap_check_request_header(r)) {
        return false;
    }
    if (!known && r->hostname && text.len > 0 && text.len <= HOST_MAX) {
        conn->host = remember(r, text);
    }
    return true;
}

/* As ap_read_request() does it. */
static void refuse(request_rec *r, int status)
{
    conn_rec *c = r->connection;
    ap_die(status, r);
    apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, ap_bucket_eor_create(c->bucket_alloc, r));
    (void)ap_pass_brigade(c->output_filters, bb);
    apr_brigade_destroy(bb);
}

/* Returns false, with the request gone, if a module has put a filter there to read it through. */
static bool fill(request_rec *r, const udr_head_t *head)
{
    ap_filter_t *filters = r->connection->input_filters;
    ap_run_pre_read_request(r, r->connection);
    r->request_time = apr_time_now();
    const text_t text = {.from = head->line.ptr, .to = apr_pmemdup(r->pool, head->line.ptr, head->len)};
    if (r->connection->input_filters != filters || r->proto_input_filters != filters) {
        apr_pool_destroy(r->pool);
        return false;
    }
    fill_line(r, head, &text);
    fill_fields(r, head, &text);
    ap_log_rerror(APLOG_MARK, APLOG_TRACE4, 0, r, "a plain head");
    return true;
}

request_rec *udr_head_make_request(conn_rec *c, const udr_head_t *head, udr_slice_t bytes, bool *is_refused)
{
    request_rec *r = ap_create_request(c);
    c->keepalive = AP_CONN_UNKNOWN;
    *is_refused = false;
    if (!fill(r, head)) {
        return NULL;
    }
    ap_add_input_filter_handle(ap_http_input_filter_handle, NULL, r, c);
    bool is_good = check_host(r, head->host);
    udr_input_take(c, bytes, head->len);
    int status = r->status;
    apply_server(r);
    if (is_good) {
        status = ap_post_read_request(r);
    } else {
        r->status = HTTP_OK;
    }
    if (is_good && status == OK) {
        return r;
    }
    *is_refused = true;
    refuse(r, status);
    return NULL;
}

#else

request_rec *udr_head_make_request(conn_rec *c, const udr_head_t *head, udr_slice_t bytes, bool *is_refused)
{
    (void)c;
    (void)head;
    (void)bytes;
    *is_refused = false;
    return NULL;
}

#endif
