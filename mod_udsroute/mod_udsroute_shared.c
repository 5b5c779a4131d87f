/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/mod_udsroute_alone.h"
#include "mod_udsroute/mod_udsroute_loops.h"
#include "mod_udsroute/mod_udsroute_scope.h"
#include "mod_udsroute/mod_udsroute_worker.h"
#include "mod_udsroute/udr_berth.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_picker.h"
#include "mod_udsroute/udr_pool.h"
#include "mod_udsroute/udr_protocol.h"
#include "mod_udsroute/udr_row.h"
#include "mod_udsroute/udr_tenant.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_main.h>

/* With the layout's version: an upgraded module may meet the mapping of the one before. */
#define RETAINED_KEY "udsroute-shared-" UDR_SHARED_LAYOUT

/* Children of ServerLimit live at once; some have died and are not reaped yet. */
#define SPARE_ROWS 16

/* For members that a reload adds, and those that it has taken away while old children still use them. */
#define SPARE_SLOTS 1024

/* Requests of a child that wait at once under `maxconn`; without threads there is one. */
#define TICKETS            16384
#define TICKETS_UNTHREADED 4

static struct {
    udr_shared_t *shared; /* outlives the configuration */
    udr_queue_t *queue;   /* a child's, as the row and what follows */
    udr_yield_t *yield;
    apr_uint32_t row;
    apr_uint32_t slots;        /* when it joined: its generation has no others */
    udr_pool_counts_t *counts; /* by slot: what udr_share_attend() adds up, one thread at a time */
    apr_thread_mutex_t *attending;
    udr_history_look_t look; /* at what members have done, with that mutex */
    server_rec *main_server;
} share;

/* --- the parent ----------------------------------------------------------------------------------------------------
 */

static int query(int what, int otherwise)
{
    int value = 0;
    return ap_mpm_query(what, &value) == APR_SUCCESS && value > 0 ? value : otherwise;
}

static apr_uint32_t count_slots(const server_rec *main_server)
{
    apr_uint32_t count = SPARE_SLOTS;
    for (const server_rec *s = main_server; s; s = s->next) {
        const udr_server_config_t *config = udr_server_config(s);
        /* A member may be the only one at its socket. */
        count += 2 * (apr_uint32_t)(2 * config->members->nelts + config->balancers->nelts);
        for (int i = 0; i < config->globs->nelts; i++) {
            count += 2 + 2 * (apr_uint32_t)APR_ARRAY_IDX(config->globs, i, const udr_glob_t *)->growth;
        }
    }
    return count;
}

/* The mapping of the process's first configuration, or a new one. */
static apr_status_t provide(const server_rec *main_server)
{
    udr_shared_t **retained = ap_retained_data_get(RETAINED_KEY);
    if (retained) {
        share.shared = *retained;
        return APR_SUCCESS;
    }
    int threaded = AP_MPMQ_NOT_SUPPORTED;
    (void)ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    apr_uint32_t rows = (apr_uint32_t)query(AP_MPMQ_HARD_LIMIT_DAEMONS, 1) + SPARE_ROWS;
    apr_status_t rv =
        udr_shared_create(&share.shared, count_slots(main_server), rows,
                          threaded == AP_MPMQ_NOT_SUPPORTED ? TICKETS_UNTHREADED : TICKETS, main_server->process->pool);
    if (rv == APR_SUCCESS) {
        retained = ap_retained_data_create(RETAINED_KEY, sizeof *retained);
        *retained = share.shared;
    }
    return rv;
}

/* What the configuration says of a slot's member. */
static void configure(apr_uint32_t slot, const udr_settings_t *settings)
{
    udr_operator_configure(udr_shared_hot(share.shared, slot), udr_shared_slot(share.shared, slot), settings);
    udr_queue_set_limit(share.shared, slot, (apr_uint32_t)settings->maxconn);
}

/* A runtime's processes are those of its socket: whoever waits for one calls all who have connections to it, by another
 * route or for another path. (Those of a glob call within it.) Without a slot for that a member does by itself. */
static void claim_socket(udr_member_t *member)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    if (udr_protocol_keeps_process(member->target->scheme->protocol)) {
        udr_shared_identify(identity, "", member->target->address->text, "processes", "");
        member->has_socket_slot = udr_shared_claim(share.shared, identity, &member->socket_slot, NULL) == APR_SUCCESS;
    }
}

/* Of plain routes to one member the first has the word: if each had it, the configuration would seem to have changed
 * twice with each reload, and undo what an operator has said. */
