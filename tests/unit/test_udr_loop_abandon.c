/* SPDX-License-Identifier: Apache-2.0 */
/* Watches from the heap that are given up on other threads than the loop's. The linker puts free(3) into our hands
 * (--wrap): when a watch goes is part of the story, as "F". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_loop.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { THREADS = 4, EACH = 50, WATCHES_MAX = THREADS * EACH };

/* All made before there is a loop, whose thread takes out those that it frees. */
static udr_watch_t *watches[WATCHES_MAX];
static int taken;
static atomic_int freed;
static atomic_bool counts_all; /* whatever is freed is a watch */

void __wrap_free(void *memory);
void __real_free(void *memory);

void __wrap_free(void *memory)
{
    if (atomic_load(&counts_all)) {
        atomic_fetch_add(&freed, memory != NULL);
    }
    for (int i = 0; memory && i < WATCHES_MAX && !atomic_load(&counts_all); i++) {
        if (watches[i] == memory) {
            watches[i] = NULL;
            atomic_fetch_add(&freed, 1);
            loop_note("F");
            break;
        }
    }
    __real_free(memory);
}

/* --- those who are watched --- */

/* A descriptor and its watch. */
typedef struct side_t {
    const char *name;
    end_t end;
    udr_watch_t *watch;
    struct side_t *other;
    apr_status_t status;
} side_t;

static side_t a, b;
static void (*give_up)(side_t *side); /* what who is told first does to the other; once */

static void side_is_told(side_t *side)
{
    loop_note(side->name);
    if (give_up) {
        void (*once)(side_t * side) = give_up;
        give_up = NULL;
        once(side->other);
    }
}

static void watch_is_told(udr_watch_t *watch, uint32_t events)
{
    (void)events;
    if (watch == a.watch || watch == b.watch) {
        side_is_told(watch == a.watch ? &a : &b);
    } else {
        loop_note(watch->baton ? "?" : "s"); /* stale: read from memory that has to be there still */
    }
}

static udr_watch_t *new_watch(void)
{
    assert_in_range(taken, 0, WATCHES_MAX - 1);
    return watches[taken++];
}

static void do_watch(void *baton)
{
    side_t *side = baton;
    side->status = udr_loop_watch(loop, side->watch, side->end.fd);
}

static void watch_side(side_t *side, const char *name)
{
    *side = (side_t){.name = name, .end = end_of_pair(name), .watch = new_watch(), .other = side == &a ? &b : &a};
    loop_call(do_watch, side);
    assert_int_equal(side->status, APR_SUCCESS);
    loop_settle();
    assert_string_equal(loop_story, "");
}

static int set_up(void **state)
{
    taken = 0;
    give_up = NULL;
    atomic_store(&freed, 0);
    for (int i = 0; i < WATCHES_MAX; i++) {
        watches[i] = calloc(1, sizeof *watches[i]);
        if (!watches[i]) {
            return -1;
        }
        watches[i]->ready = watch_is_told;
    }
    return loop_set_up(state);
}

static int tear_down(void **state)
{
    int rc = loop_tear_down(state);
    while (taken < WATCHES_MAX) {
        __real_free(watches[taken++]);
    }
    return rc;
}

static void abandon(side_t *side)
{
    udr_watch_t *watch = side->watch;
    side->watch = NULL;
    udr_loop_abandon(loop, watch);
}

/* --- one by one --- */

static void tells_nothing_of_an_abandoned_one(void **state)
{
    (void)state;
    watch_side(&a, "A");
    abandon(&a);
    say(a.end.far, "x");
    loop_settle();
    assert_string_equal(loop_story, "F");
    close(a.end.far);
    loop_settle();
    assert_string_equal(loop_story, "F");
    close(a.end.fd);
}

/* Whoever has taken the connection watches it at once, or lets another loop do so. */
static void lets_another_watch_what_is_abandoned(void **state)
{
    (void)state;
    watch_side(&a, "A");
    say(a.end.far, "x");
    loop_settle();
    abandon(&a);
    a.watch = new_watch();
    loop_call(do_watch, &a);
    assert_int_equal(a.status, APR_SUCCESS);
    loop_settle();
    assert_int_equal(strlen(loop_story), 3); /* the old one told and freed, the new one told */
    assert_int_equal(atomic_load(&freed), 1);
    assert_int_equal(loop_story[0], 'A');
    say(a.end.far, "x");
    loop_settle();
    assert_int_equal(strlen(loop_story), 4);
    assert_int_equal(loop_story[3], 'A');
    abandon(&a);
    end_close(&a.end);
}

/* --- in the midst of a round --- */

static void *abandon_on_a_thread(void *baton)
{
    abandon(baton);
    return NULL;
}

/* The loop's thread is busy with an event while another gives the watch up. */
static void abandon_elsewhere(side_t *side)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, abandon_on_a_thread, side) != 0) {
        abort();
    }
    pthread_join(thread, NULL);
}

static udr_task_t end_of_round;

static void make_both_ready(void *baton)
{
    (void)baton;
    end_of_round = (udr_task_t){.run = loop_note_task};
    say(a.end.far, "x");
    say(b.end.far, "x");
}

static void defer_end_of_round(side_t *side)
{
    udr_loop_defer(loop, &end_of_round);
    abandon_elsewhere(side);
}

