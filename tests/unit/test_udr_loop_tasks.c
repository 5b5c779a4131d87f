/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop runs: tasks of other threads, its own, and timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_loop.h"

#include <apr_general.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* --- tasks of other threads --- */

enum { POSTERS = 4, POSTS = 10000, PINGS = 1000 };

typedef struct parcel_t {
    udr_task_t task;
    int poster;
    int number;
    sem_t *receipt; /* or NULL */
} parcel_t;

static int expected[POSTERS]; /* the loop's */
static int in_disorder;
static int parcels_run;
static int parcels_all;
static sem_t all_run;

static void run_parcel(udr_task_t *task)
{
    parcel_t *parcel = task->baton;
    in_disorder += parcel->number != expected[parcel->poster];
    expected[parcel->poster] = parcel->number + 1;
    if (parcel->receipt) {
        sem_post(parcel->receipt);
    }
    free(parcel); /* it is the loop's no more */
    if (++parcels_run == parcels_all) {
        sem_post(&all_run);
    }
}

static void post_parcel(int poster, int number, sem_t *receipt)
{
    parcel_t *parcel = malloc(sizeof *parcel);
    if (!parcel) {
        abort();
    }
    *parcel = (parcel_t){.task.run = run_parcel, .poster = poster, .number = number, .receipt = receipt};
    parcel->task.baton = parcel;
    udr_loop_post(loop, &parcel->task);
}

static void *post_all(void *baton)
{
    const int *poster = baton;
    for (int i = 0; i < POSTS; i++) {
        post_parcel(*poster, i, NULL);
    }
    return NULL;
}

/* One after the other: mostly, each finds the loop asleep or on its way to sleep. */
static void *post_and_await_each(void *baton)
{
    const int *poster = baton;
    sem_t receipt;
    sem_init(&receipt, 0, 0);
    for (int i = 0; i < PINGS; i++) {
        post_parcel(*poster, i, &receipt);
        loop_await(&receipt);
    }
    sem_destroy(&receipt);
    return NULL;
}

static void post_from_many_threads(void *(*post)(void *baton), int each)
{
    pthread_t threads[POSTERS];
    int numbers[POSTERS];
    memset(expected, 0, sizeof expected);
    in_disorder = 0;
    parcels_run = 0;
    parcels_all = POSTERS * each;
    sem_init(&all_run, 0, 0);
    for (int i = 0; i < POSTERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, post, &numbers[i]), 0);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
    }
    loop_await(&all_run);
    loop_settle();
    assert_int_equal(parcels_run, POSTERS * each);
    assert_int_equal(in_disorder, 0);
    sem_destroy(&all_run);
}

static void runs_what_many_threads_post_in_the_order_of_each(void **state)
{
    (void)state;
    post_from_many_threads(post_all, POSTS);
}

static void wakes_up_for_each_post(void **state)
{
    (void)state;
    post_from_many_threads(post_and_await_each, PINGS);
}

static void runs_what_was_posted_before_it_ran(void **state)
{
    udr_task_t tasks[3];
    (void)state;
    for (size_t i = 0; i < COUNT(tasks); i++) {
        tasks[i] = (udr_task_t){.run = loop_note_task};
        udr_loop_post(loop, &tasks[i]);
    }
    loop_start();
    loop_call(NULL, NULL);
    assert_string_equal(loop_story, "|||");
}

/* --- tasks of its own --- */

static void post_itself_until_told(udr_task_t *task)
{
    end_t *end = task->baton;
    if (end->calls == 0) {
        udr_loop_post(loop, task);
    } else {
        loop_note("P");
        sem_post(end->bell);
    }
}

static void tell_expired(udr_timer_t *timer)
{
    end_t *end = timer->baton;
    loop_note("T");
    if (end) {
        say(end->far, "x");
    }
}

static void set_going(void *baton)
{
    end_t *end = baton;
    end->task = (udr_task_t){.run = post_itself_until_told, .baton = end};
    end->timer = (udr_timer_t){.expired = tell_expired, .baton = end};
    udr_loop_set_timer(loop, &end->timer, udr_clock_now() + apr_time_from_msec(2));
    udr_loop_post(loop, &end->task);
}

/* It is run in another round each time: timers expire between, and events are told. */
static void keeps_nobody_waiting_for_one_that_posts_itself(void **state)
{
    end_t a = end_of_pair("A");
    sem_t bell;
    (void)state;
    sem_init(&bell, 0, 0);
    end_watch(&a);
    a.bell = &bell;
    loop_call(set_going, &a);
    loop_await(&bell);
    loop_settle();
    assert_string_equal(loop_story, "TAP");
    end_unwatch(&a);
    sem_destroy(&bell);
    end_close(&a);
}

