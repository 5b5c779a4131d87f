/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_scope.h"

#include <apr_hash.h>
#include <apr_strings.h>

static unsigned int port_of(const server_rec *s)
{
    /* Most names are without a port, and those of a host by HTTP and by HTTPS are alike. */
    return s->port ? s->port : s->addrs ? s->addrs->host_port : 0;
}

const char *udr_scope_host(const server_rec *s, apr_pool_t *p)
{
    return s->is_virtual ? apr_psprintf(p, "%s:%u", s->server_hostname, port_of(s)) : NULL;
}

static const char *host_and_addresses(const server_rec *s, apr_pool_t *p)
{
    const char *text = udr_scope_host(s, p);
    for (const server_addr_rec *addr = s->addrs; addr; addr = addr->next) {
        text = apr_psprintf(p, "%s@%s:%u", text, addr->virthost, addr->host_port);
    }
    return text;
}

/* Hosts that are alike may well serve both: by a ServerAlias, and without a ServerName all that stand at `*` have the
 * main server's. seen: how many there have been so far, by their text. */
static const char *make_different(apr_hash_t *seen, const char *text, apr_pool_t *p)
{
    int *count = apr_hash_get(seen, text, APR_HASH_KEY_STRING);
    if (count) {
        return apr_psprintf(p, "%s#%d", text, ++*count);
    }
    count = apr_palloc(p, sizeof *count);
    *count = 1;
    apr_hash_set(seen, text, APR_HASH_KEY_STRING, count);
    return text;
}

static void give(const apr_array_header_t *balancers, const char *host, apr_pool_t *p)
{
    for (int i = 0; i < balancers->nelts; i++) {
        udr_balancer_t *balancer = APR_ARRAY_IDX(balancers, i, udr_balancer_t *);
        if (balancer->name) {
            balancer->scope = apr_pstrcat(p, balancer->name, "@", host, NULL);
        }
    }
}

void udr_scope_give(const server_rec *main_server, apr_pool_t *p)
{
    apr_hash_t *seen = apr_hash_make(p);
    for (const server_rec *s = main_server; s; s = s->next) {
        const char *host = s->is_virtual ? make_different(seen, host_and_addresses(s, p), p) : NULL;
        if (host && udr_server_has_own_config(s, main_server)) {
            give(udr_server_config(s)->balancers, host, p);
        }
    }
}
