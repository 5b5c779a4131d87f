/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_method.h"

typedef struct state_t {
    _Atomic apr_uint64_t *turn; /* where to begin to look, so that equals take turns */
} state_t;

static apr_status_t create(void **state, _Atomic apr_uint64_t *turn, int members, apr_pool_t *p)
{
    state_t *created = apr_pcalloc(p, sizeof(*created));
    (void)members;
    created->turn = turn;
    *state = created;
    return APR_SUCCESS;
}

static void prepare(void *baton, const udr_seat_t *seats, int count)
{
    (void)baton;
    (void)seats;
    (void)count;
}

/* Who would have the least with this request: (load + 1) / weight. With members of different weights the heaviest idle
 * one is therefore before all others: it is expected to be the fastest. */
static int pick(void *baton, const udr_seat_t *seats, int count, const udr_choice_t *choice)
{
    const state_t *state = baton;
    apr_uint64_t best_load = 0;
    apr_uint64_t best_weight = 0;
    int best = -1;
    if (count == 0) {
        return -1;
    }
    apr_uint64_t turn = atomic_fetch_add_explicit(state->turn, 1, memory_order_relaxed);
    int place = (int)(turn % (apr_uint64_t)count);
    for (int tried = 0; tried < count; tried++) {
        const udr_seat_t *seat = &seats[place];
        apr_uint64_t load = udr_seat_load(seat) + 1;
        /* load / weight < best_load / best_weight */
        if ((best < 0 || load * best_weight < best_load * seat->weight) && !udr_choice_excludes(choice, seat->member)) {
            best = place;
            best_load = load;
            best_weight = seat->weight;
        }
        place = place + 1 == count ? 0 : place + 1;
    }
    return best;
}

const udr_method_t udr_method_bybusyness = {.name = "bybusyness", .create = create, .prepare = prepare, .pick = pick};
