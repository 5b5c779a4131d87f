/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAXIMUM = 1000 };

static const char *const level_names[] = {
    [UDSB_LOG_ERROR] = "error", [UDSB_LOG_WARNING] = "warning", [UDSB_LOG_NOTICE] = "notice",
    [UDSB_LOG_INFO] = "info",   [UDSB_LOG_DEBUG] = "debug",
};

static void write_to_stderr(udsb_log_level_t level, const char *line)
{
    struct timespec now;
    struct tm utc;
    char stamp[32];
    char out[LINE_MAXIMUM + 400];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    const int length = snprintf(out, sizeof out, "%s.%03dZ %s[%d] %s: %s\n", stamp, (int)(now.tv_nsec / 1000000),
                                program_invocation_short_name, (int)getpid(), level_names[level], line);
    /* One write(2), so that the lines of several processes on one pipe stay whole. */
    if (length > 0 && write(STDERR_FILENO, out, (size_t)length) < 0)
        return; /* nowhere left to complain */
}

void udsb_log_event_list(const udsb_log_t *log, udsb_log_level_t level, const char *format, va_list arguments)
{
    char line[LINE_MAXIMUM + 1];

    if (level > log->verbosity)
        return;
    vsnprintf(line, sizeof line, format, arguments);
    for (char *c = line; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    if (log->function)
        log->function(log->context, level, line);
    else
        write_to_stderr(level, line);
}

void udsb_log_event(const udsb_log_t *log, udsb_log_level_t level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    udsb_log_event_list(log, level, format, arguments);
    va_end(arguments);
}
