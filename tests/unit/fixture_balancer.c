/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_balancer.h"
#include "tests/unit/fixture_glob.h"
#include "tests/unit/fixture_settings.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>

apr_pool_t *pool;
udr_shared_t *shared;
udr_balancer_t *balancer;
child_t children[CHILDREN];
int went_out;
int came_back;
int lost;

static const udr_source_t nowhere = {.directive = "UDSBalancer", .file = "test.conf", .line = 1};

int balancer_set_up(void **state)
{
    (void)state;
    memset(children, 0, sizeof children);
    went_out = 0;
    came_back = 0;
    lost = 0;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS ||
        udr_shared_create(&shared, MEMBERS_MAX + 1, CHILDREN, WAITING_MAX, pool) != APR_SUCCESS) {
        return -1;
    }
    balancer = udr_balancer_create("app", &nowhere, pool);
    return 0;
}

int balancer_tear_down(void **state)
{
    (void)state;
    bool is_clean = true;
    for (int i = 0; i < balancer->members->nelts; i++) {
        apr_uint64_t line = atomic_load(&hot_of(i)->line);
        if (line != 0) {
            print_error("left behind on member %d: %u in flight, %u waiting\n", i, (unsigned int)line,
                        (unsigned int)(line >> 32));
            is_clean = false;
        }
    }
    for (apr_uint32_t i = 0; i < CHILDREN; i++) {
        if (children[i].picker && udr_row_release(shared, children[i].row) != APR_SUCCESS) {
            print_error("child %u has left something behind\n", i);
            is_clean = false;
        }
    }
    apr_pool_destroy(pool);
    return is_clean ? 0 : -1;
}

static const char *set_balancer(void *baton, const char *key, const char *value)
{
    const char *note;
    return udr_balancer_set(baton, key, value, &note, pool);
}

void balancer_says(const char *parameters)
{
    settings_read(parameters, set_balancer, balancer, pool);
}

udr_member_t *balancer_has(const char *path, const char *parameters)
{
    const udr_target_t *target = NULL;
    udr_settings_t settings = settings_of(parameters, pool);
    assert_null(udr_target_parse(&target, apr_pstrcat(pool, "unix:", path, "|http://h/", NULL), "/run", pool));
    assert_null(udr_balancer_add(balancer, target, &settings, &nowhere, pool));
    return APR_ARRAY_IDX(balancer->members, balancer->members->nelts - 1, udr_member_t *);
}

void balancer_has_glob(const char *pattern, const char *parameters)
{
    udr_settings_t settings = settings_of(parameters, pool);
    assert_null(udr_balancer_add_glob(balancer, glob_target(pattern, pool), &settings, &nowhere, pool));
    balancer->settings.growth = balancer->settings.growth < 0 ? 10 : balancer->settings.growth;
}

static apr_uint32_t claim(const char *address)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    apr_uint32_t slot = UDR_SHARED_NONE;
    udr_shared_identify(identity, "app", address, "http", "/");
    assert_int_equal(udr_shared_claim(shared, identity, &slot, NULL), APR_SUCCESS);
    return slot;
}

static void tell_news(const udr_balancer_t *of, const udr_member_t *member, unsigned int change)
{
    (void)of;
    (void)member;
    went_out += (change & UDR_CHANGE_WENT_OUT) != 0;
    came_back += (change & UDR_CHANGE_CAME_BACK) != 0;
}

static void note_lost(const udr_balancer_t *of, const udr_member_t *member)
{
    (void)of;
    (void)member;
    lost++;
}

static void start_child(child_t *child)
{
    assert_int_equal(udr_row_claim(shared, &child->row), APR_SUCCESS);
    assert_int_equal(udr_queue_create(&child->queue, shared, child->row, pool), APR_SUCCESS);
    assert_int_equal(udr_picker_create(&child->picker, balancer, shared, child->queue, tell_news, pool), APR_SUCCESS);
    const udr_picker_globs_t globs = {.lanes = 1, .lost = note_lost};
    assert_int_equal(udr_picker_open_globs(child->picker, &globs, pool), APR_SUCCESS);
}

void balancer_open(void)
{
    const udr_source_t *where;
    assert_null(udr_balancer_inherit(balancer, &where, pool));
    udr_balancer_resolve(balancer, apr_time_from_sec(60));
    (void)udr_shared_begin_generation(shared);
    balancer->slot = claim("balancer");
    for (int i = 0; i < balancer->members->nelts; i++) {
        udr_member_t *member = APR_ARRAY_IDX(balancer->members, i, udr_member_t *);
        member->slot = claim(member->target->address->text);
        atomic_store(&hot_of(i)->flags, (apr_uint32_t)member->settings.status);
        udr_queue_set_limit(shared, member->slot, (apr_uint32_t)member->settings.maxconn);
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        glob_claim(APR_ARRAY_IDX(balancer->globs, i, udr_glob_t *), shared, pool);
    }
    udr_shared_end_generation(shared);
    for (int i = 0; i < CHILDREN; i++) {
        start_child(&children[i]);
    }
}

udr_hot_t *hot_of(int member)
{
    return udr_shared_hot(shared, APR_ARRAY_IDX(balancer->members, member, udr_member_t *)->slot);
}

udr_slot_t *slot_of(int member)
{
    return udr_shared_slot(shared, APR_ARRAY_IDX(balancer->members, member, udr_member_t *)->slot);
}

void balancer_flags(int member, apr_uint32_t flags)
{
    atomic_store(&hot_of(member)->flags, flags);
    udr_shared_bump_epoch(shared);
}

void check_line(int member, int busy, int waiting, const char *file, int line)
{
    _assert_int_equal(udr_hot_busy(hot_of(member)), (unsigned int)busy, file, line);
    _assert_int_equal(udr_hot_waiting(hot_of(member)), (unsigned int)waiting, file, line);
}
