/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_response.h"
#include "mod_udsroute/mod_udsroute_request.h"
#include "mod_udsroute/mod_udsroute_reverse.h"
#include "mod_udsroute/udr_fields.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TRAILERS_FILTER "UDSROUTE_TRAILERS"

#define is_named(field, text)                                                                                          \
    ((field)->name.len == sizeof(text) - 1 && strncasecmp((field)->name.ptr, text, sizeof(text) - 1) == 0)

/* Where the value of this field is kept; NULL: in the table, as all of one that is there twice. */
static const char **place_in(udr_stamp_t *stamp, const udr_field_t *field, const apr_table_t *table)
{
    if (stamp && is_named(field, "Date") && !apr_table_get(table, "Date")) {
        return &stamp->date;
    }
    if (stamp && is_named(field, "Server") && !apr_table_get(table, "Server")) {
        return &stamp->server;
    }
    return NULL;
}

/* Says in public terms what a field says of places. */
static const char *in_public_terms(request_rec *r, const udr_field_t *field, const char *value)
{
    switch (apr_tolower(field->name.ptr[0])) {
    case 'l':
        return is_named(field, "Location") ? udr_reverse_url(r, value) : value;
    case 'c':
        return is_named(field, "Content-Location") ? udr_reverse_url(r, value) : value;
    case 'u':
        return is_named(field, "URI") ? udr_reverse_url(r, value) : value;
    case 'r':
        return is_named(field, "Refresh") ? udr_reverse_refresh(r, value) : value;
    case 's':
        return is_named(field, "Set-Cookie") ? udr_reverse_cookie(r, value) : value;
    default:
        return value;
    }
}

/* Copies the end-to-end fields of a head into a table, and some into the stamp, where there is one. Content-Type is
 * httpd's own matter and returned. */
static const char *copy_fields(request_rec *r, apr_table_t *table, const udr_http1_head_t *head, udr_stamp_t *stamp)
{
    /* One copy, in which each name and value gets its end. */
    char *text = apr_pstrmemdup(r->pool, head->fields.ptr, head->fields.len);
    const char *content_type = NULL;
    const char *named = head->names_fields ? udr_http1_field_list(head->fields, "Connection", r->pool) : NULL;
    bool blocks_via = udr_server_config(r->server)->via == UDR_VIA_BLOCK;
    udr_slice_t fields = head->fields;
    udr_field_t field;
    while (udr_http1_field_next(&fields, &field)) {
        if (udr_fields_is_hop_by_hop(field.name.ptr, field.name.len) || is_named(&field, "Content-Length") ||
            (named && udr_fields_list_has(named, field.name.ptr, field.name.len)) ||
            (head->framing != UDR_HTTP1_CHUNKED && is_named(&field, "Trailer")) ||
            (head->is_cgi && is_named(&field, "Status")) || (blocks_via && is_named(&field, "Via"))) {
            continue;
        }
        char *name = text + (field.name.ptr - head->fields.ptr);
        char *value = text + (field.value.ptr - head->fields.ptr);
        const char **place = place_in(stamp, &field, table);
        name[field.name.len] = '\0';
        value[field.value.len] = '\0';
        if (is_named(&field, "Content-Type")) {
            content_type = value;
        } else if (place && !*place) {
            *place = value;
        } else {
            if (place) {
                apr_table_addn(table, name, *place);
                *place = NULL;
            }
            apr_table_addn(table, name, in_public_terms(r, &field, value));
        }
    }
    return content_type;
}

static const char *status_line(request_rec *r, const udr_http1_head_t *head)
{
    if (head->is_cgi && !head->reason.len) {
        /* A program need not give a reason, nor even a status (RFC 3875, 6.3.3): httpd does. Of a code that it does not
         * know it says "500 Internal Server Error". */
        const char *known = ap_get_status_line(head->status);
        if (atoi(known) == head->status) {
            return known;
        }
    }
    char *line = apr_palloc(r->pool, head->reason.len + 5);
    line[0] = (char)('0' + head->status / 100);
    line[1] = (char)('0' + head->status / 10 % 10);
    line[2] = (char)('0' + head->status % 10);
    line[3] = ' ';
    memcpy(line + 4, head->reason.ptr, head->reason.len);
    line[4 + head->reason.len] = '\0';
    return line;
}

void udr_response_set_head(request_rec *r, const udr_http1_head_t *head, udr_stamp_t *stamp)
{
    stamp->date = stamp->server = NULL;
    r->status = head->status;
    r->status_line = status_line(r, head);
    ap_set_content_type(r, copy_fields(r, r->headers_out, head, stamp));
    if (head->has_length) {
        ap_set_content_length(r, (apr_off_t)head->length);
    }
    const char *via = udr_request_via(r, 1, head->minor);
    if (via) {
        apr_table_mergen(r->headers_out, "Via", via);
    }
}

void udr_response_put_stamp(request_rec *r, udr_stamp_t *stamp)
{
    if (stamp->date) {
        apr_table_addn(r->headers_out, "Date", stamp->date);
    }
    if (stamp->server) {
        apr_table_addn(r->headers_out, "Server", stamp->server);
    }
    stamp->date = stamp->server = NULL;
}

void udr_response_set_upgrade(request_rec *r, const udr_http1_head_t *head, const char *allowed)
{
    const char *list = udr_http1_field_list(head->fields, "Upgrade", r->pool);
    if (list && strcmp(allowed, UDR_UPGRADE_ANY) != 0) {
        list = udr_fields_list_common(list, allowed, r->pool);
    }
    if (list) {
        apr_table_setn(r->headers_out, "Upgrade", list);
        apr_table_setn(r->headers_out, "Connection", "Upgrade");
    }
}

