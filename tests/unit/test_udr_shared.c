/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_shared.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the mapping --- */

static void refuses_sizes_out_of_range(void **state)
{
    udr_shared_t *untouched = NULL;
    (void)state;
    assert_int_equal(udr_shared_create(&untouched, 0, 1, 1, pool), APR_EINVAL);
    assert_int_equal(udr_shared_create(&untouched, 1, 0, 1, pool), APR_EINVAL);
    assert_int_equal(udr_shared_create(&untouched, 1, 1, 0, pool), APR_EINVAL);
    assert_int_equal(udr_shared_create(&untouched, 1u << 30, 1, 1, pool), APR_EINVAL);
    assert_int_equal(udr_shared_create(&untouched, 1, 1u << 16, 1u << 16, pool), APR_EINVAL);
    assert_null(untouched);
}

/* Its address, and that of the byte behind it. */
typedef struct range_t {
    const char *begin;
    const char *end;
} range_t;

static void assert_before(range_t a, range_t b)
{
    assert_true(a.begin < a.end && a.end <= b.begin);
}

#define range_of(pointer) ((range_t){(const char *)(pointer), (const char *)(pointer) + sizeof *(pointer)})

static void has_room_for_all_of_it(void **state)
{
    (void)state;
    assert_int_equal(udr_shared_slots_max(shared), SLOTS);
    assert_int_equal(udr_shared_rows_max(shared), ROWS);
    assert_int_equal(udr_shared_tickets_max(shared), TICKETS);
    assert_int_equal((uintptr_t)udr_shared_hot(shared, 1) % 64, 0);
    assert_int_equal((uintptr_t)udr_shared_row(shared, 1) % 64, 0);
    for (apr_uint32_t row = 0; row < ROWS; row++) {
        assert_int_equal((uintptr_t)udr_shared_cell(shared, row, 0) % 64, 0);
    }
    assert_before(range_of(udr_shared_hot(shared, SLOTS - 1)), range_of(udr_shared_slot(shared, 0)));
    assert_before(range_of(udr_shared_slot(shared, SLOTS - 1)), range_of(udr_shared_row(shared, 0)));
    assert_before(range_of(udr_shared_row(shared, ROWS - 1)), range_of(udr_shared_cell(shared, 0, 0)));
    assert_before(range_of(udr_shared_cell(shared, 0, SLOTS - 1)), range_of(udr_shared_cell(shared, 1, 0)));
    assert_before(range_of(udr_shared_cell(shared, ROWS - 1, SLOTS - 1)), range_of(udr_shared_ticket(shared, 0)));
    /* To its last byte. */
    memset(udr_shared_ticket(shared, ROWS * TICKETS - 1), 0, sizeof(udr_ticket_t));
}

static int count_from_child(void *baton)
{
    (void)baton;
    atomic_fetch_add(&udr_shared_hot(shared, member)->elected, 7);
    udr_shared_bump_epoch(shared);
    return 0;
}

static void is_the_same_in_a_child(void **state)
{
    (void)state;
    apr_uint64_t epoch = udr_shared_epoch(shared);
    assert_int_equal(await_child(fork_child(count_from_child, NULL)), 0);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, member)->elected), 7);
    assert_int_equal(udr_shared_epoch(shared), epoch + 1);
}

static void adds_up_connections_over_rows(void **state)
{
    udr_shared_counts_t counts;
    child_t a = start_child();
    child_t b = start_child();
    (void)state;
    atomic_fetch_add(&udr_shared_cell(shared, a.row, member)->open, 5);
    atomic_fetch_add(&udr_shared_cell(shared, a.row, member)->idle, 2);
    atomic_fetch_add(&udr_shared_cell(shared, b.row, member)->open, 3);
    atomic_fetch_add(&udr_shared_cell(shared, b.row, member)->idle, 3);
    udr_shared_count(shared, member, &counts);
    assert_int_equal(counts.open, 8);
    assert_int_equal(counts.idle, 5);
    end_child(&a);
    udr_shared_count(shared, member, &counts);
    assert_int_equal(counts.open, 3);
    assert_int_equal(counts.idle, 3);
    end_child(&b);
}

static void adds_up_what_living_children_hold(void **state)
{
    udr_shared_held_t held;
    child_t a = start_child();
    child_t b = start_child();
    (void)state;
    atomic_store(&udr_shared_row(shared, a.row)->parked, 7);
    atomic_store(&udr_shared_row(shared, a.row)->tunnels, 1);
    atomic_store(&udr_shared_row(shared, b.row)->parked, 5);
    atomic_store(&udr_shared_row(shared, b.row)->tunnels, 2);
    udr_shared_count_held(shared, &held);
    assert_int_equal(held.parked, 12);
    assert_int_equal(held.tunnels, 3);
    end_child(&a);
    udr_shared_count_held(shared, &held);
    assert_int_equal(held.parked, 5);
    assert_int_equal(held.tunnels, 2);
    a = start_child(); /* in the same row, where the one before has left its figures */
    udr_shared_count_held(shared, &held);
    assert_int_equal(held.parked, 5);
    assert_int_equal(held.tunnels, 2);
    end_child(&a);
    end_child(&b);
}

