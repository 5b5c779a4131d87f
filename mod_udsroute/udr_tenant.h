/* SPDX-License-Identifier: Apache-2.0 */
/* A child's side of a balancer's globs: for each berth the member that is in it now, with its pool of connections. A
 * member that has left stays until the last request that uses it has ended. Layer: core, below the picker, which has
 * one and whose mutex all but hold and release needs. */
#ifndef UDR_TENANT_H
#define UDR_TENANT_H

#include "mod_udsroute/udr_balancer.h"
#include "mod_udsroute/udr_berth.h"
#include "mod_udsroute/udr_roster.h"
#include "mod_udsroute/udr_yield.h"

typedef struct udr_tenants_t udr_tenants_t;

/* A glob's member in this child. */
typedef struct udr_tenant_t {
    udr_member_t member; /* its slot is the berth's */
    const udr_glob_t *glob;
    apr_pool_t *pool; /* its own, in which it lives */
    apr_uint32_t tenancy;
    _Atomic apr_uint32_t users; /* requests, and whoever goes through all members */
    struct udr_tenant_t *next;  /* of those that have left */
} udr_tenant_t;

/* For a balancer whose globs have their slots. lanes: as for udr_pool_create(). yield: as for udr_pool_share(), or
 * NULL. From p, a child's. */
apr_status_t udr_tenants_create(udr_tenants_t **tenants, const udr_balancer_t *balancer, udr_shared_t *shared,
                                int lanes, udr_yield_t *yield, apr_pool_t *p);

/* Takes in who has come and lets go of who has left. candidates: the balancer's, all places; those of the globs are
 * set. Returns whether any place has another member than before. */
bool udr_tenants_sync(udr_tenants_t *tenants, udr_candidate_t *candidates);

/* The member at this place of the balancer (that of a berth); NULL: none. */
udr_member_t *udr_tenants_member(const udr_tenants_t *tenants, int place);

/* Those that have left and that nobody uses any more: closes their connections and frees them. Returns how many of them
 * are left. By the child's own thread. */
int udr_tenants_tidy(udr_tenants_t *tenants);

/* Any thread, no mutex needed for release; both harmless for a member of the configuration. */
static inline void udr_tenant_hold(const udr_member_t *member)
{
    if (member && member->tenant) {
        atomic_fetch_add_explicit(&member->tenant->users, 1, memory_order_relaxed);
    }
}

static inline void udr_tenant_release(const udr_member_t *member)
{
    if (member && member->tenant) {
        atomic_fetch_sub_explicit(&member->tenant->users, 1, memory_order_release);
    }
}

#endif
