/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_acceptance.h"
#include "tests/unit/fixture_socket.h"

#include <apr_general.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

static apr_pool_t *pool;
static place_t place;

static int set_up(void **state)
{
    (void)state;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || !place_make(&place, pool)) {
        return -1;
    }
    place_listen(&place, 5);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bool dropped = place_drop(&place);
    apr_pool_destroy(pool);
    return dropped ? 0 : -1;
}

static void tells_who_waits_in_the_backlog(void **state)
{
    (void)state;
    udr_connection_t *first = place_connect(&place);
    udr_connection_t *second = place_connect(&place);
    assert_int_equal(udr_acceptance_find(first->fd), UDR_ACCEPTANCE_WAITS);
    int accepted = place_accept(&place);
    assert_int_equal(udr_acceptance_find(first->fd), UDR_ACCEPTANCE_GIVEN);
    assert_int_equal(udr_acceptance_find(second->fd), UDR_ACCEPTANCE_WAITS);
    udr_connection_close(first);
    udr_connection_close(second);
    close(accepted);
}

/* What was sent makes no difference, nor that it was not read. */
static void looks_at_nothing_else(void **state)
{
    (void)state;
    udr_connection_t *connection = place_connect(&place);
    assert_int_equal(write(connection->fd, "x", 1), 1);
    assert_int_equal(udr_acceptance_find(connection->fd), UDR_ACCEPTANCE_WAITS);
    int accepted = place_accept(&place);
    assert_int_equal(udr_acceptance_find(connection->fd), UDR_ACCEPTANCE_GIVEN);
    udr_connection_close(connection);
    close(accepted);
}

static void knows_nothing_of_other_files(void **state)
{
    (void)state;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(udr_acceptance_find(null), UDR_ACCEPTANCE_UNKNOWN);
    assert_int_equal(udr_acceptance_find(-1), UDR_ACCEPTANCE_UNKNOWN);
    close(null);
}

static void knows_nothing_without_a_descriptor(void **state)
{
    struct rlimit before;
    (void)state;
    udr_connection_t *connection = place_connect(&place);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max}), 0);
    udr_acceptance_t found = udr_acceptance_find(connection->fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(found, UDR_ACCEPTANCE_UNKNOWN);
    udr_connection_close(connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_who_waits_in_the_backlog, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_at_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_nothing_of_other_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_nothing_without_a_descriptor, set_up, tear_down),
    };
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
