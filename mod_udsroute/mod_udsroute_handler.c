/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_handler.h"
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/mod_udsroute_child.h"
#include "mod_udsroute/mod_udsroute_client.h"
#include "mod_udsroute/mod_udsroute_failure.h"
#include "mod_udsroute/mod_udsroute_request.h"
#include "mod_udsroute/mod_udsroute_response.h"
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/mod_udsroute_sethandler.h"
#include "mod_udsroute/mod_udsroute_stay.h"
#include "mod_udsroute/mod_udsroute_worker.h"
#include "mod_udsroute/udr_clock.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <mod_core.h>

/* RFC 9110, 7.6.2: TRACE and OPTIONS count their hops down, and are answered here at 0. DECLINED: go on. */
static int answer_last_hop(request_rec *r)
{
    const char *text = apr_table_get(r->headers_in, "Max-Forwards");
    int hops;
    if (!text || (r->method_number != M_TRACE && r->method_number != M_OPTIONS)) {
        return DECLINED;
    }
    if (udr_value_int(&hops, text, 0, 1000000, r->pool) != NULL) {
        return HTTP_BAD_REQUEST;
    }
    if (hops == 0) {
        r->proxyreq = PROXYREQ_NONE;
        return r->method_number == M_TRACE ? ap_send_http_trace(r) : ap_send_http_options(r);
    }
    apr_table_setn(r->headers_in, "Max-Forwards", apr_itoa(r->pool, hops - 1));
    return DECLINED;
}

static void set_number(request_rec *r, const char *name, apr_int64_t number)
{
    apr_table_setn(r->subprocess_env, name, apr_psprintf(r->pool, "%" APR_INT64_T_FMT, number));
}

static apr_int64_t span(apr_time_t from, apr_time_t to)
{
    return from && to > from ? to - from : 0;
}

/* What LogFormat's %{UDSROUTE_…}e shows. */
static void set_environment(request_rec *r, const udr_client_t *client)
{
    const udr_member_t *member = client->member;
    const udr_exchange_t *exchange = client->exchange;
    const udr_times_t *times = udr_exchange_times(exchange);
    apr_table_setn(r->subprocess_env, "UDSROUTE_MEMBER", member->target->text);
    apr_table_setn(r->subprocess_env, "BALANCER_WORKER_NAME", member->target->text);
    set_number(r, "UDSROUTE_ATTEMPTS", udr_exchange_attempts(exchange));
    set_number(r, "UDSROUTE_QUEUE_US", span(times->begun, times->turn));
    set_number(r, "UDSROUTE_CONNECT_US", span(times->connecting, times->connected));
    set_number(r, "UDSROUTE_TTFB_US", span(times->begun, times->first_byte));
    set_number(r, "UDSROUTE_TOTAL_US", span(times->begun, times->ended));
    apr_table_setn(r->subprocess_env, "UDSROUTE_PARKED", client->is_parked ? "1" : "0");
}

/* What httpd is to do after the exchange has failed. */
static int after_failure(request_rec *r, udr_client_t *client)
{
    int status = udr_failure_report(r, client->member, client);
    if (udr_exchange_failure(client->exchange)->kind == UDR_FAILURE_CLIENT_GONE) {
        r->connection->aborted = 1;
        r->connection->keepalive = AP_CONN_CLOSE;
        if (client->has_passed) {
            return DONE;
        }
        udr_client_take_back(client);
        return status;
    }
    if (udr_exchange_failure(client->exchange)->error == AP_FILTER_ERROR) {
        return AP_FILTER_ERROR; /* the filter has answered in our place; ap_die() knows */
    }
    if (client->has_passed) {
        udr_client_break_off(client);
        return DONE;
    }
    udr_client_take_back(client);
    if (!udr_exchange_body_taken(client->exchange)) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    return status;
}

static int keep_field(void *baton, const char *name, const char *value)
{
    request_rec *r = baton;
    apr_table_addn(r->err_headers_out, name, value);
    return 1;
}

