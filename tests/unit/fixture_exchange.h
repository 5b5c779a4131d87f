/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange with both its sides in the hands of a test: the member is the far end of a real Unix socket, which the
 * test accepts, reads and writes; the client is made up, does as it is told and notes what it gets; the time is what
 * the test says. Nothing sleeps and no thread runs: a test plays one side after the other, step by step. */
#ifndef FIXTURE_EXCHANGE_H
#define FIXTURE_EXCHANGE_H

#include "mod_udsroute/udr_exchange.h"
#include "tests/unit/fixture_socket.h"

#include <poll.h>

/* Bytes being collected; always terminated. */
typedef struct text_t {
    char *ptr;
    apr_size_t len;
    apr_size_t size;
} text_t;

/* Body bytes that the client sends at once. */
typedef struct piece_t {
    struct piece_t *next;
    apr_size_t len;
    char bytes[];
} piece_t;

enum { UNPUSHED_MAX = 1024 };

typedef struct fake_client_t {
    /* How it answers. All APR_SUCCESS at first. */
    struct {
        apr_status_t invite;
        apr_status_t interim;
        apr_status_t head;
        apr_status_t data;
        apr_status_t push;
        apr_status_t drain;
        apr_status_t end;
    } answer;
    bool wants_body;  /* true at first */
    bool is_writable; /* said when it is waited for; true at first */
    bool is_gone;

    /* What it sends. */
    piece_t *first;
    apr_status_t behind; /* what follows the pieces: APR_EOF at first, APR_EAGAIN, or an error */
    const apr_table_t *body_trailers;
    int peeks;           /* how often it was asked for body bytes */
    apr_size_t consumed; /* of the body, by the exchange */

    /* What it got. */
    text_t story;          /* each call in a word, "head:200 data:5 push end", body bytes by their number */
    text_t fields;         /* of the head, "Name: value\n" each */
    text_t interim_fields; /* of all 1xx, likewise */
    text_t body;
    text_t trailers;
    udr_http1_head_t head;
    apr_size_t largest; /* body bytes at once */
    udr_slice_t unpushed[UNPUSHED_MAX];
    int unpushed_count;
} fake_client_t;

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
    apr_time_t now;
    apr_size_t scratch_size;
    int wakes; /* how often the waiter was woken */
} scene_t;

/* A member that listens, and no exchange yet. For cmocka. */
int scene_set_up(void **state);

/* Fails when the exchange has left anything: turns, waiters, descriptors. */
int scene_tear_down(void **state);

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

/* The wait ends when its time has come, and one microsecond before it does not: runs the exchange at both, and returns
 * what came of it. */
bool scene_wait_out(scene_t *scene);

/* --- the client --- */

void client_sends(scene_t *scene, const char *text);
void client_sends_bytes(scene_t *scene, const char *bytes, apr_size_t len);

/* --- the member --- */

int member_accepts(const scene_t *scene);

/* All that has come; terminated, good until the exchange is destroyed. */
const char *member_reads(scene_t *scene, int fd);

/* Reads all that has come and returns how much that was. At least one byte has to come. */
apr_size_t member_swallows(int fd, text_t *into);

void member_says(int fd, const char *text);
void member_says_bytes(int fd, const char *bytes, apr_size_t len);

/* Starts an exchange; returns the member's end of its connection, the request (without a body) read. */
int scene_start_and_read(scene_t *scene);

/* An exchange is done and its connection kept: returns the member's end of it. */
int scene_keep_connection(scene_t *scene);

void scene_count(const scene_t *scene, udr_pool_counts_t *counts);

/* --- bytes --- */

void text_add(text_t *text, const char *bytes, apr_size_t len);
void text_clear(text_t *text);

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
