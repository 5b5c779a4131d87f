/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_pool.h"

#include "mod_udsroute/udr_clock.h"

#include <apr_strings.h>

#include <string.h>
#include <unistd.h>

apr_pool_t *pool;
apr_pool_t *child;
place_t place;
udr_member_t *member;
udr_pool_t *connections;
udr_loop_t *loops[LANES];
int ends[ENDS_MAX];
int end_count;
char woken[16];

static apr_time_t looked_at; /* the file, when an idle connection was last looked for */

int pool_set_up(void **state)
{
    const udr_target_t *target = NULL;
    udr_settings_t settings;
    (void)state;
    end_count = 0;
    woken[0] = '\0';
    looked_at = udr_clock_now();
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || apr_pool_create(&child, pool) != APR_SUCCESS ||
        !place_make(&place, pool)) {
        return -1;
    }
    const char *text = apr_pstrcat(pool, "unix:", place.path, "|http://localhost/", NULL);
    if (udr_target_parse(&target, text, "/run", pool)) {
        return -1;
    }
    udr_settings_init(&settings);
    udr_settings_resolve(&settings, apr_time_from_sec(60), false);
    member = udr_member_create(target, &settings, pool);
    place_listen(&place, ENDS_MAX);
    /* In a child's order: its cleanup closes connections while the loops are still there. */
    for (int lane = 1; lane < LANES; lane++) {
        if (udr_loop_create(&loops[lane], child) != APR_SUCCESS) {
            return -1;
        }
    }
    return udr_pool_create(&connections, member, LANES, child) != APR_SUCCESS;
}

int pool_tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(child);
    close_ends();
    bool dropped = place_drop(&place);
    apr_pool_destroy(pool);
    return dropped ? 0 : -1;
}

void check_counts(int idle, int busy, int waiting, const char *file, int line)
{
    udr_pool_counts_t counts;
    udr_pool_count(connections, &counts);
    if (counts.idle != idle || counts.busy != busy || counts.waiting != waiting) {
        print_error("%d idle, %d busy, %d waiting, not %d, %d, %d\n", counts.idle, counts.busy, counts.waiting, idle,
                    busy, waiting);
        _fail(file, line);
    }
}

/* --- turns --- */

void note_wake(udr_waiter_t *waiter)
{
    strcat(woken, waiter->baton);
}

udr_waiter_t guest(const char *name)
{
    return (udr_waiter_t){.wake = note_wake, .baton = (void *)(uintptr_t)name};
}

bool takes(udr_waiter_t *someone)
{
    apr_status_t rv = udr_pool_take(connections, someone);
    assert_true(rv == APR_SUCCESS || rv == APR_EAGAIN);
    return rv == APR_SUCCESS;
}

void leaves(udr_waiter_t *someone)
{
    udr_pool_leave(connections, someone);
}

void take_turn(void)
{
    udr_waiter_t someone = guest("?");
    assert_true(takes(&someone));
}

void gives_turn(void)
{
    udr_pool_give(connections, NULL, 0);
}

/* --- connections --- */

udr_connection_t *find_idle(int lane)
{
    looked_at += apr_time_from_msec(1);
    return udr_pool_idle(connections, lane, false, looked_at);
}

udr_connection_t *take_idle(int lane)
{
    take_turn();
    return find_idle(lane);
}

udr_connection_t *take_and_connect(void)
{
    take_turn();
    udr_connection_t *connection = place_connect(&place);
    connection->requests = 2; /* the member keeps its connections, and has shown it */
    ends[end_count++] = place_accept(&place);
    return connection;
}

udr_connection_t *add_idle(int lane)
{
    udr_connection_t *connection = take_and_connect();
    udr_pool_give(connections, connection, lane);
    return connection;
}

void close_ends(void)
{
    while (end_count > 0) {
        close(ends[--end_count]);
    }
}
