/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_picker_private.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_latency.h"
#include "mod_udsroute/udr_random.h"

#include <errno.h>
#include <string.h>

/* A socket that has just appeared may not be ready yet: bind(2) makes the file, chmod(2) and listen(2) come after it.
 * For so long that it can't be connected to says nothing. */
#define NEWBORN apr_time_from_sec(1)

static void fill_candidate(const udr_picker_t *picker, udr_candidate_t *candidate, const udr_member_t *member)
{
    const udr_settings_t *settings = &member->settings;
    candidate->hot = udr_shared_hot(picker->shared, member->slot);
    candidate->slot = udr_shared_slot(picker->shared, member->slot);
    memcpy(&candidate->identity, candidate->slot->identity, sizeof candidate->identity);
    candidate->weight = (apr_uint32_t)settings->load_factor;
    candidate->lbset = settings->lbset;
    candidate->slowstart = settings->slow_start;
    candidate->route = settings->route;
    candidate->redirect = settings->redirect;
}

static void heed_settings(udr_picker_t *picker, const udr_settings_t *settings)
{
    picker->has_limits |= settings->maxconn > 0;
    picker->buffer_size = picker->buffer_size > settings->buffer_size ? picker->buffer_size : settings->buffer_size;
}

apr_status_t
udr_picker_create(udr_picker_t **picker, const udr_balancer_t *balancer, udr_shared_t *shared, udr_queue_t *queue,
                  void (*news)(const udr_balancer_t *balancer, const udr_member_t *member, unsigned int change),
                  apr_pool_t *p)
{
    udr_picker_t *made = apr_pcalloc(p, sizeof *made);
    int places = udr_balancer_places(balancer);
    apr_size_t count = (apr_size_t)places;
    made->balancer = balancer;
    made->shared = shared;
    made->queue = queue;
    made->news = news;
    made->count = balancer->members->nelts;
    made->words = (count + 63) / 64;
    made->locked.candidates = apr_pcalloc(p, count * sizeof(udr_candidate_t));
    made->locked.roster.seats = apr_pcalloc(p, count * sizeof(udr_seat_t));
    made->locked.others.seats = apr_pcalloc(p, count * sizeof(udr_seat_t));
    made->locked.full = apr_pcalloc(p, made->words * sizeof(apr_uint64_t));
    made->locked.epoch = UINT64_MAX;
    made->locked.probed = -1;
    made->locked.random = (apr_uint64_t)udr_clock_now() ^ (apr_uint64_t)(uintptr_t)made;
    for (int i = 0; i < made->count; i++) {
        fill_candidate(made, &made->locked.candidates[i], udr_picker_member(made, i));
        heed_settings(made, &udr_picker_member(made, i)->settings);
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        heed_settings(made, &APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *)->settings);
    }
    (void)udr_method_parse(&made->method, &made->key, balancer->settings.method, p); /* was checked when it was read */
    apr_status_t rv = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    if (rv == APR_SUCCESS) {
        rv = made->method->create(&made->locked.method, &udr_shared_hot(shared, balancer->slot)->elected, places, p);
    }
    if (rv == APR_SUCCESS) {
        *picker = made;
    }
    return rv;
}

apr_status_t udr_picker_open_globs(udr_picker_t *picker, const udr_picker_globs_t *globs, apr_pool_t *p)
{
    if (!picker->balancer->globs->nelts) {
        return APR_SUCCESS;
    }
    apr_status_t rv =
        udr_tenants_create(&picker->locked.tenants, picker->balancer, picker->shared, globs->lanes, globs->yield, p);
    if (rv == APR_SUCCESS) {
        (void)udr_tenants_sync(picker->locked.tenants, picker->locked.candidates);
        picker->globs = *globs;
        picker->count = udr_balancer_places(picker->balancer);
    }
    return rv;
}

apr_size_t udr_picker_buffer_size(const udr_picker_t *picker)
{
    return picker->buffer_size;
}

const udr_key_t *udr_picker_key(const udr_picker_t *picker)
{
    return &picker->key;
}

const udr_balancer_t *udr_picker_balancer(const udr_picker_t *picker)
{
    return picker->balancer;
}

