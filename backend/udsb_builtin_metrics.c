/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_builtin.h"
#include "backend/udsb_json.h"
#include "backend/udsb_server.h"

/* One metric without labels, in the text format of Prometheus. */
static void add_metric(udsb_text_t *text, const char *name, const char *type, const char *help, uint64_t value)
{
    udsb_text_format(text, "# HELP udsbackend_%s %s\n# TYPE udsbackend_%s %s\nudsbackend_%s %llu\n", name, help, name,
                     type, name, (unsigned long long)value);
}

static void add_requests(udsb_text_t *text, const uint64_t *requests)
{
    static const char name[] = "udsbackend_requests_total";

    udsb_text_format(text, "# HELP %s Requests finished, by class of status; aborted: without a whole answer.\n", name);
    udsb_text_format(text, "# TYPE %s counter\n", name);
    for (unsigned class = 1; class <= 5; class ++)
        udsb_text_format(text, "%s{class=\"%uxx\"} %llu\n", name, class, (unsigned long long)requests[class]);
    udsb_text_format(text, "%s{class=\"aborted\"} %llu\n", name, (unsigned long long)requests[0]);
}

void udsb_builtin_metrics(udsb_request_t *request, void *context)
{
    udsb_server_t *const server = udsb_request_server(request);
    const udsb_metrics_t *const metrics = &server->metrics;
    uint64_t requests[6] = {0}, started = 0, finished = 0, bytes_in = 0, bytes_out = 0;
    udsb_text_t text = {0};

    (void)context;
    for (unsigned i = 0; i < server->worker_count; i++) {
        const udsb_worker_metrics_t *const worker = &server->workers[i]->metrics;

        /* Finished before started, so that no request is missed that moves on in between. */
        for (unsigned class = 0; class < 6; class ++) {
            const uint64_t count = udsb_metrics_get(&worker->requests[class]);

            requests[class] += count;
            finished += count;
        }
        started += udsb_metrics_get(&worker->started);
        bytes_in += udsb_metrics_get(&worker->bytes_in);
        bytes_out += udsb_metrics_get(&worker->bytes_out);
    }
    add_requests(&text, requests);
    add_metric(&text, "in_flight", "gauge", "Requests that have begun and not ended, WebSockets and this one included.",
               started - finished);
    add_metric(&text, "waiting", "gauge", "Requests in flight that hold no thread.",
               udsb_metrics_get(&metrics->waiting));
    add_metric(&text, "connections", "gauge", "Open connections.", udsb_metrics_get(&metrics->connections_open));
    add_metric(&text, "connections_total", "counter", "Connections accepted.",
               udsb_metrics_get(&metrics->connections_total));
    add_metric(&text, "peers_refused_total", "counter", "Connections of peers that are not allowed.",
               udsb_metrics_get(&metrics->peers_refused));
    add_metric(&text, "request_body_bytes_total", "counter", "Bytes of request bodies.", bytes_in);
    add_metric(&text, "response_body_bytes_total", "counter", "Bytes of response bodies.", bytes_out);
    add_metric(&text, "websockets", "gauge", "Open WebSockets.", udsb_metrics_get(&metrics->websockets_open));
    add_metric(&text, "websocket_messages_total", "counter", "WebSocket messages received.",
               udsb_metrics_get(&metrics->websocket_messages));
    add_metric(&text, "draining", "gauge", "1 once the server has announced its end.",
               udsb_server_is_draining(server) ? 1 : 0);
    udsb_text_format(&text,
                     "# HELP udsbackend_uptime_seconds Time since the start.\n# TYPE udsbackend_uptime_seconds gauge\n"
                     "udsbackend_uptime_seconds %.3f\n",
                     (double)(udsb_loop_now() - server->started_ms) / 1000);
    udsb_request_answer(
        request, 200, text.has_failed ? NULL : udsb_response_copy("text/plain; version=0.0.4", text.data, text.length));
    udsb_text_clear(&text);
}
