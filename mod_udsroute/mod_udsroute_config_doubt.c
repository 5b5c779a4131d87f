/* SPDX-License-Identifier: Apache-2.0 */
/* What each line for itself can't tell: routes that never get a request, as another line takes all their paths before
 * them, and lines of mod_proxy's that were left beside routes and do nothing for them. */
#include "mod_udsroute/mod_udsroute_config_private.h"
#include "mod_udsroute/udr_path.h"

#include <http_core.h>

#include <string.h>
#include <strings.h>

/* Of a run over all servers. */
typedef struct doubt_t {
    const server_rec *main_server;
    const server_rec *s; /* the one at hand */
    apr_pool_t *p;
} doubt_t;

/* Whether a line for the prefix leaves nothing to the route: all that a regular expression finds begins with a slash.
 */
static bool takes_all_of(const char *prefix, const udr_route_t *route)
{
    return udr_path_match(route->regex ? "/" : route->path, prefix) > 0;
}

/* --- the order of routes ---------------------------------------------------------------------------------------------
 */

static const udr_route_t *find_earlier(const apr_array_header_t *routes, int index)
{
    const udr_route_t *route = APR_ARRAY_IDX(routes, index, const udr_route_t *);
    for (int i = 0; i < index; i++) {
        const udr_route_t *earlier = APR_ARRAY_IDX(routes, i, const udr_route_t *);
        bool is_same = earlier->is_excluded && route->is_excluded;
        if (!is_same && !earlier->regex && takes_all_of(earlier->path, route)) {
            return earlier;
        }
    }
    return NULL;
}

static void warn_of_order(const doubt_t *doubt)
{
    const apr_array_header_t *routes = udr_server_config(doubt->s)->routes;
    int inherited = doubt->s == doubt->main_server ? 0 : udr_server_config(doubt->main_server)->routes->nelts;
    for (int i = inherited; i < routes->nelts; i++) {
        const udr_route_t *route = APR_ARRAY_IDX(routes, i, const udr_route_t *);
        const udr_route_t *earlier = find_earlier(routes, i);
        if (earlier) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, doubt->s,
                         UDRNO(0076) "%s: no request comes to '%s', as '%s' on %s takes them all before: the first "
                                     "line that matches counts, so write this one above that one",
                         udr_source_print(&route->source, doubt->p), route->path, earlier->path,
                         udr_source_print_place(&earlier->source, doubt->p));
        }
    }
}

/* --- mod_proxy's lines -----------------------------------------------------------------------------------------------
 */

/* What a route has in their place. */
static const struct {
    const char *theirs;
    const char *ours;
    const char *idle; /* with this word it says nothing that a route would not do anyhow */
} counterparts[] = {
    {"ProxyPassReverse", "UDSRouteReverse", NULL},
    {"ProxyPassReverseCookieDomain", "UDSRouteReverseCookieDomain", NULL},
    {"ProxyPassReverseCookiePath", "UDSRouteReverseCookiePath", NULL},
    {"ProxyPreserveHost", "UDSPreserveHost", "Off"},
    {"ProxyAddHeaders", "UDSAddHeaders", "On"},
    {"ProxyErrorOverride", "UDSErrorOverride", "Off"},
    {"ProxyVia", "UDSVia", "Off"},
    {"ProxyTimeout", "UDSTimeout", NULL},
};

/* The flags of a RewriteRule are its last word, in brackets. */
static bool has_proxy_flag(const char *args)
{
    const char *flags = strrchr(args, '[');
    const char *end = flags ? strchr(flags, ']') : NULL;
    for (const char *flag = flags; flag && end && flag < end; flag = strchr(flag + 1, ',')) {
        apr_size_t len = strcspn(flag + 1, ",]");
        if ((len == 1 && strncasecmp(flag + 1, "P", 1) == 0) || (len == 5 && strncasecmp(flag + 1, "proxy", 5) == 0)) {
            return true;
        }
    }
    return false;
}

/* Those that do if they say so; a route to a balancer may say `spill` for that. */
static const struct {
    const char *name;
    const char *words;
} senders[] = {
    {.name = "SetHandler", .words = "proxy:"},     {.name = "AddHandler", .words = "proxy:"},
    {.name = "UDSSet", .words = "spill="},         {.name = "UDSRoute", .words = "spill="},
    {.name = "UDSRouteMatch", .words = "spill="},  {.name = "ProxyRequests", .words = "On"},
    {.name = "ProxyExpressEnable", .words = "On"},
};

static bool sends_to_proxy(const ap_directive_t *line)
{
    const char *name = line->directive;
    for (apr_size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
        if (strcasecmp(name, senders[i].name) == 0 && ap_strcasestr(line->args, senders[i].words)) {
            return true;
        }
    }
    return strcasecmp(name, "ProxyPass") == 0 || strcasecmp(name, "ProxyPassMatch") == 0 ||
           (strcasecmp(name, "RewriteRule") == 0 && has_proxy_flag(line->args));
}

static bool is_host(const ap_directive_t *line)
{
    return strcasecmp(line->directive, "<VirtualHost") == 0;
}

/* Whether mod_proxy serves anything by these lines and the sections among them: then its directives have something to
 * act on. with_hosts: by those of virtual hosts, too, which have what the main server says. */
static bool has_proxy(const ap_directive_t *lines, bool with_hosts)
{
    for (const ap_directive_t *line = lines; line; line = line->next) {
        if (sends_to_proxy(line) || ((with_hosts || !is_host(line)) && has_proxy(line->first_child, with_hosts))) {
            return true;
        }
    }
    return false;
}

