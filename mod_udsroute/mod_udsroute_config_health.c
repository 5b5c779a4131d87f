/* SPDX-License-Identifier: Apache-2.0 */
/* UDSHealthExpr and UDSHealthTemplate, and what hcexpr and hctemplate name once all is read. */
#include "mod_udsroute/mod_udsroute_condition.h"
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_config_private.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

/* --- the lines -------------------------------------------------------------------------------------------------------
 */

static const udr_condition_t *find_condition(const udr_server_config_t *config, const char *name)
{
    for (int i = 0; i < config->conditions->nelts; i++) {
        const udr_condition_t *condition = APR_ARRAY_IDX(config->conditions, i, const udr_condition_t *);
        if (strcmp(condition->name, name) == 0) {
            return condition;
        }
    }
    return NULL;
}

static const udr_template_t *find_template(const udr_server_config_t *config, const char *name)
{
    for (int i = 0; i < config->templates->nelts; i++) {
        const udr_template_t *template = APR_ARRAY_IDX(config->templates, i, const udr_template_t *);
        if (strcmp(template->name, name) == 0) {
            return template;
        }
    }
    return NULL;
}

static const char *say_twice(const cmd_parms *cmd, const char *name, const udr_source_t *other)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is defined already, on %s: give one of the two another name",
                        cmd->cmd->name, name, udr_source_print_place(other, cmd->pool));
}

/* Braces are counted as ap_getword_conf2() counts them. Where they don't come out even it takes the rest of the line,
 * which may well be an expression, but hardly the one that was meant. */
static bool is_closed(const char *text)
{
    int open = 0;
    for (; *text; text++) {
        open += *text == '{';
        open -= *text == '}';
        if (open == 0) {
            return true;
        }
        text += text[0] == '\\' && text[1] == '\\';
    }
    return false;
}

const char *udr_config_health_expr(cmd_parms *cmd, void *dir, const char *args)
{
    udr_server_config_t *config = udr_server_config(cmd->server);
    udr_condition_t *condition = apr_pcalloc(cmd->pool, sizeof *condition);
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    (void)dir;
    condition->name = ap_getword_conf(cmd->pool, &args);
    bool is_open = *args == '{' && !is_closed(args);
    const char *text = ap_getword_conf2(cmd->pool, &args); /* {...}, as ProxyHCExpr */
    if (error) {
        return error;
    }
    if (!*condition->name || !*text) {
        return udr_config_say(cmd, "needs a name and an expression, as in: ok {%{REQUEST_STATUS} =~ /^2/}");
    }
    if (is_open) {
        return udr_config_say(cmd, "a closing brace is missing, of the expression or of a %{...} in it; an expression "
                                   "whose braces don't come out even stands in double quotes instead");
    }
    if (*args) {
        return udr_config_say(
            cmd, "takes a name and one expression: write that in braces, as in: ok {%{REQUEST_STATUS} =~ /^2/}");
    }
    const udr_condition_t *other = find_condition(config, condition->name);
    if (other) {
        return say_twice(cmd, condition->name, &other->source);
    }
    condition->source = udr_config_source(cmd);
    error = udr_condition_parse(condition, cmd, text);
    if (error) {
        return apr_psprintf(cmd->pool, "%s: %s is no expression of httpd's (ap_expr): %s", cmd->cmd->name,
                            udr_value_quote(text, cmd->pool), error);
    }
    APR_ARRAY_PUSH(config->conditions, const udr_condition_t *) = condition;
    return NULL;
}

static const char *read_key(const cmd_parms *cmd, udr_settings_t *settings, const char *word)
{
    const char *key = NULL;
    const char *value = NULL;
    const char *note = NULL;
    const char *error = udr_config_split(cmd, word, "", &key, &value);
    if (error) {
        return error;
    }
    if (!udr_check_settings_is_key(key)) {
        return apr_psprintf(cmd->pool,
                            "%s: %s does not belong here: a template has hcmethod, hcuri, hcinterval, hctimeout, "
                            "hcpasses, hcfails, hcexpr, hcagent",
                            cmd->cmd->name, udr_value_quote(key, cmd->pool));
    }
    error = udr_settings_set(settings, key, value, &note, cmd->pool);
    return error ? udr_config_say(cmd, error) : NULL;
}

const char *udr_config_health_template(cmd_parms *cmd, void *dir, int count, char *const words[])
{
    udr_server_config_t *config = udr_server_config(cmd->server);
    udr_template_t *template = apr_pcalloc(cmd->pool, sizeof *template);
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    (void)dir;
    if (error) {
        return error;
    }
    if (count < 2 || strchr(words[0], '=')) {
        return udr_config_say(cmd, "needs a name and key=value, as in: web hcmethod=GET hcuri=/healthz");
    }
    template->name = apr_pstrdup(cmd->pool, words[0]);
    const udr_template_t *other = find_template(config, template->name);
    if (other) {
        return say_twice(cmd, template->name, &other->source);
    }
    template->source = udr_config_source(cmd);
    udr_settings_init(&template->settings);
    for (int i = 1; i < count; i++) {
        if ((error = read_key(cmd, &template->settings, words[i]))) {
            return error;
        }
    }
    if ((error = udr_settings_check(&template->settings, cmd->pool))) {
        return udr_config_say(cmd, error);
    }
    APR_ARRAY_PUSH(config->templates, const udr_template_t *) = template;
    return NULL;
}

/* --- what they are named for -----------------------------------------------------------------------------------------
 */

const char *udr_config_apply_template(udr_settings_t *settings, const udr_server_config_t *config,
                                      const udr_server_config_t *main_config, apr_pool_t *p)
{
    const char *name = settings->check.template;
    if (!name) {
        return NULL;
    }
    const udr_template_t *template = find_template(config, name);
    template = template ? template : find_template(main_config, name);
    if (!template) {
        return apr_psprintf(p,
                            "hctemplate: there is no template %s: write UDSHealthTemplate %s with its parameters, in "
                            "this server or the main one",
                            udr_value_quote(name, p), name);
    }
    udr_settings_inherit(settings, &template->settings);
    return NULL;
}

const char *udr_config_bind_condition(const udr_condition_t **found, const udr_settings_t *member,
                                      const udr_server_config_t *config, const udr_server_config_t *main_config,
                                      apr_pool_t *p)
{
    const udr_check_settings_t *settings = &member->check;
    const char *verb = udr_check_method_verb(settings->method);
    if (!settings->expr) {
        return NULL;
    }
    const udr_condition_t *condition = find_condition(config, settings->expr);
    condition = condition ? condition : find_condition(main_config, settings->expr);
    if (!condition) {
        return apr_psprintf(p,
                            "hcexpr: there is no expression %s: write UDSHealthExpr %s {...}, in this server or the "
                            "main one",
                            udr_value_quote(settings->expr, p), settings->expr);
    }
    if (condition->reads_body && verb && strcmp(verb, "GET") != 0) {
        return apr_psprintf(p,
                            "hcexpr: %s looks at hc('body'), and the answer to hcmethod=%s has none: write "
                            "hcmethod=GET, or another expression",
                            udr_value_quote(settings->expr, p), udr_check_method_name(settings->method));
    }
    *found = condition;
    return NULL;
}
