/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_plot.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>

#include <stdlib.h>

enum { MANY = 60 };

static void assert_path(const double *values, apr_size_t count, udr_plot_form_t form, const char *path)
{
    const udr_plot_t plot = {.values = values, .count = count, .top = 10, .height = 20};
    assert_string_equal(udr_plot_path(&plot, form, pool), path);
}

static void draws_steps(void **state)
{
    const double values[] = {0, 10, 5, 5, 5, 2.5};
    (void)state;
    assert_path(values, 6, UDR_PLOT_LINE, "M0 20h1V0h1V10h3V15h1");
    assert_path(values, 6, UDR_PLOT_AREA, "M0 20V20h1V0h1V10h3V15h1V20z");
}

static void leaves_gaps_where_nothing_is_known(void **state)
{
    const double values[] = {-1, 10, -1, -1, 5, 5, -1};
    (void)state;
    assert_path(values, 7, UDR_PLOT_LINE, "M1 0h1M4 10h2");
    assert_path(values, 7, UDR_PLOT_AREA, "M1 20V0h1V20zM4 20V10h2V20z");
    assert_path(values, 1, UDR_PLOT_AREA, "");
    assert_path(values, 0, UDR_PLOT_LINE, "");
}

/* Little is not nothing, and too much is the top. */
static void stays_within_its_field(void **state)
{
    const double values[] = {0.0001, 0, 1000, 9.97};
    (void)state;
    assert_path(values, 4, UDR_PLOT_LINE, "M0 19.5h1V20h1V0h1V0.1h1");
}

/* The longest that there can be: no two steps alike, with the most digits. */
static void has_room_for_all(void **state)
{
    double values[MANY];
    const udr_plot_t plot = {.values = values, .count = MANY, .top = 1, .height = 1000000};
    (void)state;
    for (int i = 0; i < MANY; i++) {
        values[i] = 0.1234567 + 0.0123 * i;
    }
    const char *path = udr_plot_path(&plot, UDR_PLOT_AREA, pool);
    const char *last = path;
    for (const char *at = path; *at; at++) {
        last = at;
    }
    assert_int_equal(*last, 'z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(draws_steps, make_pool, drop_pool),
        cmocka_unit_test_setup_teardown(leaves_gaps_where_nothing_is_known, make_pool, drop_pool),
        cmocka_unit_test_setup_teardown(stays_within_its_field, make_pool, drop_pool),
        cmocka_unit_test_setup_teardown(has_room_for_all, make_pool, drop_pool),
    };
    apr_initialize();
    atexit(apr_terminate);
    return cmocka_run_group_tests_name("udr_plot", tests, NULL, NULL);
}
