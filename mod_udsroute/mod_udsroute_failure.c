/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_failure.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/udr_berth.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_explanation.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include <errno.h>

/* When a client may ask again after 503: members come back within seconds or need a person. Seconds. */
#define RETRY_AFTER "2"

/* What the table can't say: text from the exchange. */
typedef struct report_t {
    request_rec *r;
    const udr_member_t *member;
    const udr_failure_t *failure;
    const udr_client_t *client;
} report_t;

static const char *seconds(const report_t *report, apr_interval_time_t time)
{
    if (time < APR_USEC_PER_SEC) {
        return apr_psprintf(report->r->pool, "%d ms", (int)apr_time_as_msec(time));
    }
    return apr_psprintf(report->r->pool, "%.3g s", (double)time / (double)APR_USEC_PER_SEC);
}

static const char *explain_request(const report_t *report)
{
    return report->failure->why;
}

static const char *explain_turn(const report_t *report)
{
    return apr_psprintf(report->r->pool, "all of its %d connections (max) were in use for %s (acquire)",
                        report->member->settings.max, seconds(report, report->member->settings.acquire));
}

static const char *explain_queue(const report_t *report)
{
    if (report->failure->error) {
        return "too many requests wait for their turn in this child already";
    }
    return apr_psprintf(report->r->pool, "%d requests (maxconn) were in flight for %s (queue)",
                        report->member->settings.maxconn, seconds(report, report->member->settings.queue));
}

/* Has none of the balancer's patterns a member that may get requests, and are there no others? */
static bool is_empty(const udr_balancer_t *balancer)
{
    bool is_empty = balancer->members->nelts == 0;
    for (int i = 0; is_empty && i < balancer->globs->nelts; i++) {
        is_empty = udr_berth_present(udr_share_get(), APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *)) == 0;
    }
    return is_empty;
}

static bool has_unchecked(const udr_glob_t *glob)
{
    bool has = false;
    for (int i = 0; !has && i < glob->growth; i++) {
        has = udr_berth_state(udr_share_get(), glob->berths[i]) == UDR_BERTH_UNCHECKED;
    }
    return has;
}

static const char *explain_nobody(const report_t *report)
{
    const udr_balancer_t *balancer = report->client->match->balancer;
    if (is_empty(balancer)) {
        const udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, 0, const udr_glob_t *);
        if (has_unchecked(glob)) {
            return apr_psprintf(report->r->pool, "of the sockets that match %s (%s) none has passed a check yet",
                                glob->target->address->text, udr_source_print(&glob->source, report->r->pool));
        }
        return apr_psprintf(report->r->pool,
                            "there is no socket that matches %s (%s): is the application started, and are its sockets "
                            "in that directory, under such names?",
                            glob->target->address->text, udr_source_print(&glob->source, report->r->pool));
    }
    return "none of its members can take a request: all are disabled, stopped, drained or out; see the messages before "
           "this one, and the status page";
}

static const char *diagnose(const report_t *report, int error)
{
    return udr_explanation_get(report->member->explanation, report->member->target->address, error, udr_clock_now(),
                               report->r->pool);
}

static const char *explain_connect(const report_t *report)
{
    return diagnose(report, report->failure->error);
}

static const char *explain_connect_timeout(const report_t *report)
{
    return apr_psprintf(report->r->pool, "no connection within %s (connectiontimeout): %s",
                        seconds(report, report->member->settings.connect_timeout), diagnose(report, EAGAIN));
}

static const char *explain_peer(const report_t *report)
{
    return apr_psprintf(
        report->r->pool,
        "the process that listens there is not who peer=%s asks for, but %s: nothing was sent to it; find out "
        "who made this socket, or correct peer=",
        report->member->settings.peer->text, report->failure->why);
}

