/* SPDX-License-Identifier: Apache-2.0 */
/* Dates, entity tags, and the preconditions that are made of them (RFC 9110, 5.6.7, 8.8 and 13).
 * Layer: bottom. Used by udsb_files.c. */
#ifndef UDSB_CONDITION_H
#define UDSB_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* "Sun, 06 Nov 1994 08:49:37 GMT" has 29 bytes. */
enum { UDSB_CONDITION_DATE_SIZE = 30 };
void udsb_condition_write_date(char *text, time_t date);

/* Reads the three forms a recipient must know; false: it is none of them, or text is NULL. */
bool udsb_condition_read_date(time_t *date, const char *text);

/* What is known of the representation. */
typedef struct {
    const char *tag; /* strong, with its quotes: "\"abc\"" */
    time_t modified;
} udsb_validators_t;

/* Fields of a request, NULL where there is none. */
typedef struct {
    const char *if_match, *if_unmodified_since, *if_none_match, *if_modified_since, *if_range;
} udsb_conditions_t;

typedef enum {
    UDSB_CONDITION_PROCEED,
    UDSB_CONDITION_NOT_MODIFIED, /* 304 */
    UDSB_CONDITION_FAILED        /* 412 */
} udsb_condition_t;

/* Evaluates the conditions of a GET or HEAD in the order of RFC 9110, 13.2.2. */
udsb_condition_t udsb_condition_evaluate(const udsb_conditions_t *conditions, const udsb_validators_t *validators);

/* Does If-Range, if there is one, let Range apply? */
bool udsb_condition_allows_range(const udsb_conditions_t *conditions, const udsb_validators_t *validators);

#endif
