/* SPDX-License-Identifier: Apache-2.0 */
/* What libFuzzer calls, and replay.c in its place: each fuzz_udr_*.c defines it. And what these have in common. */
#ifndef FUZZ_H
#define FUZZ_H

#include "mod_udsroute/udr_http1.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Examines one input. Returns 0, or aborts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Empty when all of it is 0; whoever has one frees its ptr. */
typedef struct bytes_t {
    char *ptr;
    size_t len;
    size_t size;
} bytes_t;

void append(bytes_t *bytes, const char *ptr, size_t len);
void append_number(bytes_t *bytes, unsigned long long number);
bool equal(const bytes_t *a, const bytes_t *b);

/* Which limits an input is read with: bits 1 and 2 of its first byte. */
const udr_http1_limits_t *limits_of(int options);

/* How many bytes of a response come next. pattern: the input's second byte, which *random begins with. */
size_t next_piece(unsigned pattern, uint32_t *random);

#endif
