/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_globs.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/udr_berth.h"
#include "mod_udsroute/udr_budget.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_picker.h"
#include "mod_udsroute/udr_pool.h"
#include "mod_udsroute/udr_quota.h"
#include "mod_udsroute/udr_tenant.h"

#include <apr_strings.h>
#include <http_main.h>

#include <errno.h>

/* How often a directory is read that nobody watches; without threads at requests only. */
#define LOOK_INTERVAL            apr_time_from_sec(1)
#define LOOK_INTERVAL_UNTHREADED apr_time_from_msec(250)

/* A glob, in this child. */
typedef struct lookout_t {
    const udr_balancer_t *balancer;
    const udr_glob_t *glob;
    udr_watcher_t watcher;
    bool is_added;   /* the watcher, to the dirwatch */
    bool is_watched; /* what changes is told */
    bool is_due;     /* to be looked at as soon as its budget allows it */
    bool has_failed; /* the last look */
    apr_time_t looked_at;
    udr_budget_t budget; /* a look takes a system call for each file that matches */
} lookout_t;

static struct {
    apr_array_header_t *lookouts; /* lookout_t * */
    udr_dirwatch_t *dirwatch;     /* NULL: none */
    apr_interval_time_t interval;
} globs;

/* --- the log -------------------------------------------------------------------------------------------------------
 */

/* What is told of a glob, and how often in a minute at most: an application that starts, ends and starts again is not
 * to fill the disk. */
typedef enum telling_t { TELLING_CAME, TELLING_WENT, TELLING_WARNING, TELLINGS } telling_t;

_Static_assert(TELLINGS == UDR_QUOTA_KINDS, "all have their quota");

static const apr_uint32_t quotas[TELLINGS] = {[TELLING_CAME] = 100, [TELLING_WENT] = 100, [TELLING_WARNING] = 20};

static void tell_left_out(const udr_balancer_t *balancer, const udr_glob_t *glob, apr_time_t now)
{
    apr_uint32_t left_out[UDR_QUOTA_KINDS];
    if (udr_quota_end(udr_berth_quota(udr_share_get(), glob), left_out, now)) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, ap_server_conf,
                     UDRNO(0056) "sockets that match %s (balancer %s) come and go faster than is told: in a minute %u "
                                 "more have come, %u more have gone, and %u warnings were left out",
                     glob->target->address->text, balancer->name, left_out[TELLING_CAME], left_out[TELLING_WENT],
                     left_out[TELLING_WARNING]);
    }
}

static bool may_tell(const udr_balancer_t *balancer, const udr_glob_t *glob, telling_t telling)
{
    apr_time_t now = udr_clock_now();
    tell_left_out(balancer, glob, now);
    return udr_quota_take(udr_berth_quota(udr_share_get(), glob), (int)telling, quotas[telling], now);
}

static void tell(const udr_balancer_t *balancer, const udr_glob_t *glob, const char *member, telling_t telling)
{
    if (!may_tell(balancer, glob, telling)) {
        return;
    }
    if (telling == TELLING_CAME) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, ap_server_conf, UDRNO(0050) "member %s of balancer %s has come",
                     member, balancer->name);
    } else {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, ap_server_conf, UDRNO(0051) "member %s of balancer %s has gone",
                     member, balancer->name);
    }
}

static void tell_lost(const udr_balancer_t *balancer, const udr_member_t *member)
{
    tell(balancer, member->tenant->glob, member->target->text, TELLING_WENT);
}

static void tell_names(const lookout_t *at, const apr_array_header_t *names, telling_t telling, apr_pool_t *p)
{
    for (int i = 0; i < names->nelts; i++) {
        const udr_target_t *target = at->glob->target;
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        tell(at->balancer, at->glob, udr_target_at(target, udr_address_in_directory(target->address, name, p), p)->text,
             telling);
    }
}

static void tell_arrivals(const lookout_t *at, const udr_arrivals_t *arrivals, apr_pool_t *p)
{
    const char *pattern = at->glob->target->address->text;
    tell_names(at, arrivals->went, TELLING_WENT, p);
    tell_names(at, arrivals->came, TELLING_CAME, p);
    if (arrivals->left_out && may_tell(at->balancer, at->glob, TELLING_WARNING)) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
            UDRNO(0052) "more sockets match %s (%s) than the balancer has places (growth=%d): %s is the first "
                        "that gets no request until another one goes: raise growth in the UDSSet of <UDSBalancer %s>",
            pattern, udr_source_print(&at->glob->source, p), at->glob->growth, arrivals->left_out, at->balancer->name);
    }
    if (arrivals->unusable && may_tell(at->balancer, at->glob, TELLING_WARNING)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                     UDRNO(0053) "%s matches %s (%s), but is left out: its path is longer than the %d bytes that the "
                                 "kernel takes, or its name has control characters; give it another name",
                     arrivals->unusable, pattern, udr_source_print(&at->glob->source, p), UDR_ADDRESS_MAX);
    }
}

