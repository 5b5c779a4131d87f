/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_stay.h"
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/mod_udsroute_client.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_names.h"
#include "mod_udsroute/mod_udsroute_parking.h"
#include "mod_udsroute/mod_udsroute_worker.h"

#include <ap_mpm.h>
#include <apr_atomic.h>
#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>

#include <poll.h>

/* How long a worker stays. A client that answers at once, on this host or beside it, is back within it; a person's
 * browser is not. */
#define STAY apr_time_from_msec(2)

/* After so many requests in a row a connection queues up again behind the others that the MPM has. */
#define REQUESTS_MAX 64

static struct {
    bool is_possible;   /* an MPM that takes connections back between requests: event */
    apr_uint32_t limit; /* of threads that stay at the same time: half of all */
    apr_uint32_t count; /* atomic */
} stay;

void udr_stay_child_init(void)
{
    int is_async = 0;
    int threads = 0;
    (void)ap_mpm_query(AP_MPMQ_IS_ASYNC, &is_async);
    (void)ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    /* Where there are loops, a connection that is worth it lives there. */
    stay.is_possible = is_async && threads > 1 && udr_loops_count() == 0;
    stay.limit = (apr_uint32_t)threads / 2;
    stay.count = 0;
}

void udr_stay_earn(request_rec *r)
{
    udr_conn_t *conn = udr_conn_get(r->connection);
    conn->served_by = r->server;
    conn->is_name_wanted = udr_names_are_wanted(r);
}

static bool is_next_request_there(conn_rec *c)
{
    apr_os_sock_t fd;
    if (apr_os_sock_get(&fd, ap_get_conn_socket(c)) != APR_SUCCESS) {
        return false;
    }
    struct pollfd descriptor = {.fd = fd, .events = POLLIN};
    return poll(&descriptor, 1, (int)apr_time_as_msec(STAY)) == 1 && descriptor.revents == POLLIN;
}

static bool wait_for_next(conn_rec *c)
{
    bool is_there = false;
    if (apr_atomic_inc32(&stay.count) < stay.limit) {
        is_there = is_next_request_there(c);
    }
    apr_atomic_dec32(&stay.count);
    return is_there;
}

/* A routed request has been served, its client is to be kept and has sent no other one. */
static bool is_between_requests(const conn_rec *c, const udr_conn_t *conn)
{
    return conn->served_by && c->cs->state == CONN_STATE_WRITE_COMPLETION && c->keepalive == AP_CONN_KEEPALIVE &&
           !c->aborted && !c->data_in_input_filters;
}

static void leave_to_loop(conn_rec *c, const udr_conn_t *conn)
{
    apr_status_t rv = udr_client_write_pending(c);
    /* What is not logged yet the loop logs. */
    if ((rv == APR_SUCCESS || (APR_STATUS_IS_EAGAIN(rv) && !conn->is_name_wanted)) && udr_parking_is_open_between(c)) {
        udr_adopted_keep(c, conn->served_by);
    }
}

int udr_stay_process_connection(conn_rec *c)
{
    if ((!stay.is_possible && udr_loops_count() == 0) || c->master || !c->cs) {
        return DECLINED;
    }
    udr_conn_t *conn = udr_conn_get(c);
    if (conn->is_nested) {
        return DECLINED;
    }
    for (int served = 1;; served++) {
        conn->served_by = NULL;
        conn->is_nested = true;
        udr_worker_begin();
        int rc = ap_run_process_connection(c);
        udr_worker_end();
        conn->is_nested = false;
        if (rc != OK || !is_between_requests(c, conn)) {
            return rc;
        }
        if (!stay.is_possible) {
            leave_to_loop(c, conn);
            return rc;
        }
        if (served >= REQUESTS_MAX || udr_client_write_pending(c) != APR_SUCCESS || !wait_for_next(c)) {
            return rc;
        }
        c->cs->state = CONN_STATE_READ_REQUEST_LINE;
    }
}
