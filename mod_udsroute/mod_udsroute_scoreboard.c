/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_scoreboard.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/udr_debug.h"

#include <ap_mpm.h>
#include <apr_optional.h>
#include <apr_portable.h>
#include <http_core.h>
#include <scoreboard.h>

#include <unistd.h>

/* Where a thread stands in the scoreboard. */
typedef struct place_t {
    bool is_known; /* it has been looked for */
    int child;     /* -1: nowhere */
    int thread;
} place_t;

/* A thread keeps its place for its life. */
static __thread place_t here;

static int query(int code)
{
    int value = 0;
    (void)ap_mpm_query(code, &value);
    return value;
}

/* A worker's. The MPM tells a callback neither of them. During a restart a new child may have taken over the process's
 * entry while old threads keep theirs in it: pid and tid are the thread's own, and no other's. */
static place_t find_worker(void)
{
    place_t place = {.is_known = true, .child = -1};
    pid_t pid = getpid();
    apr_os_thread_t self = apr_os_thread_current();
    int children = query(AP_MPMQ_HARD_LIMIT_DAEMONS);
    int threads = query(AP_MPMQ_HARD_LIMIT_THREADS);
    for (int child = 0; child < children && place.child < 0; child++) {
        for (int thread = 0; thread < threads && place.child < 0; thread++) {
            const worker_score *slot = ap_get_scoreboard_worker_from_indexes(child, thread);
            if (slot && slot->pid == pid && apr_os_thread_equal(slot->tid, self)) {
                place.child = child;
                place.thread = thread;
            }
        }
    }
    return place;
}

/* A loop's: behind the workers' where ThreadLimit leaves room. Where it does not, one that a worker counts in as well,
 * and a count may get lost when both do so at the same moment. */
static place_t find_loop(const udr_home_t *home)
{
    place_t place = {.is_known = true, .child = -1};
    int children = query(AP_MPMQ_HARD_LIMIT_DAEMONS);
    int threads = query(AP_MPMQ_MAX_THREADS);
    place.thread = threads + home->lane - 1;
    if (place.thread >= query(AP_MPMQ_HARD_LIMIT_THREADS)) {
        place.thread = (home->lane - 1) % threads;
    }
    for (int child = 0; child < children && place.child < 0; child++) {
        const process_score *process = ap_get_scoreboard_process(child);
        if (process && process->pid == getpid()) {
            place.child = child;
        }
    }
    return place;
}

static void find(void)
{
    if (!here.is_known) {
        here = udr_loops_here() ? find_loop(udr_loops_here()) : find_worker();
    }
}

int udr_scoreboard_begin(int status, request_rec *r)
{
    UDR_ASSERT(status != SERVER_BUSY_LOG);
    if (udr_loops_here()) {
        return -1; /* a loop is no worker: it waits with all that it has */
    }
    find();
    return ap_update_child_status_from_indexes(here.child, here.thread, status, r);
}

void udr_scoreboard_end(int before)
{
    if (before >= 0) {
        (void)ap_update_child_status_from_indexes(here.child, here.thread, before, NULL);
    }
}

/* As httpd counts them. */
static apr_off_t count_bytes(const request_rec *r)
{
    APR_OPTIONAL_FN_TYPE(ap_logio_get_last_bytes) *last_bytes = APR_RETRIEVE_OPTIONAL_FN(ap_logio_get_last_bytes);
    if (last_bytes) {
        return last_bytes(r->connection);
    }
    return r->header_only ? 0 : r->bytes_sent;
}

/* Not ap_increment_counts(): it asks for the processor time of all threads, each time. */
int udr_scoreboard_log_transaction(request_rec *r)
{
    if (!ap_extended_status || r->connection->sbh || !udr_conn_get(r->connection)->adopted) {
        return DECLINED;
    }
    find();
    worker_score *slot = ap_get_scoreboard_worker_from_indexes(here.child, here.thread);
    if (slot) {
        apr_off_t bytes = count_bytes(r);
        apr_time_t now = apr_time_now();
        __atomic_fetch_add(&slot->access_count, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&slot->my_access_count, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&slot->bytes_served, bytes, __ATOMIC_RELAXED);
        __atomic_fetch_add(&slot->my_bytes_served, bytes, __ATOMIC_RELAXED);
        __atomic_fetch_add(&slot->duration, now - r->request_time, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->last_used, now, __ATOMIC_RELAXED);
    }
    return OK;
}
