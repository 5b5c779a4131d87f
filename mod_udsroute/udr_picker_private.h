/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the picker share: its state, and who does which part. udr_picker.c keeps it and the requests'
 * picks,
 * *_choose.c decides. Layer: core; included by udr_picker*.c only. */
#ifndef UDR_PICKER_PRIVATE_H
#define UDR_PICKER_PRIVATE_H

#include "mod_udsroute/udr_picker.h"
#include "mod_udsroute/udr_roster.h"
#include "mod_udsroute/udr_tenant.h"

#include <apr_thread_mutex.h>

/* While members are gone, each child tries one of them so often; the others that wait see what came of it. */
#define UDR_PICKER_PROBE_PAUSE apr_time_from_msec(10)

struct udr_picker_t {
    const udr_balancer_t *balancer;
    udr_shared_t *shared;
    udr_queue_t *queue;
    const udr_method_t *method;
    udr_key_t key;
    void (*news)(const udr_balancer_t *balancer, const udr_member_t *member, unsigned int change);
    udr_picker_globs_t globs;
    int count;        /* of members, with the globs' berths; who is in these changes */
    apr_size_t words; /* of a set of them */
    bool has_limits;  /* maxconn, of any member */
    apr_size_t buffer_size;
    apr_thread_mutex_t *mutex;
    struct {
        udr_candidate_t *candidates;
        udr_tenants_t *tenants; /* NULL: there are no globs */
        unsigned int moves;     /* how often others have moved into berths */
        udr_roster_t roster;
        apr_uint64_t epoch;  /* of the roster */
        udr_roster_t others; /* of one request, that has tried all of the former */
        void *method;
        apr_uint64_t random;
        apr_uint64_t *full; /* set of those that have no turn left */
        apr_time_t probe_at;
        apr_time_t asked_since; /* how many have asked in vain since then, */
        int asked;
        int asked_before; /* and in the 10 ms before */
        int probed;       /* the last one */
        udr_pick_t *held; /* all that are to ask again later */
    } locked;             /* needs the mutex */
};

/* With the mutex, for a glob's; there is none where the candidate is away. */
static inline udr_member_t *udr_picker_member(const udr_picker_t *picker, int index)
{
    return index < picker->balancer->members->nelts ? APR_ARRAY_IDX(picker->balancer->members, index, udr_member_t *)
                                                    : udr_tenants_member(picker->locked.tenants, index);
}

static inline apr_uint64_t udr_picker_bit(int index)
{
    return UINT64_C(1) << (index % 64);
}

/* udr_picker_choose.c, with the mutex: who takes it, as an index; UDR_CHOSEN_NOBODY; or UDR_CHOSEN_LATER: ask again at
 * *until. */
enum { UDR_CHOSEN_NOBODY = -1, UDR_CHOSEN_LATER = -2 };

int udr_picker_choose(udr_pick_t *pick, apr_time_t now, apr_time_t *until);

/* udr_picker_choose.c, with the mutex: who can take a request now. */
void udr_picker_refresh(udr_picker_t *picker, apr_time_t now);

#endif
