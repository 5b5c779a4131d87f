/* SPDX-License-Identifier: Apache-2.0 */
/* The routes that udsb_server_map_builtin() maps. They use the public interface, as any program would.
 * Layer: top, above the server. One handler, one route. */
#ifndef UDSB_BUILTIN_H
#define UDSB_BUILTIN_H

#include "backend/udsbackend.h"

/* udsb_builtin.c */
void udsb_builtin_health(udsb_request_t *request, void *context);
void udsb_builtin_delay(udsb_request_t *request, void *context);
void udsb_builtin_status(udsb_request_t *request, void *context);

/* udsb_builtin_body.c: what looks at the request's body */
void udsb_builtin_echo(udsb_request_t *request, void *context);
void udsb_builtin_upload(udsb_request_t *request, void *context);
bool udsb_builtin_upload_body(udsb_request_t *request, const void *data, size_t length, void *context);

/* udsb_builtin_stream.c: what makes long or slow answers */
void udsb_builtin_bytes(udsb_request_t *request, void *context);
void udsb_builtin_chunked(udsb_request_t *request, void *context);
void udsb_builtin_events(udsb_request_t *request, void *context);
/* The bytes of /bytes/N from position on: lines of 16 bytes, each its own offset in 15 hexadecimal digits and a
 * newline. */
void udsb_builtin_fill(char *buffer, uint64_t position, size_t size);

/* udsb_builtin_metrics.c */
void udsb_builtin_metrics(udsb_request_t *request, void *context);

#endif
