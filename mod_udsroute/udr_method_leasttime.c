/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_method.h"

#include "mod_udsroute/udr_latency.h"
#include "mod_udsroute/udr_random.h"

/* One of the two who are compared. */
typedef struct candidate_t {
    double load; /* requests */
    double weight;
    double latency; /* us */
    bool fresh;     /* the latency is */
} candidate_t;

static apr_status_t create(void **state, _Atomic apr_uint64_t *turn, int members, apr_pool_t *p)
{
    (void)turn;
    (void)members;
    (void)p;
    *state = NULL;
    return APR_SUCCESS;
}

static void prepare(void *baton, const udr_seat_t *seats, int count)
{
    (void)baton;
    (void)seats;
    (void)count;
}

/* The first from start on, round the circle, that is neither excluded nor `other`; -1: there is none. */
static int find(const udr_seat_t *seats, int count, const udr_choice_t *choice, int start, int other)
{
    for (int tried = 0; tried < count; tried++) {
        int place = (start + tried) % count;
        if (place != other && !udr_choice_excludes(choice, seats[place].member)) {
            return place;
        }
    }
    return -1;
}

static candidate_t look_at(const udr_seat_t *seat, apr_time_t now)
{
    return (candidate_t){.load = (double)(apr_int64_t)udr_seat_load(seat),
                         .weight = seat->weight,
                         .latency = udr_latency_read(seat->hot, now),
                         .fresh = udr_latency_is_fresh(seat->hot, now)};
}

/* How long this request would take, in proportion. A latency that is unknown or has faded earns a member the next
 * request, which will tell, but not a crowd: while it is busy with that it counts as no faster than the other. (It may
 * hang, and would be given more the longer it does.) */
static double cost(const candidate_t *candidate, const candidate_t *other)
{
    double latency = candidate->latency;
    if (!candidate->fresh && candidate->load > 0) {
        double least = other->latency > 1 ? other->latency : 1;
        latency = latency < least ? least : latency;
    }
    return latency * (candidate->load + 1) / candidate->weight;
}

/* Two at random rather than the best of all: the best of all would be everybody's choice until its latency shows it,
 * and then nobody's. (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.) */
static int pick(void *baton, const udr_seat_t *seats, int count, const udr_choice_t *choice)
{
    (void)baton;
    if (count == 0) {
        return -1;
    }
    int first = find(seats, count, choice, udr_random_below(choice->random, count), -1);
    if (first < 0 || count == 1) {
        return first;
    }
    int apart = 1 + udr_random_below(choice->random, count - 1);
    int second = find(seats, count, choice, first + apart, first);
    if (second < 0) {
        return first;
    }
    const candidate_t one = look_at(&seats[first], choice->now);
    const candidate_t two = look_at(&seats[second], choice->now);
    return cost(&two, &one) < cost(&one, &two) ? second : first;
}

const udr_method_t udr_method_leasttime = {.name = "leasttime", .create = create, .prepare = prepare, .pick = pick};
