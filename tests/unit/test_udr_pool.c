/* SPDX-License-Identifier: Apache-2.0 */
/* What a pool does for workers, all in the common lane. More lanes are in test_udr_pool_lanes.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_pool.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* So many idle connections, the last one newest. */
static void fill_with_idle(udr_connection_t **made, int count)
{
    for (int i = 0; i < count; i++) {
        made[i] = take_and_connect();
    }
    for (int i = 0; i < count; i++) {
        udr_pool_give(connections, made[i], 0);
    }
    assert_counts(count, 0, 0);
}

/* --- idle connections --- */

static void has_nothing_at_first(void **state)
{
    udr_waiter_t a = guest("A");
    (void)state;
    assert_counts(0, 0, 0);
    assert_true(takes(&a));
    assert_counts(0, 1, 0);
    assert_null(find_idle(0));
    gives_turn();
    assert_counts(0, 0, 0);
}

static void hands_out_the_newest_first(void **state)
{
    udr_connection_t *made[3];
    udr_waiter_t someone = guest("A");
    (void)state;
    apr_time_t before = udr_clock_now();
    fill_with_idle(made, 3);
    for (int i = 2; i >= 0; i--) {
        assert_true(takes(&someone));
        assert_ptr_equal(find_idle(0), made[i]);
        assert_counts(i, 3 - i, 0);
        assert_in_range(made[i]->idle_since, before, udr_clock_now());
    }
    assert_null(find_idle(0));
    udr_pool_give(connections, made[0], 0);
    udr_pool_give(connections, made[2], 0);
    udr_pool_give(connections, made[1], 0);
    assert_true(takes(&someone));
    assert_ptr_equal(find_idle(0), made[1]);
    udr_pool_give(connections, made[1], 0);
    assert_counts(3, 0, 0);
}

static void passes_over_stale_connections_and_closes_them(void **state)
{
    udr_connection_t *made[4];
    udr_waiter_t a = guest("A");
    (void)state;
    fill_with_idle(made, 4);
    int descriptors = count_descriptors();
    /* The newest is closed by the member, the next one spoken on unasked. */
    assert_int_equal(shutdown(ends[3], SHUT_RDWR), 0);
    assert_int_equal(write(ends[2], "x", 1), 1);
    assert_true(takes(&a));
    assert_ptr_equal(find_idle(0), made[1]);
    assert_counts(1, 1, 0);
    assert_int_equal(count_descriptors(), descriptors - 2);
    udr_pool_give(connections, made[1], 0);
}

static void finds_all_stale(void **state)
{
    udr_connection_t *made[3];
    udr_waiter_t a = guest("A");
    (void)state;
    fill_with_idle(made, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(shutdown(ends[i], SHUT_RDWR), 0);
    }
    assert_true(takes(&a));
    assert_null(find_idle(0));
    assert_counts(0, 1, 0);
    gives_turn();
}

static void leaves_connections_to_a_replaced_file_alone(void **state)
{
    udr_connection_t *made[3];
    udr_waiter_t a = guest("A");
    (void)state;
    fill_with_idle(made, 2);
    int descriptors = count_descriptors();
    place_listen(&place, ENDS_MAX);
    /* The old member still answers; but it is not the one that is meant. */
    assert_true(takes(&a));
    assert_null(find_idle(0));
    assert_counts(0, 1, 0);
    assert_int_equal(count_descriptors(), descriptors - 2);
    gives_turn();
    /* Connections to the new file are as good as any. */
    fill_with_idle(made, 1);
    assert_true(takes(&a));
    assert_ptr_equal(find_idle(0), made[0]);
    udr_pool_give(connections, made[0], 0);
}

static void leaves_connections_to_a_removed_file_alone(void **state)
{
    udr_connection_t *made[2];
    udr_waiter_t a = guest("A");
    (void)state;
    fill_with_idle(made, 2);
    take_turn();
    assert_ptr_equal(find_idle(0), made[1]);
    udr_pool_give(connections, made[1], 0);
    unlink(place.path);
    assert_true(takes(&a));
    assert_null(find_idle(0));
    assert_counts(0, 1, 0);
    gives_turn();
}

