/* SPDX-License-Identifier: Apache-2.0 */
/* A pool with more than one lane, and connections that a loop watches. What a pool does within one lane is in
 * test_udr_pool.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_pool.h"

#include <apr_general.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void note_wake_twice(udr_waiter_t *waiter)
{
    note_wake(waiter);
    note_wake(waiter);
}

static void *name(const char *text)
{
    return (void *)(uintptr_t)text;
}

/* --- idle connections --- */

static void takes_from_its_own_lane_first(void **state)
{
    static const struct {
        const char *idle_in;
        int lane; /* of who looks for one */
        int from;
    } rows[] = {{"012", 0, 0}, {"012", 1, 1}, {"012", 2, 2}, {"01", 2, 0}, {"02", 1, 0}, {"12", 0, 1}, {"1", 0, 1},
                {"1", 2, 1},   {"2", 0, 2},   {"2", 1, 2},   {"0", 1, 0},  {"0", 2, 0},  {"0", 0, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        udr_connection_t *made[LANES] = {NULL, NULL, NULL};
        for (const char *lane = rows[i].idle_in; *lane; lane++) {
            made[*lane - '0'] = add_idle(*lane - '0');
        }
        udr_connection_t *found = take_idle(rows[i].lane);
        if (!found || found != made[rows[i].from]) {
            fail_msg("row %zu: not the one of lane %d", i, rows[i].from);
        }
        assert_null(found->next);
        assert_counts((int)strlen(rows[i].idle_in) - 1, 1, 0);
        udr_connection_close(found);
        gives_turn();
        for (int lane = 0; lane < LANES; lane++) {
            (void)udr_pool_tidy(connections, lane, udr_clock_now() + apr_time_from_sec(3600));
        }
        close_ends();
    }
}

/* To the last, whichever lane they are in; and each lane's newest first. */
static void goes_through_all_lanes(void **state)
{
    static const int order[LANES][LANES] = {{0, 1, 2}, {1, 0, 2}, {2, 0, 1}};
    (void)state;
    for (int lane = 0; lane < LANES; lane++) {
        udr_connection_t *made[LANES][2], *found[2 * LANES];
        for (int i = 0; i < 2 * LANES; i++) {
            made[i % LANES][i / LANES] = add_idle(i % LANES);
        }
        assert_counts(2 * LANES, 0, 0);
        for (int i = 0; i < 2 * LANES; i++) {
            found[i] = take_idle(lane);
            assert_ptr_equal(found[i], made[order[lane][i / 2]][1 - i % 2]);
        }
        assert_null(take_idle(lane));
        assert_counts(0, 2 * LANES + 1, 0);
        gives_turn();
        for (int i = 0; i < 2 * LANES; i++) {
            udr_connection_close(found[i]);
            gives_turn();
        }
        close_ends();
    }
}

/* Where it is given back to, whichever lane it came from, is where it is found first. */
static void takes_a_connection_into_another_lane(void **state)
{
    (void)state;
    udr_connection_t *connection = add_idle(0);
    assert_ptr_equal(take_idle(0), connection);
    udr_pool_give(connections, connection, 2);
    udr_connection_t *other = add_idle(0);
    assert_ptr_equal(take_idle(2), connection);
    assert_ptr_equal(take_idle(0), other);
    udr_pool_give(connections, connection, 1);
    udr_pool_give(connections, other, 2);
    assert_int_equal(udr_pool_tidy(connections, 0, udr_clock_now() + apr_time_from_sec(3600)), 0);
    assert_int_equal(udr_pool_tidy(connections, 1, udr_clock_now() + apr_time_from_sec(3600)), 1);
    assert_int_equal(udr_pool_tidy(connections, 2, udr_clock_now() + apr_time_from_sec(3600)), 1);
}

/* Those of other lanes are not looked at as long as there is a good one in its own. */
static void closes_stale_connections_until_it_finds_a_good_one(void **state)
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
    assert_null(take_idle(1));
    assert_counts(0, 2, 0);
    assert_int_equal(count_descriptors(), descriptors - 3);
    udr_pool_give(connections, good, 1);
    gives_turn();
}

