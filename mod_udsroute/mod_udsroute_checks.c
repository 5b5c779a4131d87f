/* SPDX-License-Identifier: Apache-2.0 */
/* Not mod_watchdog's singleton: its mutex belongs to one generation, so that after a graceful restart an old child that
 * still serves a download goes on checking as the old configuration says, beside the new one; with `Mutex posixsem` a
 * child that is killed keeps it for good; and under prefork its thread is joined from within a signal handler. */
#include "mod_udsroute/mod_udsroute_checks.h"
#include "mod_udsroute/mod_udsroute_condition.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/udr_checker.h"
#include "mod_udsroute/udr_diagnosis.h"
#include "mod_udsroute/udr_leader.h"

#include <apr_strings.h>
#include <http_main.h>

static struct {
    server_rec *main_server;
    udr_loop_t *loop;
    apr_pool_t *p;
    udr_leader_t leader;
    apr_pool_t *pool; /* the checker's; NULL: there is none */
    udr_checker_t *checker;
} checks;

bool udr_checks_are_wanted(const server_rec *main_server)
{
    for (const server_rec *s = main_server; s; s = s->next) {
        const apr_array_header_t *members = udr_server_config(s)->members;
        const apr_array_header_t *globs = udr_server_config(s)->globs;
        for (int i = 0; i < globs->nelts; i++) {
            if (APR_ARRAY_IDX(globs, i, const udr_glob_t *)->needs_check) {
                return true;
            }
        }
        for (int i = 0; i < members->nelts; i++) {
            if (APR_ARRAY_IDX(members, i, const udr_member_t *)->settings.check.method != UDR_CHECK_NONE) {
                return true;
            }
        }
    }
    return false;
}

/* --- the log ---------------------------------------------------------------------------------------------------------
 */

static bool is_of_path(udr_cause_t cause)
{
    return cause == UDR_CAUSE_ABSENT || cause == UDR_CAUSE_STALE || cause == UDR_CAUSE_OPERATOR;
}

/* More than the cause, for who has to mend it. */
static const char *explain(const udr_news_t *news, apr_pool_t *p)
{
    const udr_finding_t *finding = &news->finding;
    const char *cause = udr_verdict_explain(udr_verdict_compose(finding->cause, finding->detail), p);
    const char *why = news->why;
    if (!why && is_of_path(finding->cause) && finding->detail) {
        why = udr_diagnosis_explain(news->member->target->address, finding->detail, p);
    }
    return why ? apr_pstrcat(p, cause, ": ", why, NULL) : cause;
}

static void tell(const udr_news_t *news)
{
    const udr_slot_t *slot = udr_shared_slot(udr_share_get(), news->member->slot);
    const char *name = news->member->target->text;
    const char *balancer = news->balancer->name;
    apr_pool_t *p = NULL;
    if (news->member->settings.check.method == UDR_CHECK_NONE) {
        udr_share_tell_news(news->balancer, news->member, news->change);
        return;
    }
    if (apr_pool_create(&p, checks.pool) != APR_SUCCESS) {
        return;
    }
    if (news->change & UDR_CHANGE_CAME_BACK) {
        apr_uint32_t ms = atomic_load(&slot->was_out_ms);
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, ap_server_conf,
                     UDRNO(0041) "member %s%s%s is up: its checks (%s) pass; it was out for %u.%03u s", name,
                     balancer ? " of balancer " : "", balancer ? balancer : "",
                     udr_check_method_name(news->member->settings.check.method), ms / 1000, ms % 1000);
    } else {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                     UDRNO(0040) "member %s%s%s is down, as its checks (%s) have found: %s", name,
                     balancer ? " of balancer " : "", balancer ? balancer : "",
                     udr_check_method_name(news->member->settings.check.method), explain(news, p));
    }
    apr_pool_destroy(p);
}

/* --- who makes them --------------------------------------------------------------------------------------------------
 */

static bool leads(void)
{
    return udr_leader_is_heard(&checks.leader, udr_share_get());
}

static udr_checker_client_t client = {.accepts = udr_condition_accepts, .news = tell, .leads = leads};

static apr_status_t add_all(void)
{
    apr_status_t rv = APR_SUCCESS;
    for (const server_rec *s = checks.main_server; s; s = s->next) {
        const apr_array_header_t *balancers = udr_server_config(s)->balancers;
        for (int i = 0; udr_server_has_own_config(s, checks.main_server) && i < balancers->nelts; i++) {
            if (rv == APR_SUCCESS) {
                rv = udr_checker_add(checks.checker, APR_ARRAY_IDX(balancers, i, const udr_balancer_t *));
            }
        }
    }
    return rv;
}

static void stop(void)
{
    apr_pool_destroy(checks.pool);
    checks.pool = NULL;
    checks.checker = NULL;
}

static void start(void)
{
    apr_status_t rv = apr_pool_create(&checks.pool, checks.p);
    client.yield = udr_share_yield();
    if (rv == APR_SUCCESS) {
        rv = udr_checker_create(&checks.checker, udr_share_access(), checks.loop, &client, checks.pool);
    }
    if (rv == APR_SUCCESS) {
        rv = add_all();
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, ap_server_conf, UDRNO(0044) "health checks can't be made");
        return;
    }
    udr_checker_start(checks.checker);
    if (udr_checks_are_wanted(checks.main_server)) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, ap_server_conf, "this process makes the health checks from now on");
    }
}

void udr_checks_init(server_rec *main_server, udr_loop_t *loop, apr_pool_t *p)
{
    checks.main_server = main_server;
    checks.loop = loop;
    checks.p = p;
    checks.leader = (udr_leader_t){.leads = false};
    checks.pool = NULL;
    checks.checker = NULL;
}

bool udr_checks_attend(apr_time_t now)
{
    bool led = checks.leader.leads;
    if (!checks.loop) {
        return false; /* nothing is routed */
    }
    udr_leading_t leading = udr_leader_attend(&checks.leader, udr_share_get(), now);
    if (leading == UDR_LEADING_INSTEAD && udr_checks_are_wanted(checks.main_server)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                     UDRNO(0073) "the child that makes the health checks has not been heard of for %d s, though it "
                                 "lives: this one makes them from now on",
                     (int)apr_time_sec(UDR_LEADER_PATIENCE));
    }
    if (checks.leader.leads && !led) {
        start();
    } else if (led && !checks.leader.leads) {
        stop();
    } else if (checks.checker) {
        udr_checker_attend(checks.checker, now);
    }
    return checks.leader.leads;
}

void udr_checks_look(const udr_member_t *member)
{
    if (checks.checker) {
        udr_checker_look(checks.checker, member);
    }
}
