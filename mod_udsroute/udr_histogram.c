/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_histogram.h"

/* Buckets for each power of two, as a power of two. */
#define STEP_BITS 3
#define STEPS     (1u << STEP_BITS)

#define TIME_END ((apr_uint64_t)1 << 32)

_Static_assert(UDR_HISTOGRAM_BUCKETS == (32 - STEP_BITS + 1) * STEPS, "the last bucket ends at 2^32 us");

/* The first STEPS buckets are one us wide and begin at 0; so are the next STEPS, and then it doubles. */
static unsigned int bucket_of(apr_uint64_t time)
{
    if (time < STEPS) {
        return (unsigned int)time;
    }
    if (time >= TIME_END) {
        return UDR_HISTOGRAM_BUCKETS - 1;
    }
    unsigned int shift = 63u - (unsigned int)__builtin_clzll(time) - STEP_BITS;
    return (shift << STEP_BITS) + (unsigned int)(time >> shift);
}

/* The first time that is in it, and how many there are. */
static apr_uint64_t begin_of(unsigned int bucket, apr_uint64_t *width)
{
    unsigned int shift = bucket < STEPS ? 0 : (bucket >> STEP_BITS) - 1;
    *width = (apr_uint64_t)1 << shift;
    return bucket < STEPS ? bucket : (apr_uint64_t)(STEPS + bucket % STEPS) << shift;
}

static apr_uint64_t middle_of(unsigned int bucket)
{
    apr_uint64_t width;
    apr_uint64_t begin = begin_of(bucket, &width);
    return begin + (width - 1) / 2;
}

void udr_histogram_record(udr_histogram_t *histogram, apr_interval_time_t time)
{
    apr_uint64_t us = time > 0 ? (apr_uint64_t)time : 0;
    atomic_fetch_add_explicit(&histogram->bucket[bucket_of(us)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, us, memory_order_relaxed);
    apr_uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
    while (us > max && !atomic_compare_exchange_weak_explicit(&histogram->max, &max, us, memory_order_relaxed,
                                                              memory_order_relaxed)) {
    }
}

/* The nearest rank, of counts that no longer change. */
static apr_uint64_t percentile(const apr_uint64_t *counts, const udr_histogram_summary_t *summary, unsigned int percent)
{
    apr_uint64_t rank = summary->count / 100 * percent + (summary->count % 100 * percent + 99) / 100;
    apr_uint64_t seen = 0;
    for (unsigned int i = 0; i < UDR_HISTOGRAM_BUCKETS; i++) {
        seen += counts[i];
        if (seen >= rank && seen > 0) {
            apr_uint64_t middle = middle_of(i);
            return middle < summary->max ? middle : summary->max;
        }
    }
    return 0;
}

static void find_percentiles(const apr_uint64_t *counts, udr_histogram_summary_t *summary)
{
    summary->p50 = percentile(counts, summary, 50);
    summary->p90 = percentile(counts, summary, 90);
    summary->p99 = percentile(counts, summary, 99);
}

static apr_uint64_t count_in(const udr_histogram_t *histogram, unsigned int bucket)
{
    return atomic_load_explicit(&histogram->bucket[bucket], memory_order_relaxed);
}

void udr_histogram_read(const udr_histogram_t *histogram, udr_histogram_summary_t *summary)
{
    apr_uint64_t counts[UDR_HISTOGRAM_BUCKETS];
    *summary = (udr_histogram_summary_t){.count = 0};
    for (unsigned int i = 0; i < UDR_HISTOGRAM_BUCKETS; i++) {
        counts[i] = count_in(histogram, i);
        summary->count += counts[i];
    }
    summary->sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    summary->max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
    find_percentiles(counts, summary);
}

void udr_histogram_read_since(const udr_histogram_t *histogram, udr_histogram_seen_t *seen,
                              udr_histogram_summary_t *summary)
{
    apr_uint64_t counts[UDR_HISTOGRAM_BUCKETS];
    *summary = (udr_histogram_summary_t){.count = 0};
    for (unsigned int i = 0; i < UDR_HISTOGRAM_BUCKETS; i++) {
        apr_uint32_t now = (apr_uint32_t)count_in(histogram, i);
        apr_uint32_t before = atomic_load_explicit(&seen->bucket[i], memory_order_relaxed);
        if (now != before) {
            before = atomic_exchange_explicit(&seen->bucket[i], now, memory_order_relaxed);
        }
        /* Another process may have been here meanwhile, with a later count. */
        counts[i] = now - before <= APR_INT32_MAX ? now - before : 0;
        summary->count += counts[i];
    }
    summary->max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
    find_percentiles(counts, summary);
}

apr_uint64_t udr_histogram_cumulate(const udr_histogram_t *histogram, const apr_uint64_t *bounds, apr_size_t count,
                                    apr_uint64_t *below)
{
    apr_uint64_t sum = 0;
    apr_size_t at = 0;
    for (unsigned int i = 0; i < UDR_HISTOGRAM_BUCKETS; i++) {
        apr_uint64_t width;
        apr_uint64_t begin = begin_of(i, &width);
        for (; at < count && begin + width > bounds[at]; at++) {
            below[at] = sum;
        }
        sum += count_in(histogram, i);
    }
    for (; at < count; at++) {
        below[at] = sum;
    }
    return sum;
}