static const char *explain_closed(const report_t *report)
{
    const char *why = report->failure->why ? report->failure->why : "connection reset";
    return apr_psprintf(report->r->pool, "%s, in step %s: %s", why, udr_exchange_state_name(report->failure->state),
                        report->failure->suspicion ? report->failure->suspicion : "see the backend's own log for why");
}

static const char *explain_response(const report_t *report)
{
    if (report->failure->protocol) {
        return apr_psprintf(report->r->pool, "answers in %s, the target says %s:// (%s)", report->failure->protocol,
                            report->member->target->scheme->name, report->failure->why);
    }
    return apr_psprintf(report->r->pool, "response refused: %s", report->failure->why);
}

static const char *explain_busy(const report_t *report)
{
    return apr_psprintf(report->r->pool, "%s: give the application more processes, or limit what it gets by maxconn=",
                        report->failure->why);
}

static const char *explain_timeout(const report_t *report)
{
    return apr_psprintf(
        report->r->pool, "silent for %s (timeout) in step %s: %s", seconds(report, report->member->settings.timeout),
        udr_exchange_state_name(report->failure->state),
        report->failure->suspicion ? report->failure->suspicion
                                   : "raise timeout= if it may take so long, else see what it waits for");
}

static const char *explain_client_body(const report_t *report)
{
    return report->failure->why ? report->failure->why : "it broke off or was refused";
}

static const char *explain_client_timeout(const report_t *report)
{
    return apr_psprintf(report->r->pool, "it neither sent nor took anything for %s (Timeout)",
                        seconds(report, report->r->server->timeout));
}

static const char *explain_client_filter(const report_t *report)
{
    return apr_psprintf(report->r->pool, "an output filter of httpd refused the response, in step %s",
                        udr_exchange_state_name(report->failure->state));
}

static const char *explain_idle(const report_t *report)
{
    return apr_psprintf(
        report->r->pool,
        "nothing went through it, either way, for %s (timeout): let the application or its clients send "
        "pings, or raise timeout=",
        seconds(report, report->member->settings.timeout));
}

static const char *explain_stopped(const report_t *report)
{
    (void)report;
    return "this child stops, and GracefulShutdownTimeout is over";
}

static const char *explain_client_gone(const report_t *report)
{
    return apr_psprintf(report->r->pool, "in step %s", udr_exchange_state_name(report->failure->state));
}

