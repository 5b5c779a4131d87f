/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_seats.h"

#include "mod_udsroute/udr_random.h"

#include <apr_general.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const apr_uint32_t one_two_five[] = {100, 200, 500};

static const char *next_picks(int count)
{
    static char text[64];
    for (int i = 0; i < count; i++) {
        int place = pick_seat();
        text[i] = (char)(place < 0 ? '-' : 'A' + place);
    }
    text[count] = '\0';
    return text;
}

static void goes_round_equals(void **state)
{
    (void)state;
    open_seats(3, NULL);
    assert_string_equal(next_picks(9), "ABCABCABC");
}

static void interleaves_by_weight(void **state)
{
    (void)state;
    open_seats(3, (apr_uint32_t[]){500, 100, 100});
    assert_string_equal(next_picks(14), "AABACAAAABACAA");
}

static void picks_nobody_where_nobody_is(void **state)
{
    (void)state;
    open_seats(0, NULL);
    assert_int_equal(pick_seat(), -1);
    open_seats(1, NULL);
    assert_int_equal(pick_seat(), 0);
}

/* --- distribution --- */

static void keeps_to_the_weights(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(3, one_two_five);
    pick_many(10000, counts);
    for (int i = 0; i < 3; i++) {
        assert_true(is_share(counts[i], 10000, i, 1));
    }
}

/* 32 clients whose requests end in any order; now and then one comes again, as its member has failed. */
static void keeps_to_the_weights_with_many_clients(void **state)
{
    int with[32];
    int counts[3] = {0};
    (void)state;
    open_seats(3, one_two_five);
    for (int i = 0; i < 32; i++) {
        with[i] = -1;
    }
    for (int requests = 0; requests < 10000; requests++) {
        int client = udr_random_below(&random_numbers, 32);
        if (with[client] >= 0) {
            release_seat(with[client], 100);
        }
        with[client] = pick_seat();
        if (requests % 500 == 499) {
            exclude_member(with[client]);
            with[client] = pick_seat();
            exclude_nobody();
        }
        take_seat(with[client]);
        counts[with[client]]++;
    }
    for (int i = 0; i < 3; i++) {
        assert_true(is_share(counts[i], 10000, i, 1));
    }
}

enum { PROCESSES = 4, PICKS = 100000 };

static _Atomic apr_uint64_t *ready; /* how many processes are; in memory of a member that nobody picks */

static void pick_as_a_process(void)
{
    open_seats(3, one_two_five);
    atomic_fetch_add(ready, 1);
    while (atomic_load(ready) < PROCESSES) {
        usleep(10);
    }
    for (int i = 0; i < PICKS; i++) {
        int place = pick_seat();
        take_seat(place);
        release_seat(place, 0);
    }
    _exit(0);
}

/* Not within 1 %, but exact: whoever picks, each turn is taken once. */
static void is_exact_over_processes(void **state)
{
    pid_t children[PROCESSES];
    (void)state;
    ready = &hot[SEATS_MAX - 1].traffic;
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            pick_as_a_process();
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(atomic_load(turn), PROCESSES * PICKS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(atomic_load(&hot[i].elected), one_two_five[i] * (PROCESSES * PICKS / 800));
    }
}

/* --- who may not be picked --- */

static void passes_over_the_excluded(void **state)
{
    (void)state;
    open_seats(3, (apr_uint32_t[]){500, 100, 100});
    exclude_member(0);
    assert_string_equal(next_picks(7), "BBBCCBB");
    exclude_member(1);
    assert_string_equal(next_picks(3), "CCC");
    exclude_member(2);
    assert_string_equal(next_picks(2), "--");
    exclude_nobody();
    assert_int_equal(atomic_load(turn), 12);
    assert_string_equal(next_picks(2), "AA");
}

static void takes_no_turn_for_who_comes_again(void **state)
{
    (void)state;
    open_seats(3, (apr_uint32_t[]){100, 100, 100});
    assert_string_equal(next_picks(1), "A");
    exclude_member(0);
    choice.is_again = true;
    assert_string_equal(next_picks(2), "BB");
    choice.is_again = false;
    exclude_nobody();
    assert_string_equal(next_picks(3), "BCA");
}

/* Members of the balancer whose seats are not open: places and indexes differ. */
static void excludes_by_member_not_by_place(void **state)
{
    (void)state;
    open_seats(2, NULL);
    seats[0].member = 70;
    seats[1].member = 3;
    prepare_seats();
    exclude_member(70);
    assert_string_equal(next_picks(3), "BBB");
}

/* --- change --- */

static void goes_by_the_seats_as_they_are(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(3, NULL);
    pick_many(1, counts);
    seats[0].weight = 300;
    prepare_seats();
    pick_many(500, counts);
    assert_int_equal(counts[0], 300);
    assert_int_equal(counts[1], 100);
    seat_count = 2;
    prepare_seats();
    pick_many(400, counts);
    assert_int_equal(counts[0], 300);
    assert_int_equal(counts[1], 100);
    seat_count = 0;
    prepare_seats();
    assert_int_equal(pick_seat(), -1);
}

static long resident_kib(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* A slow start prepares ten times a second. 64 KiB each would come to 125 MiB. */
static void takes_no_more_memory_each_time(void **state)
{
    (void)state;
    open_seats(2, (apr_uint32_t[]){8191, 8192});
    prepare_seats();
    long before = resident_kib();
    for (int i = 0; i < 2000; i++) {
        prepare_seats();
    }
    assert_true(resident_kib() - before < 16 * 1024);
}

#define with_seats(test) cmocka_unit_test_setup_teardown(test, seats_set_up, seats_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_seats(goes_round_equals),
        with_seats(interleaves_by_weight),
        with_seats(picks_nobody_where_nobody_is),
        with_seats(keeps_to_the_weights),
        with_seats(keeps_to_the_weights_with_many_clients),
        with_seats(is_exact_over_processes),
        with_seats(passes_over_the_excluded),
        with_seats(takes_no_turn_for_who_comes_again),
        with_seats(excludes_by_member_not_by_place),
        with_seats(goes_by_the_seats_as_they_are),
        with_seats(takes_no_more_memory_each_time),
    };
    apr_initialize();
    method = &udr_method_byrequests;
    return cmocka_run_group_tests_name("udr_method_byrequests", tests, NULL, NULL);
}
