/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_names.h"
#include "mod_udsroute/mod_udsroute_loops.h"

#include <http_config.h>
#include <http_core.h>

static bool are_on(const ap_conf_vector_t *directory)
{
    const core_dir_config *core = ap_get_core_module_config(directory);
    return core->hostname_lookups == HOSTNAME_LOOKUP_ON || core->hostname_lookups == HOSTNAME_LOOKUP_DOUBLE;
}

/* mod_remoteip's; else the client is who has connected. */
static bool has_own_address(const request_rec *r)
{
    return r->useragent_addr && r->useragent_addr != r->connection->client_addr;
}

/* The last of a row of internal redirects is the one that is logged. */
bool udr_names_are_wanted(const request_rec *r)
{
    while (r->next) {
        r = r->next;
    }
    return are_on(r->per_dir_config) && !(has_own_address(r) ? r->useragent_host : r->connection->remote_host);
}

bool udr_names_are_wanted_by(const conn_rec *c)
{
    return are_on(c->base_server->lookup_defaults) && !c->remote_host;
}

/* Where nobody has a name for the client the answer is "", and that is kept, too. */
void udr_names_ask(request_rec *r)
{
    while (r->next) {
        r = r->next;
    }
    (void)ap_get_useragent_host(r, REMOTE_NAME, NULL);
}

void udr_names_ask_for(conn_rec *c)
{
    (void)ap_get_remote_host(c, c->base_server->lookup_defaults, REMOTE_NAME, NULL);
}

int udr_names_log_transaction(request_rec *r)
{
    if (udr_loops_here() && udr_names_are_wanted(r)) {
        if (has_own_address(r)) {
            r->useragent_host = "";
        } else {
            r->connection->remote_host = "";
        }
    }
    return DECLINED;
}
