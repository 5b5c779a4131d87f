/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange with both its sides in the hands of a test: the member is the far end of a real Unix socket, which the
 * test accepts, reads and writes; the client is made up, does as it is told and notes what it gets; the time is what
 * the test says. Nothing sleeps and no thread runs: a test plays one side after the other, step by step. */
#ifndef FIXTURE_EXCHANGE_H
#define FIXTURE_EXCHANGE_H

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_client.h"
#include "tests/unit/fixture_socket.h"

#include <poll.h>

typedef struct scene_t {
    apr_pool_t *pool;
    apr_pool_t *child; /* with it goes the member's pool */
    place_t place;
    udr_member_t *member;
    udr_request_t request; /* GET / at first */
    udr_client_ops_t ops;
    udr_exchange_plan_t plan;
    fake_client_t client;
    apr_pool_t *request_pool;
    udr_exchange_t *exchange;
    apr_time_t now;          /* what the exchange is told */
    apr_size_t scratch_size; /* 0: as large as the exchange makes use of */
    udr_pipes_t *pipes;      /* the runner's; NULL at first: none */
    int wakes;               /* how often the waiter was woken */
    int held;                /* turns that the test itself has */
} scene_t;

/* A member that listens, and no exchange yet. For cmocka. */
int scene_set_up(void **state);

/* Fails when the exchange has left anything: turns, waiters, descriptors. */
int scene_tear_down(void **state);

/* The member is one of this scheme, "http" at first. Before any exchange. */
void scene_speak(scene_t *scene, const char *scheme);

/* Makes an exchange; one that was there before is destroyed. The client has forgotten what it got, not how it answers.
 */
void scene_begin(scene_t *scene);

/* Destroys the exchange with its request. */
void scene_end(scene_t *scene);

/* Runs the exchange once. */
bool scene_run(scene_t *scene, unsigned int ready);

/* Runs it until there is nothing that it waits for and that has come about. Returns whether it waits. */
bool scene_settle(scene_t *scene);

/* begin and settle. */
bool scene_start(scene_t *scene);

void scene_pass_time(scene_t *scene, apr_interval_time_t time);

/* Runs on from one point in time to the next, as a runner would, for as long as that or until the exchange ends.
 * Returns whether it waits. */
bool scene_wait(scene_t *scene, apr_interval_time_t time);

/* The wait ends when its time has come, and one microsecond before it does not: runs the exchange at both, and returns
 * what came of it. */
bool scene_wait_out(scene_t *scene);

/* --- the member --- */

int member_accepts(const scene_t *scene);

/* All that has come; terminated, good until the exchange is destroyed. */
const char *member_reads(scene_t *scene, int fd);

/* Reads all that has come and returns how much that was. At least one byte has to come. */
apr_size_t member_swallows(int fd, text_t *into);

/* Reads the request, as far as it has come, and closes. */
void member_reads_and_closes(scene_t *scene, int fd);

void member_says(int fd, const char *text);
void member_says_bytes(int fd, const char *bytes, apr_size_t len);

/* Starts an exchange; returns the member's end of its connection, the request (without a body) read. */
int scene_start_and_read(scene_t *scene);

/* As that, with a POST whose body the client has yet to send. */
int scene_start_post(scene_t *scene);

/* An exchange is done and its connection kept: returns the member's end of it. */
int scene_keep_connection(scene_t *scene);

/* Somebody else has the only turn (max is 1 from then on), or gives it back. */
void scene_hold_turn(scene_t *scene);
void scene_give_turn(scene_t *scene);
int scene_count_waiting(const scene_t *scene);

/* The member's listen backlog is full, and it accepts nobody. */
void scene_fill_backlog(scene_t *scene);

void scene_count(const scene_t *scene, udr_pool_counts_t *counts);

/* --- claims; they name the line of the test --- */

#define assert_state(scene, state)                 check_state(scene, state, __FILE__, __LINE__)
#define assert_waits(scene, state, member, client) check_waits(scene, state, member, client, __FILE__, __LINE__)
#define assert_done(scene)                         check_state(scene, UDR_EXCHANGE_DONE, __FILE__, __LINE__)
#define assert_failed(scene, kind, state)          check_failed(scene, kind, state, __FILE__, __LINE__)
#define assert_why(scene, why, error)              check_why(scene, why, error, __FILE__, __LINE__)
#define assert_story(scene, expected)              check_text(&(scene)->client.story, expected, __FILE__, __LINE__)
#define assert_text(text, expected)                check_text(text, expected, __FILE__, __LINE__)
#define assert_counts(scene, idle, busy)           check_counts(scene, idle, busy, __FILE__, __LINE__)

void check_state(const scene_t *scene, udr_exchange_state_t state, const char *file, int line);
void check_waits(const scene_t *scene, udr_exchange_state_t state, short member, short client, const char *file,
                 int line);
void check_failed(const scene_t *scene, udr_failure_kind_t kind, udr_exchange_state_t state, const char *file,
                  int line);
void check_why(const scene_t *scene, const char *why, apr_status_t error, const char *file, int line);
void check_text(const text_t *text, const char *expected, const char *file, int line);
void check_counts(const scene_t *scene, int idle, int busy, const char *file, int line);

#endif
