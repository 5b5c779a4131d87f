/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_timer.h"

#include <apr_errno.h>
#include <apr_general.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static udr_timers_t timers;
static char calls[64]; /* the names of those that were called, in order */
static bool memory_is_out;

/* --- between the code and the C library --- */

void *__wrap_realloc(void *memory, size_t size);
void *__real_realloc(void *memory, size_t size);

void *__wrap_realloc(void *memory, size_t size)
{
    if (memory_is_out) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_realloc(memory, size);
}

static int set_up(void **state)
{
    (void)state;
    timers = (udr_timers_t){NULL, 0, 0, 0};
    calls[0] = '\0';
    memory_is_out = false;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memory_is_out = false;
    udr_timers_destroy(&timers);
    return timers.count == 0 && timers.heap == NULL ? 0 : -1;
}

/* --- those who are called --- */

/* Somebody with a timer, and what else happens when it expires. */
typedef struct owner_t {
    const char *name;
    udr_timer_t timer;
    void (*then)(struct owner_t *owner);
    struct owner_t *other;
} owner_t;

static apr_time_t now; /* of the call to expire() */

static void note(udr_timer_t *timer)
{
    owner_t *owner = timer->baton;
    assert_int_equal(timer->place, 0);
    assert_true(timer->at <= now);
    strcat(calls, owner->name);
    if (owner->then) {
        owner->then(owner);
    }
}

static owner_t owner_of(const char *name)
{
    return (owner_t){.name = name, .timer.expired = note};
}

static void set(owner_t *owner, apr_time_t at)
{
    owner->timer.baton = owner;
    assert_int_equal(udr_timers_set(&timers, &owner->timer, at), APR_SUCCESS);
    assert_int_equal(owner->timer.at, at);
    assert_true(owner->timer.place > 0);
}

static int expire(apr_time_t at)
{
    now = at;
    return udr_timers_expire(&timers, at);
}

/* Each knows its place, none is due before its parent, and none later than it expires. */
static void check_heap(void)
{
    for (apr_size_t place = 1; place <= timers.count; place++) {
        assert_int_equal(timers.heap[place].timer->place, place);
        assert_true(place == 1 || timers.heap[place / 2].due <= timers.heap[place].due);
        assert_true(timers.heap[place].due <= timers.heap[place].timer->at);
    }
    assert_true(timers.count < timers.size || timers.count == 0);
    assert_int_equal(udr_timers_next(&timers), timers.count ? timers.heap[1].due : 0);
}

/* --- one by one --- */

static void has_none_at_first(void **state)
{
    owner_t a = owner_of("A");
    (void)state;
    assert_int_equal(udr_timers_next(&timers), 0);
    assert_int_equal(expire(INT64_MAX), 0);
    udr_timers_clear(&timers, &a.timer);
    assert_int_equal(timers.count, 0);
    udr_timers_destroy(&timers);
    udr_timers_destroy(&timers);
}

static void calls_in_time_and_once(void **state)
{
    owner_t a = owner_of("A");
    (void)state;
    set(&a, 1000);
    assert_int_equal(udr_timers_next(&timers), 1000);
    assert_int_equal(expire(999), 0);
    assert_string_equal(calls, "");
    assert_int_equal(expire(1000), 1);
    assert_string_equal(calls, "A");
    assert_int_equal(a.timer.place, 0);
    assert_int_equal(udr_timers_next(&timers), 0);
    assert_int_equal(expire(2000), 0);
    assert_string_equal(calls, "A");
}

static void calls_in_the_order_of_time(void **state)
{
    owner_t a = owner_of("A"), b = owner_of("B"), c = owner_of("C"), d = owner_of("D");
    (void)state;
    set(&c, 3000);
    set(&a, 1000);
    set(&d, 4000);
    set(&b, 2000);
    assert_int_equal(expire(3500), 3);
    assert_string_equal(calls, "ABC");
    assert_int_equal(udr_timers_next(&timers), 4000);
    assert_int_equal(expire(4000), 1);
    assert_string_equal(calls, "ABCD");
}

