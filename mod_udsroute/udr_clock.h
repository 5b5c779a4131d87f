/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that all waiting goes by: it neither jumps nor runs backwards when somebody sets the time of day.
 * Layer: core, bottom. Used by pool, exchange and runners; only for spans: it counts from the machine's start. */
#ifndef UDR_CLOCK_H
#define UDR_CLOCK_H

#include <apr_time.h>

#include <time.h>

/* Microseconds (clock_gettime(2), CLOCK_MONOTONIC); never 0. */
static inline apr_time_t udr_clock_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (apr_time_t)now.tv_sec * APR_USEC_PER_SEC + now.tv_nsec / 1000 + 1;
}

#endif
