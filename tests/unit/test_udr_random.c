/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_random.h"

/* The first numbers of the reference implementation for this seed. */
static void agrees_with_the_reference(void **state)
{
    static const apr_uint64_t expected[] = {APR_UINT64_C(6457827717110365317), APR_UINT64_C(3203168211198807973),
                                            APR_UINT64_C(9817491932198370423), APR_UINT64_C(4593380528125082431),
                                            APR_UINT64_C(16408922859458223821)};
    apr_uint64_t numbers = 1234567;
    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
        assert_int_equal(udr_random_next(&numbers), expected[i]);
    }
}

static void keeps_to_its_range_evenly(void **state)
{
    apr_uint64_t numbers = 0;
    int counts[7] = {0};
    (void)state;
    for (int i = 0; i < 70000; i++) {
        int number = udr_random_below(&numbers, 7);
        assert_in_range(number, 0, 6);
        counts[number]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9700, 10300);
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(udr_random_below(&numbers, 1), 0);
        assert_true(udr_random_below(&numbers, APR_INT32_MAX) >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference),
        cmocka_unit_test(keeps_to_its_range_evenly),
    };
    return cmocka_run_group_tests_name("udr_random", tests, NULL, NULL);
}
