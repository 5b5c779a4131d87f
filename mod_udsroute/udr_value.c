/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_value.h"

#include <apr_strings.h>
#include <string.h>
#include <strings.h>

typedef struct unit_t {
    const char *suffix;
    apr_int64_t worth;
    const char *plural;
} unit_t;

/* Both tables ascend: the largest unit that divides a number prints it. */
static const unit_t time_units[] = {
    {.suffix = "ms", .worth = 1000, .plural = "milliseconds"},
    {.suffix = "s", .worth = APR_USEC_PER_SEC, .plural = "seconds"},
    {.suffix = "min", .worth = 60 * APR_USEC_PER_SEC, .plural = "minutes"},
    {.suffix = "h", .worth = 3600 * APR_USEC_PER_SEC, .plural = "hours"},
};
static const unit_t size_units[] = {
    {.suffix = "", .worth = 1, .plural = "bytes"},
    {.suffix = "K", .worth = 1024, .plural = "KiB"},
    {.suffix = "M", .worth = 1024 * 1024, .plural = "MiB"},
    {.suffix = "G", .worth = 1024 * 1024 * 1024, .plural = "GiB"},
};
#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

/* A number on its way through the parser. Too large a one is remembered rather than refused at once: it is well
 * formed, and what its writer needs to read is the range. */
typedef struct number_t {
    apr_int64_t value;
    bool overflow;
    const char *rest; /* the first byte behind the digits */
} number_t;

/* Reads decimal digits. Returns whether there was at least one. */
static bool read_digits(number_t *number, const char *text)
{
    number->value = 0;
    number->overflow = false;
    for (number->rest = text; *number->rest >= '0' && *number->rest <= '9'; number->rest++) {
        number->overflow |= __builtin_mul_overflow(number->value, 10, &number->value);
        number->overflow |= __builtin_add_overflow(number->value, *number->rest - '0', &number->value);
    }
    return number->rest > text;
}

static void multiply(number_t *number, apr_int64_t by)
{
    number->overflow |= __builtin_mul_overflow(number->value, by, &number->value);
}

static bool in_range(const number_t *number, apr_int64_t min, apr_int64_t max)
{
    return !number->overflow && number->value >= min && number->value <= max;
}

static const unit_t *find_unit(const unit_t *units, apr_size_t count, const char *suffix)
{
    for (apr_size_t i = 0; i < count; i++) {
        if (!strcasecmp(suffix, units[i].suffix)) {
            return &units[i];
        }
    }
    return NULL;
}

/* 86400000000 is "24h", 1500000 is "1500ms", 0 is "0". */
static const char *print_with_unit(apr_int64_t value, const unit_t *units, apr_size_t count, apr_pool_t *p)
{
    const unit_t *unit = &units[0];

    if (value == 0) {
        return "0";
    }
    for (apr_size_t i = 0; i < count; i++) {
        if (value % units[i].worth == 0) {
            unit = &units[i];
        }
    }
    return apr_psprintf(p, "%" APR_INT64_T_FMT "%s", value / unit->worth, unit->suffix);
}

static const char *print_time_range(apr_interval_time_t min, apr_interval_time_t max, apr_pool_t *p)
{
    return apr_psprintf(p, "%s to %s", print_with_unit(min, time_units, LENGTH(time_units), p),
                        print_with_unit(max, time_units, LENGTH(time_units), p));
}

static const char *out_of_range(const char *text, const char *range, apr_pool_t *p)
{
    return apr_psprintf(p, "%s is out of range: %s", udr_value_quote(text, p), range);
}

const char *udr_value_quote(const char *text, apr_pool_t *p)
{
    /* Each byte takes four at most ("\x1b"), the quotes and the NUL three. */
    char *quoted = apr_palloc(p, 4 * strlen(text) + 3);
    char *end = quoted;

    *end++ = '\'';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f) {
            *end++ = '\\';
            *end++ = 'x';
            *end++ = "0123456789abcdef"[c >> 4];
            *end++ = "0123456789abcdef"[c & 15];
        } else {
            *end++ = *text;
        }
    }
    *end++ = '\'';
    *end = '\0';
    return quoted;
}

const char *udr_value_int(int *result, const char *text, int min, int max, apr_pool_t *p)
{
    bool negative = *text == '-';
    number_t number;

    if (!read_digits(&number, text + negative) || *number.rest) {
        return apr_psprintf(p, "%s is not a number: write a whole number from %d to %d", udr_value_quote(text, p), min,
                            max);
    }
    if (negative && !number.overflow) {
        number.value = -number.value;
    }
    /* "-0" is within the range, but its sign makes no sense. */
    if (!in_range(&number, min, max) || (negative && min >= 0)) {
        return out_of_range(text, apr_psprintf(p, "%d to %d", min, max), p);
    }
    *result = (int)number.value;
    return NULL;
}

const char *udr_value_time(apr_interval_time_t *result, const char *text, apr_interval_time_t unit,
                           apr_interval_time_t min, apr_interval_time_t max, apr_pool_t *p)
{
    const unit_t *suffix = NULL;
    const char *bare = "seconds";
    number_t number;

    if (!read_digits(&number, text) ||
        (*number.rest && !(suffix = find_unit(time_units, LENGTH(time_units), number.rest)))) {
        for (apr_size_t i = 0; i < LENGTH(time_units); i++) {
            if (time_units[i].worth == unit) {
                bare = time_units[i].plural;
            }
        }
        return apr_psprintf(p,
                            "%s is not a time: write a whole number with ms, s, min or h behind it, such as 30s (a "
                            "bare number counts %s), from %s",
                            udr_value_quote(text, p), bare, print_time_range(min, max, p));
    }
    multiply(&number, suffix ? suffix->worth : unit);
    if (!in_range(&number, min, max)) {
        return out_of_range(text, print_time_range(min, max, p), p);
    }
    *result = number.value;
    return NULL;
}

const char *udr_value_size(apr_size_t *result, const char *text, apr_size_t min, apr_size_t max, apr_pool_t *p)
{
    const char *range =
        apr_psprintf(p, "%s to %s", print_with_unit((apr_int64_t)min, size_units, LENGTH(size_units), p),
                     print_with_unit((apr_int64_t)max, size_units, LENGTH(size_units), p));
    const unit_t *unit = NULL;
    number_t number;

    if (!read_digits(&number, text) || !(unit = find_unit(size_units, LENGTH(size_units), number.rest))) {
        return apr_psprintf(p,
                            "%s is not a size: write a whole number of bytes, or one with K, M or G behind it, from %s",
                            udr_value_quote(text, p), range);
    }
    multiply(&number, unit->worth);
    if (!in_range(&number, (apr_int64_t)min, (apr_int64_t)max)) {
        return out_of_range(text, range, p);
    }
    *result = (apr_size_t)number.value;
    return NULL;
}

const char *udr_value_switch(bool *result, const char *text, apr_pool_t *p)
{
    bool on = !strcasecmp(text, "on");

    if (!on && strcasecmp(text, "off")) {
        return apr_psprintf(p, "%s is neither On nor Off", udr_value_quote(text, p));
    }
    *result = on;
    return NULL;
}
