/* SPDX-License-Identifier: Apache-2.0 */
/* The sentence that goes with a udsb_result_t.
 * Layer: bottom. Used by everything that can fail on behalf of a udsb_server_* function. */
#ifndef UDSB_ERROR_H
#define UDSB_ERROR_H

#include "backend/udsbackend.h"

enum { UDSB_ERROR_SIZE = 512 };

typedef struct {
    char text[UDSB_ERROR_SIZE];
} udsb_error_t;

/* Writes the sentence (cut to fit) and returns result, for "return udsb_error_set(…)". error may be NULL. */
udsb_result_t udsb_error_set(udsb_error_t *error, udsb_result_t result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* UDSB_SYSTEM with "…: <strerror(errno)>". Reads errno first. */
udsb_result_t udsb_error_system(udsb_error_t *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
