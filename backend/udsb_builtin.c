/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_builtin.h"
#include "backend/udsb_value.h"

#include <stdint.h>

enum {
    DELAY_MAXIMUM_MS = 86400000, /* a day */
    ECHO_LIMIT = 64 << 20        /* bytes of a body */
};

/* What a load balancer asks. X-UDSRoute-State lets it drain this member at once instead of counting failures. */
void udsb_builtin_health(udsb_request_t *request, void *context)
{
    const bool is_draining = udsb_server_is_draining(udsb_request_server(request));
    udsb_response_t *const response = is_draining ? udsb_response_borrow("text/plain", "draining\n", 9)
                                                  : udsb_response_borrow("text/plain", "ok\n", 3);

    (void)context;
    udsb_response_header(response, "X-UDSRoute-State", is_draining ? "drain" : "up");
    udsb_response_header(response, "Cache-Control", "no-store");
    udsb_request_answer(request, is_draining ? 503 : 200, response);
}

void udsb_builtin_delay(udsb_request_t *request, void *context)
{
    static char waited;
    uint64_t milliseconds;

    (void)context;
    if (!udsb_value_number(&milliseconds, udsb_request_rest(request), 0, DELAY_MAXIMUM_MS)) {
        udsb_request_answer_text(request, 400, "/delay/MS takes milliseconds from 0 to %d", DELAY_MAXIMUM_MS);
    } else if (udsb_request_state(request) == &waited) {
        udsb_request_answer_text(request, 200, "waited %llu ms", (unsigned long long)milliseconds);
    } else {
        udsb_request_set_state(request, &waited, NULL);
        udsb_request_wait(request, milliseconds, false);
    }
}

void udsb_builtin_status(udsb_request_t *request, void *context)
{
    udsb_response_t *response;
    uint64_t status;

    (void)context;
    if (!udsb_value_number(&status, udsb_request_rest(request), 200, 599)) {
        udsb_request_answer_text(request, 400, "/status/CODE takes a code from 200 to 599");
        return;
    }
    if (status == 204 || status == 304) { /* no body, and no type of one */
        udsb_request_answer(request, (unsigned)status, udsb_response_borrow(NULL, "", 0));
        return;
    }
    /* The fields without which these are not what RFC 9110 means. */
    response = udsb_response_borrow("text/plain", "", 0);
    if (status == 201 || (status >= 300 && status < 309))
        udsb_response_header(response, "Location", "/ux");
    else if (status == 401)
        udsb_response_header(response, "WWW-Authenticate", "Basic realm=\"udsbackend\"");
    else if (status == 407)
        udsb_response_header(response, "Proxy-Authenticate", "Basic realm=\"udsbackend\"");
    else if (status == 405)
        udsb_response_header(response, "Allow", "GET, HEAD");
    else if (status == 503)
        udsb_response_header(response, "Retry-After", "1");
    udsb_request_answer(request, (unsigned)status, response);
}

static void echo_message(udsb_websocket_t *websocket, udsb_websocket_kind_t kind, const void *data, size_t length,
                         void *context)
{
    (void)context;
    udsb_websocket_send(websocket, kind, data, length);
}

udsb_result_t udsb_server_map_builtin(udsb_server_t *server)
{
    static const udsb_route_t routes[] = {
        {.methods = "GET", .path = "/healthz", .handler = udsb_builtin_health},
        {.methods = "*", .path = "/echo", .handler = udsb_builtin_echo, .body_limit = ECHO_LIMIT},
        {.methods = "*", .path = "/echo/*", .handler = udsb_builtin_echo, .body_limit = ECHO_LIMIT},
        {.methods = "GET", .path = "/bytes/*", .handler = udsb_builtin_bytes},
        {.methods = "GET POST", .path = "/delay/*", .handler = udsb_builtin_delay},
        {.methods = "*", .path = "/status/*", .handler = udsb_builtin_status},
        {.methods = "GET", .path = "/sse", .handler = udsb_builtin_events},
        {.methods = "GET", .path = "/chunked/*", .handler = udsb_builtin_chunked},
        {.methods = "POST PUT", .path = "/upload", .handler = udsb_builtin_upload, .body = udsb_builtin_upload_body},
        {.methods = "GET", .path = "/metrics", .handler = udsb_builtin_metrics},
    };
    udsb_result_t result = udsb_server_map_text(server, "GET", "/ux", "Hello via unix socket");

    for (size_t i = 0; !result && i < sizeof routes / sizeof routes[0]; i++)
        result = udsb_server_map(server, &routes[i]);
    if (!result)
        result = udsb_server_map_websocket(server, "/ws", echo_message, 0, NULL);
    return result;
}
