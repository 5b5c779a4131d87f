/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_source.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>

static const udr_source_t source = {.directive = "UDSMember", .file = "/etc/app.conf", .line = 12};

static void says_directive_line_and_file(void **state)
{
    (void)state;
    assert_string_equal(udr_source_print(&source, pool), "UDSMember on line 12 of /etc/app.conf");
}

static void says_line_and_file(void **state)
{
    (void)state;
    assert_string_equal(udr_source_print_place(&source, pool), "line 12 of /etc/app.conf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_directive_line_and_file),
        cmocka_unit_test(says_line_and_file),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_source", tests, make_pool, drop_pool);
}
