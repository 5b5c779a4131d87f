/* SPDX-License-Identifier: Apache-2.0 */
/* When the whole configuration has been read: where routes lead, what can't be, what is hardly meant, and the defaults.
 */
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_config_private.h"
#include "mod_udsroute/mod_udsroute_reverse.h"
#include "mod_udsroute/udr_balancer_check.h"

#include <apr_strings.h>

#define PARK_DEFAULT  apr_time_from_msec(2)
#define LOOPS_DEFAULT 1

/* Of a run over all servers. */
typedef struct check_t {
    const udr_server_config_t *main; /* the main server's */
    udr_server_config_t *config;     /* the server's at hand */
    apr_pool_t *p;                   /* lives as long as the configuration */
    apr_pool_t *ptemp;
    bool has_failed;
} check_t;

/* --- plain routes ----------------------------------------------------------------------------------------------------
 */

udr_balancer_t *udr_config_single(udr_server_config_t *config, const udr_target_t *target,
                                  const udr_settings_t *settings, const udr_source_t *source, apr_pool_t *p)
{
    udr_balancer_t *made = udr_balancer_create(NULL, source, p);
    (void)udr_balancer_add(made, target, settings, source, p); /* the first can't be there twice */
    udr_member_t *member = APR_ARRAY_IDX(made->members, 0, udr_member_t *);
    for (int i = 0; i < config->balancers->nelts; i++) {
        udr_balancer_t *balancer = APR_ARRAY_IDX(config->balancers, i, udr_balancer_t *);
        const udr_member_t *other = balancer->name ? NULL : APR_ARRAY_IDX(balancer->members, 0, const udr_member_t *);
        if (other && udr_member_is_same(other, member) && udr_settings_equal(&other->settings, settings)) {
            return balancer;
        }
    }
    APR_ARRAY_PUSH(config->balancers, udr_balancer_t *) = made;
    APR_ARRAY_PUSH(config->members, udr_member_t *) = member;
    return made;
}

/* What is wrong with a UDSSet in this <Location>, or NULL. */
static const char *find_section_error(const udr_dir_config_t *dir, apr_pool_t *p)
{
    if (!dir->route) {
        return "there is no UDSRoute in this section to set anything of: write both into one section, or the "
               "parameters "
               "behind the route's target";
    }
    if (dir->route->is_excluded) {
        return "the UDSRoute of this section is '!', and leads nowhere: leave the one or the other out";
    }
    if (dir->route->target->balancer) {
        return apr_psprintf(
            p,
            "the UDSRoute of this section leads to %s: write UDSSet in <UDSBalancer %s>, or the balancer's "
            "parameters behind the target",
            dir->route->target->text, dir->route->target->balancer);
    }
    return NULL;
}

static void report_contradiction(check_t *check, const udr_source_t *source, const char *error)
{
    check->has_failed = true;
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, NULL, UDRNO(0026) "%s: with what UDSSet says besides, %s",
                 udr_source_print(source, check->ptemp), error);
}

/* Says what is wrong with hctemplate or hcexpr. error: NULL: nothing. */
static void report_health(check_t *check, const udr_source_t *source, const char *error)
{
    if (error) {
        check->has_failed = true;
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, NULL, UDRNO(0042) "%s: %s",
                     udr_source_print(source, check->ptemp), error);
    }
}

static void apply_template(check_t *check, udr_settings_t *settings, const udr_source_t *source)
{
    report_health(check, source, udr_config_apply_template(settings, check->config, check->main, check->ptemp));
}

static void bind_section(check_t *check, const udr_dir_config_t *dir)
{
    const char *error = find_section_error(dir, check->ptemp);
    if (error) {
        check->has_failed = true;
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, NULL, UDRNO(0025) "%s: %s",
                     udr_source_print(&dir->set_source, check->ptemp), error);
        return;
    }
    apply_template(check, &dir->route->settings, &dir->route->source);
    apply_template(check, dir->set, &dir->set_source);
    udr_settings_inherit(&dir->route->settings, dir->set);
    if ((error = udr_settings_check(&dir->route->settings, check->ptemp))) {
        report_contradiction(check, &dir->route->source, error);
    }
}

/* --- what leads to a <UDSBalancer> ----------------------------------------------------------------------------------
 */

static const char *list_names(const char *list, const apr_array_header_t *balancers, apr_pool_t *p)
{
    for (int i = 0; i < balancers->nelts; i++) {
        const char *name = APR_ARRAY_IDX(balancers, i, const udr_balancer_t *)->name;
        if (name) {
            list = list ? apr_pstrcat(p, list, ", ", name, NULL) : name;
        }
    }
    return list;
}

static void report_unknown(check_t *check, const udr_source_t *source, const char *name)
{
    const char *known = list_names(NULL, check->config->balancers, check->ptemp);
    if (check->config != check->main) {
        known = list_names(known, check->main->balancers, check->ptemp);
    }
    check->has_failed = true;
    ap_log_error(
        APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, NULL,
        UDRNO(0023) "%s: there is no balancer '%s' in this server: write a <UDSBalancer %s> with its members%s%s",
        udr_source_print(source, check->ptemp), name, name, known ? ", or one of those that there are: " : "",
        known ? known : "");
}

