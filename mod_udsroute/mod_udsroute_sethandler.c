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

static const char *add(server_rec *s, const char *value, apr_pool_t *p)
{
    udr_server_config_t *config = udr_server_config(s);
    const udr_target_t *target;
    udr_settings_t settings;
    const char *error = udr_target_parse(&target, value + PREFIX_LEN, udr_config_runtime_dir(p), p);
    if (error) {
        return error;
    }
    if (strchr(target->path, '$')) {
        return apr_psprintf(p, "'%s' has a '$': SetHandler substitutes nothing", target->path);
    }
    /* httpd gives us the value in lower case. */
    char *key = apr_pstrdup(p, value);
    ap_str_tolower(key);
    const udr_member_t *known = apr_hash_get(config->handlers, key, APR_HASH_KEY_STRING);
    if (known && strcmp(known->target->text, target->text) != 0) {
        return apr_psprintf(p, "'%s' and '%s' differ in case only, which httpd does not tell apart in SetHandler",
                            target->text, known->target->text);
    }
    udr_settings_init(&settings);
    apr_hash_set(config->handlers, key, APR_HASH_KEY_STRING, udr_config_member(config, target, &settings, p));
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
        const char *error = strncasecmp(value, UDR_HANDLER_PREFIX, PREFIX_LEN) == 0
                                ? add(server_of(main_server, directive), value, p)
                                : NULL;
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

/* The name is what the SetHandler in effect says, and not what a rewrite rule or a MIME type made of it. */
static bool is_from_sethandler(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *error = NULL;
    const char *value = core->expr_handler ? ap_expr_str_exec(r, core->expr_handler, &error) : NULL;
    return value && !error && strcasecmp(value, r->handler) == 0;
}

int udr_sethandler_match(request_rec *r, udr_match_t **match)
{
    udr_member_t *member = NULL;
    if (is_from_sethandler(r)) {
        member = apr_hash_get(udr_server_config(r->server)->handlers, r->handler, APR_HASH_KEY_STRING);
        if (!member) {
            /* A <Directory> outside all virtual hosts serves them too. */
            member = apr_hash_get(udr_server_config(ap_server_conf)->handlers, r->handler, APR_HASH_KEY_STRING);
        }
    }
    if (!member) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      UDRNO(0014) "handler '%s' is refused: a socket comes from a SetHandler line of the server's "
                                  "configuration only, never from .htaccess, AddHandler or a rewrite rule",
                      r->handler);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    const char *base = udr_path_protect(member->target->path, r->pool);
    apr_size_t len = strlen(base);
    /* "http://localhost/" and "http://localhost" mean the same here: the request's path follows. */
    if (len && base[len - 1] == '/') {
        base = apr_pstrmemdup(r->pool, base, len - 1);
    }
    udr_match_t *made = apr_palloc(r->pool, sizeof *made);
    made->member = member;
    made->target = udr_route_with_query(r, udr_path_join(base, udr_route_encode(r, r->uri), r->pool));
    *match = made;
    return OK;
}