/* Setting a timer that is set moves it: it is never there twice. */
static void moves_what_is_set(void **state)
{
    owner_t a = owner_of("A"), b = owner_of("B");
    (void)state;
    set(&a, 1000);
    set(&b, 2000);
    set(&a, 3000);
    assert_int_equal(timers.count, 2);
    assert_int_equal(expire(1999), 0);
    assert_int_equal(udr_timers_next(&timers), 2000);
    set(&b, 4000);
    assert_int_equal(expire(2999), 0);
    assert_int_equal(udr_timers_next(&timers), 3000);
    set(&b, 500);
    assert_int_equal(udr_timers_next(&timers), 500);
    set(&b, 500);
    assert_int_equal(timers.count, 2);
    assert_int_equal(expire(5000), 2);
    assert_string_equal(calls, "BA");
}

/* A timeout that is put off with each request costs no move in the heap, and one look when its former time has come. */
static void stays_in_its_place_when_put_off(void **state)
{
    owner_t a = owner_of("A"), b = owner_of("B"), c = owner_of("C");
    (void)state;
    set(&a, 1000);
    set(&b, 2000);
    set(&c, 3000);
    for (apr_time_t at = 1000; at <= 2500; at++) {
        set(&a, at);
        assert_int_equal(a.timer.place, 1);
    }
    assert_int_equal(udr_timers_next(&timers), 1000);
    assert_int_equal(expire(1000), 0);
    assert_int_equal(udr_timers_next(&timers), 2000);
    assert_int_equal(timers.heap[a.timer.place].due, 2500);
    set(&a, 2600);
    set(&a, 2550); /* earlier than before, and later than when it is looked at */
    check_heap();
    assert_int_equal(expire(2549), 1);
    assert_string_equal(calls, "B");
    assert_int_equal(expire(2550), 1);
    assert_string_equal(calls, "BA");
    set(&b, 3100);
    set(&c, 3200);
    set(&a, 3300);
    assert_int_equal(expire(4000), 3);
    assert_string_equal(calls, "BABCA");
}

static void clears(void **state)
{
    owner_t a = owner_of("A"), b = owner_of("B"), c = owner_of("C");
    (void)state;
    set(&a, 1000);
    set(&b, 2000);
    set(&c, 3000);
    udr_timers_clear(&timers, &a.timer);
    assert_int_equal(a.timer.place, 0);
    assert_int_equal(udr_timers_next(&timers), 2000);
    udr_timers_clear(&timers, &a.timer);
    assert_int_equal(timers.count, 2);
    udr_timers_clear(&timers, &c.timer);
    assert_int_equal(expire(5000), 1);
    assert_string_equal(calls, "B");
    set(&a, 6000);
    assert_int_equal(expire(6000), 1);
    assert_string_equal(calls, "BA");
}

static void calls_all_of_the_same_time(void **state)
{
    owner_t many[40];
    (void)state;
    for (size_t i = 0; i < COUNT(many); i++) {
        many[i] = owner_of("=");
        set(&many[i], 1000);
    }
    assert_int_equal(expire(999), 0);
    assert_int_equal(expire(1000), COUNT(many));
    assert_int_equal(strlen(calls), COUNT(many));
    for (size_t i = 0; i < COUNT(many); i++) {
        assert_int_equal(many[i].timer.place, 0);
    }
}

/* --- what those who are called may do --- */

static void clear_own_and_other(owner_t *owner)
{
    udr_timers_clear(&timers, &owner->timer);
    udr_timers_clear(&timers, &owner->other->timer);
}

static void is_not_called_when_cleared_by_one_before_it(void **state)
{
    owner_t a = owner_of("A"), b = owner_of("B"), c = owner_of("C");
    (void)state;
    a.then = clear_own_and_other;
    a.other = &b;
    set(&a, 1000);
    set(&b, 2000);
    set(&c, 3000);
    assert_int_equal(expire(5000), 2);
    assert_string_equal(calls, "AC");
    assert_int_equal(b.timer.place, 0);
    assert_int_equal(timers.count, 0);
}

