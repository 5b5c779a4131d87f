/* SPDX-License-Identifier: Apache-2.0 */
/* The directives: their table, the configuration's defaults and merges, and the checks of `apachectl configtest`.
 * Layer: glue. Used by the module record and its hooks. */
#ifndef MOD_UDSROUTE_CONFIG_H
#define MOD_UDSROUTE_CONFIG_H

#include "mod_udsroute/mod_udsroute.h"

extern const command_rec udr_config_commands[];

void *udr_config_create_server(apr_pool_t *p, server_rec *s);
void *udr_config_merge_server(apr_pool_t *p, void *base, void *overrides);
void *udr_config_create_dir(apr_pool_t *p, char *path);
void *udr_config_merge_dir(apr_pool_t *p, void *base, void *overrides);

/* Hook check_config, all is read: finds out where routes lead, and says what can't be, with file and line. OK; else
 * httpd goes no further, `httpd -t` included. */
int udr_config_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server);

/* Fills in what is unset, of all servers, and warns of what is hardly meant. Once, from the hooks post_config and
 * test_config. p: for the sentences. */
void udr_config_complete(server_rec *main_server, apr_pool_t *p);

/* The balancer of a plain route: it has one member, for target and settings. Lines that name the same member (whatever
 * their hosts) with the same settings share it. */
udr_balancer_t *udr_config_single(udr_server_config_t *config, const udr_target_t *target,
                                  const udr_settings_t *settings, const udr_source_t *source, apr_pool_t *p);

/* Where the directive stands that is being read. */
udr_source_t udr_config_source(const cmd_parms *cmd);

/* What relative socket paths are relative to (DefaultRuntimeDir). */
const char *udr_config_runtime_dir(apr_pool_t *p);

#endif
