/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_scope.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_main.h>

#include <string.h>

static unsigned int port_of(const server_rec *s)
{
    /* Most names are without a port, and those of a host by HTTP and by HTTPS are alike. */
    return s->port ? s->port : s->addrs ? s->addrs->host_port : 0;
}

const char *udr_scope_host(const server_rec *s, apr_pool_t *p)
{
    return s->is_virtual ? apr_psprintf(p, "%s:%u", s->server_hostname, port_of(s)) : NULL;
}

static bool is_at_same_addresses(const server_rec *a, const server_rec *b)
{
    const server_addr_rec *one = a->addrs;
    const server_addr_rec *other = b->addrs;
    while (one && other && one->host_port == other->host_port && strcmp(one->virthost, other->virthost) == 0) {
        one = one->next;
        other = other->next;
    }
    return !one && !other;
}

/* Such hosts may well serve both: by a ServerAlias, and without a ServerName all that stand at `*` have the main
 * server's. */
static int count_alike_before(const server_rec *s)
{
    int count = 0;
    for (const server_rec *other = ap_server_conf->next; other && other != s; other = other->next) {
        if (strcmp(other->server_hostname, s->server_hostname) == 0 && port_of(other) == port_of(s) &&
            is_at_same_addresses(other, s)) {
            count++;
        }
    }
    return count;
}

const char *udr_scope_of(const udr_balancer_t *balancer, const server_rec *s, apr_pool_t *p)
{
    if (!balancer->name) {
        return "";
    }
    const char *host = udr_scope_host(s, p);
    if (!host) {
        return balancer->name;
    }
    const char *scope = apr_pstrcat(p, balancer->name, "@", host, NULL);
    for (const server_addr_rec *addr = s->addrs; addr; addr = addr->next) {
        scope = apr_psprintf(p, "%s@%s:%u", scope, addr->virthost, addr->host_port);
    }
    int alike = count_alike_before(s);
    return alike > 0 ? apr_psprintf(p, "%s#%d", scope, alike + 1) : scope;
}