/* An event of it that this round has already is told; its memory stays until the round is over, and goes then. */
static void outlives_the_events_that_were_taken(void **state)
{
    (void)state;
    watch_side(&a, "A");
    watch_side(&b, "B");
    give_up = defer_end_of_round;
    loop_call(make_both_ready, NULL);
    loop_settle();
    assert_string_equal(loop_story + 1, "s|F");
    side_t *left = loop_story[0] == 'A' ? &a : &b;
    assert_non_null(left->watch);
    say(left->end.far, "x");
    say(left->other->end.far, "x");
    loop_settle();
    assert_int_equal(strlen(loop_story), 5);
    assert_int_equal(loop_story[4], loop_story[0]);
    abandon(left);
    loop_settle();
    assert_int_equal(atomic_load(&freed), 2);
    end_close(&a.end);
    end_close(&b.end);
}

static void abandon_a(void)
{
    abandon(&a);
}

static void make_ready_and_abandon(void *baton)
{
    (void)baton;
    say(a.end.far, "x");
    loop_has_waited = abandon_a;
}

/* The loop has its events, and has looked at none of them. */
static void outlives_events_that_were_taken_just_now(void **state)
{
    (void)state;
    watch_side(&a, "A");
    loop_call(make_ready_and_abandon, NULL);
    loop_settle();
    assert_string_equal(loop_story, "sF");
    end_close(&a.end);
}

/* --- its end --- */

static void goes_with_the_loop(void **state)
{
    (void)state;
    watch_side(&a, "A");
    watch_side(&b, "B");
    udr_loop_stop(loop);
    loop_join();
    abandon(&a);
    abandon(&b);
    assert_int_equal(atomic_load(&freed), 0);
    apr_pool_clear(loop_pool);
    assert_int_equal(atomic_load(&freed), 2);
    end_close(&a.end);
    end_close(&b.end);
}

/* --- many threads --- */

typedef struct crowd_t {
    end_t ends[EACH];
    udr_watch_t *watches[EACH];
    apr_status_t status;
} crowd_t;

static crowd_t crowds[THREADS];

static void watch_crowd(void *baton)
{
    crowd_t *crowd = baton;
    for (int i = 0; i < EACH && crowd->status == APR_SUCCESS; i++) {
        crowd->status = udr_loop_watch(loop, crowd->watches[i], crowd->ends[i].fd);
    }
}

static void *abandon_crowd(void *baton)
{
    const crowd_t *crowd = baton;
    for (int i = 0; i < EACH; i++) {
        say(crowd->ends[i].far, "x");
        udr_loop_abandon(loop, crowd->watches[i]);
    }
    return NULL;
}

/* The loop is told and frees while others give up; no watch is lost, and none is freed twice. */
static void frees_what_many_threads_abandon(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        crowds[i].status = APR_SUCCESS;
        for (int j = 0; j < EACH; j++) {
            crowds[i].ends[j] = end_of_pair("");
            crowds[i].watches[j] = new_watch();
        }
        loop_call(watch_crowd, &crowds[i]);
        assert_int_equal(crowds[i].status, APR_SUCCESS);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, abandon_crowd, &crowds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    loop_settle();
    assert_int_equal(atomic_load(&freed), THREADS * EACH);
    loop_call(NULL, NULL);
    loop_story[0] = '\0';
    for (int i = 0; i < THREADS; i++) {
        for (int j = 0; j < EACH; j++) {
            say(crowds[i].ends[j].far, "x");
        }
    }
    loop_settle();
    assert_string_equal(loop_story, "");
    for (int i = 0; i < THREADS; i++) {
        for (int j = 0; j < EACH; j++) {
            end_close(&crowds[i].ends[j]);
        }
    }
}

enum { MANY = 10000 };

static udr_watch_t *many[THREADS][MANY];
static pthread_barrier_t all_are_there;

static void *abandon_many(void *baton)
{
    udr_watch_t **mine = baton;
    pthread_barrier_wait(&all_are_there);
    for (int i = 0; i < MANY; i++) {
        udr_loop_abandon(loop, mine[i]);
    }
    return NULL;
}

/* Those that are not watched any more will do: it is the list of them that all threads add to at once. */
static void loses_none_that_are_abandoned_at_once(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        for (int j = 0; j < MANY; j++) {
            many[i][j] = calloc(1, sizeof *many[i][j]);
            assert_non_null(many[i][j]);
            many[i][j]->fd = -1;
        }
    }
    pthread_barrier_init(&all_are_there, NULL, THREADS);
    atomic_store(&counts_all, true);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, abandon_many, many[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    loop_settle();
    atomic_store(&counts_all, false);
    pthread_barrier_destroy(&all_are_there);
    assert_int_equal(atomic_load(&freed), THREADS * MANY);
}

#define in_loop(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_loop(tells_nothing_of_an_abandoned_one),
        in_loop(lets_another_watch_what_is_abandoned),
        in_loop(outlives_the_events_that_were_taken),
        in_loop(outlives_events_that_were_taken_just_now),
        in_loop(goes_with_the_loop),
        in_loop(frees_what_many_threads_abandon),
        in_loop(loses_none_that_are_abandoned_at_once),
    };
    apr_initialize();
    alarm(60); /* for a loop that never ends */
    return cmocka_run_group_tests_name("udr_loop_abandon", tests, NULL, NULL);
}
