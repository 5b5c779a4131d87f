/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_child.h"
#include "mod_udsroute/mod_udsroute_capacity.h"
#include "mod_udsroute/mod_udsroute_checks.h"
#include "mod_udsroute/mod_udsroute_debug.h"
#include "mod_udsroute/mod_udsroute_globs.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/mod_udsroute_stay.h"
#include "mod_udsroute/mod_udsroute_watch.h"
#include "mod_udsroute/mod_udsroute_worker.h"
#include "mod_udsroute/mod_udsroute_yield.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_explanation.h"
#include "mod_udsroute/udr_picker.h"
#include "mod_udsroute/udr_pool.h"

#include <ap_mpm.h>

#include <errno.h>
#include <stdlib.h>

#define TIDY_INTERVAL   apr_time_from_sec(1)
#define ATTEND_INTERVAL apr_time_from_msec(250)

static struct {
    bool is_threaded;
    bool forgets_checks; /* without threads: nobody makes any that would */
    server_rec *servers;
    apr_time_t attended_at; /* without threads */
} child;

/* Whose turn it is to be tidied. */
typedef struct tidying_t {
    int lane;
    apr_time_t now;
} tidying_t;

static void tidy_member(void *baton, udr_member_t *member, apr_uint32_t state)
{
    const tidying_t *tidying = baton;
    (void)state;
    (void)udr_pool_tidy(member->pool, tidying->lane, tidying->now);
}

static void tidy_balancer(const udr_balancer_t *balancer, int lane, apr_time_t now)
{
    tidying_t tidying = {.lane = lane, .now = now};
    if (balancer->picker) {
        udr_picker_visit(balancer->picker, tidy_member, &tidying);
    }
}

/* Four times a second. Of all members: what has been idle in that lane for too long is closed, once a second. */
static void tidy(int lane, apr_time_t now)
{
    if (lane == 0) {
        udr_share_attend();
        udr_globs_attend(now);
        (void)udr_checks_attend(now);
        udr_watch_attend(now);
    }
    if (now / ATTEND_INTERVAL % (TIDY_INTERVAL / ATTEND_INTERVAL) != 0) {
        return;
    }
    for (server_rec *s = child.servers; s; s = s->next) {
        const apr_array_header_t *balancers = udr_server_config(s)->balancers;
        for (int i = 0; udr_server_has_own_config(s, child.servers) && i < balancers->nelts; i++) {
            tidy_balancer(APR_ARRAY_IDX(balancers, i, const udr_balancer_t *), lane, now);
        }
    }
}

static void signal_has_come(udr_watch_t *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    udr_share_wake();
    (void)udr_yield_run(udr_share_yield(), true, 0);
}

static void files_have_changed(udr_watch_t *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    udr_watch_read();
}

/* A prefork child runs its cleanups from a signal handler: no thread may have to be waited for there, and there are
 * only those that are needed. */
static apr_status_t start_unthreaded(void)
{
    apr_status_t rv = udr_yield_is_wanted(child.servers) ? udr_yield_start_alone() : APR_SUCCESS;
    child.forgets_checks = !udr_checks_are_wanted(child.servers);
    if (rv == APR_SUCCESS && !child.forgets_checks) {
        return udr_checks_start_alone(child.servers);
    }
    udr_checks_forget_alone(child.servers);
    return rv;
}

/* The threads, the first of which keeps the pools tidy. */
static apr_status_t start(apr_pool_t *pchild)
{
    if (!child.is_threaded) {
        return start_unthreaded();
    }
    udr_checks_init(child.servers, udr_loops_first(), pchild);
    apr_status_t rv = udr_loops_attend(udr_share_descriptor(), signal_has_come);
    if (rv == APR_SUCCESS && udr_watch_descriptor() >= 0) {
        rv = udr_loops_attend(udr_watch_descriptor(), files_have_changed);
    }
    return rv == APR_SUCCESS ? udr_loops_start(pchild, tidy) : rv;
}

