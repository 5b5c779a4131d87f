/* SPDX-License-Identifier: Apache-2.0 */
/* Which member: what the picker says, how long to wait for it, and what it is told in return. */
#include "mod_udsroute/udr_exchange_private.h"

#include <errno.h>
#include <sys/stat.h>

/* A server that has called bind(2) may be about to give its socket's file away (PHP-FPM, as root: chown(2), chmod(2),
 * listen(2)). For so long after that, not to be let in says nothing of permissions. */
#define NEWBORN apr_time_from_sec(1)

void udr_exchange_use_member(udr_exchange_t *x, udr_member_t *member)
{
    x->member = member;
    x->settings = &member->settings;
    x->protocol = member->target->scheme->protocol;
    if (x->plan.picker && x->plan.ops->picked) {
        x->plan.ops->picked(x->plan.client, member);
    }
}

/* The failure of the last member that was tried says more than that there is none left. */
static void fail_for_want_of_members(udr_exchange_t *x)
{
    if (x->failure.kind == UDR_FAILURE_NONE) {
        x->failure.kind = UDR_FAILURE_NOBODY;
        x->failure.state = x->state;
    }
    udr_exchange_transit(x, UDR_EXCHANGE_FAILED);
}

static void pick(udr_exchange_t *x)
{
    apr_time_t until = 0;
    switch (udr_pick_next(&x->pick, x->now, &until)) {
    case UDR_PICKED_MEMBER:
        udr_exchange_use_member(x, x->pick.member);
        udr_exchange_take_turn(x);
        break;
    case UDR_PICKED_TURN:
        udr_exchange_use_member(x, x->pick.member);
        udr_exchange_trace(x, "queue", "%d requests (maxconn) are in flight on member %s: waiting",
                           x->settings->maxconn, x->member->target->text);
        x->queued_at = x->now - x->queued;
        udr_exchange_transit(x, UDR_EXCHANGE_QUEUE);
        udr_exchange_wait_in_queue(x); /* `queue` may be 0 */
        break;
    case UDR_PICKED_LATER:
        if (x->state != UDR_EXCHANGE_HOLD) {
            udr_exchange_trace(x, "hold", "waiting for members that have just gone");
            udr_exchange_transit(x, UDR_EXCHANGE_HOLD);
        }
        x->hold_until = until;
        break;
    case UDR_PICKED_FULL:
        udr_exchange_use_member(x, x->pick.member);
        udr_exchange_fail(x, UDR_FAILURE_QUEUE, APR_ENOSPC, NULL);
        break;
    case UDR_PICKED_NOBODY:
        fail_for_want_of_members(x);
        break;
    }
}

void udr_exchange_start(udr_exchange_t *x)
{
    /* A pooled connection has failed: the same member gets another chance. */
    if (!x->plan.picker || x->fresh_only) {
        udr_exchange_take_turn(x);
    } else {
        pick(x);
    }
}

/* `queue` is how long the request waits, not how long it does so at each member that has no turn for it in time. */
void udr_exchange_wait_in_queue(udr_exchange_t *x)
{
    x->queued = x->now - x->queued_at;
    if (udr_pick_has_turn(&x->pick)) {
        udr_exchange_take_turn(x);
    } else if (x->queued >= x->settings->queue) {
        udr_exchange_fail(x, UDR_FAILURE_QUEUE, APR_SUCCESS, NULL);
    }
}

static void report(udr_exchange_t *x, udr_outcome_t outcome, int detail)
{
    apr_time_t begun = x->answered_at ? x->answered_at : x->attempt_begun;
    udr_report_t made = {.outcome = outcome, .detail = detail, .begun = begun, .reused = x->reused};
    udr_pick_report(&x->pick, &made, x->now);
}

void udr_exchange_report_connected(udr_exchange_t *x)
{
    if (x->plan.picker) {
        x->reused = false;
        report(x, UDR_OUTCOME_CONNECTED, 0);
    }
}

void udr_exchange_report_answered(udr_exchange_t *x)
{
    if (x->plan.picker && x->pick.is_counted && udr_pick_is_on_trial(&x->pick) &&
        !udr_picker_fails_on(x->plan.picker, x->receiver.reader.head->status)) {
        report(x, UDR_OUTCOME_ANSWERED, 0);
        x->answered_at = udr_pick_is_on_trial(&x->pick) ? 0 : x->now;
    }
}

