/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the values of parameters: numbers, times, sizes, switches. Every error is a sentence with value and range.
 * Layer: core, bottom. Used by the member's parameters and by directives. */
#ifndef UDR_VALUE_H
#define UDR_VALUE_H

#include <apr_pools.h>
#include <apr_time.h>

#include <stdbool.h>

/* All return NULL and set the result, or a sentence from p that begins with the value in quotes ("'12x' is not a
 * number; …"), the result then untouched. Leading or trailing white space, signs where none makes sense, overflow and
 * trailing bytes are errors. */

/* The value in quotes, control characters as \x1b: how every sentence shows what was written. */
const char *udr_value_quote(const char *text, apr_pool_t *p);

/* A decimal integer in [min, max]. */
const char *udr_value_int(int *result, const char *text, int min, int max, apr_pool_t *p);

/* A time: a number with an optional unit (ms, s, min, h; as httpd's ap_timeout_parameter_parse, "mi" and "m" forms
 * excluded).
 * unit: what a bare number counts, in microseconds (apr_time_from_sec(1), or 1000 for milliseconds).
 * min, max: the range in microseconds, whole milliseconds; the sentence prints them with a unit. */
const char *udr_value_time(apr_interval_time_t *result, const char *text, apr_interval_time_t unit,
                           apr_interval_time_t min, apr_interval_time_t max, apr_pool_t *p);

/* A size: bytes with an optional K, M or G (1024 based, either case), in [min, max] bytes; max below 2^63. */
const char *udr_value_size(apr_size_t *result, const char *text, apr_size_t min, apr_size_t max, apr_pool_t *p);

/* "On" or "Off", any case. */
const char *udr_value_switch(bool *result, const char *text, apr_pool_t *p);

#endif