static void post_two(void *baton)
{
    udr_task_t *tasks = baton;
    tasks[0] = (udr_task_t){.run = loop_note_task};
    tasks[1] = (udr_task_t){.run = loop_note_task};
    udr_loop_post(loop, &tasks[0]);
    udr_loop_post(loop, &tasks[1]);
    loop_note("p");
}

static void runs_what_a_task_posts(void **state)
{
    udr_task_t tasks[2];
    (void)state;
    loop_call(post_two, tasks);
    loop_call(NULL, NULL);
    assert_string_equal(loop_story, "p||");
}

static void tell_deferred(udr_task_t *task)
{
    loop_note(task->baton);
}

static void defer_own(end_t *end)
{
    static char name[] = "D";
    end->task = (udr_task_t){.run = tell_deferred, .baton = name};
    udr_loop_defer(loop, &end->task);
}

static void expect_all_in_one_round(void *baton)
{
    end_t *end = baton;
    end->timer = (udr_timer_t){.expired = tell_expired};
    apr_time_t at = udr_loop_now(loop) + 1;
    udr_loop_set_timer(loop, &end->timer, at);
    ends_say(end);
    while (udr_clock_now() <= at) {
    }
}

static void runs_what_is_deferred_when_the_round_is_over(void **state)
{
    end_t a, b;
    (void)state;
    ends_watch(&a, &b, defer_own);
    loop_call(expect_all_in_one_round, &a);
    loop_settle();
    assert_string_equal(loop_story, loop_story[0] == 'A' ? "ABTDD" : "BATDD");
    end_unwatch(&a);
    end_unwatch(&b);
    end_close(&a);
    end_close(&b);
}

enum { CHAIN = 1000 };

typedef struct chain_t {
    udr_task_t task;
    end_t *end;
    int length;
    sem_t bell;
} chain_t;

static void defer_next(udr_task_t *task)
{
    chain_t *chain = task->baton;
    if (++chain->length < CHAIN) {
        udr_loop_defer(loop, task);
    } else {
        loop_note("C");
        sem_post(&chain->bell);
    }
}

static void defer_a_chain(void *baton)
{
    chain_t *chain = baton;
    chain->task = (udr_task_t){.run = defer_next, .baton = chain};
    udr_loop_defer(loop, &chain->task);
    say(chain->end->far, "x");
    loop_note("c");
}

/* What is deferred by what was deferred runs with nothing else to wake the loop, but lets events go first: a chain
 * without end would keep them waiting for ever. */
static void lets_events_in_between_what_is_deferred_in_turn(void **state)
{
    end_t a = end_of_pair("A");
    chain_t chain = {.end = &a};
    (void)state;
    sem_init(&chain.bell, 0, 0);
    end_watch(&a);
    loop_call(defer_a_chain, &chain);
    loop_await(&chain.bell);
    loop_settle();
    assert_int_equal(chain.length, CHAIN);
    assert_string_equal(loop_story, "cAC");
    end_unwatch(&a);
    sem_destroy(&chain.bell);
    end_close(&a);
}

static void defer_itself(udr_task_t *task)
{
    udr_loop_defer(loop, task);
}

static void defer_one_that_has_always_more(void *baton)
{
    udr_task_t *task = baton;
    *task = (udr_task_t){.run = defer_itself};
    udr_loop_defer(loop, task);
}

/* A client that sends without end, say, does not keep a child from ending. */
static void ends_though_one_defers_itself_for_ever(void **state)
{
    udr_task_t task;
    (void)state;
    loop_call(defer_one_that_has_always_more, &task);
    udr_loop_stop(loop);
    loop_join();
}

static void defer_three(udr_timer_t *timer)
{
    static udr_task_t tasks[3];
    static const char *const names[] = {"1", "2", "3"};
    for (size_t i = 0; i < COUNT(tasks); i++) {
        tasks[i] = (udr_task_t){.run = tell_deferred, .baton = (void *)(uintptr_t)names[i]};
        udr_loop_defer(loop, &tasks[i]);
    }
    loop_note("T");
    sem_post(timer->baton);
}

static void runs_what_a_timer_defers_in_order(void **state)
{
    sem_t bell;
    udr_timer_t timer = {.expired = defer_three, .baton = &bell};
    (void)state;
    sem_init(&bell, 0, 0);
    loop_set_timer(&timer, udr_clock_now() + apr_time_from_msec(1));
    loop_await(&bell);
    loop_call(NULL, NULL);
    assert_string_equal(loop_story, "T123");
    sem_destroy(&bell);
}

