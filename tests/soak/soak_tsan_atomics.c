/* SPDX-License-Identifier: Apache-2.0 */
/* APR's atomic operations where the thread sanitizer sees them. httpd's event MPM hands memory from thread to thread by
 * them (recycled pools, queues), which in an APR that is not instrumented looks like no order at all. Compiled with
 * -fsanitize=thread by soak_tsan.py and preloaded, it comes before APR's own. */
#include <stdint.h>

#define ORDER __ATOMIC_SEQ_CST

#define OPERATIONS(type, bits)                                                                                         \
    type apr_atomic_read##bits(volatile type *place)                                                                   \
    {                                                                                                                  \
        return __atomic_load_n(place, ORDER);                                                                          \
    }                                                                                                                  \
    void apr_atomic_set##bits(volatile type *place, type value)                                                        \
    {                                                                                                                  \
        __atomic_store_n(place, value, ORDER);                                                                         \
    }                                                                                                                  \
    type apr_atomic_add##bits(volatile type *place, type value)                                                        \
    {                                                                                                                  \
        return __atomic_fetch_add(place, value, ORDER);                                                                \
    }                                                                                                                  \
    void apr_atomic_sub##bits(volatile type *place, type value)                                                        \
    {                                                                                                                  \
        __atomic_fetch_sub(place, value, ORDER);                                                                       \
    }                                                                                                                  \
    type apr_atomic_inc##bits(volatile type *place)                                                                    \
    {                                                                                                                  \
        return __atomic_fetch_add(place, 1, ORDER);                                                                    \
    }                                                                                                                  \
    int apr_atomic_dec##bits(volatile type *place)                                                                     \
    {                                                                                                                  \
        return __atomic_sub_fetch(place, 1, ORDER) != 0;                                                               \
    }                                                                                                                  \
    type apr_atomic_cas##bits(volatile type *place, type with, type expected)                                          \
    {                                                                                                                  \
        __atomic_compare_exchange_n(place, &expected, with, 0, ORDER, ORDER);                                          \
        return expected;                                                                                               \
    }                                                                                                                  \
    type apr_atomic_xchg##bits(volatile type *place, type value)                                                       \
    {                                                                                                                  \
        return __atomic_exchange_n(place, value, ORDER);                                                               \
    }

OPERATIONS(uint32_t, 32)
OPERATIONS(uint64_t, 64)

void *apr_atomic_casptr(void *volatile *place, void *with, const void *expected)
{
    void *found = (void *)(uintptr_t)expected;
    __atomic_compare_exchange_n(place, &found, with, 0, ORDER, ORDER);
    return found;
}

void *apr_atomic_xchgptr(void *volatile *place, void *value)
{
    return __atomic_exchange_n(place, value, ORDER);
}
