/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_agent.h"

#include <apr_general.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static apr_pool_t *pool;

static apr_uint32_t read_fields(const char *text)
{
    return udr_agent_read((udr_slice_t){text, strlen(text)}, pool);
}

static void reads_state_and_weight(void **state)
{
    static const struct {
        const char *fields;
        udr_agent_state_t state;
        unsigned int percent;
    } rows[] = {
        {"X-UDSRoute-State: up\r\n", UDR_AGENT_UP, 100},
        {"A: b\r\nx-udsroute-state:DRAIN\r\nC: d\r\n", UDR_AGENT_DRAIN, 100},
        {"X-UDSRoute-State: down\r\n", UDR_AGENT_DOWN, 100},
        {"X-UDSRoute-Weight: 0\r\n", UDR_AGENT_UP, 0},
        {"X-UDSRoute-Weight: 100\r\n", UDR_AGENT_UP, 100},
        {"X-UDSRoute-Weight: 33\r\nX-UDSRoute-State: drain\r\n", UDR_AGENT_DRAIN, 33},
        {"X-UDSRoute-Weight: many\r\nX-UDSRoute-State: drain\r\n", UDR_AGENT_DRAIN, 100},
        {"X-UDSRoute-Weight: 33\r\nX-UDSRoute-State: tired\r\n", UDR_AGENT_UP, 33},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        apr_uint32_t agent = read_fields(rows[i].fields);
        assert_int_equal(udr_slot_agent_state(agent), rows[i].state);
        assert_int_equal(udr_slot_agent_percent(agent), rows[i].percent);
    }
}

static void hears_nothing_where_nothing_is_said(void **state)
{
    static const char *const rows[] = {
        "",
        "A: b\r\n",
        "X-UDSRoute-State: \r\n",
        "X-UDSRoute-State: maintenance\r\n",
        "X-UDSRoute-State: up\r\nX-UDSRoute-State: down\r\n",
        "X-UDSRoute-Weight: -1\r\n",
        "X-UDSRoute-Weight: 101\r\n",
        "X-UDSRoute-Weight: 50%\r\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(read_fields(rows[i]), 0);
    }
    assert_int_equal(udr_slot_agent_percent(0), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_state_and_weight),
        cmocka_unit_test(hears_nothing_where_nothing_is_said),
    };
    apr_initialize();
    apr_pool_create(&pool, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
