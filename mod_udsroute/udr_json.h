/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON (RFC 8259), piece by piece as it is told, to whoever takes it.
 * Layer: core, bottom. Used by the status. One thread at a time. */
#ifndef UDR_JSON_H
#define UDR_JSON_H

#include <apr.h>

#include <stdbool.h>

/* The caller's, all zero but for the first two. */
typedef struct udr_json_t {
    void (*write)(void *baton, const char *text, apr_size_t len); /* takes text as it is called; any length but 0 */
    void *baton;                                                  /* write's */
    bool needs_comma;                                             /* before the next value */
} udr_json_t;

/* The caller closes what it opens. key: of a member of an object; NULL: an element of an array, or the whole text.
 * Texts and keys are C strings of any bytes: what is no UTF-8 becomes U+FFFD, a byte each, for JSON has nothing else.
 */

void udr_json_open_object(udr_json_t *json, const char *key);
void udr_json_close_object(udr_json_t *json);
void udr_json_open_array(udr_json_t *json, const char *key);
void udr_json_close_array(udr_json_t *json);

void udr_json_null(udr_json_t *json, const char *key);

/* text: NULL: null. */
void udr_json_string(udr_json_t *json, const char *key, const char *text);

void udr_json_number(udr_json_t *json, const char *key, apr_uint64_t number);

/* A number in hundredths: 150 is 1.5. */
void udr_json_hundredths(udr_json_t *json, const char *key, apr_uint64_t number);

#endif
