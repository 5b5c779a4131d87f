/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_sethandler.h"
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/udr_path.h"
#include "mod_udsroute/udr_protocol.h"

#include <apr_strings.h>
#include <http_core.h>
#include <util_script.h>

#include <string.h>
#include <strings.h>

#define PREFIX_LEN (sizeof(UDR_HANDLER_PREFIX) - 1)

/* A SetHandler line. */
struct udr_handler_line_t {
    const char *value;          /* as written; httpd makes it lower case before a request has it */
    const udr_target_t *target; /* NULL: a handler of somebody else */
    udr_balancer_t *balancer;
    bool is_for_files;            /* it stands in <Files> or <FilesMatch>, for scripts that are in files */
    const ap_regex_t *expression; /* of the <LocationMatch> that it stands in; NULL: none */
};

static bool stands_in_files(const ap_directive_t *directive)
{
    for (const ap_directive_t *section = directive->parent; section; section = section->parent) {
        if (strcasecmp(section->directive, "<Files") == 0 || strcasecmp(section->directive, "<FilesMatch") == 0) {
            return true;
        }
    }
    return false;
}

/* What paths a <LocationMatch>, or a <Location ~ …>, is for. */
static const ap_regex_t *find_expression(const cmd_parms *cmd)
{
    const ap_directive_t *section = cmd->directive->parent;
    bool is_expression = section && (strcasecmp(section->directive, "<LocationMatch") == 0 ||
                                     (strcasecmp(section->directive, "<Location") == 0 && *section->args == '~'));
    return is_expression ? ap_pregcomp(cmd->pool, cmd->path, AP_REG_EXTENDED) : NULL;
}

/* Here it is PHP-FPM more often than not. */
static const char *without_scheme(const char *value, apr_pool_t *p)
{
    return apr_psprintf(p,
                        "SetHandler: '%s' does not say what is spoken over the socket: write '%s|fcgi://localhost' for "
                        "PHP-FPM, or '%s|http://localhost/' for an application that speaks HTTP",
                        value, value, value);
}

static const char *read_target(cmd_parms *cmd, udr_handler_line_t *line)
{
    const udr_source_t source = udr_config_source(cmd);
    udr_settings_t settings;
    const char *error = ap_check_cmd_context(cmd, NOT_IN_HTACCESS);
    if (error) {
        return "SetHandler: \"udsroute:\" is for the server's configuration, not for .htaccess: who writes that file "
               "must not choose a socket";
    }
    const char *target = line->value + PREFIX_LEN;
    if (udr_target_is_balancer(target)) {
        return apr_psprintf(cmd->pool, "SetHandler: '%s' is a balancer, where a socket is due: write a UDSRoute to it",
                            target);
    }
    if (strncasecmp(target, "unix:", 5) == 0 && !strpbrk(target, "| ")) {
        return without_scheme(line->value, cmd->pool);
    }
    if (strchr(target + strcspn(target, "|"), ' ')) {
        return apr_psprintf(cmd->pool,
                            "SetHandler: '%s' has a space: it takes a target without parameters; those are for a "
                            "UDSRoute",
                            line->value);
    }
    error = udr_target_parse(&line->target, line->value + PREFIX_LEN, udr_config_runtime_dir(cmd->pool), cmd->pool);
    if (error) {
        return apr_pstrcat(cmd->pool, "SetHandler: ", error, NULL);
    }
    if (strstr(line->value, "%{")) {
        return "SetHandler: an expression can't name a socket: nothing of a request may";
    }
    if (strchr(line->target->path, '$')) {
        return apr_psprintf(cmd->pool, "SetHandler: '%s' has a '$', but nothing is substituted here",
                            line->target->path);
    }
    udr_settings_init(&settings);
    line->balancer = udr_config_single(udr_server_config(cmd->server), line->target, &settings, &source, cmd->pool);
    line->is_for_files = stands_in_files(cmd->directive);
    line->expression = find_expression(cmd);
    return NULL;
}

/* httpd takes any name, and serves what nobody handles as files: scripts would be shown to whoever asks. */
static const char *check_other(const char *value, apr_pool_t *p)
{
    const char *target = ap_strcasestr(value, "unix:");
    bool is_meant = strncasecmp(value, "udsroute", 8) == 0 && strcasecmp(value, UDR_STATUS_HANDLER) != 0;
    if (target && strncasecmp(value, "proxy:", 6) != 0) {
        return apr_psprintf(p, "SetHandler: '%s' is nobody's, so files would be sent as they are: write '%s%s'", value,
                            UDR_HANDLER_PREFIX, target);
    }
    return is_meant ? apr_psprintf(p,
                                   "SetHandler: '%s' is nobody's, so files would be sent as they are: write "
                                   "'%sunix:/run/app.sock|http://localhost/', or '%s'",
                                   value, UDR_HANDLER_PREFIX, UDR_STATUS_HANDLER)
                    : NULL;
}

