/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_child.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_stay.h"
#include "mod_udsroute/mod_udsroute_worker.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_explanation.h"
#include "mod_udsroute/udr_pool.h"

#include <ap_mpm.h>
#include <apr_portable.h>
#include <apr_thread_cond.h>

#include <signal.h>

#define TIDY_INTERVAL apr_time_from_sec(1)

static struct {
    bool is_threaded;
    server_rec *servers;
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *cond;
    bool stops; /* needs the mutex */
} child;

static void tidy(void)
{
    apr_time_t now = udr_clock_now();
    for (server_rec *s = child.servers; s; s = s->next) {
        const apr_array_header_t *members = udr_server_config(s)->members;
        for (int i = 0; i < members->nelts; i++) {
            udr_pool_tidy(APR_ARRAY_IDX(members, i, udr_member_t *)->pool, 0, now);
        }
    }
}

static void *APR_THREAD_FUNC keep_tidy(apr_thread_t *thread, void *data)
{
    (void)thread;
    (void)data;
    apr_thread_mutex_lock(child.mutex);
    while (!child.stops) {
        apr_status_t rv = apr_thread_cond_timedwait(child.cond, child.mutex, TIDY_INTERVAL);
        if (APR_STATUS_IS_TIMEUP(rv)) {
            apr_thread_mutex_unlock(child.mutex);
            tidy();
            apr_thread_mutex_lock(child.mutex);
        }
    }
    apr_thread_mutex_unlock(child.mutex);
    return NULL;
}

static apr_status_t stop_thread(void *data)
{
    apr_status_t rv;
    (void)data;
    apr_thread_mutex_lock(child.mutex);
    child.stops = true;
    apr_thread_cond_signal(child.cond);
    apr_thread_mutex_unlock(child.mutex);
    apr_thread_join(&rv, child.thread);
    return APR_SUCCESS;
}

static apr_status_t start_thread(apr_pool_t *pchild)
{
    sigset_t all, before;
    apr_status_t rv = apr_thread_mutex_create(&child.mutex, APR_THREAD_MUTEX_DEFAULT, pchild);
    if (rv == APR_SUCCESS) {
        rv = apr_thread_cond_create(&child.cond, pchild);
    }
    if (rv == APR_SUCCESS) {
        /* Signals are for the threads that the MPM has for them. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rv = apr_thread_create(&child.thread, NULL, keep_tidy, NULL, pchild);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (rv == APR_SUCCESS) {
        /* Before the pools of the members go, which are made of the same pool. */
        apr_pool_pre_cleanup_register(pchild, NULL, stop_thread);
    }
    return rv;
}

static apr_status_t make_pools(apr_pool_t *pchild, server_rec *servers, int *count)
{
    *count = 0;
    for (server_rec *s = servers; s; s = s->next) {
        const apr_array_header_t *members = udr_server_config(s)->members;
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

void udr_child_init(apr_pool_t *pchild, server_rec *s)
{
    int threaded = 0;
    int count = 0;
    (void)ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    child.is_threaded = threaded != AP_MPMQ_NOT_SUPPORTED;
    child.servers = s;
    child.stops = false;
    /* The loops come first: the members' pools, made later, are cleaned up while they are there. */
    apr_status_t rv = udr_loops_create(pchild, loops_wanted(s));
    udr_stay_child_init();
    if (rv == APR_SUCCESS) {
        rv = make_pools(pchild, s, &count);
    }
    if (rv == APR_SUCCESS) {
        rv = udr_worker_child_init(pchild);
    }
    /* A prefork child runs its cleanups from a signal handler: no thread may have to be waited for there. */
    if (rv == APR_SUCCESS && child.is_threaded && count > 0) {
        rv = start_thread(pchild);
    }
    if (rv == APR_SUCCESS && count > 0) {
        rv = udr_loops_start(pchild, s);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, UDRNO(0016) "this child can't serve routed requests");
    }
}

void udr_child_tidy_unthreaded(const udr_member_t *member)
{
    if (!child.is_threaded) {
        udr_pool_tidy(member->pool, 0, udr_clock_now());
    }
}
