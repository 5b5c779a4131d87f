/* SPDX-License-Identifier: Apache-2.0 */
/* For tests alone: a module that stays in the suspend_connection hook behind all others, as slow code of httpd's own
 * would, and then looks whether the connection it was called for is still there. */
#include <httpd.h>

#include <http_config.h>
#include <http_connection.h>
#include <http_log.h>
#include <mpm_common.h>

#include <stdlib.h>

APLOG_USE_MODULE(udr_witness);

/* What outlives the connection: from the heap, freed by whichever comes last of hook and connection. */
typedef struct witness_t {
    int users;          /* atomic */
    int has_gone;       /* atomic: the connection has been freed */
    server_rec *server; /* the connection's */
} witness_t;

static __thread witness_t *seen; /* by the hook that runs first, for the one that runs last */

static apr_interval_time_t longest_pause(void)
{
    const char *text = getenv("UDR_WITNESS_PAUSE_US");
    return text ? atol(text) : 0;
}

static void leave(witness_t *witness)
{
    if (__atomic_sub_fetch(&witness->users, 1, __ATOMIC_ACQ_REL) == 0) {
        free(witness);
    }
}

static apr_status_t connection_goes(void *data)
{
    witness_t *witness = data;
    __atomic_store_n(&witness->has_gone, 1, __ATOMIC_RELEASE);
    leave(witness);
    return APR_SUCCESS;
}

static void suspend_first(conn_rec *c, request_rec *r)
{
    (void)r;
    seen = NULL;
    /* Other states are httpd's own dealings, in which it keeps the connection. */
    if (c->cs->state == CONN_STATE_SUSPENDED) {
        seen = calloc(1, sizeof *seen);
        seen->users = 2;
        seen->server = c->base_server;
        apr_pool_cleanup_register(c->pool, seen, connection_goes, apr_pool_cleanup_null);
    }
}

static void suspend_last(conn_rec *c, request_rec *r)
{
    (void)c;
    (void)r;
    if (seen) {
        apr_sleep((apr_interval_time_t)rand() % (longest_pause() + 1));
        if (__atomic_load_n(&seen->has_gone, __ATOMIC_ACQUIRE)) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, seen->server,
                         "a connection was freed while httpd had still to write to it");
        }
        leave(seen);
    }
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_suspend_connection(suspend_first, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_suspend_connection(suspend_last, NULL, NULL, APR_HOOK_REALLY_LAST);
}

__attribute__((visibility("default"))) module AP_MODULE_DECLARE_DATA udr_witness_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE,
#endif
};
