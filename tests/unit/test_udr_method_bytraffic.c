/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_seats.h"

#include "mod_udsroute/udr_random.h"

#include <apr_general.h>

#include <string.h>

static const apr_uint32_t one_two_five[] = {100, 200, 500};

/* A request at a time, of 1 to 20,000 bytes. How many went to each place. */
static void serve(int requests, int counts[SEATS_MAX])
{
    memset(counts, 0, sizeof(int) * SEATS_MAX);
    for (int i = 0; i < requests; i++) {
        int place = pick_seat();
        take_seat(place);
        release_seat(place, (apr_uint64_t)(1 + udr_random_below(&random_numbers, 20000)));
        counts[place]++;
    }
}

static apr_uint64_t traffic_of(int member)
{
    return atomic_load(&hot[member].traffic);
}

/* The seats are these members, as if they were the only ones that are open; all of weight 100. */
static void open_only(const int *members, int count)
{
    for (int i = 0; i < count; i++) {
        seats[i].hot = &hot[members[i]];
        seats[i].member = members[i];
        seats[i].weight = 100;
    }
    seat_count = count;
}

static void gives_bytes_by_weight(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(3, one_two_five);
    serve(10000, counts);
    apr_uint64_t all = traffic_of(0) + traffic_of(1) + traffic_of(2);
    for (int i = 0; i < 3; i++) {
        assert_true(is_share((int)traffic_of(i), (int)all, i, 1));
    }
}

/* One whose answers are ten times as long gets a tenth of the requests. */
static void counts_bytes_not_requests(void **state)
{
    int counts[2] = {0};
    (void)state;
    open_seats(2, NULL);
    for (int i = 0; i < 1100; i++) {
        int place = pick_seat();
        take_seat(place);
        release_seat(place, place == 0 ? 10000 : 1000);
        counts[place]++;
    }
    assert_in_range(counts[0], 99, 101);
}

/* Nothing is known of their bytes yet. */
static void spreads_what_is_in_flight(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(4, NULL);
    serve(1000, counts);
    for (int i = 0; i < 32; i++) {
        take_seat(pick_seat());
    }
    for (int i = 0; i < 4; i++) {
        assert_in_range(atomic_load(&hot[i].line), 6, 10);
    }
}

static void goes_round_at_first(void **state)
{
    (void)state;
    open_seats(3, NULL);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(pick_seat(), i % 3);
    }
}

static void passes_over_the_excluded(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(3, NULL);
    exclude_member(1);
    serve(100, counts);
    assert_int_equal(counts[1], 0);
    exclude_member(0);
    exclude_member(2);
    assert_int_equal(pick_seat(), -1);
    open_seats(0, NULL);
    assert_int_equal(pick_seat(), -1);
}

/* --- who comes back --- */

/* A member that was out while others moved a lot gets its share, not everything. */
static void does_not_flood_who_comes_back(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(3, NULL);
    serve(300, counts);
    open_only((int[]){0, 2}, 2);
    prepare_seats();
    serve(10000, counts);
    apr_uint64_t before = traffic_of(1);
    open_only((int[]){0, 1, 2}, 3);
    prepare_seats();
    serve(300, counts);
    for (int i = 0; i < 3; i++) {
        assert_in_range(counts[i], 80, 120);
    }
    assert_true(traffic_of(1) - before < 120 * 20000);
}

