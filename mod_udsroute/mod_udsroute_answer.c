/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_answer.h"
#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_http1_syntax.h"

#include <apr_buckets.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <mod_core.h>
#include <util_filter.h>
#include <util_time.h>

#include <string.h>

/* The log level of httpd's filters is that of the module they are in. */
extern module AP_MODULE_DECLARE_DATA http_module;

/* An answer with more fields goes the long way. httpd adds Content-Length, Keep-Alive, Connection and Content-Type. */
#define FIELDS_MAX 64
#define LINES_MAX  (FIELDS_MAX + 4)

/* So short a body goes into one piece with its head. core's output filter writes longer ones at once, from where they
 * are. */
#define COPIED_MAX 4096

/* So much is written into the request's memory. */
#define SMALL_MAX 1024

typedef struct line_t {
    udr_slice_t name;
    udr_slice_t value;
} line_t;

/* The fields of an answer as they are written behind Date and Server: in the order of the table. */
typedef struct lines_t {
    line_t line[LINES_MAX];
    int count;
    apr_size_t len; /* of all, with colons and line ends */
    bool has_type;
    bool has_length;
    bool has_vary;
    bool has_connection;
} lines_t;

/* --- whether httpd's filters would do what is done here -------------------------------------------------------------
 */

static bool is(const ap_filter_t *f, ap_out_filter_func function)
{
    return f && f->frec->filter_func.out_func == function;
}

/* Their names say nothing: a module may register another filter under one of them. With a context they have seen
 * something of an answer. */
static bool has_plain_filters(const request_rec *r)
{
    const ap_filter_t *f = r->output_filters;
    if (is(f, ap_byterange_filter)) {
        if (apr_table_get(r->headers_in, "Range") || apr_table_get(r->headers_in, "Request-Range")) {
            return false;
        }
        f = f->next;
    }
    const ap_filter_t *header = f ? f->next : NULL;
    const ap_filter_t *error = header ? header->next : NULL;
    return is(f, ap_content_length_filter) && !f->ctx && is(header, ap_http_header_filter) && !header->ctx &&
           is(error, ap_http_outerror_filter) && !error->ctx && error->next &&
           error->next == r->connection->output_filters;
}

/* httpd writes it as it is: the code, a space, and perhaps a reason; and an answer of that code has a body. */
static bool has_plain_status(const request_rec *r)
{
    const char *line = r->status_line;
    return line && r->status >= 200 && !AP_STATUS_IS_HEADER_ONLY(r->status) && line[0] - '0' == r->status / 100 &&
           line[1] - '0' == r->status / 10 % 10 && line[2] - '0' == r->status % 10 && line[3] == ' ';
}

/* Browsers of the last century have httpd answer in another way. */
static bool has_plain_environment(const request_rec *r)
{
    return !apr_table_get(r->subprocess_env, "force-no-vary") && !apr_table_get(r->subprocess_env, "downgrade-1.0") &&
           !apr_table_get(r->subprocess_env, "force-response-1.0");
}

static bool is_plain_request(const request_rec *r)
{
    return !r->main && !r->prev && !r->connection->master && !r->header_only && !r->assbackwards && !r->chunked &&
           !r->no_cache && !r->content_encoding && (!r->content_languages || r->content_languages->nelts == 0) &&
           r->proxyreq != PROXYREQ_NONE && apr_is_empty_table(r->err_headers_out) && has_plain_filters(r) &&
           has_plain_status(r) && has_plain_environment(r) && !apr_table_get(r->notes, "no-etag") &&
           ap_get_request_module_loglevel(r, http_module.module_index) < APLOG_TRACE3;
}

/* httpd puts all Vary fields together and drops what is in them twice: one name stays as it is. */
static bool is_one_name(udr_slice_t value)
{
    return value.len && udr_http1_span(value, UDR_HTTP1_TOKEN) == value.len;
}

