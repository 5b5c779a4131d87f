/* SPDX-License-Identifier: Apache-2.0 */
/* A growing text, and JSON (RFC 8259) and base64 written into it.
 * Layer: bottom. Used by /echo, /upload and /metrics. */
#ifndef UDSB_JSON_H
#define UDSB_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* All zero: empty. has_failed (out of memory) stays set; what is added then is dropped, so it needs to be asked once.
 */
typedef struct {
    char *data; /* not terminated */
    size_t length, capacity;
    bool has_failed;
} udsb_text_t;

void udsb_text_add(udsb_text_t *text, const void *data, size_t length);
void udsb_text_format(udsb_text_t *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void udsb_text_clear(udsb_text_t *text);

/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD each, so that what comes out is always JSON. */
void udsb_json_string(udsb_text_t *text, const char *data, size_t length);

/* A JSON string with its quotes that holds the bytes in base64 (RFC 4648, 4). */
void udsb_json_base64(udsb_text_t *text, const void *data, size_t length);

#endif
