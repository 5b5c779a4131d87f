/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_view.h"
#include "mod_udsroute/mod_udsroute_child.h"
#include "mod_udsroute/mod_udsroute_scope.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/mod_udsroute_status_names.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_picker.h"
#include "mod_udsroute/udr_tenant.h"
#include "mod_udsroute/udr_verdict.h"

#include <ap_mpm.h>
#include <apr_escape.h>
#include <apr_strings.h>
#include <http_main.h>
#include <scoreboard.h>

#include <string.h>

typedef struct making_t {
    udr_view_t *view;
    unsigned int parts;
    const udr_shared_t *shared;
    bool *is_told;               /* by slot: plain routes to one member have its slot in common */
    apr_array_header_t *members; /* udr_view_member_t *: all that have been told so far */
    apr_time_t now;
    apr_pool_t *p;
} making_t;

const char *udr_view_word(udr_view_state_t state)
{
    static const char *const words[UDR_VIEW_STATES] = {
        [UDR_VIEW_UP] = "up",
        [UDR_VIEW_DOWN] = "down",
        [UDR_VIEW_DRAINING] = "draining",
        [UDR_VIEW_DISABLED] = "disabled",
        [UDR_VIEW_STOPPED] = "stopped",
        [UDR_VIEW_STANDBY] = "standby",
        [UDR_VIEW_SPARE] = "spare",
        [UDR_VIEW_UNKNOWN] = "unknown",
    };
    return words[state];
}

static apr_uint64_t read_counter(const _Atomic apr_uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* --- a member --- */

/* What those who failed wait for is a proof that they work again: time alone proves nothing. */
static udr_view_state_t verdict_of(const udr_slot_t *slot, apr_uint32_t health)
{
    if (atomic_load(&slot->out_until) != 0 || udr_health_is_down(health)) {
        return UDR_VIEW_DOWN;
    }
    return atomic_load(&slot->seen_up) || udr_health_state(health) != UDR_HEALTH_UNCHECKED ? UDR_VIEW_UP
                                                                                           : UDR_VIEW_UNKNOWN;
}

/* flags: UDR_SLOT_...; berth: UDR_BERTH_... */
static udr_view_state_t state_of(apr_uint32_t flags, apr_uint32_t berth, udr_view_state_t verdict)
{
    static const struct {
        apr_uint32_t flag;
        udr_view_state_t state;
    } said[] = {{UDR_SLOT_STOPPED, UDR_VIEW_STOPPED},
                {UDR_SLOT_DISABLED, UDR_VIEW_DISABLED},
                {UDR_SLOT_DRAINS, UDR_VIEW_DRAINING}},
      parts[] = {{UDR_SLOT_SPARE, UDR_VIEW_SPARE}, {UDR_SLOT_HOT_STANDBY, UDR_VIEW_STANDBY}};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        if (flags & said[i].flag) {
            return said[i].state;
        }
    }
    if (berth != UDR_BERTH_OPEN && verdict != UDR_VIEW_DOWN) {
        return berth == UDR_BERTH_DRAINING ? UDR_VIEW_DRAINING : UDR_VIEW_UNKNOWN;
    }
    for (size_t i = 0; verdict != UDR_VIEW_DOWN && i < sizeof parts / sizeof *parts; i++) {
        if (flags & parts[i].flag) {
            return parts[i].state;
        }
    }
    return verdict;
}

static void view_health(const making_t *making, udr_view_health_t *health, const udr_slot_t *slot,
                        const udr_check_settings_t *check)
{
    apr_uint32_t found = atomic_load(&slot->health);
    apr_uint32_t checks_cause = udr_health_is_down(found) ? atomic_load(&slot->check_cause) : 0;
    const char *error = udr_verdict_explain(checks_cause ? checks_cause : atomic_load(&slot->cause), making->p);
    apr_time_t checked_at = atomic_load(&slot->checked_at);
    *health = (udr_view_health_t){
        .method = udr_check_method_name(check->method),
        .verdict = verdict_of(slot, found),
        .last_check = checked_at ? apr_time_now() - (making->now - checked_at) : 0,
        .last_error = *error ? error : NULL,
        .passes = read_counter(&slot->checks_passed),
        .fails = read_counter(&slot->checks_failed),
    };
}

