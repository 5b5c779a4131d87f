/* SPDX-License-Identifier: Apache-2.0 */
/* How long things took: a log-linear histogram in shared memory, of fixed size, without a lock.
 * Layer: core, bottom. Part of a member's slot; written at the end of each request, read by the status. */
#ifndef UDR_HISTOGRAM_H
#define UDR_HISTOGRAM_H

#include <apr_time.h>

#include <stdatomic.h>

/* Eight buckets for each power of two: from 8 us on a bucket is an eighth of its lower bound wide, below it is exact.
 * The last one ends at 2^32 us, 71 minutes, and has all that took longer. */
#define UDR_HISTOGRAM_BUCKETS 240

/* All zero: empty. */
typedef struct udr_histogram_t {
    _Atomic apr_uint64_t sum; /* us */
    _Atomic apr_uint64_t max; /* us; exact */
    _Atomic apr_uint64_t bucket[UDR_HISTOGRAM_BUCKETS];
} udr_histogram_t;

/* What is read out of it; times in us, 0 when there is nothing in it. A percentile is the time that so many percent of
 * all took at most: the middle of its bucket, so off by a sixteenth at most, and never over max. What is over the last
 * bucket's end counts as in it. */
typedef struct udr_histogram_summary_t {
    apr_uint64_t count;
    apr_uint64_t sum;
    apr_uint64_t p50;
    apr_uint64_t p90;
    apr_uint64_t p99;
    apr_uint64_t max;
} udr_histogram_summary_t;

/* What somebody has read of a histogram so far; all zero: nothing. Counts wrap: it is their differences that
 * count. */
typedef struct udr_histogram_seen_t {
    _Atomic apr_uint32_t bucket[UDR_HISTOGRAM_BUCKETS];
} udr_histogram_seen_t;

/* Any thread of any process. Takes a time in us; a negative one counts as 0. */
void udr_histogram_record(udr_histogram_t *histogram, apr_interval_time_t time);

/* Any thread of any process, while others record: what they do meanwhile is in it or not. */
void udr_histogram_read(const udr_histogram_t *histogram, udr_histogram_summary_t *summary);

/* The same of what was recorded since `seen` was last given here. Of the summary's numbers sum is not told (0), and max
 * is that of all times. Any process; of several that read at the same moment each record counts for one. */
void udr_histogram_read_since(const udr_histogram_t *histogram, udr_histogram_seen_t *seen,
                              udr_histogram_summary_t *summary);

/* How many took less than each of `count` bounds, in us and ascending: exact where a bucket begins there, as one does
 * at each power of two; else the bucket that it is in counts as not below. Returns how many there are in all; as with
 * udr_histogram_read(). */
apr_uint64_t udr_histogram_cumulate(const udr_histogram_t *histogram, const apr_uint64_t *bounds, apr_size_t count,
                                    apr_uint64_t *below);

#endif