static apr_status_t claim_member(udr_member_t *member, const char *scope)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    const udr_target_t *target = member->target;
    bool is_again = false;
    udr_shared_identify(identity, scope, target->address->text, target->scheme->name, target->path);
    apr_status_t rv = udr_shared_claim(share.shared, identity, &member->slot, &is_again);
    claim_socket(member);
    if (rv != APR_SUCCESS || is_again) {
        return rv;
    }
    bool is_new = atomic_load(&udr_shared_hot(share.shared, member->slot)->elected) == 0;
    configure(member->slot, &member->settings);
    if (is_new && (member->settings.status & UDR_STATUS_ERROR)) {
        udr_verdict_mark(udr_shared_slot(share.shared, member->slot), member->settings.retry, udr_clock_now());
    }
    return APR_SUCCESS;
}

static apr_status_t claim_berth(const udr_glob_t *glob, int index, const char *scope, apr_pool_t *ptemp)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    const udr_target_t *target = glob->target;
    udr_shared_identify(identity, scope, target->address->text,
                        apr_psprintf(ptemp, "berth %d of %s", index, target->scheme->name), target->path);
    return udr_shared_claim(share.shared, identity, &glob->berths[index], NULL);
}

/* Its own slot, and one for each of its members, whichever they are. */
static apr_status_t claim_glob(udr_glob_t *glob, const char *scope, apr_pool_t *ptemp)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    const udr_target_t *target = glob->target;
    udr_shared_identify(identity, scope, target->address->text,
                        apr_pstrcat(ptemp, "glob of ", target->scheme->name, NULL), target->path);
    apr_status_t rv = udr_shared_claim(share.shared, identity, &glob->slot, NULL);
    for (int i = 0; rv == APR_SUCCESS && i < glob->growth; i++) {
        rv = claim_berth(glob, i, scope, ptemp);
    }
    if (rv == APR_SUCCESS) {
        udr_berth_claim(share.shared, glob);
    }
    /* From then on no child of a former generation moves anybody in, with what its own configuration says. */
    for (int i = 0; rv == APR_SUCCESS && i < glob->growth; i++) {
        configure(glob->berths[i], &glob->settings);
    }
    return rv;
}

static void forget_slots(udr_glob_t *glob)
{
    glob->slot = UDR_SHARED_NONE;
    for (int i = 0; i < glob->growth; i++) {
        glob->berths[i] = UDR_SHARED_NONE;
    }
}

static apr_status_t claim_balancer(udr_balancer_t *balancer, apr_pool_t *ptemp)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    const char *only = balancer->name ? "" : APR_ARRAY_IDX(balancer->members, 0, const udr_member_t *)->target->text;
    udr_shared_identify(identity, balancer->scope, only, "balancer", "");
    balancer->slot = UDR_SHARED_NONE;
    for (int i = 0; i < balancer->members->nelts; i++) {
        APR_ARRAY_IDX(balancer->members, i, udr_member_t *)->slot = UDR_SHARED_NONE;
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        forget_slots(APR_ARRAY_IDX(balancer->globs, i, udr_glob_t *));
    }
    apr_status_t rv = udr_shared_claim(share.shared, identity, &balancer->slot, NULL);
    for (int i = 0; rv == APR_SUCCESS && i < balancer->members->nelts; i++) {
        rv = claim_member(APR_ARRAY_IDX(balancer->members, i, udr_member_t *), balancer->scope);
    }
    for (int i = 0; rv == APR_SUCCESS && i < balancer->globs->nelts; i++) {
        rv = claim_glob(APR_ARRAY_IDX(balancer->globs, i, udr_glob_t *), balancer->scope, ptemp);
    }
    return rv;
}

static void disclaim(apr_uint32_t *slot)
{
    if (*slot != UDR_SHARED_NONE) {
        udr_shared_disclaim(share.shared, *slot);
        *slot = UDR_SHARED_NONE;
    }
}

/* The server goes on without it: the others are not to suffer. */
static void do_without(udr_balancer_t *balancer, const server_rec *s, apr_status_t rv, apr_pool_t *ptemp)
{
    ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                 UDRNO(0032) "no room for %s, with what httpd knew at its start (%u members and balancers): its "
                             "requests are answered 503 until a reload brings fewer, or httpd is stopped and started",
                 balancer->name ? balancer->name : udr_balancer_print(balancer, ptemp),
                 udr_shared_slots_max(share.shared));
    disclaim(&balancer->slot);
    for (int i = 0; i < balancer->members->nelts; i++) {
        disclaim(&APR_ARRAY_IDX(balancer->members, i, udr_member_t *)->slot);
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        udr_glob_t *glob = APR_ARRAY_IDX(balancer->globs, i, udr_glob_t *);
        disclaim(&glob->slot);
        for (int k = 0; k < glob->growth; k++) {
            disclaim(&glob->berths[k]);
        }
    }
}