/* It has answered. What ends the tunnel, and how, is the matter of the two who talk in it: of many members an end with
 * bytes of the client's unread looks like a reset, and nothing is wrong with them. */
void udr_exchange_report_switched(udr_exchange_t *x)
{
    if (x->plan.picker && x->pick.is_counted) {
        report(x, UDR_OUTCOME_SERVED, 0);
    }
}

/* By the time of day, as files are: where that has been set back, a file from the future is none. */
static bool is_newborn(const udr_address_t *address)
{
    struct stat info;
    if (address->kind != UDR_ADDRESS_PATH || stat(address->name, &info) || !S_ISSOCK(info.st_mode)) {
        return false;
    }
    /* Its owner may have set any time, also one that is none in microseconds. */
    apr_time_t now = apr_time_now();
    apr_time_t second = info.st_mtim.tv_sec;
    if (second < apr_time_sec(now - NEWBORN) || second > apr_time_sec(now + NEWBORN)) {
        return false;
    }
    apr_time_t age = now - apr_time_from_sec(second) - info.st_mtim.tv_nsec / 1000;
    return age >= -NEWBORN && age < NEWBORN;
}

/* One that lets nobody in yet is as good as one on which nobody listens yet: it is waited for. */
static int connect_error(const udr_exchange_t *x, apr_status_t error)
{
    return (error == EACCES || error == EPERM) && is_newborn(x->member->target->address) ? ECONNREFUSED : error;
}

static void report_failure(udr_exchange_t *x, udr_failure_kind_t kind, apr_status_t error)
{
    switch (kind) {
    case UDR_FAILURE_SOCKET:
    case UDR_FAILURE_CONNECT:
        report(x, UDR_OUTCOME_CONNECT_FAILED, connect_error(x, error));
        break;
    case UDR_FAILURE_CONNECT_TIMEOUT:
        report(x, UDR_OUTCOME_CONNECT_FAILED, EAGAIN);
        break;
    case UDR_FAILURE_PEER:
        report(x, UDR_OUTCOME_PEER, 0);
        break;
    case UDR_FAILURE_CLOSED:
        report(x, x->receiver.begun ? UDR_OUTCOME_BROKEN_OFF : UDR_OUTCOME_UNANSWERED, error);
        break;
    case UDR_FAILURE_RESPONSE:
        report(x, UDR_OUTCOME_RESPONSE, 0);
        break;
    case UDR_FAILURE_TIMEOUT:
        if (udr_picker_balancer(x->plan.picker)->settings.fail_on_timeout) {
            report(x, UDR_OUTCOME_TIMEOUT, 0);
        }
        break;
    default: /* not of the member's making */
        break;
    }
}

bool udr_exchange_leave_member(udr_exchange_t *x, udr_failure_kind_t kind, apr_status_t error)
{
    if (!x->plan.picker || !x->member) {
        return false;
    }
    /* A member that is silent or busy is there; only one that has gone may be waited for. */
    bool has_gone = kind == UDR_FAILURE_CONNECT || kind == UDR_FAILURE_CLOSED;
    if (has_gone && !x->failed_at) {
        x->failed_at = x->now;
    }
    if (!x->tunnel.begun) {
        report_failure(x, kind, error);
    }
    return udr_pick_may_go_on(&x->pick, has_gone ? x->failed_at : 0, x->now);
}

void udr_exchange_end_pick(udr_exchange_t *x, bool is_complete)
{
    if (!x->plan.picker) {
        return;
    }
    if (x->pick.is_counted) {
        int status = x->receiver.head_passed ? x->receiver.reader.head->status : 0;
        if (is_complete && !x->tunnel.begun) {
            bool is_bad = udr_picker_fails_on(x->plan.picker, status);
            report(x, is_bad ? UDR_OUTCOME_STATUS : UDR_OUTCOME_SERVED, is_bad ? status : 0);
        }
        /* How long a tunnel lasts, or a failure takes, says nothing of how fast it answers. */
        udr_account_t account = {.status = status,
                                 .sent = x->sender.body_sent + x->tunnel.sent,
                                 .received = x->receiver.relayed + x->tunnel.received + udr_exchange_held(x),
                                 .begun = is_complete && !x->tunnel.begun ? x->attempt_begun : 0};
        udr_pick_account(&x->pick, &account, x->now);
    }
    udr_pick_leave(&x->pick);
}
