/* SPDX-License-Identifier: Apache-2.0 */
/* <UDSBalancer>, UDSMember and UDSSet: their lines, read. */
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_config_private.h"

#include <apr_strings.h>
#include <http_core.h>

#include <string.h>
#include <strings.h>

/* Any other directive that httpd allows for a server would act on the server from in here. */
static const char *check_children(cmd_parms *cmd)
{
    for (const ap_directive_t *child = cmd->directive->first_child; child; child = child->next) {
        if (strcasecmp(child->directive, "UDSMember") != 0 && strcasecmp(child->directive, "UDSSet") != 0) {
            cmd->err_directive = child;
            return apr_psprintf(cmd->pool, "%s is not allowed in <UDSBalancer>, only UDSMember and UDSSet are",
                                child->directive);
        }
    }
    return NULL;
}

/* The section's only argument. */
static const char *read_name(const cmd_parms *cmd, const char **name, const char *args)
{
    const char *end = ap_strrchr_c(args, '>');
    const char *error;
    if (!end) {
        return udr_config_say(cmd, "the closing '>' is missing");
    }
    args = apr_pstrmemdup(cmd->temp_pool, args, (apr_size_t)(end - args));
    const char *word = ap_getword_conf(cmd->temp_pool, &args);
    if (!*word) {
        return udr_config_say(cmd, "needs a name, as in: <UDSBalancer app>");
    }
    if (*args) {
        return udr_config_say(cmd, "takes a name only: write parameters as UDSSet in the section");
    }
    error = udr_target_parse_balancer_name(name, word, cmd->pool);
    return error ? udr_config_say(cmd, error) : NULL;
}

const char *udr_config_balancer(cmd_parms *cmd, void *dir, const char *args)
{
    udr_server_config_t *config = udr_server_config(cmd->server);
    const udr_source_t source = udr_config_source(cmd);
    const char *name = NULL;
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    (void)dir;
    if (error || (error = read_name(cmd, &name, args)) || (error = check_children(cmd))) {
        return error;
    }
    const udr_balancer_t *other = udr_balancer_find(config->balancers, name);
    if (other) {
        return apr_psprintf(cmd->pool,
                            "%s>: balancer '%s' is defined already, on %s: put the members into one section, or give "
                            "one of the two another name",
                            cmd->cmd->name, name, udr_source_print_place(&other->source, cmd->pool));
    }
    config->open = udr_balancer_create(name, &source, cmd->pool);
    APR_ARRAY_PUSH(config->balancers, udr_balancer_t *) = config->open;
    error = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    config->open = NULL;
    return error;
}

const char *udr_config_set_member(const cmd_parms *cmd, udr_settings_t *settings, const char *key, const char *value)
{
    const char *note = NULL;
    const char *error;
    if (!udr_parameter_find(&udr_settings_table, key) && udr_parameter_find(&udr_balancer_settings_table, key)) {
        return apr_psprintf(cmd->pool,
                            "%s: %s is a balancer's: write it in a UDSSet of <UDSBalancer name>, and its members as "
                            "UDSMember",
                            cmd->cmd->name, key);
    }
    error = udr_settings_set(settings, key, value, &note, cmd->pool);
    udr_config_note(cmd, note);
    return error ? udr_config_say(cmd, error) : NULL;
}

/* Words of a member's: key=value. */
static const char *read_settings(const cmd_parms *cmd, udr_settings_t *settings, int count, char *const words[])
{
    const char *error;
    for (int i = 0; i < count; i++) {
        const char *key = NULL;
        const char *value = NULL;
        if ((error = udr_config_split(cmd, words[i], "", &key, &value)) ||
            (error = udr_config_set_member(cmd, settings, key, value))) {
            return error;
        }
    }
    error = udr_settings_check(settings, cmd->pool);
    return error ? udr_config_say(cmd, error) : NULL;
}

