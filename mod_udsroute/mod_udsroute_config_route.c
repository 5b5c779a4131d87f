/* SPDX-License-Identifier: Apache-2.0 */
/* UDSRoute and UDSRouteMatch: their lines, read. */
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_config_private.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>

#include <string.h>
#include <strings.h>

/* A key of a route to a <UDSBalancer> is the balancer's, as with ProxyPass. */
static const char *set_balancer(cmd_parms *cmd, udr_route_t *route, const char *key, const char *value)
{
    const char *error;
    if (!udr_parameter_find(&udr_balancer_settings_table, key) && udr_parameter_find(&udr_settings_table, key)) {
        return apr_psprintf(cmd->pool,
                            "%s: %s is a member's: write it in a UDSMember, or for all members in a UDSSet of "
                            "<UDSBalancer %s>",
                            cmd->cmd->name, key, route->target->balancer);
    }
    error = udr_balancer_settings_set(&route->balancer_settings, key, value, cmd->pool);
    return error ? udr_config_say(cmd, error) : udr_config_check_key(cmd, key);
}

static const char *read_parameter(cmd_parms *cmd, udr_route_t *route, const char *word)
{
    const char *key = NULL;
    const char *value = NULL;
    const char *error = udr_config_split(cmd, word, " nor 'nocanon' nor 'interpolate'", &key, &value);
    if (error) {
        return error;
    }
    if (route->target && route->target->balancer) {
        return set_balancer(cmd, route, key, value);
    }
    return udr_config_set_member(cmd, &route->settings, key, value);
}

static const char *read_target(cmd_parms *cmd, udr_route_t *route, const char *text)
{
    const char *error = NULL;
    if (strcmp(text, "!") == 0) {
        route->is_excluded = true;
    } else if (udr_target_is_balancer(text)) {
        error = udr_target_parse_balancer(&route->target, text, cmd->pool);
    } else {
        error = udr_target_parse(&route->target, text, udr_config_runtime_dir(cmd->pool), cmd->pool);
    }
    return error ? udr_config_say(cmd, error) : NULL;
}

/* What follows the target. */
static const char *read_words(cmd_parms *cmd, udr_route_t *route, int count, char *const words[])
{
    for (int i = 0; i < count; i++) {
        if (strcasecmp(words[i], "nocanon") == 0) {
            route->is_raw = true;
        } else if (strcasecmp(words[i], "interpolate") == 0) {
            route->is_interpolated = true;
        } else {
            const char *error = read_parameter(cmd, route, words[i]);
            if (error) {
                return error;
            }
        }
    }
    const char *error = udr_settings_check(&route->settings, cmd->pool);
    return error ? udr_config_say(cmd, error) : NULL;
}

/* <LocationMatch re> and <Location ~ re>: there the section's path is a regular expression. */
static bool is_in_regex_section(const cmd_parms *cmd)
{
    const ap_directive_t *section = cmd->directive->parent;
    return cmd->path && section &&
           (strcasecmp(section->directive, "<LocationMatch") == 0 || (section->args && section->args[0] == '~'));
}

static const char *set_path(const cmd_parms *cmd, udr_route_t *route, const char *path, bool is_match)
{
    route->path = path;
    if (is_match || is_in_regex_section(cmd)) {
        route->regex = ap_pregcomp(cmd->pool, path, AP_REG_EXTENDED);
        return route->regex ? NULL
                            : apr_psprintf(cmd->pool, "%s: '%s' is not a regular expression", cmd->cmd->name, path);
    }
    if (path[0] != '/') {
        return apr_psprintf(cmd->pool, "%s: the path '%s' does not begin with '/'%s", cmd->cmd->name, path,
                            strncasecmp(path, "unix:", 5) == 0 ? ": the target stands where the path is due" : "");
    }
    if (cmd->path && apr_fnmatch_test(path)) {
        return udr_config_say(cmd, "a <Location> with wildcards leaves open what to pass on; use <LocationMatch>");
    }
    return NULL;
}

/* Only a regular expression has groups to put in, and only the path is a place to put them. */
static const char *check_substitutions(const cmd_parms *cmd, const udr_route_t *route)
{
    const udr_target_t *target = route->target;
    for (const char *s = strchr(target->path, '$'); s; s = strchr(s + 1, '$')) {
        if (s[1] == '{' && !route->is_interpolated) {
            return apr_psprintf(cmd->pool, "%s: '%s' has ${...}, which needs the word 'interpolate'", cmd->cmd->name,
                                target->path);
        }
        if (s[1] >= '0' && s[1] <= '9' && !route->regex) {
            return apr_psprintf(cmd->pool, "%s: '%s' has $%c, which needs a regular expression: UDSRouteMatch",
                                cmd->cmd->name, target->path, s[1]);
        }
    }
    return NULL;
}

static const char *read_line(cmd_parms *cmd, udr_route_t *route, int count, char *const words[], bool is_match)
{
    int i = 0;
    const char *path = cmd->path ? cmd->path : (count > 0 ? words[i++] : NULL);
    const char *target = i < count ? words[i++] : NULL;
    const char *error;
    if (!target) {
        return udr_config_say(
            cmd, cmd->path ? "needs a target: \"unix:/path/to.sock|http://host/\" or \"!\""
                           : "needs a path and a target, as in: \"/app\" \"unix:/path/to.sock|http://host/\"");
    }
    if (cmd->path && target[0] == '/') {
        return udr_config_say(cmd, "takes no path within <Location>: the location is the path");
    }
    if ((error = set_path(cmd, route, path, is_match)) || (error = read_target(cmd, route, target)) ||
        (error = read_words(cmd, route, count - i, words + i))) {
        return error;
    }
    return route->is_excluded ? NULL : check_substitutions(cmd, route);
}

static const char *add_route(cmd_parms *cmd, udr_dir_config_t *dir, int count, char *const words[], bool is_match)
{
    udr_server_config_t *config = udr_server_config(cmd->server);
    udr_route_t *route = apr_pcalloc(cmd->pool, sizeof *route);
    const char *error;
    /* Most who write it there mean the files of a kind. */
    if (ap_check_cmd_context(cmd, NOT_IN_DIRECTORY | NOT_IN_FILES | NOT_IN_HTACCESS)) {
        return udr_config_say(cmd, "stands in the server, a virtual host or a <Location>; in <Directory>, <Files> and "
                                   "<FilesMatch> write SetHandler \"udsroute:unix:/path/to.sock|http://host\" (fcgi:// "
                                   "for PHP-FPM)");
    }
    udr_settings_init(&route->settings);
    udr_balancer_settings_init(&route->balancer_settings);
    if ((error = read_line(cmd, route, count, words, is_match))) {
        return error;
    }
    route->source = udr_config_source(cmd);
    APR_ARRAY_PUSH(config->lines, udr_route_t *) = route;
    if (cmd->path) {
        dir->route = route;
    } else {
        APR_ARRAY_PUSH(config->routes, udr_route_t *) = route;
    }
    return NULL;
}

const char *udr_config_route(cmd_parms *cmd, void *dir, int count, char *const words[])
{
    return add_route(cmd, dir, count, words, false);
}

const char *udr_config_route_match(cmd_parms *cmd, void *dir, int count, char *const words[])
{
    return add_route(cmd, dir, count, words, true);
}