bool udr_picker_fails_on(const udr_picker_t *picker, int status)
{
    const apr_array_header_t *codes = picker->balancer->settings.failed_status;
    for (int i = 0; codes && i < codes->nelts; i++) {
        if (APR_ARRAY_IDX(codes, i, int) == status) {
            return true;
        }
    }
    return false;
}

/* --- all members ---------------------------------------------------------------------------------------------------
 */

/* The next member of a glob from *index on, held; NULL: there is none. */
static udr_member_t *next_tenant(udr_picker_t *picker, int *index)
{
    udr_member_t *member = NULL;
    apr_thread_mutex_lock(picker->mutex);
    while (!member && *index < picker->count) {
        member = udr_picker_member(picker, (*index)++);
    }
    udr_tenant_hold(member);
    apr_thread_mutex_unlock(picker->mutex);
    return member;
}

void udr_picker_visit(udr_picker_t *picker, void (*visit)(void *baton, udr_member_t *member, apr_uint32_t state),
                      void *baton)
{
    int index = 0;
    apr_thread_mutex_lock(picker->mutex);
    udr_picker_refresh(picker, udr_clock_now());
    apr_thread_mutex_unlock(picker->mutex);
    /* Those of the configuration are there for good. */
    for (; index < picker->balancer->members->nelts; index++) {
        visit(baton, udr_picker_member(picker, index), UDR_BERTH_OPEN);
    }
    for (udr_member_t *member; (member = next_tenant(picker, &index));) {
        visit(baton, member, udr_berth_state(picker->shared, member->slot));
        udr_tenant_release(member);
    }
}

void udr_picker_tidy(udr_picker_t *picker)
{
    if (picker->locked.tenants) {
        apr_thread_mutex_lock(picker->mutex);
        (void)udr_tenants_tidy(picker->locked.tenants);
        apr_thread_mutex_unlock(picker->mutex);
    }
}

/* --- a request's pick ----------------------------------------------------------------------------------------------
 */

void udr_pick_begin(udr_pick_t *pick, udr_picker_t *picker, const udr_occasion_t *occasion,
                    void (*wake)(udr_queue_waiter_t *waiter), void *wake_baton, apr_pool_t *p)
{
    memset(pick, 0, sizeof *pick);
    pick->picker = picker;
    pick->occasion = *occasion;
    pick->index = -1;
    pick->excluded = picker->words <= 1 ? pick->few : apr_pcalloc(p, 2 * picker->words * sizeof(apr_uint64_t));
    pick->forgiven = pick->excluded + picker->words;
    pick->waiter.wake = wake;
    pick->waiter.baton = wake_baton;
}

static udr_hot_t *hot_of(const udr_pick_t *pick)
{
    return udr_shared_hot(pick->picker->shared, pick->member->slot);
}

static udr_slot_t *slot_of(const udr_pick_t *pick)
{
    return udr_shared_slot(pick->picker->shared, pick->member->slot);
}

/* In its berth, if it is of a glob. */
static bool is_there(const udr_picker_t *picker, const udr_member_t *member)
{
    return !member->tenant || udr_berth_is_held(picker->shared, member->slot, member->tenant->tenancy);
}

static udr_picked_t enter(udr_pick_t *pick)
{
    apr_status_t rv = udr_queue_enter(pick->picker->queue, pick->member->slot, &pick->waiter);
    pick->is_counted = rv == APR_SUCCESS;
    if (rv == APR_SUCCESS) {
        return UDR_PICKED_MEMBER;
    }
    return APR_STATUS_IS_EAGAIN(rv) ? UDR_PICKED_TURN : UDR_PICKED_FULL;
}

/* With the mutex, as the next. */
static void list(udr_pick_t *pick)
{
    udr_pick_t **held = &pick->picker->locked.held;
    pick->is_listed = true;
    pick->previous = NULL;
    pick->next = *held;
    if (*held) {
        (*held)->previous = pick;
    }
    *held = pick;
}

static void unlist(udr_pick_t *pick)
{
    if (!pick->is_listed) {
        return;
    }
    pick->is_listed = false;
    *(pick->previous ? &pick->previous->next : &pick->picker->locked.held) = pick->next;
    if (pick->next) {
        pick->next->previous = pick->previous;
    }
}

