/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_tenant.h"

#include "mod_udsroute/udr_explanation.h"
#include "mod_udsroute/udr_pool.h"
#include "mod_udsroute/udr_protocol.h"

#include <apr_allocator.h>

#include <string.h>

struct udr_tenants_t {
    const udr_balancer_t *balancer;
    udr_shared_t *shared;
    int lanes;
    udr_yield_t *yield; /* NULL: none */
    int first;          /* the place of the first berth */
    udr_tenant_t **at;  /* by place, from `first` on; NULL: nobody yet */
    udr_tenant_t *left;
    apr_pool_t *pool; /* theirs are made of it, with the picker's mutex: its allocator has none */
};

static apr_status_t destroy_pool(void *p)
{
    apr_pool_destroy(p);
    return APR_SUCCESS;
}

/* Their pool is no subpool of p: those go before p's cleanups, the newest first, and a request's may be older (prefork
 * makes it before its child_init hooks). A request that is cut off with its child still needs its member. */
apr_status_t udr_tenants_create(udr_tenants_t **tenants, const udr_balancer_t *balancer, udr_shared_t *shared,
                                int lanes, udr_yield_t *yield, apr_pool_t *p)
{
    udr_tenants_t *made = apr_pcalloc(p, sizeof *made);
    apr_allocator_t *allocator;
    made->balancer = balancer;
    made->shared = shared;
    made->lanes = lanes;
    made->yield = yield;
    made->first = balancer->members->nelts;
    made->at = apr_pcalloc(p, (apr_size_t)udr_balancer_places(balancer) * sizeof *made->at);
    apr_status_t rv = apr_allocator_create(&allocator);
    if (rv == APR_SUCCESS) {
        rv = apr_pool_create_unmanaged_ex(&made->pool, NULL, allocator);
    }
    if (rv == APR_SUCCESS) {
        apr_allocator_owner_set(allocator, made->pool);
        apr_pool_cleanup_register(p, made->pool, destroy_pool, apr_pool_cleanup_null);
        *tenants = made;
    }
    return rv;
}

udr_member_t *udr_tenants_member(const udr_tenants_t *tenants, int place)
{
    udr_tenant_t *tenant = tenants->at[place - tenants->first];
    return tenant ? &tenant->member : NULL;
}

/* NULL: out of memory or mutexes. */
static udr_tenant_t *move_in(const udr_tenants_t *tenants, const udr_glob_t *glob, apr_uint32_t berth,
                             const udr_lodging_t *lodging)
{
    apr_pool_t *p;
    if (apr_pool_create(&p, tenants->pool) != APR_SUCCESS) {
        return NULL;
    }
    udr_tenant_t *made = apr_pcalloc(p, sizeof *made);
    udr_member_t *member = &made->member;
    const udr_address_t *address = udr_address_in_directory(glob->target->address, lodging->name, p);
    made->glob = glob;
    made->pool = p;
    made->tenancy = lodging->tenancy;
    member->target = udr_target_at(glob->target, address, p);
    member->settings = glob->settings;
    member->settings.route = udr_glob_route(lodging->name, p);
    member->slot = berth;
    member->tenant = made;
    if (udr_explanation_create(&member->explanation, p) != APR_SUCCESS ||
        udr_pool_create(&member->pool, member, tenants->lanes, p) != APR_SUCCESS) {
        apr_pool_destroy(p);
        return NULL;
    }
    if (tenants->yield && udr_protocol_keeps_process(member->target->scheme->protocol)) {
        udr_pool_share(member->pool, tenants->yield);
    }
    return made;
}

static void move_out(udr_tenants_t *tenants, udr_tenant_t **at)
{
    if (*at) {
        (*at)->next = tenants->left;
        tenants->left = *at;
        *at = NULL;
    }
}

/* Hashed by what it is, not by where it is: the same socket has the same keys in whichever berth. */
static apr_uint64_t identify(const udr_tenants_t *tenants, const udr_target_t *target)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    apr_uint64_t number;
    udr_shared_identify(identity, tenants->balancer->name, target->address->text, target->scheme->name, target->path);
    memcpy(&number, identity, sizeof number);
    return number;
}

static void set_candidate(const udr_tenants_t *tenants, udr_candidate_t *candidate, const udr_glob_t *glob,
                          apr_uint32_t berth, const udr_tenant_t *tenant)
{
    *candidate = (udr_candidate_t){
        .hot = udr_shared_hot(tenants->shared, berth),
        .slot = udr_shared_slot(tenants->shared, berth),
        .identity = tenant ? identify(tenants, tenant->member.target) : 0,
        .weight = (apr_uint32_t)glob->settings.load_factor,
        .lbset = glob->settings.lbset,
        .slowstart = glob->settings.slow_start,
        .route = tenant ? tenant->member.settings.route : NULL,
        .redirect = glob->settings.redirect,
        .is_away = true,
    };
}

/* Returns whether somebody else is there. */
static bool sync_berth(udr_tenants_t *tenants, const udr_glob_t *glob, int index, udr_candidate_t *candidate)
{
    udr_tenant_t **at = &tenants->at[glob->first - tenants->first + index];
    apr_uint32_t berth = glob->berths[index];
    udr_lodging_t lodging;
    bool is_read = udr_berth_read(tenants->shared, berth, &lodging);
    /* Who came and was forgotten before this child knew of it is nobody. */
    bool is_needed = is_read && lodging.state != UDR_BERTH_FREE && *lodging.name;
    bool is_another = is_read && (*at ? lodging.tenancy != (*at)->tenancy : is_needed);
    if (is_another) {
        move_out(tenants, at);
        *at = is_needed ? move_in(tenants, glob, berth, &lodging) : NULL;
    }
    if (is_another || !candidate->hot) {
        set_candidate(tenants, candidate, glob, berth, *at);
    }
    candidate->is_away = !is_read || !*at || lodging.state != UDR_BERTH_OPEN;
    candidate->gone_at =
        *at && is_read && (lodging.state == UDR_BERTH_FREE || lodging.state == UDR_BERTH_DRAINING) ? lodging.since : 0;
    return is_another;
}

bool udr_tenants_sync(udr_tenants_t *tenants, udr_candidate_t *candidates)
{
    bool has_changed = false;
    for (int i = 0; i < tenants->balancer->globs->nelts; i++) {
        const udr_glob_t *glob = APR_ARRAY_IDX(tenants->balancer->globs, i, const udr_glob_t *);
        for (int k = 0; k < glob->growth; k++) {
            has_changed |= sync_berth(tenants, glob, k, &candidates[glob->first + k]);
        }
    }
    return has_changed;
}

int udr_tenants_tidy(udr_tenants_t *tenants)
{
    int count = 0;
    for (udr_tenant_t **link = &tenants->left; *link;) {
        udr_tenant_t *tenant = *link;
        if (atomic_load_explicit(&tenant->users, memory_order_acquire) > 0) {
            link = &tenant->next;
            count++;
            continue;
        }
        *link = tenant->next;
        (void)udr_pool_empty(tenant->member.pool);
        apr_pool_destroy(tenant->pool);
    }
    return count;
}
