/* SPDX-License-Identifier: Apache-2.0 */
/* A pool with more than one lane, and connections that a loop watches. What a pool does within one lane is in
 * test_udr_pool.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_loop.h"
#include "mod_udsroute/udr_pool.h"
#include "tests/unit/fixture_socket.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum { LANES = 3, ENDS_MAX = 16 };

static apr_pool_t *pool;
static apr_pool_t *child; /* with it goes the pool of connections, and then the loop */
static place_t place;
static udr_loop_t *loop;
static udr_member_t *member;
static udr_pool_t *connections;
static int ends[ENDS_MAX]; /* the member's ends of the connections, in the order in which they were made */
static int end_count;
static char woken[16]; /* the bells, in the order in which they were rung */

static int set_up(void **state)
{
    const udr_target_t *target = NULL;
    udr_settings_t settings;
    (void)state;
    end_count = 0;
    woken[0] = '\0';
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || apr_pool_create(&child, pool) != APR_SUCCESS ||
        !place_make(&place, pool)) {
        return -1;
    }
    const char *text = apr_pstrcat(pool, "unix:", place.path, "|http://localhost/", NULL);
    if (udr_target_parse(&target, text, "/run", pool)) {
        return -1;
    }
    udr_settings_init(&settings);
    udr_settings_resolve(&settings, apr_time_from_sec(60));
    member = udr_member_create(target, &settings, pool);
    place_listen(&place, ENDS_MAX);
    /* In a child's order: its cleanup closes connections while the loop is still there. */
    return udr_loop_create(&loop, child) != APR_SUCCESS ||
           udr_pool_create(&connections, member, LANES, child) != APR_SUCCESS;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(child);
    while (end_count > 0) {
        close(ends[--end_count]);
    }
    bool dropped = place_drop(&place);
    apr_pool_destroy(pool);
    return dropped ? 0 : -1;
}

static void assert_counts(int idle, int busy, int waiting)
{
    udr_pool_counts_t counts;
    udr_pool_count(connections, &counts);
    assert_int_equal(counts.idle, idle);
    assert_int_equal(counts.busy, busy);
    assert_int_equal(counts.waiting, waiting);
}

static void ring(udr_waiter_t *waiter)
{
    strcat(woken, waiter->baton);
}

static void ring_twice(udr_waiter_t *waiter)
{
    ring(waiter);
    ring(waiter);
}

static void *name(const char *text)
{
    return (void *)(uintptr_t)text;
}

static udr_waiter_t guest(const char *text)
{
    return (udr_waiter_t){.wake = ring, .baton = name(text)};
}

static bool takes(udr_waiter_t *someone)
{
    apr_status_t rv = udr_pool_take(connections, someone);
    assert_true(rv == APR_SUCCESS || rv == APR_EAGAIN);
    return rv == APR_SUCCESS;
}

static void take_turn(void)
{
    udr_waiter_t someone = guest("?");
    assert_true(takes(&someone));
}

/* A turn, and what is idle in that lane. */
static udr_connection_t *take_idle(int lane)
{
    take_turn();
    return udr_pool_idle(connections, lane);
}

static udr_connection_t *take_and_connect(void)
{
    take_turn();
    udr_connection_t *connection = place_connect(&place);
    ends[end_count++] = place_accept(&place);
    return connection;
}

/* A new idle connection in the lane, made while others are in use. */
static udr_connection_t *add_idle(int lane)
{
    udr_connection_t *connection = take_and_connect();
    udr_pool_give(connections, connection, lane);
    return connection;
}

/* --- idle connections --- */

static void keeps_the_lanes_apart(void **state)
{
    (void)state;
    udr_connection_t *one = add_idle(1);
    assert_counts(1, 0, 0);
    assert_null(take_idle(0));
    assert_null(take_idle(2));
    assert_ptr_equal(take_idle(1), one);
    assert_null(one->next);
    assert_counts(0, 3, 0);
    udr_pool_give(connections, NULL, 0);
    udr_pool_give(connections, NULL, 2);
    udr_pool_give(connections, one, 1);
    assert_counts(1, 0, 0);
}

