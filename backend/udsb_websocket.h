/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket connections: they stay on the loop of the worker that had their handshake. The handshake is in
 * udsb_handshake.c, messages in udsb_message.c. Layer: the middle. */
#ifndef UDSB_WEBSOCKET_H
#define UDSB_WEBSOCKET_H

#include "backend/udsbackend.h"

#include <microhttpd.h>

/* A mapping of udsb_server_map_websocket. */
typedef struct {
    udsb_websocket_function_t *function;
    size_t message_limit;
    void *context;
} udsb_websocket_route_t;

typedef struct {
    udsb_websocket_t *first;
} udsb_websocket_list_t;

/* libmicrohttpd gives an upgraded connection away; the worker's thread. context: the udsb_websocket_route_t. */
void udsb_websocket_upgraded(void *context, struct MHD_Connection *mhd, void *request_context, const char *extra,
                             size_t extra_length, MHD_socket descriptor, struct MHD_UpgradeResponseHandle *handle);

/* The server stops: says goodbye (1001) to all. The worker's thread. */
void udsb_websocket_stop_all(udsb_websocket_list_t *websockets);
/* Ends all without a word. The worker's thread. */
void udsb_websocket_cut_all(udsb_websocket_list_t *websockets);

/* The handler of a WebSocket route: the opening handshake (RFC 6455, 4.2). context: the udsb_websocket_route_t. */
void udsb_handshake(udsb_request_t *request, void *context);

/* The Sec-WebSocket-Accept for a Sec-WebSocket-Key (29 bytes with its NUL). False: the key is not 16 bytes in base64.
 */
enum { UDSB_HANDSHAKE_ACCEPT_SIZE = 29 };
bool udsb_handshake_accept(char *accept, const char *key);

#endif
