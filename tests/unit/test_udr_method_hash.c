/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_seats.h"

#include "mod_udsroute/udr_hash.h"
#include "mod_udsroute/udr_random.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <stdio.h>
#include <string.h>

enum { KEYS = 10000 };

static int homes[KEYS]; /* the member of each key, as noted */

/* Keys as they come: client addresses, and paths. */
static void set_key(int number)
{
    static char key[64];
    int len = number % 2 ? snprintf(key, sizeof(key), "10.%d.%d.%d", number >> 16, number >> 8 & 255, number & 255)
                         : snprintf(key, sizeof(key), "/catalogue/%d/pictures?size=%d", number / 4, number & 2);
    choice.key = key;
    choice.key_len = (apr_size_t)len;
}

static int member_of(int number)
{
    set_key(number);
    int place = pick_seat();
    return place < 0 ? -1 : seats[place].member;
}

static void note_homes(void)
{
    for (int i = 0; i < KEYS; i++) {
        homes[i] = member_of(i);
        assert_in_range(homes[i], 0, SEATS_MAX - 1);
    }
}

/* Members by their sockets' names, in folder number `set`. */
static void open_named(int set, int count, const apr_uint32_t *weights)
{
    open_seats(count, weights);
    for (int i = 0; i < count; i++) {
        char name[64];
        int len = snprintf(name, sizeof(name), "unix:/run/%d/app-%d.sock|http://localhost", set, i);
        seats[i].identity = udr_hash_bytes(name, (apr_size_t)len);
    }
}

static void remove_seat(int place)
{
    memmove(&seats[place], &seats[place + 1], sizeof(*seats) * (size_t)(--seat_count - place));
    prepare_seats();
}

static const apr_uint32_t *one_two_five(void)
{
    static apr_uint32_t weights[SEATS_MAX];
    for (int i = 0; i < SEATS_MAX; i++) {
        weights[i] = (apr_uint32_t[]){100, 200, 500}[i % 3];
    }
    return weights;
}

/* --- the same key, the same member --- */

static void is_the_same_in_every_process(void **state)
{
    (void)state;
    open_named(1, 10, one_two_five());
    note_homes();
    method_state = other_process();
    random_numbers = 99;
    choice.now += 12345;
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(member_of(i), homes[i]);
    }
}

static void is_the_same_in_any_order_of_configuration(void **state)
{
    (void)state;
    open_named(1, 10, one_two_five());
    note_homes();
    for (int i = 0; i < 5; i++) {
        udr_seat_t seat = seats[i];
        seats[i] = seats[9 - i];
        seats[9 - i] = seat;
    }
    prepare_seats();
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(member_of(i), homes[i]);
    }
}

/* --- shares --- */

static void check_shares(int set, int count, const apr_uint32_t *weights, int keys)
{
    static int counts[SEATS_MAX];
    memset(counts, 0, sizeof(counts));
    open_named(set, count, weights);
    for (int i = 0; i < keys; i++) {
        counts[member_of(i + set)]++;
    }
    for (int i = 0; i < count; i++) {
        assert_true(is_share(counts[i], keys, i, 25));
    }
}

static void keeps_shares_of_ten_members(void **state)
{
    (void)state;
    for (int set = 0; set < 20; set++) {
        check_shares(set, 10, NULL, KEYS);
        check_shares(set, 10, one_two_five(), KEYS);
    }
}

/* Of 10,000 keys each would have 39, give or take 6 by mere chance: more keys show the method's part. */
static void keeps_shares_of_256_members(void **state)
{
    (void)state;
    for (int set = 0; set < 4; set++) {
        check_shares(set, 256, NULL, 20 * KEYS);
        check_shares(set, 256, one_two_five(), 40 * KEYS);
    }
}

/* --- change --- */

static void moves_only_the_keys_of_who_goes(void **state)
{
    (void)state;
    for (int set = 0; set < 10; set++) {
        int moved = 0;
        open_named(set, 10, NULL);
        note_homes();
        remove_seat(set);
        for (int i = 0; i < KEYS; i++) {
            int now_at = member_of(i);
            moved += now_at != homes[i];
            assert_true(now_at == homes[i] || homes[i] == set);
        }
        assert_in_range(moved, KEYS * 8 / 100, KEYS * 12 / 100);
    }
}

/* And they go to all others, not to a neighbour. */
static void spreads_the_keys_of_who_goes(void **state)
{
    int counts[10] = {0};
    int all = 0;
    (void)state;
    open_named(3, 10, NULL);
    note_homes();
    remove_seat(4);
    for (int i = 0; i < KEYS; i++) {
        if (homes[i] == 4) {
            counts[member_of(i)]++;
            all++;
        }
    }
    for (int i = 0; i < 10; i++) {
        assert_true(i == 4 ? counts[i] == 0 : counts[i] * 9 > all / 2);
    }
}

/* At each step of a slow start keys come to the member that grows, and nothing else moves. */
static void moves_keys_only_to_who_gains_weight(void **state)
{
    int gained = 0;
    (void)state;
    open_named(5, 10, NULL);
    note_homes();
    seats[7].weight = 200;
    prepare_seats();
    for (int i = 0; i < KEYS; i++) {
        int now_at = member_of(i);
        assert_true(now_at == homes[i] || now_at == 7);
        gained += now_at != homes[i];
    }
    assert_in_range(gained, KEYS * 7 / 100, KEYS * 10 / 100);
}

