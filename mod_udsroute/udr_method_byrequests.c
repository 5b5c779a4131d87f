/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_method.h"

#include "mod_udsroute/udr_wheel.h"

typedef struct state_t {
    _Atomic apr_uint64_t *turn;
    apr_pool_t *pool; /* of the wheel alone: cleared each time it is built */
    udr_wheel_t wheel;
} state_t;

static apr_status_t create(void **state, _Atomic apr_uint64_t *turn, int members, apr_pool_t *p)
{
    state_t *created = apr_pcalloc(p, sizeof(*created));
    (void)members;
    created->turn = turn;
    apr_status_t rv = apr_pool_create(&created->pool, p);
    if (rv == APR_SUCCESS) {
        *state = created;
    }
    return rv;
}

static void prepare(void *baton, const udr_seat_t *seats, int count)
{
    state_t *state = baton;
    apr_pool_clear(state->pool);
    apr_uint32_t *weights = apr_palloc(state->pool, (apr_size_t)count * sizeof(*weights));
    for (int i = 0; i < count; i++) {
        weights[i] = seats[i].weight;
    }
    udr_wheel_build(&state->wheel, weights, count, state->pool);
}

/* The processes share the turns: each turn is taken once, by whoever comes, so that all together go round the wheel as
 * one would. A request that comes again looks on from where they are and takes none: those of requests that go from
 * member to member would be missing to the others, always the same ones where failures come in a rhythm. */
static int pick(void *baton, const udr_seat_t *seats, int count, const udr_choice_t *choice)
{
    const state_t *state = baton;
    const udr_wheel_t *wheel = &state->wheel;
    if (count == 0) {
        return -1;
    }
    apr_uint64_t turn = atomic_fetch_add_explicit(state->turn, !choice->is_again, memory_order_relaxed);
    apr_uint32_t entry = (apr_uint32_t)(turn % wheel->period);
    for (apr_uint32_t tried = 0; tried < wheel->period; tried++) {
        apr_uint32_t place = wheel->entries[entry];
        if (!udr_choice_excludes(choice, seats[place].member)) {
            return (int)place;
        }
        entry = entry + 1 == wheel->period ? 0 : entry + 1;
    }
    return -1;
}

const udr_method_t udr_method_byrequests = {.name = "byrequests", .create = create, .prepare = prepare, .pick = pick};
