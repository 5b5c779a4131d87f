/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_verdict.h"

#include <apr_errno.h>
#include <apr_strings.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* slot->cause: the cause above, an errno or HTTP status below. */
#define DETAIL_BITS 16
#define DETAIL_MASK ((1U << DETAIL_BITS) - 1)

typedef enum detail_t { DETAIL_ERRNO, DETAIL_STATUS, DETAIL_PROTOCOL } detail_t;

static const struct {
    bool puts_out;   /* it is the member's, and the member is out for a while */
    bool says_gone;  /* it looks like a restart: `hold` */
    bool of_connect; /* that a new connection succeeds, or that its file changes, says that it is over */
    bool of_head;    /* that a response begins says so; of the others only that one has come whole */
    detail_t detail;
    const char *words;
} causes[UDR_CAUSES] = {
    [UDR_CAUSE_NONE] = {.words = ""},
    [UDR_CAUSE_BUSY] = {.words = "its listen backlog is full"},
    [UDR_CAUSE_OURS] = {.words = "this server has no descriptors or memory left"},
    [UDR_CAUSE_ABSENT] = {.puts_out = true, .says_gone = true, .of_connect = true, .words = "no socket file"},
    [UDR_CAUSE_STALE] = {.puts_out = true,
                         .says_gone = true,
                         .of_connect = true,
                         .words = "nobody listens on its socket"},
    [UDR_CAUSE_OPERATOR] = {.puts_out = true, .of_connect = true, .words = "its socket may not be used"},
    [UDR_CAUSE_CONNECT] = {.puts_out = true, .of_connect = true, .words = "it can't be connected to"},
    [UDR_CAUSE_UNANSWERED] = {.puts_out = true,
                              .says_gone = true,
                              .of_head = true,
                              .words = "closed the connection without an answer"},
    [UDR_CAUSE_BROKEN_OFF] = {.puts_out = true, .words = "closed the connection within a response"},
    [UDR_CAUSE_TIMEOUT] = {.puts_out = true, .words = "silent for longer than timeout (failontimeout)"},
    [UDR_CAUSE_RESPONSE] = {.puts_out = true, .words = "a response that may not be passed on"},
    [UDR_CAUSE_STATUS] = {.puts_out = true,
                          .of_head = true,
                          .detail = DETAIL_STATUS,
                          .words = "a status of failonstatus"},
    [UDR_CAUSE_MARKED] = {.puts_out = true, .of_head = true, .words = "marked as failed (status=+E)"},
    [UDR_CAUSE_CHECK_TIMEOUT] = {.puts_out = true, .words = "no answer to a check within hctimeout"},
    [UDR_CAUSE_CHECK_BACKLOG] = {.puts_out = true, .words = "its listen backlog was full for all of hctimeout"},
    [UDR_CAUSE_CHECK_STATUS] = {.puts_out = true,
                                .detail = DETAIL_STATUS,
                                .words = "a check was answered with another status than 2xx and 3xx"},
    [UDR_CAUSE_CHECK_ANSWER] = {.puts_out = true,
                                .detail = DETAIL_STATUS,
                                .words = "the answer to a check is not what hcexpr asks for"},
    [UDR_CAUSE_CHECK_PROTOCOL] = {.puts_out = true,
                                  .detail = DETAIL_PROTOCOL,
                                  .words = "it answers in another protocol than its scheme says"},
    [UDR_CAUSE_CHECK_AGENT] = {.puts_out = true, .words = "it says that it is down (X-UDSRoute-State)"},
};

/* connect(2), unix(7), socket(2). What is not here is the member's. */
static const struct {
    int error;
    udr_cause_t cause;
} errors[] = {
    {ENOENT, UDR_CAUSE_ABSENT},       {ECONNREFUSED, UDR_CAUSE_STALE}, {EAGAIN, UDR_CAUSE_BUSY},
    {ETIMEDOUT, UDR_CAUSE_BUSY},      {EACCES, UDR_CAUSE_OPERATOR},    {EPERM, UDR_CAUSE_OPERATOR},
    {ENOTDIR, UDR_CAUSE_OPERATOR},    {ELOOP, UDR_CAUSE_OPERATOR},     {ENAMETOOLONG, UDR_CAUSE_OPERATOR},
    {EPROTOTYPE, UDR_CAUSE_OPERATOR}, /* a datagram socket */
    {EMFILE, UDR_CAUSE_OURS},         {ENFILE, UDR_CAUSE_OURS},        {ENOMEM, UDR_CAUSE_OURS},
    {ENOBUFS, UDR_CAUSE_OURS},
};

