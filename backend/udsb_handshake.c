/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_request.h"
#include "backend/udsb_response.h"
#include "backend/udsb_server.h"
#include "backend/udsb_websocket.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool udsb_handshake_accept(char *accept, const char *key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    const gnutls_datum_t encoded = {.data = (unsigned char *)(uintptr_t)key, .size = (unsigned)strlen(key)};
    gnutls_datum_t nonce, result;
    unsigned char hash[20];
    char text[24 + sizeof guid];

    if (encoded.size != 24 || gnutls_base64_decode2(&encoded, &nonce) != GNUTLS_E_SUCCESS)
        return false;
    const bool is_nonce = nonce.size == 16;
    gnutls_free(nonce.data);
    if (!is_nonce)
        return false;

    const int length = snprintf(text, sizeof text, "%s%s", key, guid);
    if (gnutls_hash_fast(GNUTLS_DIG_SHA1, text, (size_t)length, hash) != GNUTLS_E_SUCCESS ||
        gnutls_base64_encode2(&(gnutls_datum_t){.data = hash, .size = sizeof hash}, &result) != GNUTLS_E_SUCCESS)
        return false;
    snprintf(accept, UDSB_HANDSHAKE_ACCEPT_SIZE, "%.*s", (int)result.size, (const char *)result.data);
    gnutls_free(result.data);
    return true;
}

typedef struct {
    const char *name, *token;
    bool found;
} token_search_t;

/* Lists may be spread over several fields of the same name, and have white space around their commas. */
static bool look_for_token(void *context, const char *name, size_t name_length, const char *value, size_t value_length)
{
    token_search_t *const search = context;

    (void)value_length;
    if (strlen(search->name) != name_length || strncasecmp(name, search->name, name_length) != 0)
        return true;
    while (*value) {
        const char *const start = value + strspn(value, " \t,");
        const size_t length = strcspn(start, " \t,");

        search->found |= length == strlen(search->token) && !strncasecmp(start, search->token, length);
        value = start + length;
    }
    return !search->found;
}

static bool has_token(const udsb_request_t *request, const char *name, const char *token)
{
    token_search_t search = {.name = name, .token = token};

    udsb_request_headers(request, false, look_for_token, &search);
    return search.found;
}

static void ask_for_upgrade(udsb_request_t *request, const char *text)
{
    udsb_response_t *const response = udsb_response_copy("text/plain", text, strlen(text));

    udsb_response_header(response, "Upgrade", "websocket"); /* RFC 9110, 15.5.22, and Connection to go with it */
    udsb_response_header(response, "Connection", "Upgrade");
    udsb_response_header(response, "Sec-WebSocket-Version", "13");
    udsb_request_answer(request, 426, response);
}

static void switch_protocols(udsb_request_t *request, udsb_websocket_route_t *route, const char *accept)
{
    udsb_response_t *const response =
        udsb_response_wrap(MHD_create_response_for_upgrade(udsb_websocket_upgraded, route), 0);

    udsb_response_header(response, "Upgrade", "websocket");
    udsb_response_header(response, "Sec-WebSocket-Accept", accept);
    /* Not udsb_request_answer(), which may say Connection: close. */
    udsb_request_answer_shared(request, MHD_HTTP_SWITCHING_PROTOCOLS, response);
    udsb_response_free(response);
}

void udsb_handshake(udsb_request_t *request, void *context)
{
    const char *const version = udsb_request_header(request, "Sec-WebSocket-Version");
    const char *const key = udsb_request_header(request, "Sec-WebSocket-Key");
    char accept[UDSB_HANDSHAKE_ACCEPT_SIZE];

    if (!has_token(request, "Upgrade", "websocket") || !has_token(request, "Connection", "Upgrade"))
        ask_for_upgrade(request, "a WebSocket is to be opened here (Upgrade: websocket)\n");
    else if (strcmp(request->version, "HTTP/1.1") != 0 || strcmp(request->method, "GET") != 0)
        udsb_request_answer_text(request, 400, "a WebSocket is opened with GET and HTTP/1.1");
    else if (!version || strcmp(version, "13") != 0)
        ask_for_upgrade(request, "the version of the WebSocket protocol here is 13\n");
    else if (!key || !udsb_handshake_accept(accept, key))
        udsb_request_answer_text(request, 400, "Sec-WebSocket-Key is not 16 bytes in base64");
    else if (udsb_request_has_body(request))
        udsb_request_answer_text(request, 400, "a WebSocket handshake has no body");
    else if (atomic_load(&request->server->stopping))
        udsb_request_answer_text(request, 503, "the server is stopping");
    else
        switch_protocols(request, context, accept);
}

udsb_result_t udsb_server_map_websocket(udsb_server_t *server, const char *path, udsb_websocket_function_t *message,
                                        size_t message_limit, void *context)
{
    udsb_websocket_route_t *const route = calloc(1, sizeof *route);

    if (!route)
        return udsb_error_set(&server->error, UDSB_NO_MEMORY, "out of memory");
    *route = (udsb_websocket_route_t){
        .function = message, .message_limit = message_limit ? message_limit : (size_t)64 << 20, .context = context};
    return udsb_server_map_owned(
        server, &(udsb_route_t){.methods = "GET", .path = path, .handler = udsb_handshake, .context = route}, free);
}
