/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_request.h"
#include "backend/udsb_server.h"
#include "backend/udsb_worker.h"
#include "backend/udsb_value.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Bytes of a refused request's body that are read for the sake of its answer. */
enum { DROPPED_MAXIMUM = 16 << 20 };

/* --- target ---------------------------------------------------------------------------------------------------------
 */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool udsb_request_decode_path(char *path, const char *from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (from[i] != '%') {
            *path++ = from[i];
            continue;
        }
        if (length - i < 3)
            return false;

        const int high = hex_digit(from[i + 1]), low = hex_digit(from[i + 2]);
        if (high < 0 || low < 0 || !(high | low))
            return false;
        *path++ = (char)(high << 4 | low);
        i += 2;
    }
    *path = '\0';
    return true;
}

/* Where the path begins: an absolute-form target (RFC 9112, 3.2.2) has a scheme and an authority before it. */
static const char *path_of(const char *target)
{
    const char *authority = NULL;

    if (!strncasecmp(target, "http://", 7))
        authority = target + 7;
    else if (!strncasecmp(target, "https://", 8))
        authority = target + 8;
    if (!authority)
        return target;

    const char *const path = authority + strcspn(authority, "/?");
    return *path == '/' ? path : "/";
}

bool udsb_request_begin(udsb_request_t *request, const char *target)
{
    const size_t length = strlen(target);
    /* The target, its path, and a NUL each; an absolute-form target without a path has the longer path "/". */
    const size_t size = 2 * length + 3;
    const char *path;
    size_t path_length;

    request->target = size <= sizeof request->short_text ? request->short_text : malloc(size);
    if (!request->target)
        return false;
    memcpy(request->target, target, length + 1);
    request->path = request->target + length + 1;
    path = path_of(request->target);
    path_length = strcspn(path, "?");
    request->query = path[path_length] ? path + path_length + 1 : "";
    request->rest = "";
    request->is_bad_target = strchr(target, ' ') || !udsb_request_decode_path(request->path, path, path_length) ||
                             (request->path[0] != '/' && strcmp(request->path, "*") != 0);
    return true;
}

void udsb_request_end(udsb_request_t *request)
{
    if (request->destroy_state)
        request->destroy_state(request->state);
    request->destroy_state = NULL;
    request->state = NULL;
    free(request->body);
    request->body = NULL;
    request->body_used = request->body_capacity = 0;
    if (request->target != request->short_text)
        free(request->target);
    request->target = NULL;
    request->mapping = NULL;
    request->refusal = 0;
    request->is_ambiguous = request->is_begun = request->is_answered = false;
    request->status = 0;
    request->body_length = 0;
    request->wait.is_wanted = request->wait.is_gone = false;
}

/* --- head -----------------------------------------------------------------------------------------------------------
 */

typedef struct {
    unsigned lengths, codings, hosts;
    const char *length, *coding;
    bool lengths_differ, has_bad_name;
} framing_t;

