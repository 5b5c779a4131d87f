/* SPDX-License-Identifier: Apache-2.0 */
/* How many lines of a kind the log gets in a minute, of something that may happen any number of times; and what was
 * left out. In shared memory, for all children together. Layer: core, bottom. Used by the globs; any thread of any
 * process.
 */
#ifndef UDR_QUOTA_H
#define UDR_QUOTA_H

#include <apr.h>
#include <apr_time.h>

#include <stdatomic.h>
#include <stdbool.h>

#define UDR_QUOTA_KINDS 3

#define UDR_QUOTA_SPAN apr_time_from_sec(60)

/* All zero at first. */
typedef struct udr_quota_t {
    _Atomic apr_int64_t since; /* when the first line of this minute was told; 0: none was lately */
    struct {
        _Atomic apr_uint32_t told;
        _Atomic apr_uint32_t left_out;
    } kinds[UDR_QUOTA_KINDS];
} udr_quota_t;

/* May one more of that kind be told, of which there are so many a minute? False: it counts as left out. Before this,
 * udr_quota_end(). now: udr_clock_now(). */
bool udr_quota_take(udr_quota_t *quota, int kind, apr_uint32_t limit, apr_time_t now);

/* Now and then. True: a minute is over in which some were left out, which the caller tells; of all callers one gets to
 * know. */
bool udr_quota_end(udr_quota_t *quota, apr_uint32_t left_out[UDR_QUOTA_KINDS], apr_time_t now);

#endif