static void finds_a_good_one_behind_stale_ones_of_other_lanes(void **state)
{
    (void)state;
    udr_connection_t *good = add_idle(2);
    (void)add_idle(2);
    (void)add_idle(1);
    (void)add_idle(0);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(shutdown(ends[i], SHUT_RDWR), 0);
    }
    assert_ptr_equal(take_idle(1), good);
    assert_counts(0, 1, 0);
    udr_pool_give(connections, good, 1);
}

static void leaves_connections_to_a_replaced_file_in_all_lanes_alone(void **state)
{
    (void)state;
    for (int lane = 0; lane < LANES; lane++) {
        (void)add_idle(lane);
        (void)add_idle(lane);
    }
    int descriptors = count_descriptors();
    place_listen(&place, ENDS_MAX);
    assert_null(take_idle(1));
    assert_counts(0, 1, 0);
    assert_int_equal(count_descriptors(), descriptors - 2 * LANES);
    gives_turn();
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
    /* And two of each loop. */
    assert_int_equal(count_descriptors(), descriptors + 2 * LANES - 2 * (LANES - 1));
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
    assert_ptr_equal(find_idle(0), two);
    assert_true(takes(&b));
    assert_ptr_equal(find_idle(2), one);
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
    udr_pool_readdress(connections, &b, note_wake_twice, name("N"));
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
    udr_pool_readdress(connections, &a, note_wake, name("N"));
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
    udr_pool_readdress(connections, &a, note_wake, name("N"));
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
    udr_pool_readdress(connections, &a, note_wake, name("N"));
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

/* --- connections that a loop watches --- */

static int told;     /* how often an event was told, of any connection */
static int disowned; /* how often of one that nobody uses */

static void is_told(udr_watch_t *watch, uint32_t events)
{
    (void)events;
    told++;
    disowned += watch->baton == NULL;
}

static udr_connection_t *add_watched(int lane)
{
    udr_connection_t *connection = take_and_connect();
    assert_int_equal(udr_connection_watch(connection, loops[lane], is_told), APR_SUCCESS);
    udr_pool_give(connections, connection, lane);
    return connection;
}

/* A round of each: what is ready by then is told. */
static void run_loops(void)
{
    told = 0;
    disowned = 0;
    for (int lane = 1; lane < LANES; lane++) {
        udr_loop_stop(loops[lane]);
        udr_loop_run(loops[lane]);
    }
}

/* The member does, on the connection that was made last. */
static void say_something(void)
{
    assert_int_equal(write(ends[end_count - 1], "x", 1), 1);
}

static void keeps_a_watched_connection_watched(void **state)
{
    int user;
    (void)state;
    udr_connection_t *connection = take_and_connect();
    assert_int_equal(udr_connection_watch(connection, loops[1], is_told), APR_SUCCESS);
    udr_watch_t *watch = connection->watch;
    watch->baton = &user;
    udr_pool_give(connections, connection, 1);
    assert_null(watch->baton); /* nobody uses it */
    assert_true(watch->is_watched);
    assert_ptr_equal(take_idle(1), connection);
    assert_ptr_equal(connection->loop, loops[1]);
    assert_ptr_equal(connection->watch, watch);
    say_something();
    run_loops();
    assert_int_equal(told, 1);
    udr_pool_give(connections, connection, 1);
}

/* What has come and the loop has not heard of is the kernel's secret still: only who could not ask again asks it. */
static void trusts_a_quiet_connection_for_what_can_be_sent_again(void **state)
{
    (void)state;
    for (int is_heard = 0; is_heard < 2; is_heard++) {
        udr_connection_t *connection = take_and_connect();
        assert_int_equal(udr_connection_watch(connection, loops[1], is_told), APR_SUCCESS);
        udr_pool_give(connections, connection, 1);
        say_something();
        if (is_heard) {
            run_loops();
            assert_int_equal(told, 1);
        }
        take_turn();
        assert_ptr_equal(udr_pool_idle(connections, 1, true, udr_clock_now()), is_heard ? NULL : connection);
        if (!is_heard) {
            udr_pool_give(connections, connection, 1);
            take_turn();
            assert_null(udr_pool_idle(connections, 1, false, udr_clock_now()));
            gives_turn();
        }
        gives_turn();
    }
}

/* One that nobody watches, or another thread's loop, can have said anything. */
static void trusts_no_connection_of_others(void **state)
{
    (void)state;
    udr_connection_t *connection = add_idle(0);
    say_something();
    take_turn();
    assert_null(udr_pool_idle(connections, 0, true, udr_clock_now()));
    connection = take_and_connect();
    assert_int_equal(udr_connection_watch(connection, loops[1], is_told), APR_SUCCESS);
    udr_pool_give(connections, connection, 1);
    say_something();
    assert_null(udr_pool_idle(connections, 2, true, udr_clock_now()));
    gives_turn();
}

/* By a worker, who has no loop, and by another loop. */
static void takes_a_connection_away_from_its_loop(void **state)
{
    static const struct {
        int from;
        int to;
    } rows[] = {{1, 0}, {2, 0}, {1, 2}, {2, 1}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        udr_connection_t *connection = add_watched(rows[i].from);
        assert_ptr_equal(take_idle(rows[i].to), connection);
        assert_null(connection->loop);
        assert_null(connection->watch);
        say_something();
        run_loops();
        if (told != 0) {
            fail_msg("row %zu: told by the loop it was taken away from", i);
        }
        /* From now on it may be another's. */
        if (rows[i].to != 0) {
            assert_int_equal(udr_connection_watch(connection, loops[rows[i].to], is_told), APR_SUCCESS);
            run_loops();
            assert_int_equal(told, 1);
        }
        udr_connection_close(connection);
        gives_turn();
    }
}

static void empties_all_lanes(void **state)
{
    (void)state;
    int descriptors = count_descriptors();
    (void)add_idle(0);
    for (int lane = 1; lane < LANES; lane++) {
        (void)add_idle(lane);
        (void)add_watched(lane);
    }
    assert_int_equal(udr_pool_close_outdated(connections), 0);
    assert_counts(2 * LANES - 1, 0, 0);
    assert_int_equal(udr_pool_empty(connections), 2 * LANES - 1);
    assert_counts(0, 0, 0);
    assert_int_equal(count_descriptors(), descriptors + 2 * LANES - 1); /* the member's ends */
    run_loops();
    assert_int_equal(told, 0);
}

static void leaves_those_of_the_own_loop_watched(void **state)
{
    (void)state;
    udr_connection_t *first = add_watched(1);
    udr_connection_t *second = add_watched(1);
    assert_ptr_equal(take_idle(1), second);
    assert_ptr_equal(take_idle(1), first);
    assert_ptr_equal(first->loop, loops[1]);
    assert_ptr_equal(second->loop, loops[1]);
    udr_pool_give(connections, first, 1);
    udr_pool_give(connections, second, 1);
}

static void unwatches_stale_connections_of_other_loops(void **state)
{
    int copies[2];
    (void)state;
    udr_connection_t *good = add_watched(2);
    copies[0] = dup(add_watched(2)->fd);
    copies[1] = dup(add_watched(1)->fd);
    run_loops();
    assert_int_equal(shutdown(ends[1], SHUT_RDWR), 0);
    assert_int_equal(shutdown(ends[2], SHUT_RDWR), 0);
    assert_ptr_equal(take_idle(0), good);
    /* The kernel watches an open file, not a descriptor: a copy shows whether a loop still does. */
    run_loops();
    assert_int_equal(told, 0);
    udr_pool_give(connections, good, 0);
    close(copies[0]);
    close(copies[1]);
}

/* Each of the ways in which the pool closes a watched connection of its caller's own lane. */
static void close_by_idle(void)
{
    assert_null(take_idle(1));
    gives_turn();
}

static void close_by_tidy(void)
{
    assert_int_equal(udr_pool_tidy(connections, 1, udr_clock_now()), 1);
}

static void unwatches_what_it_closes(void **state)
{
    static void (*const ways[])(void) = {close_by_idle, close_by_tidy};
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        int copy = dup(add_watched(1)->fd);
        assert_int_equal(shutdown(ends[end_count - 1], SHUT_RDWR), 0);
        ways[i]();
        assert_counts(0, 0, 0);
        run_loops();
        assert_int_equal(told, 0);
        close(copy);
    }
}