const char *udr_config_balancer_member(cmd_parms *cmd, void *dir, int count, char *const words[])
{
    udr_balancer_t *balancer = udr_server_config(cmd->server)->open;
    const udr_source_t source = udr_config_source(cmd);
    const udr_target_t *target = NULL;
    udr_settings_t settings;
    const char *error;
    (void)dir;
    if (!balancer) {
        return udr_config_say(cmd, "stands in <UDSBalancer name>, and nowhere else: write that for <Proxy "
                                   "balancer://name>; a route to a single socket is a UDSRoute");
    }
    if (count < 1) {
        return udr_config_say(cmd, "needs a target, as in: \"unix:/path/to.sock|http://host/\"");
    }
    error = udr_target_parse_pattern(&target, words[0], udr_config_runtime_dir(cmd->pool), cmd->pool);
    if (error) {
        return udr_config_say(cmd, error);
    }
    if (strchr(target->path, '$')) {
        return apr_psprintf(
            cmd->pool,
            "%s: '%s' has a '$', but nothing is substituted here: write it behind the balancer's name in "
            "the route",
            cmd->cmd->name, target->path);
    }
    udr_settings_init(&settings);
    if ((error = read_settings(cmd, &settings, count - 1, words + 1))) {
        return error;
    }
    error = target->address->kind == UDR_ADDRESS_PATTERN
                ? udr_balancer_add_glob(balancer, target, &settings, &source, cmd->pool)
                : udr_balancer_add(balancer, target, &settings, &source, cmd->pool);
    return error ? udr_config_say(cmd, error) : NULL;
}

/* All modules have been loaded when the first directive is carried out: LoadModule is while the file is read. */
const char *udr_config_check_key(const cmd_parms *cmd, const char *key)
{
    return strcasecmp(key, "spill") == 0 && !ap_find_linked_module("mod_proxy.c")
               ? udr_config_say(cmd, "spill: mod_proxy serves that URL, and is not loaded: load it and the module for "
                                     "the URL's scheme (Debian: a2enmod proxy_http), or leave spill out")
               : NULL;
}

static const char *set_in_balancer(cmd_parms *cmd, udr_balancer_t *balancer, int count, char *const words[])
{
    const char *error;
    for (int i = 0; i < count; i++) {
        const char *key = NULL;
        const char *value = NULL;
        const char *note = NULL;
        if ((error = udr_config_split(cmd, words[i], "", &key, &value))) {
            return error;
        }
        if ((error = udr_balancer_set(balancer, key, value, &note, cmd->pool))) {
            return udr_config_say(cmd, error);
        }
        if ((error = udr_config_check_key(cmd, key))) {
            return error;
        }
        udr_config_note(cmd, note);
    }
    error = udr_settings_check(&balancer->defaults, cmd->pool);
    return error ? udr_config_say(cmd, error) : NULL;
}

/* The route may stand behind this line: the two are put together when all is read. */
static const char *set_in_location(cmd_parms *cmd, udr_dir_config_t *dir, int count, char *const words[])
{
    if (!dir->set) {
        dir->set = apr_palloc(cmd->pool, sizeof *dir->set);
        udr_settings_init(dir->set);
        APR_ARRAY_PUSH(udr_server_config(cmd->server)->sections, udr_dir_config_t *) = dir;
    }
    dir->set_source = udr_config_source(cmd);
    return read_settings(cmd, dir->set, count, words);
}

const char *udr_config_balancer_set(cmd_parms *cmd, void *dir, int count, char *const words[])
{
    udr_balancer_t *balancer = udr_server_config(cmd->server)->open;
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIRECTORY | NOT_IN_FILES | NOT_IN_HTACCESS);
    if (error) {
        return error;
    }
    if (!balancer && !cmd->path) {
        return udr_config_say(cmd, "stands in <UDSBalancer name>, or beside the UDSRoute of a <Location>");
    }
    if (count < 1) {
        return udr_config_say(cmd, "needs key=value");
    }
    return balancer ? set_in_balancer(cmd, balancer, count, words) : set_in_location(cmd, dir, count, words);
}
