/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_method.h"

#include <math.h>

typedef struct state_t {
    _Atomic apr_uint64_t *turn; /* where to begin to look, so that equals take turns */
    int members;
    apr_uint32_t *weights; /* of each member when it was prepared last; 0: it was not open */
    double *scales;        /* of each seat: 1 / weight */
    apr_int64_t mean;      /* what a request moves, bytes; as of the last pick */
} state_t;

/* Levels of traffic: bytes by weight. */
typedef struct span_t {
    double lowest;
    double highest;
} span_t;

static apr_status_t create(void **state, _Atomic apr_uint64_t *turn, int members, apr_pool_t *p)
{
    state_t *created = apr_pcalloc(p, sizeof(*created));
    created->turn = turn;
    created->members = members;
    created->weights = apr_pcalloc(p, (apr_size_t)members * sizeof(*created->weights));
    created->scales = apr_pcalloc(p, (apr_size_t)members * sizeof(*created->scales));
    *state = created;
    return APR_SUCCESS;
}

/* Bytes above the base, which may lie below 0: the difference counts. */
static apr_int64_t traffic_of(const udr_seat_t *seat)
{
    return (apr_int64_t)(atomic_load_explicit(&seat->hot->traffic, memory_order_relaxed) -
                         atomic_load_explicit(&seat->hot->traffic_base, memory_order_relaxed));
}

/* Was open with the same weight before: its level says what it got in comparison with others. */
static bool has_stayed(const state_t *state, const udr_seat_t *seat)
{
    return state->weights[seat->member] == seat->weight;
}

static double level_of(const udr_seat_t *seat)
{
    return (double)traffic_of(seat) / seat->weight;
}

/* Between which levels those are that have stayed. If nobody has, all are to be level. */
static span_t find_span(const state_t *state, const udr_seat_t *seats, int count)
{
    span_t span = {0, 0};
    double traffic = 0;
    double weight = 0;
    bool found = false;
    for (int i = 0; i < count; i++) {
        double level = level_of(&seats[i]);
        if (has_stayed(state, &seats[i])) {
            span.lowest = !found || level < span.lowest ? level : span.lowest;
            span.highest = !found || level > span.highest ? level : span.highest;
            found = true;
        }
        traffic += (double)traffic_of(&seats[i]);
        weight += seats[i].weight;
    }
    return found || count == 0 ? span : (span_t){traffic / weight, traffic / weight};
}

/* Sets the base such that the level is within the span. */
static void move_into(const span_t *span, const udr_seat_t *seat)
{
    double level = level_of(seat);
    if (level < span->lowest || level > span->highest) {
        double target = (level < span->lowest ? span->lowest : span->highest) * seat->weight;
        apr_uint64_t traffic = atomic_load_explicit(&seat->hot->traffic, memory_order_relaxed);
        atomic_store_explicit(&seat->hot->traffic_base, traffic - (apr_uint64_t)(apr_int64_t)target,
                              memory_order_relaxed);
    }
}

/* Who comes (back), or has another weight than before (slow start gives it one ten times a second), is put where the
 * others are: far below them it would get everything until it has caught up, far above nothing until they have. Each
 * process does so when it learns of the change. That does no harm: what the first has moved the others find in its
 * place. A process that has just started knows nobody and makes all level once, which forgives small differences. */
static void prepare(void *baton, const udr_seat_t *seats, int count)
{
    state_t *state = baton;
    const span_t span = find_span(state, seats, count);
    for (int i = 0; i < count; i++) {
        if (!has_stayed(state, &seats[i])) {
            move_into(&span, &seats[i]);
        }
    }
    for (int i = 0; i < state->members; i++) {
        state->weights[i] = 0;
    }
    for (int i = 0; i < count; i++) {
        state->weights[seats[i].member] = seats[i].weight;
        state->scales[i] = 1.0 / seats[i].weight;
    }
}

/* Requests in flight count as what a request moves on average: their bytes are known only later, and until then all who
 * come at the same moment would go to the same member. */
static int pick(void *baton, const udr_seat_t *seats, int count, const udr_choice_t *choice)
{
    state_t *state = baton;
    apr_uint64_t traffic = 0, elected = 0;
    double lowest = INFINITY;
    int best = -1;
    if (count == 0) {
        return -1;
    }
    apr_uint64_t turn = atomic_fetch_add_explicit(state->turn, 1, memory_order_relaxed);
    int place = (int)(turn % (apr_uint64_t)count);
    for (int tried = 0; tried < count; tried++) {
        const udr_seat_t *seat = &seats[place];
        apr_int64_t expected = traffic_of(seat) + (apr_int64_t)udr_seat_load(seat) * state->mean;
        double level = (double)expected * state->scales[place];
        traffic += atomic_load_explicit(&seat->hot->traffic, memory_order_relaxed);
        elected += atomic_load_explicit(&seat->hot->elected, memory_order_relaxed);
        if (level < lowest && !udr_choice_excludes(choice, seat->member)) {
            lowest = level;
            best = place;
        }
        place = place + 1 == count ? 0 : place + 1;
    }
    state->mean = elected ? (apr_int64_t)(traffic / elected) : 0;
    return best;
}

const udr_method_t udr_method_bytraffic = {.name = "bytraffic", .create = create, .prepare = prepare, .pick = pick};