/* --- timers --- */

enum { CLOCKS = 200 };

static struct {
    udr_timer_t timers[CLOCKS];
    sem_t bell;
    apr_time_t last;
    int expired;
    int early;
    int in_disorder;
} clocks;

static void strike(udr_timer_t *timer)
{
    clocks.early += udr_clock_now() < timer->at || udr_loop_now(loop) < timer->at;
    clocks.in_disorder += timer->at < clocks.last;
    clocks.last = timer->at;
    if (++clocks.expired == CLOCKS) {
        sem_post(&clocks.bell);
    }
}

static void set_clocks(void *baton)
{
    apr_time_t start_time = udr_clock_now();
    (void)baton;
    for (int i = 0; i < CLOCKS; i++) {
        clocks.timers[i] = (udr_timer_t){.expired = strike};
        udr_loop_set_timer(loop, &clocks.timers[i], start_time + i * 7919 % 50000);
    }
}

static void fires_all_timers_in_order_and_none_early(void **state)
{
    (void)state;
    clocks.expired = clocks.early = clocks.in_disorder = 0;
    clocks.last = 0;
    sem_init(&clocks.bell, 0, 0);
    loop_call(set_clocks, NULL);
    loop_await(&clocks.bell);
    loop_settle();
    assert_int_equal(clocks.expired, CLOCKS);
    assert_int_equal(clocks.early, 0);
    assert_int_equal(clocks.in_disorder, 0);
    assert_int_equal(loop_sleeps_for(), -1);
    sem_destroy(&clocks.bell);
}

static void fires_no_timer_that_is_cleared(void **state)
{
    sem_t bell;
    udr_timer_t cleared = {.expired = defer_three, .baton = &bell}, timer = cleared;
    (void)state;
    sem_init(&bell, 0, 0);
    apr_time_t at = udr_clock_now() + apr_time_from_msec(20);
    loop_set_timer(&cleared, at);
    loop_set_timer(&timer, at + 1);
    loop_clear_timer(&cleared);
    loop_clear_timer(&cleared);
    loop_await(&bell);
    loop_call(NULL, NULL);
    assert_string_equal(loop_story, "T123");
    sem_destroy(&bell);
}

/* An end that answers itself: there is something to tell in every round. */
static void answer_until_expired(end_t *end)
{
    (void)swallow(end->fd);
    if (!end->flag) {
        say(end->far, "x");
    }
}

static void end_storm(udr_timer_t *timer)
{
    end_t *end = timer->baton;
    end->flag = true;
    end->seen = (apr_time_t)end->calls;
    sem_post(end->bell);
}

static void begin_storm(void *baton)
{
    end_t *end = baton;
    end->timer = (udr_timer_t){.expired = end_storm, .baton = end};
    udr_loop_set_timer(loop, &end->timer, udr_clock_now() + apr_time_from_msec(5));
    say(end->far, "x");
}

static void fires_timers_while_events_storm_in(void **state)
{
    end_t a = end_of_pair("");
    sem_t bell;
    (void)state;
    sem_init(&bell, 0, 0);
    end_watch(&a);
    a.then = answer_until_expired;
    a.bell = &bell;
    loop_call(begin_storm, &a);
    loop_await(&bell);
    assert_true(a.seen > 1);
    end_unwatch(&a);
    sem_destroy(&bell);
    end_close(&a);
}

static void set_for_now_until_told(udr_timer_t *timer)
{
    end_t *end = timer->baton;
    if (end->calls == 0) {
        udr_loop_set_timer(loop, timer, udr_loop_now(loop));
    } else {
        loop_note("T");
        sem_post(end->bell);
    }
}

static void set_for_now(void *baton)
{
    end_t *end = baton;
    end->timer = (udr_timer_t){.expired = set_for_now_until_told, .baton = end};
    udr_loop_set_timer(loop, &end->timer, udr_clock_now());
    say(end->far, "x");
}

/* It expires once in a round: events are told between. */
static void keeps_nobody_waiting_for_a_timer_that_sets_itself_for_now(void **state)
{
    end_t a = end_of_pair("A");
    sem_t bell;
    (void)state;
    sem_init(&bell, 0, 0);
    a.bell = &bell;
    end_watch(&a);
    loop_call(set_for_now, &a);
    loop_await(&bell);
    assert_string_equal(loop_story, "AT");
    end_unwatch(&a);
    sem_destroy(&bell);
    end_close(&a);
}

