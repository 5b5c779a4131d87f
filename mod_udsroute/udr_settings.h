/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a member ("max=10 timeout=30 …"): one table gives each key its type, range, default and place.
 * Layer: core. Used by directives (glue) and, resolved, by member, pool, connection and exchange. */
#ifndef UDR_SETTINGS_H
#define UDR_SETTINGS_H

#include "mod_udsroute/udr_value.h"

#include <sys/types.h>

typedef enum udr_flush_t { UDR_FLUSH_AUTO, UDR_FLUSH_ON, UDR_FLUSH_OFF } udr_flush_t;

/* Who must have called listen(2) at the other end (SO_PEERCRED). */
typedef struct udr_peer_t {
    bool check_user;
    bool check_group;
    uid_t user;
    gid_t group;
    const char *text; /* as configured, for the log */
} udr_peer_t;

/* Unset is distinguishable: integers and times -1, sizes 0, pointers NULL, switches -1. udr_settings_resolve() fills
 * them in. */
typedef struct udr_settings_t {
    int min;                             /* idle connections a child keeps open; 0 … 10000, default 0 */
    int max;                             /* connections per child; 0: no limit */
    int smax;                            /* idle connections kept beyond ttl; default max; 0: none */
    apr_interval_time_t ttl;             /* default 60 s */
    apr_interval_time_t acquire;         /* bare numbers are milliseconds (as mod_proxy); default timeout */
    apr_interval_time_t connect_timeout; /* "connectiontimeout"; default 5 s */
    apr_interval_time_t timeout;         /* default: UDSTimeout, else httpd's Timeout */
    int reuse;                           /* "enablereuse", "disablereuse" (its opposite); default 1 */
    int flush;                           /* "flushpackets": udr_flush_t; auto, on, off; default auto */
    apr_interval_time_t flush_wait;      /* "flushwait": bare numbers are milliseconds; default 10 ms */
    apr_size_t buffer_size;              /* "iobuffersize": 4K … 16M, default 64K */
    apr_size_t field_size;               /* "responsefieldsize": 64 … 1M, default 16K */
    const udr_peer_t *peer;              /* "peer": user[:group], names or numbers; default none */
} udr_settings_t;

/* All unset. */
void udr_settings_init(udr_settings_t *settings);

/* Reads one key=value. note: set to NULL, or, for keys that are accepted but mean nothing over a Unix socket
 * (addressttl, keepalive, ping, secret, mapping), to a sentence for the log at level info. A key said twice with
 * "enablereuse"/"disablereuse": the later one counts. Returns NULL, or a sentence that names key, value and range or,
 * for an unknown key, the known ones; settings are then untouched. What it keeps comes from p. */
const char *udr_settings_set(udr_settings_t *settings, const char *key, const char *value, const char **note,
                             apr_pool_t *p);

/* Checks what only shows when all keys are read (min <= max, smax <= max). Returns NULL or a sentence. */
const char *udr_settings_check(const udr_settings_t *settings, apr_pool_t *p);

/* Fills every unset value with its default. timeout: what "timeout" falls back to, in microseconds. */
void udr_settings_resolve(udr_settings_t *settings, apr_interval_time_t timeout);

/* All values equal (pointers by content). */
bool udr_settings_equal(const udr_settings_t *a, const udr_settings_t *b);

#endif
