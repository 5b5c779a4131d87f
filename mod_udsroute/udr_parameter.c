/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_parameter.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

const udr_parameter_t *udr_parameter_find(const udr_parameter_table_t *table, const char *key)
{
    for (apr_size_t i = 0; i < table->count; i++) {
        if (!strcasecmp(key, table->rows[i].key)) {
            return &table->rows[i];
        }
    }
    return NULL;
}

/* --- values ----------------------------------------------------------------------------------------------------------
 */

static const char *read_switch(int *result, const char *text, bool opposite, apr_pool_t *p)
{
    bool on;
    const char *error = udr_value_switch(&on, text, p);

    if (!error) {
        *result = on != opposite;
    }
    return error;
}

/* "1.5" is 150. Three digits before the point are enough for every range there is, and can't overflow. */
static const char *read_hundredths(int *result, const char *text, int min, int max, apr_pool_t *p)
{
    static const char digits[] = "0123456789";
    apr_size_t whole = strspn(text, digits);
    apr_size_t decimals = text[whole] == '.' ? strspn(text + whole + 1, digits) : 0;
    const char *end = text + whole + (text[whole] == '.') + decimals;
    int value = 0;

    if (!whole || *end || decimals > 2 || (text[whole] == '.' && !decimals)) {
        return apr_psprintf(p, "%s is not a number: write one from %d to %d, with at most two decimals",
                            udr_value_quote(text, p), min / 100, max / 100);
    }
    for (const char *s = text; s < end && value <= max; s++) {
        value = *s == '.' ? value : value * 10 + (*s - '0');
    }
    for (apr_size_t i = decimals; i < 2 && value <= max; i++) {
        value *= 10;
    }
    if (value < min || value > max) {
        return apr_psprintf(p, "%s is out of range: %d to %d", udr_value_quote(text, p), min / 100, max / 100);
    }
    *result = value;
    return NULL;
}

static const char *read_value(void *place, const udr_parameter_t *parameter, const char *value, apr_pool_t *p)
{
    if (parameter->read) {
        return parameter->read(place, value, p);
    }
    switch (parameter->kind) {
    case UDR_PARAMETER_INT:
        return udr_value_int(place, value, (int)parameter->min, (int)parameter->max, p);
    case UDR_PARAMETER_HUNDREDTHS:
        return read_hundredths(place, value, (int)parameter->min, (int)parameter->max, p);
    case UDR_PARAMETER_SWITCH:
        return read_switch(place, value, false, p);
    case UDR_PARAMETER_OPPOSITE:
        return read_switch(place, value, true, p);
    case UDR_PARAMETER_TIME:
        return udr_value_time(place, value, parameter->unit, parameter->min, parameter->max, p);
    case UDR_PARAMETER_SIZE:
        return udr_value_size(place, value, (apr_size_t)parameter->min, (apr_size_t)parameter->max, p);
    case UDR_PARAMETER_POINTER:
    case UDR_PARAMETER_VOID:
        break;
    }
    return NULL;
}

const char *udr_parameter_read(const udr_parameter_t *parameter, void *into, const char *value, const char **note,
                               apr_pool_t *p)
{
    const char *error = read_value((char *)into + parameter->offset, parameter, value, p);

    *note = NULL;
    if (parameter->kind == UDR_PARAMETER_VOID) {
        *note =
            apr_psprintf(p, "%s has no meaning over a Unix socket and is ignored: %s", parameter->key, parameter->why);
    }
    return error ? apr_psprintf(p, "%s: %s", parameter->key, error) : NULL;
}

/* --- what is unset ---------------------------------------------------------------------------------------------------
 */

static void inherit_int(int *into, const int *from)
{
    if (*into < 0) {
        *into = *from;
    }
}

static void inherit_time(apr_interval_time_t *into, const apr_interval_time_t *from)
{
    if (*into < 0) {
        *into = *from;
    }
}

static void inherit_size(apr_size_t *into, const apr_size_t *from)
{
    if (*into == 0) {
        *into = *from;
    }
}

