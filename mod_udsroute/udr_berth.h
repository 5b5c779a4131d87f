/* SPDX-License-Identifier: Apache-2.0 */
/* Which sockets of a glob are members now, for all children: a table of berths in shared memory. Whichever child sees
 * that the directory has changed reads it and merges what it has seen; the others find the outcome by the epoch.
 * Layer: core, above udr_shared and udr_verdict. Any thread of any process; nobody is blocked for longer than it takes
 * to compare the names. */
#ifndef UDR_BERTH_H
#define UDR_BERTH_H

#include "mod_udsroute/udr_glob.h"
#include "mod_udsroute/udr_shared.h"

/* The parent, with a new configuration, once glob->slot and glob->berths are claimed: from now on children of former
 * generations change nothing. */
void udr_berth_claim(udr_shared_t *shared, const udr_glob_t *glob);

/* What a merge has changed: to be told, once over all children. All from the pool that was given. */
typedef struct udr_arrivals_t {
    apr_array_header_t *came; /* const char *: names */
    apr_array_header_t *went;
    const char *left_out; /* the first that found no berth, or NULL: nobody, or it was told already */
    const char *unusable; /* the first that can't be an address; likewise */
} udr_arrivals_t;

/* Before the directory is read: what has begun later knows better. Returns the number for the merge. */
apr_uint64_t udr_berth_begin(udr_shared_t *shared, const udr_glob_t *glob);

/* What has been read since udr_berth_begin(). Names that are new get a berth, the one that they had before if it is
 * still theirs, with all its counters; else one that was never used, else the one that has been forgotten for longest.
 * Of those that are gone no request gets any more, and when none is under way they are forgotten. Merging what is
 * merged already, or older than that, changes nothing. */
void udr_berth_merge(udr_shared_t *shared, const udr_glob_t *glob, apr_uint64_t number, const udr_listing_t *listing,
                     apr_time_t now, udr_arrivals_t *arrivals, apr_pool_t *p);

/* What is in a berth. */
typedef struct udr_lodging_t {
    apr_uint32_t state;   /* UDR_BERTH_… */
    apr_uint32_t tenancy; /* even; another one: another name */
    apr_time_t since;
    char name[8 * UDR_BERTH_WORDS]; /* "" if it was never used */
} udr_lodging_t;

/* berth: its slot. false: it is just being changed; ask again when the epoch has changed. */
bool udr_berth_read(const udr_shared_t *shared, apr_uint32_t berth, udr_lodging_t *lodging);

/* UDR_BERTH_…; and when that socket came (or another of its name, or with another mode), or went. */
apr_uint32_t udr_berth_state(const udr_shared_t *shared, apr_uint32_t berth);
apr_time_t udr_berth_since(const udr_shared_t *shared, apr_uint32_t berth);

/* Is this tenancy still the one there? To be asked after a request was counted in (udr_queue_enter()), and if not, the
 * request is to leave: a berth gets no other name while anything is in flight or waits there. */
bool udr_berth_is_held(const udr_shared_t *shared, apr_uint32_t berth, apr_uint32_t tenancy);

/* Before something is said of whoever is there: true: it is this tenancy still, and no other name moves in before
 * udr_berth_unpin(), which is to follow at once. False: another one is there, or is just moving in. */
bool udr_berth_pin(const udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t berth, apr_uint32_t tenancy);
void udr_berth_unpin(const udr_shared_t *shared, const udr_glob_t *glob);

/* connect(2) has found no file there. True: this is the first to find out, who tells. */
bool udr_berth_lose(udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t berth, apr_uint32_t tenancy,
                    apr_time_t now);

/* A check has found it good that was begun then: requests may come, if that was the file that is there now. True: they
 * may from now on. */
bool udr_berth_pass(udr_shared_t *shared, const udr_glob_t *glob, apr_uint32_t berth, apr_uint32_t tenancy,
                    apr_time_t begun, apr_time_t now);

/* Now and then: forgets those that are drained. True: the directory is to be read, as there is a place for who was left
 * out, or somebody has died over a merge. */
bool udr_berth_tend(udr_shared_t *shared, const udr_glob_t *glob);

/* Since when nobody has been there, or only some that want their first check; 0: some are open, or none ever was. */
apr_time_t udr_berth_empty_since(const udr_shared_t *shared, const udr_glob_t *glob);

/* How many are open. */
apr_uint32_t udr_berth_present(const udr_shared_t *shared, const udr_glob_t *glob);

/* For the log, by whatever kinds its users tell apart. */
udr_quota_t *udr_berth_quota(const udr_shared_t *shared, const udr_glob_t *glob);

/* What came of an attempt to read the directory: errno, or 0. True: that is news to be told. */
bool udr_berth_note_error(udr_shared_t *shared, const udr_glob_t *glob, apr_status_t error);

#endif
