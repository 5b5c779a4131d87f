/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_accept.h"

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

/* What Chromium and Prometheus send. */
#define BROWSER                                                                                                        \
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8,"                           \
    "application/signed-exchange;v=b3;q=0.7"
#define PROMETHEUS                                                                                                     \
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"                    \
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

static void finds_the_quality(void **state)
{
    static const struct {
        const char *accept, *type;
        int quality;
    } cases[] = {
        {NULL, "text/html", 1000},
        {"", "text/html", 0},
        {"*/*", "text/html", 1000},
        {BROWSER, "text/html", 1000},
        {BROWSER, "application/json", 800},
        {PROMETHEUS, "application/openmetrics-text", 1000},
        {PROMETHEUS, "text/plain", 500},
        {PROMETHEUS, "text/html", 100},
        {"application/json", "application/json", 1000},
        {"application/json", "text/html", 0},
        {"Application/JSON;Q=0.5", "application/json", 500},
        {" application/json ; charset=utf-8 ; q=0.25 ", "application/json", 250},
        {"text/*;q=0.3, */*;q=0.1, text/html;q=0.2", "text/html", 200},
        {"text/html;q=0.2, */*;q=0.1, text/*;q=0.3", "text/plain", 300},
        {"text/html;level=1;q=0.4, text/html;q=0.7, text/html;q=0.1", "text/html", 700},
        {"text/html;q=0, */*", "text/html", 0},
        {"text/html;q=1.000", "text/html", 1000},
        {"text/html;q=0.001", "text/html", 1},
        {"text/html;x=\"a,b;q=0.1\";q=0.6, */*", "text/html", 600},
        {"text/html;x=\"\\\",*/*;q=0.9\";q=0.6", "text/plain", 0},
        {",, text/html;;q=0.5,,", "text/html", 500},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        print_message("%s: %s\n", cases[i].accept ? cases[i].accept : "(none)", cases[i].type);
        assert_int_equal(udr_accept_quality(cases[i].accept, cases[i].type), cases[i].quality);
    }
}

static void leaves_out_what_can_not_be_read(void **state)
{
    static const char *const ranges[] = {"text/html;q=2",
                                         "text/html;q=1.1",
                                         "text/html;q=-1",
                                         "text/html;q=",
                                         "text/html;q=.5",
                                         "text/html;q=0.0001",
                                         "text/html;q=x",
                                         "text",
                                         "text/htm",
                                         "text/html5",
                                         "*",
                                         "*/html",
                                         "text/html;q=0 .5"};
    (void)state;
    for (size_t i = 0; i < LENGTH(ranges); i++) {
        print_message("%s\n", ranges[i]);
        assert_int_equal(udr_accept_quality(ranges[i], "text/html"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_quality),
        cmocka_unit_test(leaves_out_what_can_not_be_read),
    };
    return cmocka_run_group_tests_name("udr_accept", tests, NULL, NULL);
}
