/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_metrics.h"
#include "tests/unit/fixture_written.h"

#include <string.h>

static udr_metrics_t metrics;

static int begin(void **state)
{
    (void)state;
    forget_written();
    metrics = (udr_metrics_t){.write = keep_written, .baton = written};
    return 0;
}

static void writes_families(void **state)
{
    const udr_metrics_label_t labels[] = {{"balancer", "app"}, {"class", "2xx"}};
    (void)state;
    udr_metrics_family(&metrics, "requests_total", "counter", "Requests that ended.");
    udr_metrics_number(&metrics, "", labels, 2, APR_UINT64_MAX);
    udr_metrics_family(&metrics, "parked", "gauge", "Parked.");
    udr_metrics_number(&metrics, "", NULL, 0, 0);
    assert_string_equal(written, "# HELP requests_total Requests that ended.\n# TYPE requests_total counter\n"
                                 "requests_total{balancer=\"app\",class=\"2xx\"} 18446744073709551615\n"
                                 "# HELP parked Parked.\n# TYPE parked gauge\nparked 0\n");
}

static void writes_times_in_seconds(void **state)
{
    static const struct {
        apr_uint64_t us;
        const char *seconds;
    } times[] = {{0, "0"},
                 {1, "0.000001"},
                 {128, "0.000128"},
                 {100000, "0.1"},
                 {1000000, "1"},
                 {10000000, "10"},
                 {67108864, "67.108864"},
                 {1500000, "1.5"},
                 {APR_UINT64_MAX, "18446744073709.551615"}};
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char text[32];
        udr_metrics_print_seconds(text, times[i].us);
        assert_string_equal(text, times[i].seconds);
    }
    udr_metrics_family(&metrics, "took", "histogram", "How long.");
    forget_written();
    udr_metrics_time(&metrics, "_sum", NULL, 0, 2500000);
    assert_string_equal(written, "took_sum 2.5\n");
}

static void escapes_values(void **state)
{
    static const struct {
        const char *value, *as;
    } values[] = {
        {"", ""},
        {"a\"b\\c\nd", "a\\\"b\\\\c\\nd"},
        {"<b>&amp;'\t", "<b>&amp;'\t"},
        {"K\xc3\xb6ln \xf0\x9f\x90\x98", "K\xc3\xb6ln \xf0\x9f\x90\x98"},
        {"\xff\xc3x\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd"},
    };
    (void)state;
    udr_metrics_family(&metrics, "up", "gauge", "Up.");
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const udr_metrics_label_t label = {"m", values[i].value};
        char expected[128] = "up{m=\"";
        strcat(expected, values[i].as);
        strcat(expected, "\"} 1\n");
        forget_written();
        udr_metrics_number(&metrics, "", &label, 1, 1);
        assert_string_equal(written, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(writes_families, begin),
        cmocka_unit_test_setup(writes_times_in_seconds, begin),
        cmocka_unit_test_setup(escapes_values, begin),
    };
    return cmocka_run_group_tests_name("udr_metrics", tests, NULL, NULL);
}