/* Notes what is written anyway, and where it was found. Returns whether httpd writes it as it is. */
static bool note_field(lines_t *lines, const line_t *line)
{
    switch (line->name.len) {
    case 4:
        if (UDR_HTTP1_EQUALS(line->name, "vary")) {
            bool is_first = !lines->has_vary;
            lines->has_vary = true;
            return is_first && is_one_name(line->value);
        }
        return !UDR_HTTP1_EQUALS(line->name, "date"); /* twice, or another module's; so with Server */
    case 6:
        return !UDR_HTTP1_EQUALS(line->name, "server");
    case 10: /* httpd may add to it */
        lines->has_connection |=
            UDR_HTTP1_EQUALS(line->name, "connection") || UDR_HTTP1_EQUALS(line->name, "keep-alive");
        return true;
    case 12:
        lines->has_type |= UDR_HTTP1_EQUALS(line->name, "content-type");
        return true;
    case 14:
        lines->has_length |= UDR_HTTP1_EQUALS(line->name, "content-length");
        return true;
    case 17:
        return !UDR_HTTP1_EQUALS(line->name, "transfer-encoding");
    default:
        return true;
    }
}

static void count_line(lines_t *lines, const line_t *line)
{
    lines->len += line->name.len + line->value.len + sizeof ": \r\n" - 1;
}

/* Takes the fields from the table, no more than `most`. Returns whether httpd writes all of them as they are: it
 * refuses what is no field, and unfolds values. */
static bool take_fields(lines_t *lines, const apr_table_t *fields, int most)
{
    const apr_array_header_t *array = apr_table_elts(fields);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    lines->has_type = lines->has_length = lines->has_vary = lines->has_connection = false;
    lines->len = 0;
    lines->count = 0;
    if (array->nelts > most) {
        return false;
    }
    bool is_plain = true;
    for (int i = 0; i < array->nelts; i++) {
        line_t *line = &lines->line[lines->count++];
        line->name = (udr_slice_t){entries[i].key, strlen(entries[i].key)};
        line->value = (udr_slice_t){entries[i].val, strlen(entries[i].val)};
        count_line(lines, line);
        is_plain = note_field(lines, line) && line->name.len && is_plain &&
                   udr_http1_span(line->name, UDR_HTTP1_TOKEN) == line->name.len &&
                   udr_http1_span_text(line->value) == line->value.len;
    }
    return is_plain;
}

/* --- what the filters leave in the record ---------------------------------------------------------------------------
 */

/* They have no more to do once the head has gone. */
static void remove_filters(const request_rec *r)
{
    for (ap_filter_t *f = r->output_filters, *next; f != r->connection->output_filters; f = next) {
        next = f->next;
        if (is(f, ap_byterange_filter) || is(f, ap_http_header_filter)) {
            ap_remove_output_filter(f);
        }
    }
}

static void add_line(lines_t *lines, udr_slice_t name, const char *value)
{
    line_t *line = &lines->line[lines->count++];
    *line = (line_t){name, {value, strlen(value)}};
    count_line(lines, line);
}

/* As httpd does, in its order. lines: what was in the table before, and what is in it now. */
static void settle_fields(request_rec *r, lines_t *lines)
{
    const apr_array_header_t *array = apr_table_elts(r->headers_out);
    bool is_same = lines->has_length && r->clength == r->bytes_sent;
    if (!is_same) {
        ap_set_content_length(r, r->bytes_sent);
    }
    int before = array->nelts;
    (void)ap_set_keepalive(r);
    is_same = is_same && array->nelts == before && !lines->has_connection;
    const char *type = ap_make_content_type(r, r->content_type);
    if (type && lines->has_type) {
        apr_table_setn(r->headers_out, "Content-Type", type);
        is_same = false;
    } else if (type) {
        apr_table_addn(r->headers_out, "Content-Type", type);
    }
    if (!is_same) {
        (void)take_fields(lines, r->headers_out, LINES_MAX);
    } else if (type) {
        add_line(lines, (udr_slice_t){"Content-Type", 12}, type);
    }
}

/* --- writing it -----------------------------------------------------------------------------------------------------
 */

