/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the checker share. Layer: core. Used by udr_checker*.c only. */
#ifndef UDR_CHECKER_PRIVATE_H
#define UDR_CHECKER_PRIVATE_H

#include "mod_udsroute/udr_checker.h"

/* Who is checked. */
typedef struct udr_subject_t {
    udr_checker_t *checker;
    const udr_balancer_t *balancer;
    const udr_member_t *member;
    udr_hot_t *hot;
    udr_slot_t *slot;
    udr_check_t *check;
    udr_timer_t due;
    apr_time_t next; /* when it is due after that */
    udr_timer_t look;
    apr_time_t look_until; /* 0: its file has not appeared lately */
    apr_interval_time_t look_pause;
    apr_time_t looked_at;  /* for its file */
    bool looks;            /* the check that runs is a look: that it can't be connected to yet is no failure */
    bool has_to;           /* another is due when the one that runs has ended */
    bool has_to_look;      /* a look, likewise */
    bool has_given_way;    /* for the one that runs another was broken off: it is to end */
    bool is_suspended;     /* by the operator */
    apr_int64_t gone_seen; /* the last time that it was gone, as noticed */
    /* Of a glob only. */
    const udr_glob_t *glob;
    apr_uint32_t tenancy;
    apr_time_t since; /* its socket has been there */
    apr_pool_t *pool; /* its own */
} udr_subject_t;

/* Whose members are found as they come. */
typedef struct udr_checked_glob_t {
    const udr_balancer_t *balancer;
    const udr_glob_t *glob;
} udr_checked_glob_t;

struct udr_checker_t {
    udr_shared_t *shared;
    udr_loop_t *loop;
    const udr_checker_client_t *client;
    udr_check_client_t eyes;
    apr_pool_t *pool;
    apr_array_header_t *subjects; /* udr_subject_t * */
    udr_subject_t **by_slot;
    apr_array_header_t *sources; /* udr_checked_glob_t */
    apr_uint64_t epoch;          /* when they were looked through */
    unsigned int taken_in;       /* of their members, so far */
};

/* A subject of that member, in p, which ends it; it isn't scheduled yet. */
apr_status_t udr_checker_set_up(udr_subject_t *subject, udr_checker_t *checker, const udr_balancer_t *balancer,
                                const udr_member_t *member, apr_pool_t *p);

/* Where in a span the check of that place, one of count, stands: from 0 on. */
apr_interval_time_t udr_checker_phase(apr_interval_time_t span, int place, int count);

/* It isn't checked any more. */
void udr_checker_forget(udr_checker_t *checker, udr_slot_t *slot, apr_time_t now);

/* udr_checker_globs.c: takes the glob in; finds out who has come and who has gone. */
void udr_checker_add_glob(udr_checker_t *checker, const udr_balancer_t *balancer, const udr_glob_t *glob);
void udr_checker_sync(udr_checker_t *checker, apr_time_t now);

#endif
