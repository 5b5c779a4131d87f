/* SPDX-License-Identifier: Apache-2.0 */
/* What a member did in the last minutes, in steps of a few seconds: a ring in its slot, for the plots of the status.
 * Layer: core. Part of a member's slot; written by whichever process first sees that a step is over, read by the
 * status.
 */
#ifndef UDR_HISTORY_H
#define UDR_HISTORY_H

#include "mod_udsroute/udr_histogram.h"

#include <stdbool.h>

#define UDR_HISTORY_STEP  apr_time_from_sec(5)
#define UDR_HISTORY_STEPS 60

/* Steps are numbered by the clock. */
typedef struct udr_history_sample_t {
    _Atomic apr_uint32_t step;     /* the last that it covers; 0: none, or it is being written */
    _Atomic apr_uint32_t steps;    /* how many it covers: 1, or more where nobody has looked in time */
    _Atomic apr_uint32_t requests; /* that ended */
    _Atomic apr_uint32_t failed;
    _Atomic apr_uint32_t p50; /* us; 0: no request has been timed */
    _Atomic apr_uint32_t p90;
} udr_history_sample_t;

/* All zero: nobody has looked yet. */
typedef struct udr_history_t {
    _Atomic apr_uint32_t next;     /* the first step without a sample; who moves it writes the sample */
    _Atomic apr_uint64_t requests; /* in samples so far, as the next two */
    _Atomic apr_uint64_t failed;
    udr_histogram_seen_t latency;
    udr_history_sample_t ring[UDR_HISTORY_STEPS];
} udr_history_t;

/* What a member has done in all its time. */
typedef struct udr_history_totals_t {
    apr_uint64_t requests;
    apr_uint64_t failed;
    const udr_histogram_t *latency;
} udr_history_totals_t;

/* Of a process that looks after all members: all zero at first. */
typedef struct udr_history_look_t {
    apr_uint32_t step;
    apr_uint64_t epoch;
} udr_history_look_t;

/* A step, for a reader. */
typedef struct udr_history_point_t {
    bool is_known;    /* false: it is before the history's beginning, or has not been sampled */
    double rate;      /* requests per second */
    double failed;    /* of these */
    apr_uint32_t p50; /* us; 0: no request has been timed */
    apr_uint32_t p90;
} udr_history_point_t;

/* Any thread of any process, no lock; times are udr_clock_now()'s. */

/* Whether udr_history_take() would do anything: a step has ended that has no sample. */
bool udr_history_is_due(const udr_history_t *history, apr_time_t now);

/* Whether any member's sample can be due: once in a step, and after the epoch (udr_shared) has moved, as there may be
 * new members, whose history begins when somebody looks. In between that need not be asked of each, where it would be
 * the only thing that is read of most. One thread at a time. */
bool udr_history_is_to_look(udr_history_look_t *look, apr_uint64_t epoch, apr_time_t now);

/* Takes the sample of what has happened since the last one, unless another process has just done so. */
void udr_history_take(udr_history_t *history, const udr_history_totals_t *totals, apr_time_t now);

/* The last steps that are over, oldest first. One that ended just now, and has no sample yet, is left out. */
void udr_history_read(const udr_history_t *history, apr_time_t now, udr_history_point_t points[UDR_HISTORY_STEPS]);

#endif