void udr_picker_wake_held(udr_picker_t *picker)
{
    apr_thread_mutex_lock(picker->mutex);
    while (picker->locked.held) {
        udr_pick_t *pick = picker->locked.held;
        unlist(pick);
        atomic_store(&pick->is_awake, true);
        if (pick->waiter.wake) {
            pick->waiter.wake(&pick->waiter);
        }
    }
    apr_thread_mutex_unlock(picker->mutex);
}

bool udr_pick_is_awake(udr_pick_t *pick)
{
    bool is_awake = atomic_exchange(&pick->is_awake, false);
    if (is_awake && pick->again_at) {
        pick->again_at = 1; /* at once: what it has tried was another socket */
    }
    return is_awake;
}

/* With the mutex: the chosen one is the present one. False: somebody else has moved into its berth just now; it was not
 * asked. */
static bool take(udr_pick_t *pick, int chosen, udr_picked_t *picked)
{
    udr_picker_t *picker = pick->picker;
    udr_member_t *former = pick->member;
    int former_index = pick->index;
    pick->index = chosen;
    pick->member = udr_picker_member(picker, chosen);
    udr_tenant_hold(pick->member);
    *picked = enter(pick);                 /* with the mutex: the next one sees it */
    if (!is_there(picker, pick->member)) { /* after it was counted in: see udr_berth.c */
        udr_pick_leave(pick);
        udr_tenant_release(pick->member);
        pick->member = former; /* which the exchange still has: there may be no other */
        pick->index = former_index;
        picker->locked.epoch = UINT64_MAX;
        return false;
    }
    udr_tenant_release(former);
    atomic_fetch_add_explicit(&hot_of(pick)->elected, 1, memory_order_relaxed);
    pick->tried += (pick->excluded[chosen / 64] & udr_picker_bit(chosen)) == 0;
    pick->excluded[chosen / 64] |= udr_picker_bit(chosen);
    pick->forgiven[chosen / 64] &= ~udr_picker_bit(chosen);
    return true;
}

/* Another one may be in its berth: the request has left it, perhaps long ago. */
static void count_retry(const udr_picker_t *picker, const udr_member_t *former)
{
    if (former && is_there(picker, former)) {
        atomic_fetch_add_explicit(&udr_shared_slot(picker->shared, former->slot)->retried, 1, memory_order_relaxed);
    }
}

udr_picked_t udr_pick_next(udr_pick_t *pick, apr_time_t now, apr_time_t *until)
{
    udr_picker_t *picker = pick->picker;
    udr_picked_t picked = UDR_PICKED_NOBODY;
    const udr_member_t *former = pick->member;
    int chosen;
    udr_tenant_hold(former); /* take() lets go of it */
    udr_pick_leave(pick);
    if (picker->globs.look) {
        picker->globs.look(picker->balancer, now);
    }
    apr_thread_mutex_lock(picker->mutex);
    do {
        chosen = udr_picker_choose(pick, now, until);
    } while (chosen >= 0 && !take(pick, chosen, &picked));
    pick->is_later = chosen == UDR_CHOSEN_LATER;
    if (pick->is_later) {
        list(pick);
    }
    apr_thread_mutex_unlock(picker->mutex);
    if (chosen >= 0) {
        count_retry(picker, former);
    }
    udr_tenant_release(former);
    return chosen == UDR_CHOSEN_LATER ? UDR_PICKED_LATER : picked;
}

bool udr_pick_has_turn(udr_pick_t *pick)
{
    if (!pick->is_counted) {
        pick->is_counted = udr_queue_granted(pick->picker->queue, &pick->waiter);
    }
    return pick->is_counted;
}

void udr_pick_readdress(udr_pick_t *pick, void (*wake)(udr_queue_waiter_t *waiter), void *wake_baton)
{
    apr_thread_mutex_lock(pick->picker->mutex);
    udr_queue_readdress(pick->picker->queue, &pick->waiter, wake, wake_baton);
    apr_thread_mutex_unlock(pick->picker->mutex);
}

static bool is_newborn(const udr_pick_t *pick, apr_time_t now)
{
    return now - udr_berth_since(pick->picker->shared, pick->member->slot) < NEWBORN;
}