/* Each request would ask the file system otherwise. */
static void looks_at_the_file_once_a_millisecond(void **state)
{
    udr_connection_t *made[2];
    apr_time_t now = udr_clock_now();
    (void)state;
    fill_with_idle(made, 2);
    take_turn();
    assert_ptr_equal(udr_pool_idle(connections, 0, false, now), made[1]);
    udr_pool_give(connections, made[1], 0);
    place_listen(&place, ENDS_MAX);
    take_turn();
    assert_ptr_equal(udr_pool_idle(connections, 0, false, now + 999), made[1]);
    udr_pool_give(connections, made[1], 0);
    assert_counts(2, 0, 0);
    take_turn();
    assert_null(udr_pool_idle(connections, 0, false, now + 1000));
    gives_turn();
    assert_counts(0, 0, 0);
}

static void finds_the_file_that_has_come_back(void **state)
{
    udr_connection_t *made[1];
    apr_time_t now = udr_clock_now();
    (void)state;
    fill_with_idle(made, 1);
    unlink(place.path);
    take_turn();
    assert_null(udr_pool_idle(connections, 0, false, now));
    gives_turn();
    place_listen(&place, ENDS_MAX);
    fill_with_idle(made, 1);
    take_turn();
    assert_ptr_equal(udr_pool_idle(connections, 0, false, now + 1000), made[0]);
    udr_pool_give(connections, made[0], 0);
}

/* Threads that took the time before another looked: an earlier time than the last is no reason not to look. */
static void looks_at_the_file_when_the_time_is_an_earlier_one(void **state)
{
    udr_connection_t *made[1];
    apr_time_t now = udr_clock_now();
    (void)state;
    fill_with_idle(made, 1);
    take_turn();
    assert_ptr_equal(udr_pool_idle(connections, 0, false, now), made[0]);
    udr_pool_give(connections, made[0], 0);
    place_listen(&place, ENDS_MAX);
    take_turn();
    assert_null(udr_pool_idle(connections, 0, false, now - 1));
    gives_turn();
}

static void keeps_connections_to_abstract_names(void **state)
{
    udr_connection_t *made[1];
    udr_waiter_t a = guest("A");
    udr_target_t target = *member->target;
    (void)state;
    place.address = target.address =
        place_address(&place, apr_psprintf(pool, "unix:@udr-unit-pool-%ld", (long)getpid()));
    member->target = &target;
    place_listen(&place, ENDS_MAX);
    fill_with_idle(made, 1);
    assert_true(takes(&a));
    assert_ptr_equal(find_idle(0), made[0]);
    udr_pool_give(connections, made[0], 0);
}

static void closes_what_is_idle_at_its_end(void **state)
{
    udr_connection_t *made[3];
    (void)state;
    fill_with_idle(made, 3);
    int descriptors = count_descriptors();
    apr_pool_clear(child);
    /* And two of each loop. */
    assert_int_equal(count_descriptors(), descriptors - 3 - 2 * (LANES - 1));
}

/* --- turns --- */

static void knows_no_limit_without_max(void **state)
{
    udr_waiter_t a = guest("A");
    (void)state;
    for (int i = 1; i <= 1000; i++) {
        assert_true(takes(&a));
        assert_counts(0, i, 0);
    }
    for (int i = 999; i >= 0; i--) {
        gives_turn();
        assert_counts(0, i, 0);
    }
}

static void lets_wait_in_order(void **state)
{
    udr_waiter_t holders[] = {guest("1"), guest("2")};
    udr_waiter_t a = guest("A"), b = guest("B"), c = guest("C");
    (void)state;
    member->settings.max = 2;
    assert_true(takes(&holders[0]));
    assert_true(takes(&holders[1]));
    assert_false(takes(&a));
    assert_false(takes(&b));
    assert_false(takes(&c));
    assert_counts(0, 2, 3);
    /* Who asks again keeps its place, once. */
    assert_false(takes(&a));
    assert_false(takes(&c));
    assert_counts(0, 2, 3);
    assert_string_equal(woken, "");
    gives_turn();
    assert_string_equal(woken, "A");
    assert_counts(0, 2, 2);
    gives_turn();
    assert_string_equal(woken, "AB");
    assert_false(takes(&c));
    /* Which of those woken comes first does not matter. */
    assert_true(takes(&b));
    assert_true(takes(&a));
    gives_turn();
    assert_string_equal(woken, "ABC");
    assert_true(takes(&c));
    assert_counts(0, 2, 0);
    gives_turn();
    gives_turn();
    assert_counts(0, 0, 0);
}

