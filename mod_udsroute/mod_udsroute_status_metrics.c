/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_metrics.h"
#include "mod_udsroute/udr_metrics.h"

#include <http_protocol.h>

/* The labels of a member, and one more. */
#define LABELS 3

typedef void tell_t(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member);

static void write_text(void *baton, const char *text, apr_size_t len)
{
    /* An error is the client's going away: the rest finds that out as well. */
    (void)ap_rwrite(text, (int)len, (request_rec *)baton);
}

static void put(udr_metrics_t *metrics, const udr_metrics_label_t labels[LABELS], apr_uint64_t number)
{
    udr_metrics_number(metrics, "", labels, LABELS - 1, number);
}

/* With a label of its own. */
static void put_with(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const char *name, const char *value,
                     apr_uint64_t number)
{
    labels[LABELS - 1] = (udr_metrics_label_t){name, value};
    udr_metrics_number(metrics, "", labels, LABELS, number);
}

/* --- each family's samples of a member --- */

/* One that has not been asked for anything yet is not known to be down: nobody needs to be woken. */
static void tell_up(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    put(metrics, labels, member->health.verdict != UDR_VIEW_DOWN);
}

static void tell_requests(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        put_with(metrics, labels, "class", classes[i], member->requests_by_class[i]);
    }
}

static void tell_in_flight(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    put(metrics, labels, member->counts.busy);
}

static void tell_queued(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    put(metrics, labels, member->counts.waiting);
}

/* Powers of two, where the histogram's own buckets begin: exact, which rounder numbers would not be. */
static void tell_durations(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    enum { FIRST = 7, LAST = 26, BOUNDS = LAST - FIRST + 1 }; /* 128 us to 67 s */
    apr_uint64_t bounds[BOUNDS];
    apr_uint64_t below[BOUNDS];
    for (int i = 0; i < BOUNDS; i++) {
        bounds[i] = (apr_uint64_t)1 << (FIRST + i);
    }
    apr_uint64_t all = udr_histogram_cumulate(member->durations, bounds, BOUNDS, below);
    for (int i = 0; i < BOUNDS; i++) {
        char seconds[32];
        udr_metrics_print_seconds(seconds, bounds[i]);
        labels[LABELS - 1] = (udr_metrics_label_t){"le", seconds};
        udr_metrics_number(metrics, "_bucket", labels, LABELS, below[i]);
    }
    labels[LABELS - 1] = (udr_metrics_label_t){"le", "+Inf"};
    udr_metrics_number(metrics, "_bucket", labels, LABELS, all);
    udr_metrics_time(metrics, "_sum", labels, LABELS - 1, member->latency.sum);
    udr_metrics_number(metrics, "_count", labels, LABELS - 1, all);
}

static void tell_bytes(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    put_with(metrics, labels, "direction", "in", member->bytes_in);
    put_with(metrics, labels, "direction", "out", member->bytes_out);
}

static void tell_retries(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    put(metrics, labels, member->retried);
}

static void tell_held(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    put(metrics, labels, member->held);
}

static void tell_checks(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS], const udr_view_member_t *member)
{
    put_with(metrics, labels, "verdict", "pass", member->health.passes);
    put_with(metrics, labels, "verdict", "fail", member->health.fails);
}

/* What is open and not idle is in use, or being made. */
static void tell_connections(udr_metrics_t *metrics, udr_metrics_label_t labels[LABELS],
                             const udr_view_member_t *member)
{
    const udr_shared_counts_t *counts = &member->counts;
    put_with(metrics, labels, "state", "busy", counts->open > counts->idle ? counts->open - counts->idle : 0);
    put_with(metrics, labels, "state", "idle", counts->idle);
}

/* Names and labels are a promise. */
static const struct {
    const char *name;
    const char *type;
    const char *help;
    tell_t *tell;
} families[] = {
    {"udsroute_up", "gauge", "Whether the member can be reached: 0 when it has failed and is not back.", tell_up},
    {"udsroute_requests_total", "counter", "Requests that ended, by class of status; none: without a response.",
     tell_requests},
    {"udsroute_in_flight", "gauge", "Requests that the member has now.", tell_in_flight},
    {"udsroute_queued", "gauge", "Requests that wait for the member under maxconn.", tell_queued},
    {"udsroute_request_duration_seconds", "histogram", "From the pick of the member to the end of its response.",
     tell_durations},
    {"udsroute_bytes_total", "counter", "Bytes of bodies; in: from the member, out: to it.", tell_bytes},
    {"udsroute_retries_total", "counter", "Requests that were sent elsewhere after the member had failed them.",
     tell_retries},
    {"udsroute_held_total", "counter", "Requests that waited for the member to come back.", tell_held},
    {"udsroute_health_checks_total", "counter", "Health checks of the member, by their verdict.", tell_checks},
    {"udsroute_connections", "gauge", "Connections to the member.", tell_connections},
};

static void tell_members(udr_metrics_t *metrics, const udr_view_t *view, tell_t *tell)
{
    for (int i = 0; i < view->balancers->nelts; i++) {
        const udr_view_balancer_t *balancer = APR_ARRAY_IDX(view->balancers, i, const udr_view_balancer_t *);
        for (int j = 0; j < balancer->members->nelts; j++) {
            const udr_view_member_t *member = APR_ARRAY_IDX(balancer->members, j, const udr_view_member_t *);
            udr_metrics_label_t labels[LABELS] = {{"balancer", balancer->unique}, {"member", member->unique}};
            tell(metrics, labels, member);
        }
    }
}

void udr_status_metrics_write(request_rec *r, const udr_view_t *view)
{
    udr_metrics_t metrics = {.write = write_text, .baton = r};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        udr_metrics_family(&metrics, families[i].name, families[i].type, families[i].help);
        tell_members(&metrics, view, families[i].tell);
    }
    udr_metrics_family(&metrics, "udsroute_parked", "gauge", "Requests that wait on loops and hold no thread.");
    udr_metrics_number(&metrics, "", NULL, 0, view->parked);
    udr_metrics_family(&metrics, "udsroute_tunnels", "gauge", "Upgraded connections on loops.");
    udr_metrics_number(&metrics, "", NULL, 0, view->tunnels);
}
