/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_pool.h"
#include "mod_udsroute/udr_tenant.h"
#include "tests/unit/fixture_glob.h"
#include "tests/unit/fixture_shared.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <stdlib.h>
#include <string.h>

enum { GROWTH = 3 };

static udr_balancer_t *balancer;
static udr_glob_t *glob;
static udr_tenants_t *tenants;
static udr_candidate_t candidates[1 + GROWTH];
static apr_time_t now;

/* One member, and a glob behind it. */
static int set_up(void **state)
{
    udr_settings_t settings;
    now = apr_time_from_sec(1000);
    memset(candidates, 0, sizeof candidates);
    if (shared_set_up(state)) {
        return -1;
    }
    balancer = udr_balancer_create("app", &glob_source, pool);
    udr_settings_init(&settings);
    assert_null(udr_balancer_add(balancer, glob_target("/run/single.sock", pool), &settings, &glob_source, pool));
    settings.load_factor = 300;
    settings.lbset = 2;
    assert_null(udr_balancer_add_glob(balancer, glob_target("/run/app/*.sock", pool), &settings, &glob_source, pool));
    balancer->settings.growth = GROWTH;
    udr_balancer_resolve(balancer, apr_time_from_sec(60));
    glob = APR_ARRAY_IDX(balancer->globs, 0, udr_glob_t *);
    (void)udr_shared_begin_generation(shared);
    (void)claim("member", &member);
    glob_claim(glob, shared, pool);
    udr_shared_end_generation(shared);
    return udr_tenants_create(&tenants, balancer, shared, 1, NULL, pool) != APR_SUCCESS;
}

static void merge(const char *words)
{
    (void)glob_merge(shared, glob, words, now++, pool);
}

static bool sync_all(void)
{
    return udr_tenants_sync(tenants, candidates);
}

static int place_of(const char *name)
{
    int found = glob_find(shared, glob, name);
    assert_true(found >= 0);
    return glob->first + found;
}

static udr_tenant_t *tenant_of(const char *name)
{
    udr_member_t *found = udr_tenants_member(tenants, place_of(name));
    assert_non_null(found);
    assert_ptr_equal(&found->tenant->member, found);
    return found->tenant;
}

static void takes_in_who_has_come(void **state)
{
    (void)state;
    assert_false(sync_all());
    for (int i = 1; i <= GROWTH; i++) {
        assert_null(udr_tenants_member(tenants, i));
        assert_true(candidates[i].is_away);
        assert_int_equal(candidates[i].gone_at, 0);
    }
    merge("a.sock b.sock");
    assert_true(sync_all());
    assert_false(sync_all());
    const udr_member_t *a = &tenant_of("a.sock")->member;
    assert_string_equal(a->target->text, "unix:/run/app/a.sock|http://h/");
    assert_string_equal(a->target->address->name, "/run/app/a.sock");
    assert_int_equal(a->target->address->kind, UDR_ADDRESS_PATH);
    assert_string_equal(a->settings.route, "a");
    assert_int_equal(a->slot, glob->berths[place_of("a.sock") - glob->first]);
    const udr_candidate_t *candidate = &candidates[place_of("a.sock")];
    assert_false(candidate->is_away);
    assert_int_equal(candidate->weight, 300);
    assert_int_equal(candidate->lbset, 2);
    assert_string_equal(candidate->route, "a");
    assert_null(candidates[0].hot); /* the single member's is not its own */
}

static void lets_go_of_who_has_left(void **state)
{
    (void)state;
    merge("a.sock");
    (void)sync_all();
    const udr_tenant_t *before = tenant_of("a.sock");
    merge("");
    assert_false(sync_all()); /* it may be back */
    assert_true(candidates[place_of("a.sock")].is_away);
    assert_int_equal(candidates[place_of("a.sock")].gone_at, now - 1);
    merge("a.sock:2");
    assert_false(sync_all());
    assert_ptr_equal(tenant_of("a.sock"), before);
    assert_false(candidates[place_of("a.sock")].is_away);
    assert_int_equal(candidates[place_of("a.sock")].gone_at, 0);
}

static void is_nobody_for_who_was_forgotten_before(void **state)
{
    (void)state;
    merge("a.sock");
    merge("");
    assert_false(sync_all());
    assert_null(udr_tenants_member(tenants, place_of("a.sock")));
    assert_true(candidates[place_of("a.sock")].is_away);
}

static void waits_for_checks(void **state)
{
    (void)state;
    glob->needs_check = true;
    merge("b.sock");
    merge("a.sock");
    (void)sync_all();
    assert_true(candidates[place_of("a.sock")].is_away);
    assert_true(udr_berth_pass(shared, glob, tenant_of("a.sock")->member.slot, tenant_of("a.sock")->tenancy, now, now));
    (void)sync_all();
    assert_false(candidates[place_of("a.sock")].is_away);
}

/* All three places get other names. */
static void move_all(void)
{
    merge("a.sock b.sock c.sock");
    (void)sync_all();
}

static void who_is_used_stays(void **state)
{
    (void)state;
    move_all();
    udr_member_t *used = &tenant_of("a.sock")->member;
    udr_tenant_hold(used);
    merge("b.sock c.sock");
    merge("b.sock c.sock d.sock");
    assert_true(sync_all());
    assert_ptr_not_equal(&tenant_of("d.sock")->member, used);
    assert_int_equal(udr_tenants_tidy(tenants), 1);
    assert_string_equal(used->target->address->name, "/run/app/a.sock");
    udr_tenant_release(used);
    assert_int_equal(udr_tenants_tidy(tenants), 0);
}

