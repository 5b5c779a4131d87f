/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_names.h"
#include "mod_udsroute/udr_utf8.h"

#include <apr_hash.h>
#include <apr_strings.h>

#include <string.h>

/* As it is read in the metrics, where each byte that is no UTF-8 is the same character: other names may be one there.
 */
static const char *as_read(const char *name, apr_pool_t *p)
{
    char *text = apr_palloc(p, strlen(name) * (sizeof UDR_UTF8_REPLACEMENT - 1) + 1);
    char *end = text;
    for (const char *at = name; *at;) {
        apr_size_t length = udr_utf8_length(at);
        end =
            apr_cpystrn(end, length ? at : UDR_UTF8_REPLACEMENT, (length ? length : strlen(UDR_UTF8_REPLACEMENT)) + 1);
        at += length ? length : 1;
    }
    *end = '\0';
    return text;
}

/* The name, or where another one has it already, one that is nobody else's: with the identity behind it. */
static const char *take(apr_hash_t *taken, const char *name, const char *identity, apr_pool_t *p)
{
    const char *key = as_read(name, p);
    if (apr_hash_get(taken, key, APR_HASH_KEY_STRING)) {
        name = apr_pstrcat(p, name, "#", identity, NULL);
        key = as_read(name, p);
    }
    apr_hash_set(taken, key, APR_HASH_KEY_STRING, name);
    return name;
}

/* --- balancers --- */

typedef const char *extend_t(const udr_view_balancer_t *balancer, apr_pool_t *p);

static const char *with_host(const udr_view_balancer_t *balancer, apr_pool_t *p)
{
    return balancer->host ? apr_pstrcat(p, balancer->name, "@", balancer->host, NULL) : balancer->name;
}

static const char *with_addresses(const udr_view_balancer_t *balancer, apr_pool_t *p)
{
    return *balancer->scope ? balancer->scope : with_host(balancer, p);
}

/* Whoever has its name in common with another one gets a longer one. */
static void extend(const udr_view_t *view, extend_t *longer, apr_pool_t *p)
{
    apr_hash_t *first = apr_hash_make(p);
    bool *is_common = apr_pcalloc(p, (apr_size_t)view->balancers->nelts + 1);
    for (int i = 0; i < view->balancers->nelts; i++) {
        const udr_view_balancer_t *one = APR_ARRAY_IDX(view->balancers, i, const udr_view_balancer_t *);
        bool *other = apr_hash_get(first, one->unique, APR_HASH_KEY_STRING);
        if (other) {
            *other = is_common[i] = true;
        } else {
            apr_hash_set(first, one->unique, APR_HASH_KEY_STRING, &is_common[i]);
        }
    }
    for (int i = 0; i < view->balancers->nelts; i++) {
        udr_view_balancer_t *one = APR_ARRAY_IDX(view->balancers, i, udr_view_balancer_t *);
        one->unique = is_common[i] ? longer(one, p) : one->unique;
    }
}

static void name_balancers(const udr_view_t *view, apr_pool_t *p)
{
    apr_hash_t *taken = apr_hash_make(p);
    for (int i = 0; i < view->balancers->nelts; i++) {
        udr_view_balancer_t *one = APR_ARRAY_IDX(view->balancers, i, udr_view_balancer_t *);
        one->unique = one->name;
    }
    extend(view, with_host, p);
    extend(view, with_addresses, p);
    for (int i = 0; i < view->balancers->nelts; i++) {
        udr_view_balancer_t *one = APR_ARRAY_IDX(view->balancers, i, udr_view_balancer_t *);
        one->unique = take(taken, one->unique, one->identity, p);
    }
}

/* --- members --- */

/* A socket that has a line of its own since the last reload, or another pattern's, is there twice until the requests
 * have ended that it has from the pattern before. Whoever has it now stands before that one, and keeps the name. */
static void name_members(const udr_view_balancer_t *balancer, apr_pool_t *p)
{
    apr_hash_t *taken = apr_hash_make(p);
    for (int i = 0; i < balancer->members->nelts; i++) {
        udr_view_member_t *one = APR_ARRAY_IDX(balancer->members, i, udr_view_member_t *);
        one->unique = take(taken, one->name, one->identity, p);
    }
}

void udr_status_names_give(const udr_view_t *view, apr_pool_t *p)
{
    name_balancers(view, p);
    for (int i = 0; i < view->balancers->nelts; i++) {
        name_members(APR_ARRAY_IDX(view->balancers, i, const udr_view_balancer_t *), p);
    }
}