/* As if another thread did so while the loop is busy with an event: it finds both connections stale, closes them, and
 * one of them has an event in this round yet. */
static void take_for_another_lane(udr_watch_t *watch, uint32_t events)
{
    udr_waiter_t someone = guest("?");
    is_told(watch, events);
    if (told == 1 && udr_pool_take(connections, &someone) == APR_SUCCESS) {
        assert_null(find_idle(2));
        gives_turn();
    }
}

static void survives_an_event_of_a_connection_that_is_gone(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        add_watched(1)->watch->ready = take_for_another_lane;
        say_something();
    }
    assert_counts(2, 0, 0);
    run_loops();
    assert_counts(0, 0, 0);
    assert_int_equal(told, 2);
    assert_int_equal(disowned, 2);
    run_loops();
    assert_int_equal(told, 0);
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
        assert_int_equal(udr_connection_watch(made[i], loops[1], tell_and_close_other), APR_SUCCESS);
        made[i]->watch->baton = made[1 - i];
        say_something();
    }
    run_loops();
    assert_int_equal(told, 1);
    /* The one that is left has closed the other, which had bytes yet to read. */
    char byte;
    int left = recv(ends[0], &byte, 1, MSG_DONTWAIT) == -1 && errno == ECONNRESET ? 1 : 0;
    assert_int_equal(recv(ends[left], &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    udr_connection_close(made[left]);
}

static void closes_watched_connections_at_its_end(void **state)
{
    (void)state;
    int descriptors = count_descriptors();
    for (int lane = 1; lane < LANES; lane++) {
        (void)add_watched(lane);
        say_something();
    }
    run_loops();
    assert_int_equal(told, LANES - 1);
    apr_pool_clear(child);
    /* What is left is the member's. */
    assert_int_equal(count_descriptors(), descriptors + (LANES - 1) - 2 * (LANES - 1));
}

#define in_place(test) cmocka_unit_test_setup_teardown(test, pool_set_up, pool_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_place(takes_from_its_own_lane_first),
        in_place(goes_through_all_lanes),
        in_place(takes_a_connection_into_another_lane),
        in_place(closes_stale_connections_until_it_finds_a_good_one),
        in_place(finds_a_good_one_behind_stale_ones_of_other_lanes),
        in_place(leaves_connections_to_a_replaced_file_in_all_lanes_alone),
        in_place(closes_the_idle_ones_of_all_lanes_at_its_end),
        in_place(empties_all_lanes),
        in_place(shares_the_turns_of_all_lanes),
        in_place(tidies_one_lane),
        in_place(tidies_stale_connections_of_one_lane_away),
        in_place(wakes_the_new_one_at_the_same_place_in_the_queue),
        in_place(wakes_nobody_again_whose_turn_has_come),
        in_place(wakes_the_new_one_who_queues_later),
        in_place(lets_leave_who_has_been_readdressed),
        in_place(loses_no_turn_between_the_old_and_the_new),
        in_place(keeps_a_watched_connection_watched),
        in_place(trusts_a_quiet_connection_for_what_can_be_sent_again),
        in_place(trusts_no_connection_of_others),
        in_place(takes_a_connection_away_from_its_loop),
        in_place(leaves_those_of_the_own_loop_watched),
        in_place(unwatches_stale_connections_of_other_loops),
        in_place(unwatches_what_it_closes),
        in_place(survives_an_event_of_a_connection_that_is_gone),
        in_place(is_told_nothing_of_a_connection_closed_in_this_round),
        in_place(closes_watched_connections_at_its_end),
    };
    apr_initialize();
    alarm(60); /* for a loop that never ends */
    return cmocka_run_group_tests_name("udr_pool_lanes", tests, NULL, NULL);
}
