/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_balancer_check.h"
#include "mod_udsroute/udr_protocol.h"

#include <apr_strings.h>

#include <string.h>

static const udr_settings_t *settings_of(const udr_balancer_t *balancer, int i)
{
    return &APR_ARRAY_IDX(balancer->members, i, const udr_member_t *)->settings;
}

static const udr_source_t *source_of(const udr_balancer_t *balancer, int i)
{
    return &APR_ARRAY_IDX(balancer->sources, i, udr_source_t);
}

/* The first of the members before `end` with this route; -1: none. */
static int find_route(const udr_balancer_t *balancer, const char *route, int end)
{
    for (int i = 0; i < end; i++) {
        const char *other = settings_of(balancer, i)->route;

        if (other && !strcmp(other, route)) {
            return i;
        }
    }
    return -1;
}

const char *udr_balancer_check_routes(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        const char *route = settings_of(balancer, i)->route;
        int other = route ? find_route(balancer, route, i) : -1;

        if (other >= 0) {
            *where = source_of(balancer, i);
            return apr_psprintf(p,
                                "route=%s is that of the member on %s, too, which gets the sessions of both as long as "
                                "it can: give each a route of its own",
                                route, udr_source_print_place(source_of(balancer, other), p));
        }
    }
    return NULL;
}

const char *udr_balancer_check_session(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p)
{
    if (!balancer->settings.session || balancer->globs->nelts) {
        return NULL; /* a pattern's members have routes of their own */
    }
    for (int i = 0; i < balancer->members->nelts; i++) {
        if (settings_of(balancer, i)->route) {
            return NULL;
        }
    }
    *where = &balancer->source;
    return apr_psprintf(
        p,
        "balancer '%s' has stickysession=%s, but none of its members has a route, so sessions stay with "
        "nobody: write route= in each UDSMember",
        balancer->name, balancer->settings.session->cookie);
}

const char *udr_balancer_check_redirects(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p)
{
    if (balancer->globs->nelts) {
        return NULL; /* it may be the route of a socket that is still to come */
    }
    for (int i = 0; i < balancer->members->nelts; i++) {
        const char *redirect = settings_of(balancer, i)->redirect;

        if (redirect && find_route(balancer, redirect, balancer->members->nelts) < 0) {
            *where = source_of(balancer, i);
            return apr_psprintf(p, "redirect=%s is no member's route in balancer '%s': write one that is", redirect,
                                balancer->name);
        }
    }
    return NULL;
}

const char *udr_balancer_check_spares(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        if (!(settings_of(balancer, i)->status & (UDR_STATUS_SPARE | UDR_STATUS_STANDBY))) {
            return NULL;
        }
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        const udr_settings_t *settings = &APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *)->settings;

        if (!(settings->status & (UDR_STATUS_SPARE | UDR_STATUS_STANDBY))) {
            return NULL;
        }
    }
    if (!udr_balancer_has_lines(balancer)) {
        return NULL;
    }
    *where = &balancer->source;
    return apr_psprintf(
        p,
        "every member of balancer '%s' is a spare (+R) or a hot standby (+H), and there is none to stand "
        "in for: leave that out where a member is to serve",
        balancer->name);
}

static const char *doubt_upgrade(const udr_target_t *target, const udr_settings_t *settings, apr_pool_t *p)
{
    const char *upgrade = settings->upgrade;

    if (!upgrade || !strcmp(upgrade, UDR_UPGRADE_NONE) || !target->scheme->protocol->is_cgi) {
        return NULL;
    }
    return apr_psprintf(p,
                        "upgrade=%s comes to nothing with %s://, as %s has no upgrades: leave it out, or let the "
                        "application listen on another socket for them, and write http:// for that",
                        upgrade, target->scheme->name, target->scheme->protocol->name);
}

const char *udr_balancer_check_upgrade(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p)
{
    const char *doubt = NULL;

    for (int i = 0; i < balancer->members->nelts && !doubt; i++) {
        const udr_member_t *member = APR_ARRAY_IDX(balancer->members, i, const udr_member_t *);
        doubt = doubt_upgrade(member->target, &member->settings, p);
        *where = source_of(balancer, i);
    }
    for (int i = 0; i < balancer->globs->nelts && !doubt; i++) {
        const udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *);
        doubt = doubt_upgrade(glob->target, &glob->settings, p);
        *where = &glob->source;
    }
    return doubt;
}

const char *udr_balancer_check_maxconn(const udr_balancer_t *route, const udr_balancer_t *earlier,
                                       const udr_source_t **where, apr_pool_t *p)
{
    const udr_member_t *member = APR_ARRAY_IDX(route->members, 0, const udr_member_t *);
    const udr_member_t *other = APR_ARRAY_IDX(earlier->members, 0, const udr_member_t *);

    if (member->settings.maxconn == other->settings.maxconn || !udr_member_is_same(member, other)) {
        return NULL;
    }
    *where = &route->source;
    return apr_psprintf(
        p,
        "maxconn=%d of the route on %s is in effect for this one, too, which says %d: requests in flight are counted "
        "over both, so write the same, or a <UDSBalancer> for one of them",
        other->settings.maxconn, udr_source_print_place(&earlier->source, p), member->settings.maxconn);
}
