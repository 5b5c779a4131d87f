/* SPDX-License-Identifier: Apache-2.0 */
/* Events as lines: to the program's function or, without one, to stderr with time, program, process id and level.
 * Layer: bottom. Used by everybody. */
#ifndef UDSB_LOG_H
#define UDSB_LOG_H

#include "backend/udsbackend.h"

#include <stdarg.h>

typedef struct {
    udsb_log_function_t *function; /* NULL: stderr */
    void *context;                 /* borrowed */
    udsb_log_level_t verbosity;    /* the last level that is written */
} udsb_log_t;

/* Formats and writes one event. Control characters are made visible, so that nothing a peer sends can fake a line. A
 * line is cut at 1,000 bytes. Any thread. */
void udsb_log_event(const udsb_log_t *log, udsb_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void udsb_log_event_list(const udsb_log_t *log, udsb_log_level_t level, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

#endif