/* The one of ours that a line of mod_proxy's should be; NULL: none. */
static const char *find_counterpart(const ap_directive_t *line)
{
    for (apr_size_t i = 0; i < sizeof counterparts / sizeof *counterparts; i++) {
        if (strcasecmp(line->directive, counterparts[i].theirs) == 0 &&
            !(counterparts[i].idle && strcasecmp(line->args, counterparts[i].idle) == 0)) {
            return counterparts[i].ours;
        }
    }
    return NULL;
}

/* Whether there is any such line. Most servers have none, and need not look for what mod_proxy serves. */
static bool has_counterpart(const ap_directive_t *lines)
{
    for (const ap_directive_t *line = lines; line; line = line->next) {
        if (!is_host(line) && (find_counterpart(line) || has_counterpart(line->first_child))) {
            return true;
        }
    }
    return false;
}

static void warn_of_all_idle(const doubt_t *doubt, const ap_directive_t *lines)
{
    for (const ap_directive_t *line = lines; line; line = line->next) {
        const char *ours = find_counterpart(line);
        if (ours) {
            udr_source_t source = {.directive = line->directive, .file = line->filename, .line = line->line_num};
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, doubt->s,
                         UDRNO(0077) "%s: does nothing for what goes by UDSRoute, and nothing here goes by mod_proxy: "
                                     "write %s %s",
                         udr_source_print(&source, doubt->p), ours, line->args);
        }
        if (!is_host(line)) {
            warn_of_all_idle(doubt, line->first_child);
        }
    }
}

/* The line whose ProxyPass gets the route's requests, among these; NULL: none does. *is_decided: another line has kept
 * them from it. */
static const ap_directive_t *find_proxy_pass(const ap_directive_t *lines, const udr_route_t *route, bool *is_decided,
                                             apr_pool_t *p)
{
    for (const ap_directive_t *line = lines; line && !*is_decided; line = line->next) {
        if (strcasecmp(line->directive, "ProxyPass") == 0) {
            const char *args = line->args;
            const char *path = ap_getword_conf(p, &args);
            if (path[0] == '/' && takes_all_of(path, route)) {
                *is_decided = true;
                return strcmp(ap_getword_conf(p, &args), "!") == 0 ? NULL : line;
            }
        }
    }
    return NULL;
}

static bool is_exclusion(const ap_directive_t *line, apr_pool_t *p)
{
    const char *args = line->args;
    bool is_found = false;
    while (*args && !is_found) {
        is_found = strcmp(ap_getword_conf(p, &args), "!") == 0;
    }
    return is_found;
}

/* Whether something among these lines, other hosts' left out, may keep requests from ProxyPass, and which can't be told
 * here: an expression, a section, a variable. */
static bool may_exclude(const ap_directive_t *lines, bool is_in_section, apr_pool_t *p)
{
    for (const ap_directive_t *line = lines; line; line = line->next) {
        bool is_match = strcasecmp(line->directive, "ProxyPassMatch") == 0;
        bool is_pass = is_in_section && strcasecmp(line->directive, "ProxyPass") == 0;
        if (((is_match || is_pass) && is_exclusion(line, p)) || strstr(line->args, "no-proxy") ||
            (!is_host(line) && may_exclude(line->first_child, true, p))) {
            return true;
        }
    }
    return false;
}

static void warn_of_proxy_pass(const doubt_t *doubt, const ap_directive_t *lines)
{
    const apr_array_header_t *routes = udr_server_config(doubt->s)->lines;
    for (int i = 0; i < routes->nelts; i++) {
        const udr_route_t *route = APR_ARRAY_IDX(routes, i, const udr_route_t *);
        bool is_decided = route->is_excluded;
        const ap_directive_t *line = find_proxy_pass(ap_conftree, route, &is_decided, doubt->p);
        if (!line && lines != ap_conftree) {
            line = find_proxy_pass(lines, route, &is_decided, doubt->p);
        }
        if (line && (may_exclude(ap_conftree, false, doubt->p) || may_exclude(lines, false, doubt->p))) {
            return;
        }
        if (line) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, doubt->s,
                         UDRNO(0078) "%s: no request comes to '%s', as ProxyPass on line %d of %s goes before: take "
                                     "that line out, or write above it: %s \"%s\" !",
                         udr_source_print(&route->source, doubt->p), route->path, line->line_num, line->filename,
                         route->regex ? "ProxyPassMatch" : "ProxyPass", route->path);
        }
    }
}

/* A server's own lines, as httpd has read them. */
static const ap_directive_t *find_lines(const doubt_t *doubt)
{
    if (doubt->s == doubt->main_server) {
        return ap_conftree;
    }
    for (const ap_directive_t *line = ap_conftree; line; line = line->next) {
        if (line->line_num == (int)doubt->s->defn_line_number && is_host(line) &&
            strcmp(line->filename, doubt->s->defn_name) == 0) {
            return line->first_child;
        }
    }
    return NULL;
}

void udr_config_warn_of_doubts(const server_rec *s, const server_rec *main_server, apr_pool_t *p)
{
    doubt_t doubt = {.main_server = main_server, .s = s, .p = p};
    const ap_directive_t *lines = find_lines(&doubt);
    warn_of_order(&doubt);
    if (udr_server_config(s)->lines->nelts == 0) {
        return;
    }
    warn_of_proxy_pass(&doubt, lines);
    if (has_counterpart(lines) && !has_proxy(lines, false) && !has_proxy(ap_conftree, s == main_server)) {
        warn_of_all_idle(&doubt, lines);
    }
}
