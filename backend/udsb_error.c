/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

udsb_result_t udsb_error_set(udsb_error_t *error, udsb_result_t result, const char *format, ...)
{
    va_list arguments;

    if (error) {
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return result;
}

udsb_result_t udsb_error_system(udsb_error_t *error, const char *format, ...)
{
    const int cause = errno;
    char reason[128];
    va_list arguments;

    if (error) {
        va_start(arguments, format);
        const int written = vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        const size_t length = written > 0 ? (size_t)written : 0;
        if (length < sizeof error->text) /* the GNU strerror_r returns the text, in the buffer or elsewhere */
            snprintf(error->text + length, sizeof error->text - length, ": %s",
                     strerror_r(cause, reason, sizeof reason));
    }
    return UDSB_SYSTEM;
}
