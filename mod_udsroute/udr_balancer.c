/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_balancer.h"
#include "mod_udsroute/udr_protocol.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

udr_balancer_t *udr_balancer_create(const char *name, const udr_source_t *source, apr_pool_t *p)
{
    udr_balancer_t *balancer = apr_pcalloc(p, sizeof *balancer);

    balancer->name = name;
    balancer->scope = name ? name : "";
    balancer->source = *source;
    udr_balancer_settings_init(&balancer->settings);
    udr_settings_init(&balancer->defaults);
    balancer->members = apr_array_make(p, name ? 8 : 1, sizeof(udr_member_t *));
    balancer->globs = apr_array_make(p, 1, sizeof(udr_glob_t *));
    balancer->sources = apr_array_make(p, name ? 8 : 1, sizeof(udr_source_t));
    return balancer;
}

/* "" and "/" lead to the same place: behind either comes a path that begins with a slash. */
static apr_size_t path_length(const char *path)
{
    apr_size_t len = strlen(path);

    return len && path[len - 1] == '/' ? len - 1 : len;
}

static bool says_the_same(const udr_target_t *a, const udr_target_t *b)
{
    apr_size_t len = path_length(a->path);

    return a->scheme->protocol == b->scheme->protocol && path_length(b->path) == len && !memcmp(a->path, b->path, len);
}

/* More than udr_member_is_same(): what differs in writing only would be two members that are one. */
static bool leads_to_same(const udr_target_t *a, const udr_target_t *b)
{
    return says_the_same(a, b) && udr_address_equal(a->address, b->address);
}

/* The target of the first line, and its place; NULL: there is none yet. */
static const udr_target_t *first_target(const udr_balancer_t *balancer, const udr_source_t **source)
{
    if (balancer->members->nelts) {
        *source = &APR_ARRAY_IDX(balancer->sources, 0, udr_source_t);
        return APR_ARRAY_IDX(balancer->members, 0, const udr_member_t *)->target;
    }
    if (balancer->globs->nelts) {
        const udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, 0, const udr_glob_t *);
        *source = &glob->source;
        return glob->target;
    }
    return NULL;
}

/* A request is made ready for members of one protocol before one of them is picked. */
static const char *check_protocol(const udr_balancer_t *balancer, const udr_target_t *target, apr_pool_t *p)
{
    const udr_source_t *source = NULL;
    const udr_target_t *first = first_target(balancer, &source);
    if (!first || first->scheme->protocol == target->scheme->protocol) {
        return NULL;
    }
    return apr_psprintf(
        p,
        "'%s' speaks %s, but '%s', on %s, speaks %s: all members of a balancer speak the same protocol; "
        "correct one of them, or make it two balancers",
        target->text, target->scheme->protocol->name, first->text, udr_source_print_place(source, p),
        first->scheme->protocol->name);
}

bool udr_balancer_is_cgi(const udr_balancer_t *balancer)
{
    const udr_source_t *source;
    const udr_target_t *first = first_target(balancer, &source);
    return first && first->scheme->protocol->is_cgi;
}

const char *udr_balancer_add(udr_balancer_t *balancer, const udr_target_t *target, const udr_settings_t *settings,
                             const udr_source_t *source, apr_pool_t *p)
{
    const char *error = check_protocol(balancer, target, p);
    if (error) {
        return error;
    }
    for (int i = 0; i < balancer->members->nelts; i++) {
        const udr_member_t *other = APR_ARRAY_IDX(balancer->members, i, udr_member_t *);

        if (leads_to_same(other->target, target)) {
            return apr_psprintf(
                p,
                "'%s' leads where '%s' does, on %s: a member is its socket and path, whatever the host; "
                "give each its own, or the one a larger loadfactor",
                target->text, other->target->text,
                udr_source_print_place(&APR_ARRAY_IDX(balancer->sources, i, udr_source_t), p));
        }
    }
    APR_ARRAY_PUSH(balancer->members, udr_member_t *) = udr_member_create(target, settings, p);
    APR_ARRAY_PUSH(balancer->sources, udr_source_t) = *source;
    return NULL;
}

const char *udr_balancer_add_glob(udr_balancer_t *balancer, const udr_target_t *target, const udr_settings_t *settings,
                                  const udr_source_t *source, apr_pool_t *p)
{
    const char *error = check_protocol(balancer, target, p);
    if (error) {
        return error;
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        const udr_glob_t *other = APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *);

        if (leads_to_same(other->target, target)) {
            return apr_psprintf(p,
                                "'%s' is the pattern of '%s' on %s, too: each socket is a member once, leave one out",
                                target->text, other->target->text, udr_source_print_place(&other->source, p));
        }
    }
    if (settings->route) {
        return apr_psprintf(p,
                            "route=%s would be that of every socket that matches '%s': leave it out, the route of each "
                            "is its file's name without the suffix",
                            settings->route, target->text);
    }
    APR_ARRAY_PUSH(balancer->globs, udr_glob_t *) = udr_glob_create(target, settings, source, p);
    return NULL;
}

