/* SPDX-License-Identifier: Apache-2.0 */
/* Reads numbers, times and modes as people write them.
 * Layer: bottom. Used by the routes (paths and queries) and by the program's options. */
#ifndef UDSB_VALUE_H
#define UDSB_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* All return false, the result untouched, for anything but a whole value in [minimum, maximum]: no signs, no white
 * space, no trailing bytes, no overflow. */

/* A decimal number. */
bool udsb_value_number(uint64_t *result, const char *text, uint64_t minimum, uint64_t maximum);

/* A time in milliseconds: a number with an optional unit ms, s, min or h; a bare number is seconds. */
bool udsb_value_time(uint64_t *result_ms, const char *text, uint64_t minimum_ms, uint64_t maximum_ms);

/* File permissions in octal, "660" or "0660", at most 0777 (minimum 1: a socket nobody can use is a mistake). */
bool udsb_value_mode(unsigned *result, const char *text);

#endif