/* --- identities --- */

static void tells_identities_apart(void **state)
{
    static const char *const parts[][4] = {
        {"b", "/a", "http", "/"}, {"", "b/a", "http", "/"}, {"b", "/ahttp", "", "/"}, {"b", "/a", "http", ""},
        {"b", "/a", "http/", ""}, {"c", "/a", "http", "/"}, {"b", "/a", "fcgi", "/"}, {"b", "/b", "http", "/"},
    };
    unsigned char identities[sizeof parts / sizeof *parts][UDR_IDENTITY_SIZE];
    unsigned char again[UDR_IDENTITY_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        udr_shared_identify(identities[i], parts[i][0], parts[i][1], parts[i][2], parts[i][3]);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(identities[i], identities[j], UDR_IDENTITY_SIZE);
        }
    }
    udr_shared_identify(again, NULL, "b/a", "http", "/");
    assert_memory_equal(again, identities[1], UDR_IDENTITY_SIZE);
}

/* --- generations --- */

/* A configuration with these members. Returns the slot of the last. */
static apr_uint32_t configure(const char *first, const char *second)
{
    apr_uint32_t slot = UDR_SHARED_NONE;
    (void)udr_shared_begin_generation(shared);
    assert_int_equal(claim(first, &slot), APR_SUCCESS);
    if (second) {
        assert_int_equal(claim(second, &slot), APR_SUCCESS);
    }
    udr_shared_end_generation(shared);
    return slot;
}

static void keeps_what_the_configuration_still_has(void **state)
{
    apr_uint32_t slot;
    (void)state;
    atomic_store(&udr_shared_hot(shared, member)->elected, 42);
    udr_histogram_record(&udr_shared_slot(shared, member)->latency, 5);
    assert_int_not_equal(configure("member", "second"), member);
    /* It is another place in the configuration now, and the same identity. */
    assert_int_equal(configure("second", "member"), member);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, member)->elected), 42);
    assert_int_equal(atomic_load(&udr_shared_slot(shared, member)->latency.bucket[5]), 1);
    /* The same twice in one configuration is one. */
    assert_int_equal(claim("member", &slot), APR_SUCCESS);
    assert_int_equal(slot, member);
    assert_int_equal(udr_shared_slots(shared), 2);
    assert_int_equal(udr_shared_generation(shared), 3);
}

static void tells_who_claims_first(void **state)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    apr_uint32_t slot;
    bool is_again = true;
    (void)state;
    udr_shared_identify(identity, "balancer", "second", "http", "/");
    for (int generation = 0; generation < 3; generation++) {
        (void)udr_shared_begin_generation(shared);
        assert_int_equal(udr_shared_claim(shared, identity, &slot, &is_again), APR_SUCCESS);
        assert_false(is_again);
        assert_int_equal(udr_shared_claim(shared, identity, &slot, &is_again), APR_SUCCESS);
        assert_true(is_again);
        udr_shared_disclaim(shared, slot);
        assert_int_equal(udr_shared_claim(shared, identity, &slot, &is_again), APR_SUCCESS);
        assert_false(is_again);
        udr_shared_end_generation(shared);
    }
}

static void gives_back_what_comes_back(void **state)
{
    (void)state;
    atomic_store(&udr_shared_hot(shared, member)->elected, 42);
    (void)configure("second", NULL);
    (void)configure("second", NULL);
    assert_int_equal(configure("second", "member"), member);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, member)->elected), 42);
}

/* Five more members than the first, which is released. */
static void fill_up(void)
{
    static const char *const names[] = {"2", "3", "4", "5", "6"};
    (void)udr_shared_begin_generation(shared);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        apr_uint32_t slot = UDR_SHARED_NONE;
        assert_int_equal(claim(names[i], &slot), APR_SUCCESS);
        assert_int_equal(slot, i + 1);
    }
    udr_shared_end_generation(shared);
    assert_int_equal(udr_shared_slots(shared), SLOTS);
}

