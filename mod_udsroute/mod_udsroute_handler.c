/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_handler.h"
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
static void set_environment(request_rec *r, const udr_member_t *member, const udr_exchange_t *exchange)
{
    const udr_times_t *times = udr_exchange_times(exchange);
    apr_table_setn(r->subprocess_env, "UDSROUTE_MEMBER", member->target->text);
    apr_table_setn(r->subprocess_env, "BALANCER_WORKER_NAME", member->target->text);
    set_number(r, "UDSROUTE_ATTEMPTS", udr_exchange_attempts(exchange));
    set_number(r, "UDSROUTE_QUEUE_US", span(times->begun, times->turn));
    set_number(r, "UDSROUTE_CONNECT_US", span(times->connecting, times->connected));
    set_number(r, "UDSROUTE_TTFB_US", span(times->begun, times->first_byte));
    set_number(r, "UDSROUTE_TOTAL_US", span(times->begun, times->ended));
    apr_table_setn(r->subprocess_env, "UDSROUTE_PARKED", "0");
}

/* What httpd is to do after the exchange has failed. */
static int after_failure(request_rec *r, const udr_member_t *member, udr_client_t *client)
{
    int status = udr_failure_report(r, member, client);
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
    apr_brigade_cleanup(client->out);
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

static int finish(request_rec *r, const udr_member_t *member, udr_client_t *client)
{
    set_environment(r, member, client->exchange);
    if (udr_exchange_state(client->exchange) == UDR_EXCHANGE_FAILED) {
        return after_failure(r, member, client);
    }
    return client->is_overridden ? after_override(r, client) : OK;
}

static int out_of_resources(request_rec *r, const udr_member_t *member)
{
    ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, r,
                  UDRNO(0015) "no memory or descriptor left in this child to serve member %s", member->target->text);
    return HTTP_SERVICE_UNAVAILABLE;
}

static int serve(request_rec *r, const udr_match_t *match)
{
    udr_request_t *request = apr_palloc(r->pool, sizeof *request);
    int rc = udr_request_fill(request, r, match);
    if (rc != OK) {
        return rc;
    }
    udr_worker_t *worker = match->member->pool ? udr_worker_borrow() : NULL;
    if (!worker) {
        return out_of_resources(r, match->member);
    }
    udr_child_tidy_unthreaded(match->member);
    udr_client_t *client = udr_client_create(r);
    udr_exchange_plan_t plan = {
        .member = match->member,
        .request = request,
        .ops = udr_client_ops(r),
        .client = client,
        .wake = udr_worker_wake,
        .wake_baton = worker,
        .clock = udr_clock_now,
        .client_timeout = r->server->timeout,
        .pass_limit = udr_client_pass_limit(r),
    };
    client->exchange = udr_exchange_create(&plan, r->pool);
    udr_worker_run(worker, client);
    udr_worker_return(worker);
    udr_stay_earn(r->connection);
    return finish(r, match->member, client);
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