/* That the socket of a glob's member isn't there any more, or not ready yet, is no failure of the member's. */
static bool is_of_its_file(const udr_pick_t *pick, const udr_report_t *report, apr_time_t now)
{
    const udr_picker_t *picker = pick->picker;
    const udr_tenant_t *tenant = pick->member->tenant;
    if (!tenant || report->outcome != UDR_OUTCOME_CONNECT_FAILED) {
        return false;
    }
    if (report->detail == ENOENT &&
        udr_berth_lose(picker->shared, tenant->glob, pick->member->slot, tenant->tenancy, now) && picker->globs.lost) {
        picker->globs.lost(picker->balancer, pick->member);
    }
    udr_cause_t cause = udr_verdict_cause_of(report->detail);
    return cause == UDR_CAUSE_ABSENT ||
           ((cause == UDR_CAUSE_STALE || cause == UDR_CAUSE_OPERATOR) && is_newborn(pick, now));
}

void udr_pick_report(udr_pick_t *pick, const udr_report_t *report, apr_time_t now)
{
    const udr_picker_t *picker = pick->picker;
    if (!udr_outcome_is_good(report->outcome)) {
        atomic_fetch_add_explicit(&slot_of(pick)->failed, 1, memory_order_relaxed);
    }
    if (is_of_its_file(pick, report, now)) {
        return;
    }
    unsigned int change = udr_verdict_report(slot_of(pick), report, pick->member->settings.retry, now);
    if (change & UDR_CHANGE_PICK) {
        udr_shared_bump_epoch(picker->shared);
    }
    if ((change & (UDR_CHANGE_WENT_OUT | UDR_CHANGE_CAME_BACK)) && picker->news) {
        picker->news(picker->balancer, pick->member, change);
    }
}

bool udr_pick_is_on_trial(const udr_pick_t *pick)
{
    return udr_verdict_out_until(slot_of(pick)) != 0;
}

void udr_pick_leave(udr_pick_t *pick)
{
    if (pick->is_later) {
        pick->is_later = false;
        apr_thread_mutex_lock(pick->picker->mutex);
        unlist(pick);
        apr_thread_mutex_unlock(pick->picker->mutex);
    }
    if (pick->is_counted) {
        pick->is_counted = false;
        udr_queue_done(pick->picker->queue, pick->member->slot);
    } else if (pick->member) {
        udr_queue_leave(pick->picker->queue, &pick->waiter);
    }
}

void udr_pick_end(udr_pick_t *pick)
{
    udr_tenant_release(pick->member);
    pick->member = NULL;
}

bool udr_pick_may_go_on(udr_pick_t *pick, apr_time_t failed_at, apr_time_t now)
{
    const udr_balancer_settings_t *settings = &pick->picker->balancer->settings;
    apr_interval_time_t hold = pick->member->settings.hold;
    /* A member that comes and goes is not waited for again and again. One that is back since is asked again. */
    if (failed_at && now - failed_at < hold &&
        (udr_verdict_is_just_gone(slot_of(pick), hold, now) || udr_verdict_out_until(slot_of(pick)) == 0)) {
        pick->forgiven[pick->index / 64] |= udr_picker_bit(pick->index);
        pick->again_at = pick->again_at ? pick->again_at : now + UDR_PICKER_PROBE_PAUSE;
        return true;
    }
    return pick->tried <= settings->max_attempts && !pick->is_bound;
}

void udr_pick_account(udr_pick_t *pick, const udr_account_t *account, apr_time_t now)
{
    udr_hot_t *hot = hot_of(pick);
    udr_slot_t *slot = slot_of(pick);
    int status = account->status;
    atomic_fetch_add_explicit(&hot->traffic, account->sent + account->received, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->bytes_out, account->sent, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->bytes_in, account->received, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->requests_by_class[status >= 100 && status < 600 ? status / 100 : 0], 1,
                              memory_order_relaxed);
    if (account->begun) {
        apr_interval_time_t took = now - account->begun;
        apr_interval_time_t known = atomic_load_explicit(&hot->latency, memory_order_relaxed);
        /* An application that is broken says so at once: that is not to make it everybody's choice. */
        udr_latency_record(hot, status >= 500 && took < known ? known : took, now);
        udr_histogram_record(&slot->latency, took);
    }
}