/* Of this child, or of the system, and for a while only. */
static bool is_shortage(apr_status_t error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

static void tell_error(const lookout_t *at, apr_status_t error, apr_pool_t *p)
{
    const char *pattern = at->glob->target->address->text;
    const char *source = udr_source_print(&at->glob->source, p);
    if (!may_tell(at->balancer, at->glob, TELLING_WARNING)) {
        return;
    }
    if (is_shortage(error)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, error, ap_server_conf,
            UDRNO(0055) "the directory of %s (%s) can't be read for want of descriptors or memory: it is tried "
                        "again, and until then sockets that come or go there are not noticed; raise the "
                        "limit (ulimit -n) or lower the number of connections",
            pattern, source);
    } else {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, error, ap_server_conf,
            UDRNO(0054) "the directory of %s (%s) can't be read: sockets that come or go there are not noticed%s",
            pattern, source,
            error == EACCES || error == EPERM ? "; give the user that httpd runs as the right to read it (r), not only "
                                                "to pass through (x)"
                                              : "");
    }
}

/* --- looking -------------------------------------------------------------------------------------------------------
 */

static apr_status_t read_directory(const lookout_t *at, apr_pool_t *p)
{
    udr_shared_t *shared = udr_share_access();
    udr_listing_t listing;
    udr_arrivals_t arrivals;
    apr_uint64_t number = udr_berth_begin(shared, at->glob);
    apr_status_t rv = udr_glob_list(&listing, at->glob, p);
    if (udr_berth_note_error(shared, at->glob, rv)) {
        tell_error(at, rv, p);
    }
    if (rv == APR_SUCCESS) {
        /* Not before what is listed was there: checks that were begun until now say nothing of it. */
        udr_berth_merge(shared, at->glob, number, &listing, udr_clock_now(), &arrivals, p);
        tell_arrivals(at, &arrivals, p);
    }
    return rv;
}

static void look(lookout_t *at, apr_time_t now)
{
    apr_pool_t *p = NULL;
    apr_time_t begun = udr_clock_now();
    at->looked_at = now;
    at->is_due = false;
    at->has_failed = true;
    if (apr_pool_create(&p, NULL) == APR_SUCCESS) {
        at->has_failed = read_directory(at, p) != APR_SUCCESS;
        apr_pool_destroy(p);
    }
    apr_time_t ended = udr_clock_now();
    udr_budget_spend(&at->budget, ended - begun, ended);
}

static void for_each_glob(server_rec *main_server, void (*visit)(udr_balancer_t *balancer, const udr_glob_t *glob))
{
    for (const server_rec *s = main_server; s; s = s->next) {
        const apr_array_header_t *balancers = udr_server_config(s)->balancers;
        for (int i = 0; udr_server_has_own_config(s, main_server) && i < balancers->nelts; i++) {
            udr_balancer_t *balancer = APR_ARRAY_IDX(balancers, i, udr_balancer_t *);
            /* (Of one that there was no room for nothing is known.) */
            for (int k = 0; k < balancer->globs->nelts && balancer->slot != UDR_SHARED_NONE; k++) {
                visit(balancer, APR_ARRAY_IDX(balancer->globs, k, const udr_glob_t *));
            }
        }
    }
}

static void look_once(udr_balancer_t *balancer, const udr_glob_t *glob)
{
    lookout_t at = {.balancer = balancer, .glob = glob};
    look(&at, udr_clock_now());
}

void udr_globs_scan_all(server_rec *main_server)
{
    for_each_glob(main_server, look_once);
}

/* --- a child -------------------------------------------------------------------------------------------------------
 */

static void close_outdated(void *baton, udr_member_t *member, apr_uint32_t state)
{
    (void)state;
    *(int *)baton += udr_pool_close_outdated(member->pool);
}