static apr_status_t make_pools(apr_pool_t *pchild, server_rec *servers, int *count)
{
    *count = 0;
    for (server_rec *s = servers; s; s = s->next) {
        const apr_array_header_t *members = udr_server_config(s)->members;
        *count += udr_server_config(s)->globs->nelts;
        for (int i = 0; i < members->nelts; i++) {
            udr_member_t *member = APR_ARRAY_IDX(members, i, udr_member_t *);
            if (member->pool) {
                continue; /* a virtual host without lines of its own has the main server's configuration itself */
            }
            apr_status_t rv = udr_explanation_create(&member->explanation, pchild);
            if (rv == APR_SUCCESS) {
                rv = udr_pool_create(&member->pool, member, 1 + udr_loops_count(), pchild);
            }
            if (rv != APR_SUCCESS) {
                return rv;
            }
            ++*count;
        }
    }
    return APR_SUCCESS;
}

/* Only the event MPM lets go of a connection between two steps of a request. */
static int loops_wanted(const server_rec *s)
{
    int is_async = 0;
    (void)ap_mpm_query(AP_MPMQ_IS_ASYNC, &is_async);
    return is_async ? udr_server_config(s)->loops : 0;
}

/* How many sockets of each loop may wait for clients to close. */
static unsigned int may_linger(const server_rec *s)
{
    udr_capacity_t capacity;
    return udr_capacity_get(&capacity, s) ? capacity.lingering : UDR_LINGER_MAX;
}

/* No row is free, because others have to be looked after first that died, or this child is one of a generation long
 * gone. A row can be claimed only by a thread that lives as long as the child, which is this one, and now: so the child
 * ends, and httpd makes another, at its leisure (that is what this status asks of it). The others serve meanwhile. */
static void end_for_want_of_a_row(server_rec *s, apr_status_t rv)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                 UDRNO(0039) "this child has found no row in the shared memory: it ends, and httpd makes another");
    exit(APEXIT_CHILDSICK);
}

void udr_child_init(apr_pool_t *pchild, server_rec *s)
{
    int threaded = 0;
    int count = 0;
    (void)ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    child.is_threaded = threaded != AP_MPMQ_NOT_SUPPORTED;
    child.servers = s;
    udr_debug_child_init(pchild, s);
    /* The loops come first: the members' pools, made later, are cleaned up while they are there. */
    apr_status_t rv = udr_loops_create(pchild, loops_wanted(s), child.is_threaded, may_linger(s));
    udr_stay_child_init();
    if (rv == APR_SUCCESS) {
        rv = make_pools(pchild, s, &count);
    }
    if (rv == APR_SUCCESS) {
        rv = udr_worker_child_init(pchild);
    }
    if (rv == APR_SUCCESS && count > 0) {
        rv = udr_share_join(s, pchild);
        if (APR_STATUS_IS_ENOSPC(rv) || rv == ESTALE) {
            end_for_want_of_a_row(s, rv);
        }
    }
    if (rv == APR_SUCCESS && count > 0) {
        rv = udr_globs_start(s, child.is_threaded, pchild);
    }
    if (rv == APR_SUCCESS && count > 0 && child.is_threaded) {
        udr_watch_start(s, true, pchild);
    }
    if (rv == APR_SUCCESS && count > 0) {
        rv = start(pchild);
    }
    if (rv != APR_SUCCESS) {
        udr_share_withdraw(s);
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, UDRNO(0016) "this child can't serve routed requests");
    }
}

void udr_child_attend_unthreaded(void)
{
    apr_time_t now = udr_clock_now();
    if (!child.is_threaded && now - child.attended_at >= ATTEND_INTERVAL) {
        child.attended_at = now;
        udr_share_attend();
        udr_globs_attend(now);
        if (child.forgets_checks) {
            udr_checks_forget_alone(child.servers);
        }
    }
}

void udr_child_tidy_unthreaded(const udr_balancer_t *balancer)
{
    if (!child.is_threaded) {
        tidy_balancer(balancer, 0, udr_clock_now());
        udr_child_attend_unthreaded();
    }
}
