/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_seats.h"

#include "mod_udsroute/udr_latency.h"

#include <apr_general.h>

#include <string.h>

#define SECOND      APR_USEC_PER_SEC
#define MILLISECOND APR_INT64_C(1000)

static void know(int place, apr_interval_time_t latency, apr_uint64_t load)
{
    udr_latency_record(&hot[place], latency, choice.now);
    atomic_store(&hot[place].line, load);
}

/* How often place wins of 100; with two seats both are always compared. */
static int wins_of(int place)
{
    int counts[SEATS_MAX];
    pick_many(100, counts);
    return counts[place];
}

static void picks_the_faster(void **state)
{
    (void)state;
    open_seats(2, NULL);
    know(0, 2000, 0);
    know(1, 1000, 0);
    assert_int_equal(wins_of(1), 100);
}

static void multiplies_by_load_and_divides_by_weight(void **state)
{
    (void)state;
    open_seats(2, NULL);
    know(0, 2000, 0);
    know(1, 1000, 2);
    assert_int_equal(wins_of(0), 100);
    seats[1].weight = 200;
    prepare_seats();
    assert_int_equal(wins_of(1), 100);
}

static void leaves_equals_to_chance(void **state)
{
    (void)state;
    open_seats(2, NULL);
    assert_in_range(wins_of(0), 30, 70);
    know(0, 1000, 3);
    know(1, 1000, 3);
    assert_in_range(wins_of(0), 30, 70);
}

/* Of all pairs: the fastest of four is in half of them. */
static void compares_two_of_many(void **state)
{
    int counts[SEATS_MAX];
    (void)state;
    open_seats(4, NULL);
    for (int i = 0; i < 4; i++) {
        know(i, 1000 + i, 0);
    }
    pick_many(12000, counts);
    assert_in_range(counts[0], 5800, 6200);
    assert_in_range(counts[1], 3800, 4200);
    assert_in_range(counts[2], 1850, 2150);
    assert_int_equal(counts[3], 0);
}

static void passes_over_the_excluded(void **state)
{
    (void)state;
    open_seats(4, NULL);
    for (int i = 0; i < 4; i++) {
        know(i, 1000 * (4 - i), 0);
    }
    exclude_member(3);
    assert_int_equal(wins_of(3), 0);
    exclude_member(2);
    assert_int_equal(wins_of(1), 100);
    exclude_member(1);
    assert_int_equal(wins_of(0), 100);
    exclude_member(0);
    assert_int_equal(pick_seat(), -1);
    open_seats(1, NULL);
    assert_int_equal(pick_seat(), -1);
    open_seats(0, NULL);
    assert_int_equal(pick_seat(), -1);
}

/* --- what is not known --- */

static void tries_the_unknown(void **state)
{
    (void)state;
    open_seats(2, NULL);
    know(0, 50, 0);
    assert_int_equal(wins_of(1), 100);
}

/* Not all who come until its first answer has come: it may hang. */
static void sends_no_crowd_to_the_unknown(void **state)
{
    (void)state;
    open_seats(2, NULL);
    know(0, 1000, 3);
    atomic_store(&hot[1].line, 1);
    assert_int_equal(wins_of(1), 100);
    atomic_store(&hot[1].line, 4);
    assert_int_equal(wins_of(0), 100);
    /* Nothing is known of either. */
    atomic_store(&hot[0].latency, 0);
    assert_int_equal(wins_of(0), 100);
    atomic_store(&hot[1].line, 2);
    assert_int_equal(wins_of(1), 100);
}

/* One that has not answered for long looks faster and faster, and must not be given more and more for that. */
static void sends_no_crowd_to_one_that_hangs(void **state)
{
    (void)state;
    open_seats(2, NULL);
    know(1, 1000, 4);
    choice.now += 60 * SECOND;
    know(0, 1000, 3);
    assert_int_equal(wins_of(0), 100);
    /* But its turn comes when it is idle. */
    atomic_store(&hot[1].line, 0);
    assert_int_equal(wins_of(1), 100);
}

/* --- members of a given speed, clients that ask again as soon as they have their answer --- */

enum { CLIENTS_MAX = 32 };

typedef struct client_t {
    int place;
    apr_time_t since;
    apr_time_t until;
} client_t;

static apr_interval_time_t times[SEATS_MAX]; /* each member's for a request */
static apr_time_t free_at[SEATS_MAX];        /* when a member that serves one at a time is through */
static bool one_at_a_time;
static client_t clients[CLIENTS_MAX];

