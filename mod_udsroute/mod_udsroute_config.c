/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_condition.h"
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_config_private.h"
#include "mod_udsroute/mod_udsroute_reverse.h"
#include "mod_udsroute/mod_udsroute_sethandler.h"

#include <apr_strings.h>
#include <http_core.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_MAX apr_time_from_sec(24 * 3600)

#define PARK_MAX  apr_time_from_sec(60)
#define LOOPS_MAX 64

/* --- creation and merging ------------------------------------------------------------------------------------------
 */

void *udr_config_create_server(apr_pool_t *p, server_rec *s)
{
    udr_server_config_t *config = apr_pcalloc(p, sizeof *config);
    (void)s;
    config->routes = apr_array_make(p, 8, sizeof(udr_route_t *));
    config->lines = apr_array_make(p, 8, sizeof(udr_route_t *));
    config->sections = apr_array_make(p, 2, sizeof(udr_dir_config_t *));
    config->reverses = apr_array_make(p, 2, sizeof(udr_reverse_t *));
    config->balancers = apr_array_make(p, 8, sizeof(udr_balancer_t *));
    config->members = apr_array_make(p, 8, sizeof(udr_member_t *));
    config->globs = apr_array_make(p, 1, sizeof(udr_glob_t *));
    config->conditions = apr_array_make(p, 2, sizeof(udr_condition_t *));
    config->templates = apr_array_make(p, 2, sizeof(udr_template_t *));
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
    /* The base's lines and what they lead to stay the base's: each is completed and gets its connections once. */
    merged->lines = overrides->lines;
    merged->sections = overrides->sections;
    merged->reverses = overrides->reverses;
    merged->balancers = overrides->balancers;
    merged->members = overrides->members;
    merged->globs = overrides->globs;
    merged->conditions = overrides->conditions;
    merged->templates = overrides->templates;
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
    config->status_actions = -1;
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
    merged->status_actions = overrides->status_actions >= 0 ? overrides->status_actions : base->status_actions;
    if (overrides->error_override >= 0) {
        merged->error_override = overrides->error_override;
        merged->override_codes = overrides->override_codes;
    } else {
        merged->error_override = base->error_override;
        merged->override_codes = base->override_codes;
    }
    return merged;
}

const char *udr_config_runtime_dir(apr_pool_t *p)
{
    return ap_runtime_dir_relative(p, "");
}

/* --- what the files of the configuration share ---------------------------------------------------------------------
 */

const char *udr_config_say(const cmd_parms *cmd, const char *what)
{
    bool is_section = cmd->cmd->name[0] == '<';
    return apr_pstrcat(cmd->pool, cmd->cmd->name, is_section ? ">: " : ": ", what, NULL);
}

udr_source_t udr_config_source(const cmd_parms *cmd)
{
    bool is_section = cmd->cmd->name[0] == '<';
    return (udr_source_t){
        .directive = is_section ? apr_pstrcat(cmd->pool, cmd->cmd->name, ">", NULL) : cmd->cmd->name,
        .file = cmd->directive->filename,
        .line = cmd->directive->line_num,
    };
}

void udr_config_note(const cmd_parms *cmd, const char *note)
{
    const udr_source_t source = udr_config_source(cmd);
    if (note) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, cmd->server, "%s: %s", udr_source_print(&source, cmd->temp_pool), note);
    }
}