/* Of two that expire at the same time, whichever is first. */
static void is_not_called_when_cleared_by_its_equal(void **state)
{
    owner_t a = owner_of("A"), b = owner_of("A");
    (void)state;
    a.then = b.then = clear_own_and_other;
    a.other = &b;
    b.other = &a;
    set(&a, 1000);
    set(&b, 1000);
    assert_int_equal(expire(1000), 1);
    assert_string_equal(calls, "A");
}

static void set_other_for_later(owner_t *owner)
{
    set(owner->other, now + 1);
}

static void is_not_called_when_moved_by_one_before_it(void **state)
{
    owner_t a = owner_of("A"), b = owner_of("B");
    (void)state;
    a.then = set_other_for_later;
    a.other = &b;
    set(&a, 1000);
    set(&b, 2000);
    assert_int_equal(expire(3000), 1);
    assert_string_equal(calls, "A");
    assert_int_equal(udr_timers_next(&timers), 3001);
    assert_int_equal(expire(3001), 1);
    assert_string_equal(calls, "AB");
}

/* The tidying of a loop: one that sets itself for later is not called again before. */
static void may_set_itself_for_later(void **state)
{
    owner_t a = owner_of("A");
    (void)state;
    a.then = set_other_for_later;
    a.other = &a;
    set(&a, 1000);
    for (apr_time_t at = 1000; at < 1010; at++) {
        assert_int_equal(expire(at), 1);
        assert_int_equal(udr_timers_next(&timers), at + 1);
    }
    assert_string_equal(calls, "AAAAAAAAAA");
}

/* Set for a time gone by, for now, and for the first moment that is not. */
static void set_other_for_a_time_gone_by(owner_t *owner)
{
    assert_int_equal(udr_timers_set(&timers, &owner->other->timer, now - 500), APR_SUCCESS);
}

static void set_other_for_now(owner_t *owner)
{
    assert_int_equal(udr_timers_set(&timers, &owner->other->timer, now), APR_SUCCESS);
}

/* What a call sets for now has to wait for the next time: one that does so again and again would never let expire()
 * return. It keeps nobody back that was due. */
static void is_called_the_next_time_when_set_for_now(void **state)
{
    static void (*const ways[])(owner_t * owner) = {set_other_for_a_time_gone_by, set_other_for_now,
                                                    set_other_for_later};
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        owner_t a = owner_of("A"), b = owner_of("B");
        calls[0] = '\0';
        a.other = &a;
        a.then = ways[i];
        set(&a, 1000);
        set(&b, 1500);
        assert_int_equal(expire(2000), 2);
        assert_string_equal(calls, "AB");
        assert_int_equal(udr_timers_next(&timers), 2001);
        check_heap();
        assert_int_equal(expire(2000), 0);
        assert_int_equal(expire(2001), 1);
        assert_int_equal(expire(2002), 1);
        assert_string_equal(calls, "ABAA");
        udr_timers_clear(&timers, &a.timer);
    }
}

/* Whether it was set before or not: one that is due and has not been called yet is moved as well. */
static void is_called_the_next_time_when_moved_to_now(void **state)
{
    owner_t a = owner_of("A"), b = owner_of("B"), c = owner_of("C");
    (void)state;
    a.then = set_other_for_now;
    a.other = &b;
    set(&a, 1000);
    set(&b, 2000);
    set(&c, 3000);
    assert_int_equal(expire(3000), 2);
    assert_string_equal(calls, "AC");
    assert_int_equal(expire(3001), 1);
    assert_string_equal(calls, "ACB");
}

/* Outside of expire() any time will do. */
static void is_called_when_set_for_a_time_gone_by(void **state)
{
    owner_t a = owner_of("A");
    (void)state;
    assert_int_equal(expire(5000), 0);
    set(&a, 1000);
    assert_int_equal(udr_timers_next(&timers), 1000);
    assert_int_equal(expire(5000), 1);
    set(&a, 5000);
    assert_int_equal(expire(5000), 1);
    assert_string_equal(calls, "AA");
}

