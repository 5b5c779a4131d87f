/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_seats.h"

#include "mod_udsroute/udr_hash.h"

#include <apr_general.h>

#include <math.h>
#include <string.h>
#include <sys/mman.h>

apr_pool_t *pool;
udr_seat_t seats[SEATS_MAX];
int seat_count;
udr_hot_t *hot;
_Atomic apr_uint64_t *turn;
const udr_method_t *method;
void *method_state;
udr_choice_t choice;
apr_uint64_t random_numbers;

static apr_uint64_t excluded[SEATS_MAX / 64];
static const size_t shared_size = sizeof(udr_hot_t) * (SEATS_MAX + 1);

int seats_set_up(void **state)
{
    (void)state;
    hot = mmap(NULL, shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (hot == MAP_FAILED || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return -1;
    }
    turn = &hot[SEATS_MAX].line;
    random_numbers = 4711;
    choice = (udr_choice_t){.random = &random_numbers, .now = apr_time_from_sec(1000)};
    exclude_nobody();
    return 0;
}

int seats_tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return munmap(hot, shared_size);
}

void *other_process(void)
{
    void *other = NULL;
    assert_int_equal(method->create(&other, turn, SEATS_MAX, pool), APR_SUCCESS);
    method->prepare(other, seats, seat_count);
    return other;
}

void prepare_seats(void)
{
    method->prepare(method_state, seats, seat_count);
}

void open_seats(int count, const apr_uint32_t *weights)
{
    seat_count = count;
    for (int i = 0; i < count; i++) {
        seats[i] = (udr_seat_t){.hot = &hot[i],
                                .identity = udr_hash_mix((apr_uint64_t)i + 1),
                                .member = i,
                                .weight = weights ? weights[i] : 100};
    }
    method_state = other_process();
}

int pick_seat(void)
{
    return method->pick(method_state, seats, seat_count, &choice);
}

void pick_many(int count, int counts[SEATS_MAX])
{
    memset(counts, 0, sizeof(int) * SEATS_MAX);
    for (int i = 0; i < count; i++) {
        int place = pick_seat();
        assert_in_range(place, 0, seat_count - 1);
        counts[place]++;
    }
}

void take_seat(int place)
{
    assert_in_range(place, 0, seat_count - 1);
    atomic_fetch_add(&seats[place].hot->line, 1);
    atomic_fetch_add(&seats[place].hot->elected, 1);
}

void release_seat(int place, apr_uint64_t bytes)
{
    atomic_fetch_sub(&seats[place].hot->line, 1);
    atomic_fetch_add(&seats[place].hot->traffic, bytes);
}

void exclude_member(int member)
{
    excluded[member / 64] |= (apr_uint64_t)1 << (member % 64);
    choice.excluded = excluded;
    choice.excluded_words = SEATS_MAX / 64;
}

void exclude_nobody(void)
{
    memset(excluded, 0, sizeof(excluded));
    choice.excluded = NULL;
    choice.excluded_words = 0;
}

bool is_share(int count, int total, int place, double percent)
{
    double all = 0;
    for (int i = 0; i < seat_count; i++) {
        all += seats[i].weight;
    }
    double due = (double)total * seats[place].weight / all;
    return fabs(count - due) <= due * percent / 100;
}
