/* SPDX-License-Identifier: Apache-2.0 */
/* The module record and its hooks: where httpd calls us, and in which order. */
#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/mod_udsroute_child.h"
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_handler.h"
#include "mod_udsroute/mod_udsroute_response.h"
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/mod_udsroute_stay.h"

#include <http_connection.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    udr_server_config_t *main_config = udr_server_config(s);
    for (; s; s = s->next) {
        udr_config_complete(s);
        main_config->is_used |= udr_server_config(s)->members->nelts > 0;
    }
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    /* As with ProxyPass: a per-server RewriteRule comes first, and its [PT] is routed. */
    static const char *const after_rewrite[] = {"mod_rewrite.c", NULL};
    (void)p;
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(udr_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_process_connection(udr_stay_process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_read_request(udr_route_post_read_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(udr_route_translate, after_rewrite, NULL, APR_HOOK_FIRST);
    ap_hook_map_to_storage(udr_route_map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_fixups(udr_route_fixups, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(udr_adopted_guard, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_suspend_connection(udr_adopted_suspend, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(udr_handler, NULL, NULL, APR_HOOK_FIRST);
    udr_response_register();
}

__attribute__((visibility("default"))) module AP_MODULE_DECLARE_DATA udsroute_module = {
    STANDARD20_MODULE_STUFF, udr_config_create_dir, udr_config_merge_dir, udr_config_create_server,
    udr_config_merge_server, udr_config_commands,   register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE,
#endif
};
