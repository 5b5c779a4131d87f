/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_histogram.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { HOUR_US_LOG = 32, THREADS = 4, EACH = 50000 };

static udr_histogram_t histogram;
static udr_histogram_summary_t summary;

static int set_up(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    return 0;
}

static void read_it(void)
{
    udr_histogram_read(&histogram, &summary);
}

/* The index of the only bucket that has something. */
static int only_bucket(void)
{
    int found = -1;
    for (int i = 0; i < UDR_HISTOGRAM_BUCKETS; i++) {
        if (atomic_load(&histogram.bucket[i]) > 0) {
            assert_int_equal(found, -1);
            found = i;
        }
    }
    assert_true(found >= 0);
    return found;
}

static int bucket_of(apr_interval_time_t time)
{
    (void)set_up(NULL);
    udr_histogram_record(&histogram, time);
    return only_bucket();
}

static void is_empty_at_first(void **state)
{
    (void)state;
    read_it();
    assert_int_equal(summary.count, 0);
    assert_int_equal(summary.sum, 0);
    assert_int_equal(summary.p50, 0);
    assert_int_equal(summary.p99, 0);
    assert_int_equal(summary.max, 0);
}

static void is_exact_up_to_sixteen(void **state)
{
    (void)state;
    for (int time = 0; time <= 16; time++) {
        (void)set_up(NULL);
        udr_histogram_record(&histogram, time);
        /* So that it is the bucket that says it, and not the maximum. */
        udr_histogram_record(&histogram, 1000);
        read_it();
        assert_int_equal(summary.p50, time);
    }
}

/* At each power of two up to 71 minutes, just below, just above and between. */
static void is_off_by_a_sixteenth_at_most(void **state)
{
    (void)state;
    for (int power = 0; power < HOUR_US_LOG; power++) {
        const apr_interval_time_t base = (apr_interval_time_t)1 << power;
        const apr_interval_time_t times[] = {base - 1, base, base + 1, base + base / 3, base + base / 2, 2 * base - 1};
        for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
            (void)set_up(NULL);
            udr_histogram_record(&histogram, times[i]);
            udr_histogram_record(&histogram, (apr_interval_time_t)1 << 40);
            read_it();
            apr_interval_time_t error = (apr_interval_time_t)summary.p50 - times[i];
            assert_true(16 * error <= times[i] && -16 * error <= times[i]);
        }
    }
}

static void has_one_bucket_after_the_other(void **state)
{
    int last = -1;
    (void)state;
    for (apr_interval_time_t time = 0; time < (apr_interval_time_t)1 << HOUR_US_LOG; time += 1 + time / 16) {
        int bucket = bucket_of(time);
        assert_true(bucket == last || bucket == last + 1);
        last = bucket;
    }
    assert_int_equal(last, UDR_HISTOGRAM_BUCKETS - 1);
}

