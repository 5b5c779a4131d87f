/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers for choices that need no secrecy: splitmix64 (Sebastiano Vigna, prng.di.unimi.it/splitmix64.c).
 * Layer: core, bottom. Used by the balancing methods. */
#ifndef UDR_RANDOM_H
#define UDR_RANDOM_H

#include "mod_udsroute/udr_hash.h"

/* The next number, 0 to 2^64-1. state: any number at first, another in each process; one thread at a time. */
static inline apr_uint64_t udr_random_next(apr_uint64_t *state)
{
    *state += APR_UINT64_C(0x9e3779b97f4a7c15);
    return udr_hash_mix(*state);
}

/* A number from 0 to below-1; below: 1 to 2^31-1. (Multiplied rather than divided: Lemire, arXiv 1805.10941; what it
 * is off by is less than one in 2^32.) */
static inline int udr_random_below(apr_uint64_t *state, int below)
{
    return (int)(((udr_random_next(state) >> 32) * (apr_uint64_t)below) >> 32);
}

#endif
