/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_berth.h"
#include "mod_udsroute/udr_checker_private.h"
#include "mod_udsroute/udr_clock.h"

/* Nobody knows their members' state when a server starts: that is not put off for a whole interval. */
#define FIRST_SPAN apr_time_from_sec(1)

/* An interval is divided into so many steps; into fewer, where they would be shorter than this. */
#define STEPS_MAX 50
#define STEPS_MIN 10
#define STEP_MIN  apr_time_from_msec(50)

/* From bind(2) to listen(2), mostly microseconds; but an application may load its code in between. */
#define LOOK_PAUSE_FIRST apr_time_from_msec(10)
#define LOOK_PAUSE_MAX   apr_time_from_msec(40)
#define LOOK_SPAN        apr_time_from_sec(10)

static bool is_checked(const udr_subject_t *subject)
{
    return subject->member->settings.check.method != UDR_CHECK_NONE;
}

/* --- what a check has found ------------------------------------------------------------------------------------------
 */

/* Whether the member can be connected to is all that is asked of one that isn't checked. */
static unsigned int tell_connected(const udr_subject_t *subject, const udr_finding_t *finding, apr_time_t now)
{
    const udr_report_t report = {.outcome = UDR_OUTCOME_CONNECTED, .begun = finding->begun};
    if (finding->cause != UDR_CAUSE_NONE) {
        return UDR_CHANGE_NONE;
    }
    return udr_verdict_report(subject->slot, &report, subject->member->settings.retry, now);
}

static unsigned int tell_verdict(const udr_subject_t *subject, udr_finding_t finding, apr_time_t now)
{
    if (!is_checked(subject)) {
        return tell_connected(subject, &finding, now);
    }
    finding.passes = subject->member->settings.check.passes;
    finding.fails = subject->member->settings.check.fails;
    return udr_verdict_check(subject->slot, &finding, now);
}

/* Of a glob's member nothing may be said to whoever has moved into its berth meanwhile. */
static unsigned int tell_tenant(const udr_subject_t *subject, const udr_finding_t *finding, apr_time_t now)
{
    const udr_shared_t *shared = subject->checker->shared;
    if (!udr_berth_pin(shared, subject->glob, subject->member->slot, subject->tenancy)) {
        return UDR_CHANGE_NONE;
    }
    unsigned int change = tell_verdict(subject, *finding, now);
    udr_berth_unpin(shared, subject->glob);
    return change;
}

static void begin(udr_subject_t *subject, bool looks);

/* Nobody listens yet, or the socket has not got its mode. */
static void look_again(udr_subject_t *subject, apr_time_t now)
{
    udr_loop_set_timer(subject->checker->loop, &subject->look, now + subject->look_pause);
    apr_interval_time_t longer = subject->look_pause * 3 / 2;
    subject->look_pause = longer < LOOK_PAUSE_MAX ? longer : LOOK_PAUSE_MAX;
}

static bool is_unreachable(udr_cause_t cause)
{
    return cause == UDR_CAUSE_ABSENT || cause == UDR_CAUSE_STALE || cause == UDR_CAUSE_OPERATOR ||
           cause == UDR_CAUSE_CONNECT;
}

static void tell(const udr_subject_t *subject, const udr_finding_t *finding, apr_time_t now)
{
    const udr_checker_t *checker = subject->checker;
    unsigned int change = subject->glob ? tell_tenant(subject, finding, now) : tell_verdict(subject, *finding, now);
    if (change & UDR_CHANGE_PICK) {
        udr_shared_bump_epoch(checker->shared);
    }
    if (change & (UDR_CHANGE_WENT_OUT | UDR_CHANGE_CAME_BACK)) {
        const udr_news_t news = {subject->balancer, subject->member, change, *finding,
                                 udr_check_explain(subject->check)};
        checker->client->news(&news);
    }
}

static void begin_next(udr_subject_t *subject)
{
    if (subject->has_to) {
        begin(subject, false);
    } else if (subject->has_to_look) {
        begin(subject, true);
    }
}

/* Not if another configuration holds by now, or another process makes the checks. */
static bool is_asked_for(const udr_checker_t *checker)
{
    return !udr_shared_is_succeeded(checker->shared) && (!checker->client->leads || checker->client->leads());
}

static void done(void *baton, const udr_finding_t *finding)
{
    udr_subject_t *subject = baton;
    apr_time_t now = udr_clock_now();
    subject->has_given_way = false;
    if (!is_asked_for(subject->checker)) {
        return;
    }
    if (!is_unreachable(finding->cause)) {
        subject->look_until = 0;
    }
    if (subject->glob && finding->cause == UDR_CAUSE_NONE) {
        (void)udr_berth_pass(subject->checker->shared, subject->glob, subject->member->slot, subject->tenancy,
                             finding->begun, now);
    }
    if (!subject->looks || !is_unreachable(finding->cause)) {
        tell(subject, finding, now);
    } else if (subject->look_until > now) {
        look_again(subject, now);
    }
    begin_next(subject);
}

