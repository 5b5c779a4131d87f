/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/udr_clock.h"

#include <ap_mpm.h>
#include <mpm_common.h>
#include <apr_atomic.h>
#include <apr_thread_proc.h>

#include <signal.h>

/* How often a loop looks after what has been left. */
#define TIDY_INTERVAL apr_time_from_msec(250)

/* How long a child that ends gracefully waits for clients to close that have their last answer: as the MPM does. */
#define LINGER_AT_END apr_time_from_sec(2)

static struct {
    udr_home_t *homes;
    int count;           /* of those that connections live on */
    int threads;         /* as many, or the one that only looks after the rest */
    apr_uint32_t chosen; /* atomic */
    void (*tidy)(int lane, apr_time_t now);
    udr_watch_t attended[2]; /* by the first loop */
    int attended_count;
    bool are_ending;
} loops;

static __thread udr_home_t *here;

int udr_loops_count(void)
{
    return loops.count;
}

udr_loop_t *udr_loops_first(void)
{
    return loops.homes[0].loop;
}

udr_home_t *udr_loops_choose(void)
{
    return &loops.homes[apr_atomic_inc32(&loops.chosen) % (apr_uint32_t)loops.count];
}

udr_home_t *udr_loops_here(void)
{
    return here;
}

void udr_loops_hold(udr_home_t *home, udr_held_t *held, udr_held_t now)
{
    if (*held == now) {
        return;
    }
    /* One writer: cheaper than an atomic addition. */
    unsigned int from = atomic_load_explicit(&home->held[*held], memory_order_relaxed);
    unsigned int to = atomic_load_explicit(&home->held[now], memory_order_relaxed);
    atomic_store_explicit(&home->held[*held], from - (*held != UDR_HELD_NOT), memory_order_relaxed);
    atomic_store_explicit(&home->held[now], to + (now != UDR_HELD_NOT), memory_order_relaxed);
    *held = now;
}

unsigned int udr_loops_held(udr_held_t held)
{
    unsigned int sum = 0;
    for (int i = 0; i < loops.count; i++) {
        sum += atomic_load_explicit(&loops.homes[i].held[held], memory_order_relaxed);
        sum += held == UDR_HELD_CLOSING ? udr_linger_count(loops.homes[i].linger) : 0;
    }
    return sum;
}

/* --- the end of the child ------------------------------------------------------------------------------------------
 */

static void end_idle(udr_home_t *home)
{
    home->is_stopping = true;
    home->stopping_since = udr_loop_now(home->loop);
    udr_adopted_close_idle(home);
}

/* Exchanges end by themselves; a tunnel may last for days, and so would the child, in the place of a new one. */
static void end_tunnels_in_time(udr_home_t *home, apr_time_t now)
{
    apr_interval_time_t patience = apr_time_from_sec(ap_graceful_shutdown_timeout);
    if (home->is_stopping && patience > 0 && now - home->stopping_since >= patience) {
        udr_adopted_end_tunnels(home);
    }
}

#if UDR_HAS_CHILD_STOPPING

static void stop_gracefully(udr_task_t *task)
{
    end_idle(task->baton);
}

static void stop_at_once(udr_task_t *task)
{
    udr_home_t *home = task->baton;
    home->is_stopping = true;
    home->is_killed = true;
    udr_adopted_free_workers(home);
}

/* Once: the MPM may change its mind from a graceful end to a quick one, but hardly twice. */
static void post_once(const udr_home_t *home, udr_task_t *task, apr_uint32_t *is_posted)
{
    if (apr_atomic_xchg32(is_posted, 1) == 0) {
        udr_loop_post(home->loop, task);
    }
}

void udr_loops_child_stopping(apr_pool_t *pchild, int graceful)
{
    (void)pchild;
    for (int i = 0; i < loops.count; i++) {
        udr_home_t *home = &loops.homes[i];
        if (graceful) {
            post_once(home, &home->stop_task, &home->stop_is_posted);
        } else {
            post_once(home, &home->kill_task, &home->kill_is_posted);
        }
    }
}

#endif

/* Where httpd does not tell. */
static bool is_child_stopping(void)
{
    int state = AP_MPMQ_RUNNING;
    return !UDR_HAS_CHILD_STOPPING && ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS &&
           state == AP_MPMQ_STOPPING;
}

/* --- the threads ---------------------------------------------------------------------------------------------------
 */

