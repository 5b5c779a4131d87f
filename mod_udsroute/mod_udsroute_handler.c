/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_handler.h"
#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/mod_udsroute_child.h"
#include "mod_udsroute/mod_udsroute_client.h"
#include "mod_udsroute/mod_udsroute_environment.h"
#include "mod_udsroute/mod_udsroute_failure.h"
#include "mod_udsroute/mod_udsroute_names.h"
#include "mod_udsroute/mod_udsroute_occasion.h"
#include "mod_udsroute/mod_udsroute_parking.h"
#include "mod_udsroute/mod_udsroute_request.h"
#include "mod_udsroute/mod_udsroute_response.h"
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/mod_udsroute_sethandler.h"
#include "mod_udsroute/mod_udsroute_stay.h"
#include "mod_udsroute/mod_udsroute_worker.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_debug.h"
#include "mod_udsroute/udr_shared.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_protocol.h>
#include <mod_core.h>

/* RFC 9110, 7.6.2: TRACE and OPTIONS count their hops down, and are answered here at 0. DECLINED: go on;
 * udr_request_fill() counts. */
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
    return DECLINED;
}

/* What httpd is to do after the exchange has failed. */
static int after_failure(request_rec *r, udr_client_t *client)
{
    int status = udr_failure_report(r, client->member, client);
    udr_failure_kind_t kind = udr_exchange_failure(client->exchange)->kind;
    if (client->is_tunnel) {
        /* A tunnel that is cut must not look like one that was closed. */
        r->connection->aborted = kind != UDR_FAILURE_TUNNEL_IDLE;
        return DONE;
    }
    if (kind == UDR_FAILURE_CLIENT_GONE) {
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
        /* As for core's output filter, when it has waited for Timeout in vain. Whether the client is waited for once
         * more must not hang on where its last bytes are: with the filters, in a pipe or in its socket. */
        if (kind == UDR_FAILURE_CLIENT_TIMEOUT && !r->connection->master &&
            udr_exchange_client_is_full(client->exchange)) {
            r->connection->aborted = 1;
        }
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

/* For the log: what went through it counts as the bodies of request and response. */
static void count_tunnel(request_rec *r, const udr_exchange_t *exchange)
{
    apr_uint64_t sent, received;
    (void)udr_exchange_is_tunnel(exchange, &sent, &received);
    r->read_length += (apr_off_t)sent;
    r->bytes_sent += (apr_off_t)received;
    r->sent_bodyct = 1; /* else %B shows 0 */
}

/* In the connection's memory, as parked requests and tunnels are many and have no page to spare; a page within a page
 * (mod_include) has one of its own. */
static udr_exchange_t *create_exchange(udr_client_t *client, const udr_exchange_plan_t *plan)
{
    request_rec *r = client->r;
    udr_conn_t *conn = udr_conn_get(r->connection);
    if (conn->is_room_taken) {
        return udr_exchange_create(plan, NULL, r->pool);
    }
    if (!conn->exchange_room) {
        conn->exchange_room = apr_palloc(r->connection->pool, udr_exchange_size());
    }
    conn->is_room_taken = true;
    client->has_room = true;
    return udr_exchange_create(plan, conn->exchange_room, r->pool);
}

static void retire_exchange(udr_client_t *client)
{
    udr_exchange_retire(client->exchange);
    if (client->has_room) {
        client->has_room = false;
        udr_conn_get(client->r->connection)->is_room_taken = false;
    }
}

/* Nobody here could take it, and nothing of it has been given away or taken from the filters: mod_proxy may have it
 * (`spill`). */
static bool may_spill(const udr_client_t *client)
{
    return client->match->balancer->settings.spill && !client->has_passed && !client->in && !client->is_overridden &&
           udr_failure_is_for_want(udr_exchange_failure(client->exchange)->kind);
}

static int spill(request_rec *r, udr_client_t *client)
{
    const char *url = client->match->balancer->settings.spill;
    apr_size_t len = strlen(url);
    udr_client_take_back(client);
    len -= len > 0 && url[len - 1] == '/'; /* the target begins with one */
    r->filename = apr_pstrcat(r->pool, "proxy:", apr_pstrmemdup(r->pool, url, len), client->match->target, NULL);
    r->handler = "proxy-server";
    r->proxyreq = PROXYREQ_REVERSE;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "no member of balancer %s can take it: to mod_proxy, as %s",
                  client->match->balancer->name, r->filename + 6);
    return ap_run_handler(r);
}

static int conclude(udr_client_t *client)
{
    request_rec *r = client->r;
    UDR_STEP_PART("the end of a request");
    udr_client_end_note(client);
    udr_environment_tell(client);
    if (client->is_tunnel) {
        count_tunnel(r, client->exchange);
    }
    if (udr_exchange_state(client->exchange) == UDR_EXCHANGE_FAILED && may_spill(client)) {
        return spill(r, client);
    }
    if (udr_exchange_state(client->exchange) == UDR_EXCHANGE_FAILED) {
        return after_failure(r, client);
    }
    if (client->is_held && udr_client_pass_held(client) != APR_SUCCESS) {
        return r->connection->aborted ? DONE : AP_FILTER_ERROR;
    }
    return client->is_overridden ? after_override(r, client) : OK;
}

int udr_handler_finish(udr_client_t *client)
{
    int rc = conclude(client);
    retire_exchange(client);
    return rc;
}

bool udr_handler_is_plain(const udr_client_t *client)
{
    return udr_exchange_state(client->exchange) == UDR_EXCHANGE_DONE && !client->is_overridden && !client->is_held &&
           !udr_names_are_wanted(client->r);
}

static int out_of_resources(request_rec *r, const udr_balancer_t *balancer)
{
    ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, r, UDRNO(0015) "no memory or descriptor left in this child to serve %s",
                  udr_balancer_print(balancer, r->pool));
    return HTTP_SERVICE_UNAVAILABLE;
}