/* As soon as it may be. */
static void look_if_allowed(lookout_t *at, apr_time_t now)
{
    int closed = 0;
    if (!at->is_due || !udr_budget_allows(&at->budget, now)) {
        return;
    }
    look(at, now);
    udr_picker_visit(at->balancer->picker, close_outdated, &closed);
    if (udr_berth_present(udr_share_get(), at->glob) > 0) {
        udr_picker_wake_held(at->balancer->picker);
    }
    if (closed > 0) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, ap_server_conf,
                     "sockets that match %s have been replaced or removed: %d idle connections closed",
                     at->glob->target->address->text, closed);
    }
}

static void seen(udr_watcher_t *watcher, udr_sighting_t sighting)
{
    lookout_t *at = watcher->baton;
    at->is_watched = sighting != UDR_SIGHTING_BLIND;
    if (at->is_watched && at->balancer->picker) {
        at->is_due = true;
        look_if_allowed(at, udr_clock_now());
    }
}

/* The directory may not be there yet, or its permissions may change. */
static void watch(lookout_t *at)
{
    if (globs.dirwatch && !at->is_added) {
        at->watcher = (udr_watcher_t){.seen = seen, .baton = at};
        at->is_added = udr_dirwatch_add(globs.dirwatch, &at->watcher, at->glob->target->address) == APR_SUCCESS;
        at->is_watched = at->is_added;
    }
}

void udr_globs_watch(udr_dirwatch_t *dirwatch)
{
    globs.dirwatch = dirwatch;
    for (int i = 0; i < globs.lookouts->nelts; i++) {
        lookout_t *at = APR_ARRAY_IDX(globs.lookouts, i, lookout_t *);
        watch(at);
        look(at, udr_clock_now()); /* what is the case already isn't told */
    }
}

/* Of what isn't watched, or could not be read, nobody tells that it has changed. */
static void find_due(lookout_t *at, apr_time_t now)
{
    if ((!at->is_watched || at->has_failed) && now - at->looked_at >= globs.interval) {
        watch(at);
        at->is_due = true;
    }
}

void udr_globs_attend(apr_time_t now)
{
    for (int i = 0; globs.lookouts && i < globs.lookouts->nelts; i++) {
        lookout_t *at = APR_ARRAY_IDX(globs.lookouts, i, lookout_t *);
        if (!at->balancer->picker) {
            continue; /* this child can't serve */
        }
        at->is_due |= udr_berth_tend(udr_share_access(), at->glob);
        find_due(at, now);
        look_if_allowed(at, now);
        tell_left_out(at->balancer, at->glob, now);
        udr_picker_tidy(at->balancer->picker);
    }
}

/* Without threads. */
static void look_before_pick(const udr_balancer_t *balancer, apr_time_t now)
{
    for (int i = 0; i < globs.lookouts->nelts; i++) {
        lookout_t *at = APR_ARRAY_IDX(globs.lookouts, i, lookout_t *);
        if (at->balancer == balancer) {
            find_due(at, now);
            if (at->is_due && udr_budget_allows(&at->budget, now)) {
                look(at, now);
            }
        }
    }
}

static void add_lookout(udr_balancer_t *balancer, const udr_glob_t *glob)
{
    lookout_t *made = apr_pcalloc(globs.lookouts->pool, sizeof *made);
    made->balancer = balancer;
    made->glob = glob;
    APR_ARRAY_PUSH(globs.lookouts, lookout_t *) = made;
}

apr_status_t udr_globs_start(server_rec *main_server, bool is_threaded, apr_pool_t *pchild)
{
    apr_status_t rv = APR_SUCCESS;
    const udr_picker_globs_t opening = {
        .lanes = 1 + udr_loops_count(),
        .yield = udr_share_yield(),
        .lost = tell_lost,
        .look = is_threaded ? NULL : look_before_pick,
    };
    globs.dirwatch = NULL;
    globs.interval = is_threaded ? LOOK_INTERVAL : LOOK_INTERVAL_UNTHREADED;
    globs.lookouts = apr_array_make(pchild, 4, sizeof(lookout_t *));
    for_each_glob(main_server, add_lookout);
    for (int i = 0; i < globs.lookouts->nelts && rv == APR_SUCCESS; i++) {
        lookout_t *at = APR_ARRAY_IDX(globs.lookouts, i, lookout_t *);
        look(at, udr_clock_now());
        if (i == 0 || at->balancer != APR_ARRAY_IDX(globs.lookouts, i - 1, lookout_t *)->balancer) {
            rv = udr_picker_open_globs(at->balancer->picker, &opening, pchild);
        }
    }
    return rv;
}