static void lets_no_newcomer_overtake(void **state)
{
    udr_waiter_t holder = guest("1"), a = guest("A"), late = guest("L");
    (void)state;
    member->settings.max = 1;
    assert_true(takes(&holder));
    assert_false(takes(&a));
    gives_turn();
    /* A has been woken and has not come yet. */
    assert_false(takes(&late));
    assert_true(takes(&a));
    gives_turn();
    assert_string_equal(woken, "AL");
    assert_true(takes(&late));
    gives_turn();
    assert_counts(0, 0, 0);
}

static void forgets_who_leaves_the_queue(void **state)
{
    /* first, middle and last */
    for (int leaver = 0; leaver < 3; leaver++) {
        static const char *const left[] = {"BCD", "ACD", "ABD"};
        udr_waiter_t holder = guest("1");
        udr_waiter_t queue[] = {guest("A"), guest("B"), guest("C"), guest("D")};
        (void)state;
        woken[0] = '\0';
        member->settings.max = 1;
        assert_true(takes(&holder));
        for (int i = 0; i < 3; i++) {
            assert_false(takes(&queue[i]));
        }
        leaves(&queue[leaver]);
        assert_counts(0, 1, 2);
        /* The queue goes on behind where somebody has left. */
        assert_false(takes(&queue[3]));
        for (int i = 0; i < 4; i++) {
            if (i != leaver) {
                gives_turn();
                assert_true(takes(&queue[i]));
            }
        }
        gives_turn();
        assert_string_equal(woken, left[leaver]);
        assert_counts(0, 0, 0);
    }
}

static void hands_on_the_turn_of_who_leaves_when_granted(void **state)
{
    udr_waiter_t holder = guest("1"), a = guest("A"), b = guest("B");
    (void)state;
    member->settings.max = 1;
    assert_true(takes(&holder));
    assert_false(takes(&a));
    assert_false(takes(&b));
    gives_turn();
    leaves(&a);
    assert_string_equal(woken, "AB");
    assert_counts(0, 1, 0);
    /* A has given up its turn: it has to queue like anybody. */
    assert_false(takes(&a));
    leaves(&b);
    assert_string_equal(woken, "ABA");
    leaves(&a);
    assert_counts(0, 0, 0);
    assert_true(takes(&b));
    gives_turn();
}

static void lets_leave_who_does_not_wait(void **state)
{
    udr_waiter_t a = guest("A");
    (void)state;
    member->settings.max = 1;
    leaves(&a);
    assert_counts(0, 0, 0);
    assert_true(takes(&a));
    leaves(&a);
    assert_counts(0, 1, 0);
    gives_turn();
}

static void wakes_nobody_who_has_no_bell(void **state)
{
    udr_waiter_t holder = guest("1"), a = {.wake = NULL};
    (void)state;
    member->settings.max = 1;
    assert_true(takes(&holder));
    assert_false(takes(&a));
    gives_turn();
    assert_true(takes(&a));
    gives_turn();
}

static void gives_the_connection_with_the_turn(void **state)
{
    udr_waiter_t a = guest("A");
    (void)state;
    member->settings.max = 1;
    udr_connection_t *connection = take_and_connect();
    assert_false(takes(&a));
    udr_pool_give(connections, connection, 0);
    assert_counts(1, 1, 0);
    assert_true(takes(&a));
    assert_ptr_equal(find_idle(0), connection);
    udr_pool_give(connections, connection, 0);
}

/* --- tidying --- */

static void closes_what_is_over_smax_and_ttl(void **state)
{
    static const struct {
        int min;
        int smax;
        int old; /* idle for longer than ttl; these are behind the young ones */
        int young;
        int closed;
    } rows[] = {{0, 0, 0, 0, 0}, {0, 0, 3, 0, 3}, {0, 0, 3, 2, 3}, {0, 0, 0, 3, 0},  {0, 2, 3, 0, 1},  {0, 2, 3, 1, 2},
                {0, 2, 3, 2, 3}, {0, 2, 3, 3, 3}, {0, 1, 0, 3, 0}, {0, 10, 3, 0, 0}, {2, 0, 3, 0, 1},  {2, 0, 3, 2, 3},
                {2, 0, 1, 1, 0}, {3, 1, 5, 0, 2}, {1, 3, 5, 0, 2}, {10, 0, 5, 0, 0}, {10, 10, 3, 3, 0}};
    apr_interval_time_t ttl = apr_time_from_sec(30);
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        udr_connection_t *made[ENDS_MAX];
        int count = rows[i].old + rows[i].young;
        int left = count - rows[i].closed;
        member->settings.min = rows[i].min;
        member->settings.smax = rows[i].smax;
        member->settings.ttl = ttl;
        fill_with_idle(made, count);
        apr_time_t now = udr_clock_now();
        for (int j = 0; j < count; j++) {
            /* The field is the pool's; nothing else can make time pass. */
            made[j]->idle_since = j < rows[i].old ? now - ttl - 1 : now - ttl + 1;
        }
        int descriptors = count_descriptors();
        int closed = udr_pool_tidy(connections, 0, now);
        if (closed != rows[i].closed) {
            fail_msg("row %zu: %d closed, not %d", i, closed, rows[i].closed);
        }
        assert_counts(left, 0, 0);
        assert_int_equal(count_descriptors(), descriptors - closed);
        /* The newest are left, and in their order. */
        for (int j = 0; j < left; j++) {
            udr_waiter_t someone = guest("?");
            assert_true(takes(&someone));
            assert_ptr_equal(find_idle(0), made[count - 1 - j]);
            udr_connection_close(made[count - 1 - j]);
            gives_turn();
        }
        close_ends();
    }
}

