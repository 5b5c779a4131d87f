/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_reverse.h"
#include "mod_udsroute/mod_udsroute_sethandler.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>
#include <http_core.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_MAX apr_time_from_sec(24 * 3600)

#define PARK_DEFAULT  apr_time_from_msec(2)
#define PARK_MAX      apr_time_from_sec(60)
#define LOOPS_DEFAULT 0 /* Off: until tunnels and the status page know of loops, they are to be asked for */
#define LOOPS_MAX     64

/* --- creation and merging ------------------------------------------------------------------------------------------
 */

void *udr_config_create_server(apr_pool_t *p, server_rec *s)
{
    udr_server_config_t *config = apr_pcalloc(p, sizeof *config);
    (void)s;
    config->routes = apr_array_make(p, 8, sizeof(udr_route_t *));
    config->members = apr_array_make(p, 8, sizeof(udr_member_t *));
    config->timeout = -1;
    config->via = UDR_VIA_UNSET;
    config->park = -1;
    config->loops = -1;
    return config;
}

void *udr_config_merge_server(apr_pool_t *p, void *base_, void *overrides_)
{
    const udr_server_config_t *base = base_;
    const udr_server_config_t *overrides = overrides_;
    udr_server_config_t *merged = apr_pcalloc(p, sizeof *merged);
    /* The server's own lines stand before a virtual host's, as with ProxyPass. */
    merged->routes = apr_array_append(p, base->routes, overrides->routes);
    /* The base's members stay the base's: each is completed and gets its connections once. */
    merged->members = overrides->members;
    merged->timeout = overrides->timeout >= 0 ? overrides->timeout : base->timeout;
    merged->via = overrides->via != UDR_VIA_UNSET ? overrides->via : base->via;
    merged->park = overrides->park >= 0 ? overrides->park : base->park;
    merged->loops = base->loops;
    return merged;
}

void *udr_config_create_dir(apr_pool_t *p, char *path)
{
    udr_dir_config_t *config = apr_pcalloc(p, sizeof *config);
    (void)path;
    config->urls = apr_array_make(p, 2, sizeof(udr_rewrite_t));
    config->cookie_domains = apr_array_make(p, 2, sizeof(udr_rewrite_t));
    config->cookie_paths = apr_array_make(p, 2, sizeof(udr_rewrite_t));
    config->preserve_host = -1;
    config->add_headers = -1;
    config->error_override = -1;
    return config;
}

void *udr_config_merge_dir(apr_pool_t *p, void *base_, void *overrides_)
{
    const udr_dir_config_t *base = base_;
    const udr_dir_config_t *overrides = overrides_;
    udr_dir_config_t *merged = apr_pcalloc(p, sizeof *merged);
    merged->route = overrides->route ? overrides->route : base->route;
    merged->handler = overrides->handler ? overrides->handler : base->handler;
    merged->urls = apr_array_append(p, overrides->urls, base->urls);
    merged->cookie_domains = apr_array_append(p, overrides->cookie_domains, base->cookie_domains);
    merged->cookie_paths = apr_array_append(p, overrides->cookie_paths, base->cookie_paths);
    merged->preserve_host = overrides->preserve_host >= 0 ? overrides->preserve_host : base->preserve_host;
    merged->add_headers = overrides->add_headers >= 0 ? overrides->add_headers : base->add_headers;
    if (overrides->error_override >= 0) {
        merged->error_override = overrides->error_override;
        merged->override_codes = overrides->override_codes;
    } else {
        merged->error_override = base->error_override;
        merged->override_codes = base->override_codes;
    }
    return merged;
}

udr_member_t *udr_config_member(udr_server_config_t *config, const udr_target_t *target, const udr_settings_t *settings,
                                apr_pool_t *p)
{
    udr_member_t *made = udr_member_create(target, settings, p);
    for (int i = 0; i < config->members->nelts; i++) {
        udr_member_t *member = APR_ARRAY_IDX(config->members, i, udr_member_t *);
        if (udr_member_is_same(member, made) && udr_settings_equal(&member->settings, settings)) {
            return member;
        }
    }
    APR_ARRAY_PUSH(config->members, udr_member_t *) = made;
    return made;
}

