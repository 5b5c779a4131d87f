/* SPDX-License-Identifier: Apache-2.0 */
/* A loop in a thread of its own, as in a child, and socketpairs for it to watch. The test tells the loop what to do,
 * one call after the other, and looks at what has come about between two calls. A call is a task, so that each takes
 * at least one round. The linker puts epoll_wait(2) below into our hands (--wrap): rounds are counted, and a signal
 * interrupts when the test says so. */
#ifndef FIXTURE_LOOP_H
#define FIXTURE_LOOP_H

#include "mod_udsroute/udr_loop.h"

#include <semaphore.h>
#include <stdatomic.h>

extern udr_loop_t *loop;
extern apr_pool_t *loop_pool; /* the loop's */
extern int loop_descriptors;  /* open before there was a loop */
extern char loop_story[64];   /* what happened on the loop, mostly one letter each */

extern atomic_int loop_rounds;
extern atomic_int loop_timeout;       /* of the last wait, in milliseconds */
extern atomic_int loop_in_vain;       /* how often it has waited awake, and then slept */
extern atomic_int loop_interruptions; /* so many waits are interrupted by a signal first */
extern sem_t *loop_waits;             /* posted before a wait without end; or NULL */
extern void (*loop_has_waited)(void); /* the loop's: called once when the next wait is over; or NULL */

/* Makes a loop, which does not run yet. For cmocka, as the next two. */
int loop_make(void **state);

/* And lets it run. */
int loop_set_up(void **state);

/* Stops it if it runs. Fails when it leaves a descriptor behind. */
int loop_tear_down(void **state);

void loop_start(void);

/* Returns when it has ended. */
void loop_join(void);

/* Waits for the bell, and ends the program when it does not ring: no tear-down ends a loop that hangs. */
void loop_await(sem_t *bell);

/* On the loop's thread; returns when it is done. What was ready before has been told by then. function: or NULL. */
void loop_call(void (*function)(void *baton), void *baton);

/* Several rounds: whatever is yet to come has come. */
void loop_settle(void);

/* Waits until the loop sleeps, and no longer waits awake; for how many milliseconds, -1: without end. */
int loop_sleeps_for(void);

/* On the loop's thread: adds to the story. */
void loop_note(const char *what);

/* A task that adds "|" to the story. */
void loop_note_task(udr_task_t *task);

void loop_set_timer(udr_timer_t *timer, apr_time_t at);
void loop_clear_timer(udr_timer_t *timer);

/* Somebody who watches one end of a socketpair. */
typedef struct end_t {
    const char *name; /* added to the story each time it is told something */
    udr_watch_t watch;
    int fd;                          /* watched */
    int far;                         /* the test's */
    int calls;                       /* how often it has been told something since the events were taken */
    uint32_t events;                 /* all that it has been told since */
    void (*then)(struct end_t *end); /* what else it does when it is told */
    struct end_t *other;
    sem_t *bell;
    udr_timer_t timer;
    udr_task_t task;
    apr_status_t status; /* of the last udr_loop_watch() */
    apr_time_t seen;
    bool flag;
} end_t;

end_t end_of_pair(const char *name);
void end_close(const end_t *end);

void end_watch(end_t *end);
void end_unwatch(end_t *end);
void end_watch_out(end_t *end, bool wants_out);

/* On the loop's thread. */
void end_do_watch(void *baton);

/* Claims that it has been told so often since the last time, and returns what: EPOLLIN and so on. */
uint32_t end_take_events(end_t *end, int expected_calls);

/* Two that know of each other, watched and at rest, and what they do when they are told. */
void ends_watch(end_t *a, end_t *b, void (*then)(end_t *end));

/* On the loop's thread: makes both ready at once, so that it sees them together in the next round. */
void ends_say(void *baton);

void say(int fd, const char *text);

/* Reads all there is and returns how much that was. */
size_t swallow(int fd);

/* Writes until no more is taken. */
void fill(int fd);

#endif