/* An owner that frees itself, as a connection does whose time is up. */
static void free_owner(owner_t *owner)
{
    free(owner);
}

static void may_go_with_its_memory(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        owner_t *owner = malloc(sizeof *owner);
        assert_non_null(owner);
        *owner = owner_of("F");
        owner->then = free_owner;
        set(owner, 1000 + i % 3);
    }
    assert_int_equal(expire(2000), 10);
    assert_string_equal(calls, "FFFFFFFFFF");
}

/* --- memory --- */

enum { MANY = 10000 };

static int expired_count;
static apr_time_t expired_last;

static void note_time(udr_timer_t *timer)
{
    assert_true(timer->at >= expired_last);
    expired_last = timer->at;
    expired_count++;
}

/* Falling times: each has to rise to the top. */
static void grows(void **state)
{
    static udr_timer_t many[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        many[i] = (udr_timer_t){.expired = note_time};
        assert_int_equal(udr_timers_set(&timers, &many[i], 2 * MANY - i), APR_SUCCESS);
        assert_int_equal(many[i].place, 1);
    }
    check_heap();
    expired_count = 0;
    expired_last = 0;
    assert_int_equal(udr_timers_expire(&timers, 2 * MANY), MANY);
    assert_int_equal(expired_count, MANY);
}

static void stays_as_it_was_without_memory(void **state)
{
    udr_timer_t many[1000];
    apr_size_t count = 0;
    (void)state;
    memory_is_out = true;
    many[0] = (udr_timer_t){.expired = note_time};
    assert_int_equal(udr_timers_set(&timers, &many[0], 1000), APR_ENOMEM);
    assert_int_equal(udr_timers_next(&timers), 0);
    assert_int_equal(many[0].place, 0);

    memory_is_out = false;
    assert_int_equal(udr_timers_set(&timers, &many[count++], 1000), APR_SUCCESS);
    memory_is_out = true;
    apr_status_t rv = APR_SUCCESS;
    while (rv == APR_SUCCESS && count < COUNT(many)) {
        many[count] = (udr_timer_t){.expired = note_time};
        rv = udr_timers_set(&timers, &many[count++], 500);
    }
    assert_int_equal(rv, APR_ENOMEM);
    count--;
    assert_int_equal(many[count].place, 0);
    assert_int_equal(timers.count, count);
    check_heap();
    /* What is set already moves without memory, and what is cleared makes room. */
    assert_int_equal(udr_timers_set(&timers, &many[0], 200), APR_SUCCESS);
    assert_int_equal(udr_timers_next(&timers), 200);
    udr_timers_clear(&timers, &many[0]);
    assert_int_equal(udr_timers_set(&timers, &many[count], 300), APR_SUCCESS);
    expired_last = 0;
    assert_int_equal(udr_timers_expire(&timers, 500), count);
}

static void unsets_all_at_its_end(void **state)
{
    owner_t many[100];
    (void)state;
    for (size_t i = 0; i < COUNT(many); i++) {
        many[i] = owner_of("x");
        set(&many[i], 1000 + (apr_time_t)i);
    }
    udr_timers_destroy(&timers);
    assert_int_equal(timers.count, 0);
    assert_int_equal(timers.size, 0);
    assert_null(timers.heap);
    for (size_t i = 0; i < COUNT(many); i++) {
        assert_int_equal(many[i].timer.place, 0);
    }
    assert_int_equal(expire(5000), 0);
    /* And starts anew. */
    set(&many[7], 1000);
    assert_int_equal(expire(1000), 1);
    assert_string_equal(calls, "x");
}

/* --- against a model --- */

enum { OPERATIONS = 100000, TIMERS = 600, SPAN = 300 };

/* The model: those that are set, in the order of their times. */
static udr_timer_t every[TIMERS];
static udr_timer_t *sorted[TIMERS];
static int sorted_count;
static int mistakes;

/* A generator of our own: the same numbers everywhere (xorshift). */
static uint64_t chance = 88172645463325252U;