static void goes_by_the_time_it_is_told(void **state)
{
    udr_connection_t *made[2];
    (void)state;
    member->settings.ttl = apr_time_from_sec(60);
    fill_with_idle(made, 2);
    assert_int_equal(udr_pool_tidy(connections, 0, udr_clock_now()), 0);
    assert_int_equal(udr_pool_tidy(connections, 0, udr_clock_now() + apr_time_from_sec(59)), 0);
    assert_int_equal(udr_pool_tidy(connections, 0, udr_clock_now() + apr_time_from_sec(61)), 2);
    assert_counts(0, 0, 0);
}

static void tidies_stale_connections_away_whatever_min_says(void **state)
{
    udr_connection_t *made[3];
    udr_waiter_t a = guest("A");
    (void)state;
    member->settings.min = 10;
    fill_with_idle(made, 3);
    assert_int_equal(shutdown(ends[1], SHUT_RDWR), 0);
    assert_int_equal(udr_pool_tidy(connections, 0, udr_clock_now()), 1);
    assert_counts(2, 0, 0);
    assert_true(takes(&a));
    assert_ptr_equal(find_idle(0), made[2]);
    udr_pool_give(connections, made[2], 0);
}

static void counts_no_stale_connection_among_those_to_keep(void **state)
{
    udr_connection_t *made[3];
    (void)state;
    member->settings.min = 2;
    fill_with_idle(made, 3);
    assert_int_equal(shutdown(ends[2], SHUT_RDWR), 0);
    assert_int_equal(udr_pool_tidy(connections, 0, udr_clock_now() + apr_time_from_sec(3600)), 1);
    assert_counts(2, 0, 0);
}

static void leaves_those_in_use_alone(void **state)
{
    (void)state;
    udr_connection_t *connection = take_and_connect();
    assert_int_equal(udr_pool_tidy(connections, 0, udr_clock_now() + apr_time_from_sec(3600)), 0);
    assert_false(udr_connection_is_stale(connection));
    udr_pool_give(connections, connection, 0);
    assert_counts(1, 0, 0);
}

/* --- many threads --- */

enum { THREADS = 8, TURNS = 3, ROUNDS = 300, GREETED = 32 };

static atomic_int holders;    /* turns that are held now */
static atomic_int violations; /* asserting is for the main thread */
static atomic_int turns_had;
static atomic_int turns_left;

/* The member: it keeps a few connections and closes the others, so that some in the pool are always stale. */
static void *accept_all(void *baton)
{
    const int *stop = baton;
    int kept[GREETED];
    int count = 0;
    struct pollfd fds[] = {{.fd = place.listener, .events = POLLIN}, {.fd = *stop, .events = POLLIN}};
    while (poll(fds, COUNT(fds), -1) > 0 && !fds[1].revents) {
        int fd = accept4(place.listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            if (count >= GREETED) {
                close(kept[count % GREETED]);
            }
            kept[count++ % GREETED] = fd;
        }
    }
    for (int i = 0; i < count && i < GREETED; i++) {
        close(kept[i]);
    }
    return NULL;
}

static void ring(udr_waiter_t *waiter)
{
    sem_post(waiter->baton);
}

