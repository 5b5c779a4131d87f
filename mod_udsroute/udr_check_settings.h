/* SPDX-License-Identifier: Apache-2.0 */
/* How a member is checked: the values of "hcmethod", "hcuri" and their kin, whose rows are in the table of
 * udr_settings. Layer: core. Part of a member's settings; used by the check and by what runs checks. */
#ifndef UDR_CHECK_SETTINGS_H
#define UDR_CHECK_SETTINGS_H

#include "mod_udsroute/udr_value.h"

/* "hcmethod". */
typedef enum udr_check_method_t {
    UDR_CHECK_NONE,
    UDR_CHECK_CONNECT, /* connect(2) succeeds */
    UDR_CHECK_OPTIONS, /* HTTP/1.0, as the next two */
    UDR_CHECK_HEAD,
    UDR_CHECK_GET,
    UDR_CHECK_OPTIONS11, /* HTTP/1.1, as the next two */
    UDR_CHECK_HEAD11,
    UDR_CHECK_GET11,
    UDR_CHECK_METHODS
} udr_check_method_t;

/* Unset: as in udr_settings_t. */
typedef struct udr_check_settings_t {
    int method;                   /* udr_check_method_t; default NONE */
    const char *uri;              /* "hcuri", put behind the member's path; default NULL: nothing */
    apr_interval_time_t interval; /* "hcinterval": from one check to the next; 100 ms … 24 h, default 30 s */
    apr_interval_time_t timeout;  /* "hctimeout": a whole check; default the lesser of interval and 5 s */
    int passes;                   /* "hcpasses": good checks in a row that bring it back; 1 … 1000, default 1 */
    int fails;                    /* "hcfails": bad ones that put it out; 1 … 1000, default 1 */
    const char *expr;             /* "hcexpr": the name of what its answers are to be; default NULL: 2xx or 3xx */
    const char *template;         /* "hctemplate": the name of what its unset values come from; default NULL */
    int agent;                    /* "hcagent": it speaks for itself in its answers; default 0 */
} udr_check_settings_t;

/* For the table of parameters: NULL, or a sentence that begins with the value in quotes. */
const char *udr_check_settings_read_method(void *place, const char *text, apr_pool_t *p);
const char *udr_check_settings_read_uri(void *place, const char *text, apr_pool_t *p);
const char *udr_check_settings_read_name(void *place, const char *text, apr_pool_t *p);

/* As hcmethod says it: "GET11". Of what is unset or in no range: "NONE". */
const char *udr_check_method_name(int method);

/* "GET"; NULL: nothing is asked. */
const char *udr_check_method_verb(int method);

/* HTTP/1.1 is spoken. */
bool udr_check_method_is_11(int method);

/* A key of these, one that a template may have ("hctemplate" itself may not). */
bool udr_check_settings_is_key(const char *key);

void udr_check_settings_init(udr_check_settings_t *settings);

/* What contradicts itself, in a sentence with the remedy; NULL: nothing. What is unset contradicts nothing. */
const char *udr_check_settings_check(const udr_check_settings_t *settings, apr_pool_t *p);

/* Something is said of checks, but not which (hcmethod): most likely forgotten. */
bool udr_check_settings_lack_method(const udr_check_settings_t *settings);

void udr_check_settings_resolve(udr_check_settings_t *settings);
bool udr_check_settings_equal(const udr_check_settings_t *a, const udr_check_settings_t *b);

#endif
