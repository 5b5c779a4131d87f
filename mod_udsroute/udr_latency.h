/* SPDX-License-Identifier: Apache-2.0 */
/* How long a member lately took, as all children found it: an average in its hot line that fades while it is not
 * renewed, so that one that was slow is tried again. Layer: core. Written by the balancer at the end of each request,
 * read by the method leasttime and the status. */
#ifndef UDR_LATENCY_H
#define UDR_LATENCY_H

#include "mod_udsroute/udr_slot.h"

#include <apr_time.h>

#include <stdbool.h>

/* After each such time without a new value the average is half of what it was. */
#define UDR_LATENCY_HALF_LIFE apr_time_from_sec(10)

/* Any thread of any process, no lock. The average and its age are two atomics: a value that another process records at
 * the same moment may be lost, and in between a reader may find the old average with the new age, which is what it was
 * before it faded. It never finds a number that nobody wrote. */

/* Adds a value: average × 7/8 + us/8; the first one is the average, and so is one that follows a half-life of silence
 * or more: what is known from before says little by then.
 * us: from the pick to the response's end, in microseconds; to be told for a request as well that timed out.
 * now: udr_clock_now(). */
void udr_latency_record(udr_hot_t *hot, apr_interval_time_t us, apr_time_t now);

/* The average in microseconds, faded; 0: unknown, or so old that it has faded away. */
apr_uint32_t udr_latency_read(const udr_hot_t *hot, apr_time_t now);

/* Whether it is known and younger than a half-life. */
bool udr_latency_is_fresh(const udr_hot_t *hot, apr_time_t now);

#endif
