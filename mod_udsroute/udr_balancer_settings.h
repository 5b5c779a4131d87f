/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a balancer ("lbmethod=byrequests stickysession=ID …"): one table gives each key its type, range,
 * default and place. Layer: core. Used by directives (glue) and, resolved, by the balancer and its parts. */
#ifndef UDR_BALANCER_SETTINGS_H
#define UDR_BALANCER_SETTINGS_H

#include "mod_udsroute/udr_parameter.h"

#include <apr_tables.h>

/* Where a client's session is found. */
typedef struct udr_session_name_t {
    const char *cookie;    /* the cookie's name */
    const char *parameter; /* of a path or query parameter; the same, where one name is written */
} udr_session_name_t;

/* "stickysessionsep=Off": all of the value is the route. */
#define UDR_SEPARATOR_NONE 0

/* Unset is distinguishable: integers, switches and times -1, pointers NULL. udr_balancer_settings_resolve() fills them
 * in. */
typedef struct udr_balancer_settings_t {
    const char *method;                      /* "lbmethod", as written, checked; default "byrequests" */
    int max_attempts;                        /* "maxattempts": members tried after the first; 0 … 1000, default
                                                one less than members there can be */
    int no_failover;                         /* "nofailover": a session stays with its own member or fails; default 0 */
    const udr_session_name_t *session;       /* "stickysession"; default NULL: sessions are not sticky */
    int separator;                           /* "stickysessionsep", a byte: before the route in a session's value;
                                                UDR_SEPARATOR_NONE; default '.' */
    int semicolon_delimits;                  /* "scolonpathdelim": a ';' ends a path parameter, too; default 0 */
    const apr_array_header_t *failed_status; /* "failonstatus": int, 400 … 599; default NULL: none */
    int fail_on_timeout;                     /* "failontimeout"; default 0 */
    int force_recovery;                      /* "forcerecovery": when all are out, all are tried; default 1 */
    apr_interval_time_t timeout;             /* waiting for a member that can take the request; default 0: none */
    int growth;                              /* "growth": members that a pattern has at most; 1 … 1024, default 64 */
    const char *spill;                       /* URL of mod_proxy for what no member can take; default NULL: none */
} udr_balancer_settings_t;

/* The keys, for those who know others besides. */
extern const udr_parameter_table_t udr_balancer_settings_table;

/* All unset. */
void udr_balancer_settings_init(udr_balancer_settings_t *settings);

/* Reads one key=value. Returns NULL, or a sentence that names key, value and range or, for an unknown key, the known
 * ones; settings are then untouched. What it keeps comes from p. */
const char *udr_balancer_settings_set(udr_balancer_settings_t *settings, const char *key, const char *value,
                                      apr_pool_t *p);

/* What is unset becomes what it is in defaults. */
void udr_balancer_settings_inherit(udr_balancer_settings_t *settings, const udr_balancer_settings_t *defaults);

/* Fills every unset value with its default. members: how many there are; globs: patterns of further ones. */
void udr_balancer_settings_resolve(udr_balancer_settings_t *settings, int members, int globs);

#endif
