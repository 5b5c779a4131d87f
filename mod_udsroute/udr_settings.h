/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a member ("max=10 timeout=30 …"): one table gives each key its type, range, default and place.
 * Layer: core. Used by directives (glue) and, resolved, by member, pool, connection and exchange. */
#ifndef UDR_SETTINGS_H
#define UDR_SETTINGS_H

#include "mod_udsroute/udr_check_settings.h"
#include "mod_udsroute/udr_parameter.h"
#include "mod_udsroute/udr_peer.h"

typedef enum udr_flush_t { UDR_FLUSH_AUTO, UDR_FLUSH_ON, UDR_FLUSH_OFF } udr_flush_t;

/* "status": bits. What the letters mean is mod_proxy's. */
#define UDR_STATUS_DISABLED      0x01 /* D: no requests */
#define UDR_STATUS_STOPPED       0x02 /* S: no requests */
#define UDR_STATUS_IGNORE_ERRORS 0x04 /* I: is never put out by a failure */
#define UDR_STATUS_SPARE         0x08 /* R: stands in for a member of its set that can take none */
#define UDR_STATUS_STANDBY       0x10 /* H: is used when no other of its set can take one */
#define UDR_STATUS_DRAINING      0x20 /* N: requests of sessions that are its own, no others */
#define UDR_STATUS_ERROR         0x40 /* E: begins as if it had failed */

/* Unset is distinguishable: integers and times -1, sizes 0, pointers NULL, switches -1. udr_settings_resolve() fills
 * them in. */
typedef struct udr_settings_t {
    int min;                             /* idle connections a child keeps open; 0 … 10000, default 0 */
    int max;                             /* connections per child; 0: no limit */
    int smax;                            /* idle connections kept beyond ttl; default max; 0: none */
    apr_interval_time_t ttl;             /* default 60 s; 5 s where the runtime has a process for each connection */
    apr_interval_time_t acquire;         /* bare numbers are milliseconds (as mod_proxy); default timeout */
    apr_interval_time_t connect_timeout; /* "connectiontimeout"; default 5 s */
    apr_interval_time_t timeout;         /* default: UDSTimeout, else httpd's Timeout */
    int reuse;                           /* "enablereuse", "disablereuse" (its opposite); default 1 */
    int flush;                           /* "flushpackets": udr_flush_t; auto, on, off; default auto */
    apr_interval_time_t flush_wait;      /* "flushwait": bare numbers are milliseconds; default 10 ms */
    apr_size_t buffer_size;              /* "iobuffersize": 4K … 16M, default 64K */
    apr_size_t field_size;               /* "responsefieldsize": 64 … 1M, default 16K */
    const char *upgrade;                 /* protocols that may be upgraded to: a list of names, or one of the two below;
                                            default "websocket" */
    const udr_peer_t *peer;              /* "peer": user[:group], names or numbers; default none */
    int maxconn;                         /* requests in flight on the member, all children together; 0: no
                                            limit; default 0 */
    apr_interval_time_t queue;           /* waiting under "maxconn"; 0: none; default timeout */
    apr_interval_time_t hold;            /* waiting for a member that has just gone; 0: none; default 2 s */
    apr_interval_time_t retry;           /* first pause of a member that has failed; default 1 s */
    apr_interval_time_t slow_start;      /* "slowstart": from coming up to the full weight; default 0 */
    int load_factor;                     /* in hundredths: 100 … 10000, default 100 */
    int lbset;                           /* lower ones are used first; 0 … 99, default 0 */
    const char *route;                   /* of its sticky sessions; default NULL: none */
    const char *redirect;                /* the route that takes its sessions over while it is out; default NULL */
    int status;                          /* UDR_STATUS_…; default 0 */
    udr_check_settings_t check;          /* "hcmethod" and its kin */
} udr_settings_t;

#define UDR_UPGRADE_ANY  "ANY"
#define UDR_UPGRADE_NONE "NONE"

/* The keys, for those who know others besides. */
extern const udr_parameter_table_t udr_settings_table;

/* All unset. */
void udr_settings_init(udr_settings_t *settings);

/* Reads one key=value. note: set to NULL, or, for keys that are accepted but mean nothing over a Unix socket
 * (addressttl, keepalive, ping, secret, mapping), to a sentence for the log at level info. A key said twice with
 * "enablereuse"/"disablereuse": the later one counts. Returns NULL, or a sentence that names key, value and range or,
 * for an unknown key, the known ones; settings are then untouched. What it keeps comes from p. */
const char *udr_settings_set(udr_settings_t *settings, const char *key, const char *value, const char **note,
                             apr_pool_t *p);

/* Checks what only shows when all keys are read (min <= max, smax <= max, …). Returns NULL or a sentence. */
const char *udr_settings_check(const udr_settings_t *settings, apr_pool_t *p);

/* The key says something of one member alone (route, redirect, status): it is no default for several. */
bool udr_settings_is_individual(const char *key);

/* What is unset becomes what it is in defaults. */
void udr_settings_inherit(udr_settings_t *settings, const udr_settings_t *defaults);

/* Fills every unset value with its default. timeout: what "timeout" falls back to, in microseconds. is_exclusive: of
 * the member's protocol, see udr_protocol_t. */
void udr_settings_resolve(udr_settings_t *settings, apr_interval_time_t timeout, bool is_exclusive);

/* All values equal (pointers by content). */
bool udr_settings_equal(const udr_settings_t *a, const udr_settings_t *b);

#endif