/* The member's answer is replaced by httpd's page for its status; how to log in stays, as with ProxyErrorOverride. */
static int after_override(request_rec *r, udr_client_t *client)
{
    int status = client->member_status;
    apr_table_do(keep_field, r, r->headers_out, "WWW-Authenticate", "Proxy-Authenticate", NULL);
    udr_client_take_back(client);
    return status;
}

int udr_handler_finish(udr_client_t *client)
{
    request_rec *r = client->r;
    set_environment(r, client);
    if (udr_exchange_state(client->exchange) == UDR_EXCHANGE_FAILED) {
        return after_failure(r, client);
    }
    return client->is_overridden ? after_override(r, client) : OK;
}

bool udr_handler_is_plain(const udr_client_t *client)
{
    return udr_exchange_state(client->exchange) == UDR_EXCHANGE_DONE && !client->is_overridden;
}

static int out_of_resources(request_rec *r, const udr_member_t *member)
{
    ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, r,
                  UDRNO(0015) "no memory or descriptor left in this child to serve member %s", member->target->text);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* On a loop: starts, and leaves the rest to it. */
static int serve_on_loop(udr_client_t *client, udr_exchange_plan_t *plan)
{
    request_rec *r = client->r;
    udr_adopted_plan(r, plan);
    client->exchange = udr_exchange_create(plan, r->pool);
    if (udr_exchange_run(client->exchange, &udr_loops_here()->scratch, 0, udr_clock_now())) {
        udr_adopted_park(client);
        return SUSPENDED;
    }
    if (!udr_handler_is_plain(client)) {
        udr_adopted_send_to_worker(r, client);
        return SUSPENDED;
    }
    return udr_handler_finish(client);
}

/* How long this thread may wait before a loop takes over; under 0: to the end. */
static apr_interval_time_t patience(request_rec *r)
{
    if (!udr_adopted_may_park(r)) {
        return -1;
    }
    return udr_adopted_has_earned(r) ? 0 : udr_server_config(r->server)->park;
}

static int serve_on_worker(udr_client_t *client, udr_exchange_plan_t *plan)
{
    request_rec *r = client->r;
    udr_worker_t *worker = udr_worker_borrow();
    if (!worker) {
        return out_of_resources(r, client->member);
    }
    plan->wake = udr_worker_wake;
    plan->wake_baton = worker;
    client->exchange = udr_exchange_create(plan, r->pool);
    bool has_ended = udr_worker_run(worker, client, patience(r));
    if (!has_ended) {
        udr_adopted_park(client);
    }
    udr_worker_return(worker);
    if (!has_ended) {
        return SUSPENDED;
    }
    udr_stay_earn(r->connection);
    return udr_handler_finish(client);
}

static int serve(request_rec *r, const udr_match_t *match)
{
    udr_request_t *request = apr_palloc(r->pool, sizeof *request);
    int rc = udr_request_fill(request, r, match);
    if (rc != OK) {
        return rc;
    }
    if (!match->member->pool) {
        return out_of_resources(r, match->member);
    }
    udr_child_tidy_unthreaded(match->member);
    udr_client_t *client = udr_client_create(r, match->member);
    udr_exchange_plan_t plan = {
        .member = match->member,
        .request = request,
        .ops = udr_client_ops(r),
        .client = client,
        .clock = udr_clock_now,
        .client_timeout = r->server->timeout,
        .pass_limit = udr_client_pass_limit(r),
    };
    udr_conn_get(r->connection)->routed++;
    return udr_loops_here() && !r->main && !r->prev ? serve_on_loop(client, &plan) : serve_on_worker(client, &plan);
}

int udr_handler(request_rec *r)
{
    const udr_match_t *match = udr_match_get(r);
    if (!match) {
        match = udr_route_match_again(r);
    }
    if (!match) {
        if (!udr_sethandler_is_ours(r)) {
            return DECLINED;
        }
        int rc = r->method_number == M_CONNECT ? HTTP_METHOD_NOT_ALLOWED : udr_sethandler_match(r, &match);
        if (rc != OK) {
            return rc;
        }
    }
    r->proxyreq = PROXYREQ_REVERSE;
    int rc = answer_last_hop(r);
    return rc == DECLINED ? serve(r, match) : rc;
}
