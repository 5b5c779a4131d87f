/* SPDX-License-Identifier: Apache-2.0 */
/* What is tried without knowing whether it will pay: each try has a cost, which it gets back when it has paid, and
 * which time makes up for when it has not. Who has tried too often for nothing lately does without for a while.
 * Layer: core, bottom. Used for connections that are adopted after their first request; any thread. */
#ifndef UDR_TRIAL_H
#define UDR_TRIAL_H

#include <apr_time.h>

#include <stdatomic.h>
#include <stdbool.h>

/* So long time would have to make up for what has been tried before no other try is begun; */
#define UDR_TRIAL_BURST apr_time_from_sec(2)

/* and so long for what those in hand have cost beyond that: not for longer is none begun. */
#define UDR_TRIAL_MOST apr_time_from_sec(4)

/* All zero at first but for the share. */
typedef struct udr_trial_t {
    int share;                     /* what is for nothing may cost one part in so many of the time */
    _Atomic apr_time_t owed_until; /* then time has made up for everything, as things stand */
} udr_trial_t;

/* cost: of a try that is for nothing, in microseconds. now: udr_clock_now(). False: not now, and nothing is owed for
 * it. */
bool udr_trial_begin(udr_trial_t *trial, apr_interval_time_t cost, apr_time_t now);

/* A try that has begun has cost more, so far for nothing. */
void udr_trial_charge(udr_trial_t *trial, apr_interval_time_t cost, apr_time_t now);

/* It has paid: what it cost when it began is given back. Once for each try. */
void udr_trial_succeed(udr_trial_t *trial, apr_interval_time_t cost);

#endif
