/* SPDX-License-Identifier: Apache-2.0 */
/* The module record and its hooks: where httpd calls us, and in which order. */
#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/mod_udsroute_capacity.h"
#include "mod_udsroute/mod_udsroute_child.h"
#include "mod_udsroute/mod_udsroute_client.h"
#include "mod_udsroute/mod_udsroute_close.h"
#include "mod_udsroute/mod_udsroute_condition.h"
#include "mod_udsroute/mod_udsroute_config.h"
#include "mod_udsroute/mod_udsroute_filters.h"
#include "mod_udsroute/mod_udsroute_globs.h"
#include "mod_udsroute/mod_udsroute_handler.h"
#include "mod_udsroute/mod_udsroute_input.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_names.h"
#include "mod_udsroute/mod_udsroute_parking.h"
#include "mod_udsroute/mod_udsroute_response.h"
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/mod_udsroute_scoreboard.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/mod_udsroute_status.h"
#include "mod_udsroute/mod_udsroute_status_handler.h"
#include "mod_udsroute/mod_udsroute_status_nonce.h"
#include "mod_udsroute/mod_udsroute_stay.h"

#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

static void complete(server_rec *main_server, apr_pool_t *p)
{
    udr_server_config_t *main_config = udr_server_config(main_server);
    udr_config_complete(main_server, p);
    for (server_rec *s = main_server; s; s = s->next) {
        const udr_server_config_t *config = udr_server_config(s);
        main_config->is_used |= config->members->nelts > 0 || config->globs->nelts > 0;
    }
    udr_capacity_log(main_server);
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    /* At its first start httpd reads everything twice. */
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        complete(s, ptemp);
        if (udr_share_configure(s, ptemp) != APR_SUCCESS || udr_status_nonce_configure(s) != APR_SUCCESS) {
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        udr_globs_scan_all(s);
    }
    return OK;
}

/* `apachectl configtest`, where httpd runs no post_config. */
static void test_config(apr_pool_t *pconf, server_rec *s)
{
    complete(s, pconf);
}

static void register_hooks(apr_pool_t *p)
{
    /* As with ProxyPass: a per-server RewriteRule comes first, and its [PT] is routed. ProxyPass itself, too, whichever
     * of the modules was loaded first. */
    static const char *const after_others[] = {"mod_rewrite.c", "mod_proxy.c", NULL};
    static const char *const after_logio[] = {"mod_logio.c", NULL};
    (void)p;
    ap_hook_pre_config(udr_filters_pre_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_check_config(udr_config_check, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(udr_child_init, NULL, NULL, APR_HOOK_MIDDLE);
#if UDR_HAS_CHILD_STOPPING
    ap_hook_child_stopping(udr_loops_child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
#endif
    ap_hook_process_connection(udr_stay_process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_read_request(udr_route_post_read_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(udr_route_translate, after_others, NULL, APR_HOOK_FIRST);
    ap_hook_map_to_storage(udr_route_map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_fixups(udr_route_fixups, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_insert_network_bucket(udr_input_insert, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_error_filter(udr_input_omit_body, NULL, NULL, APR_HOOK_LAST);
    ap_hook_handler(udr_parking_guard, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_log_transaction(udr_names_log_transaction, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_log_transaction(udr_scoreboard_log_transaction, after_logio, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_suspend_connection(udr_adopted_suspend, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_close_connection(udr_close_begin, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_handler(udr_handler, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(udr_status_handler, NULL, NULL, APR_HOOK_MIDDLE);
    udr_condition_register();
    udr_input_register();
    udr_response_register();
    udr_client_register();
    udr_status_register();
}

__attribute__((visibility("default"))) module AP_MODULE_DECLARE_DATA udsroute_module = {
    STANDARD20_MODULE_STUFF, udr_config_create_dir, udr_config_merge_dir, udr_config_create_server,
    udr_config_merge_server, udr_config_commands,   register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE,
#endif
};
