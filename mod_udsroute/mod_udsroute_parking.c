/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_parking.h"
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/mod_udsroute_input.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_names.h"
#include "mod_udsroute/mod_udsroute_sethandler.h"
#include "mod_udsroute/mod_udsroute_worker.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_trial.h"

#include <ap_mpm.h>
#include <http_core.h>
#include <http_protocol.h>

/* So much a loop may give core's output filter at once: the longest head, half of what is passed on without waiting,
 * and what that filter keeps back. */
#define PASSED_AT_ONCE 36864

/* How many of the threads that wait for members are many, in eighths of all. */
#define SCARCE 1 /* a connection that is there for the first time might find none for its next request */
#define MOST   6

/* With a request that is its connection's last one a worker waits for so many times UDSPark. */
#define PATIENCE_WITH_LAST 10

/* A connection on a loop without a further routed request has cost about so much more than with the MPM, in
 * microseconds: its memory is not used again (see udr_parking_patience()). */
#define COST_OF_CONNECTION 100

/* ... and each of its requests to another handler, for which a worker has to be called. */
#define COST_OF_REQUEST 40

/* What that may take of this child's time; more while the MPM closes what it keeps, or nearly. */
static udr_trial_t trial = {.share = 50};
static udr_trial_t trial_while_scarce = {.share = 10};

static bool has_body(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Content-Length") || apr_table_get(r->headers_in, "Transfer-Encoding");
}

/* Filters of the request's body (INFLATE, mod_security) may block or burn. */
static bool has_filtered_body(const request_rec *r)
{
    return r->input_filters != r->proto_input_filters && has_body(r);
}

/* By the last hop (Max-Forwards) httpd answers, and waits for the body. */
static bool has_body_for_httpd(const request_rec *r)
{
    return (r->method_number == M_OPTIONS || r->method_number == M_TRACE) && has_body(r) &&
           apr_table_get(r->headers_in, "Max-Forwards");
}

/* A child that stops leaves when nobody is connected any more, and may have counted before this worker's connection
 * was: it does not wait for what is handed over from then on. (A connection that is adopted already has been counted.)
 */
static bool is_stopping(void)
{
    int state = AP_MPMQ_RUNNING;
    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

/* FlushMaxPipelined 0, or a low FlushMaxThreshold: core's output filter then waits for each client to take its answer,
 * which is for workers to do. */
static bool is_flushed_at_once(const conn_rec *c)
{
    const core_server_config *core = ap_get_core_module_config(c->base_server->module_config);
    return core->flush_max_pipelined == 0 || core->flush_max_threshold < PASSED_AT_ONCE;
}

bool udr_parking_is_open_to(conn_rec *c)
{
    return udr_loops_count() > 0 && !udr_loops_here() && !c->master && c->cs && !c->clogging_input_filters &&
           !is_flushed_at_once(c) && (udr_conn_get(c)->adopted || !is_stopping());
}

bool udr_parking_is_possible(request_rec *r)
{
    return !r->main && !r->prev && udr_parking_is_open_to(r->connection) && !has_filtered_body(r);
}

/* Is the connection to stay for another request? */
static bool is_to_stay(request_rec *r)
{
    return r->server->keep_alive && r->proto_num >= HTTP_VERSION(1, 1) &&
           !ap_find_token(r->pool, apr_table_get(r->headers_in, "Connection"), "close");
}

bool udr_parking_is_earned(request_rec *r)
{
    return (udr_conn_get(r->connection)->routed > 1 || udr_worker_are_busy(SCARCE)) && is_to_stay(r);
}

bool udr_parking_is_open_between(conn_rec *c)
{
    udr_conn_t *conn = udr_conn_get(c);
    if (!udr_parking_is_open_to(c)) {
        return false;
    }
    if (conn->routed > 1) {
        return true;
    }
    apr_time_t now = udr_clock_now();
    udr_trial_t *open = udr_worker_were_scarce(now) ? &trial_while_scarce : &trial;
    conn->trial = udr_trial_begin(open, COST_OF_CONNECTION, now) ? open : NULL;
    return conn->trial != NULL;
}

void udr_parking_pays(conn_rec *c)
{
    udr_conn_t *conn = udr_conn_get(c);
    if (conn->trial) {
        udr_trial_succeed(conn->trial, COST_OF_CONNECTION);
        conn->trial = NULL;
    }
}

/* The MPM uses the memory of a connection again that ends in its hands; one that ends on a loop costs a dozen calls of
 * mmap(2) and munmap(2), and as many page faults. One that has no further request has nothing from the loop but that.
 */
apr_interval_time_t udr_parking_patience(request_rec *r)
{
    apr_interval_time_t park = udr_server_config(r->server)->park;
    return is_to_stay(r) || udr_worker_are_busy(MOST) ? park : park * PATIENCE_WITH_LAST;
}

/* An error page of httpd's for a request that it could not even read: that can't be suspended. A file it may be; for
 * anything else httpd's own text has to do, and the loop goes on. */
static int within_another(request_rec *r)
{
    udr_input_omit_body(r);
    if (r->finfo.filetype == APR_REG && r->handler &&
        (strcmp(r->handler, "default-handler") == 0 || strncmp(r->handler, "text/", 5) == 0)) {
        return DECLINED;
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "%s can't be served on a loop, within another request", r->uri);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* A body that has to be there before anything is sent: reading it waits for the client. */
static bool is_to_be_spooled(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Transfer-Encoding") && udr_sethandler_leads_to_cgi(r);
}

/* CGI programs are told the client's name with their request. */
static bool is_to_be_told_a_name(const request_rec *r)
{
    return udr_names_are_wanted(r) && udr_sethandler_leads_to_cgi(r);
}

int udr_parking_guard(request_rec *r)
{
    if (!udr_loops_here()) {
        return DECLINED;
    }
    if (r->main || r->prev) {
        return within_another(r);
    }
    if ((udr_match_get(r) || udr_sethandler_is_ours(r)) && !has_filtered_body(r) && !is_to_be_spooled(r) &&
        !is_to_be_told_a_name(r) && !has_body_for_httpd(r)) {
        return DECLINED;
    }
    udr_trial_t *open = udr_conn_get(r->connection)->trial;
    if (open) {
        udr_trial_charge(open, COST_OF_REQUEST, udr_clock_now());
    }
    udr_adopted_send_to_worker(r, NULL);
    return SUSPENDED;
}