void udr_config_complete(server_rec *s)
{
    udr_server_config_t *config = udr_server_config(s);
    apr_interval_time_t timeout = config->timeout >= 0 ? config->timeout : s->timeout;
    if (config->park < 0) {
        config->park = PARK_DEFAULT;
    }
    if (config->loops < 0) {
        config->loops = LOOPS_DEFAULT;
    }
    for (int i = 0; i < config->members->nelts; i++) {
        udr_settings_resolve(&APR_ARRAY_IDX(config->members, i, udr_member_t *)->settings, timeout);
    }
}

const char *udr_config_runtime_dir(apr_pool_t *p)
{
    return ap_runtime_dir_relative(p, "");
}

/* --- UDSRoute, UDSRouteMatch ---------------------------------------------------------------------------------------
 */

/* The words of a line, read. */
typedef struct line_t {
    const char *path;
    const char *target;
    bool is_raw;
    bool is_interpolated;
    udr_settings_t settings;
} line_t;

static const char *say(const cmd_parms *cmd, const char *what)
{
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", what, NULL);
}

static const char *read_parameter(cmd_parms *cmd, line_t *line, const char *word)
{
    const char *equals = strchr(word, '=');
    const char *note = NULL;
    if (!equals) {
        return apr_psprintf(
            cmd->pool,
            "%s: '%s' is neither key=value nor 'nocanon' nor 'interpolate'; a path or target with spaces "
            "must be quoted",
            cmd->cmd->name, word);
    }
    const char *key = apr_pstrmemdup(cmd->pool, word, (apr_size_t)(equals - word));
    const char *error = udr_settings_set(&line->settings, key, equals + 1, &note, cmd->pool);
    if (error) {
        return say(cmd, error);
    }
    if (note) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, cmd->server, "%s on line %u of %s: %s", cmd->cmd->name,
                     (unsigned int)cmd->directive->line_num, cmd->directive->filename, note);
    }
    return NULL;
}

static const char *read_line(cmd_parms *cmd, line_t *line, int count, char *const words[])
{
    int i = 0;
    udr_settings_init(&line->settings);
    line->path = cmd->path ? cmd->path : (count > 0 ? words[i++] : NULL);
    line->target = i < count ? words[i++] : NULL;
    if (!line->target) {
        return say(cmd, cmd->path ? "needs a target: \"unix:/path/to.sock|http://host/\" or \"!\""
                                  : "needs a path and a target, as in: \"/app\" \"unix:/path/to.sock|http://host/\"");
    }
    if (cmd->path && line->target[0] == '/') {
        return say(cmd, "takes no path within <Location>: the location is the path");
    }
    for (; i < count; i++) {
        if (strcasecmp(words[i], "nocanon") == 0) {
            line->is_raw = true;
        } else if (strcasecmp(words[i], "interpolate") == 0) {
            line->is_interpolated = true;
        } else {
            const char *error = read_parameter(cmd, line, words[i]);
            if (error) {
                return error;
            }
        }
    }
    const char *error = udr_settings_check(&line->settings, cmd->pool);
    return error ? say(cmd, error) : NULL;
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
        return say(cmd, "a <Location> with wildcards leaves open what to pass on; use <LocationMatch>");
    }
    return NULL;
}

/* Only a regular expression has groups to put in, and only the path is a place to put them. */
static const char *check_substitutions(const cmd_parms *cmd, const udr_route_t *route, const udr_target_t *target)
{
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

static const char *add_route(cmd_parms *cmd, udr_dir_config_t *dir, int count, char *const words[], bool is_match)
{
    udr_server_config_t *config = udr_server_config(cmd->server);
    udr_route_t *route = apr_pcalloc(cmd->pool, sizeof *route);
    line_t line = {0};
    const udr_target_t *target;
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIRECTORY | NOT_IN_FILES | NOT_IN_HTACCESS);
    if (!error) {
        error = read_line(cmd, &line, count, words);
    }
    if (!error) {
        error = set_path(cmd, route, line.path, is_match);
    }
    if (error) {
        return error;
    }
    route->is_raw = line.is_raw;
    route->is_interpolated = line.is_interpolated;
    if (strcmp(line.target, "!") != 0) {
        error = udr_target_parse(&target, line.target, udr_config_runtime_dir(cmd->pool), cmd->pool);
        if (error) {
            return say(cmd, error);
        }
        error = check_substitutions(cmd, route, target);
        if (error) {
            return error;
        }
        route->target = target;
        route->member = udr_config_member(config, target, &line.settings, cmd->pool);
    }
    if (cmd->path) {
        dir->route = route;
    } else {
        APR_ARRAY_PUSH(config->routes, udr_route_t *) = route;
    }
    return NULL;
}

