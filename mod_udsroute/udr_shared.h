/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes of a server share: one anonymous mapping that the parent makes once and keeps over graceful
 * restarts. Slots by members' identity, a row for each child, tickets for those who wait.
 * Layer: core. Used by the parent (slots), queue and rows; handed down to the children by fork(2). */
#ifndef UDR_SHARED_H
#define UDR_SHARED_H

#include "mod_udsroute/udr_signals.h"
#include "mod_udsroute/udr_slot.h"

#include <apr_pools.h>

#include <stdbool.h>

/* The handle: in the parent's memory, which the children have by fork(2), with the mapping at the same address. */
typedef struct udr_shared_t udr_shared_t;

/* The version of the mapping's layout, and of the handle's: another one where anything in them, or what it means, is
 * not as before. An upgraded module that a graceful restart loads takes over what the one before has left only if it
 * says the same here. What only changes sizes the compiler finds out (udr_shared.c). */
#define UDR_SHARED_LAYOUT "7"

/* No row, no slot. */
#define UDR_SHARED_NONE APR_UINT32_MAX

/* What a child contributes to one member. */
typedef struct udr_cell_t {
    _Atomic apr_uint64_t count;   /* udr_queue's: requests in flight, and what it takes to count them right */
    _Atomic apr_uint32_t granted; /* udr_queue's: turns that wait to be picked up; written with the slot's mutex */
    _Atomic apr_uint32_t open;    /* connections; any thread of the child, as the next */
    _Atomic apr_uint32_t idle;    /* of these */
    _Atomic apr_int32_t held;     /* idle ones that could be given up: udr_yield's, and exact */
} udr_cell_t;

enum { UDR_ROW_FREE, UDR_ROW_ALIVE, UDR_ROW_DEAD };

/* A child; see udr_row. */
typedef struct udr_row_t {
    _Alignas(64) pthread_mutex_t life; /* robust, process-shared: locked by a thread of the child as long as it lives */
    _Atomic apr_uint32_t state;        /* UDR_ROW_...; written with `life` */
    _Atomic apr_uint32_t generation;   /* that the child belongs to */
    _Atomic apr_uint32_t tickets;      /* none of its tickets from this on has been used */
    _Atomic apr_uint32_t parked;       /* requests that wait on its loops; any thread of the child, as the next */
    _Atomic apr_uint32_t tunnels;      /* on its loops and threads */
} udr_row_t;

/* Somebody who waits for a turn. A row has tickets_max of them, which no other child takes. */
typedef struct udr_ticket_t {
    _Atomic apr_uint32_t word;     /* state (low 2 bits) and slot: the truth, out of which all else can be rebuilt */
    _Atomic apr_uint32_t previous; /* 1 + the ticket; needs the slot's mutex, as what follows. Atomic for the thread
                                      sanitizer only, which can't see that another process has taken the ticket from
                                      one slot's queue to another's in between */
    _Atomic apr_uint32_t next;
    _Atomic apr_uint64_t order; /* of arrival, in this slot */
} udr_ticket_t;

/* Over all children, as of now; what changes meanwhile is in it or not. */
typedef struct udr_shared_counts_t {
    apr_uint32_t busy;
    apr_uint32_t waiting;
    apr_uint32_t open;
    apr_uint32_t idle;
} udr_shared_counts_t;

/* Of the children that live, together, whatever the member. */
typedef struct udr_shared_held_t {
    apr_uint32_t parked;
    apr_uint32_t tunnels;
} udr_shared_held_t;

/* Makes the mapping, and the signals of its rows. slots_max: members and whatever else claims a slot, released ones
 * included, for as long as children of former generations may live; rows_max: children of all generations that live at
 * once; tickets_max: requests of one child that wait at once, on all members. Memory is taken only for what is used.
 * Parent only, before it forks. p: the process's (a graceful restart clears the others); nothing of this module is
 * called when it is destroyed. APR_EINVAL: a number is 0, or too large; else errno of the system. */
apr_status_t udr_shared_create(udr_shared_t **shared, apr_uint32_t slots_max, apr_uint32_t rows_max,
                               apr_uint32_t tickets_max, apr_pool_t *p);

