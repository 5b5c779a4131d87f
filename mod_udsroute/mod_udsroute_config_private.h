/* SPDX-License-Identifier: Apache-2.0 */
/* The directives' functions that stand in files of their own, and what these share.
 * Layer: glue. Used by mod_udsroute_config*.c only. */
#ifndef MOD_UDSROUTE_CONFIG_PRIVATE_H
#define MOD_UDSROUTE_CONFIG_PRIVATE_H

#include "mod_udsroute/mod_udsroute.h"

/* mod_udsroute_config_route.c: UDSRoute, UDSRouteMatch. */
const char *udr_config_route(cmd_parms *cmd, void *dir, int count, char *const words[]);
const char *udr_config_route_match(cmd_parms *cmd, void *dir, int count, char *const words[]);

/* mod_udsroute_config_balancer.c: <UDSBalancer>, UDSMember, UDSSet. */
const char *udr_config_balancer(cmd_parms *cmd, void *dir, const char *args);
const char *udr_config_balancer_member(cmd_parms *cmd, void *dir, int count, char *const words[]);
const char *udr_config_balancer_set(cmd_parms *cmd, void *dir, int count, char *const words[]);

/* mod_udsroute_config_health.c: UDSHealthExpr, UDSHealthTemplate. */
const char *udr_config_health_expr(cmd_parms *cmd, void *dir, const char *args);
const char *udr_config_health_template(cmd_parms *cmd, void *dir, int count, char *const words[]);

/* All lines are read: what is unset becomes what the template says that hctemplate names, which is looked for in config
 * and then in the main server's. NULL, or a sentence from p. */
const char *udr_config_apply_template(udr_settings_t *settings, const udr_server_config_t *config,
                                      const udr_server_config_t *main_config, apr_pool_t *p);

/* And *condition becomes what hcexpr names. */
const char *udr_config_bind_condition(const struct udr_condition_t **condition, const udr_settings_t *settings,
                                      const udr_server_config_t *config, const udr_server_config_t *main_config,
                                      apr_pool_t *p);

/* mod_udsroute_config_doubt.c: warns of a server's routes that get no request, and of mod_proxy's lines beside them
 * that do nothing. p: for the sentences. */
void udr_config_warn_of_doubts(const server_rec *s, const server_rec *main_server, apr_pool_t *p);

/* A directive's error: "UDSRoute: what". */
const char *udr_config_say(const cmd_parms *cmd, const char *what);

/* Logs a note on the line that is being read at level info; NULL: nothing. */
void udr_config_note(const cmd_parms *cmd, const char *note);

/* Cuts "key=value" in two. NULL, or an error that says what the word is not; also: what else it may be, for that error,
 * such as "nor 'nocanon'"; "" for nothing. */
const char *udr_config_split(const cmd_parms *cmd, const char *word, const char *also, const char **key,
                             const char **value);

/* Reads a member's key, and logs what there is to note. NULL, or an error; that of a balancer's key says where it goes.
 */
const char *udr_config_set_member(const cmd_parms *cmd, udr_settings_t *settings, const char *key, const char *value);

/* Of a balancer's key that has been read: what it needs of httpd is there. NULL, or an error. */
const char *udr_config_check_key(const cmd_parms *cmd, const char *key);

#endif