static unsigned int pick(unsigned int below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned int)((chance >> 20) % below);
}

static void model_remove(const udr_timer_t *timer)
{
    for (int i = 0; i < sorted_count; i++) {
        if (sorted[i] == timer) {
            memmove(&sorted[i], &sorted[i + 1], (size_t)(--sorted_count - i) * sizeof *sorted);
            return;
        }
    }
}

static void model_insert(udr_timer_t *timer, apr_time_t at)
{
    int i = sorted_count++;
    for (; i > 0 && sorted[i - 1]->at > at; i--) {
        sorted[i] = sorted[i - 1];
    }
    sorted[i] = timer;
}

/* Which of several of the same time comes first is not said: any of them will do. */
static void expire_in_model(udr_timer_t *timer)
{
    mistakes += sorted_count == 0 || sorted[0]->at != timer->at || timer->place != 0;
    model_remove(timer);
    if (pick(4) == 0) {
        model_insert(timer, now + 1);
        mistakes += udr_timers_set(&timers, timer, now + 1 - (apr_time_t)pick(3)) != APR_SUCCESS;
    }
}

static void set_some(udr_timer_t *timer)
{
    apr_time_t at = now + (apr_time_t)pick(SPAN) - 5;
    model_remove(timer);
    model_insert(timer, at);
    assert_int_equal(udr_timers_set(&timers, timer, at), APR_SUCCESS);
}

static void clear_some(udr_timer_t *timer)
{
    model_remove(timer);
    udr_timers_clear(&timers, timer);
    assert_int_equal(timer->place, 0);
}

static void expire_some(void)
{
    int due = 0;
    now += pick(4);
    while (due < sorted_count && sorted[due]->at <= now) {
        due++;
    }
    assert_int_equal(udr_timers_expire(&timers, now), due);
    assert_true(sorted_count == 0 || (sorted[0]->at > now && udr_timers_next(&timers) > now));
}

static void agrees_with_a_sorted_array(void **state)
{
    (void)state;
    now = 1000;
    sorted_count = 0;
    mistakes = 0;
    for (int i = 0; i < TIMERS; i++) {
        every[i] = (udr_timer_t){.expired = expire_in_model};
    }
    for (int i = 0; i < OPERATIONS; i++) {
        unsigned int what = pick(10);
        udr_timer_t *timer = &every[pick(TIMERS)];
        if (what < 6) {
            set_some(timer);
        } else if (what < 8) {
            clear_some(timer);
        } else {
            expire_some();
        }
        assert_int_equal(mistakes, 0);
        assert_int_equal(timers.count, sorted_count);
        assert_int_equal(udr_timers_next(&timers) != 0, sorted_count != 0);
        assert_true(sorted_count == 0 || udr_timers_next(&timers) <= sorted[0]->at);
        if (i % 100 == 0) {
            check_heap();
        }
    }
    for (int i = 0; i < sorted_count; i++) {
        assert_ptr_equal(timers.heap[sorted[i]->place].timer, sorted[i]);
    }
}

#define with_timers(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_timers(has_none_at_first),
        with_timers(calls_in_time_and_once),
        with_timers(calls_in_the_order_of_time),
        with_timers(moves_what_is_set),
        with_timers(stays_in_its_place_when_put_off),
        with_timers(clears),
        with_timers(calls_all_of_the_same_time),
        with_timers(is_not_called_when_cleared_by_one_before_it),
        with_timers(is_not_called_when_cleared_by_its_equal),
        with_timers(is_not_called_when_moved_by_one_before_it),
        with_timers(may_set_itself_for_later),
        with_timers(is_called_the_next_time_when_set_for_now),
        with_timers(is_called_the_next_time_when_moved_to_now),
        with_timers(is_called_when_set_for_a_time_gone_by),
        with_timers(may_go_with_its_memory),
        with_timers(grows),
        with_timers(stays_as_it_was_without_memory),
        with_timers(unsets_all_at_its_end),
        with_timers(agrees_with_a_sorted_array),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_timer", tests, NULL, NULL);
}