static char *put(char *at, udr_slice_t text)
{
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

static char *put_line(char *at, const line_t *line)
{
    at = put(at, line->name);
    at = put(at, (udr_slice_t){": ", 2});
    at = put(at, line->value);
    return put(at, (udr_slice_t){"\r\n", 2});
}

static char *put_head(char *at, udr_slice_t status, udr_slice_t date, udr_slice_t server, const lines_t *lines)
{
    at = put(at, (udr_slice_t){AP_SERVER_PROTOCOL " ", sizeof AP_SERVER_PROTOCOL});
    at = put(at, status);
    at = put(at, (udr_slice_t){"\r\nDate: ", 8});
    at = put(at, date);
    if (server.ptr) {
        at = put(at, (udr_slice_t){"\r\nServer: ", 10});
        at = put(at, server);
    }
    at = put(at, (udr_slice_t){"\r\n", 2});
    for (const line_t *line = lines->line, *end = line + lines->count; line < end; line++) {
        at = put_line(at, line);
    }
    return put(at, (udr_slice_t){"\r\n", 2});
}

static void put_body(char *at, const apr_bucket_brigade *body)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(body); b != APR_BRIGADE_SENTINEL(body); b = APR_BUCKET_NEXT(b)) {
        udr_slice_t data;
        if (apr_bucket_read(b, &data.ptr, &data.len, APR_BLOCK_READ) == APR_SUCCESS) {
            at = put(at, data);
        }
    }
}

static udr_slice_t slice(const char *text)
{
    return (udr_slice_t){text, strlen(text)};
}

/* Puts the head before the body in the brigade, as a piece of its own or, a short body, in one with it. */
static void write_answer(request_rec *r, const udr_stamp_t *stamp, apr_bucket_brigade *body, apr_size_t length,
                         const lines_t *lines)
{
    char now[APR_RFC822_DATE_LEN];
    udr_slice_t status = slice(r->status_line);
    udr_slice_t server = {NULL, 0};
    if (!stamp->date) {
        ap_recent_rfc822_date(now, r->request_time);
    }
    udr_slice_t date = slice(stamp->date ? stamp->date : now);
    if (stamp->server || *ap_get_server_banner()) {
        server = slice(stamp->server ? stamp->server : ap_get_server_banner());
    }
    apr_size_t copied = length <= COPIED_MAX ? length : 0;
    apr_size_t size = sizeof AP_SERVER_PROTOCOL " \r\nDate: \r\n\r\n" - 1 + status.len + date.len +
                      (server.ptr ? 10 + server.len : 0) + lines->len + copied;
    /* core's output filter ends the request, and with it the memory, when what came before has been written. Others may
     * keep bytes for longer. */
    bool is_small = size <= SMALL_MAX && is(r->connection->output_filters, ap_core_output_filter);
    char *text = is_small ? apr_palloc(r->pool, size) : apr_bucket_alloc(size, body->bucket_alloc);
    char *end = put_head(text, status, date, server, lines);
    if (copied == length) {
        put_body(end, body);
        apr_brigade_cleanup(body);
    }
    apr_bucket *piece = is_small ? apr_bucket_immortal_create(text, size, body->bucket_alloc)
                                 : apr_bucket_heap_create(text, size, apr_bucket_free, body->bucket_alloc);
    APR_BRIGADE_INSERT_HEAD(body, piece);
}

bool udr_answer_pass(request_rec *r, const udr_stamp_t *stamp, apr_bucket_brigade *body, apr_size_t length,
                     apr_status_t *rv)
{
    conn_rec *c = r->connection;
    lines_t lines;
    if (!is_plain_request(r) || !take_fields(&lines, r->headers_out, FIELDS_MAX)) {
        return false;
    }
    r->bytes_sent += (apr_off_t)length;
    settle_fields(r, &lines);
    write_answer(r, stamp, body, length, &lines);
    remove_filters(r);
    r->eos_sent = 1;
    r->sent_bodyct = !c->aborted;
    /* core's output filter knows no end of an answer. */
    if (!is(c->output_filters, ap_core_output_filter)) {
        APR_BRIGADE_INSERT_TAIL(body, apr_bucket_eos_create(c->bucket_alloc));
    }
    ap_log_rerror(APLOG_MARK, APLOG_TRACE5, 0, r, "answer: written as a whole, past httpd's own filters");
    *rv = ap_pass_brigade(c->output_filters, body);
    apr_brigade_cleanup(body);
    return true;
}