static void view_counters(udr_view_member_t *told, const udr_slot_t *slot, const udr_hot_t *hot)
{
    told->elected = read_counter(&hot->elected);
    told->failed = read_counter(&slot->failed);
    told->retried = read_counter(&slot->retried);
    told->held = read_counter(&slot->held);
    told->bytes_in = read_counter(&slot->bytes_in);
    told->bytes_out = read_counter(&slot->bytes_out);
    for (size_t i = 0; i < sizeof told->requests_by_class / sizeof *told->requests_by_class; i++) {
        told->requests_by_class[i] = read_counter(&slot->requests_by_class[i]);
    }
    told->durations = &slot->latency;
    udr_histogram_read(&slot->latency, &told->latency);
}

static apr_status_t let_go(void *data)
{
    udr_tenant_release((const udr_member_t *)data);
    return APR_SUCCESS;
}

/* One from a directory stays until all is told. Who is in the same place later is another one. */
static const char *identify(const making_t *making, const udr_member_t *member)
{
    const udr_slot_t *slot = udr_shared_slot(making->shared, member->slot);
    const char *identity = apr_pescape_hex(making->p, slot->identity, UDR_IDENTITY_SIZE, 0);
    if (!member->tenant) {
        return identity;
    }
    udr_tenant_hold(member);
    apr_pool_cleanup_register(making->p, member, let_go, apr_pool_cleanup_null);
    return apr_psprintf(making->p, "%s-%u", identity, member->tenant->tenancy);
}

static udr_view_member_t *view_member(const making_t *making, const udr_member_t *member, apr_uint32_t berth)
{
    const udr_target_t *target = member->target;
    const udr_hot_t *hot = udr_shared_hot(making->shared, member->slot);
    const udr_slot_t *slot = udr_shared_slot(making->shared, member->slot);
    apr_uint32_t operators = atomic_load(&hot->weight);
    apr_uint32_t flags = atomic_load(&hot->flags);
    apr_uint32_t agent = member->settings.check.agent ? atomic_load(&slot->agent) : 0;
    udr_view_member_t *told = apr_pcalloc(making->p, sizeof *told);
    told->member = member;
    told->identity = identify(making, member);
    told->name = target->text;
    told->socket = target->address->text;
    told->scheme = target->scheme->name;
    told->route = member->settings.route;
    told->limit = (apr_uint64_t)member->settings.maxconn;
    told->configured_weight = (apr_uint64_t)member->settings.load_factor;
    told->weight = operators ? operators : told->configured_weight;
    told->lbset = (apr_uint64_t)member->settings.lbset;
    told->agent_percent = udr_slot_agent_percent(agent);
    view_health(making, &told->health, slot, &member->settings.check);
    told->state = state_of(udr_slot_agent_state(agent) == UDR_AGENT_DRAIN ? flags | UDR_SLOT_DRAINS : flags, berth,
                           told->health.verdict);
    told->takes_all = !(flags & (UDR_SLOT_STOPPED | UDR_SLOT_DISABLED | UDR_SLOT_DRAINS));
    udr_shared_count(making->shared, member->slot, &told->counts);
    view_counters(told, slot, hot);
    APR_ARRAY_PUSH(making->members, udr_view_member_t *) = told;
    if (making->parts & UDR_VIEW_HISTORIES) {
        udr_history_read(&slot->history, making->now, told->history);
    }
    return told;
}

/* --- balancers and routes --- */

/* Of a balancer. */
typedef struct listing_t {
    const making_t *making;
    apr_array_header_t *members; /* udr_view_member_t * */
} listing_t;

/* Who has been forgotten is nobody. */
static void list_member(void *baton, udr_member_t *member, apr_uint32_t berth)
{
    const listing_t *listing = baton;
    if (berth != UDR_BERTH_FREE) {
        APR_ARRAY_PUSH(listing->members, udr_view_member_t *) = view_member(listing->making, member, berth);
    }
}

/* All that a balancer has, in the order in which they are told. */
static apr_array_header_t *view_members(const making_t *making, const udr_balancer_t *balancer)
{
    listing_t listing = {making, apr_array_make(making->p, 8, sizeof(udr_view_member_t *))};
    udr_picker_visit(balancer->picker, list_member, &listing);
    return listing.members;
}

/* A plain route's. */
static const udr_member_t *only_member(const udr_balancer_t *balancer)
{
    return APR_ARRAY_IDX(balancer->members, 0, const udr_member_t *);
}

static void view_balancer(const making_t *making, const udr_balancer_t *balancer, const char *host)
{
    udr_view_balancer_t *told = apr_pcalloc(making->p, sizeof *told);
    told->name = balancer->name ? balancer->name : only_member(balancer)->target->text;
    told->identity =
        apr_pescape_hex(making->p, udr_shared_slot(making->shared, balancer->slot)->identity, UDR_IDENTITY_SIZE, 0);
    told->scope = balancer->scope;
    told->host = host;
    told->is_plain = !balancer->name;
    told->method = balancer->settings.method;
    told->members = view_members(making, balancer);
    APR_ARRAY_PUSH(making->view->balancers, udr_view_balancer_t *) = told;
}

