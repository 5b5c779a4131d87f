/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the berths share: the words in shared memory, and how they may be changed.
 * Layer: core; included by udr_berth*.c only. */
#ifndef UDR_BERTH_PRIVATE_H
#define UDR_BERTH_PRIVATE_H

#include "mod_udsroute/udr_berth.h"

/* udr_berths_t.told */
enum { UDR_BERTH_TOLD_LEFT_OUT = 1, UDR_BERTH_TOLD_UNUSABLE = 2 };

/* udr_berths_t.change: somebody is at it, or has died over it; and somebody has, and nobody has read the directory
 * since. */
enum { UDR_BERTH_CHANGING = 1, UDR_BERTH_UNREAD = 2 };

static inline udr_berths_t *udr_berths_of(const udr_shared_t *shared, const udr_glob_t *glob)
{
    return &udr_shared_slot(shared, glob->slot)->glob.berths;
}

static inline udr_berth_t *udr_berth_at(const udr_shared_t *shared, apr_uint32_t berth)
{
    return &udr_shared_slot(shared, berth)->glob.berth;
}

/* Neither free nor draining. */
static inline bool udr_berth_is_present(const udr_berth_t *berth)
{
    apr_uint32_t state = atomic_load(&berth->state);
    return state == UDR_BERTH_OPEN || state == UDR_BERTH_UNCHECKED;
}

/* Requests are in flight there, or wait for a turn. */
static inline bool udr_berth_is_in_use(const udr_shared_t *shared, apr_uint32_t berth)
{
    return atomic_load(&udr_shared_hot(shared, berth)->line) != 0;
}

/* Room for a name: 8 * UDR_BERTH_WORDS. */
void udr_berth_read_name(const udr_berth_t *berth, char *name);

/* With the mutex, while the tenancy is odd. */
void udr_berth_write_name(udr_berth_t *berth, const char *name);

/* Takes the mutex, and puts in order what one has left who died with it. False: this child belongs to a former
 * generation, and is to change nothing; the mutex isn't held. */
bool udr_berth_begin_change(udr_shared_t *shared, const udr_glob_t *glob);

/* Leaves it; when anything has changed, all children learn of it. */
void udr_berth_end_change(udr_shared_t *shared, const udr_glob_t *glob, bool has_changed, apr_time_t now);

/* With the mutex: its file has gone. */
void udr_berth_close(const udr_shared_t *shared, apr_uint32_t slot, apr_time_t now);

#endif
