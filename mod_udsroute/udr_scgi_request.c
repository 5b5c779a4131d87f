/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_scgi_request.h"

#include <apr_strings.h>

#include <string.h>

#define CONTENT_LENGTH "CONTENT_LENGTH"
#define SCGI           "SCGI"

/* A number, and the bytes that end it. */
#define NUMBER_MAX 24

/* What the writer says itself: SCGI allows no name twice. */
static bool is_written_elsewhere(const char *name)
{
    return strcmp(name, CONTENT_LENGTH) == 0 || strcmp(name, SCGI) == 0;
}

/* Name and value, with a NUL behind each. */
static apr_size_t variable_room(const char *name, const char *value)
{
    return strlen(name) + strlen(value) + 2;
}

static char *put_text(char *out, const char *text)
{
    apr_size_t size = strlen(text) + 1;
    memcpy(out, text, size);
    return out + size;
}

static void print_content_length(const udr_request_t *request, char number[NUMBER_MAX])
{
    apr_snprintf(number, NUMBER_MAX, "%" APR_UINT64_T_FMT, request->body == UDR_BODY_LENGTH ? request->length : 0);
}

/* All variables: what stands within the netstring. */
static apr_size_t variables_room(const udr_request_t *request)
{
    char number[NUMBER_MAX];
    const apr_array_header_t *array = request->params ? apr_table_elts(request->params) : NULL;
    const apr_table_entry_t *entries = array ? (const apr_table_entry_t *)array->elts : NULL;
    print_content_length(request, number);
    apr_size_t room = variable_room(CONTENT_LENGTH, number) + variable_room(SCGI, "1");
    for (int i = 0; array && i < array->nelts; i++) {
        if (!is_written_elsewhere(entries[i].key)) {
            room += variable_room(entries[i].key, entries[i].val);
        }
    }
    return room;
}

apr_size_t udr_scgi_request_room(const udr_request_t *request, const char **why)
{
    const apr_array_header_t *array = request->params ? apr_table_elts(request->params) : NULL;
    const apr_table_entry_t *entries = array ? (const apr_table_entry_t *)array->elts : NULL;
    if (request->body == UDR_BODY_CHUNKED) {
        *why = "a body of unknown length";
        return 0;
    }
    for (int i = 0; array && i < array->nelts; i++) {
        if (!*entries[i].key) {
            *why = "a variable without a name";
            return 0;
        }
    }
    return NUMBER_MAX + variables_room(request) + 1; /* the comma */
}

apr_size_t udr_scgi_request_head(const udr_request_t *request, bool persistent, char *room)
{
    char number[NUMBER_MAX];
    const apr_array_header_t *array = request->params ? apr_table_elts(request->params) : NULL;
    const apr_table_entry_t *entries = array ? (const apr_table_entry_t *)array->elts : NULL;
    (void)persistent;
    char *out = room + apr_snprintf(room, NUMBER_MAX, "%" APR_SIZE_T_FMT ":", variables_room(request));
    print_content_length(request, number);
    out = put_text(out, CONTENT_LENGTH);
    out = put_text(out, number);
    out = put_text(out, SCGI);
    out = put_text(out, "1");
    for (int i = 0; array && i < array->nelts; i++) {
        if (!is_written_elsewhere(entries[i].key)) {
            out = put_text(out, entries[i].key);
            out = put_text(out, entries[i].val);
        }
    }
    *out++ = ',';
    return (apr_size_t)(out - room);
}