udr_cause_t udr_verdict_cause_of(int error)
{
    for (apr_size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error == error) {
            return errors[i].cause;
        }
    }
    return UDR_CAUSE_CONNECT;
}

apr_uint32_t udr_verdict_compose(udr_cause_t cause, int detail)
{
    return (apr_uint32_t)cause << DETAIL_BITS | ((apr_uint32_t)detail & DETAIL_MASK);
}

/* NONE: no failure. */
static udr_cause_t cause_of(const udr_report_t *report)
{
    switch (report->outcome) {
    case UDR_OUTCOME_SERVED:
    case UDR_OUTCOME_CONNECTED:
    case UDR_OUTCOME_ANSWERED:
        return UDR_CAUSE_NONE;
    case UDR_OUTCOME_CONNECT_FAILED:
        return udr_verdict_cause_of(report->detail);
    case UDR_OUTCOME_PEER:
        return UDR_CAUSE_OPERATOR;
    case UDR_OUTCOME_UNANSWERED:
        return report->reused ? UDR_CAUSE_NONE : UDR_CAUSE_UNANSWERED;
    case UDR_OUTCOME_BROKEN_OFF:
        return UDR_CAUSE_BROKEN_OFF;
    case UDR_OUTCOME_TIMEOUT:
        return UDR_CAUSE_TIMEOUT;
    case UDR_OUTCOME_RESPONSE:
        return UDR_CAUSE_RESPONSE;
    case UDR_OUTCOME_STATUS:
        return UDR_CAUSE_STATUS;
    case UDR_OUTCOME_MARKED:
        return UDR_CAUSE_MARKED;
    }
    return UDR_CAUSE_NONE;
}

udr_cause_t udr_verdict_cause(apr_uint32_t cause)
{
    apr_uint32_t kind = cause >> DETAIL_BITS;
    return kind < UDR_CAUSES ? (udr_cause_t)kind : UDR_CAUSE_NONE;
}

/* When it was put out, or its pause was ended. */
static apr_time_t out_since(const udr_slot_t *slot, apr_int64_t until)
{
    return until - apr_time_from_msec((apr_int64_t)atomic_load(&slot->pause_ms));
}

static bool is_down(const udr_slot_t *slot)
{
    return udr_health_is_down(atomic_load(&slot->health));
}

apr_time_t udr_verdict_out_until(const udr_slot_t *slot)
{
    return is_down(slot) ? UDR_VERDICT_NO_END : atomic_load(&slot->out_until);
}

/* Within one time of being out, that it has gone is what decides about `hold`: whatever else goes wrong then (responses
 * that break off as the process dies) is not to hide it. */
static void remember(udr_slot_t *slot, udr_cause_t cause, int detail, bool is_first)
{
    udr_cause_t present = udr_verdict_cause(atomic_load(&slot->cause));
    if (is_first || causes[cause].says_gone || !causes[present].says_gone) {
        atomic_store(&slot->cause, udr_verdict_compose(cause, detail));
    }
}

static apr_interval_time_t next_pause(const udr_slot_t *slot, apr_int64_t until, apr_interval_time_t retry)
{
    /* Who resets out_until may be overtaken on the way to pause_ms: it counts only while out_until is set. */
    apr_interval_time_t pause = until ? 2 * apr_time_from_msec((apr_int64_t)atomic_load(&slot->pause_ms)) : 0;
    apr_interval_time_t longest = retry > UDR_VERDICT_PAUSE_MAX ? retry : UDR_VERDICT_PAUSE_MAX;
    pause = pause < longest ? pause : longest;
    return pause > retry ? pause : retry;
}

