/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

void append(bytes_t *bytes, const char *ptr, size_t len)
{
    if (bytes->size - bytes->len < len) {
        bytes->size = (bytes->size + len) * 2;
        bytes->ptr = realloc(bytes->ptr, bytes->size);
        REQUIRE(bytes->ptr);
    }
    if (len) {
        memcpy(bytes->ptr + bytes->len, ptr, len);
    }
    bytes->len += len;
}

void append_number(bytes_t *bytes, unsigned long long number)
{
    char text[32];
    append(bytes, text, (size_t)snprintf(text, sizeof text, "%llu;", number));
}

bool equal(const bytes_t *a, const bytes_t *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->ptr, b->ptr, a->len) == 0);
}

const udr_http1_limits_t *limits_of(int options)
{
    static const udr_http1_limits_t limits[] = {{16384, 131072}, {64, 512}, {64, 100}, {100, 64}};
    return &limits[(options >> 1) & 3];
}

size_t next_piece(unsigned pattern, uint32_t *random)
{
    static const unsigned sizes[] = {1, 7, 61, 1021};
    *random = *random * 1664525u + 1013904223u;
    return 1 + (*random >> 16) % sizes[pattern % 4];
}