/* Several processes learn of it, one after the other, while the others already pick. */
static void is_moved_once_by_all_processes(void **state)
{
    void *processes[4];
    int counts[SEATS_MAX];
    apr_uint64_t bases[4];
    (void)state;
    open_seats(3, NULL);
    serve(300, counts);
    open_only((int[]){0, 2}, 2);
    for (int i = 0; i < 4; i++) {
        processes[i] = other_process();
    }
    method_state = processes[0];
    serve(10000, counts);
    open_only((int[]){0, 1, 2}, 3);
    for (int i = 0; i < 4; i++) {
        method->prepare(processes[i], seats, seat_count);
        bases[i] = atomic_load(&hot[1].traffic_base);
        assert_int_equal(bases[i], bases[0]);
    }
    /* And what happens in between only moves it by what was in between. */
    open_only((int[]){0, 2}, 2);
    prepare_seats();
    for (int i = 0; i < 4; i++) {
        method->prepare(processes[i], seats, seat_count);
    }
    serve(10000, counts);
    open_only((int[]){0, 1, 2}, 3);
    memset(counts, 0, sizeof(counts));
    for (int i = 0; i < 4; i++) {
        int some[SEATS_MAX];
        method_state = processes[i];
        prepare_seats();
        serve(75, some);
        for (int j = 0; j < 3; j++) {
            counts[j] += some[j];
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(counts[i], 80, 120);
    }
}

/* Its level would rise or fall by the factor; the slow start does so at each step. */
static void does_not_flood_or_starve_whose_weight_changes(void **state)
{
    static const apr_uint32_t steps[] = {1, 10, 50, 200, 1000, 3};
    int counts[SEATS_MAX];
    (void)state;
    open_seats(3, NULL);
    serve(10000, counts);
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        seats[1].weight = steps[i];
        prepare_seats();
        serve(1000, counts);
        double due = 1000.0 * steps[i] / (200 + steps[i]);
        assert_true(counts[1] >= due * 0.9 - 5);
        assert_true(counts[1] <= due * 1.1 + 5);
    }
}

static void survives_when_all_weights_change(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(3, NULL);
    serve(10000, counts);
    for (int i = 0; i < 3; i++) {
        seats[i].weight = one_two_five[i] + 1;
    }
    prepare_seats();
    serve(1000, counts);
    for (int i = 0; i < 3; i++) {
        assert_true(is_share(counts[i], 1000, i, 15));
    }
}

/* A process that starts finds a new member beside others with much traffic (after a graceful restart, say). */
static void does_not_flood_who_is_new_to_a_new_process(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(3, NULL);
    for (int i = 0; i < 2; i++) {
        atomic_store(&hot[i].traffic, APR_UINT64_C(10000000000) + (apr_uint64_t)i);
        atomic_store(&hot[i].elected, 1000000);
    }
    method_state = other_process();
    serve(300, counts);
    for (int i = 0; i < 3; i++) {
        assert_in_range(counts[i], 80, 120);
    }
}

/* Those that were open all the time keep what they are ahead or behind, whoever else comes or goes. */
static void keeps_the_accounts_of_those_who_stay(void **state)
{
    (void)state;
    open_seats(3, NULL);
    open_only((int[]){0, 1}, 2);
    prepare_seats();
    atomic_fetch_add(&hot[0].traffic, 1000000);
    open_only((int[]){0, 1, 2}, 3);
    prepare_seats();
    assert_int_equal(atomic_load(&hot[0].traffic_base), 0);
    assert_int_equal(atomic_load(&hot[1].traffic_base), 0);
    open_only((int[]){0, 1}, 2);
    prepare_seats();
    prepare_seats();
    assert_int_equal(atomic_load(&hot[0].traffic_base), 0);
    assert_int_equal(atomic_load(&hot[1].traffic_base), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pick_seat(), 1);
    }
}

#define with_seats(test) cmocka_unit_test_setup_teardown(test, seats_set_up, seats_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_seats(gives_bytes_by_weight),
        with_seats(counts_bytes_not_requests),
        with_seats(spreads_what_is_in_flight),
        with_seats(goes_round_at_first),
        with_seats(passes_over_the_excluded),
        with_seats(does_not_flood_who_comes_back),
        with_seats(is_moved_once_by_all_processes),
        with_seats(does_not_flood_or_starve_whose_weight_changes),
        with_seats(survives_when_all_weights_change),
        with_seats(does_not_flood_who_is_new_to_a_new_process),
        with_seats(keeps_the_accounts_of_those_who_stay),
    };
    apr_initialize();
    method = &udr_method_bytraffic;
    return cmocka_run_group_tests_name("udr_method_bytraffic", tests, NULL, NULL);
}