static bool accepts(void *baton, const udr_member_t *member, const udr_answer_t *answer, const char **why,
                    apr_pool_t *p)
{
    const udr_subject_t *subject = baton;
    return subject->checker->client->accepts(member, answer, why, p);
}

/* --- when ------------------------------------------------------------------------------------------------------------
 */

static void begin(udr_subject_t *subject, bool looks)
{
    if (udr_check_is_running(subject->check)) {
        subject->has_to |= !looks;
        subject->has_to_look |= looks;
        return;
    }
    /* Neither is a reason to leave the other. */
    subject->has_to &= looks;
    subject->has_to_look &= !looks;
    subject->looks = looks;
    udr_check_begin(subject->check, !is_checked(subject), subject->due.at);
}

static bool may_check(udr_subject_t *subject)
{
    bool is_stopped = atomic_load(&subject->hot->flags) & (UDR_SLOT_DISABLED | UDR_SLOT_STOPPED);
    if (is_stopped && !subject->is_suspended) {
        udr_check_cancel(subject->check);
        subject->has_to = subject->has_to_look = subject->has_given_way = false;
        subject->look_until = 0;
        udr_verdict_suspend(subject->slot);
    }
    subject->is_suspended = is_stopped;
    return !is_stopped;
}

static void is_due(udr_timer_t *timer)
{
    udr_subject_t *subject = timer->baton;
    apr_interval_time_t interval = subject->member->settings.check.interval;
    apr_time_t now = udr_loop_now(subject->checker->loop);
    /* Times are fixed, so that neither slow answers nor a busy loop let the checks drift together. */
    if (subject->next <= now) {
        subject->next = now + interval; /* the machine was suspended, say */
    }
    udr_loop_set_timer(subject->checker->loop, timer, subject->next);
    subject->next += interval;
    if (may_check(subject)) {
        begin(subject, false);
    }
}

static void is_to_look(udr_timer_t *timer)
{
    udr_subject_t *subject = timer->baton;
    if (may_check(subject)) {
        begin(subject, true);
    }
}

void udr_checker_look(udr_checker_t *checker, const udr_member_t *member)
{
    udr_subject_t *subject = member->slot == UDR_SHARED_NONE ? NULL : checker->by_slot[member->slot];
    if (!subject || !may_check(subject)) {
        return;
    }
    if (!is_checked(subject) && udr_verdict_out_until(subject->slot) == 0) {
        return; /* its requests find out */
    }
    apr_time_t now = udr_clock_now();
    subject->look_until = now + LOOK_SPAN;
    subject->look_pause = LOOK_PAUSE_FIRST;
    if (now - subject->looked_at < LOOK_PAUSE_FIRST) {
        /* Somebody changes its mode without end, perhaps. */
        udr_loop_set_timer(checker->loop, &subject->look, subject->looked_at + LOOK_PAUSE_FIRST);
        return;
    }
    subject->looked_at = now;
    udr_loop_clear_timer(checker->loop, &subject->look);
    if (udr_check_is_running(subject->check)) {
        /* It was begun before. But of two in a row one ends: who changes its mode all the time is checked, too. */
        if (!subject->has_given_way) {
            udr_check_cancel(subject->check);
        }
        subject->has_given_way = true;
    }
    begin(subject, true);
}

/* Those who went by a connection that failed are looked at now: the rest of the pause may be for nothing. That they
 * can't be connected to is known, and counts for nothing. */
static bool has_gone(udr_subject_t *subject)
{
    apr_int64_t gone = atomic_load(&subject->slot->gone_since);
    /* (It may be about to go out: the next time.) */
    if (gone == 0 || gone == subject->gone_seen || atomic_load(&subject->slot->out_until) == 0) {
        return false;
    }
    subject->gone_seen = gone;
    switch (udr_verdict_cause(atomic_load(&subject->slot->cause))) {
    case UDR_CAUSE_ABSENT:
    case UDR_CAUSE_STALE:
    case UDR_CAUSE_CONNECT:
    case UDR_CAUSE_OPERATOR:
    case UDR_CAUSE_UNANSWERED:
        return true;
    default:
        return false;
    }
}

void udr_checker_attend(udr_checker_t *checker, apr_time_t now)
{
    udr_checker_sync(checker, now);
    for (int i = 0; i < checker->subjects->nelts; i++) {
        udr_subject_t *subject = APR_ARRAY_IDX(checker->subjects, i, udr_subject_t *);
        bool was_suspended = subject->is_suspended;
        if (!is_checked(subject) || !may_check(subject)) {
            continue;
        }
        if (has_gone(subject) || was_suspended) {
            begin(subject, !was_suspended);
        }
    }
}

/* --- who -------------------------------------------------------------------------------------------------------------
 */

