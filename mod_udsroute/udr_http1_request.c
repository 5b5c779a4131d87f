/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_http1_request.h"
#include "mod_udsroute/udr_fields.h"
#include "mod_udsroute/udr_http1_syntax.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

/* More than the writer adds itself: the request line's rest, Host, framing, Expect, TE, Connection. */
#define OWN_FIELDS 192

/* Bytes being put together, in a room that is large enough. */
typedef struct writer_t {
    char *out;
    apr_size_t len;
} writer_t;

static void put(writer_t *writer, const char *text, apr_size_t len)
{
    memcpy(writer->out + writer->len, text, len);
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
static bool is_written_elsewhere(const char *name, apr_size_t len)
{
    return udr_fields_is_framing(name, len) || udr_fields_is_hop_by_hop(name, len) ||
           (len == 6 && strcasecmp(name, "Expect") == 0);
}

/* Announces what only a chunked body can carry. */
static bool is_trailer(const char *name, apr_size_t len)
{
    return len == 7 && strcasecmp(name, "Trailer") == 0;
}

/* A trailer that CGI programs would take for the variable HTTP_PROXY (CVE-2016-5385), or that has no place there. */
static bool is_dropped_trailer(const char *name)
{
    apr_size_t len = strlen(name);
    return is_written_elsewhere(name, len) || is_trailer(name, len) || strcasecmp(name, "Proxy") == 0;
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

/* Room for the fields of a table, each with its colon, space and line end. */
static apr_size_t fields_room(const apr_table_t *fields)
{
    const apr_array_header_t *array = apr_table_elts(fields);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    apr_size_t room = 0;
    for (int i = 0; i < array->nelts; i++) {
        room += strlen(entries[i].key) + strlen(entries[i].val) + 4;
    }
    return room;
}

/* The same, and whether they may be sent: each of a request's is looked at once. */
static bool measure_fields(const apr_table_t *fields, apr_size_t *room)
{
    const apr_array_header_t *array = apr_table_elts(fields);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    for (int i = 0; i < array->nelts; i++) {
        const char *end = entries[i].key;
        const udr_slice_t value = {entries[i].val, strlen(entries[i].val)};
        while (udr_http1_is(*end, UDR_HTTP1_TOKEN)) {
            end++;
        }
        if (*end || end == entries[i].key || udr_http1_span_text(value) < value.len) {
            return false;
        }
        *room += (apr_size_t)(end - entries[i].key) + value.len + 4;
    }
    return true;
}

static bool is_sendable(const udr_request_t *request)
{
    return udr_fields_is_token(request->method) && is_target(request->target) && udr_fields_is_value(request->host) &&
           (!request->upgrade || udr_fields_is_value(request->upgrade));
}

static void put_value(writer_t *writer, const char *value)
{
    PUT(writer, ": ");
    put_text(writer, value);
    PUT(writer, "\r\n");
}

static void put_field(writer_t *writer, const char *name, const char *value)
{
    put_text(writer, name);
    put_value(writer, value);
}

static void put_fields(writer_t *writer, const udr_request_t *request)
{
    const apr_array_header_t *array = apr_table_elts(request->fields);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    for (int i = 0; i < array->nelts; i++) {
        const char *name = entries[i].key;
        apr_size_t len = strlen(name);
        if (!is_written_elsewhere(name, len) && (request->body == UDR_BODY_CHUNKED || !is_trailer(name, len))) {
            put(writer, name, len);
            put_value(writer, entries[i].val);
        }
    }
}

static void put_head(writer_t *writer, const udr_request_t *request, bool persistent)
{
    put_text(writer, request->method);
    PUT(writer, " ");
    put_text(writer, request->target);
    put_text(writer, request->is_http10 ? " HTTP/1.0\r\nHost: " : " HTTP/1.1\r\nHost: ");
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
    /* RFC 9110, 7.8 and 10.1.4: what concerns this connection is named in Connection. Beside an upgrade nothing else
     * is: some applications compare the whole value. */
    if (request->upgrade) {
        put_field(writer, "Upgrade", request->upgrade);
        PUT(writer, "Connection: Upgrade\r\n");
    } else if (request->accepts_trailers) {
        PUT(writer, "TE: trailers\r\n");
        put_text(writer, persistent ? "Connection: TE\r\n" : "Connection: close, TE\r\n");
    } else if (!persistent) {
        PUT(writer, "Connection: close\r\n");
    }
    PUT(writer, "\r\n");
}

apr_size_t udr_http1_request_room(const udr_request_t *request, const char **why)
{
    apr_size_t room = OWN_FIELDS;
    if (!is_sendable(request) || !measure_fields(request->fields, &room)) {
        *why = "a control character in method, path or a header field";
        return 0;
    }
    return room + strlen(request->method) + strlen(request->target) + strlen(request->host) +
           (request->upgrade ? strlen(request->upgrade) : 0);
}

apr_size_t udr_http1_request_head(const udr_request_t *request, bool persistent, char *room)
{
    writer_t writer = {room, 0};
    put_head(&writer, request, persistent);
    return writer.len;
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
    writer_t writer = {apr_palloc(p, OWN_FIELDS + fields_room(trailers)), 0};
    put_end(&writer, request, trailers);
    return (udr_slice_t){writer.out, writer.len};
}