const char *udr_balancer_print(const udr_balancer_t *balancer, apr_pool_t *p)
{
    return balancer->name
               ? apr_pstrcat(p, "balancer ", balancer->name, NULL)
               : apr_pstrcat(p, "member ", APR_ARRAY_IDX(balancer->members, 0, udr_member_t *)->target->text, NULL);
}

bool udr_balancer_has_lines(const udr_balancer_t *balancer)
{
    return balancer->members->nelts > 0 || balancer->globs->nelts > 0;
}

int udr_balancer_places(const udr_balancer_t *balancer)
{
    return balancer->members->nelts + balancer->globs->nelts * balancer->settings.growth;
}

const char *udr_balancer_set(udr_balancer_t *balancer, const char *key, const char *value, const char **note,
                             apr_pool_t *p)
{
    *note = NULL;
    if (udr_parameter_find(&udr_balancer_settings_table, key)) {
        return udr_balancer_settings_set(&balancer->settings, key, value, p);
    }
    if (udr_settings_is_individual(key)) {
        return apr_psprintf(p, "%s is a single member's: write it in the line of its UDSMember", key);
    }
    if (udr_parameter_find(&udr_settings_table, key)) {
        return udr_settings_set(&balancer->defaults, key, value, note, p);
    }
    return udr_parameter_unknown(key, &udr_balancer_settings_table, &udr_settings_table, p);
}

udr_balancer_t *udr_balancer_find(const apr_array_header_t *balancers, const char *name)
{
    for (int i = 0; i < balancers->nelts; i++) {
        udr_balancer_t *balancer = APR_ARRAY_IDX(balancers, i, udr_balancer_t *);

        if (balancer->name && !strcasecmp(balancer->name, name)) {
            return balancer;
        }
    }
    return NULL;
}

const char *udr_balancer_inherit(udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        udr_member_t *member = APR_ARRAY_IDX(balancer->members, i, udr_member_t *);
        const char *error;

        udr_settings_inherit(&member->settings, &balancer->defaults);
        if ((error = udr_settings_check(&member->settings, p))) {
            *where = &APR_ARRAY_IDX(balancer->sources, i, udr_source_t);
            return error;
        }
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, i, udr_glob_t *);
        const char *error;

        udr_settings_inherit(&glob->settings, &balancer->defaults);
        if ((error = udr_settings_check(&glob->settings, p))) {
            *where = &glob->source;
            return error;
        }
    }
    return NULL;
}

/* Whose the sockets are that match two lines: a single member's, with the parameters of its own line, or else those of
 * the first pattern. */
static void find_others(const udr_balancer_t *balancer, int index)
{
    udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, index, udr_glob_t *);

    for (int i = 0; i < balancer->members->nelts; i++) {
        const udr_target_t *target = APR_ARRAY_IDX(balancer->members, i, const udr_member_t *)->target;

        if (says_the_same(glob->target, target)) {
            APR_ARRAY_PUSH(glob->others, const udr_target_t *) = target;
        }
    }
    for (int i = 0; i < index; i++) {
        const udr_target_t *target = APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *)->target;

        if (says_the_same(glob->target, target)) {
            APR_ARRAY_PUSH(glob->others, const udr_target_t *) = target;
        }
    }
}

static void resolve(udr_settings_t *settings, const udr_target_t *target, apr_interval_time_t timeout)
{
    udr_settings_resolve(settings, timeout, target->scheme->protocol->is_exclusive);
}

void udr_balancer_resolve(udr_balancer_t *balancer, apr_interval_time_t timeout)
{
    udr_balancer_settings_resolve(&balancer->settings, balancer->members->nelts, balancer->globs->nelts);
    for (int i = 0; i < balancer->globs->nelts; i++) {
        udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, i, udr_glob_t *);

        glob->growth = balancer->settings.growth;
        glob->first = balancer->members->nelts + i * glob->growth;
        resolve(&glob->settings, glob->target, timeout);
        find_others(balancer, i);
    }
    for (int i = 0; i < balancer->members->nelts; i++) {
        udr_member_t *member = APR_ARRAY_IDX(balancer->members, i, udr_member_t *);

        resolve(&member->settings, member->target, timeout);
    }
}
