/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the glue share: the module record, its configuration and what it remembers of a request.
 * Layer: glue (the files that know httpd). */
#ifndef MOD_UDSROUTE_H
#define MOD_UDSROUTE_H

#include "mod_udsroute/udr_member.h"

#include <httpd.h>

#include <http_config.h>
#include <http_log.h>

#include <string.h>

/* The number of a message: every WARNING and above has one, once, and docs/messages.md lists it. */
#define UDRNO(number) "UDR" #number ": "

/* Declares the module, too: LogLevel udsroute:… is what its messages go by. */
APLOG_USE_MODULE(udsroute);

/* The handler that routed requests get. */
#define UDR_HANDLER "udsroute"

/* SetHandler "udsroute:unix:…|http://…" begins so. */
#define UDR_HANDLER_PREFIX "udsroute:"

/* What a path maps to. Made when the configuration is read, never changed. */
typedef struct udr_route_t {
    const char *path;           /* the prefix, or the regular expression as written */
    const ap_regex_t *regex;    /* UDSRouteMatch; NULL: a prefix */
    const udr_target_t *target; /* as this line says it: its host is its own, the member may serve other lines too */
    udr_member_t *member;       /* NULL: "!", this path is not routed */
    bool is_raw;                /* nocanon */
    bool is_interpolated;       /* ${NAME} in the target's path comes from the request's environment */
} udr_route_t;

typedef enum udr_via_t { UDR_VIA_UNSET, UDR_VIA_OFF, UDR_VIA_ON, UDR_VIA_FULL, UDR_VIA_BLOCK } udr_via_t;

/* Of a server. Unset: -1, UDR_VIA_UNSET. */
typedef struct udr_server_config_t {
    apr_array_header_t *routes;  /* udr_route_t *: in the order of the configuration, the main server's first */
    apr_array_header_t *members; /* udr_member_t *: of this server's own lines */
    apr_interval_time_t timeout; /* UDSTimeout */
    udr_via_t via;               /* UDSVia */
    apr_interval_time_t park;    /* UDSPark */
    int loops;                   /* UDSLoops, the main server's; 0: Off */
    bool is_used;                /* the main server's: there are members, on any server */
} udr_server_config_t;

/* One line of UDSRouteReverse and its kin: `from` at the beginning is replaced by `to`. */
typedef struct udr_rewrite_t {
    const char *from;
    const char *to;
} udr_rewrite_t;

/* A SetHandler line; see mod_udsroute_sethandler.c. */
typedef struct udr_handler_line_t udr_handler_line_t;

/* Of a directory or location. Switches: -1 unset. */
typedef struct udr_dir_config_t {
    const udr_route_t *route;           /* UDSRoute in a <Location> */
    const udr_handler_line_t *handler;  /* SetHandler, whoever's; NULL: none */
    apr_array_header_t *urls;           /* udr_rewrite_t: UDSRouteReverse */
    apr_array_header_t *cookie_domains; /* udr_rewrite_t */
    apr_array_header_t *cookie_paths;   /* udr_rewrite_t */
    int preserve_host;
    int add_headers;
    int error_override;
    const apr_array_header_t *override_codes; /* int; NULL: every 4xx and 5xx */
} udr_dir_config_t;

/* What translate_name has found for a request; in r->request_config. */
typedef struct udr_match_t {
    udr_member_t *member;
    const char *host;   /* for the Host field: host and port of the line's target */
    const char *target; /* the request target to send: path and query, encoded */
    const char
        *filename; /* what r->filename was set to: something else there means that a rule has diverted the request */
} udr_match_t;

/* What is remembered of a client's connection; in c->conn_config. */
typedef struct udr_conn_t {
    bool is_nested;                /* within our own call of the process_connection hooks (mod_udsroute_stay.c) */
    bool has_earned;               /* the request just served was routed */
    int routed;                    /* requests that were routed so far */
    const request_rec *proto_set;  /* the request whose X-Forwarded-Proto was set in fixups */
    struct udr_adopted_t *adopted; /* NULL: it is the MPM's */
} udr_conn_t;

/* Made on first use. */
static inline udr_conn_t *udr_conn_get(conn_rec *c)
{
    udr_conn_t *conn = ap_get_module_config(c->conn_config, &udsroute_module);
    if (!conn) {
        conn = apr_pcalloc(c->pool, sizeof *conn);
        ap_set_module_config(c->conn_config, &udsroute_module, conn);
    }
    return conn;
}

static inline udr_server_config_t *udr_server_config(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &udsroute_module);
}

static inline udr_dir_config_t *udr_dir_config(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &udsroute_module);
}

/* NULL: not routed, or diverted since (RewriteRule in a <Location>, say). */
static inline const udr_match_t *udr_match_get(const request_rec *r)
{
    const udr_match_t *match = ap_get_module_config(r->request_config, &udsroute_module);
    return match && r->filename && strcmp(r->filename, match->filename) == 0 ? match : NULL;
}

#endif
