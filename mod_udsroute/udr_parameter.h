/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of parameters ("max=10 timeout=30 …"): a row gives a key its type, range and place in a struct.
 * Layer: core. Used by the parameters of a member and by those of a balancer. */
#ifndef UDR_PARAMETER_H
#define UDR_PARAMETER_H

#include "mod_udsroute/udr_value.h"

/* What is at a parameter's place, and how it is written. Unset is -1 for integers and times, 0 for sizes, NULL for
 * pointers. */
typedef enum udr_parameter_kind_t {
    UDR_PARAMETER_INT,        /* int */
    UDR_PARAMETER_HUNDREDTHS, /* int: a number with up to two decimals, times 100 */
    UDR_PARAMETER_SWITCH,     /* int: On sets 1 */
    UDR_PARAMETER_OPPOSITE,   /* int: On sets 0 */
    UDR_PARAMETER_TIME,       /* apr_interval_time_t */
    UDR_PARAMETER_SIZE,       /* apr_size_t */
    UDR_PARAMETER_POINTER,    /* a pointer; read by a function of its own */
    UDR_PARAMETER_VOID        /* no place: accepted; what it is for does not exist over a Unix socket */
} udr_parameter_kind_t;

/* All there is to know of a key but its default. */
typedef struct udr_parameter_t {
    const char *key;
    udr_parameter_kind_t kind;
    apr_size_t offset; /* of its place */
    apr_int64_t min;   /* of a time in microseconds, of a size in bytes, of hundredths whole hundreds */
    apr_int64_t max;
    apr_int64_t unit; /* of a time: what a bare number counts, in microseconds */
    /* Reads text into place instead of the above; NULL, or a sentence that begins with the value in quotes. */
    const char *(*read)(void *place, const char *text, apr_pool_t *p);
    const char *why; /* UDR_PARAMETER_VOID: for the note */
} udr_parameter_t;

typedef struct udr_parameter_table_t {
    const udr_parameter_t *rows;
    apr_size_t count;
} udr_parameter_table_t;

/* The row with this key, in any case; NULL: none. */
const udr_parameter_t *udr_parameter_find(const udr_parameter_table_t *table, const char *key);

/* Reads value into the parameter's place in `into`, the struct that its table is for. note: set to NULL, or to a
 * sentence for the log at level info (UDR_PARAMETER_VOID). Returns NULL, or a sentence with key, value and range;
 * `into` is then untouched. */
const char *udr_parameter_read(const udr_parameter_t *parameter, void *into, const char *value, const char **note,
                               apr_pool_t *p);

/* The sentence for a key that neither of the tables has: which was probably meant, and which there are. other: NULL for
 * none. */
const char *udr_parameter_unknown(const char *key, const udr_parameter_table_t *table,
                                  const udr_parameter_table_t *other, apr_pool_t *p);

/* What is unset in `into` becomes what it is in `from`. */
void udr_parameter_inherit(const udr_parameter_table_t *table, void *into, const void *from);

#endif
