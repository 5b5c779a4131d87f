/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_fcgi_request.h"
#include "mod_udsroute/udr_fcgi.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

/* BEGIN_REQUEST's content, section 5.1: the role (two bytes), flags, five reserved ones. */
#define BEGIN_CONTENT  8
#define ROLE_RESPONDER 1
#define FLAG_KEEP_CONN 1

#define LENGTH_NAME "CONTENT_LENGTH"

/* A length of 2^64-1 and a NUL. */
#define NUMBER_ROOM 21

static bool has_body(const udr_request_t *request)
{
    return request->body == UDR_BODY_LENGTH && request->length != 0;
}

/* --- how many bytes --- */

/* Section 3.4: up to 127 in one byte, more in four. */
static apr_size_t length_room(apr_size_t len)
{
    return len < 0x80 ? 1 : 4;
}

static apr_size_t pair_room(apr_size_t name_len, apr_size_t value_len)
{
    return length_room(name_len) + length_room(value_len) + name_len + value_len;
}

static void print_length(const udr_request_t *request, char number[NUMBER_ROOM])
{
    (void)apr_snprintf(number, NUMBER_ROOM, "%" APR_UINT64_T_FMT, request->length);
}

/* The writer says it itself. The first letter, as this is asked twice of each variable. */
static bool is_written_elsewhere(const char *name)
{
    return (*name == 'C' || *name == 'c') && strcasecmp(name, LENGTH_NAME) == 0;
}

typedef void (*take_pair_t)(void *baton, const char *name, const char *value);

/* All that is to be said, in order. Inline: there are some twenty pairs for each request, twice. */
static inline void each_pair(const udr_request_t *request, take_pair_t take, void *baton)
{
    if (request->body == UDR_BODY_LENGTH) {
        char number[NUMBER_ROOM];
        print_length(request, number);
        take(baton, LENGTH_NAME, number);
    }
    if (!request->params) {
        return;
    }
    const apr_array_header_t *array = apr_table_elts(request->params);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    for (int i = 0; i < array->nelts; i++) {
        if (!is_written_elsewhere(entries[i].key)) {
            take(baton, entries[i].key, entries[i].val);
        }
    }
}

/* The stream knows no pairs where it is cut into records, but who reads it may: to PHP-FPM (main/fastcgi.c) a record
 * without the end of its last pair is malformed. One that fits into a record is not cut. */
static bool needs_new_record(apr_size_t content, apr_size_t pair)
{
    return content > 0 && pair <= UDR_FCGI_CONTENT_MAX && content + pair > UDR_FCGI_CONTENT_MAX;
}

typedef struct measure_t {
    apr_size_t len;
    apr_size_t records; /* of PARAMS, with a content */
    apr_size_t content; /* of the last one; the first is begun when there is something to put into it */
    bool is_nameless;
} measure_t;

static void measure_pair(void *baton, const char *name, const char *value)
{
    measure_t *measure = baton;
    apr_size_t rest = pair_room(strlen(name), strlen(value));
    measure->len += rest;
    measure->is_nameless = measure->is_nameless || !*name;
    if (measure->records == 0 || needs_new_record(measure->content, rest)) {
        measure->records++;
        measure->content = 0;
    }
    while (rest > UDR_FCGI_CONTENT_MAX - measure->content) {
        rest -= UDR_FCGI_CONTENT_MAX - measure->content;
        measure->records++;
        measure->content = 0;
    }
    measure->content += rest;
}

apr_size_t udr_fcgi_request_room(const udr_request_t *request, const char **why)
{
    measure_t measure = {0};
    if (request->body == UDR_BODY_CHUNKED) {
        *why = "a body of unknown length";
        return 0;
    }
    each_pair(request, measure_pair, &measure);
    if (measure.is_nameless) {
        *why = "a variable without a name";
        return 0;
    }
    if (measure.len > UDR_FCGI_PARAMS_MAX) {
        *why = "variables of more than 16 MiB";
        return 0;
    }
    return UDR_FCGI_HEADER + BEGIN_CONTENT + measure.records * UDR_FCGI_HEADER + measure.len + UDR_FCGI_HEADER +
           (has_body(request) ? 0 : UDR_FCGI_HEADER);
}

/* --- the bytes --- */

/* Records being put together, in a room that is large enough. */
typedef struct writer_t {
    char *out;
    char *record;       /* the header of the record of PARAMS that is being filled */
    apr_size_t content; /* bytes in it */
} writer_t;

static void put_record(writer_t *writer, udr_fcgi_type_t type, const char *content, apr_size_t len)
{
    udr_fcgi_write_header(writer->out, type, len);
    memcpy(writer->out + UDR_FCGI_HEADER, content, len);
    writer->out += UDR_FCGI_HEADER + len;
}

static void begin_params(writer_t *writer)
{
    writer->record = writer->out;
    writer->out += UDR_FCGI_HEADER;
    writer->content = 0;
}

/* Ends the record, which is the end of the stream when there is nothing in it. */
static void end_params(writer_t *writer)
{
    udr_fcgi_write_header(writer->record, UDR_FCGI_PARAMS, writer->content);
}

/* Part of a pair that is cut into records. */
static void put(writer_t *writer, const char *bytes, apr_size_t len)
{
    while (len) {
        apr_size_t part = UDR_FCGI_CONTENT_MAX - writer->content;
        if (part == 0) {
            end_params(writer);
            begin_params(writer);
            continue;
        }
        if (part > len) {
            part = len;
        }
        memcpy(writer->out, bytes, part);
        writer->out += part;
        writer->content += part;
        bytes += part;
        len -= part;
    }
}

static char *write_length(char *out, apr_size_t len)
{
    if (length_room(len) != 1) {
        *out++ = (char)(0x80 | len >> 24);
        *out++ = (char)(len >> 16 & 0xff);
        *out++ = (char)(len >> 8 & 0xff);
    }
    *out++ = (char)(len & 0xff);
    return out;
}

static void put_pair(void *baton, const char *name, const char *value)
{
    const apr_size_t name_len = strlen(name);
    const apr_size_t value_len = strlen(value);
    const apr_size_t room = pair_room(name_len, value_len);
    writer_t *writer = baton;
    if (needs_new_record(writer->content, room)) {
        end_params(writer);
        begin_params(writer);
    }
    if (writer->content + room <= UDR_FCGI_CONTENT_MAX) {
        char *out = write_length(write_length(writer->out, name_len), value_len);
        memcpy(out, name, name_len);
        memcpy(out + name_len, value, value_len);
        writer->out += room;
        writer->content += room;
        return;
    }
    char lengths[8];
    const char *end = write_length(write_length(lengths, name_len), value_len);
    put(writer, lengths, (apr_size_t)(end - lengths));
    put(writer, name, name_len);
    put(writer, value, value_len);
}

apr_size_t udr_fcgi_request_head(const udr_request_t *request, bool persistent, char *room)
{
    const char begin[BEGIN_CONTENT] = {0, ROLE_RESPONDER, persistent ? FLAG_KEEP_CONN : 0};
    writer_t writer = {.out = room};
    put_record(&writer, UDR_FCGI_BEGIN_REQUEST, begin, sizeof begin);
    begin_params(&writer);
    each_pair(request, put_pair, &writer);
    if (writer.content) {
        end_params(&writer);
        begin_params(&writer);
    }
    end_params(&writer);
    if (!has_body(request)) {
        put_record(&writer, UDR_FCGI_STDIN, "", 0);
    }
    return (apr_size_t)(writer.out - room);
}