static int out_of_room(request_rec *r, const udr_balancer_t *balancer)
{
    const udr_member_t *member = APR_ARRAY_IDX(balancer->members, 0, const udr_member_t *);
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  UDRNO(0037) "the last reload brought more members than there was room for (see UDR0032), those of %s "
                              "among them: reload with fewer, or stop httpd and start it",
                  balancer->name ? balancer->name : member->target->text);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* On a loop: starts, and leaves the rest to it. */
static int serve_on_loop(udr_client_t *client, udr_exchange_plan_t *plan)
{
    request_rec *r = client->r;
    apr_time_t now = udr_adopted_plan(r, client->match->balancer, plan);
    client->exchange = create_exchange(client, plan);
    if (udr_exchange_run(client->exchange, &udr_loops_here()->scratch, 0, now)) {
        udr_adopted_park(client);
        return SUSPENDED;
    }
    if (!udr_handler_is_plain(client)) {
        udr_adopted_send_to_worker(r, client);
        return SUSPENDED;
    }
    return udr_handler_finish(client);
}

/* On a worker: runs the exchange here, or as far as it gets here. Returns whether it has ended and this thread goes on
 * with the request. */
static bool run_on_worker(udr_client_t *client, udr_worker_t *worker)
{
    request_rec *r = client->r;
    if (!udr_parking_is_possible(r)) {
        return udr_worker_run(worker, client, 0, -1);
    }
    bool is_earned = udr_parking_is_earned(r);
    bool has_ended = udr_worker_run(worker, client, 0, is_earned ? 0 : udr_parking_patience(r));
    if (has_ended && !(is_earned && udr_handler_is_plain(client))) {
        return true;
    }
    udr_adopted_park(client);
    return false;
}

static int serve_on_worker(udr_client_t *client, udr_exchange_plan_t *plan)
{
    request_rec *r = client->r;
    udr_worker_t *worker = udr_worker_borrow();
    if (!worker) {
        return out_of_resources(r, client->match->balancer);
    }
    plan->wake = udr_worker_wake;
    plan->wake_queued = udr_worker_wake_queued;
    plan->wake_baton = worker;
    client->exchange = create_exchange(client, plan);
    bool is_ours = run_on_worker(client, worker);
    udr_worker_return(worker);
    if (!is_ours) {
        return SUSPENDED;
    }
    udr_stay_earn(r);
    return udr_handler_finish(client);
}

static int serve(request_rec *r, const udr_match_t *match)
{
    udr_request_t *request = apr_palloc(r->pool, sizeof *request);
    bool is_cgi = udr_balancer_is_cgi(match->balancer);
    int rc = udr_request_fill(request, r, is_cgi);
    if (rc != OK) {
        return rc;
    }
    if (match->balancer->slot == UDR_SHARED_NONE) {
        return out_of_room(r, match->balancer);
    }
    if (!match->balancer->picker) {
        return out_of_resources(r, match->balancer);
    }
    udr_child_tidy_unthreaded(match->balancer);
    udr_client_t *client = udr_client_create(r, match, request);
    if (is_cgi && request->body == UDR_BODY_CHUNKED && (rc = udr_client_spool(client)) != OK) {
        return rc;
    }
    udr_exchange_plan_t plan = {
        .picker = match->balancer->picker,
        .request = request,
        .ops = udr_client_ops(r),
        .client = client,
        .clock = udr_clock_now,
        .client_timeout = r->server->timeout,
        .pass_limit = udr_client_pass_limit(r),
    };
    udr_occasion_fill(&plan.occasion, &client->session, r, plan.picker);
    udr_conn_get(r->connection)->routed++;
    udr_parking_pays(r->connection);
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