/* The winner of the exchange alone writes the pause. What others read in between is mended by the epoch, which is
 * incremented afterwards. */
static unsigned int put_out(udr_slot_t *slot, udr_cause_t cause, int detail, apr_int64_t until,
                            apr_interval_time_t retry, apr_time_t now)
{
    apr_interval_time_t pause = next_pause(slot, until, retry);
    bool was_up = until == 0;
    if (was_up) {
        /* Before it is out: whether it may be waited for goes by both. */
        remember(slot, cause, detail, true);
        atomic_store(&slot->gone_since, now);
    }
    if (!atomic_compare_exchange_strong(&slot->out_until, &until, now + pause)) {
        remember(slot, cause, detail, false);
        return UDR_CHANGE_NONE;
    }
    atomic_store(&slot->pause_ms, (apr_uint32_t)apr_time_as_msec(pause));
    if (was_up) {
        return UDR_CHANGE_PICK | UDR_CHANGE_WENT_OUT;
    }
    remember(slot, cause, detail, true);
    return pause > 0 ? UDR_CHANGE_PICK : UDR_CHANGE_NONE;
}

static unsigned int fail(udr_slot_t *slot, udr_cause_t cause, const udr_report_t *report, apr_time_t begun,
                         apr_interval_time_t retry, apr_time_t now)
{
    apr_int64_t until = atomic_load(&slot->out_until);
    int detail = report->detail;
    if (until == 0 ? begun < atomic_load(&slot->up_since) : until > now || begun < out_since(slot, until)) {
        if (until != 0) {
            remember(slot, cause, detail, false);
        }
        return UDR_CHANGE_NONE;
    }
    (void)udr_health_note(&slot->health, UDR_HEALTH_REQUEST_FAILED);
    if (is_down(slot)) {
        /* Asked nevertheless, because all are out (`forcerecovery`): it is out already, and not for a pause. */
        remember(slot, cause, detail, false);
        return UDR_CHANGE_NONE;
    }
    return put_out(slot, cause, detail, until, retry, now);
}

/* Does it prove that what put the member out is over? */
static bool proves(const udr_slot_t *slot, const udr_report_t *report, apr_time_t begun, apr_int64_t until)
{
    udr_cause_t cause = udr_verdict_cause(atomic_load(&slot->cause));
    if (begun < out_since(slot, until)) {
        return false;
    }
    if (causes[cause].of_connect) {
        return !report->reused;
    }
    return report->outcome == UDR_OUTCOME_SERVED || (causes[cause].of_head && report->outcome == UDR_OUTCOME_ANSWERED);
}

/* Nothing keeps it out any more. */
static unsigned int come_back(udr_slot_t *slot, apr_time_t now)
{
    apr_int64_t since = atomic_load(&slot->gone_since);
    apr_int64_t span = since ? apr_time_as_msec(now - since) : 0;
    atomic_store(&slot->was_out_ms, span < APR_UINT32_MAX ? (apr_uint32_t)span : APR_UINT32_MAX);
    atomic_store(&slot->up_since, now);
    (void)atomic_compare_exchange_strong(&slot->gone_since, &since, 0); /* it may be out again already, since later */
    atomic_store(&slot->pause_ms, 0);
    return UDR_CHANGE_PICK | UDR_CHANGE_CAME_BACK;
}

static unsigned int succeed(udr_slot_t *slot, const udr_report_t *report, apr_time_t begun, apr_time_t now)
{
    if (!atomic_load(&slot->seen_up)) {
        atomic_store(&slot->seen_up, 1);
    }
    apr_int64_t until = atomic_load(&slot->out_until);
    if (until == 0 || !proves(slot, report, begun, until) ||
        !atomic_compare_exchange_strong(&slot->out_until, &until, 0)) {
        return UDR_CHANGE_NONE;
    }
    if (is_down(slot)) {
        atomic_store(&slot->pause_ms, 0); /* checks bring it back */
        return UDR_CHANGE_NONE;
    }
    return come_back(slot, now);
}

