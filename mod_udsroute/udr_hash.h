/* SPDX-License-Identifier: Apache-2.0 */
/* 64-bit hashes for spreading things, not for keeping secrets: who knows them can aim.
 * Layer: core, bottom; pure. Used by the method `hash` and by whoever needs a member's identity as a number. */
#ifndef UDR_HASH_H
#define UDR_HASH_H

#include <apr.h>

/* XXH64 with seed 0 of len bytes, the same on every machine. Written from the algorithm's description (Yann Collet,
 * "xxHash fast digest algorithm", version 0.1.1: github.com/Cyan4973/xxHash, doc/xxhash_spec.md). */
apr_uint64_t udr_hash_bytes(const void *data, apr_size_t len);

/* Makes of a number another, one to one, such that each bit depends on all: the finalizer of splitmix64 (Sebastiano
 * Vigna, prng.di.unimi.it/splitmix64.c, public domain; constants by David Stafford). */
static inline apr_uint64_t udr_hash_mix(apr_uint64_t number)
{
    number = (number ^ (number >> 30)) * APR_UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * APR_UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

#endif