static void reuses_released_slots_when_full(void **state)
{
    apr_uint32_t slot = UDR_SHARED_NONE;
    (void)state;
    udr_slot_t *first = udr_shared_slot(shared, member);
    atomic_store(&udr_shared_hot(shared, member)->elected, 42);
    atomic_store(&first->failed, 3);
    atomic_store(&first->out_until, 99);
    udr_histogram_record(&first->latency, 5);
    udr_queue_set_limit(shared, member, 1);
    fill_up();
    (void)udr_shared_begin_generation(shared);
    assert_int_equal(claim("2", &slot), APR_SUCCESS);
    assert_int_equal(claim("new", &slot), APR_SUCCESS);
    assert_int_equal(slot, member);
    /* Nothing of the one before is left, and it works. */
    assert_int_equal(atomic_load(&udr_shared_hot(shared, member)->elected), 0);
    assert_int_equal(atomic_load(&udr_shared_hot(shared, member)->limit), 0);
    assert_int_equal(atomic_load(&first->failed), 0);
    assert_int_equal(atomic_load(&first->out_until), 0);
    assert_int_equal(atomic_load(&first->latency.bucket[5]), 0);
    udr_queue_set_limit(shared, member, 2);
    /* The others are still in use by this configuration, or were by the last. */
    assert_int_equal(claim("newer", &slot), APR_ENOSPC);
    assert_int_equal(slot, member);
    udr_shared_end_generation(shared);
}

static void reuses_what_was_released_first(void **state)
{
    apr_uint32_t slot = UDR_SHARED_NONE;
    (void)state;
    (void)configure("member", "second");
    (void)configure("member", NULL);
    (void)configure("third", "fourth");
    (void)configure("fifth", "sixth");
    assert_int_equal(udr_shared_slots(shared), SLOTS);
    (void)udr_shared_begin_generation(shared);
    assert_int_equal(claim("seventh", &slot), APR_SUCCESS);
    assert_int_equal(slot, 1);
    assert_int_equal(claim("eighth", &slot), APR_SUCCESS);
    assert_int_equal(slot, member);
}

/* No child can know it: it need not wait for those of former generations to end. */
static void has_again_at_once_what_it_does_without(void **state)
{
    apr_uint32_t slot, again;
    (void)state;
    child_t child = start_child();
    (void)udr_shared_begin_generation(shared);
    for (int i = 1; i < SLOTS; i++) {
        assert_int_equal(claim((const char[]){(char)('a' + i), '\0'}, &slot), APR_SUCCESS);
    }
    assert_int_equal(claim("one more", &again), APR_ENOSPC);
    udr_shared_disclaim(shared, slot);
    assert_int_equal(claim("one more", &again), APR_SUCCESS);
    assert_int_equal(again, slot);
    /* The child knows this one. */
    udr_shared_disclaim(shared, member);
    assert_int_equal(claim("another", &again), APR_ENOSPC);
    end_child(&child);
    assert_int_equal(claim("another", &again), APR_SUCCESS);
    assert_int_equal(again, member);
}

static void spares_slots_that_older_children_may_know(void **state)
{
    apr_uint32_t slot = UDR_SHARED_NONE;
    child_t old = start_child();
    (void)state;
    fill_up();
    child_t young = start_child(); /* of a generation that does not have it any more */
    (void)udr_shared_begin_generation(shared);
    assert_int_equal(claim("new", &slot), APR_ENOSPC);
    end_child(&old);
    assert_int_equal(claim("new", &slot), APR_SUCCESS);
    assert_int_equal(slot, member);
    end_child(&young);
}

static int claim_late(void *baton)
{
    const int *go = baton;
    char byte;
    apr_uint32_t row;
    return read(*go, &byte, 1) == 1 && udr_row_claim(shared, &row) == ESTALE ? 0 : 1;
}

/* Forked in time, and so slow that its configuration's slots have become others' meanwhile. */
static void turns_away_a_child_that_comes_too_late(void **state)
{
    apr_uint32_t slot;
    int go[2];
    (void)state;
    assert_int_equal(pipe(go), 0);
    pid_t late = fork_child(claim_late, &go[0]);
    fill_up();
    (void)udr_shared_begin_generation(shared);
    assert_int_equal(claim("new", &slot), APR_SUCCESS);
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(await_child(late), 0);
    close(go[0]);
    close(go[1]);
    /* One of this generation is welcome. */
    child_t child = start_child();
    end_child(&child);
}

#define with_shared(test) cmocka_unit_test_setup_teardown(test, shared_set_up, shared_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_shared(refuses_sizes_out_of_range),
        with_shared(has_room_for_all_of_it),
        with_shared(is_the_same_in_a_child),
        with_shared(adds_up_connections_over_rows),
        with_shared(adds_up_what_living_children_hold),
        with_shared(tells_identities_apart),
        with_shared(keeps_what_the_configuration_still_has),
        with_shared(tells_who_claims_first),
        with_shared(gives_back_what_comes_back),
        with_shared(reuses_released_slots_when_full),
        with_shared(reuses_what_was_released_first),
        with_shared(has_again_at_once_what_it_does_without),
        with_shared(spares_slots_that_older_children_may_know),
        with_shared(turns_away_a_child_that_comes_too_late),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_shared", tests, NULL, NULL);
}
