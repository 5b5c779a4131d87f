/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which members by weight take turns, for one period: as nginx's smooth weighted round robin gives it,
 * 5:1:1 is A A B A C A A, equal weights are A B C. Layer: core; pure. Used by the method byrequests. */
#ifndef UDR_WHEEL_H
#define UDR_WHEEL_H

#include <apr_pools.h>

/* A period is at most so long (or one turn for each, when there are more). Weights that would make it longer are scaled
 * down: each share is then off by half a turn at most, and is never less than one turn. */
#define UDR_WHEEL_LIMIT 16384

typedef struct udr_wheel_t {
    const apr_uint32_t *entries; /* whose turn it is: 0 … count-1 */
    apr_uint32_t period;         /* how many entries there are; 0 without members */
} udr_wheel_t;

/* Builds it from the weights of `count` members, each at least 1. From p: entries, and about as much again for the
 * work. Time: the period × the number of different weights; 256 members take 1 ms at worst. Any thread. */
void udr_wheel_build(udr_wheel_t *wheel, const apr_uint32_t *weights, int count, apr_pool_t *p);

#endif