static void hands_out_the_newest_of_a_lane(void **state)
{
    udr_connection_t *made[LANES][2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        for (int lane = 0; lane < LANES; lane++) {
            made[lane][i] = add_idle(lane);
        }
    }
    assert_counts(2 * LANES, 0, 0);
    for (int lane = 0; lane < LANES; lane++) {
        assert_ptr_equal(take_idle(lane), made[lane][1]);
        assert_ptr_equal(take_idle(lane), made[lane][0]);
        assert_null(take_idle(lane));
    }
    assert_counts(0, 3 * LANES, 0);
    for (int lane = 0; lane < LANES; lane++) {
        udr_pool_give(connections, made[lane][0], lane);
        udr_pool_give(connections, made[lane][1], lane);
        udr_pool_give(connections, NULL, lane);
    }
    assert_counts(2 * LANES, 0, 0);
}

/* What no loop watches, any may use: after those of its own. */
static void hands_out_those_of_lane_0_to_all(void **state)
{
    (void)state;
    udr_connection_t *first = add_idle(0);
    udr_connection_t *second = add_idle(0);
    udr_connection_t *own = add_idle(1);
    udr_connection_t *third = add_idle(0);
    assert_ptr_equal(take_idle(1), own);
    assert_ptr_equal(take_idle(1), third);
    assert_ptr_equal(take_idle(2), second);
    assert_ptr_equal(take_idle(0), first);
    assert_null(take_idle(1));
    assert_counts(0, 5, 0);
    udr_pool_give(connections, own, 1);
    udr_pool_give(connections, third, 1);
    udr_pool_give(connections, second, 2);
    udr_pool_give(connections, first, 0);
    udr_pool_give(connections, NULL, 1);
    assert_counts(4, 0, 0);
    /* They are where they were given back to. */
    assert_ptr_equal(take_idle(0), first);
    assert_null(take_idle(0));
    udr_pool_give(connections, first, 0);
    udr_pool_give(connections, NULL, 0);
}

/* A worker's connection goes with its exchange to a loop. */
static void takes_a_connection_into_another_lane(void **state)
{
    (void)state;
    udr_connection_t *connection = add_idle(0);
    assert_ptr_equal(take_idle(0), connection);
    udr_pool_give(connections, connection, 2);
    assert_null(take_idle(0));
    assert_ptr_equal(take_idle(2), connection);
    udr_pool_give(connections, connection, 2);
    udr_pool_give(connections, NULL, 0);
    assert_counts(1, 0, 0);
}

static void closes_stale_connections_of_the_lane_alone(void **state)
{
    (void)state;
    udr_connection_t *good = add_idle(1);
    (void)add_idle(1);
    (void)add_idle(0);
    (void)add_idle(2);
    int descriptors = count_descriptors();
    for (int i = 1; i < 4; i++) {
        assert_int_equal(shutdown(ends[i], SHUT_RDWR), 0);
    }
    assert_ptr_equal(take_idle(1), good);
    assert_counts(2, 1, 0);
    assert_int_equal(count_descriptors(), descriptors - 1);
    udr_pool_give(connections, good, 1);
}

static void leaves_connections_to_a_replaced_file_lane_by_lane(void **state)
{
    (void)state;
    (void)add_idle(1);
    (void)add_idle(1);
    (void)add_idle(2);
    place_listen(&place, ENDS_MAX);
    assert_null(take_idle(1));
    assert_counts(1, 1, 0);
    assert_null(take_idle(2));
    assert_counts(0, 2, 0);
    udr_pool_give(connections, NULL, 0);
    udr_pool_give(connections, NULL, 0);
}

static void closes_the_idle_ones_of_all_lanes_at_its_end(void **state)
{
    (void)state;
    int descriptors = count_descriptors();
    for (int lane = 0; lane < LANES; lane++) {
        (void)add_idle(lane);
        (void)add_idle(lane);
    }
    assert_int_equal(count_descriptors(), descriptors + 4 * LANES);
    apr_pool_clear(child);
    /* And the two of the loop. */
    assert_int_equal(count_descriptors(), descriptors + 2 * LANES - 2);
}

/* --- turns --- */