static void tidy(udr_timer_t *timer)
{
    udr_home_t *home = timer->baton;
    apr_time_t now = udr_loop_now(home->loop);
    if (home == loops.homes) {
        loops.tidy(0, now);
    }
    if (home->lane > 0) {
        loops.tidy(home->lane, now);
    }
    if (!home->is_stopping && is_child_stopping()) {
        end_idle(home);
    }
    end_tunnels_in_time(home, now);
    udr_loop_set_timer(home->loop, timer, now + TIDY_INTERVAL);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    udr_home_t *home = data;
    (void)thread;
    here = home;
    udr_loop_set_timer(home->loop, &home->tidy_timer, udr_clock_now()); /* at once: who makes the checks is open */
    udr_loop_run(home->loop);
    return NULL;
}

static void end(void *baton)
{
    udr_home_t *home = baton;
    udr_loop_stop(home->loop);
}

/* The MPM waits for its own connections in the same way. */
static void end_in_time(udr_task_t *task)
{
    udr_home_t *home = task->baton;
    bool is_graceful = home->is_stopping && !home->is_killed;
    udr_linger_await_end(home->linger, is_graceful ? LINGER_AT_END : 0, end, home);
}

/* All at once: one after the other, each would take its time to wait for clients. */
static void begin_to_end(void)
{
    for (int i = 0; i < loops.threads && !loops.are_ending; i++) {
        udr_loop_post(loops.homes[i].loop, &loops.homes[i].end_task);
    }
    loops.are_ending = true;
}

static apr_status_t stop(void *data)
{
    udr_home_t *home = data;
    apr_status_t rv;
    begin_to_end();
    apr_thread_join(&rv, home->thread);
    udr_pipes_close(&home->pipes);
    return APR_SUCCESS;
}

static void init_home(udr_home_t *home, int lane, apr_pool_t *pchild)
{
    home->lane = lane;
    home->tidy_timer.expired = tidy;
    home->tidy_timer.baton = home;
#if UDR_HAS_CHILD_STOPPING
    home->stop_task = (udr_task_t){.run = stop_gracefully, .baton = home};
    home->kill_task = (udr_task_t){.run = stop_at_once, .baton = home};
#endif
    home->end_task = (udr_task_t){.run = end_in_time, .baton = home};
    home->scratch.size = 65536;
    home->scratch.pipes = &home->pipes;
    home->scratch.ptr = apr_palloc(pchild, home->scratch.size);
}

apr_status_t udr_loops_create(apr_pool_t *pchild, int count, bool is_threaded, unsigned int lingering)
{
    apr_status_t rv = APR_SUCCESS;
    int threads = count == 0 && is_threaded ? 1 : count;
    loops.count = 0;
    loops.threads = 0;
    loops.attended_count = 0;
    loops.are_ending = false;
    loops.homes = apr_pcalloc(pchild, (apr_size_t)(threads ? threads : 1) * sizeof *loops.homes);
    for (int i = 0; i < threads && rv == APR_SUCCESS; i++) {
        init_home(&loops.homes[i], i < count ? i + 1 : 0, pchild);
        rv = udr_loop_create(&loops.homes[i].loop, pchild);
        if (rv == APR_SUCCESS) {
            loops.homes[i].linger = udr_linger_create(loops.homes[i].loop, lingering, pchild);
        }
        loops.threads += rv == APR_SUCCESS;
        loops.count += rv == APR_SUCCESS && i < count;
    }
    return rv;
}

/* It gets no signals: those are for the threads that the MPM has for them. */
static apr_status_t start_thread(udr_home_t *home, apr_pool_t *pchild)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    apr_status_t rv = apr_thread_create(&home->thread, NULL, run, home, pchild);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

apr_status_t udr_loops_attend(int fd, void (*ready)(udr_watch_t *watch, uint32_t events))
{
    if (loops.attended_count == sizeof loops.attended / sizeof *loops.attended) {
        return APR_ENOSPC;
    }
    udr_watch_t *watch = &loops.attended[loops.attended_count++];
    watch->ready = ready;
    return udr_loop_watch(loops.homes[0].loop, watch, fd);
}

apr_status_t udr_loops_start(apr_pool_t *pchild, void (*tidy_lane)(int lane, apr_time_t now))
{
    apr_status_t rv = APR_SUCCESS;
    loops.tidy = tidy_lane;
    for (int i = 0; i < loops.threads && rv == APR_SUCCESS; i++) {
        rv = start_thread(&loops.homes[i], pchild);
        if (rv == APR_SUCCESS) {
            apr_pool_pre_cleanup_register(pchild, &loops.homes[i], stop);
        }
    }
    return rv;
}