void udr_response_reset(request_rec *r)
{
    apr_table_clear(r->headers_out);
    r->status_line = NULL;
    r->clength = 0;
    ap_set_content_type(r, NULL);
}

bool udr_response_is_overridden(const request_rec *r, int status)
{
    const udr_dir_config_t *dir = udr_dir_config(r);
    if (dir->error_override <= 0 || !ap_is_HTTP_ERROR(status)) {
        return false;
    }
    for (int i = 0; dir->override_codes && i < dir->override_codes->nelts; i++) {
        if (APR_ARRAY_IDX(dir->override_codes, i, int) == status) {
            return true;
        }
    }
    return dir->override_codes == NULL;
}

static apr_table_t *interim_fields(request_rec *r, const udr_http1_head_t *head)
{
    apr_table_t *fields = apr_table_make(r->pool, 4);
    const char *content_type = copy_fields(r, fields, head, NULL);
    if (content_type) {
        apr_table_setn(fields, "Content-Type", content_type);
    }
    return fields;
}

void udr_response_send_interim(request_rec *r, const udr_http1_head_t *head)
{
    apr_table_t *headers_out = r->headers_out;
    int status = r->status;
    const char *line = r->status_line;
    r->headers_out = interim_fields(r, head);
    r->status = head->status;
    r->status_line = status_line(r, head);
    ap_send_interim_response(r, 1);
    r->headers_out = headers_out;
    r->status = status;
    r->status_line = line;
}

static int put_field(void *baton, const char *name, const char *value)
{
    return apr_brigade_printf(baton, NULL, NULL, "%s: %s\r\n", name, value) == APR_SUCCESS;
}

static void write_head(const char *line, const apr_table_t *fields, apr_bucket_brigade *bb)
{
    apr_brigade_printf(bb, NULL, NULL, "HTTP/1.1 %s\r\n", line);
    apr_table_do(put_field, bb, fields, NULL);
    apr_brigade_puts(bb, NULL, NULL, "\r\n");
}

void udr_response_write_interim(request_rec *r, const udr_http1_head_t *head, apr_bucket_brigade *bb)
{
    write_head(status_line(r, head), interim_fields(r, head), bb);
}

void udr_response_write_switch(request_rec *r, const udr_http1_head_t *head, apr_bucket_brigade *bb)
{
    r->status = head->status;
    r->status_line = status_line(r, head);
    (void)copy_fields(r, r->headers_out, head, NULL);
    apr_table_setn(r->headers_out, "Upgrade", udr_http1_field_list(head->fields, "Upgrade", r->pool));
    apr_table_setn(r->headers_out, "Connection", "Upgrade");
    write_head(r->status_line, r->headers_out, bb);
}

/* --- trailers ------------------------------------------------------------------------------------------------------
 */

/* httpd's chunk filter ends a response with "0 CRLF CRLF" in a bucket of its own before EOS, and knows no trailers.
 * Here that bucket becomes the last chunk with its trailer section. */
static apr_status_t trailers_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    static const char last_chunk[] = "0\r\n\r\n";
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        apr_bucket *last = APR_BUCKET_PREV(b);
        const char *data;
        apr_size_t len;
        if (!APR_BUCKET_IS_EOS(b) || last == APR_BRIGADE_SENTINEL(bb)) {
            continue;
        }
        if (last->length == sizeof last_chunk - 1 && !APR_BUCKET_IS_METADATA(last) &&
            apr_bucket_read(last, &data, &len, APR_BLOCK_READ) == APR_SUCCESS && memcmp(data, last_chunk, len) == 0) {
            apr_bucket_brigade *end = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
            apr_brigade_puts(end, NULL, NULL, "0\r\n");
            apr_table_do(put_field, end, f->r->trailers_out, NULL);
            apr_brigade_puts(end, NULL, NULL, "\r\n");
            while (!APR_BRIGADE_EMPTY(end)) {
                apr_bucket *moved = APR_BRIGADE_FIRST(end);
                APR_BUCKET_REMOVE(moved);
                APR_BUCKET_INSERT_BEFORE(last, moved);
            }
            apr_bucket_delete(last);
            apr_brigade_destroy(end);
        }
        ap_remove_output_filter(f);
        break;
    }
    return ap_pass_brigade(f->next, bb);
}

void udr_response_set_trailers(request_rec *r, udr_slice_t trailers)
{
    udr_field_t field;
    bool any = false;
    while (udr_http1_field_next(&trailers, &field)) {
        /* RFC 9110, 6.5.1: what frames or routes a message, or says how to read it, is no trailer. */
        if (!udr_fields_is_framing(field.name.ptr, field.name.len) &&
            !udr_fields_is_hop_by_hop(field.name.ptr, field.name.len) && !is_named(&field, "Trailer")) {
            apr_table_addn(r->trailers_out, apr_pstrmemdup(r->pool, field.name.ptr, field.name.len),
                           apr_pstrmemdup(r->pool, field.value.ptr, field.value.len));
            any = true;
        }
    }
    if (any && r->chunked) {
        ap_add_output_filter(TRAILERS_FILTER, NULL, r, r->connection);
    }
}

void udr_response_register(void)
{
    /* One behind TRANSCODE, which is where httpd's chunk filter is. */
    ap_register_output_filter(TRAILERS_FILTER, trailers_filter, NULL, (ap_filter_type)(AP_FTYPE_TRANSCODE + 1));
}