/* All pointers to data are alike with POSIX, whatever they point to. */
static void inherit_pointer(void *into, const void *from)
{
    const void *present;

    memcpy(&present, into, sizeof present);
    if (!present) {
        memcpy(into, from, sizeof present);
    }
}

void udr_parameter_inherit(const udr_parameter_table_t *table, void *into, const void *from)
{
    for (apr_size_t i = 0; i < table->count; i++) {
        const udr_parameter_t *parameter = &table->rows[i];
        void *place = (char *)into + parameter->offset;
        const void *source = (const char *)from + parameter->offset;

        switch (parameter->kind) {
        case UDR_PARAMETER_INT:
        case UDR_PARAMETER_HUNDREDTHS:
        case UDR_PARAMETER_SWITCH:
        case UDR_PARAMETER_OPPOSITE:
            inherit_int(place, source);
            break;
        case UDR_PARAMETER_TIME:
            inherit_time(place, source);
            break;
        case UDR_PARAMETER_SIZE:
            inherit_size(place, source);
            break;
        case UDR_PARAMETER_POINTER:
            inherit_pointer(place, source);
            break;
        case UDR_PARAMETER_VOID:
            break;
        }
    }
}

/* --- unknown keys ----------------------------------------------------------------------------------------------------
 */

/* Keys longer than this get no proposal. */
#define LONGEST_TYPO  31
#define FARTHEST_TYPO 2

static apr_size_t least(apr_size_t a, apr_size_t b)
{
    return a < b ? a : b;
}

/* How many bytes have to be inserted, removed or replaced to make b of a (Levenshtein), row by row. */
static apr_size_t edit_distance(const char *a, const char *b)
{
    apr_size_t row[LONGEST_TYPO + 1];
    apr_size_t columns = strlen(b);

    for (apr_size_t j = 0; j <= columns; j++) {
        row[j] = j;
    }
    for (apr_size_t i = 1; i <= strlen(a); i++) {
        apr_size_t diagonal = row[0];

        row[0] = i;
        for (apr_size_t j = 1; j <= columns; j++) {
            apr_size_t replaced = diagonal + (strncasecmp(&a[i - 1], &b[j - 1], 1) != 0);

            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[columns];
}

/* The key that was probably meant, where one is nearer than *nearest; *nearest is then its distance. */
static const char *nearer_key(const char *key, const udr_parameter_table_t *table, apr_size_t *nearest)
{
    const char *result = NULL;

    for (apr_size_t i = 0; i < table->count && strlen(key) <= LONGEST_TYPO; i++) {
        apr_size_t distance = edit_distance(table->rows[i].key, key);

        if (distance < *nearest) {
            *nearest = distance;
            result = table->rows[i].key;
        }
    }
    return result;
}

/* Adds the keys of a table to a list, with commas between them (NULL: none so far), save those that `listed` has. */
static const char *list_keys(const char *list, const udr_parameter_table_t *table, const udr_parameter_table_t *listed,
                             apr_pool_t *p)
{
    for (apr_size_t i = 0; i < table->count; i++) {
        const char *key = table->rows[i].key;

        if (!listed || !udr_parameter_find(listed, key)) {
            list = list ? apr_pstrcat(p, list, ", ", key, NULL) : key;
        }
    }
    return list;
}

const char *udr_parameter_unknown(const char *key, const udr_parameter_table_t *table,
                                  const udr_parameter_table_t *other, apr_pool_t *p)
{
    /* At least half of what was written has to be right: else "x" would be "min". */
    apr_size_t nearest = least(FARTHEST_TYPO, strlen(key) / 2) + 1;
    const char *meant = nearer_key(key, table, &nearest);
    const char *nearer = other ? nearer_key(key, other, &nearest) : NULL;
    const char *known = list_keys(NULL, table, NULL, p);

    meant = nearer ? nearer : meant;
    known = other ? list_keys(known, other, table, p) : known;
    return apr_psprintf(p, "%s is no parameter%s%s; there are: %s", udr_value_quote(key, p),
                        meant ? ", probably meant: " : "", meant ? meant : "", known);
}
