/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_hunger.h"
#include "mod_udsroute/udr_row.h"
#include "tests/unit/fixture_socket.h"

#include <apr_general.h>

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define BEGUN apr_time_from_sec(1000)

static apr_pool_t *pool;
static place_t place;
static udr_shared_t *shared;
static apr_uint32_t slot;
static apr_uint32_t row;
static udr_yield_t *yield;
static udr_giver_t giver; /* another child's, which answers when the test says so */
static udr_hunger_t hunger;
static udr_connection_t *connection;
static bool is_blind; /* no netlink(7) */

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);

int __wrap_socket(int domain, int type, int protocol)
{
    if (is_blind && domain == AF_NETLINK) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return __real_socket(domain, type, protocol);
}

static int set_up(void **state)
{
    unsigned char identity[UDR_IDENTITY_SIZE] = {1};
    (void)state;
    is_blind = false;
    giver = (udr_giver_t){.give_up = NULL};
    hunger = (udr_hunger_t){.yield = NULL};
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || udr_shared_create(&shared, 2, 2, 1, pool) != APR_SUCCESS) {
        return -1;
    }
    (void)udr_shared_begin_generation(shared);
    if (udr_shared_claim(shared, identity, &slot, NULL) != APR_SUCCESS || udr_row_claim(shared, &row) != APR_SUCCESS ||
        udr_yield_create(&yield, shared, row, pool) != APR_SUCCESS || !place_make(&place, pool)) {
        return -1;
    }
    udr_yield_add(yield, &giver, slot);
    place_listen(&place, 5);
    connection = place_connect(&place);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    udr_connection_close(connection);
    bool is_clean = udr_row_release(shared, row) == APR_SUCCESS;
    is_clean = place_drop(&place) && is_clean;
    apr_pool_destroy(pool);
    return is_clean ? 0 : -1;
}

/* Goes from one look to the next, for so many of them. Returns when the next one is due, in ms. */
static int look(int times)
{
    for (int i = 0; i < times; i++) {
        apr_time_t due = hunger.look_at;
        udr_hunger_look(&hunger, connection->fd, due - 1);
        assert_int_equal(hunger.look_at, due);
        udr_hunger_look(&hunger, connection->fd, due);
    }
    return (int)apr_time_as_msec(hunger.look_at - BEGUN);
}

static apr_uint32_t count_calls(void)
{
    return (apr_uint32_t)(atomic_load(&udr_shared_hot(shared, slot)->calls) >> 32);
}

/* Is there one that nobody has answered? */
static bool is_called(void)
{
    apr_uint64_t calls = atomic_load(&udr_shared_hot(shared, slot)->calls);
    return calls >> 32 != (calls & 0xffffffff);
}

static void is_not_hungry_when_it_is_accepted_soon(void **state)
{
    (void)state;
    udr_hunger_begin(&hunger, yield, slot, BEGUN);
    assert_int_equal(look(0), 1);
    int accepted = place_accept(&place);
    (void)look(1);
    assert_null(hunger.yield);
    assert_int_equal(count_calls(), 0);
    udr_hunger_end(&hunger);
    close(accepted);
}

static void calls_once_while_it_is_not_answered(void **state)
{
    (void)state;
    udr_hunger_begin(&hunger, yield, slot, BEGUN);
    assert_int_equal(look(1), 2);
    assert_int_equal(count_calls(), 1);
    assert_int_equal(look(1), 4);
    udr_hunger_begin(&hunger, yield, slot, BEGUN); /* harmless */
    assert_int_equal(look(1), 8);
    assert_int_equal(count_calls(), 1);
    assert_true(is_called());
    udr_hunger_end(&hunger);
    assert_false(is_called());
    udr_hunger_end(&hunger);
}

static void looks_ever_less_often(void **state)
{
    (void)state;
    udr_hunger_begin(&hunger, yield, slot, BEGUN);
    assert_int_equal(look(7), 128);
    assert_int_equal(look(1), 192);
    assert_int_equal(look(1), 256);
    udr_hunger_end(&hunger);
}

/* Somebody else was before it in the backlog. */
static void calls_again_when_an_answer_was_to_no_avail(void **state)
{
    (void)state;
    udr_hunger_begin(&hunger, yield, slot, BEGUN);
    (void)look(1);
    assert_true(udr_yield_answer(&giver));
    assert_false(is_called());
    (void)look(1);
    assert_true(is_called());
    assert_int_equal(count_calls(), 2);
    assert_true(udr_yield_answer(&giver));
    int accepted = place_accept(&place);
    (void)look(1);
    assert_null(hunger.yield);
    assert_int_equal(count_calls(), 2);
    close(accepted);
}

static void withdraws_its_call_when_it_is_accepted(void **state)
{
    (void)state;
    udr_hunger_begin(&hunger, yield, slot, BEGUN);
    (void)look(1);
    int accepted = place_accept(&place);
    (void)look(1);
    assert_null(hunger.yield);
    assert_false(is_called());
    close(accepted);
}

static void is_hungry_when_the_backlog_is_full(void **state)
{
    (void)state;
    int accepted = place_accept(&place);
    udr_hunger_begin(&hunger, yield, slot, BEGUN);
    udr_hunger_look(&hunger, -1, hunger.look_at);
    assert_true(is_called());
    (void)look(1);
    assert_false(is_called());
    close(accepted);
}

/* It is not known who is served and who waits: later, and less often. */
static void calls_blindly_where_the_kernel_does_not_tell(void **state)
{
    (void)state;
    is_blind = true;
    udr_hunger_begin(&hunger, yield, slot, BEGUN);
    assert_int_equal(look(1), 6);
    assert_int_equal(count_calls(), 0);
    assert_int_equal(look(1), 16);
    assert_int_equal(count_calls(), 1);
    assert_true(udr_yield_answer(&giver));
    assert_int_equal(look(1), 36);
    assert_int_equal(count_calls(), 2);
    (void)look(10);
    assert_int_equal(hunger.pause, apr_time_from_sec(1));
    assert_int_equal(count_calls(), 2);
    udr_hunger_end(&hunger);
    assert_false(is_called());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(is_not_hungry_when_it_is_accepted_soon),
        TEST(calls_once_while_it_is_not_answered),
        TEST(looks_ever_less_often),
        TEST(calls_again_when_an_answer_was_to_no_avail),
        TEST(withdraws_its_call_when_it_is_accepted),
        TEST(is_hungry_when_the_backlog_is_full),
        TEST(calls_blindly_where_the_kernel_does_not_tell),
    };
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