unsigned int udr_verdict_report(udr_slot_t *slot, const udr_report_t *report, apr_interval_time_t retry, apr_time_t now)
{
    apr_time_t begun = report->begun ? report->begun : now;
    udr_cause_t cause = cause_of(report);
    if (udr_outcome_is_good(report->outcome)) {
        return succeed(slot, report, begun, now);
    }
    return causes[cause].puts_out ? fail(slot, cause, report, begun, retry, now) : UDR_CHANGE_NONE;
}

/* --- checks --- */

/* The end of what keeps it out. was_down: checks did. */
static unsigned int bring_back(udr_slot_t *slot, bool was_down, apr_time_t begun, apr_time_t now)
{
    apr_int64_t until = atomic_load(&slot->out_until);
    if (until == 0) {
        return was_down ? come_back(slot, now) : UDR_CHANGE_NONE;
    }
    if (begun < out_since(slot, until) || !atomic_compare_exchange_strong(&slot->out_until, &until, 0)) {
        /* A request has failed since the check began. */
        return was_down ? UDR_CHANGE_PICK : UDR_CHANGE_NONE;
    }
    return come_back(slot, now);
}

static unsigned int pass(udr_slot_t *slot, const udr_finding_t *finding, apr_time_t now)
{
    bool was_down = is_down(slot);
    atomic_fetch_add(&slot->checks_passed, 1);
    if (!atomic_load(&slot->seen_up)) {
        atomic_store(&slot->seen_up, 1);
    }
    if (udr_health_passed(&slot->health, finding->passes) != UDR_HEALTH_COMES_BACK) {
        return UDR_CHANGE_NONE;
    }
    return bring_back(slot, was_down, finding->begun, now);
}

static unsigned int fall(udr_slot_t *slot, const udr_finding_t *finding, apr_time_t now)
{
    int needed = finding->cause == UDR_CAUSE_CHECK_AGENT ? 0 : finding->fails;
    apr_uint32_t health = atomic_load(&slot->health);
    bool was_up = atomic_load(&slot->out_until) == 0 && !udr_health_is_down(health);
    atomic_fetch_add(&slot->checks_failed, 1);
    if (was_up && udr_health_fails(health) + 1 >= needed) {
        /* Before it is out: whether it may be waited for goes by it. */
        remember(slot, finding->cause, finding->detail, true);
        atomic_store(&slot->gone_since, now);
    }
    if (udr_health_failed(&slot->health, needed) != UDR_HEALTH_GOES_OUT) {
        return UDR_CHANGE_NONE;
    }
    if (!was_up) {
        remember(slot, finding->cause, finding->detail, false);
    }
    return was_up ? UDR_CHANGE_PICK | UDR_CHANGE_WENT_OUT : UDR_CHANGE_PICK;
}

unsigned int udr_verdict_check(udr_slot_t *slot, const udr_finding_t *finding, apr_time_t now)
{
    bool has_passed = finding->cause == UDR_CAUSE_NONE;
    if (finding->cause == UDR_CAUSE_OURS) {
        return UDR_CHANGE_NONE;
    }
    atomic_store(&slot->check_cause, has_passed ? 0 : udr_verdict_compose(finding->cause, finding->detail));
    atomic_store(&slot->check_took_us, (apr_uint32_t)(now - finding->begun));
    atomic_store(&slot->checked_at, now);
    unsigned int change = has_passed ? pass(slot, finding, now) : fall(slot, finding, now);
    /* Who says nothing because it can't be asked has not taken back what it said. */
    if (has_passed && atomic_exchange(&slot->agent, finding->agent) != finding->agent) {
        change |= UDR_CHANGE_PICK;
    }
    return change;
}

void udr_verdict_suspend(udr_slot_t *slot)
{
    (void)udr_health_note(&slot->health, UDR_HEALTH_SUSPENDED);
}

bool udr_verdict_remembers(const udr_slot_t *slot)
{
    return atomic_load(&slot->health) != 0 || atomic_load(&slot->agent) != 0;
}

