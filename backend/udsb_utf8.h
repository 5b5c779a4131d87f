/* SPDX-License-Identifier: Apache-2.0 */
/* Is it UTF-8 (RFC 3629)? Piece by piece.
 * Layer: bottom. Used by WebSockets (text must be) and by JSON (other bytes go as base64). */
#ifndef UDSB_UTF8_H
#define UDSB_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* All zero at the start of a text. */
typedef struct {
    unsigned char missing;         /* continuation bytes of the character under way, 0 to 3 */
    unsigned char lowest, highest; /* what the next of them may be */
} udsb_utf8_t;

/* Takes the next piece; false: the text is not UTF-8, whatever follows. A text is complete when missing is 0. */
bool udsb_utf8_take(udsb_utf8_t *utf8, const void *data, size_t length);

/* Is this a complete text? */
bool udsb_utf8_is_valid(const void *data, size_t length);

#endif
