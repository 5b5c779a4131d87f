/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_debug.h"

#ifdef UDR_DEBUG

#include <stdlib.h>

static server_rec *server;

static void say(const char *text)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server, "%s", text);
}

static apr_status_t report(void *data)
{
    (void)data;
    udr_debug_report();
    return APR_SUCCESS;
}

void udr_debug_child_init(apr_pool_t *pchild, server_rec *s)
{
    const char *schedule = getenv("UDSROUTE_SCHEDULE");
    server = s;
    udr_debug_set_log(say);
    const char *problem = udr_debug_set_schedule(schedule ? schedule : "");
    if (problem) {
        /* A test that forces nothing would pass. */
        fprintf(stderr, "mod_udsroute: UDSROUTE_SCHEDULE: %s: %s\n", problem, schedule);
        exit(APEXIT_CHILDFATAL);
    }
    apr_pool_cleanup_register(pchild, NULL, report, apr_pool_cleanup_null);
}

#endif
