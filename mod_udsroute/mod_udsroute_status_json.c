/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_json.h"
#include "mod_udsroute/udr_json.h"

#include <http_protocol.h>

static void write_text(void *baton, const char *text, apr_size_t len)
{
    /* An error is the client's going away: the rest finds that out as well. */
    (void)ap_rwrite(text, (int)len, (request_rec *)baton);
}

static void tell_server(udr_json_t *json, const udr_view_t *view)
{
    udr_json_open_object(json, "server");
    udr_json_string(json, "version", view->version);
    udr_json_string(json, "mpm", view->mpm);
    udr_json_number(json, "generation", view->generation);
    udr_json_number(json, "uptime_s", view->uptime_s);
    udr_json_number(json, "parked", view->parked);
    udr_json_number(json, "tunnels", view->tunnels);
    udr_json_close_object(json);
}

static void tell_health(udr_json_t *json, const udr_view_health_t *health)
{
    udr_json_open_object(json, "health");
    udr_json_string(json, "method", health->method);
    udr_json_string(json, "verdict", udr_view_word(health->verdict));
    if (health->last_check) {
        udr_json_number(json, "last_check", (apr_uint64_t)apr_time_sec(health->last_check));
    } else {
        udr_json_null(json, "last_check");
    }
    udr_json_string(json, "last_error", health->last_error);
    udr_json_number(json, "passes", health->passes);
    udr_json_number(json, "fails", health->fails);
    udr_json_close_object(json);
}

static void tell_backlog(udr_json_t *json, const udr_backlog_t *backlog)
{
    if (!backlog->known) {
        udr_json_null(json, "backlog");
        return;
    }
    udr_json_open_object(json, "backlog");
    udr_json_number(json, "now", backlog->current);
    udr_json_number(json, "max", backlog->maximum);
    udr_json_close_object(json);
}

static void tell_latency(udr_json_t *json, const udr_histogram_summary_t *latency)
{
    udr_json_open_object(json, "latency_us");
    udr_json_number(json, "p50", latency->p50);
    udr_json_number(json, "p90", latency->p90);
    udr_json_number(json, "p99", latency->p99);
    udr_json_number(json, "max", latency->max);
    udr_json_close_object(json);
}

static void tell_member(udr_json_t *json, const udr_view_member_t *member)
{
    udr_json_open_object(json, NULL);
    udr_json_string(json, "name", member->name);
    udr_json_string(json, "socket", member->socket);
    udr_json_string(json, "scheme", member->scheme);
    udr_json_string(json, "state", udr_view_word(member->state));
    udr_json_hundredths(json, "weight", member->weight);
    udr_json_number(json, "lbset", member->lbset);
    udr_json_string(json, "route", member->route);
    tell_health(json, &member->health);
    tell_backlog(json, &member->backlog);
    udr_json_number(json, "busy", member->counts.busy);
    udr_json_number(json, "queued", member->counts.waiting);
    udr_json_number(json, "elected", member->elected);
    udr_json_number(json, "failed", member->failed);
    udr_json_number(json, "retried", member->retried);
    udr_json_number(json, "held", member->held);
    udr_json_number(json, "bytes_in", member->bytes_in);
    udr_json_number(json, "bytes_out", member->bytes_out);
    tell_latency(json, &member->latency);
    udr_json_number(json, "open", member->counts.open);
    udr_json_number(json, "idle", member->counts.idle);
    udr_json_close_object(json);
}

static void tell_balancer(udr_json_t *json, const udr_view_balancer_t *balancer)
{
    udr_json_open_object(json, NULL);
    udr_json_string(json, "name", balancer->name);
    udr_json_string(json, "lbmethod", balancer->method);
    udr_json_open_array(json, "members");
    for (int i = 0; i < balancer->members->nelts; i++) {
        tell_member(json, APR_ARRAY_IDX(balancer->members, i, const udr_view_member_t *));
    }
    udr_json_close_array(json);
    udr_json_close_object(json);
}

static void tell_route(udr_json_t *json, const udr_view_route_t *route)
{
    udr_json_open_object(json, NULL);
    udr_json_string(json, "path", route->path);
    udr_json_string(json, "target", route->target);
    udr_json_close_object(json);
}

void udr_status_json_write(request_rec *r, const udr_view_t *view)
{
    udr_json_t json = {.write = write_text, .baton = r};
    udr_json_open_object(&json, NULL);
    tell_server(&json, view);
    udr_json_open_array(&json, "balancers");
    for (int i = 0; i < view->balancers->nelts; i++) {
        tell_balancer(&json, APR_ARRAY_IDX(view->balancers, i, const udr_view_balancer_t *));
    }
    udr_json_close_array(&json);
    udr_json_open_array(&json, "routes");
    for (int i = 0; i < view->routes->nelts; i++) {
        tell_route(&json, &APR_ARRAY_IDX(view->routes, i, const udr_view_route_t));
    }
    udr_json_close_array(&json);
    udr_json_close_object(&json);
    ap_rputs("\n", r);
}
