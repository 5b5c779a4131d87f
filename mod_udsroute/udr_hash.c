/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_hash.h"

#define PRIME_1 APR_UINT64_C(0x9e3779b185ebca87)
#define PRIME_2 APR_UINT64_C(0xc2b2ae3d27d4eb4f)
#define PRIME_3 APR_UINT64_C(0x165667b19e3779f9)
#define PRIME_4 APR_UINT64_C(0x85ebca77c2b2ae63)
#define PRIME_5 APR_UINT64_C(0x27d4eb2f165667c5)

enum { LANES = 4, STRIPE = LANES * 8 };

static inline apr_uint64_t rotate(apr_uint64_t number, int bits)
{
    return (number << bits) | (number >> (64 - bits));
}

/* Little-endian whatever the machine is; compilers make one load of it where they can. */
static inline apr_uint64_t read_32(const unsigned char *at)
{
    return (apr_uint64_t)at[0] | (apr_uint64_t)at[1] << 8 | (apr_uint64_t)at[2] << 16 | (apr_uint64_t)at[3] << 24;
}

static inline apr_uint64_t read_64(const unsigned char *at)
{
    return read_32(at) | read_32(at + 4) << 32;
}

static inline apr_uint64_t stir(apr_uint64_t lane, apr_uint64_t input)
{
    return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

/* The stripes of 32 bytes. Returns what they come to; *at is then behind them. */
static apr_uint64_t hash_stripes(const unsigned char **at, const unsigned char *end)
{
    apr_uint64_t lanes[LANES] = {PRIME_1 + PRIME_2, PRIME_2, 0, 0 - PRIME_1};
    for (; end - *at >= STRIPE; *at += STRIPE) {
        for (int i = 0; i < LANES; i++) {
            lanes[i] = stir(lanes[i], read_64(*at + 8 * i));
        }
    }
    apr_uint64_t hash = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
    for (int i = 0; i < LANES; i++) {
        hash = (hash ^ stir(0, lanes[i])) * PRIME_1 + PRIME_4;
    }
    return hash;
}

apr_uint64_t udr_hash_bytes(const void *data, apr_size_t len)
{
    const unsigned char *at = data;
    const unsigned char *end = at + len;
    apr_uint64_t hash = len >= STRIPE ? hash_stripes(&at, end) : PRIME_5;

    hash += len;
    for (; end - at >= 8; at += 8) {
        hash = rotate(hash ^ stir(0, read_64(at)), 27) * PRIME_1 + PRIME_4;
    }
    if (end - at >= 4) {
        hash = rotate(hash ^ (read_32(at) * PRIME_1), 23) * PRIME_2 + PRIME_3;
        at += 4;
    }
    for (; at < end; at++) {
        hash = rotate(hash ^ (*at * PRIME_5), 11) * PRIME_1;
    }
    hash = (hash ^ (hash >> 33)) * PRIME_2;
    hash = (hash ^ (hash >> 29)) * PRIME_3;
    return hash ^ (hash >> 32);
}