static const char *cmd_route(cmd_parms *cmd, void *dir, int count, char *const words[])
{
    return add_route(cmd, dir, count, words, false);
}

static const char *cmd_route_match(cmd_parms *cmd, void *dir, int count, char *const words[])
{
    return add_route(cmd, dir, count, words, true);
}

/* --- the reverse directives ----------------------------------------------------------------------------------------
 */

static const char *cmd_reverse(cmd_parms *cmd, void *dir_, const char *first, const char *second)
{
    udr_dir_config_t *dir = dir_;
    const char *path = second ? first : cmd->path;
    const char *url = second ? second : first;
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIRECTORY | NOT_IN_FILES | NOT_IN_HTACCESS);
    if (error) {
        return error;
    }
    if (!path) {
        return say(cmd, "needs a path and a URL, as in: \"/app\" \"http://localhost/\"");
    }
    if (second && cmd->path) {
        return say(cmd, "takes no path within <Location>: the location is the path");
    }
    return udr_reverse_add_url(dir->urls, path, url, cmd);
}

static const char *cmd_cookie_domain(cmd_parms *cmd, void *dir_, const char *internal, const char *public)
{
    udr_dir_config_t *dir = dir_;
    (void)cmd;
    APR_ARRAY_PUSH(dir->cookie_domains, udr_rewrite_t) = (udr_rewrite_t){.from = internal, .to = public};
    return NULL;
}

static const char *cmd_cookie_path(cmd_parms *cmd, void *dir_, const char *internal, const char *public)
{
    udr_dir_config_t *dir = dir_;
    (void)cmd;
    APR_ARRAY_PUSH(dir->cookie_paths, udr_rewrite_t) = (udr_rewrite_t){.from = internal, .to = public};
    return NULL;
}

/* --- switches ------------------------------------------------------------------------------------------------------
 */

static const char *cmd_preserve_host(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((udr_dir_config_t *)dir)->preserve_host = on != 0;
    return NULL;
}

static const char *cmd_add_headers(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((udr_dir_config_t *)dir)->add_headers = on != 0;
    return NULL;
}

static const char *cmd_error_override(cmd_parms *cmd, void *dir_, int count, char *const words[])
{
    udr_dir_config_t *dir = dir_;
    bool on;
    const char *error = count > 0 ? udr_value_switch(&on, words[0], cmd->pool) : "needs On or Off, and may name codes";
    if (error) {
        return say(cmd, error);
    }
    apr_array_header_t *codes = apr_array_make(cmd->pool, 4, sizeof(int));
    for (int i = 1; i < count; i++) {
        int code;
        error = udr_value_int(&code, words[i], 400, 599, cmd->pool);
        if (error) {
            return say(cmd, error);
        }
        APR_ARRAY_PUSH(codes, int) = code;
    }
    if (!on && codes->nelts) {
        return say(cmd, "Off takes no codes");
    }
    dir->error_override = on;
    dir->override_codes = codes->nelts ? codes : NULL;
    return NULL;
}

static const char *cmd_via(cmd_parms *cmd, void *dir, const char *word)
{
    static const struct {
        const char *word;
        udr_via_t via;
    } choices[] = {{"Off", UDR_VIA_OFF}, {"On", UDR_VIA_ON}, {"Full", UDR_VIA_FULL}, {"Block", UDR_VIA_BLOCK}};
    (void)dir;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (strcasecmp(word, choices[i].word) == 0) {
            udr_server_config(cmd->server)->via = choices[i].via;
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool, "%s: '%s' is not one of On, Off, Full, Block", cmd->cmd->name, word);
}

