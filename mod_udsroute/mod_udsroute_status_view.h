/* SPDX-License-Identifier: Apache-2.0 */
/* What the status tells of server, balancers, members and routes: gathered in one place, once for each request, and
 * written by others as JSON, metrics or page. Layer: glue. Any thread; all is the request's own, or borrowed from the
 * configuration. */
#ifndef MOD_UDSROUTE_STATUS_VIEW_H
#define MOD_UDSROUTE_STATUS_VIEW_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_listener.h"
#include "mod_udsroute/udr_shared.h"

/* What an operator says goes before what is known of the member, and that before the part it has in its set. */
typedef enum udr_view_state_t {
    UDR_VIEW_UP,
    UDR_VIEW_DOWN,
    UDR_VIEW_DRAINING,
    UDR_VIEW_DISABLED,
    UDR_VIEW_STOPPED,
    UDR_VIEW_STANDBY,
    UDR_VIEW_SPARE,
    UDR_VIEW_UNKNOWN, /* it has neither served nor failed */
    UDR_VIEW_STATES
} udr_view_state_t;

typedef struct udr_view_health_t {
    const char *method;       /* of checks; "NONE": requests alone tell */
    udr_view_state_t verdict; /* up, down, unknown */
    apr_time_t last_check;    /* time of day; 0: never */
    const char *last_error;   /* in words; NULL: none */
    apr_uint64_t passes;      /* checks, since the server began */
    apr_uint64_t fails;
} udr_view_health_t;

typedef struct udr_view_member_t {
    const udr_member_t *member;
    const char *identity; /* 32 hexadecimal digits: the slot's, which no other member of any virtual host has; of one
                             from a directory with the number of its tenancy behind them */
    const char *name;     /* the target as written */
    const char *unique;   /* the same; where another one of the balancer has it, too, with the identity behind it */
    const char *socket;
    const char *scheme;
    const char *route; /* NULL: none */
    udr_view_state_t state;
    bool takes_all;      /* no operator and no configuration keeps requests from it */
    apr_uint64_t limit;  /* maxconn; 0: none */
    apr_uint64_t weight; /* in hundredths, as the next */
    apr_uint64_t configured_weight;
    unsigned int agent_percent; /* of it, as the member itself asks for (`hcagent`); 100: all */
    apr_uint64_t lbset;
    udr_view_health_t health;
    udr_backlog_t backlog; /* with UDR_VIEW_BACKLOGS */
    udr_shared_counts_t counts;
    apr_uint64_t elected;
    apr_uint64_t failed;
    apr_uint64_t retried;
    apr_uint64_t held;
    apr_uint64_t bytes_in;
    apr_uint64_t bytes_out;
    apr_uint64_t requests_by_class[6]; /* as in the slot */
    udr_histogram_summary_t latency;
    const udr_histogram_t *durations;               /* all of these, in shared memory */
    udr_history_point_t history[UDR_HISTORY_STEPS]; /* with UDR_VIEW_HISTORIES; oldest first */
} udr_view_member_t;

typedef struct udr_view_balancer_t {
    const char *name;     /* of a plain route: its member's */
    const char *unique;   /* the same; where virtual hosts have it, too, with the host behind it, and more if need be */
    const char *identity; /* 32 hexadecimal digits, which no other balancer has */
    const char *scope;    /* udr_balancer_t.scope */
    const char *host;     /* of its virtual host, with the port; NULL: the main server's */
    bool is_plain;        /* a plain route's own */
    const char *method;
    apr_array_header_t *members; /* udr_view_member_t * */
} udr_view_balancer_t;

typedef struct udr_view_route_t {
    const char *host;   /* as above */
    const char *path;   /* or a regular expression */
    const char *target; /* "!": not routed */
} udr_view_route_t;

typedef struct udr_view_t {
    const char *version;
    const char *mpm;
    apr_uint64_t generation;
    apr_uint64_t uptime_s;
    apr_uint64_t parked;
    apr_uint64_t tunnels;
    apr_array_header_t *balancers; /* udr_view_balancer_t * */
    apr_array_header_t *routes;    /* udr_view_route_t */
} udr_view_t;

/* What is costly, and not wanted by all. */
enum {
    UDR_VIEW_BACKLOGS = 1, /* the kernel is asked for all listeners of the machine */
    UDR_VIEW_HISTORIES = 2
};

/* parts: of those above, or'ed. From p. */
void udr_view_make(udr_view_t *view, unsigned int parts, apr_pool_t *p);

/* The member with this identity; NULL: there is none. *balancer: the one that it is in. */
const udr_view_member_t *udr_view_find(const udr_view_t *view, const char *identity,
                                       const udr_view_balancer_t **balancer);

/* "up", "down", ...: a constant. */
const char *udr_view_word(udr_view_state_t state);

#endif
