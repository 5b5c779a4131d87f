/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "mod_udsroute/mod_udsroute_owner.h"

/* The picture in mod_udsroute/README.md, arrow by arrow. */
static const struct {
    udr_owner_t from;
    udr_owner_t to;
} arrows[] = {
    {UDR_OWNER_WORKER, UDR_OWNER_LEAVING}, {UDR_OWNER_LEAVING, UDR_OWNER_COMING}, {UDR_OWNER_COMING, UDR_OWNER_LOOP},
    {UDR_OWNER_LOOP, UDR_OWNER_GOING},     {UDR_OWNER_LOOP, UDR_OWNER_GONE},      {UDR_OWNER_GOING, UDR_OWNER_GUEST},
    {UDR_OWNER_GUEST, UDR_OWNER_COMING},   {UDR_OWNER_GUEST, UDR_OWNER_LEAVING},
};

static bool is_arrow(udr_owner_t from, udr_owner_t to)
{
    for (size_t i = 0; i < sizeof arrows / sizeof *arrows; i++) {
        if (arrows[i].from == from && arrows[i].to == to) {
            return true;
        }
    }
    return false;
}

static void passes_along_the_arrows_only(void **state)
{
    (void)state;
    for (udr_owner_t from = 0; from < UDR_OWNERS; from++) {
        for (udr_owner_t to = 0; to < UDR_OWNERS; to++) {
            if (udr_owner_may_pass(from, to) != is_arrow(from, to)) {
                fail_msg("from %s to %s", udr_owner_name(from), udr_owner_name(to));
            }
        }
    }
}

/* A connection that nobody can free is a leak; one that can be touched afterwards a crash. */
static void everybody_leads_to_gone_and_nothing_from_there(void **state)
{
    bool leads[UDR_OWNERS] = {[UDR_OWNER_GONE] = true};
    (void)state;
    for (int round = 0; round < UDR_OWNERS; round++) {
        for (udr_owner_t from = 0; from < UDR_OWNERS; from++) {
            for (udr_owner_t to = 0; to < UDR_OWNERS; to++) {
                leads[from] |= udr_owner_may_pass(from, to) && leads[to];
            }
        }
    }
    for (udr_owner_t owner = 0; owner < UDR_OWNERS; owner++) {
        assert_true(leads[owner]);
        assert_false(udr_owner_may_pass(UDR_OWNER_GONE, owner));
    }
}

/* Between two threads lies a queue: no one takes from the other what that one may still touch. */
static void threads_pass_through_a_queue(void **state)
{
    static const struct {
        udr_owner_t owner;
        char thread; /* Queue, Worker or Loop */
    } threads[] = {
        {UDR_OWNER_WORKER, 'W'}, {UDR_OWNER_LEAVING, 'W'}, {UDR_OWNER_COMING, 'Q'}, {UDR_OWNER_LOOP, 'L'},
        {UDR_OWNER_GOING, 'Q'},  {UDR_OWNER_GUEST, 'W'},   {UDR_OWNER_GONE, 'L'},
    };
    (void)state;
    for (udr_owner_t from = 0; from < UDR_OWNERS; from++) {
        assert_int_equal(threads[from].owner, from);
        for (udr_owner_t to = 0; to < UDR_OWNERS; to++) {
            if (udr_owner_may_pass(from, to) && threads[from].thread != threads[to].thread) {
                assert_true(threads[from].thread == 'Q' || threads[to].thread == 'Q');
            }
        }
    }
}

static void each_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (udr_owner_t owner = 0; owner < UDR_OWNERS; owner++) {
        assert_true(udr_owner_name(owner)[0] != '\0');
        for (udr_owner_t other = 0; other < owner; other++) {
            assert_string_not_equal(udr_owner_name(owner), udr_owner_name(other));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_along_the_arrows_only),
        cmocka_unit_test(everybody_leads_to_gone_and_nothing_from_there),
        cmocka_unit_test(threads_pass_through_a_queue),
        cmocka_unit_test(each_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
