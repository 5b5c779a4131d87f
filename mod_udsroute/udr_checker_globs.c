/* SPDX-License-Identifier: Apache-2.0 */
/* Members of globs, which are checked while they are there. What is in a berth is read from shared memory alone, and
 * not from this child's tenants: under prefork the thread that makes the checks may not touch those. */
#include "mod_udsroute/udr_berth.h"
#include "mod_udsroute/udr_checker_private.h"
#include "mod_udsroute/udr_clock.h"

/* Whoever takes over the checks finds all of them at once. How many there will be nobody knows: each stands between
 * those before, as far from its neighbours as can be (31 of 50 is about the golden ratio). */
static apr_interval_time_t place_in(apr_interval_time_t interval, unsigned int number)
{
    return udr_checker_phase(interval, (int)(31 * number % 50), 50);
}

/* Checked now, and then every hcinterval, the first time within that. */
static void take_in(udr_checker_t *checker, const udr_checked_glob_t *source, apr_uint32_t berth,
                    const udr_lodging_t *lodging, apr_time_t now)
{
    apr_pool_t *p;
    if (apr_pool_create(&p, checker->pool) != APR_SUCCESS) {
        return;
    }
    udr_subject_t *subject = apr_pcalloc(p, sizeof *subject);
    const udr_address_t *address = udr_address_in_directory(source->glob->target->address, lodging->name, p);
    udr_member_t *member =
        udr_member_create(udr_target_at(source->glob->target, address, p), &source->glob->settings, p);
    member->slot = berth;
    member->condition = source->glob->condition;
    subject->pool = p;
    subject->glob = source->glob;
    subject->tenancy = lodging->tenancy;
    subject->since = lodging->since;
    if (udr_checker_set_up(subject, checker, source->balancer, member, p) != APR_SUCCESS) {
        apr_pool_destroy(p);
        return;
    }
    checker->by_slot[berth] = subject;
    APR_ARRAY_PUSH(checker->subjects, udr_subject_t *) = subject;
    apr_interval_time_t interval = member->settings.check.interval;
    subject->next = now + interval - place_in(interval, checker->taken_in++);
    udr_loop_set_timer(checker->loop, &subject->due, subject->next);
    subject->next += interval;
    udr_checker_look(checker, member);
}

static void let_go(udr_checker_t *checker, udr_subject_t *subject)
{
    udr_subject_t **subjects = (udr_subject_t **)checker->subjects->elts;
    int i = 0;
    while (subjects[i] != subject) {
        i++;
    }
    subjects[i] = subjects[--checker->subjects->nelts];
    checker->by_slot[subject->member->slot] = NULL;
    apr_pool_destroy(subject->pool);
}

static void sync_berth(udr_checker_t *checker, const udr_checked_glob_t *source, apr_uint32_t berth, apr_time_t now)
{
    udr_subject_t *subject = checker->by_slot[berth];
    udr_lodging_t lodging;
    if (!udr_berth_read(checker->shared, berth, &lodging)) {
        return; /* just being changed: the epoch follows */
    }
    bool is_there = lodging.state == UDR_BERTH_OPEN || lodging.state == UDR_BERTH_UNCHECKED;
    if (subject && (!is_there || subject->tenancy != lodging.tenancy)) {
        let_go(checker, subject);
        subject = NULL;
    }
    if (is_there && !subject) {
        take_in(checker, source, berth, &lodging, now);
    } else if (is_there && subject->since != lodging.since) {
        subject->since = lodging.since; /* another file of that name */
        udr_checker_look(checker, subject->member);
    }
}

void udr_checker_sync(udr_checker_t *checker, apr_time_t now)
{
    apr_uint64_t epoch = udr_shared_epoch(checker->shared);
    if (checker->sources->nelts == 0 || epoch == checker->epoch) {
        return;
    }
    checker->epoch = epoch; /* read before: what changes meanwhile is seen the next time */
    for (int i = 0; i < checker->sources->nelts; i++) {
        const udr_checked_glob_t *source = &APR_ARRAY_IDX(checker->sources, i, udr_checked_glob_t);
        for (int k = 0; k < source->glob->growth; k++) {
            sync_berth(checker, source, source->glob->berths[k], now);
        }
    }
}

void udr_checker_add_glob(udr_checker_t *checker, const udr_balancer_t *balancer, const udr_glob_t *glob)
{
    if (glob->slot == UDR_SHARED_NONE) {
        return;
    }
    if (glob->settings.check.method != UDR_CHECK_NONE) {
        APR_ARRAY_PUSH(checker->sources, udr_checked_glob_t) = (udr_checked_glob_t){balancer, glob};
        return;
    }
    for (int i = 0; i < glob->growth; i++) {
        udr_checker_forget(checker, udr_shared_slot(checker->shared, glob->berths[i]), udr_clock_now());
    }
}
