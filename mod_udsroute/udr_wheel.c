/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_wheel.h"

#include <stdlib.h>

/* Smooth weighted round robin: each turn adds its weight to each member's account, the highest account (the first of
 * those) has the turn and pays the sum of all weights. Accounts are back at 0 after one period.
 *
 * Members of the same weight earn the same, so among them the one that has paid less often is ahead, and of those the
 * first: they take the turns of their group in a circle. So it is enough to look at each group's head. */
typedef struct group_t {
    apr_uint32_t first; /* places in members[]; the group ends before last */
    apr_uint32_t last;
    apr_uint32_t head;
} group_t;

/* An account and who breaks ties, in one number that compares as both: the account in the upper half, in the lower the
 * distance of the head's index from the highest there can be. */
#define ACCOUNT(amount) ((apr_int64_t)(amount) * ((apr_int64_t)1 << 32))
#define RANK(index)     ((apr_int64_t)(APR_UINT32_MAX - (index)))

typedef struct builder_t {
    apr_uint32_t *members; /* indexes, by share and then by index */
    apr_uint32_t *group_of;
    group_t *groups;
    apr_int64_t *heads; /* of each group: ACCOUNT + RANK of its head */
    apr_int64_t *wages; /* of each group: ACCOUNT of what each turn adds */
    apr_uint32_t group_count;
    apr_uint32_t period;
} builder_t;

static apr_uint64_t greatest_divisor(apr_uint64_t a, apr_uint64_t b)
{
    while (b) {
        apr_uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Divides the shares by what they have in common. Returns their sum. */
static apr_uint64_t reduce(apr_uint64_t *shares, int count)
{
    apr_uint64_t divisor = 0;
    apr_uint64_t sum = 0;
    for (int i = 0; i < count; i++) {
        divisor = greatest_divisor(shares[i], divisor);
    }
    for (int i = 0; i < count; i++) {
        shares[i] /= divisor;
        sum += shares[i];
    }
    return sum;
}

/* How many turns of a period each has. Returns how many they are together. */
static apr_uint32_t share_out(apr_uint64_t *shares, const apr_uint32_t *weights, int count)
{
    for (int i = 0; i < count; i++) {
        shares[i] = weights[i];
    }
    apr_uint64_t sum = reduce(shares, count);
    if (sum > UDR_WHEEL_LIMIT) {
        /* Rounding up adds less than one to each. */
        apr_uint64_t room = count < UDR_WHEEL_LIMIT ? (apr_uint64_t)(UDR_WHEEL_LIMIT - count) : 0;
        for (int i = 0; i < count; i++) {
            apr_uint64_t share = (shares[i] * room + sum / 2) / sum;
            shares[i] = share ? share : 1;
        }
        sum = reduce(shares, count);
    }
    return (apr_uint32_t)sum;
}

static int compare(const void *a, const void *b)
{
    apr_uint64_t left = *(const apr_uint64_t *)a;
    apr_uint64_t right = *(const apr_uint64_t *)b;
    return (left > right) - (left < right);
}

/* Sorts the members into groups of the same share. shares is scratch afterwards. */
static void make_groups(builder_t *builder, apr_uint64_t *shares, apr_uint32_t count)
{
    for (apr_uint32_t i = 0; i < count; i++) {
        shares[i] = shares[i] << 32 | i;
    }
    qsort(shares, count, sizeof(*shares), compare);
    for (apr_uint32_t place = 0; place < count; place++) {
        apr_uint32_t index = (apr_uint32_t)shares[place];
        apr_uint64_t share = shares[place] >> 32;
        if (place == 0 || share != shares[place - 1] >> 32) {
            apr_uint32_t group = builder->group_count++;
            builder->groups[group].first = builder->groups[group].head = place;
            builder->heads[group] = RANK(index);
            builder->wages[group] = ACCOUNT(share);
        }
        builder->groups[builder->group_count - 1].last = place + 1;
        builder->group_of[index] = builder->group_count - 1;
        builder->members[place] = index;
    }
}

/* Whose turn is next. This is where the time goes: period × groups times, and of no more than a few instructions. */
static apr_uint32_t next_turn(builder_t *builder)
{
    const apr_uint32_t count = builder->group_count;
    const apr_int64_t *wages = builder->wages;
    apr_int64_t *heads = builder->heads;
    apr_int64_t highest = APR_INT64_MIN;
    for (apr_uint32_t i = 0; i < count; i++) {
        apr_int64_t head = heads[i] + wages[i];
        heads[i] = head;
        highest = head > highest ? head : highest;
    }
    return APR_UINT32_MAX - (apr_uint32_t)highest;
}

/* The head has had its turn: the next one of its group is its head. A circle later all of the group have paid once. */
static void pay(builder_t *builder, apr_uint32_t index)
{
    apr_uint32_t number = builder->group_of[index];
    group_t *group = &builder->groups[number];
    if (++group->head == group->last) {
        group->head = group->first;
        builder->heads[number] -= ACCOUNT(builder->period);
    }
    builder->heads[number] += RANK(builder->members[group->head]) - RANK(index);
}

void udr_wheel_build(udr_wheel_t *wheel, const apr_uint32_t *weights, int count, apr_pool_t *p)
{
    const apr_size_t size = (apr_size_t)count;
    *wheel = (udr_wheel_t){NULL, 0};
    if (count == 0) {
        return;
    }
    apr_uint64_t *shares = apr_palloc(p, size * sizeof(*shares));
    builder_t builder = {.members = apr_palloc(p, size * sizeof(apr_uint32_t)),
                         .group_of = apr_palloc(p, size * sizeof(apr_uint32_t)),
                         .groups = apr_palloc(p, size * sizeof(group_t)),
                         .heads = apr_palloc(p, size * sizeof(apr_int64_t)),
                         .wages = apr_palloc(p, size * sizeof(apr_int64_t)),
                         .period = share_out(shares, weights, count)};
    make_groups(&builder, shares, (apr_uint32_t)count);

    apr_uint32_t *entries = apr_palloc(p, builder.period * sizeof(*entries));
    for (apr_uint32_t turn = 0; turn < builder.period; turn++) {
        entries[turn] = next_turn(&builder);
        pay(&builder, entries[turn]);
    }
    *wheel = (udr_wheel_t){entries, builder.period};
}
