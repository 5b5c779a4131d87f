/* SPDX-License-Identifier: Apache-2.0 */
/* The Range field of a request (RFC 9110, 14.1 and 14.2).
 * Layer: bottom. Used by udsb_files.c. */
#ifndef UDSB_RANGE_H
#define UDSB_RANGE_H

#include <stdint.h>

typedef enum {
    UDSB_RANGE_NONE,         /* send it all: there is no Range, or one that is to be ignored */
    UDSB_RANGE_PART,         /* send length bytes from first on: 206 */
    UDSB_RANGE_UNSATISFIABLE /* 416 */
} udsb_range_t;

/* text: the value of the field, or NULL. size: of the whole, bytes. Ignored, as the RFC allows: other units, what is
 * not well-formed, and more than one range (they would need multipart/byteranges). */
udsb_range_t udsb_range_parse(const char *text, uint64_t size, uint64_t *first, uint64_t *length);

#endif
