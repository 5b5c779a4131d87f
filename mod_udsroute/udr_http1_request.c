/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_http1_request.h"
#include "mod_udsroute/udr_fields.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

/* Bytes being put together: counted first, written second, so that one allocation of the right size does. */
typedef struct writer_t {
    char *out; /* NULL while counting */
    apr_size_t len;
} writer_t;

static void put(writer_t *writer, const char *text, apr_size_t len)
{
    if (writer->out) {
        memcpy(writer->out + writer->len, text, len);
    }
    writer->len += len;
}

static void put_text(writer_t *writer, const char *text)
{
    put(writer, text, strlen(text));
}

#define PUT(writer, literal) put(writer, literal, sizeof(literal) - 1)

bool udr_request_is_idempotent(const udr_request_t *request)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(request->method, methods[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What the writer says itself, or not at all. */
static bool is_written_elsewhere(const char *name)
{
    apr_size_t len = strlen(name);
    return udr_fields_is_framing(name, len) || udr_fields_is_hop_by_hop(name, len) || strcasecmp(name, "Expect") == 0;
}

/* Announces what only a chunked body can carry. */
static bool is_trailer(const char *name)
{
    return strcasecmp(name, "Trailer") == 0;
}

/* A trailer that CGI programs would take for the variable HTTP_PROXY (CVE-2016-5385), or that has no place there. */
static bool is_dropped_trailer(const char *name)
{
    return is_written_elsewhere(name) || is_trailer(name) || strcasecmp(name, "Proxy") == 0;
}

static bool is_target(const char *target)
{
    for (const char *s = target; *s; s++) {
        if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f) {
            return false;
        }
    }
    return *target != '\0';
}

static bool is_sendable(const udr_request_t *request)
{
    if (!udr_fields_is_token(request->method) || !is_target(request->target) || !udr_fields_is_value(request->host)) {
        return false;
    }
    const apr_array_header_t *array = apr_table_elts(request->fields);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    for (int i = 0; i < array->nelts; i++) {
        if (!udr_fields_is_token(entries[i].key) || !udr_fields_is_value(entries[i].val)) {
            return false;
        }
    }
    return true;
}

static void put_field(writer_t *writer, const char *name, const char *value)
{
    put_text(writer, name);
    PUT(writer, ": ");
    put_text(writer, value);
    PUT(writer, "\r\n");
}

static void put_fields(writer_t *writer, const udr_request_t *request)
{
    const apr_array_header_t *array = apr_table_elts(request->fields);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    for (int i = 0; i < array->nelts; i++) {
        if (!is_written_elsewhere(entries[i].key) &&
            (request->body == UDR_BODY_CHUNKED || !is_trailer(entries[i].key))) {
            put_field(writer, entries[i].key, entries[i].val);
        }
    }
}

static void put_head(writer_t *writer, const udr_request_t *request, bool persistent)
{
    put_text(writer, request->method);
    PUT(writer, " ");
    put_text(writer, request->target);
    PUT(writer, " HTTP/1.1\r\nHost: ");
    put_text(writer, request->host);
    PUT(writer, "\r\n");
    put_fields(writer, request);
    if (request->body == UDR_BODY_CHUNKED) {
        PUT(writer, "Transfer-Encoding: chunked\r\n");
    } else if (request->body == UDR_BODY_LENGTH) {
        char number[24];
        apr_snprintf(number, sizeof number, "%" APR_UINT64_T_FMT, request->length);
        put_field(writer, "Content-Length", number);
    }
    if (request->expect_continue) {
        PUT(writer, "Expect: 100-continue\r\n");
    }
    /* RFC 9110, 10.1.4: TE goes with `Connection: TE`. */
    if (request->accepts_trailers) {
        PUT(writer, "TE: trailers\r\n");
        put_text(writer, persistent ? "Connection: TE\r\n" : "Connection: close, TE\r\n");
    } else if (!persistent) {
        PUT(writer, "Connection: close\r\n");
    }
    PUT(writer, "\r\n");
}

apr_status_t udr_http1_request_head(const udr_request_t *request, bool persistent, udr_slice_t *head, apr_pool_t *p)
{
    if (!is_sendable(request)) {
        return APR_EINVAL;
    }
    writer_t writer = {NULL, 0};
    put_head(&writer, request, persistent);
    writer.out = apr_palloc(p, writer.len);
    writer.len = 0;
    put_head(&writer, request, persistent);
    head->ptr = writer.out;
    head->len = writer.len;
    return APR_SUCCESS;
}

apr_size_t udr_http1_request_chunk(char prefix[UDR_HTTP1_CHUNK_PREFIX], apr_size_t len)
{
    return (apr_size_t)apr_snprintf(prefix, UDR_HTTP1_CHUNK_PREFIX, "%" APR_UINT64_T_HEX_FMT "\r\n", (apr_uint64_t)len);
}

static void put_end(writer_t *writer, const udr_request_t *request, const apr_table_t *trailers)
{
    PUT(writer, "0\r\n");
    const apr_array_header_t *array = apr_table_elts(trailers);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    for (int i = 0; i < array->nelts; i++) {
        if (!is_dropped_trailer(entries[i].key) && !apr_table_get(request->fields, entries[i].key) &&
            udr_fields_is_token(entries[i].key) && udr_fields_is_value(entries[i].val)) {
            put_field(writer, entries[i].key, entries[i].val);
        }
    }
    PUT(writer, "\r\n");
}

udr_slice_t udr_http1_request_end(const udr_request_t *request, const apr_table_t *trailers, apr_pool_t *p)
{
    if (!trailers || apr_is_empty_table(trailers)) {
        return (udr_slice_t){"0\r\n\r\n", 5};
    }
    writer_t writer = {NULL, 0};
    put_end(&writer, request, trailers);
    writer.out = apr_palloc(p, writer.len);
    writer.len = 0;
    put_end(&writer, request, trailers);
    return (udr_slice_t){writer.out, writer.len};
}
