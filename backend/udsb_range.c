/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_range.h"

#include <stdbool.h>
#include <stddef.h>
#include <strings.h>

/* Reads digits; a number that is too large for 64 bits is beyond every file, and as large as possible serves. */
static bool read_number(const char **text, uint64_t *number)
{
    const char *c = *text;

    *number = 0;
    for (; *c >= '0' && *c <= '9'; c++) {
        const unsigned digit = (unsigned)(*c - '0');

        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    if (c == *text)
        return false;
    *text = c;
    return true;
}

udsb_range_t udsb_range_parse(const char *text, uint64_t size, uint64_t *first, uint64_t *length)
{
    uint64_t from, to = UINT64_MAX;

    if (!text || strncasecmp(text, "bytes=", 6) != 0)
        return UDSB_RANGE_NONE;
    text += 6;
    while (*text == ' ' || *text == '\t')
        text++;
    if (*text == '-') { /* the last so many bytes */
        text++;
        if (!read_number(&text, &to) || *text)
            return UDSB_RANGE_NONE;
        if (!to || !size)
            return UDSB_RANGE_UNSATISFIABLE;
        *length = to < size ? to : size;
        *first = size - *length;
        return UDSB_RANGE_PART;
    }
    if (!read_number(&text, &from) || *text++ != '-')
        return UDSB_RANGE_NONE;
    if (*text && !read_number(&text, &to))
        return UDSB_RANGE_NONE;
    if (*text || to < from)
        return UDSB_RANGE_NONE;
    if (from >= size)
        return UDSB_RANGE_UNSATISFIABLE;
    *first = from;
    *length = (to < size - 1 ? to : size - 1) - from + 1;
    return UDSB_RANGE_PART;
}
