/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_sethandler.h"
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/udr_path.h"

#include <ap_expr.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_main.h>
#include <util_cfgtree.h>

#include <string.h>
#include <strings.h>

#define PREFIX_LEN (sizeof(UDR_HANDLER_PREFIX) - 1)

/* The server whose <VirtualHost> section a directive stands in; the main server when in none. */
static server_rec *server_of(server_rec *main_server, const ap_directive_t *directive)
{
    for (const ap_directive_t *section = directive->parent; section; section = section->parent) {
        if (strcasecmp(section->directive, "<VirtualHost") == 0) {
            for (server_rec *s = main_server->next; s; s = s->next) {
                if (s->defn_line_number == (unsigned int)section->line_num && s->defn_name &&
                    strcmp(s->defn_name, section->filename) == 0) {
                    return s;
                }
            }
        }
    }
    return main_server;
}

/* A SetHandler line of ours. */
typedef struct handler_line_t {
    const char *value; /* as written; httpd makes it lower case before a request has it */
    const udr_target_t *target;
    udr_member_t *member;
} handler_line_t;

/* File and line tell one directive from all others, and from those in .htaccess, which are in no configuration tree. */
static const char *place(const char *file, unsigned int line, apr_pool_t *p)
{
    return apr_psprintf(p, "%s:%u", file, line);
}

static const char *add(server_rec *main_server, const ap_directive_t *directive, const char *value, apr_pool_t *p)
{
    udr_server_config_t *config = udr_server_config(server_of(main_server, directive));
    const udr_target_t *target;
    udr_settings_t settings;
    const char *error = udr_target_parse(&target, value + PREFIX_LEN, udr_config_runtime_dir(p), p);
    if (error) {
        return error;
    }
    if (strchr(target->path, '$')) {
        return apr_psprintf(p, "'%s' has a '$': SetHandler substitutes nothing", target->path);
    }
    if (strstr(value, "%{")) {
        return "an expression can't name a socket: nothing of a request may";
    }
    udr_settings_init(&settings);
    handler_line_t *line = apr_palloc(p, sizeof *line);
    line->value = value;
    line->target = target;
    line->member = udr_config_member(config, target, &settings, p);
    apr_hash_set(udr_server_config(main_server)->handlers,
                 place(directive->filename, (unsigned int)directive->line_num, p), APR_HASH_KEY_STRING, line);
    return NULL;
}

static int walk(const ap_directive_t *directive, server_rec *main_server, apr_pool_t *p)
{
    int rc = OK;
    for (; directive; directive = directive->next) {
        if (directive->first_child && walk(directive->first_child, main_server, p) != OK) {
            rc = HTTP_INTERNAL_SERVER_ERROR;
        }
        if (strcasecmp(directive->directive, "SetHandler") != 0) {
            continue;
        }
        const char *args = directive->args;
        const char *value = ap_getword_conf(p, &args);
        const char *error =
            strncasecmp(value, UDR_HANDLER_PREFIX, PREFIX_LEN) == 0 ? add(main_server, directive, value, p) : NULL;
        if (error) {
            ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, main_server,
                         UDRNO(0013) "Syntax error on line %d of %s: SetHandler \"%s\": %s", directive->line_num,
                         directive->filename, value, error);
            rc = HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return rc;
}

int udr_sethandler_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    (void)ptemp;
    return walk(ap_conftree, s, pconf);
}

bool udr_sethandler_is_ours(const request_rec *r)
{
    return r->handler && strncmp(r->handler, UDR_HANDLER_PREFIX, PREFIX_LEN) == 0;
}

int udr_sethandler_match(request_rec *r, const udr_match_t **match)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const handler_line_t *line = NULL;
    if (core->expr_handler) {
        const char *key = place(core->expr_handler->filename, core->expr_handler->line_number, r->pool);
        line = apr_hash_get(udr_server_config(ap_server_conf)->handlers, key, APR_HASH_KEY_STRING);
    }
    /* The SetHandler in effect is one of the configuration, and no rule has put another name in its place. */
    if (!line || strcasecmp(line->value, r->handler) != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      UDRNO(0014) "handler '%s' is refused: a socket comes from a SetHandler line of the server's "
                                  "configuration only, never from .htaccess, AddHandler or a rewrite rule",
                      r->handler);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    const char *base = udr_path_protect(line->target->path, r->pool);
    apr_size_t len = strlen(base);
    /* "http://localhost/" and "http://localhost" mean the same here: the request's path follows. */
    if (len && base[len - 1] == '/') {
        base = apr_pstrmemdup(r->pool, base, len - 1);
    }
    udr_match_t *made = apr_palloc(r->pool, sizeof *made);
    made->member = line->member;
    made->host = line->target->authority;
    made->target = udr_route_with_query(r, udr_path_join(base, udr_route_encode(r, r->uri), r->pool));
    *match = made;
    return OK;
}