/* A pause of less than a millisecond, which epoll_wait(2) does not know, is not spent in asking over and over. */
enum { SHORT_PAUSES = 100 };

static struct {
    udr_timer_t timer;
    sem_t bell;
    int left;
    int early;
    int rounds;
} pauses;

static void pause_again(udr_timer_t *timer)
{
    pauses.early += udr_clock_now() < timer->at;
    if (pauses.left-- > 0) {
        udr_loop_set_timer(loop, timer, udr_clock_now() + 100 + 5 * pauses.left);
    } else {
        pauses.rounds = atomic_load(&loop_rounds) - pauses.rounds;
        sem_post(&pauses.bell);
    }
}

static void begin_pauses(void *baton)
{
    (void)baton;
    pauses.rounds = atomic_load(&loop_rounds);
    pauses.timer = (udr_timer_t){.expired = pause_again};
    udr_loop_set_timer(loop, &pauses.timer, udr_clock_now() + 100);
}

static void does_not_spin_when_a_timer_is_almost_due(void **state)
{
    (void)state;
    pauses.left = SHORT_PAUSES;
    pauses.early = 0;
    sem_init(&pauses.bell, 0, 0);
    loop_call(begin_pauses, NULL);
    loop_await(&pauses.bell);
    assert_int_equal(pauses.early, 0);
    assert_in_range(pauses.rounds, 1, 2 * (SHORT_PAUSES + 1));
    sem_destroy(&pauses.bell);
}

static void never(udr_timer_t *timer)
{
    (void)timer;
    loop_note("!");
}

static void sleeps_no_longer_than_a_minute(void **state)
{
    udr_timer_t timer = {.expired = never};
    (void)state;
    loop_set_timer(&timer, udr_clock_now() + apr_time_from_sec(3600));
    loop_settle();
    assert_int_equal(loop_sleeps_for(), 60000);
    loop_set_timer(&timer, INT64_MAX);
    loop_settle();
    assert_int_equal(loop_sleeps_for(), 60000);
    loop_set_timer(&timer, udr_clock_now() + apr_time_from_sec(50));
    loop_settle();
    assert_in_range(loop_sleeps_for(), 1, 50000);
    loop_clear_timer(&timer);
    loop_settle();
    assert_int_equal(loop_sleeps_for(), -1);
    assert_string_equal(loop_story, "");
}

static void goes_on_after_a_signal(void **state)
{
    end_t a = end_of_pair("A");
    sem_t bell;
    (void)state;
    sem_init(&bell, 0, 0);
    end_watch(&a);
    udr_timer_t timer = {.expired = defer_three, .baton = &bell};
    atomic_store(&loop_interruptions, 3);
    loop_set_timer(&timer, udr_clock_now() + apr_time_from_msec(1));
    loop_await(&bell);
    say(a.far, "x");
    assert_true(end_take_events(&a, 1) & EPOLLIN);
    assert_int_equal(atomic_load(&loop_interruptions), 0);
    assert_string_equal(loop_story, "T123A");
    end_unwatch(&a);
    sem_destroy(&bell);
    end_close(&a);
}

#define in_loop(test)     cmocka_unit_test_setup_teardown(test, loop_set_up, loop_tear_down)
#define before_loop(test) cmocka_unit_test_setup_teardown(test, loop_make, loop_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_loop(runs_what_many_threads_post_in_the_order_of_each),
        in_loop(wakes_up_for_each_post),
        before_loop(runs_what_was_posted_before_it_ran),
        in_loop(keeps_nobody_waiting_for_one_that_posts_itself),
        in_loop(runs_what_a_task_posts),
        in_loop(runs_what_is_deferred_when_the_round_is_over),
        in_loop(lets_events_in_between_what_is_deferred_in_turn),
        in_loop(ends_though_one_defers_itself_for_ever),
        in_loop(runs_what_a_timer_defers_in_order),
        in_loop(fires_all_timers_in_order_and_none_early),
        in_loop(fires_no_timer_that_is_cleared),
        in_loop(fires_timers_while_events_storm_in),
        in_loop(keeps_nobody_waiting_for_a_timer_that_sets_itself_for_now),
        in_loop(does_not_spin_when_a_timer_is_almost_due),
        in_loop(sleeps_no_longer_than_a_minute),
        in_loop(goes_on_after_a_signal),
    };
    apr_initialize();
    alarm(60); /* for a loop that never ends */
    return cmocka_run_group_tests_name("udr_loop_tasks", tests, NULL, NULL);
}
