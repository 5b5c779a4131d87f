/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_latency.h"

#define HALF_LIFE ((apr_uint32_t)apr_time_as_msec(UDR_LATENCY_HALF_LIFE))

/* In milliseconds, modulo 2^32: after seven weeks it starts again. */
static apr_uint32_t stamp(apr_time_t now)
{
    return (apr_uint32_t)apr_time_as_msec(now);
}

/* Milliseconds since it was written. Whoever wrote it may have looked at the clock later than we did: that is no age of
 * seven weeks but none. */
static apr_uint32_t age_of(const udr_hot_t *hot, apr_time_t now)
{
    apr_uint32_t age = stamp(now) - atomic_load_explicit(&hot->latency_at, memory_order_relaxed);
    return age <= APR_INT32_MAX ? age : 0;
}

void udr_latency_record(udr_hot_t *hot, apr_interval_time_t us, apr_time_t now)
{
    apr_uint64_t value = us < 1 ? 1 : us > APR_UINT32_MAX ? APR_UINT32_MAX : (apr_uint64_t)us;

    if (udr_latency_is_fresh(hot, now)) {
        apr_uint64_t average = atomic_load_explicit(&hot->latency, memory_order_relaxed);
        value = (average * 7 + value + 4) / 8;
    }
    /* The age first: a new average with an old age would look far faster than it is. */
    atomic_store_explicit(&hot->latency_at, stamp(now), memory_order_relaxed);
    atomic_store_explicit(&hot->latency, (apr_uint32_t)value, memory_order_release);
}

apr_uint32_t udr_latency_read(const udr_hot_t *hot, apr_time_t now)
{
    apr_uint64_t average = atomic_load_explicit(&hot->latency, memory_order_acquire);
    apr_uint32_t age = age_of(hot, now);
    apr_uint32_t halvings = age / HALF_LIFE;

    if (halvings >= 32) {
        return 0;
    }
    /* Between two halvings it falls on a straight line. */
    average >>= halvings;
    return (apr_uint32_t)(average - average * (age % HALF_LIFE) / (2 * HALF_LIFE));
}

bool udr_latency_is_fresh(const udr_hot_t *hot, apr_time_t now)
{
    return atomic_load_explicit(&hot->latency, memory_order_acquire) && age_of(hot, now) < HALF_LIFE;
}
