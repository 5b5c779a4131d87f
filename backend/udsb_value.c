/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_value.h"

#include <string.h>

/* Reads digits to the base; *end is the first byte that is none. False: no digit, or overflow. */
static bool digits(uint64_t *result, const char *text, unsigned base, const char **end)
{
    uint64_t value = 0;
    const char *c = text;

    for (; *c >= '0' && *c < (char)('0' + base); c++) {
        const unsigned digit = (unsigned)(*c - '0');

        if (value > (UINT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *end = c;
    *result = value;
    return c > text;
}

bool udsb_value_number(uint64_t *result, const char *text, uint64_t minimum, uint64_t maximum)
{
    uint64_t value;
    const char *end;

    if (!digits(&value, text, 10, &end) || *end || value < minimum || value > maximum)
        return false;
    *result = value;
    return true;
}

bool udsb_value_time(uint64_t *result_ms, const char *text, uint64_t minimum_ms, uint64_t maximum_ms)
{
    static const struct {
        const char *name;
        uint64_t milliseconds;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}};
    uint64_t value;
    const char *end;

    if (!digits(&value, text, 10, &end))
        return false;
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) != 0)
            continue;
        if (value > UINT64_MAX / units[i].milliseconds)
            return false;
        value *= units[i].milliseconds;
        if (value < minimum_ms || value > maximum_ms)
            return false;
        *result_ms = value;
        return true;
    }
    return false;
}

bool udsb_value_mode(unsigned *result, const char *text)
{
    uint64_t value;
    const char *end;

    if (!digits(&value, text, 8, &end) || *end || value < 1 || value > 0777)
        return false;
    *result = (unsigned)value;
    return true;
}
