/* SPDX-License-Identifier: Apache-2.0 */
/* Rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998), weighted, with
 * bounded loads (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016).
 *
 * For each key every member draws a lot that depends on key and member alone, and the lowest has it. So a member that
 * goes leaves its keys to their second choices, and no other key moves; one whose weight changes gains or loses keys
 * and no others do; shares are exact. A ring of points would look up faster, but to come within 1.25 times the share it
 * needs 400 points for each unit of weight: 270,000 for 256 members of 1:2:5, 4 MB in each process and 35 ms to sort
 * anew at each step of a slow start. */
#include "mod_udsroute/udr_method.h"

#include "mod_udsroute/udr_hash.h"
#include "mod_udsroute/udr_random.h"

#include <math.h>

typedef struct state_t {
    apr_uint64_t *scales; /* of each seat: (2^32 - 1) / weight */
    apr_uint64_t weight;  /* of all seats */
} state_t;

static apr_status_t create(void **state, _Atomic apr_uint64_t *turn, int members, apr_pool_t *p)
{
    state_t *created = apr_pcalloc(p, sizeof(*created));
    (void)turn;
    created->scales = apr_pcalloc(p, (apr_size_t)members * sizeof(*created->scales));
    *state = created;
    return APR_SUCCESS;
}

static void prepare(void *baton, const udr_seat_t *seats, int count)
{
    state_t *state = baton;
    state->weight = 0;
    for (int i = 0; i < count; i++) {
        state->scales[i] = APR_UINT32_MAX / seats[i].weight;
        state->weight += seats[i].weight;
    }
}

/* What all seats have to do with. */
static apr_uint64_t load_of_all(const udr_seat_t *seats, int count)
{
    apr_uint64_t load = 0;
    for (int i = 0; i < count; i++) {
        load += udr_seat_load(&seats[i]);
    }
    return load;
}

/* With this request it would have more than 1.25 times its share of all, rounded up:
 * load + 1 > ceil(5/4 × (all + 1) × weight / weight of all), in whole numbers. It cannot be true of every seat. */
static bool is_overloaded(const state_t *state, const udr_seat_t *seat, apr_uint64_t all)
{
    return udr_seat_load(seat) * 4 * state->weight >= 5 * (all + 1) * seat->weight;
}

/* The lowest lot. Lots are -ln(1 - u) / weight with u from [0, 1): exponentially distributed, so that each seat has the
 * lowest as often as its weight says. As u is never more than -ln(1 - u), the logarithm is needed only where u / weight
 * (in whole numbers, times 2^64) is not above the lowest lot so far: six times of 256.
 *
 * all: requests of all seats, to pass over those who have too many; NULL: nobody is passed over. */
static int draw(const state_t *state, const udr_seat_t *seats, int count, const udr_choice_t *choice, apr_uint64_t key,
                const apr_uint64_t *all)
{
    apr_uint64_t bound = APR_UINT64_MAX; /* the lowest lot times 2^64, or the most there can be */
    double lowest = INFINITY;
    int best = -1;
    for (int i = 0; i < count; i++) {
        apr_uint64_t bits = udr_hash_mix(key ^ seats[i].identity);
        if ((bits >> 32) * state->scales[i] > bound || udr_choice_excludes(choice, seats[i].member) ||
            (all && is_overloaded(state, &seats[i], *all))) {
            continue;
        }
        double u = (double)(bits >> 11) * 0x1p-53;
        double lot = -log(1 - u) / seats[i].weight;
        if (lot < lowest) {
            lowest = lot;
            bound = lot < 1 ? (apr_uint64_t)(lot * 0x1p64) : APR_UINT64_MAX;
            best = i;
        }
    }
    return best;
}

static int pick(void *baton, const udr_seat_t *seats, int count, const udr_choice_t *choice)
{
    const state_t *state = baton;
    apr_uint64_t key = choice->key_len ? udr_hash_bytes(choice->key, choice->key_len) : udr_random_next(choice->random);
    apr_uint64_t all = load_of_all(seats, count);
    int best = draw(state, seats, count, choice, key, &all);

    /* All that are left may have too much: better that than nobody. */
    return best < 0 ? draw(state, seats, count, choice, key, NULL) : best;
}

const udr_method_t udr_method_hash = {
    .name = "hash", .takes_key = true, .create = create, .prepare = prepare, .pick = pick};
