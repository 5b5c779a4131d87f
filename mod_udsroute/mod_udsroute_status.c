/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status.h"
#include "mod_udsroute/mod_udsroute_capacity.h"
#include "mod_udsroute/mod_udsroute_loops.h"

#include <ap_mpm.h>
#include <apr_optional_hooks.h>
#include <http_core.h>
#include <http_main.h>
#include <http_protocol.h>
#include <mod_status.h>
#include <scoreboard.h>

/* Keys of `?auto` are for programs, and stay as they are. */
static const struct {
    udr_held_t held;
    const char *key;
    const char *text;
} rows[] = {
    {UDR_HELD_IDLE, "UDSRouteIdle", "waiting for a request"}, {UDR_HELD_SERVED, "UDSRouteServed", "being served"},
    {UDR_HELD_PARKED, "UDSRouteParked", "requests parked"},   {UDR_HELD_TUNNEL, "UDSRouteTunnels", "tunnels"},
    {UDR_HELD_CLOSING, "UDSRouteClosing", "being closed"},
};
#define ROWS (sizeof rows / sizeof *rows)

typedef struct report_t {
    unsigned int adopted;
    unsigned int held[ROWS];
    unsigned long suspended; /* connections of all children; the MPM writes it down once in a while */
    bool has_capacity;
    udr_capacity_t capacity;
} report_t;

static unsigned long count_suspended(void)
{
    unsigned long sum = 0;
    int children = 0;
    if (!ap_exists_scoreboard_image()) {
        return 0;
    }
    (void)ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &children);
    for (int i = 0; i < children; i++) {
        const process_score *process = ap_get_scoreboard_process(i);
        sum += process && process->pid ? process->suspended : 0;
    }
    return sum;
}

static void make_report(report_t *report)
{
    report->adopted = 0;
    for (size_t i = 0; i < ROWS; i++) {
        report->held[i] = udr_loops_held(rows[i].held);
        report->adopted += report->held[i];
    }
    report->suspended = count_suspended();
    report->has_capacity = udr_capacity_get(&report->capacity, ap_server_conf);
}

static void say_shortly(request_rec *r, const report_t *report)
{
    ap_rprintf(r, "UDSRouteLoops: %d\nUDSRouteAdopted: %u\n", udr_loops_count(), report->adopted);
    for (size_t i = 0; i < ROWS; i++) {
        ap_rprintf(r, "%s: %u\n", rows[i].key, report->held[i]);
    }
    ap_rprintf(r, "UDSRouteSuspendedAllChildren: %lu\n", report->suspended);
    if (report->has_capacity) {
        ap_rprintf(r, "UDSRouteMaxConnections: %ld\nUDSRouteMaxClosing: %u\n", report->capacity.connections,
                   report->capacity.lingering * (unsigned int)udr_loops_count());
    }
    if (report->has_capacity && report->capacity.has_file_limit) {
        ap_rprintf(r, "UDSRouteMaxParked: %ld\n", report->capacity.parked);
    }
}

static void say_capacity(request_rec *r, const udr_capacity_t *capacity)
{
    ap_rprintf(r, "<p>A child takes up to %ld connections", capacity->connections);
    if (capacity->has_file_limit) {
        ap_rprintf(r, "; its %ld descriptors allow %ld parked requests", capacity->descriptors, capacity->parked);
    }
    ap_rputs(".</p>\n", r);
}

static void say_as_page(request_rec *r, const report_t *report, bool with_table)
{
    ap_rputs("<hr />\n<h2>mod_udsroute</h2>\n", r);
    ap_rprintf(r, "<p>Child %ld, which answers: %u connections on %d loop%s", (long)getpid(), report->adopted,
               udr_loops_count(), udr_loops_count() == 1 ? "" : "s");
    ap_rputs(with_table ? ".</p>\n<table border=\"0\">\n" : ": ", r);
    for (size_t i = 0; i < ROWS; i++) {
        if (with_table) {
            ap_rprintf(r, "<tr><td>%s</td><td>%u</td></tr>\n", rows[i].text, report->held[i]);
        } else {
            ap_rprintf(r, "%s%u %s", i ? ", " : "", report->held[i], rows[i].text);
        }
    }
    ap_rputs(with_table ? "</table>\n" : ".</p>\n", r);
    ap_rprintf(r, "<p>All children: %lu suspended connections.</p>\n", report->suspended);
    if (report->has_capacity) {
        say_capacity(r, &report->capacity);
    }
}

static int status(request_rec *r, int flags)
{
    report_t report;
    if (!udr_server_config(ap_server_conf)->is_used) {
        return DECLINED;
    }
    make_report(&report);
    if (flags & AP_STATUS_SHORT) {
        say_shortly(r, &report);
    } else {
        say_as_page(r, &report, !(flags & AP_STATUS_NOTABLE));
    }
    return OK;
}

void udr_status_register(void)
{
    APR_OPTIONAL_HOOK(ap, status_hook, status, NULL, NULL, APR_HOOK_MIDDLE);
}