static const struct {
    const char *number; /* "UDR0001: " */
    int level;
    int status;
    const char *what;
    const char *(*explain)(const report_t *report);
} kinds[UDR_FAILURE_KINDS] = {
    [UDR_FAILURE_REQUEST] = {UDRNO(0001), APLOG_WARNING, HTTP_BAD_REQUEST, "request can't be sent", explain_request},
    [UDR_FAILURE_NOBODY] = {UDRNO(0035), APLOG_ERR, HTTP_SERVICE_UNAVAILABLE, "nobody", explain_nobody},
    [UDR_FAILURE_QUEUE] = {UDRNO(0036), APLOG_ERR, HTTP_SERVICE_UNAVAILABLE, "no turn", explain_queue},
    [UDR_FAILURE_TURN] = {UDRNO(0002), APLOG_ERR, HTTP_SERVICE_UNAVAILABLE, "no free connection", explain_turn},
    [UDR_FAILURE_SOCKET] = {UDRNO(0003), APLOG_ERR, HTTP_SERVICE_UNAVAILABLE, "can't make a socket", explain_connect},
    [UDR_FAILURE_CONNECT] = {UDRNO(0004), APLOG_ERR, HTTP_SERVICE_UNAVAILABLE, "can't connect", explain_connect},
    [UDR_FAILURE_CONNECT_TIMEOUT] = {UDRNO(0005), APLOG_ERR, HTTP_SERVICE_UNAVAILABLE, "can't connect",
                                     explain_connect_timeout},
    [UDR_FAILURE_PEER] = {UDRNO(0006), APLOG_ERR, HTTP_SERVICE_UNAVAILABLE, "connection refused by us", explain_peer},
    [UDR_FAILURE_CLOSED] = {UDRNO(0007), APLOG_ERR, HTTP_BAD_GATEWAY, "connection closed by the member",
                            explain_closed},
    [UDR_FAILURE_RESPONSE] = {UDRNO(0008), APLOG_ERR, HTTP_BAD_GATEWAY, "malformed", explain_response},
    [UDR_FAILURE_BUSY] = {UDRNO(0068), APLOG_ERR, HTTP_SERVICE_UNAVAILABLE, "busy", explain_busy},
    [UDR_FAILURE_TIMEOUT] = {UDRNO(0009), APLOG_ERR, HTTP_GATEWAY_TIME_OUT, "timeout", explain_timeout},
    [UDR_FAILURE_CLIENT_BODY] = {UDRNO(0010), APLOG_INFO, HTTP_BAD_REQUEST, "request body", explain_client_body},
    [UDR_FAILURE_CLIENT_TIMEOUT] = {UDRNO(0011), APLOG_INFO, HTTP_REQUEST_TIME_OUT, "client timeout",
                                    explain_client_timeout},
    [UDR_FAILURE_CLIENT_GONE] = {UDRNO(0012), APLOG_INFO, UDR_STATUS_CLIENT_GONE, "client gone", explain_client_gone},
    [UDR_FAILURE_STOPPED] = {UDRNO(0022), APLOG_INFO, HTTP_SERVICE_UNAVAILABLE, "tunnel closed", explain_stopped},
    [UDR_FAILURE_TUNNEL_IDLE] = {UDRNO(0020), APLOG_INFO, HTTP_SWITCHING_PROTOCOLS, "tunnel closed", explain_idle},
    [UDR_FAILURE_CLIENT_FILTER] = {UDRNO(0018), APLOG_ERR, HTTP_INTERNAL_SERVER_ERROR, "response not passed on",
                                   explain_client_filter},
};

/* Who is to blame for a body that did not come whole. */
static int body_status(const report_t *report)
{
    if (report->client->body_status) {
        return report->client->body_status;
    }
    if (APR_STATUS_IS_TIMEUP(report->failure->error)) {
        return HTTP_REQUEST_TIME_OUT;
    }
    return ap_map_http_request_error(report->failure->error, HTTP_BAD_REQUEST);
}

bool udr_failure_is_for_want(udr_failure_kind_t kind)
{
    return kind == UDR_FAILURE_NOBODY || kind == UDR_FAILURE_QUEUE || kind == UDR_FAILURE_TURN ||
           kind == UDR_FAILURE_SOCKET || kind == UDR_FAILURE_CONNECT || kind == UDR_FAILURE_CONNECT_TIMEOUT ||
           kind == UDR_FAILURE_PEER;
}

int udr_failure_report(request_rec *r, const udr_member_t *member, const udr_client_t *client)
{
    const udr_failure_t *failure = udr_exchange_failure(client->exchange);
    report_t report = {r, member, failure, client};
    /* A member that restarts cuts thousands of tunnels: that is not thousands of errors. */
    int level = client->is_tunnel ? APLOG_INFO : kinds[failure->kind].level;
    if (member) {
        ap_log_rerror(APLOG_MARK, level, failure->error, r, "%smember %s: %s: %s", kinds[failure->kind].number,
                      member->target->text, kinds[failure->kind].what, kinds[failure->kind].explain(&report));
    } else {
        ap_log_rerror(APLOG_MARK, level, failure->error, r, "%sbalancer %s: %s", kinds[failure->kind].number,
                      client->match->balancer->name ? client->match->balancer->name : "of the route",
                      kinds[failure->kind].explain(&report));
    }
    int status = failure->kind == UDR_FAILURE_CLIENT_BODY ? body_status(&report) : kinds[failure->kind].status;
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER);
    }
    return status;
}
