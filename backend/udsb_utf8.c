/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_utf8.h"

#include <stdint.h>
#include <string.h>

/* The first byte of a character of several bytes. RFC 3629, 4: the ranges of the second byte shut out overlong forms
 * (E0, F0), surrogates (ED) and what is above U+10FFFF (F4). */
static bool begin(udsb_utf8_t *utf8, unsigned char c)
{
    if (c < 0xc2 || c > 0xf4)
        return false;
    utf8->missing = (unsigned char)(c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3);
    utf8->lowest = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    utf8->highest = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    return true;
}

bool udsb_utf8_take(udsb_utf8_t *utf8, const void *data, size_t length)
{
    const unsigned char *c = data;
    const unsigned char *const end = c + length;

    while (c < end) {
        uint64_t eight;

        if (utf8->missing) {
            if (*c < utf8->lowest || *c > utf8->highest)
                return false;
            utf8->missing--;
            utf8->lowest = 0x80;
            utf8->highest = 0xbf;
            c++;
        } else if (end - c >= 8 && (memcpy(&eight, c, 8), !(eight & 0x8080808080808080u))) {
            c += 8; /* mostly it is ASCII */
        } else if (*c < 0x80) {
            c++;
        } else if (!begin(utf8, *c++)) {
            return false;
        }
    }
    return true;
}

bool udsb_utf8_is_valid(const void *data, size_t length)
{
    udsb_utf8_t utf8 = {0};

    return udsb_utf8_take(&utf8, data, length) && !utf8.missing;
}