/* --- bounded load --- */

static void hands_over_from_the_overloaded(void **state)
{
    (void)state;
    open_named(1, 10, NULL);
    set_key(1);
    int home = pick_seat();
    /* All have 8 but it: 1.25 × (8 × 9 + busy + 1) / 10, rounded up, is 11 for 10 and 12 for 11. */
    for (int i = 0; i < 10; i++) {
        atomic_store(&hot[i].line, 8);
    }
    atomic_store(&hot[home].line, 10);
    assert_int_equal(pick_seat(), home);
    atomic_store(&hot[home].line, 11);
    int second = pick_seat();
    assert_int_not_equal(second, home);
    /* It is the same as when its home is gone, and back it goes when there is room. */
    exclude_member(home);
    assert_int_equal(pick_seat(), second);
    exclude_nobody();
    atomic_store(&hot[home].line, 10);
    assert_int_equal(pick_seat(), home);
}

static void counts_the_bound_by_weight(void **state)
{
    (void)state;
    open_named(1, 2, (apr_uint32_t[]){100, 400});
    for (int i = 0; i < 100; i++) {
        set_key(0);
        take_seat(pick_seat());
    }
    /* 1.25 × 100 × 4/5 is all of them; 1.25 × 100 / 5 is 25. */
    apr_uint64_t light = atomic_load(&hot[0].line);
    assert_true(light == 0 || light == 25);
    memset(hot, 0, sizeof(*hot) * 2);
    for (int key = 0; key < 100; key++) {
        set_key(key);
        if (pick_seat() == 0) {
            break;
        }
    }
    for (int i = 0; i < 100; i++) {
        take_seat(pick_seat());
    }
    assert_int_equal(atomic_load(&hot[0].line), 25);
}

/* A hundred in flight, half of them for one key that everybody wants. */
static void never_exceeds_the_bound(void **state)
{
    int with[100];
    (void)state;
    open_named(2, 10, NULL);
    for (int i = 0; i < 100; i++) {
        with[i] = -1;
    }
    for (int i = 0; i < KEYS; i++) {
        int slot = i % 100;
        if (with[slot] >= 0) {
            release_seat(with[slot], 0);
        }
        set_key(i % 2 ? 1 : i);
        take_seat(with[slot] = pick_seat());
        /* ceil(1.25 × 100 / 10) */
        assert_true(atomic_load(&hot[with[slot]].line) <= 13);
    }
}

/* The bound of a request alone is one for each: nobody is passed over who is idle. */
static void stays_at_home_when_all_are_idle_or_few_are_busy(void **state)
{
    (void)state;
    open_named(4, 256, NULL);
    note_homes();
    for (int i = 0; i < 200; i++) {
        set_key(i);
        int place = pick_seat();
        assert_int_equal(seats[place].member, homes[i]);
        take_seat(place);
        assert_int_equal(pick_seat() == place, false); /* 1 + 1 > ceil(1.25 × 2 / 256) */
        release_seat(place, 0);
    }
}

/* --- who may not be picked --- */

static void takes_the_second_choice_for_the_excluded(void **state)
{
    (void)state;
    open_named(6, 4, NULL);
    for (int i = 0; i < 100; i++) {
        bool seen[4] = {false};
        exclude_nobody();
        for (int attempt = 0; attempt < 4; attempt++) {
            int member = member_of(i);
            assert_in_range(member, 0, 3);
            assert_false(seen[member]);
            seen[member] = true;
            exclude_member(member);
        }
        assert_int_equal(member_of(i), -1);
    }
}

static void takes_an_overloaded_one_when_all_others_are_excluded(void **state)
{
    (void)state;
    open_named(6, 4, NULL);
    atomic_store(&hot[2].line, 50);
    exclude_member(0);
    exclude_member(1);
    exclude_member(3);
    assert_int_equal(member_of(1), 2);
}

static void picks_nobody_where_nobody_is(void **state)
{
    (void)state;
    open_named(1, 0, NULL);
    assert_int_equal(member_of(1), -1);
}

/* --- no key --- */

static void spreads_requests_without_a_key(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_named(1, 9, one_two_five());
    choice.key = NULL;
    choice.key_len = 0;
    pick_many(KEYS, counts);
    for (int i = 0; i < 9; i++) {
        assert_true(is_share(counts[i], KEYS, i, 25));
    }
}

#define with_seats(test) cmocka_unit_test_setup_teardown(test, seats_set_up, seats_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_seats(is_the_same_in_every_process),
        with_seats(is_the_same_in_any_order_of_configuration),
        with_seats(keeps_shares_of_ten_members),
        with_seats(keeps_shares_of_256_members),
        with_seats(moves_only_the_keys_of_who_goes),
        with_seats(spreads_the_keys_of_who_goes),
        with_seats(moves_keys_only_to_who_gains_weight),
        with_seats(hands_over_from_the_overloaded),
        with_seats(counts_the_bound_by_weight),
        with_seats(never_exceeds_the_bound),
        with_seats(stays_at_home_when_all_are_idle_or_few_are_busy),
        with_seats(takes_the_second_choice_for_the_excluded),
        with_seats(takes_an_overloaded_one_when_all_others_are_excluded),
        with_seats(picks_nobody_where_nobody_is),
        with_seats(spreads_requests_without_a_key),
    };
    apr_initialize();
    method = &udr_method_hash;
    return cmocka_run_group_tests_name("udr_method_hash", tests, NULL, NULL);
}