static void report_empty(check_t *check, const udr_route_t *route)
{
    check->has_failed = true;
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, NULL,
                 UDRNO(0024) "%s: balancer '%s' (%s) has no member to route to: write a UDSMember in it",
                 udr_source_print(&route->source, check->ptemp), route->target->balancer,
                 udr_source_print_place(&route->balancer->source, check->ptemp));
}

/* The one of this name, the server's own or the main server's. NULL: there is none, which has been reported. */
static udr_balancer_t *find_balancer(check_t *check, const udr_source_t *source, const char *name)
{
    udr_balancer_t *balancer = udr_balancer_find(check->config->balancers, name);
    if (!balancer) {
        balancer = udr_balancer_find(check->main->balancers, name);
    }
    if (!balancer) {
        report_unknown(check, source, name);
    }
    return balancer;
}

static void bind_balancer_route(check_t *check, udr_route_t *route)
{
    route->balancer = find_balancer(check, &route->source, route->target->balancer);
    if (!route->balancer) {
        return;
    }
    if (!udr_balancer_has_lines(route->balancer)) {
        report_empty(check, route);
    }
    udr_balancer_settings_inherit(&route->balancer->settings, &route->balancer_settings);
}

static void bind_route(check_t *check, udr_route_t *route)
{
    if (route->is_excluded) {
        return;
    }
    if (route->target->balancer) {
        bind_balancer_route(check, route);
        return;
    }
    apply_template(check, &route->settings, &route->source);
    route->balancer = udr_config_single(check->config, route->target, &route->settings, &route->source, check->p);
    route->member = APR_ARRAY_IDX(route->balancer->members, 0, udr_member_t *);
}

static void bind_reverse(check_t *check, udr_reverse_t *reverse)
{
    const udr_balancer_t *balancer = find_balancer(check, &reverse->source, reverse->target->balancer);
    if (balancer) {
        udr_reverse_bind(reverse, balancer, check->p);
    }
}

/* --- balancers -------------------------------------------------------------------------------------------------------
 */

/* Each line's template stands behind what the line itself says, and before UDSSet. */
static void apply_templates(check_t *check, udr_balancer_t *balancer)
{
    if (!balancer->name) {
        return; /* its line has been completed */
    }
    for (int i = 0; i < balancer->members->nelts; i++) {
        apply_template(check, &APR_ARRAY_IDX(balancer->members, i, udr_member_t *)->settings,
                       &APR_ARRAY_IDX(balancer->sources, i, udr_source_t));
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, i, udr_glob_t *);
        apply_template(check, &glob->settings, &glob->source);
    }
    apply_template(check, &balancer->defaults, &balancer->source);
}

static void bind_condition(check_t *check, const struct udr_condition_t **condition, const udr_settings_t *settings,
                           const udr_source_t *source)
{
    report_health(check, source,
                  udr_config_bind_condition(condition, settings, check->config, check->main, check->ptemp));
}

static void bind_conditions(check_t *check, const udr_balancer_t *balancer)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        udr_member_t *member = APR_ARRAY_IDX(balancer->members, i, udr_member_t *);
        bind_condition(check, &member->condition, &member->settings,
                       &APR_ARRAY_IDX(balancer->sources, i, udr_source_t));
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, i, udr_glob_t *);
        bind_condition(check, &glob->condition, &glob->settings, &glob->source);
        glob->needs_check = glob->settings.check.method > UDR_CHECK_NONE;
    }
}

static void bind_balancer(check_t *check, udr_balancer_t *balancer)
{
    const udr_source_t *where = NULL;
    apply_templates(check, balancer);
    const char *error = udr_balancer_inherit(balancer, &where, check->ptemp);
    if (error) {
        report_contradiction(check, where, error);
    }
    bind_conditions(check, balancer);
    if (balancer->name) {
        apr_array_cat(check->config->members, balancer->members);
        apr_array_cat(check->config->globs, balancer->globs);
    }
}

static void bind_server(check_t *check)
{
    const udr_server_config_t *config = check->config;
    for (int i = 0; i < config->sections->nelts; i++) {
        bind_section(check, APR_ARRAY_IDX(config->sections, i, const udr_dir_config_t *));
    }
    for (int i = 0; i < config->lines->nelts; i++) {
        bind_route(check, APR_ARRAY_IDX(config->lines, i, udr_route_t *));
    }
    for (int i = 0; i < config->reverses->nelts; i++) {
        bind_reverse(check, APR_ARRAY_IDX(config->reverses, i, udr_reverse_t *));
    }
    for (int i = 0; i < config->balancers->nelts; i++) {
        bind_balancer(check, APR_ARRAY_IDX(config->balancers, i, udr_balancer_t *));
    }
}

