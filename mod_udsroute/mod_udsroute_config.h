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

/* All is read: fills in the members' defaults. Hook post_config, for each server. */
void udr_config_complete(server_rec *s);

/* A member of a server for target and settings. Lines that name the same one (whatever their hosts) with the same
 * settings share it. */
udr_member_t *udr_config_member(udr_server_config_t *config, const udr_target_t *target, const udr_settings_t *settings,
                                apr_pool_t *p);

/* What relative socket paths are relative to (DefaultRuntimeDir). */
const char *udr_config_runtime_dir(apr_pool_t *p);

#endif