static void who_left_takes_its_connections_along(void **state)
{
    udr_connection_t *connection = NULL;
    udr_waiter_t waiter = {.wake = NULL};
    (void)state;
    move_all();
    udr_member_t *used = &tenant_of("a.sock")->member;
    udr_tenant_hold(used);
    merge("b.sock c.sock");
    merge("b.sock c.sock d.sock");
    (void)sync_all();
    assert_int_equal(udr_pool_take(used->pool, &waiter), APR_SUCCESS);
    assert_int_equal(udr_connection_create(&connection), APR_SUCCESS);
    udr_pool_give(used->pool, connection, 0);
    udr_tenant_release(used);
    assert_int_equal(udr_tenants_tidy(tenants), 0); /* (the address sanitizer would tell of the connection) */
}

static void identity_is_the_sockets_whatever_its_place(void **state)
{
    (void)state;
    move_all();
    apr_uint64_t identity = candidates[place_of("a.sock")].identity;
    int place = place_of("a.sock");
    assert_true(identity != candidates[place_of("b.sock")].identity);
    merge("");
    merge("d.sock e.sock f.sock");
    merge("");
    merge("b.sock");
    merge("a.sock b.sock");
    (void)sync_all();
    assert_true(place_of("a.sock") != place);
    assert_true(candidates[place_of("a.sock")].identity == identity);
}

/* Who has gone, and is used by nobody, is freed when its place is another one's. */
static void nobody_is_left_of_thousands(void **state)
{
    apr_pool_t *p;
    (void)state;
    assert_int_equal(apr_pool_create(&p, NULL), APR_SUCCESS);
    for (int i = 0; i < 5000; i++) {
        const char *name = apr_psprintf(p, "%d.sock", i);
        (void)glob_merge(shared, glob, name, now++, p);
        assert_true(sync_all());
        assert_int_equal(udr_tenants_tidy(tenants), 0);
        apr_pool_clear(p);
    }
    apr_pool_destroy(p);
}

static bool is_gone;

static apr_status_t has_gone(void *data)
{
    *(bool *)data = true;
    return APR_SUCCESS;
}

/* A request's, which is cut off with its child. */
static apr_status_t still_needs_it(void *data)
{
    udr_tenant_t *tenant = data;
    assert_false(is_gone);
    udr_tenant_release(&tenant->member);
    return APR_SUCCESS;
}

/* Under prefork the pool of requests is older than what the child makes for itself. */
static void outlives_the_requests_of_its_child(void **state)
{
    (void)state;
    apr_pool_t *child, *request;
    is_gone = false;
    assert_int_equal(apr_pool_create(&child, pool), APR_SUCCESS);
    assert_int_equal(apr_pool_create(&request, child), APR_SUCCESS);
    assert_int_equal(udr_tenants_create(&tenants, balancer, shared, 1, NULL, child), APR_SUCCESS);
    merge("a.sock");
    (void)sync_all();
    udr_tenant_t *tenant = tenant_of("a.sock");
    udr_tenant_hold(&tenant->member);
    apr_pool_cleanup_register(tenant->pool, &is_gone, has_gone, apr_pool_cleanup_null);
    apr_pool_cleanup_register(request, tenant, still_needs_it, apr_pool_cleanup_null);
    apr_pool_destroy(child);
    assert_true(is_gone);
}

/* Where each connection takes a process; and no longer when it has gone. */
static void gives_up_connections_for_those_who_wait(void **state)
{
    (void)state;
    apr_pool_t *child;
    udr_yield_t *yield;
    child_t own = start_child();
    const udr_target_t *target;
    assert_int_equal(udr_yield_create(&yield, shared, own.row, pool), APR_SUCCESS);
    assert_int_equal(apr_pool_create(&child, pool), APR_SUCCESS);
    assert_int_equal(udr_tenants_create(&tenants, balancer, shared, 1, yield, child), APR_SUCCESS);
    merge("a.sock");
    (void)sync_all();
    assert_null(udr_pool_yield(tenant_of("a.sock")->member.pool));
    assert_null(udr_target_parse_pattern(&target, "unix:/run/app/*.sock|fcgi://h/", "/run", pool));
    glob->target = target;
    merge("b.sock");
    (void)sync_all();
    udr_tenant_t *b = tenant_of("b.sock");
    assert_ptr_equal(udr_pool_yield(b->member.pool), yield);
    apr_uint32_t call = udr_yield_call(yield, b->member.slot);
    merge("");
    (void)sync_all();
    merge("c.sock d.sock e.sock"); /* in its berth, too */
    (void)sync_all();
    assert_int_equal(udr_tenants_tidy(tenants), 0);
    assert_true(udr_yield_run(yield, true, 0));
    udr_yield_withdraw(yield, glob->berths[0], call);
    apr_pool_destroy(child);
    assert_true(udr_yield_run(yield, true, 0));
    end_child(&own);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, shared_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_in_who_has_come),
        TEST(lets_go_of_who_has_left),
        TEST(is_nobody_for_who_was_forgotten_before),
        TEST(waits_for_checks),
        TEST(who_is_used_stays),
        TEST(outlives_the_requests_of_its_child),
        TEST(who_left_takes_its_connections_along),
        TEST(gives_up_connections_for_those_who_wait),
        TEST(identity_is_the_sockets_whatever_its_place),
        TEST(nobody_is_left_of_thousands),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_tenant", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
