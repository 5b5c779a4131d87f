/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_instances.h"

static void pauses_grow_up_to_ten_seconds(void **state)
{
    static const uint64_t expected[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    uint64_t pause = 0;

    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        pause = udsb_instances_pause(pause, 50);
        assert_int_equal(pause, expected[i]);
    }
}

static void a_long_life_makes_them_short_again(void **state)
{
    (void)state;
    assert_int_equal(udsb_instances_pause(6400, 9999), 10000);
    assert_int_equal(udsb_instances_pause(6400, 10000), 100);
    assert_int_equal(udsb_instances_pause(0, 0), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pauses_grow_up_to_ten_seconds),
                                       cmocka_unit_test(a_long_life_makes_them_short_again)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