apr_status_t udr_share_configure(server_rec *main_server, apr_pool_t *ptemp)
{
    apr_status_t rv = provide(main_server);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, main_server, UDRNO(0031) "no shared memory for the state of members");
        return rv;
    }
    (void)udr_row_reap(share.shared);
    udr_shared_begin_generation(share.shared);
    udr_scope_give(main_server, main_server->process->pconf);
    for (server_rec *s = main_server; s; s = s->next) {
        const apr_array_header_t *balancers = udr_server_config(s)->balancers;
        for (int i = 0; udr_server_has_own_config(s, main_server) && i < balancers->nelts; i++) {
            udr_balancer_t *balancer = APR_ARRAY_IDX(balancers, i, udr_balancer_t *);
            rv = udr_balancer_has_lines(balancer) ? claim_balancer(balancer, ptemp) : APR_SUCCESS;
            if (rv != APR_SUCCESS) {
                do_without(balancer, s, rv, ptemp);
            }
        }
    }
    udr_shared_end_generation(share.shared);
    udr_shared_bump_epoch(share.shared);
    return APR_SUCCESS;
}

/* --- a child -------------------------------------------------------------------------------------------------------
 */

void udr_share_tell_news(const udr_balancer_t *balancer, const udr_member_t *member, unsigned int change)
{
    apr_pool_t *p = NULL;
    const udr_slot_t *slot = udr_shared_slot(share.shared, member->slot);
    const char *name = member->target->text;
    const char *of = balancer->name ? " of balancer " : "";
    const char *whose = balancer->name ? balancer->name : "";
    /* Of no other pool: under prefork the thread that makes the checks may be telling, beside the child's own. */
    if (apr_pool_create_unmanaged(&p) != APR_SUCCESS) {
        return;
    }
    const char *why = udr_verdict_explain(atomic_load(&slot->cause), p);
    if (!balancer->name && member->settings.check.method == UDR_CHECK_NONE) {
        /* Of a plain route each request that fails tells as much. */
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, ap_server_conf, "%s is %s%s", name,
                     change & UDR_CHANGE_CAME_BACK ? "back" : "out: ", change & UDR_CHANGE_CAME_BACK ? "" : why);
    } else if (change & UDR_CHANGE_CAME_BACK) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, ap_server_conf, UDRNO(0033) "member %s%s%s is back", name, of, whose);
    } else {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, UDRNO(0034) "member %s%s%s is out: %s", name, of,
                     whose, why);
    }
    apr_pool_destroy(p);
}

static apr_status_t make_pickers(server_rec *main_server, apr_pool_t *pchild)
{
    apr_status_t rv = APR_SUCCESS;
    for (server_rec *s = main_server; s && rv == APR_SUCCESS; s = s->next) {
        const apr_array_header_t *balancers = udr_server_config(s)->balancers;
        for (int i = 0; rv == APR_SUCCESS && i < balancers->nelts; i++) {
            udr_balancer_t *balancer = APR_ARRAY_IDX(balancers, i, udr_balancer_t *);
            if (udr_balancer_has_lines(balancer) && !balancer->picker && balancer->slot != UDR_SHARED_NONE) {
                rv = udr_picker_create(&balancer->picker, balancer, share.shared, share.queue, udr_share_tell_news,
                                       pchild);
            }
        }
    }
    return rv;
}

void udr_share_withdraw(server_rec *main_server)
{
    for (server_rec *s = main_server; s; s = s->next) {
        const apr_array_header_t *balancers = udr_server_config(s)->balancers;
        for (int i = 0; i < balancers->nelts; i++) {
            APR_ARRAY_IDX(balancers, i, udr_balancer_t *)->picker = NULL;
        }
    }
}

/* Before anything else of the child is taken down: a prefork child's second thread may be at it. */
static apr_status_t stop_yielding(void *data)
{
    (void)data;
    udr_yield_stop(share.yield);
    return APR_SUCCESS;
}