static void shares_the_turns_of_all_lanes(void **state)
{
    udr_waiter_t a = guest("A"), b = guest("B");
    (void)state;
    member->settings.max = 2;
    udr_connection_t *one = take_and_connect();
    udr_connection_t *two = take_and_connect();
    assert_false(takes(&a));
    assert_false(takes(&b));
    /* Whichever lane a turn comes back in, it is for who waits longest. */
    udr_pool_give(connections, one, 2);
    assert_string_equal(woken, "A");
    assert_counts(1, 2, 1);
    udr_pool_give(connections, two, 0);
    assert_string_equal(woken, "AB");
    assert_counts(2, 2, 0);
    assert_true(takes(&a));
    assert_ptr_equal(udr_pool_idle(connections, 0), two);
    assert_true(takes(&b));
    assert_ptr_equal(udr_pool_idle(connections, 2), one);
    udr_pool_give(connections, one, 1);
    udr_pool_give(connections, two, 1);
    assert_counts(2, 0, 0);
}

/* --- tidying --- */

static void tidies_one_lane(void **state)
{
    (void)state;
    apr_time_t later = udr_clock_now() + apr_time_from_sec(3600);
    for (int lane = 0; lane < LANES; lane++) {
        (void)add_idle(lane);
        (void)add_idle(lane);
    }
    assert_int_equal(udr_pool_tidy(connections, 1, later), 2);
    assert_counts(4, 0, 0);
    assert_int_equal(udr_pool_tidy(connections, 1, later), 0);
    assert_int_equal(udr_pool_tidy(connections, 2, later), 2);
    assert_int_equal(udr_pool_tidy(connections, 0, later), 2);
    assert_counts(0, 0, 0);
}

static void tidies_stale_connections_of_one_lane_away(void **state)
{
    (void)state;
    udr_connection_t *good = add_idle(1);
    (void)add_idle(1);
    (void)add_idle(2);
    assert_int_equal(shutdown(ends[1], SHUT_RDWR), 0);
    assert_int_equal(shutdown(ends[2], SHUT_RDWR), 0);
    assert_int_equal(udr_pool_tidy(connections, 1, udr_clock_now()), 1);
    assert_counts(2, 0, 0);
    assert_ptr_equal(take_idle(1), good);
    udr_pool_give(connections, good, 1);
    assert_int_equal(udr_pool_tidy(connections, 2, udr_clock_now()), 1);
    assert_counts(1, 0, 0);
}

/* --- who is to be woken --- */

static void wakes_the_new_one_at_the_same_place_in_the_queue(void **state)
{
    udr_waiter_t a = guest("A"), b = guest("B"), c = guest("C");
    (void)state;
    member->settings.max = 1;
    take_turn();
    assert_false(takes(&a));
    assert_false(takes(&b));
    assert_false(takes(&c));
    udr_pool_readdress(connections, &b, ring_twice, name("N"));
    assert_counts(0, 1, 3);
    assert_string_equal(woken, "");
    udr_pool_give(connections, NULL, 0);
    assert_string_equal(woken, "A");
    assert_true(takes(&a));
    assert_false(takes(&b));
    udr_pool_give(connections, NULL, 0);
    assert_string_equal(woken, "ANN");
    assert_true(takes(&b));
    udr_pool_give(connections, NULL, 0);
    assert_string_equal(woken, "ANNC");
    assert_true(takes(&c));
    udr_pool_give(connections, NULL, 0);
    assert_counts(0, 0, 0);
}

/* Its turn has come before: the one before was told, the new one is not and has to ask. */
static void wakes_nobody_again_whose_turn_has_come(void **state)
{
    udr_waiter_t a = guest("A");
    (void)state;
    member->settings.max = 1;
    take_turn();
    assert_false(takes(&a));
    udr_pool_give(connections, NULL, 0);
    udr_pool_readdress(connections, &a, ring, name("N"));
    assert_string_equal(woken, "A");
    assert_counts(0, 1, 0);
    assert_true(takes(&a));
    udr_pool_give(connections, NULL, 0);
    assert_counts(0, 0, 0);
}

static void wakes_the_new_one_who_queues_later(void **state)
{
    udr_waiter_t a = guest("A");
    (void)state;
    member->settings.max = 1;
    udr_pool_readdress(connections, &a, ring, name("N"));
    assert_counts(0, 0, 0);
    take_turn();
    assert_false(takes(&a));
    udr_pool_give(connections, NULL, 0);
    assert_string_equal(woken, "N");
    udr_pool_leave(connections, &a);
    assert_counts(0, 0, 0);
}

