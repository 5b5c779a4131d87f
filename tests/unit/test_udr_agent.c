/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_agent.h"

#include <apr_general.h>

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

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
        "X-UDSRoute-State: down\r\nA: b\r\nx-udsroute-state:\r\n",
        "X-UDSRoute-State: down, down\r\n",
        "X-UDSRoute-State: downdowndowndowndown\r\n",
        "X-UDSRoute-Weight: 50\r\nX-UDSRoute-Weight: 50\r\n",
        "X-UDSRoute-Weight: 0000000000000050\r\n",
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

/* That this process has had at once, in KiB. */
static long most_memory(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* What lines without end say is nothing, and making a list of them would take gigabytes. */
static void needs_no_memory_for_many_lines(void **state)
{
    static const char line[] = "X-UDSRoute-State: down\r\n";
    enum { LINES = 20000 };
    char *text = malloc(LINES * (sizeof line - 1));
    apr_pool_t *p;
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < LINES; i++) {
        memcpy(text + i * (sizeof line - 1), line, sizeof line - 1);
    }
    assert_int_equal(apr_pool_create(&p, pool), APR_SUCCESS);
    long before = most_memory();
    assert_int_equal(udr_agent_read((udr_slice_t){text, LINES * (sizeof line - 1)}, p), 0);
    assert_true(most_memory() < before + 65536);
    apr_pool_destroy(p);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_state_and_weight),
        cmocka_unit_test(hears_nothing_where_nothing_is_said),
        cmocka_unit_test(needs_no_memory_for_many_lines),
    };
    apr_initialize();
    apr_pool_create(&pool, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