static void has_what_is_out_of_range_at_its_ends(void **state)
{
    (void)state;
    assert_int_equal(bucket_of(-5), 0);
    assert_int_equal(atomic_load(&histogram.sum), 0);
    assert_int_equal(bucket_of(((apr_interval_time_t)1 << 32) - 1), UDR_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(bucket_of((apr_interval_time_t)1 << 32), UDR_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(bucket_of(APR_INT64_MAX), UDR_HISTOGRAM_BUCKETS - 1);
    read_it();
    assert_true(summary.max == APR_INT64_MAX);
    assert_in_range(summary.p99, (apr_uint64_t)15 << 28, (apr_uint64_t)1 << 32);
}

static void assert_near(apr_uint64_t value, apr_uint64_t exact)
{
    assert_in_range(value, exact - exact / 16, exact + exact / 16);
}

static void has_percentiles_maximum_and_sum(void **state)
{
    (void)state;
    /* 1 ms to 1 s, in no order: 389 and 1000 have no common divisor. */
    for (int i = 0; i < 1000; i++) {
        udr_histogram_record(&histogram, (1 + i * 389 % 1000) * 1000);
    }
    read_it();
    assert_int_equal(summary.count, 1000);
    assert_true(summary.sum == 500500000);
    assert_int_equal(summary.max, 1000000);
    assert_near(summary.p50, 500000);
    assert_near(summary.p90, 900000);
    assert_near(summary.p99, 990000);
}

/* The nearest rank: of a hundred the 99th is p99, and of two the first is p50. */
static void has_the_nearest_rank(void **state)
{
    (void)state;
    for (int i = 0; i < 99; i++) {
        udr_histogram_record(&histogram, 3);
    }
    udr_histogram_record(&histogram, 12);
    read_it();
    assert_int_equal(summary.p50, 3);
    assert_int_equal(summary.p99, 3);
    udr_histogram_record(&histogram, 12);
    read_it();
    assert_int_equal(summary.p90, 3);
    assert_int_equal(summary.p99, 12);
}

static void has_no_percentile_over_the_maximum(void **state)
{
    (void)state;
    udr_histogram_record(&histogram, 1 << 20);
    read_it();
    assert_int_equal(summary.p50, 1 << 20);
    assert_int_equal(summary.p99, 1 << 20);
}

static void tells_what_is_new(void **state)
{
    static udr_histogram_seen_t seen;
    (void)state;
    memset(&seen, 0, sizeof seen);
    udr_histogram_record(&histogram, 12);
    udr_histogram_record(&histogram, 12);
    udr_histogram_read_since(&histogram, &seen, &summary);
    assert_int_equal(summary.count, 2);
    assert_int_equal(summary.p50, 12);
    udr_histogram_record(&histogram, 3);
    udr_histogram_read_since(&histogram, &seen, &summary);
    assert_int_equal(summary.count, 1);
    assert_int_equal(summary.p50, 3);
    assert_int_equal(summary.p99, 3);
    assert_int_equal(summary.max, 12);
    udr_histogram_read_since(&histogram, &seen, &summary);
    assert_int_equal(summary.count, 0);
    assert_int_equal(summary.p50, 0);
}

/* Over 32 bits, too; and what another has seen later is not taken for many. */
static void tells_what_is_new_when_counts_wrap(void **state)
{
    static udr_histogram_seen_t seen;
    (void)state;
    memset(&seen, 0, sizeof seen);
    atomic_store(&histogram.bucket[5], APR_UINT32_MAX);
    udr_histogram_read_since(&histogram, &seen, &summary);
    udr_histogram_record(&histogram, 5);
    udr_histogram_record(&histogram, 5);
    udr_histogram_read_since(&histogram, &seen, &summary);
    assert_int_equal(summary.count, 2);
    atomic_fetch_add(&seen.bucket[5], 1);
    udr_histogram_read_since(&histogram, &seen, &summary);
    assert_int_equal(summary.count, 0);
}

static void counts_what_is_below_bounds(void **state)
{
    const apr_uint64_t bounds[] = {0, 8, 16, 1024, 1100, 2048, (apr_uint64_t)1 << 32, APR_UINT64_MAX};
    apr_uint64_t below[sizeof bounds / sizeof *bounds];
    (void)state;
    udr_histogram_record(&histogram, 0);
    udr_histogram_record(&histogram, 7);
    udr_histogram_record(&histogram, 8);
    udr_histogram_record(&histogram, 1023);
    udr_histogram_record(&histogram, 1024); /* 1100 is within its bucket */
    udr_histogram_record(&histogram, 2047);
    udr_histogram_record(&histogram, (apr_interval_time_t)1 << 40);
    assert_int_equal(udr_histogram_cumulate(&histogram, bounds, 8, below), 7);
    const int expected[] = {0, 2, 3, 4, 4, 6, 7, 7};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(below[i], expected[i]);
    }
}

static void *record_many(void *baton)
{
    int first = *(const int *)baton;
    for (int i = 0; i < EACH; i++) {
        udr_histogram_record(&histogram, first + i % 100);
    }
    return NULL;
}

static void loses_nothing_among_threads(void **state)
{
    pthread_t threads[THREADS];
    int first[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        first[i] = 100 * i;
        assert_int_equal(pthread_create(&threads[i], NULL, record_many, &first[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    read_it();
    assert_int_equal(summary.count, THREADS * EACH);
    assert_int_equal(summary.max, 100 * THREADS - 1);
    /* The mean of 0 to 399, so often. */
    assert_int_equal(2 * summary.sum, (apr_uint64_t)(100 * THREADS - 1) * THREADS * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_empty_at_first, set_up),
        cmocka_unit_test_setup(is_exact_up_to_sixteen, set_up),
        cmocka_unit_test_setup(is_off_by_a_sixteenth_at_most, set_up),
        cmocka_unit_test_setup(has_one_bucket_after_the_other, set_up),
        cmocka_unit_test_setup(has_what_is_out_of_range_at_its_ends, set_up),
        cmocka_unit_test_setup(has_percentiles_maximum_and_sum, set_up),
        cmocka_unit_test_setup(has_the_nearest_rank, set_up),
        cmocka_unit_test_setup(has_no_percentile_over_the_maximum, set_up),
        cmocka_unit_test_setup(tells_what_is_new, set_up),
        cmocka_unit_test_setup(tells_what_is_new_when_counts_wrap, set_up),
        cmocka_unit_test_setup(counts_what_is_below_bounds, set_up),
        cmocka_unit_test_setup(loses_nothing_among_threads, set_up),
    };
    return cmocka_run_group_tests_name("udr_histogram", tests, NULL, NULL);
}
