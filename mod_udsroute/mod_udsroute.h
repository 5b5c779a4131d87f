/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the glue share: the module record, its configuration and what it remembers of a request.
 * Layer: glue (the files that know httpd). */
#ifndef MOD_UDSROUTE_H
#define MOD_UDSROUTE_H

#include "mod_udsroute/udr_balancer.h"

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
#define UDR_STATUS_HANDLER "udsroute-status"

/* What a path maps to. Made when the configuration is read; where it leads is found once all of that has been read. */
typedef struct udr_route_t {
    const char *path;           /* the prefix, or the regular expression as written */
    const ap_regex_t *regex;    /* UDSRouteMatch; NULL: a prefix */
    const udr_target_t *target; /* as this line says it: its host is its own, the member may serve other lines, too;
                                   NULL: excluded */
    udr_balancer_t *balancer;   /* where it leads: a <UDSBalancer>, or a plain route's own; NULL: excluded */
    udr_member_t *member;       /* the only one of a plain route; NULL: a <UDSBalancer> picks one, or excluded */
    bool is_excluded;           /* "!": this path is not routed */
    bool is_raw;                /* nocanon */
    bool is_interpolated;       /* ${NAME} in the target's path comes from the request's environment */
    udr_source_t source;
    udr_settings_t settings;                   /* what a plain route's line says */
    udr_balancer_settings_t balancer_settings; /* what the line of a route to a <UDSBalancer> says */
} udr_route_t;

typedef enum udr_via_t { UDR_VIA_UNSET, UDR_VIA_OFF, UDR_VIA_ON, UDR_VIA_FULL, UDR_VIA_BLOCK } udr_via_t;

/* UDSHealthTemplate: what a member's hctemplate names. */
typedef struct udr_template_t {
    const char *name;
    udr_source_t source;
    udr_settings_t settings; /* only those of checks are set */
} udr_template_t;

/* Of a server. Unset: -1, UDR_VIA_UNSET. */
typedef struct udr_server_config_t {
    apr_array_header_t *routes;     /* udr_route_t *: in the order of the configuration, the main server's first */
    apr_array_header_t *lines;      /* udr_route_t *: of this server's own lines, those in its <Location>s included */
    apr_array_header_t *sections;   /* udr_dir_config_t *: its <Location>s that have a UDSSet */
    apr_array_header_t *reverses;   /* udr_reverse_t *: of its own lines */
    apr_array_header_t *balancers;  /* udr_balancer_t *: of its own lines, those of plain routes included */
    apr_array_header_t *members;    /* udr_member_t *: of all these balancers; those of patterns are the pickers' */
    apr_array_header_t *globs;      /* udr_glob_t *: of all these balancers */
    apr_array_header_t *conditions; /* udr_condition_t *: UDSHealthExpr */
    apr_array_header_t *templates;  /* udr_template_t *: UDSHealthTemplate */
    udr_balancer_t *open;           /* the <UDSBalancer> that is being read; NULL: none */
    apr_interval_time_t timeout;    /* UDSTimeout */
    udr_via_t via;                  /* UDSVia */
    apr_interval_time_t park;       /* UDSPark */
    int loops;                      /* UDSLoops, the main server's; 0: Off */
    bool is_used;                   /* the main server's: there are members, on any server */
} udr_server_config_t;

/* UDSRouteReverse … balancer://name/path: what its members say of themselves, known once all lines have been read. */
typedef struct udr_reverse_t {
    const udr_target_t *target; /* as the line says it */
    apr_array_header_t *urls;   /* const char *: each once; empty until then */
    udr_source_t source;
} udr_reverse_t;

/* One line of UDSRouteReverse and its kin: `from` at the beginning is replaced by `to`. */
typedef struct udr_rewrite_t {
    const char *from;
    const char *to;
    const udr_reverse_t *members; /* `from` is any of their URLs; NULL: it is what the line says */
} udr_rewrite_t;

/* A SetHandler line; see mod_udsroute_sethandler.c. */
typedef struct udr_handler_line_t udr_handler_line_t;

/* Of a directory or location. Switches: -1 unset. */
typedef struct udr_dir_config_t {
    udr_route_t *route;                 /* UDSRoute in a <Location> */
    udr_settings_t *set;                /* UDSSet there; NULL: none. Of this section only, not merged */
    udr_source_t set_source;            /* its last line */
    const udr_handler_line_t *handler;  /* SetHandler, whoever's; NULL: none */
    apr_array_header_t *urls;           /* udr_rewrite_t: UDSRouteReverse */
    apr_array_header_t *cookie_domains; /* udr_rewrite_t */
    apr_array_header_t *cookie_paths;   /* udr_rewrite_t */
    int preserve_host;
    int add_headers;
    int status_actions; /* UDSStatusActions */
    int error_override;
    const apr_array_header_t *override_codes; /* int; NULL: every 4xx and 5xx */
} udr_dir_config_t;

/* What translate_name has found for a request; in r->request_config. */
typedef struct udr_match_t {
    const udr_route_t *route; /* NULL: a SetHandler line */
    udr_balancer_t *balancer;
    udr_member_t *member; /* a plain route's; NULL: the balancer picks one */
    const char *host; /* for the Host field: host and port of the line's target; NULL: the member's, whichever it is */
    const char *target; /* the request target to send, path and query, encoded; without a member: what comes behind the
                           path of whichever it is. See udr_route_target() */
    const char *script; /* of a SetHandler line to a member that runs scripts: the file's name; NULL: what is run
                           follows from the target */
    const char
        *filename; /* what r->filename was set to: something else there means that a rule has diverted the request */
} udr_match_t;

/* What is remembered of a client's connection; in c->conn_config. */
typedef struct udr_conn_t {
    bool is_nested;                /* within our own call of the process_connection hooks (mod_udsroute_stay.c) */
    const server_rec *served_by;   /* whose routed request a worker has just served; NULL: none was, or not routed */
    bool is_name_wanted;           /* the log line of that needs the client's name */
    int routed;                    /* requests that were routed so far */
    struct udr_trial_t *trial;     /* it is on a loop without anybody knowing whether that pays; NULL: it does */
    const request_rec *proto_set;  /* the request whose X-Forwarded-Proto was set in fixups */
    struct udr_adopted_t *adopted; /* NULL: it is the MPM's */
    void *exchange_room;           /* for the exchanges of its requests, one after the other */
    bool is_room_taken;
    apr_bucket_brigade *body;  /* for the body bytes of its requests, one after the other */
    struct udr_input_t *input; /* its socket, as we read it; NULL: core reads it */
    struct udr_host_t *host;   /* what the Host of its requests means; NULL: not known yet */
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

/* A virtual host without lines of its own has the main server's configuration itself: who goes through all servers
 * leaves it out. */
static inline bool udr_server_has_own_config(const server_rec *s, const server_rec *main_server)
{
    return s == main_server || udr_server_config(s) != udr_server_config(main_server);
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
