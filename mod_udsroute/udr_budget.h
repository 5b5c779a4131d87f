/* SPDX-License-Identifier: Apache-2.0 */
/* What is done again and again, whenever something asks for it, and is to cost no more than a small share of the time:
 * whoever has spent too much waits. Layer: core, bottom. Used by the globs; one thread for each. */
#ifndef UDR_BUDGET_H
#define UDR_BUDGET_H

#include <apr_time.h>

#include <stdbool.h>

/* One part in so many, over time. */
#define UDR_BUDGET_SHARE 20

/* What may be spent at once, so that what is cheap never waits. */
#define UDR_BUDGET_BURST apr_time_from_msec(50)

/* All zero at first. */
typedef struct udr_budget_t {
    apr_interval_time_t spent; /* and not made up for yet */
    apr_time_t settled_at;     /* until then time has made up for it */
} udr_budget_t;

/* now: udr_clock_now(). False: ask again later. */
bool udr_budget_allows(udr_budget_t *budget, apr_time_t now);

/* It has taken so many microseconds, and ended now. Whoever goes on nevertheless waits for longer afterwards. */
void udr_budget_spend(udr_budget_t *budget, apr_interval_time_t took, apr_time_t now);

#endif