static void view_balancers(const making_t *making, const udr_server_config_t *config, const char *host)
{
    for (int i = 0; i < config->balancers->nelts; i++) {
        const udr_balancer_t *balancer = APR_ARRAY_IDX(config->balancers, i, const udr_balancer_t *);
        /* To one without members no route leads; of one that there was no room for nothing is known. */
        if (balancer->picker) {
            bool *is_told = &making->is_told[balancer->name ? balancer->slot : only_member(balancer)->slot];
            if (!*is_told) {
                view_balancer(making, balancer, host);
            }
            *is_told = true;
        }
    }
}

static void view_routes(const making_t *making, const udr_server_config_t *config, const char *host)
{
    for (int i = 0; i < config->lines->nelts; i++) {
        const udr_route_t *route = APR_ARRAY_IDX(config->lines, i, const udr_route_t *);
        APR_ARRAY_PUSH(making->view->routes, udr_view_route_t) = (udr_view_route_t){
            .host = host, .path = route->path, .target = route->is_excluded ? "!" : route->target->text};
    }
}

/* --- the whole --- */

static void view_backlogs(const making_t *making)
{
    apr_size_t count = (apr_size_t)making->members->nelts;
    const udr_address_t **addresses = apr_palloc(making->p, count * sizeof *addresses);
    udr_backlog_t *backlogs = apr_palloc(making->p, count * sizeof *backlogs);
    for (apr_size_t i = 0; i < count; i++) {
        addresses[i] = APR_ARRAY_IDX(making->members, i, udr_view_member_t *)->member->target->address;
    }
    udr_listener_backlogs(addresses, backlogs, count, making->p);
    for (apr_size_t i = 0; i < count; i++) {
        APR_ARRAY_IDX(making->members, i, udr_view_member_t *)->backlog = backlogs[i];
    }
}

static void view_server(const making_t *making)
{
    udr_shared_held_t held;
    udr_shared_count_held(making->shared, &held);
    *making->view = (udr_view_t){
        .version = UDR_VERSION,
        .mpm = ap_show_mpm(),
        /* Not this child's own, which may be one of the former generation. */
        .generation = (apr_uint64_t)ap_get_scoreboard_global()->running_generation,
        .uptime_s = (apr_uint64_t)apr_time_sec(making->now - udr_shared_created_at(making->shared)),
        .parked = held.parked,
        .tunnels = held.tunnels,
        .balancers = apr_array_make(making->p, 8, sizeof(udr_view_balancer_t *)),
        .routes = apr_array_make(making->p, 8, sizeof(udr_view_route_t)),
    };
}

void udr_view_make(udr_view_t *view, unsigned int parts, apr_pool_t *p)
{
    making_t making = {.view = view, .parts = parts, .shared = udr_share_get(), .now = udr_clock_now(), .p = p};
    making.members = apr_array_make(p, 16, sizeof(udr_view_member_t *));
    making.is_told = apr_pcalloc(p, udr_shared_slots(making.shared) * sizeof *making.is_told);
    udr_child_attend_unthreaded(); /* nobody may have looked for a while */
    udr_share_attend();
    view_server(&making);
    for (const server_rec *s = ap_server_conf; s; s = s->next) {
        if (udr_server_has_own_config(s, ap_server_conf)) {
            const char *host = udr_scope_host(s, p);
            view_balancers(&making, udr_server_config(s), host);
            view_routes(&making, udr_server_config(s), host);
        }
    }
    if (parts & UDR_VIEW_BACKLOGS && making.members->nelts > 0) {
        view_backlogs(&making);
    }
    udr_status_names_give(view, p);
}

const udr_view_member_t *udr_view_find(const udr_view_t *view, const char *identity,
                                       const udr_view_balancer_t **balancer)
{
    for (int i = 0; i < view->balancers->nelts; i++) {
        const udr_view_balancer_t *told = APR_ARRAY_IDX(view->balancers, i, const udr_view_balancer_t *);
        for (int j = 0; j < told->members->nelts; j++) {
            const udr_view_member_t *member = APR_ARRAY_IDX(told->members, j, const udr_view_member_t *);
            if (strcmp(member->identity, identity) == 0) {
                *balancer = told;
                return member;
            }
        }
    }
    return NULL;
}
