/* SPDX-License-Identifier: Apache-2.0 */
/* What a route leads to: the members of a <UDSBalancer>, or the only one of a plain route, with what is configured for
 * them. Layer: core. Made while the configuration is read, by one thread; used by routes and by whatever picks. */
#ifndef UDR_BALANCER_H
#define UDR_BALANCER_H

#include "mod_udsroute/udr_balancer_settings.h"
#include "mod_udsroute/udr_glob.h"
#include "mod_udsroute/udr_member.h"
#include "mod_udsroute/udr_source.h"

typedef struct udr_balancer_t {
    const char *name;                 /* lower case; NULL: a plain route's own */
    const char *scope;                /* what tells it from those of this name elsewhere; "": a plain route's own */
    udr_source_t source;              /* where it is defined */
    udr_balancer_settings_t settings; /* unset values are filled in once the whole configuration has been read */
    udr_settings_t defaults;          /* UDSSet: what its members' own lines leave unset */
    apr_array_header_t *members;      /* udr_member_t *: in the order of the configuration, its own */
    apr_array_header_t *globs;        /* udr_glob_t *: likewise; their members, as they come and go, are the picker's */
    apr_uint32_t slot;                /* what all children share of it: whose turn it is. UDR_SHARED_NONE: there was no
                                         room for it and its members */
    struct udr_picker_t *picker;      /* this child's; NULL outside a child */
    apr_array_header_t *sources;      /* udr_source_t: where the members are defined, in the same order */
    _Atomic apr_time_t slow_until;    /* this child's loops leave reading its requests to workers until then */
} udr_balancer_t;

/* An empty one; all is unset. name: as udr_target_parse_balancer_name() gives it; NULL: a plain route's own. Its scope
 * is the name, until somebody who knows of virtual hosts says more. */
udr_balancer_t *udr_balancer_create(const char *name, const udr_source_t *source, apr_pool_t *p);

/* Adds a member, made from p. Returns NULL, or a sentence that names another member's line when one with this address,
 * protocol and path is there already, or one that speaks another protocol; nothing is added then. */
const char *udr_balancer_add(udr_balancer_t *balancer, const udr_target_t *target, const udr_settings_t *settings,
                             const udr_source_t *source, apr_pool_t *p);

/* The same for a pattern. */
const char *udr_balancer_add_glob(udr_balancer_t *balancer, const udr_target_t *target, const udr_settings_t *settings,
                                  const udr_source_t *source, apr_pool_t *p);

/* Its members are asked as CGI programs are (udr_protocol_t). */
bool udr_balancer_is_cgi(const udr_balancer_t *balancer);

/* "balancer app", or "member unix:/run/app.sock|http://localhost" where it has no name; for logs. From p. */
const char *udr_balancer_print(const udr_balancer_t *balancer, apr_pool_t *p);

/* Is there a UDSMember in it? (It may be that nobody is a member by it now.) */
bool udr_balancer_has_lines(const udr_balancer_t *balancer);

/* How many members there can be at once: those of the configuration come first, then the globs' berths. Once it is
 * resolved. */
int udr_balancer_places(const udr_balancer_t *balancer);

/* Reads one key=value of UDSSet: a balancer's, or a member's, which is then the default of all ("timeout", which both
 * have, is the balancer's). Results as with udr_settings_set(); route, redirect and status are refused. */
const char *udr_balancer_set(udr_balancer_t *balancer, const char *key, const char *value, const char **note,
                             apr_pool_t *p);

/* The one of this name, in any case, among balancers (udr_balancer_t *); NULL: none. */
udr_balancer_t *udr_balancer_find(const apr_array_header_t *balancers, const char *name);

/* All lines are read: the members take over the defaults. Returns NULL, or a sentence on what contradicts itself then,
 * and sets *where to the member's line. */
const char *udr_balancer_inherit(udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p);

/* Fills every unset value of balancer and members with its default. timeout: what a member's "timeout" falls back to,
 * in microseconds. */
void udr_balancer_resolve(udr_balancer_t *balancer, apr_interval_time_t timeout);

#endif
