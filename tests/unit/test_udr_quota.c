/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_quota.h"

#include <string.h>

#define SECOND APR_USEC_PER_SEC

static udr_quota_t quota;
static apr_uint32_t left_out[UDR_QUOTA_KINDS];
static const apr_time_t start = 1000 * SECOND;

static int set_up(void **state)
{
    (void)state;
    memset(&quota, 0, sizeof quota);
    return 0;
}

static void takes_so_many_of_each_kind(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(udr_quota_take(&quota, 0, 3, start + i * SECOND), i < 3);
    }
    assert_true(udr_quota_take(&quota, 2, 3, start + 5 * SECOND));
    assert_false(udr_quota_end(&quota, left_out, start + UDR_QUOTA_SPAN - 1));
}

static void tells_once_how_many_were_left_out(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        (void)udr_quota_take(&quota, 0, 3, start);
    }
    (void)udr_quota_take(&quota, 1, 0, start + SECOND);
    assert_true(udr_quota_end(&quota, left_out, start + UDR_QUOTA_SPAN));
    assert_int_equal(left_out[0], 2);
    assert_int_equal(left_out[1], 1);
    assert_int_equal(left_out[2], 0);
    assert_false(udr_quota_end(&quota, left_out, start + UDR_QUOTA_SPAN));
    /* The next minute begins with its first line. */
    assert_true(udr_quota_take(&quota, 0, 3, start + 100 * SECOND));
    assert_false(udr_quota_end(&quota, left_out, start + 100 * SECOND + UDR_QUOTA_SPAN - 1));
}

static void says_nothing_where_all_was_told(void **state)
{
    (void)state;
    assert_false(udr_quota_end(&quota, left_out, start));
    for (int i = 0; i < 3; i++) {
        assert_true(udr_quota_take(&quota, 0, 3, start));
    }
    assert_false(udr_quota_end(&quota, left_out, start + UDR_QUOTA_SPAN));
    for (int i = 0; i < 3; i++) {
        assert_true(udr_quota_take(&quota, 0, 3, start + UDR_QUOTA_SPAN));
    }
}

#define TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_so_many_of_each_kind),
        TEST(tells_once_how_many_were_left_out),
        TEST(says_nothing_where_all_was_told),
    };
    return cmocka_run_group_tests_name("udr_quota", tests, NULL, NULL);
}
