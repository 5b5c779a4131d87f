/* SPDX-License-Identifier: Apache-2.0 */
/* A child's row in what the server shares, claimed for life; and what is to be done after those who have died.
 * Layer: core, above the queue. Used by each child's own thread (the loop's, the one that tidies, prefork's only one),
 * and by the parent before it reads a new configuration. */
#ifndef UDR_ROW_H
#define UDR_ROW_H

#include "mod_udsroute/udr_queue.h"

/* A row for this child. The calling thread must live as long as the child does: the others take its end for the
 * child's. APR_ENOSPC: as many children as there are rows live. ESTALE: the child's generation is so old that its slots
 * belong to others by now; it must not serve any request. */
apr_status_t udr_row_claim(udr_shared_t *shared, apr_uint32_t *row);

/* Gives the row up: an orderly end, from the thread that has claimed it, when nobody uses the queue any more.
 * APR_EBUSY: something is in flight or waits; the row stays the child's until it ends, and then is reaped. */
apr_status_t udr_row_release(udr_shared_t *shared, apr_uint32_t row);

/* Looks after the others, four times a second in each child: gives back what those have left who died, hands the
 * turns on that come free with it, and increments the epoch for them. Nobody is kept waiting; where somebody was
 * counting at each try, it is left for the next time. Any thread of any process. Returns the number of rows that came
 * free. */
int udr_row_reap(udr_shared_t *shared);

#endif