static void use_turn(bool keep)
{
    if (atomic_fetch_add(&holders, 1) >= TURNS) {
        atomic_fetch_add(&violations, 1);
    }
    udr_connection_t *connection = udr_pool_idle(connections, 0, false, udr_clock_now());
    if (!connection && udr_connection_create(&connection) == APR_SUCCESS &&
        udr_connection_connect(connection, place.address) != APR_SUCCESS) {
        udr_connection_close(connection);
        connection = NULL;
    }
    if (connection) {
        connection->requests += 2; /* not atomic: the thread sanitizer sees it if two have the same one */
    }
    if (connection && !keep) {
        udr_connection_close(connection);
        connection = NULL;
    }
    atomic_fetch_add(&turns_had, 1);
    atomic_fetch_sub(&holders, 1);
    udr_pool_give(connections, connection, 0);
}

static void *take_turns(void *baton)
{
    const int *number = baton;
    sem_t bell;
    sem_init(&bell, 0, 0);
    udr_waiter_t waiter = {.wake = ring, .baton = &bell};
    for (int round = 0; round < ROUNDS; round++) {
        bool waits = udr_pool_take(connections, &waiter) == APR_EAGAIN;
        if (waits && (round + *number) % 5 == 0) {
            udr_pool_leave(connections, &waiter);
            while (sem_trywait(&bell) == 0) {
            }
            atomic_fetch_add(&turns_left, 1);
            continue;
        }
        if (waits) {
            while (sem_wait(&bell) != 0) {
            }
            if (udr_pool_take(connections, &waiter) != APR_SUCCESS) {
                atomic_fetch_add(&violations, 1);
            }
        }
        use_turn((round + *number) % 7 != 0);
    }
    sem_destroy(&bell);
    return NULL;
}

static void gives_every_thread_its_turns(void **state)
{
    pthread_t threads[THREADS], acceptor;
    int numbers[THREADS];
    int stop[2];
    (void)state;
    atomic_store(&violations, 0);
    member->settings.max = TURNS;
    assert_int_equal(pipe(stop), 0);
    assert_int_equal(pthread_create(&acceptor, NULL, accept_all, &stop[0]), 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, &numbers[i]), 0);
    }
    for (int i = 0; i < 100; i++) {
        udr_pool_counts_t counts;
        udr_pool_count(connections, &counts);
        if (counts.busy > TURNS || counts.idle > TURNS || counts.waiting > THREADS) {
            atomic_fetch_add(&violations, 1);
        }
        (void)udr_pool_tidy(connections, 0, udr_clock_now() + (i % 2 ? apr_time_from_sec(3600) : 0));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(write(stop[1], "", 1), 1);
    pthread_join(acceptor, NULL);
    close(stop[0]);
    close(stop[1]);
    udr_pool_counts_t counts;
    udr_pool_count(connections, &counts);
    assert_counts(counts.idle, 0, 0);
    assert_int_equal(atomic_load(&violations), 0);
    assert_int_equal(atomic_load(&turns_had) + atomic_load(&turns_left), THREADS * ROUNDS);
}

#define in_place(test) cmocka_unit_test_setup_teardown(test, pool_set_up, pool_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_place(has_nothing_at_first),
        in_place(hands_out_the_newest_first),
        in_place(passes_over_stale_connections_and_closes_them),
        in_place(finds_all_stale),
        in_place(leaves_connections_to_a_replaced_file_alone),
        in_place(leaves_connections_to_a_removed_file_alone),
        in_place(looks_at_the_file_once_a_millisecond),
        in_place(finds_the_file_that_has_come_back),
        in_place(looks_at_the_file_when_the_time_is_an_earlier_one),
        in_place(keeps_connections_to_abstract_names),
        in_place(closes_what_is_idle_at_its_end),
        in_place(knows_no_limit_without_max),
        in_place(lets_wait_in_order),
        in_place(lets_no_newcomer_overtake),
        in_place(forgets_who_leaves_the_queue),
        in_place(hands_on_the_turn_of_who_leaves_when_granted),
        in_place(lets_leave_who_does_not_wait),
        in_place(wakes_nobody_who_has_no_bell),
        in_place(gives_the_connection_with_the_turn),
        in_place(closes_what_is_over_smax_and_ttl),
        in_place(goes_by_the_time_it_is_told),
        in_place(tidies_stale_connections_away_whatever_min_says),
        in_place(counts_no_stale_connection_among_those_to_keep),
        in_place(leaves_those_in_use_alone),
        in_place(gives_every_thread_its_turns),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_pool", tests, NULL, NULL);
}