static void ask(client_t *client)
{
    int place = pick_seat();
    take_seat(place);
    apr_time_t begin = one_at_a_time && free_at[place] > choice.now ? free_at[place] : choice.now;
    free_at[place] = begin + times[place];
    *client = (client_t){.place = place, .since = choice.now, .until = free_at[place]};
}

static client_t *next_answered(int count)
{
    client_t *next = &clients[0];
    for (int i = 1; i < count; i++) {
        if (clients[i].until < next->until) {
            next = &clients[i];
        }
    }
    return next;
}

/* For so long; how many answers each member gave goes to counts. Returns how many there were. */
static int simulate(int client_count, apr_interval_time_t span, int counts[SEATS_MAX])
{
    const apr_time_t end = choice.now + span;
    int answers = 0;
    memset(counts, 0, sizeof(int) * SEATS_MAX);
    for (int i = 0; i < client_count; i++) {
        ask(&clients[i]);
    }
    while (choice.now < end) {
        client_t *client = next_answered(client_count);
        choice.now = client->until;
        release_seat(client->place, 0);
        udr_latency_record(seats[client->place].hot, client->until - client->since, choice.now);
        counts[client->place]++;
        answers++;
        ask(client);
    }
    for (int i = 0; i < client_count; i++) {
        release_seat(clients[i].place, 0);
    }
    return answers;
}

/* The last member takes 20 ms a request, the others 2 ms. */
static void open_with_slow_one(int count, bool one_each)
{
    open_seats(count, NULL);
    one_at_a_time = one_each;
    for (int i = 0; i < count; i++) {
        times[i] = i == count - 1 ? 20 * MILLISECOND : 2 * MILLISECOND;
        free_at[i] = 0;
    }
}

static void gives_less_than_a_fifth_of_its_share_to_a_slow_one(void **state)
{
    static const int sizes[] = {2, 3, 8};
    static const int crowds[] = {1, 4, 32};
    int counts[SEATS_MAX];
    (void)state;
    for (size_t size = 0; size < 3; size++) {
        for (size_t crowd = 0; crowd < 3; crowd++) {
            for (int one_each = 0; one_each < 2; one_each++) {
                int count = sizes[size];
                memset(hot, 0, sizeof(*hot) * SEATS_MAX);
                open_with_slow_one(count, one_each);
                int answers = simulate(crowds[crowd], 60 * SECOND, counts);
                assert_true(answers > 10000);
                assert_true(counts[count - 1] * 5 * count < answers);
                /* The others have the rest in equal shares. */
                for (int i = 0; i < count - 1; i++) {
                    assert_in_range(counts[i] * (count - 1), answers * 9 / 10, answers * 11 / 10);
                }
            }
        }
    }
}

static void returns_to_one_that_has_become_fast(void **state)
{
    static const int sizes[] = {2, 3, 8};
    int counts[SEATS_MAX];
    (void)state;
    for (size_t size = 0; size < 3; size++) {
        for (int crowd = 1; crowd <= 4; crowd += 3) {
            int count = sizes[size];
            memset(hot, 0, sizeof(*hot) * SEATS_MAX);
            open_with_slow_one(count, false);
            int answers = simulate(crowd, 20 * SECOND, counts);
            assert_true(counts[count - 1] * 5 * count < answers);
            times[count - 1] = 2 * MILLISECOND;
            simulate(crowd, 60 * SECOND, counts);
            answers = simulate(crowd, 20 * SECOND, counts);
            assert_in_range(counts[count - 1] * count, answers * 8 / 10, answers * 12 / 10);
        }
    }
}

#define with_seats(test) cmocka_unit_test_setup_teardown(test, seats_set_up, seats_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_seats(picks_the_faster),
        with_seats(multiplies_by_load_and_divides_by_weight),
        with_seats(leaves_equals_to_chance),
        with_seats(compares_two_of_many),
        with_seats(passes_over_the_excluded),
        with_seats(tries_the_unknown),
        with_seats(sends_no_crowd_to_the_unknown),
        with_seats(sends_no_crowd_to_one_that_hangs),
        with_seats(gives_less_than_a_fifth_of_its_share_to_a_slow_one),
        with_seats(returns_to_one_that_has_become_fast),
    };
    apr_initialize();
    method = &udr_method_leasttime;
    return cmocka_run_group_tests_name("udr_method_leasttime", tests, NULL, NULL);
}
