/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_pool.h"

#include <ap_mpm.h>
#include <apr_atomic.h>
#include <apr_thread_proc.h>

#include <signal.h>

#define LOOPS_MAX 64

/* How often a loop closes what has been idle for too long and asks whether the child stops. */
#define TIDY_INTERVAL apr_time_from_sec(1)

static struct {
    udr_home_t *homes;
    int count;
    apr_uint32_t chosen; /* atomic */
    server_rec *servers;
} loops;

static __thread udr_home_t *here;

int udr_loops_count(void)
{
    return loops.count;
}

udr_home_t *udr_loops_choose(void)
{
    return &loops.homes[apr_atomic_inc32(&loops.chosen) % (apr_uint32_t)loops.count];
}

udr_home_t *udr_loops_here(void)
{
    return here;
}

static void tidy_pools(const udr_home_t *home)
{
    for (server_rec *s = loops.servers; s; s = s->next) {
        const apr_array_header_t *members = udr_server_config(s)->members;
        for (int i = 0; i < members->nelts; i++) {
            udr_pool_tidy(APR_ARRAY_IDX(members, i, udr_member_t *)->pool, home->lane, udr_loop_now(home->loop));
        }
    }
}

static void tidy(udr_timer_t *timer)
{
    udr_home_t *home = timer->baton;
    int state = AP_MPMQ_RUNNING;
    tidy_pools(home);
    if (ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING) {
        home->is_stopping = true;
        udr_adopted_close_idle(home);
    }
    udr_loop_set_timer(home->loop, timer, udr_loop_now(home->loop) + TIDY_INTERVAL);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    udr_home_t *home = data;
    (void)thread;
    here = home;
    udr_loop_set_timer(home->loop, &home->tidy_timer, udr_clock_now() + TIDY_INTERVAL);
    udr_loop_run(home->loop);
    return NULL;
}

static apr_status_t stop(void *data)
{
    udr_home_t *home = data;
    apr_status_t rv;
    udr_loop_stop(home->loop);
    apr_thread_join(&rv, home->thread);
    return APR_SUCCESS;
}

apr_status_t udr_loops_create(apr_pool_t *pchild, int count)
{
    apr_status_t rv = APR_SUCCESS;
    loops.count = 0;
    loops.homes = apr_pcalloc(pchild, (apr_size_t)(count ? count : 1) * sizeof *loops.homes);
    for (int i = 0; i < count && rv == APR_SUCCESS; i++) {
        udr_home_t *home = &loops.homes[i];
        home->lane = i + 1;
        home->tidy_timer.expired = tidy;
        home->tidy_timer.baton = home;
        home->scratch.size = 65536;
        home->scratch.ptr = apr_palloc(pchild, home->scratch.size);
        rv = udr_loop_create(&home->loop, pchild);
        loops.count += rv == APR_SUCCESS;
    }
    return rv;
}

apr_status_t udr_loops_start(apr_pool_t *pchild, server_rec *servers)
{
    sigset_t all, before;
    apr_status_t rv = APR_SUCCESS;
    loops.servers = servers;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the threads that the MPM has for them */
    for (int i = 0; i < loops.count && rv == APR_SUCCESS; i++) {
        rv = apr_thread_create(&loops.homes[i].thread, NULL, run, &loops.homes[i], pchild);
        if (rv == APR_SUCCESS) {
            apr_pool_pre_cleanup_register(pchild, &loops.homes[i], stop);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}