const char *udr_config_split(const cmd_parms *cmd, const char *word, const char *also, const char **key,
                             const char **value)
{
    const char *equals = strchr(word, '=');
    if (word[0] == '#') {
        return apr_psprintf(cmd->pool, "%s: '%s' begins no comment behind a directive: write it in a line of its own",
                            cmd->cmd->name, word);
    }
    if (!equals) {
        return apr_psprintf(cmd->pool, "%s: '%s' is %s key=value%s; a path or target with spaces must be quoted",
                            cmd->cmd->name, word, *also ? "neither" : "no", also);
    }
    *key = apr_pstrmemdup(cmd->pool, word, (apr_size_t)(equals - word));
    *value = equals + 1;
    return NULL;
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
        return udr_config_say(cmd, "needs a path and a URL, as in: \"/app\" \"http://localhost/\"");
    }
    if (second && cmd->path) {
        return udr_config_say(cmd, "takes no path within <Location>: the location is the path");
    }
    if (udr_target_is_balancer(url)) {
        udr_source_t source = udr_config_source(cmd);
        apr_array_header_t *reverses = udr_server_config(cmd->server)->reverses;
        return udr_reverse_add_balancer(dir->urls, path, url, reverses, &source, cmd);
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

static const char *cmd_status_actions(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((udr_dir_config_t *)dir)->status_actions = on != 0;
    return NULL;
}

static const char *cmd_error_override(cmd_parms *cmd, void *dir_, int count, char *const words[])
{
    udr_dir_config_t *dir = dir_;
    bool on;
    const char *error = count > 0 ? udr_value_switch(&on, words[0], cmd->pool) : "needs On or Off, and may name codes";
    if (error) {
        return udr_config_say(cmd, error);
    }
    apr_array_header_t *codes = apr_array_make(cmd->pool, 4, sizeof(int));
    for (int i = 1; i < count; i++) {
        int code;
        error = udr_value_int(&code, words[i], 400, 599, cmd->pool);
        if (error) {
            return udr_config_say(cmd, error);
        }
        APR_ARRAY_PUSH(codes, int) = code;
    }
    if (!on && codes->nelts) {
        return udr_config_say(cmd, "Off takes no codes");
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
        return udr_config_say(cmd, error);
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
        return udr_config_say(cmd, error);
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
    AP_INIT_TAKE_ARGV("UDSRoute", udr_config_route, NULL, SERVER_OR_DIRECTORY,
                      "[path] unix:socket|scheme://host/path, balancer://name/path or !, then key=value ..., nocanon, "
                      "interpolate"),
    AP_INIT_TAKE_ARGV(
        "UDSRouteMatch", udr_config_route_match, NULL, SERVER_OR_DIRECTORY,
        "regex unix:socket|scheme://host/path, balancer://name/path or !, then key=value ...; $1 to $9 in "
        "the path"),
    AP_INIT_RAW_ARGS("<UDSBalancer", udr_config_balancer, NULL, RSRC_CONF,
                     "name, then UDSMember and UDSSet: several members for UDSRoute ... balancer://name"),
    AP_INIT_TAKE_ARGV("UDSMember", udr_config_balancer_member, NULL, SERVER_OR_DIRECTORY,
                      "unix:socket|scheme://host/path, then key=value ...: a member of the <UDSBalancer>"),
    AP_INIT_TAKE_ARGV("UDSSet", udr_config_balancer_set, NULL, SERVER_OR_DIRECTORY,
                      "key=value ...: for the <UDSBalancer> and all its members, or for the route of the <Location>"),
    AP_INIT_RAW_ARGS("UDSHealthExpr", udr_config_health_expr, NULL, RSRC_CONF,
                     "name {expression}: what a member's hcexpr=name asks of the answer to a check"),
    AP_INIT_TAKE_ARGV("UDSHealthTemplate", udr_config_health_template, NULL, RSRC_CONF,
                      "name, then hcmethod=... and other hc keys: what a member's hctemplate=name sets"),
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
    AP_INIT_FLAG("UDSStatusActions", cmd_status_actions, NULL, ACCESS_CONF,
                 "On: who may see SetHandler udsroute-status may drain, enable, disable, stop and weigh members there; "
                 "Off (default)"),
    AP_INIT_TAKE1("UDSVia", cmd_via, NULL, RSRC_CONF, "On, Off (default), Full or Block"),
    AP_INIT_TAKE1("UDSTimeout", cmd_timeout, NULL, RSRC_CONF,
                  "a time (default: Timeout): silence of a member while a response is due"),
    AP_INIT_TAKE1(
        "UDSLoops", cmd_loops, NULL, RSRC_CONF,
        "number of loop threads in each child (default 1), or Off: every exchange waits in its worker thread"),
    AP_INIT_TAKE1("UDSPark", cmd_park, NULL, RSRC_CONF,
                  "a time (default 2ms): how long a worker thread waits before a loop takes the exchange"),
    /* core's; httpd runs a directive for every module that has it. */
    AP_INIT_TAKE1("SetHandler", udr_sethandler_command, NULL, OR_FILEINFO, "udsroute:unix:socket|scheme://host"),
    {.name = NULL},
};