unsigned int udr_verdict_forget(udr_slot_t *slot, apr_time_t now)
{
    bool was_down = is_down(slot);
    unsigned int change = atomic_exchange(&slot->agent, 0) ? UDR_CHANGE_PICK : UDR_CHANGE_NONE;
    if (udr_health_note(&slot->health, UDR_HEALTH_FORGOTTEN) == UDR_HEALTH_COMES_BACK &&
        atomic_load(&slot->out_until) == 0 && was_down) {
        change |= come_back(slot, now);
    }
    return change;
}

void udr_verdict_mark(udr_slot_t *slot, apr_interval_time_t retry, apr_time_t now)
{
    const udr_report_t report = {.outcome = UDR_OUTCOME_MARKED};
    (void)udr_verdict_report(slot, &report, retry, now);
}

/* --- its file --- */

unsigned int udr_verdict_file_gone(udr_slot_t *slot, apr_interval_time_t retry, apr_time_t now)
{
    const udr_report_t report = {.outcome = UDR_OUTCOME_CONNECT_FAILED, .detail = ENOENT, .begun = now};
    return udr_verdict_report(slot, &report, retry, now);
}

unsigned int udr_verdict_file_appeared(udr_slot_t *slot, apr_time_t now)
{
    apr_int64_t until = atomic_load(&slot->out_until);
    if (until <= now || !causes[udr_verdict_cause(atomic_load(&slot->cause))].of_connect ||
        !atomic_compare_exchange_strong(&slot->out_until, &until, now)) {
        return UDR_CHANGE_NONE;
    }
    atomic_store(&slot->pause_ms, 0);
    return UDR_CHANGE_PICK;
}

void udr_verdict_begin_anew(udr_slot_t *slot, apr_time_t now)
{
    atomic_store(&slot->up_since, now);
    atomic_store(&slot->gone_since, 0);
    atomic_store(&slot->pause_ms, 0);
    atomic_store(&slot->out_until, 0);
}

apr_time_t udr_verdict_gone_until(const udr_slot_t *slot, apr_interval_time_t hold, apr_time_t now)
{
    if (udr_verdict_out_until(slot) == 0 || !atomic_load(&slot->seen_up) ||
        !causes[udr_verdict_cause(atomic_load(&slot->cause))].says_gone) {
        return 0;
    }
    /* 0: its socket has been made anew, and checks have not found enough good of it yet. */
    apr_int64_t since = atomic_load(&slot->gone_since);
    return since && since + hold > now ? since + hold : 0;
}

bool udr_verdict_is_just_gone(const udr_slot_t *slot, apr_interval_time_t hold, apr_time_t now)
{
    return udr_verdict_gone_until(slot, hold, now) != 0;
}

/* From 1 on: shared memory takes no pointers. */
static const char *const protocols[] = {"another", "FastCGI", "TLS", "HTTP/2", "HTTP"};

int udr_verdict_protocol(const char *name)
{
    for (apr_size_t i = 1; i < sizeof protocols / sizeof *protocols; i++) {
        if (strcmp(name, protocols[i]) == 0) {
            return (int)i;
        }
    }
    return 0;
}

static const char *protocol_name(int detail)
{
    return protocols[(apr_size_t)detail < sizeof protocols / sizeof *protocols ? detail : 0];
}

const char *udr_verdict_explain(apr_uint32_t cause, apr_pool_t *p)
{
    udr_cause_t kind = udr_verdict_cause(cause);
    int detail = (int)(cause & DETAIL_MASK);
    char text[128];
    if (!detail || kind == UDR_CAUSE_NONE) {
        return causes[kind].words;
    }
    switch (causes[kind].detail) {
    case DETAIL_STATUS:
        return apr_psprintf(p, "%s (%d)", causes[kind].words, detail);
    case DETAIL_PROTOCOL:
        return apr_psprintf(p, "%s (%s)", causes[kind].words, protocol_name(detail));
    case DETAIL_ERRNO:
        break;
    }
    return apr_psprintf(p, "%s (%s)", causes[kind].words, apr_strerror(detail, text, sizeof text));
}
