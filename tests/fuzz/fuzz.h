/* SPDX-License-Identifier: Apache-2.0 */
/* What libFuzzer calls, and replay.c in its place: each fuzz_*.c defines it. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Examines one input. Returns 0, or aborts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