apr_status_t udr_checker_create(udr_checker_t **checker, udr_shared_t *shared, udr_loop_t *loop,
                                const udr_checker_client_t *client, apr_pool_t *p)
{
    udr_checker_t *made = apr_pcalloc(p, sizeof *made);
    made->shared = shared;
    made->loop = loop;
    made->client = client;
    made->eyes = (udr_check_client_t){.accepts = accepts, .done = done, .yield = client->yield};
    made->pool = p;
    made->subjects = apr_array_make(p, 16, sizeof(udr_subject_t *));
    made->sources = apr_array_make(p, 1, sizeof(udr_checked_glob_t));
    made->epoch = UINT64_MAX;
    made->by_slot = apr_pcalloc(p, udr_shared_slots(shared) * sizeof(udr_subject_t *));
    *checker = made;
    return APR_SUCCESS;
}

static apr_status_t clear_timers(void *data)
{
    udr_subject_t *subject = data;
    udr_loop_clear_timer(subject->checker->loop, &subject->due);
    udr_loop_clear_timer(subject->checker->loop, &subject->look);
    return APR_SUCCESS;
}

apr_status_t udr_checker_set_up(udr_subject_t *subject, udr_checker_t *checker, const udr_balancer_t *balancer,
                                const udr_member_t *member, apr_pool_t *p)
{
    subject->checker = checker;
    subject->balancer = balancer;
    subject->member = member;
    subject->hot = udr_shared_hot(checker->shared, member->slot);
    subject->slot = udr_shared_slot(checker->shared, member->slot);
    subject->due = (udr_timer_t){.expired = is_due, .baton = subject};
    subject->look = (udr_timer_t){.expired = is_to_look, .baton = subject};
    apr_pool_cleanup_register(p, subject, clear_timers, apr_pool_cleanup_null);
    return udr_check_create(&subject->check, member, checker->loop, &checker->eyes, subject, p);
}

static apr_status_t add(udr_checker_t *checker, const udr_balancer_t *balancer, const udr_member_t *member)
{
    udr_subject_t *subject = checker->by_slot[member->slot];
    if (subject && (is_checked(subject) || member->settings.check.method == UDR_CHECK_NONE)) {
        return APR_SUCCESS;
    }
    if (!subject) {
        subject = apr_pcalloc(checker->pool, sizeof *subject);
        checker->by_slot[member->slot] = subject;
        APR_ARRAY_PUSH(checker->subjects, udr_subject_t *) = subject;
    }
    return udr_checker_set_up(subject, checker, balancer, member, checker->pool);
}

void udr_checker_forget(udr_checker_t *checker, udr_slot_t *slot, apr_time_t now)
{
    if (udr_verdict_forget(slot, now) & UDR_CHANGE_PICK) {
        udr_shared_bump_epoch(checker->shared);
    }
}

apr_status_t udr_checker_add(udr_checker_t *checker, const udr_balancer_t *balancer)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; i < balancer->members->nelts && rv == APR_SUCCESS; i++) {
        const udr_member_t *member = APR_ARRAY_IDX(balancer->members, i, const udr_member_t *);
        if (member->slot != UDR_SHARED_NONE) {
            rv = add(checker, balancer, member);
        }
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        udr_checker_add_glob(checker, balancer, APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *));
    }
    return rv;
}

/* In steps: the loop wakes up once for all checks of one, which is most of what checks cost where they are many. How
 * often it does so in a second counts, not in an interval. */
apr_interval_time_t udr_checker_phase(apr_interval_time_t span, int place, int count)
{
    apr_int64_t steps = span / STEP_MIN;
    steps = steps < STEPS_MIN ? STEPS_MIN : steps;
    steps = steps > STEPS_MAX ? STEPS_MAX : steps;
    return span / steps * (steps * place / count);
}

/* place: of count. */
static apr_time_t first_time(const udr_subject_t *subject, int place, int count, apr_time_t now)
{
    apr_interval_time_t interval = subject->member->settings.check.interval;
    apr_interval_time_t span = interval < FIRST_SPAN ? interval : FIRST_SPAN;
    apr_time_t checked_at = atomic_load(&subject->slot->checked_at);
    apr_time_t first = now + udr_checker_phase(span, place, count);
    apr_time_t due = checked_at ? checked_at + interval : 0;
    /* A former configuration may have had a longer interval. */
    due = due < now + interval ? due : now + interval;
    return first > due ? first : due;
}

/* The first ones come soon; from then on all of them are spread over their interval. */
static void schedule(udr_subject_t *subject, int place, int count, apr_time_t now)
{
    apr_interval_time_t interval = subject->member->settings.check.interval;
    apr_time_t first = first_time(subject, place, count, now);
    subject->next = now + udr_checker_phase(interval, place, count);
    while (subject->next <= first) {
        subject->next += interval;
    }
    udr_loop_set_timer(subject->checker->loop, &subject->due, first);
}

void udr_checker_start(udr_checker_t *checker)
{
    apr_time_t now = udr_clock_now();
    int count = checker->subjects->nelts;
    for (int i = 0; i < count; i++) {
        udr_subject_t *subject = APR_ARRAY_IDX(checker->subjects, i, udr_subject_t *);
        if (is_checked(subject)) {
            schedule(subject, i, count, now);
            continue;
        }
        udr_checker_forget(checker, subject->slot, now);
        /* Its file may have appeared while nobody led. */
        udr_checker_look(checker, subject->member);
    }
}
