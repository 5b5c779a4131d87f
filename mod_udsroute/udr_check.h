/* SPDX-License-Identifier: Apache-2.0 */
/* One health check of a member: connects to its own socket, asks in its own protocol, reads the answer, and says what
 * it has found. A state machine on a loop; nothing of it blocks. Layer: core. One for each member, used again and again
 * by the checker; all functions are for the loop's thread. */
#ifndef UDR_CHECK_H
#define UDR_CHECK_H

#include "mod_udsroute/udr_codec.h"
#include "mod_udsroute/udr_loop.h"
#include "mod_udsroute/udr_member.h"
#include "mod_udsroute/udr_verdict.h"
#include "mod_udsroute/udr_yield.h"

/* So much of an answer's body is read (hc('body')); who sends more has answered as well. */
#define UDR_CHECK_BODY_MAX 65536

typedef struct udr_check_t udr_check_t;

/* What a member has answered; valid while it is judged. */
typedef struct udr_answer_t {
    int status;         /* 100 … 599 */
    udr_slice_t fields; /* for udr_http1_field_next() */
    udr_slice_t body;   /* its beginning; empty but after GET */
} udr_answer_t;

/* Who wants checks done. */
typedef struct udr_check_client_t {
    /* Is the answer what the member's `hcexpr` asks for? Called for members that have one. Any reason why not, or NULL,
     * from p. */
    bool (*accepts)(void *baton, const udr_member_t *member, const udr_answer_t *answer, const char **why,
                    apr_pool_t *p);
    /* A check has ended, and the next one may begin. finding: cause, detail, agent and begun are set. */
    void (*done)(void *baton, const udr_finding_t *finding);
    /* Whom to call where idle connections keep a member's processes; NULL: nobody. */
    udr_yield_t *yield;
} udr_check_client_t;

/* For a member whose settings are resolved; baton is passed to the client's functions. From p, which ends a check that
 * runs; the loop's thread has ended by then, or runs the cleanup. */
apr_status_t udr_check_create(udr_check_t **check, const udr_member_t *member, udr_loop_t *loop,
                              const udr_check_client_t *client, void *baton, apr_pool_t *p);

/* Begins one. only_connects: whatever `hcmethod` says. next: when another one is due, 0: never. A check that would run
 * into that one has up to a fiftieth of its time less. It may be done before this returns. Not while one runs. */
void udr_check_begin(udr_check_t *check, bool only_connects, apr_time_t next);

bool udr_check_is_running(const udr_check_t *check);

/* Why the last check failed, if more can be said of it than its cause: a sentence, valid until the next one begins; or
 * NULL. It may ask the system for it: only for who tells it to somebody. */
const char *udr_check_explain(const udr_check_t *check);

/* Ends it without a word. Harmless when none runs. */
void udr_check_cancel(udr_check_t *check);

#endif