/* --- slots: the parent, while it reads its configuration --- */

/* The identity of a member, or of anything else that wants a slot. NULL is as good as "". */
void udr_shared_identify(unsigned char identity[UDR_IDENTITY_SIZE], const char *balancer, const char *address,
                         const char *scheme, const char *path);

/* A new configuration: its number, from 1 on. Children that are forked from now on belong to it. */
apr_uint32_t udr_shared_begin_generation(udr_shared_t *shared);

/* A slot for that identity: the one it has had, with all that is in it, or one that is all zero. As often as one likes;
 * the same identity is the same slot. *is_again (or NULL): this generation has claimed it before. APR_ENOSPC: none is
 * free. (Released ones are free when the children that may know them are gone; udr_row_reap() before finds out who has
 * died.) */
apr_status_t udr_shared_claim(udr_shared_t *shared, const unsigned char identity[UDR_IDENTITY_SIZE], apr_uint32_t *slot,
                              bool *is_again);

/* What this generation has claimed it does without after all. Where no former one had it, it is free at once. */
void udr_shared_disclaim(udr_shared_t *shared, apr_uint32_t slot);

/* Releases what this generation has not claimed. Children of former ones go on using it. */
void udr_shared_end_generation(udr_shared_t *shared);

/* --- access: any thread of any process --- */

/* The one that this process was forked in, or has begun. */
apr_uint32_t udr_shared_generation(const udr_shared_t *shared);

/* Each index below has been used; those from it on have not. */
apr_uint32_t udr_shared_slots(const udr_shared_t *shared);
apr_uint32_t udr_shared_rows(const udr_shared_t *shared);

apr_uint32_t udr_shared_slots_max(const udr_shared_t *shared);
apr_uint32_t udr_shared_rows_max(const udr_shared_t *shared);
apr_uint32_t udr_shared_tickets_max(const udr_shared_t *shared);

/* Indexes are in range; the pointers hold as long as the mapping, in every child. The array of hot lines goes on behind
 * the one that is asked for. */
udr_hot_t *udr_shared_hot(const udr_shared_t *shared, apr_uint32_t slot);
udr_slot_t *udr_shared_slot(const udr_shared_t *shared, apr_uint32_t slot);
udr_row_t *udr_shared_row(const udr_shared_t *shared, apr_uint32_t row);
udr_cell_t *udr_shared_cell(const udr_shared_t *shared, apr_uint32_t row, apr_uint32_t slot);
udr_ticket_t *udr_shared_ticket(const udr_shared_t *shared, apr_uint32_t ticket);

/* When it was made, by udr_clock_now(): all counters have counted from then on. */
apr_time_t udr_shared_created_at(const udr_shared_t *shared);

void udr_shared_count(const udr_shared_t *shared, apr_uint32_t slot, udr_shared_counts_t *counts);
void udr_shared_count_held(const udr_shared_t *shared, udr_shared_held_t *held);

/* Incremented whenever something has changed that decides who may be picked. */
apr_uint64_t udr_shared_epoch(const udr_shared_t *shared);
void udr_shared_bump_epoch(udr_shared_t *shared);

/* A newer generation has begun than the one that this process was forked in. */
bool udr_shared_is_succeeded(const udr_shared_t *shared);

/* --- for udr_row and udr_leader --- */

/* Robust and process-shared: one who dies with it leaves it to the next, who is told (EOWNERDEAD). */
pthread_mutex_t *udr_shared_reaping(const udr_shared_t *shared);
pthread_mutex_t *udr_shared_leading(const udr_shared_t *shared);

/* udr_leader's word. */
_Atomic apr_uint64_t *udr_shared_leader(const udr_shared_t *shared);

/* The row counts as used from now on. */
void udr_shared_use_row(udr_shared_t *shared, apr_uint32_t row);

/* Slots that were in the configuration of that generation may have been given to others. */
bool udr_shared_is_outdated(const udr_shared_t *shared, apr_uint32_t generation);

/* By row, to wake its child; for the queue. */
const udr_signals_t *udr_shared_signals(const udr_shared_t *shared);

#endif