/* Those of the members in the configuration whose connections keep a process each. */
static void share_pools(server_rec *main_server)
{
    for (server_rec *s = main_server; s; s = s->next) {
        const apr_array_header_t *members = udr_server_config(s)->members;
        for (int i = 0; udr_server_has_own_config(s, main_server) && i < members->nelts; i++) {
            const udr_member_t *member = APR_ARRAY_IDX(members, i, const udr_member_t *);
            if (udr_protocol_keeps_process(member->target->scheme->protocol) && member->slot != UDR_SHARED_NONE) {
                udr_pool_share(member->pool, share.yield);
            }
        }
    }
}

static apr_status_t make_yield(server_rec *main_server, apr_pool_t *pchild)
{
    apr_pool_t *p = NULL;
    /* It outlives the child's pool, for the thread that goes on until the process ends. */
    apr_status_t rv = udr_alone_create_pool(&p);
    if (rv == APR_SUCCESS) {
        rv = udr_yield_create(&share.yield, share.shared, share.row, p);
    }
    if (rv == APR_SUCCESS) {
        share_pools(main_server);
        apr_pool_pre_cleanup_register(pchild, NULL, stop_yielding);
    }
    return rv;
}

static apr_status_t leave(void *data)
{
    (void)data;
    (void)udr_row_release(share.shared, share.row); /* or whoever reaps it */
    return APR_SUCCESS;
}

apr_status_t udr_share_join(server_rec *main_server, apr_pool_t *pchild)
{
    apr_status_t rv = udr_row_claim(share.shared, &share.row);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_thread_mutex_create(&share.attending, APR_THREAD_MUTEX_DEFAULT, pchild);
    if (rv == APR_SUCCESS) {
        rv = udr_queue_create(&share.queue, share.shared, share.row, pchild);
    }
    if (rv == APR_SUCCESS) {
        apr_pool_cleanup_register(pchild, NULL, leave, apr_pool_cleanup_null);
        share.slots = udr_shared_slots(share.shared);
        share.counts = apr_pcalloc(pchild, share.slots * sizeof *share.counts);
        share.look = (udr_history_look_t){0, 0};
        share.main_server = main_server;
        rv = make_yield(main_server, pchild);
    }
    if (rv == APR_SUCCESS) {
        rv = make_pickers(main_server, pchild);
    }
    return rv;
}

int udr_share_descriptor(void)
{
    return udr_queue_descriptor(share.queue);
}

void udr_share_wake(void)
{
    (void)udr_queue_wake(share.queue);
}

udr_yield_t *udr_share_yield(void)
{
    return share.yield;
}

apr_status_t udr_share_listen(int *fd, apr_pool_t *p)
{
    return udr_signals_listen(fd, udr_shared_signals(share.shared), share.row, p);
}

/* Whose member it is. */
static const udr_balancer_t *balancer_of(const udr_member_t *member)
{
    for (const server_rec *s = share.main_server; s; s = s->next) {
        const apr_array_header_t *balancers = udr_server_config(s)->balancers;
        for (int i = 0; i < balancers->nelts; i++) {
            const udr_balancer_t *balancer = APR_ARRAY_IDX(balancers, i, const udr_balancer_t *);
            for (int k = 0; k < balancer->members->nelts; k++) {
                if (APR_ARRAY_IDX(balancer->members, k, const udr_member_t *) == member) {
                    return balancer;
                }
            }
        }
    }
    return NULL;
}

/* Each child does so for its own requests, whoever has seen the file first. */
void udr_share_wake_held(const udr_member_t *member)
{
    const udr_balancer_t *balancer = balancer_of(member);
    if (balancer && balancer->picker) {
        udr_picker_wake_held(balancer->picker);
    }
}

void udr_share_file_appeared(const udr_member_t *member, apr_time_t now)
{
    if (member->slot != UDR_SHARED_NONE &&
        udr_verdict_file_appeared(udr_shared_slot(share.shared, member->slot), now) & UDR_CHANGE_PICK) {
        udr_shared_bump_epoch(share.shared);
    }
}

void udr_share_file_gone(const udr_member_t *member, apr_time_t now)
{
    if (member->slot == UDR_SHARED_NONE) {
        return;
    }
    unsigned int change =
        udr_verdict_file_gone(udr_shared_slot(share.shared, member->slot), member->settings.retry, now);
    if (change & UDR_CHANGE_PICK) {
        udr_shared_bump_epoch(share.shared);
    }
    if (change & UDR_CHANGE_WENT_OUT) {
        udr_share_tell_news(balancer_of(member), member, change);
    }
}