/* RFC 9110, 5.6.2. "Content-Length : 5" has a name that libmicrohttpd takes, and then does not know. */
static bool is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const char c = text[i];

        if ((c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') &&
            !(c && strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return length > 0;
}

static enum MHD_Result note_framing(void *context, enum MHD_ValueKind kind, const char *key, size_t key_length,
                                    const char *value, size_t value_length)
{
    framing_t *const framing = context;

    (void)kind, (void)value_length;
    framing->has_bad_name |= !is_token(key, key_length);
    if (key_length == 14 && !strcasecmp(key, "Content-Length")) {
        framing->lengths_differ |= framing->lengths && strcmp(framing->length, value) != 0;
        framing->length = value;
        framing->lengths++;
    } else if (key_length == 17 && !strcasecmp(key, "Transfer-Encoding")) {
        framing->coding = value;
        framing->codings++;
    } else if (key_length == 4 && !strcasecmp(key, "Host")) {
        framing->hosts++;
    }
    return MHD_YES;
}

static void refuse(udsb_request_t *request, unsigned status, const char *reason)
{
    request->refusal = status;
    request->reason = reason;
}

/* A request whose end two readers could see in two places is not answered but refused (RFC 9112, 6.3 and 11.2).
 * libmicrohttpd takes the first Content-Length, and Transfer-Encoding before any. (It could look for Host itself, but
 * sends its answer to that twice, as to a Content-Length that is no number; the latter can't be helped.) */
static void check_framing(udsb_request_t *request)
{
    framing_t framing = {0};

    MHD_get_connection_values_n(request->mhd, MHD_HEADER_KIND, note_framing, &framing);
    if (framing.has_bad_name)
        refuse(request, 400, "the name of a field is not a valid one");
    else if (framing.codings && framing.lengths)
        refuse(request, 400, "both Transfer-Encoding and Content-Length");
    else if (framing.lengths_differ)
        refuse(request, 400, "differing Content-Length fields");
    else if (framing.codings > 1 || (framing.codings && strcasecmp(framing.coding, "chunked") != 0))
        refuse(request, 501, "a Transfer-Encoding other than chunked");
    else if (framing.hosts > 1)
        refuse(request, 400, "more than one Host field");
    else if (!framing.hosts && !strcmp(request->version, "HTTP/1.1"))
        refuse(request, 400, "no Host field");
    request->is_ambiguous = request->refusal != 0;
}

bool udsb_request_has_body(const udsb_request_t *request)
{
    const char *const length = udsb_request_header(request, "Content-Length");

    return (length && strspn(length, "0") != strlen(length)) || udsb_request_header(request, "Transfer-Encoding");
}

bool udsb_request_must_be_refused_now(const udsb_request_t *request)
{
    const char *const length = udsb_request_header(request, "Content-Length");
    uint64_t bytes;

    if (!request->refusal || request->is_ambiguous)
        return request->refusal != 0;
    /* Most clients do not look for an answer before they have sent all: to them a closed connection is a failure. So a
     * body of some size is read and dropped, unless the client asked beforehand. */
    return udsb_request_has_body(request) &&
           (udsb_request_header(request, "Expect") ||
            (length && (!udsb_value_number(&bytes, length, 0, UINT64_MAX) || bytes > DROPPED_MAXIMUM)));
}

void udsb_request_route(udsb_request_t *request)
{
    const udsb_mapping_t *mapping = NULL;
    const char *length;
    uint64_t bytes;

    check_framing(request);
    if (request->refusal)
        return;
    if (request->is_bad_target) {
        refuse(request, 400, "the path of the request is not a valid one");
        request->is_ambiguous = strchr(request->target, ' '); /* a request line with too many words */
        return;
    }
    switch (udsb_routes_find(&request->server->routes, request->method, request->path, &mapping, &request->rest)) {
    case UDSB_ROUTE_NONE:
        if (strcmp(request->path, "*") != 0 || strcmp(request->method, "OPTIONS") != 0)
            refuse(request, 404, "no route here");
        else
            refuse(request, 204, "");
        return;
    case UDSB_ROUTE_OTHER_METHOD:
        if (!strcmp(request->method, "OPTIONS"))
            refuse(request, 204, "");
        else
            refuse(request, 405, "the route has other methods\n");
        return;
    case UDSB_ROUTE_FOUND:
        break;
    }
    request->mapping = mapping;
    length = udsb_request_header(request, "Content-Length");
    if (!mapping->body && length && udsb_value_number(&bytes, length, 0, UINT64_MAX) && bytes > mapping->body_limit)
        refuse(request, 413, "the body is too long for this route");
}

void udsb_request_refuse(udsb_request_t *request)
{
    udsb_response_t *response;
    char allow[256];

    if (request->refusal != 204 && request->refusal != 405) {
        udsb_request_answer_text(request, request->refusal, "%s", request->reason);
        return;
    }
    udsb_routes_allow(&request->server->routes, request->path, allow, sizeof allow);
    response = request->refusal == 204 ? udsb_response_borrow(NULL, "", 0)
                                       : udsb_response_copy("text/plain", request->reason, strlen(request->reason));
    udsb_response_header(response, "Allow", allow);
    udsb_request_answer(request, request->refusal, response);
}

/* --- body -----------------------------------------------------------------------------------------------------------
 */

static bool make_room(udsb_request_t *request, size_t length)
{
    size_t capacity = request->body_capacity ? request->body_capacity : 4096;
    char *body;

    while (capacity < request->body_used + length)
        capacity *= 2;
    if (capacity == request->body_capacity)
        return true;
    body = realloc(request->body, capacity);
    if (!body)
        return false;
    request->body = body;
    request->body_capacity = capacity;
    return true;
}

void udsb_request_take_body(udsb_request_t *request, const void *data, size_t length)
{
    const udsb_mapping_t *const mapping = request->mapping;

    udsb_metrics_add_own(&request->worker->metrics.bytes_in, length);
    /* libmicrohttpd can answer before the body or after it, not in between: what is refused is read and dropped. */
    if (request->refusal)
        return;
    if (mapping->body) {
        if (!mapping->body(request, data, length, mapping->context))
            refuse(request, 400, "the body was not accepted");
    } else if (length > mapping->body_limit - request->body_used) {
        refuse(request, 413, "the body is too long for this route");
    } else if (!make_room(request, length)) {
        refuse(request, 503, "out of memory");
    } else {
        memcpy(request->body + request->body_used, data, length);
        request->body_used += length;
    }
}

/* --- what handlers ask ----------------------------------------------------------------------------------------------
 */

udsb_server_t *udsb_request_server(udsb_request_t *request)
{
    return request->server;
}
const char *udsb_request_method(const udsb_request_t *request)
{
    return request->method;
}
const char *udsb_request_version(const udsb_request_t *request)
{
    return request->version;
}
const char *udsb_request_target(const udsb_request_t *request)
{
    return request->target;
}
const char *udsb_request_path(const udsb_request_t *request)
{
    return request->path;
}
const char *udsb_request_rest(const udsb_request_t *request)
{
    return request->rest;
}
const char *udsb_request_query(const udsb_request_t *request)
{
    return request->query;
}
void *udsb_request_state(const udsb_request_t *request)
{
    return request->state;
}

const char *udsb_request_header(const udsb_request_t *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

typedef struct {
    udsb_header_visitor_t *visit;
    void *context;
} visit_t;

static enum MHD_Result visit_header(void *context, enum MHD_ValueKind kind, const char *key, size_t key_length,
                                    const char *value, size_t value_length)
{
    const visit_t *const visit = context;

    (void)kind;
    return visit->visit(visit->context, key, key_length, value ? value : "", value_length) ? MHD_YES : MHD_NO;
}

void udsb_request_headers(const udsb_request_t *request, bool trailers, udsb_header_visitor_t *visit, void *context)
{
    visit_t visitor = {.visit = visit, .context = context};

    MHD_get_connection_values_n(request->mhd, trailers ? MHD_FOOTER_KIND : MHD_HEADER_KIND, visit_header, &visitor);
}

const void *udsb_request_body(const udsb_request_t *request, size_t *length)
{
    *length = request->body_used;
    return request->body ? request->body : "";
}

bool udsb_request_number(udsb_request_t *request, const char *name, uint64_t minimum, uint64_t maximum,
                         uint64_t *number, bool *answered)
{
    const size_t length = strlen(name);

    *answered = false;
    for (const char *pair = request->query; *pair; pair += *pair == '&') {
        const size_t pair_length = strcspn(pair, "&");
        char value[32] = "";

        if (pair_length > length && !strncmp(pair, name, length) && pair[length] == '=') {
            if (pair_length - length - 1 < sizeof value)
                memcpy(value, pair + length + 1, pair_length - length - 1);
            if (udsb_value_number(number, value, minimum, maximum))
                return true;
            udsb_request_answer_text(request, 400, "%s is not a number from %llu to %llu", name,
                                     (unsigned long long)minimum, (unsigned long long)maximum);
            *answered = true;
            return false;
        }
        pair += pair_length;
    }
    return false;
}

void udsb_request_set_state(udsb_request_t *request, void *state, void (*destroy)(void *state))
{
    request->state = state;
    request->destroy_state = destroy;
}
