/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_uwsgi_request.h"

#include <apr_strings.h>

#include <string.h>

/* modifier1, the length in two bytes, modifier2. */
#define HEADER_LENGTH 4

#define VARIABLES_MAX 65535
/* The two lengths of a variable. */
#define LENGTHS 4

#define CONTENT_LENGTH "CONTENT_LENGTH"

/* A message's length is the request's own matter: what the variables say of it besides could only differ. */
static bool is_written_elsewhere(const char *name)
{
    return strcmp(name, CONTENT_LENGTH) == 0;
}

/* RFC 3875, 4.1.2: the variable is there if, and only if, a body is. uWSGI, which keeps no other promise of where a
 * request ends, takes its absence for none. */
static const char *content_length(const udr_request_t *request, char number[24])
{
    if (request->body != UDR_BODY_LENGTH) {
        return NULL;
    }
    apr_snprintf(number, 24, "%" APR_UINT64_T_FMT, request->length);
    return number;
}

static char *put_length(char *out, apr_size_t len)
{
    out[0] = (char)(len & 0xff);
    out[1] = (char)(len >> 8 & 0xff);
    return out + 2;
}

static char *put_text(char *out, const char *text)
{
    apr_size_t len = strlen(text);
    out = put_length(out, len);
    memcpy(out, text, len);
    return out + len;
}

static apr_size_t variable_room(const char *name, const char *value)
{
    return LENGTHS + strlen(name) + strlen(value);
}

apr_size_t udr_uwsgi_request_room(const udr_request_t *request, const char **why)
{
    char number[24];
    const char *length = content_length(request, number);
    apr_size_t room = length ? variable_room(CONTENT_LENGTH, length) : 0;
    if (request->body == UDR_BODY_CHUNKED) {
        *why = "a body of unknown length";
        return 0;
    }
    const apr_array_header_t *array = request->params ? apr_table_elts(request->params) : NULL;
    const apr_table_entry_t *entries = array ? (const apr_table_entry_t *)array->elts : NULL;
    for (int i = 0; array && i < array->nelts; i++) {
        if (!*entries[i].key) {
            *why = "a variable without a name"; /* uWSGI drops the request and closes */
            return 0;
        }
        if (!is_written_elsewhere(entries[i].key)) {
            room += variable_room(entries[i].key, entries[i].val);
        }
    }
    if (room > VARIABLES_MAX) {
        *why =
            "more than 64 KiB of variables (the uwsgi protocol has room for no more): fewer or shorter header fields";
        return 0;
    }
    return HEADER_LENGTH + room;
}

apr_size_t udr_uwsgi_request_head(const udr_request_t *request, bool persistent, char *room)
{
    char number[24];
    const char *length = content_length(request, number);
    char *out = room + HEADER_LENGTH;
    const apr_array_header_t *array = request->params ? apr_table_elts(request->params) : NULL;
    const apr_table_entry_t *entries = array ? (const apr_table_entry_t *)array->elts : NULL;
    (void)persistent;
    for (int i = 0; array && i < array->nelts; i++) {
        if (!is_written_elsewhere(entries[i].key)) {
            out = put_text(out, entries[i].key);
            out = put_text(out, entries[i].val);
        }
    }
    if (length) {
        out = put_text(out, CONTENT_LENGTH);
        out = put_text(out, length);
    }
    const apr_size_t len = (apr_size_t)(out - room);
    room[0] = 0; /* a request for WSGI; what else an application is, uWSGI's configuration says */
    (void)put_length(room + 1, len - HEADER_LENGTH);
    room[3] = 0;
    return len;
}
