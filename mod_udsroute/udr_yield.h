/* SPDX-License-Identifier: Apache-2.0 */
/* Where a runtime's process serves one connection, also while that is idle: those whose requests no process takes up
 * call for one, and whoever holds an idle connection to that member, in whichever child, gives it up. A call is
 * answered by one connection closed. Layer: core. Used by the pools, which give up, and by udr_hunger, which calls. */
#ifndef UDR_YIELD_H
#define UDR_YIELD_H

#include "mod_udsroute/udr_shared.h"

/* A child's side of it. */
typedef struct udr_yield_t udr_yield_t;

/* Somebody who holds idle connections to a member. The caller's memory, all zero but for the first. */
typedef struct udr_giver_t {
    /* Answers calls by udr_yield_answer(), each with an idle connection, as long as there are both; and gives up what
     * has been idle for too long, too, where it gets the time (0: not). On the thread of udr_yield_run(). It may not
     * call any of the functions below but answer and count. false: may_wait is not granted, and it would have to wait.
     */
    bool (*give_up)(struct udr_giver_t *giver, bool may_wait, apr_time_t now);
    apr_uint32_t slot;
    udr_yield_t *yield;           /* this and what follows: udr_yield's. NULL: none */
    struct udr_giver_t *previous; /* needs its mutex, as the next */
    struct udr_giver_t *next;
} udr_giver_t;

/* For a child that has claimed row. From p; errno when there is no mutex to be had. */
apr_status_t udr_yield_create(udr_yield_t **yield, udr_shared_t *shared, apr_uint32_t row, apr_pool_t *p);

/* The child ends: nobody is asked to give up anything from now on, and nothing is counted. Never waits for a lock, for
 * that of an interrupted thread would never be free; when it returns, nobody is in give_up with may_wait false. */
void udr_yield_stop(udr_yield_t *yield);

/* The giver holds connections of slot from now on; or it will not be asked any more, and may count still. Any thread.
 */
void udr_yield_add(udr_yield_t *yield, udr_giver_t *giver, apr_uint32_t slot);
void udr_yield_remove(udr_giver_t *giver);

/* --- a giver, once added; any thread --- */

/* So many idle connections more (or fewer). More, before udr_yield_answer() is asked: either it sees the call, or who
 * calls sees the connection. */
void udr_yield_count(const udr_giver_t *giver, int more);

/* True: somebody calls; the caller answers that call by closing one idle connection. */
bool udr_yield_answer(const udr_giver_t *giver);

/* --- the child's own thread --- */

/* When a signal for the row has come: has all givers answer the calls for their members. One thread at a time.
 * may_wait: for their locks; false, in prefork's second thread, whose child may end at any point of the first: nothing
 * is locked that could stay so, no memory allocated or freed. now: see give_up; 0 where others look after that. Returns
 * false when somebody would have had to wait: call again. */
bool udr_yield_run(udr_yield_t *yield, bool may_wait, apr_time_t now);

/* --- who calls; any thread --- */

/* Calls; returns the call's number. */
apr_uint32_t udr_yield_call(udr_yield_t *yield, apr_uint32_t slot);

/* Signals as many children as can answer all calls there are; turn: another number each time, for others to be asked
 * when those asked before do nothing. */
void udr_yield_press(udr_yield_t *yield, apr_uint32_t slot, apr_uint32_t turn);

/* Calls are answered first come, first served. */
bool udr_yield_is_answered(const udr_yield_t *yield, apr_uint32_t slot, apr_uint32_t call);

/* Nobody has to answer it any more; harmless when somebody has. */
void udr_yield_withdraw(udr_yield_t *yield, apr_uint32_t slot, apr_uint32_t call);

#endif