/* True: the member is in its slot still, and nobody else comes there before end_word(). */
static bool begin_word(const udr_member_t *member)
{
    const udr_tenant_t *tenant = member->tenant;
    return !tenant || udr_berth_pin(share.shared, tenant->glob, member->slot, tenant->tenancy);
}

static void end_word(const udr_member_t *member)
{
    if (member->tenant) {
        udr_berth_unpin(share.shared, member->tenant->glob);
    }
    udr_shared_bump_epoch(share.shared);
}

bool udr_share_operate(const udr_member_t *member, udr_operation_t operation)
{
    if (!begin_word(member)) {
        return false;
    }
    udr_operator_say(udr_shared_hot(share.shared, member->slot), operation);
    end_word(member);
    return true;
}

bool udr_share_weigh(const udr_member_t *member, apr_uint32_t weight)
{
    if (!begin_word(member)) {
        return false;
    }
    udr_operator_weigh(udr_shared_hot(share.shared, member->slot), weight);
    end_word(member);
    return true;
}

const udr_shared_t *udr_share_get(void)
{
    return share.shared;
}

udr_shared_t *udr_share_access(void)
{
    return share.shared;
}

/* --- what members do, for all children ----------------------------------------------------------------------------
 */

static void sample(const udr_member_t *member)
{
    udr_slot_t *slot = udr_shared_slot(share.shared, member->slot);
    udr_history_totals_t totals = {.latency = &slot->latency};
    apr_time_t now = udr_clock_now();
    if (!udr_history_is_due(&slot->history, now)) {
        return; /* another child has taken it */
    }
    for (size_t i = 0; i < sizeof slot->requests_by_class / sizeof *slot->requests_by_class; i++) {
        totals.requests += atomic_load_explicit(&slot->requests_by_class[i], memory_order_relaxed);
    }
    totals.failed = atomic_load_explicit(&slot->failed, memory_order_relaxed);
    udr_history_take(&slot->history, &totals, now);
}

/* --- what this child holds -----------------------------------------------------------------------------------------
 */

/* Plain routes to one member with other settings have pools of their own, and one slot. */
static void attend_member(void *baton, udr_member_t *member, apr_uint32_t state)
{
    const bool *samples = baton;
    udr_pool_counts_t counts;
    (void)state;
    udr_pool_count(member->pool, &counts);
    share.counts[member->slot].idle += counts.idle;
    share.counts[member->slot].busy += counts.busy;
    if (*samples) {
        sample(member);
    }
}

static void attend_all(void)
{
    bool samples = udr_history_is_to_look(&share.look, udr_shared_epoch(share.shared), udr_clock_now());
    for (const server_rec *s = share.main_server; s; s = s->next) {
        const udr_server_config_t *config = udr_server_config(s);
        if (!udr_server_has_own_config(s, share.main_server)) {
            continue;
        }
        for (int i = 0; i < config->balancers->nelts; i++) {
            const udr_balancer_t *balancer = APR_ARRAY_IDX(config->balancers, i, const udr_balancer_t *);
            if (balancer->picker) {
                udr_picker_visit(balancer->picker, attend_member, &samples);
            }
        }
    }
}

/* Of all slots: other threads' are not touched by it, and those of berths that nobody is in any more go to 0. */
static void publish(void)
{
    for (apr_uint32_t slot = 0; slot < share.slots; slot++) {
        udr_pool_counts_t *counts = &share.counts[slot];
        udr_cell_t *cell = udr_shared_cell(share.shared, share.row, slot);
        atomic_store_explicit(&cell->open, (apr_uint32_t)(counts->idle + counts->busy), memory_order_relaxed);
        atomic_store_explicit(&cell->idle, (apr_uint32_t)counts->idle, memory_order_relaxed);
    }
}

void udr_share_attend(void)
{
    /* Nothing is routed, and this child has not joined; or another thread is at it (the status page asks, too). */
    if (!share.queue || apr_thread_mutex_trylock(share.attending) != APR_SUCCESS) {
        return;
    }
    udr_row_t *row = udr_shared_row(share.shared, share.row);
    (void)udr_row_reap(share.shared);
    memset(share.counts, 0, share.slots * sizeof *share.counts);
    attend_all();
    publish();
    atomic_store_explicit(&row->parked, udr_loops_held(UDR_HELD_PARKED), memory_order_relaxed);
    atomic_store_explicit(&row->tunnels, udr_loops_held(UDR_HELD_TUNNEL) + udr_worker_tunnels(), memory_order_relaxed);
    apr_thread_mutex_unlock(share.attending);
}