const char *udr_sethandler_command(cmd_parms *cmd, void *dir, const char *value)
{
    udr_handler_line_t *line = apr_pcalloc(cmd->pool, sizeof *line);
    line->value = value;
    ((udr_dir_config_t *)dir)->handler = line;
    return strncasecmp(value, UDR_HANDLER_PREFIX, PREFIX_LEN) == 0 ? read_target(cmd, line)
                                                                   : check_other(value, cmd->pool);
}

bool udr_sethandler_is_ours(const request_rec *r)
{
    return r->handler && strncmp(r->handler, UDR_HANDLER_PREFIX, PREFIX_LEN) == 0;
}

bool udr_sethandler_leads_to_cgi(const request_rec *r)
{
    const udr_match_t *match = udr_match_get(r);
    const udr_handler_line_t *line = udr_dir_config(r)->handler;
    if (match) {
        return udr_balancer_is_cgi(match->balancer);
    }
    return line && line->balancer && udr_balancer_is_cgi(line->balancer);
}

/* What httpd can tell need not be asked of the application. In a <Location> there need be no file: the runtime's own
 * status page, say. */
static int check_file(request_rec *r)
{
    if (r->finfo.filetype == APR_NOFILE) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "script not found: %s", r->filename);
        return HTTP_NOT_FOUND;
    }
    if (r->finfo.filetype == APR_DIR) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "a directory is no script: %s", r->filename);
        return HTTP_FORBIDDEN;
    }
    return OK;
}

/* \.php$ may have matched what stands behind a file that is no script: /uploads/picture.jpg/x.php is not to run a
 * picture. httpd has found that nothing else is there. (A file of another name than the client's is the
 * configuration's choice.) */
static int check_path(request_rec *r, const ap_regex_t *expression)
{
    if (!r->path_info || !*r->path_info || udr_path_ends_in(r->filename, strlen(r->filename), ".php")) {
        return OK;
    }
    const char *path = apr_pstrmemdup(r->pool, r->uri, (apr_size_t)ap_find_path_info(r->uri, r->path_info));
    const char *name = strrchr(path, '/');
    if (name && udr_path_ends_in(r->filename, strlen(r->filename), name) &&
        ap_regexec(expression, path, 0, NULL, 0) != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not what the handler's section is for: %s", r->filename);
        return HTTP_NOT_FOUND;
    }
    return OK;
}

static int check_script(request_rec *r, const udr_handler_line_t *line)
{
    int rc = line->is_for_files ? check_file(r) : OK;
    return rc == OK && line->expression ? check_path(r, line->expression) : rc;
}

int udr_sethandler_match(request_rec *r, const udr_match_t **match)
{
    const udr_handler_line_t *line = udr_dir_config(r)->handler;
    /* No rule has put another name in the place of the line's. */
    if (!line || !line->target || strcasecmp(line->value, r->handler) != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      UDRNO(0014) "handler '%s' is refused: a socket comes from a SetHandler line of the server's "
                                  "configuration only, never from AddHandler or a rewrite rule: write SetHandler, in a "
                                  "<FilesMatch> for files of a kind",
                      r->handler);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    bool is_script = line->target->scheme->protocol->names_script;
    int rc = is_script ? check_script(r, line) : OK;
    if (rc != OK) {
        return rc;
    }
    const char *base = udr_path_protect(line->target->path, r->pool);
    apr_size_t len = strlen(base);
    /* "http://localhost/" and "http://localhost" mean the same here: the request's path follows. */
    if (len && base[len - 1] == '/') {
        base = apr_pstrmemdup(r->pool, base, len - 1);
    }
    udr_match_t *made = apr_palloc(r->pool, sizeof *made);
    made->route = NULL;
    made->balancer = line->balancer;
    made->member = APR_ARRAY_IDX(line->balancer->members, 0, udr_member_t *);
    made->host = line->target->authority;
    made->target = udr_route_with_query(r, udr_path_join(base, udr_route_encode(r, r->uri), r->pool));
    made->script = is_script && r->filename ? udr_path_join(line->target->path, r->filename, r->pool) : NULL;
    *match = made;
    return OK;
}