static void lets_leave_who_has_been_readdressed(void **state)
{
    udr_waiter_t a = guest("A"), b = guest("B");
    (void)state;
    member->settings.max = 1;
    take_turn();
    assert_false(takes(&a));
    assert_false(takes(&b));
    udr_pool_readdress(connections, &a, ring, name("N"));
    udr_pool_readdress(connections, &b, NULL, NULL);
    udr_pool_leave(connections, &a);
    assert_counts(0, 1, 1);
    udr_pool_give(connections, NULL, 0);
    assert_string_equal(woken, "");
    assert_true(takes(&b));
    udr_pool_give(connections, NULL, 0);
}

/* A turn is given by one thread while another readdresses. After that the old bell is not touched any more, and no turn
 * is lost: either it is there to be taken, or the new bell rings. */
enum { MOVES = 2000 };

static sem_t may_give;

static void ring_bell(udr_waiter_t *waiter)
{
    sem_post(waiter->baton);
}

static void *give_turns(void *baton)
{
    (void)baton;
    for (int i = 0; i < MOVES; i++) {
        while (sem_wait(&may_give) != 0) {
        }
        udr_pool_give(connections, NULL, 1);
    }
    return NULL;
}

static sem_t *new_bell(void)
{
    sem_t *bell = malloc(sizeof *bell);
    assert_non_null(bell);
    sem_init(bell, 0, 0);
    return bell;
}

static void drop_bell(sem_t *bell)
{
    sem_destroy(bell);
    memset(bell, '#', sizeof *bell);
    free(bell);
}

static void await(sem_t *bell)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    while (sem_timedwait(bell, &until) != 0) {
        if (errno != EINTR) {
            print_error("nobody is woken\n");
            abort(); /* the other thread still needs what a tear-down would take away */
        }
    }
}

static void loses_no_turn_between_the_old_and_the_new(void **state)
{
    pthread_t giver;
    (void)state;
    member->settings.max = 1;
    sem_init(&may_give, 0, 0);
    take_turn();
    assert_int_equal(pthread_create(&giver, NULL, give_turns, NULL), 0);
    for (int i = 0; i < MOVES; i++) {
        sem_t *before = new_bell(), *after = new_bell();
        udr_waiter_t waiter = {.wake = ring_bell, .baton = before};
        assert_false(takes(&waiter));
        sem_post(&may_give);
        udr_pool_readdress(connections, &waiter, ring_bell, after);
        drop_bell(before);
        if (!takes(&waiter)) {
            await(after);
            assert_true(takes(&waiter));
        }
        /* A bell that rings after the turn was found is the giver's last act with it. */
        assert_counts(0, 1, 0);
        drop_bell(after);
    }
    pthread_join(giver, NULL);
    udr_pool_give(connections, NULL, 0);
    assert_counts(0, 0, 0);
    sem_destroy(&may_give);
}

/* --- connections that the loop watches --- */

static int told; /* how often an event was told, of any connection */

static void is_told(udr_watch_t *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    told++;
}

static void watch(udr_connection_t *connection)
{
    connection->watch.ready = is_told;
    assert_int_equal(udr_loop_watch(loop, &connection->watch, connection->fd), APR_SUCCESS);
    connection->loop = loop;
}

static udr_connection_t *add_watched(int lane)
{
    udr_connection_t *connection = take_and_connect();
    watch(connection);
    udr_pool_give(connections, connection, lane);
    return connection;
}

/* The loop ends after the round in which it is asked; what is ready by then is told before. */
static void run_loop(void)
{
    told = 0;
    udr_loop_stop(loop);
    udr_loop_run(loop);
}

static void keeps_a_watched_connection_watched(void **state)
{
    int user;
    (void)state;
    udr_connection_t *connection = take_and_connect();
    watch(connection);
    connection->watch.baton = &user;
    udr_pool_give(connections, connection, 1);
    assert_null(connection->watch.baton); /* nobody uses it */
    assert_true(connection->watch.is_watched);
    assert_ptr_equal(take_idle(1), connection);
    assert_ptr_equal(connection->loop, loop);
    run_loop();
    assert_int_equal(told, 1);
    udr_pool_give(connections, connection, 1);
}

static void closes_connections_that_no_loop_watches(void **state)
{
    (void)state;
    udr_connection_t *connection = place_connect(&place);
    assert_null(connection->loop);
    assert_false(connection->watch.is_watched);
    int descriptors = count_descriptors();
    udr_connection_close(connection);
    assert_int_equal(count_descriptors(), descriptors - 1);
}

