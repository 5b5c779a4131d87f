/* SPDX-License-Identifier: Apache-2.0 */
/* The words in shared memory that the queue is made of, and what udr_queue.c and udr_queue_repair.c share.
 * Layer: core. Used by these two alone. */
#ifndef UDR_QUEUE_PRIVATE_H
#define UDR_QUEUE_PRIVATE_H

#include "mod_udsroute/udr_queue.h"

/* udr_hot_t.line: in flight, and waiting. */
#define LINE_BUSY    ((apr_uint64_t)1)
#define LINE_WAITING ((apr_uint64_t)1 << 32)

/* udr_cell_t.count: in flight (24 bits), threads that are counting right now (16), how often they have (24, wraps). */
#define CELL_BUSY     ((apr_uint64_t)1)
#define CELL_COUNTING ((apr_uint64_t)1 << 24)
#define CELL_COUNTED  ((apr_uint64_t)1 << 40)

static inline apr_uint32_t cell_busy(apr_uint64_t count)
{
    return (apr_uint32_t)(count & (CELL_COUNTING - 1));
}

static inline bool cell_is_counting(apr_uint64_t count)
{
    return (count & (CELL_COUNTED - CELL_COUNTING)) != 0;
}

/* udr_ticket_t.word */
enum { TICKET_FREE, TICKET_WAITS, TICKET_GRANTED, TICKET_STATE = 3, TICKET_SLOT_SHIFT = 2 };

static inline apr_uint32_t ticket_word(apr_uint32_t slot, apr_uint32_t state)
{
    return slot << TICKET_SLOT_SHIFT | state;
}

/* The slot's mutex. When one has died with it, what it protects is rebuilt first. */
void udr_queue_lock(udr_shared_t *shared, apr_uint32_t slot);
void udr_queue_unlock(udr_shared_t *shared, apr_uint32_t slot);

/* With the slot's mutex. Gives turns to the longest waiting, as far as the limit allows. */
void udr_queue_grant(udr_shared_t *shared, apr_uint32_t slot);

/* With the slot's mutex. Takes a ticket out of those that wait. */
void udr_queue_unlink(udr_shared_t *shared, apr_uint32_t slot, apr_uint32_t ticket);

#endif