static const char *cmd_timeout(cmd_parms *cmd, void *dir, const char *word)
{
    apr_interval_time_t timeout;
    const char *error =
        udr_value_time(&timeout, word, apr_time_from_sec(1), apr_time_from_msec(1), TIMEOUT_MAX, cmd->pool);
    (void)dir;
    if (error) {
        return say(cmd, error);
    }
    udr_server_config(cmd->server)->timeout = timeout;
    return NULL;
}

static const char *cmd_park(cmd_parms *cmd, void *dir, const char *word)
{
    apr_interval_time_t park;
    const char *error = udr_value_time(&park, word, apr_time_from_sec(1), 0, PARK_MAX, cmd->pool);
    (void)dir;
    if (error) {
        return say(cmd, error);
    }
    udr_server_config(cmd->server)->park = park;
    return NULL;
}

static const char *cmd_loops(cmd_parms *cmd, void *dir, const char *word)
{
    int loops = 0;
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    (void)dir;
    if (!error && strcasecmp(word, "Off") != 0) {
        error = udr_value_int(&loops, word, 1, LOOPS_MAX, cmd->pool);
        error = error ? apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", error, ", or Off", NULL) : NULL;
    }
    if (error) {
        return error;
    }
    udr_server_config(cmd->server)->loops = loops;
    return NULL;
}

#define SERVER_OR_DIRECTORY (RSRC_CONF | ACCESS_CONF)

const command_rec udr_config_commands[] = {
    AP_INIT_TAKE_ARGV("UDSRoute", cmd_route, NULL, SERVER_OR_DIRECTORY,
                      "[path] unix:socket|scheme://host/path or !, then key=value ..., nocanon, interpolate"),
    AP_INIT_TAKE_ARGV("UDSRouteMatch", cmd_route_match, NULL, SERVER_OR_DIRECTORY,
                      "regex unix:socket|scheme://host/path or !, then key=value ...; $1 to $9 in the path"),
    AP_INIT_TAKE12("UDSRouteReverse", cmd_reverse, NULL, SERVER_OR_DIRECTORY,
                   "[path] URL: what Location and its kin say of the member becomes the public path"),
    AP_INIT_TAKE2("UDSRouteReverseCookieDomain", cmd_cookie_domain, NULL, SERVER_OR_DIRECTORY,
                  "internal-domain public-domain"),
    AP_INIT_TAKE2("UDSRouteReverseCookiePath", cmd_cookie_path, NULL, SERVER_OR_DIRECTORY, "internal-path public-path"),
    AP_INIT_FLAG("UDSPreserveHost", cmd_preserve_host, NULL, SERVER_OR_DIRECTORY,
                 "On: the Host field is the client's; Off (default): the target's host part"),
    AP_INIT_FLAG("UDSAddHeaders", cmd_add_headers, NULL, SERVER_OR_DIRECTORY,
                 "On (default): X-Forwarded-For, -Host, -Server and -Proto are sent to the member"),
    AP_INIT_TAKE_ARGV("UDSErrorOverride", cmd_error_override, NULL, SERVER_OR_DIRECTORY,
                      "On or Off (default), then the codes it is for (default: all of 400 to 599)"),
    AP_INIT_TAKE1("UDSVia", cmd_via, NULL, RSRC_CONF, "On, Off (default), Full or Block"),
    AP_INIT_TAKE1("UDSTimeout", cmd_timeout, NULL, RSRC_CONF,
                  "a time (default: Timeout): silence of a member while a response is due"),
    AP_INIT_TAKE1("UDSLoops", cmd_loops, NULL, RSRC_CONF,
                  "number of loop threads in each child, or Off (default): every exchange waits in its worker thread"),
    AP_INIT_TAKE1("UDSPark", cmd_park, NULL, RSRC_CONF,
                  "a time (default 2ms): how long a worker thread waits before a loop takes the exchange"),
    /* core's; httpd runs a directive for every module that has it. */
    AP_INIT_TAKE1("SetHandler", udr_sethandler_command, NULL, OR_FILEINFO, "udsroute:unix:socket|scheme://host"),
    {.name = NULL},
};