/* The kernel watches an open file, not a descriptor: a copy shows whether the loop still does. */
static void unwatches_what_it_closes(void **state)
{
    (void)state;
    udr_connection_t *connection = take_and_connect();
    int copy = dup(connection->fd);
    watch(connection);
    udr_connection_close(connection);
    udr_pool_give(connections, NULL, 1);
    assert_int_equal(write(ends[0], "x", 1), 1);
    run_loop();
    assert_int_equal(told, 0);
    close(copy);
}

/* Each of the ways in which the pool closes a watched connection. */
static void close_by_idle(void)
{
    assert_null(take_idle(1));
    udr_pool_give(connections, NULL, 1);
}

static void close_by_tidy(void)
{
    assert_int_equal(udr_pool_tidy(connections, 1, udr_clock_now()), 1);
}

static void unwatches_what_the_pool_closes(void **state)
{
    static void (*const ways[])(void) = {close_by_idle, close_by_tidy};
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        int copy = dup(add_watched(1)->fd);
        assert_int_equal(shutdown(ends[end_count - 1], SHUT_RDWR), 0);
        ways[i]();
        assert_counts(0, 0, 0);
        udr_loop_t *other = NULL;
        assert_int_equal(udr_loop_create(&other, child), APR_SUCCESS);
        run_loop();
        assert_int_equal(told, 0);
        loop = other; /* one that has been stopped does not run again */
        close(copy);
    }
}

/* Two events in one round: who is told first closes the other, whose event is not told any more. */
static void tell_and_close_other(udr_watch_t *first, uint32_t events)
{
    (void)events;
    told++;
    if (first->baton) {
        udr_connection_close(first->baton);
        first->baton = NULL;
    }
}

static void is_told_nothing_of_a_connection_closed_in_this_round(void **state)
{
    (void)state;
    udr_connection_t *made[] = {place_connect(&place), place_connect(&place)};
    for (int i = 0; i < 2; i++) {
        ends[end_count++] = place_accept(&place);
        watch(made[i]);
        made[i]->watch.ready = tell_and_close_other;
        made[i]->watch.baton = made[1 - i];
    }
    run_loop();
    assert_int_equal(told, 1);
    /* The one that is left has closed the other. */
    char byte;
    int left = read(ends[0], &byte, 1) == 0 ? 1 : 0;
    assert_int_equal(read(ends[1 - left], &byte, 1), 0);
    assert_int_equal(read(ends[left], &byte, 1), -1);
    udr_connection_close(made[left]);
}

static void closes_watched_connections_at_its_end(void **state)
{
    (void)state;
    int descriptors = count_descriptors();
    for (int lane = 0; lane < LANES; lane++) {
        (void)add_watched(lane);
    }
    run_loop();
    assert_int_equal(told, LANES);
    apr_pool_clear(child);
    assert_int_equal(count_descriptors(), descriptors + LANES - 2);
}

#define in_place(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_place(keeps_the_lanes_apart),
        in_place(hands_out_the_newest_of_a_lane),
        in_place(hands_out_those_of_lane_0_to_all),
        in_place(takes_a_connection_into_another_lane),
        in_place(closes_stale_connections_of_the_lane_alone),
        in_place(leaves_connections_to_a_replaced_file_lane_by_lane),
        in_place(closes_the_idle_ones_of_all_lanes_at_its_end),
        in_place(shares_the_turns_of_all_lanes),
        in_place(tidies_one_lane),
        in_place(tidies_stale_connections_of_one_lane_away),
        in_place(wakes_the_new_one_at_the_same_place_in_the_queue),
        in_place(wakes_nobody_again_whose_turn_has_come),
        in_place(wakes_the_new_one_who_queues_later),
        in_place(lets_leave_who_has_been_readdressed),
        in_place(loses_no_turn_between_the_old_and_the_new),
        in_place(keeps_a_watched_connection_watched),
        in_place(closes_connections_that_no_loop_watches),
        in_place(unwatches_what_it_closes),
        in_place(unwatches_what_the_pool_closes),
        in_place(is_told_nothing_of_a_connection_closed_in_this_round),
        in_place(closes_watched_connections_at_its_end),
    };
    apr_initialize();
    alarm(60); /* for a loop that never ends */
    return cmocka_run_group_tests_name("udr_pool_lanes", tests, NULL, NULL);
}