int udr_config_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    check_t check = {.main = udr_server_config(main_server), .p = pconf, .ptemp = ptemp};
    (void)plog;
    for (server_rec *s = main_server; s; s = s->next) {
        if (udr_server_has_own_config(s, main_server)) {
            check.config = udr_server_config(s);
            bind_server(&check);
        }
    }
    return check.has_failed ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

/* --- the defaults, and warnings --------------------------------------------------------------------------------------
 */

/* Each kind of doubt has a number of its own. */
static void warn(const server_rec *s, const udr_balancer_t *balancer, apr_pool_t *p)
{
    const udr_source_t *where = NULL;
    const char *doubt = udr_balancer_check_routes(balancer, &where, p);
    if (doubt) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, UDRNO(0027) "%s: %s", udr_source_print(where, p), doubt);
    }
    if ((doubt = udr_balancer_check_session(balancer, &where, p))) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, UDRNO(0028) "%s: %s", udr_source_print(where, p), doubt);
    }
    if ((doubt = udr_balancer_check_redirects(balancer, &where, p))) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, UDRNO(0029) "%s: %s", udr_source_print(where, p), doubt);
    }
    if ((doubt = udr_balancer_check_spares(balancer, &where, p))) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, UDRNO(0030) "%s: %s", udr_source_print(where, p), doubt);
    }
}

/* Plain routes share what is counted of a member, over all virtual hosts. Of several that differ the last one is
 * compared with the one before. */
static void warn_of_maxconn(server_rec *main_server, const server_rec *s, int index, apr_pool_t *p)
{
    const apr_array_header_t *own = udr_server_config(s)->balancers;
    const udr_source_t *where = NULL;
    const char *doubt = NULL;
    for (const server_rec *t = main_server; t; t = t == s ? NULL : t->next) {
        const apr_array_header_t *balancers = udr_server_config(t)->balancers;
        int count = t == s ? index : balancers->nelts;
        for (int i = 0; udr_server_has_own_config(t, main_server) && i < count; i++) {
            const udr_balancer_t *earlier = APR_ARRAY_IDX(balancers, i, const udr_balancer_t *);
            const char *found =
                earlier->name
                    ? NULL
                    : udr_balancer_check_maxconn(APR_ARRAY_IDX(own, index, const udr_balancer_t *), earlier, &where, p);
            doubt = found ? found : doubt;
        }
    }
    if (doubt) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, UDRNO(0038) "%s: %s", udr_source_print(where, p), doubt);
    }
}

/* Before the defaults are filled in. */
static void warn_of_unchecked(const server_rec *s, const udr_settings_t *settings, const udr_source_t *source,
                              apr_pool_t *p)
{
    if (udr_check_settings_lack_method(&settings->check)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     UDRNO(0043) "%s: checks are described but not asked for: write hcmethod=GET, say, or "
                                 "hcmethod=NONE for a member that is not to be checked",
                     udr_source_print(source, p));
    }
}

static void warn_of_checks(const server_rec *s, const udr_balancer_t *balancer, apr_pool_t *p)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        warn_of_unchecked(s, &APR_ARRAY_IDX(balancer->members, i, udr_member_t *)->settings,
                          &APR_ARRAY_IDX(balancer->sources, i, udr_source_t), p);
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        const udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *);
        warn_of_unchecked(s, &glob->settings, &glob->source, p);
    }
}

/* Likewise. */
static void warn_of_upgrade(const server_rec *s, const udr_balancer_t *balancer, apr_pool_t *p)
{
    const udr_source_t *where = NULL;
    const char *doubt = udr_balancer_check_upgrade(balancer, &where, p);
    if (doubt) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, UDRNO(0072) "%s: %s", udr_source_print(where, p), doubt);
    }
}

static void complete_server(server_rec *main_server, server_rec *s, apr_pool_t *p)
{
    udr_server_config_t *config = udr_server_config(s);
    apr_interval_time_t timeout = config->timeout >= 0 ? config->timeout : s->timeout;
    if (config->park < 0) {
        config->park = PARK_DEFAULT;
    }
    if (config->loops < 0) {
        config->loops = LOOPS_DEFAULT;
    }
    for (int i = 0; i < config->balancers->nelts; i++) {
        udr_balancer_t *balancer = APR_ARRAY_IDX(config->balancers, i, udr_balancer_t *);
        warn_of_checks(s, balancer, p);
        warn_of_upgrade(s, balancer, p);
        udr_balancer_resolve(balancer, timeout);
        if (balancer->name) {
            warn(s, balancer, p);
        } else {
            warn_of_maxconn(main_server, s, i, p);
        }
    }
    udr_config_warn_of_doubts(s, main_server, p);
}

void udr_config_complete(server_rec *main_server, apr_pool_t *p)
{
    for (server_rec *s = main_server; s; s = s->next) {
        if (udr_server_has_own_config(s, main_server)) {
            complete_server(main_server, s, p);
        }
    }
}
