/* SPDX-License-Identifier: Apache-2.0 */
/* What the outcome of an attempt, or of a check, does to what all children know of a member: for how long it is out,
 * since when it is back, whether it has only just gone. No lock: the processes race for one word, out_until, and who
 * moves it decides; what checks say is a second one (udr_health), which one process writes.
 * Layer: core. Used by the balancer and the status; any thread of any process. */
#ifndef UDR_VERDICT_H
#define UDR_VERDICT_H

#include "mod_udsroute/udr_slot.h"

#include <apr_pools.h>
#include <apr_time.h>

#include <stdbool.h>

/* What pauses double up to (`retry`); a longer `retry` stays as it is. */
#define UDR_VERDICT_PAUSE_MAX apr_time_from_sec(60)

/* Whose fault it is, and what it means. What each does is in one table in udr_verdict.c. */
typedef enum udr_cause_t {
    UDR_CAUSE_NONE,       /* nothing has failed */
    UDR_CAUSE_BUSY,       /* the listen backlog was full: no failure */
    UDR_CAUSE_OURS,       /* this process lacked descriptors or memory: no failure of the member */
    UDR_CAUSE_ABSENT,     /* no socket file */
    UDR_CAUSE_STALE,      /* a file that nobody listens on */
    UDR_CAUSE_OPERATOR,   /* permissions, a path that leads elsewhere, another peer than asked for */
    UDR_CAUSE_CONNECT,    /* connect(2) failed otherwise */
    UDR_CAUSE_UNANSWERED, /* closed or reset before any response byte */
    UDR_CAUSE_BROKEN_OFF, /* closed or reset within the response */
    UDR_CAUSE_TIMEOUT,    /* silent for `timeout`, with `failontimeout` */
    UDR_CAUSE_RESPONSE,   /* a response that may not be passed on */
    UDR_CAUSE_STATUS,     /* a status of `failonstatus` */
    UDR_CAUSE_MARKED,     /* status=+E */
    /* Found by checks only. */
    UDR_CAUSE_CHECK_TIMEOUT,  /* no whole answer within `hctimeout` */
    UDR_CAUSE_CHECK_BACKLOG,  /* the listen backlog was full all that time */
    UDR_CAUSE_CHECK_STATUS,   /* neither 2xx nor 3xx; detail: the status */
    UDR_CAUSE_CHECK_ANSWER,   /* not what `hcexpr` asks for; detail: the status */
    UDR_CAUSE_CHECK_PROTOCOL, /* an answer in another protocol; detail: udr_verdict_protocol() */
    UDR_CAUSE_CHECK_AGENT,    /* it says that it is down (`hcagent`) */
    UDR_CAUSES
} udr_cause_t;

typedef enum udr_outcome_t {
    UDR_OUTCOME_SERVED,         /* a response, of any status but those of `failonstatus` */
    UDR_OUTCOME_CONNECTED,      /* so far: connect(2) has succeeded */
    UDR_OUTCOME_ANSWERED,       /* so far: the head of a response, of any status but those of `failonstatus` */
    UDR_OUTCOME_CONNECT_FAILED, /* detail: errno, of socket(2), too */
    UDR_OUTCOME_PEER,           /* who listens is not who `peer` asks for */
    UDR_OUTCOME_UNANSWERED,     /* closed or reset before any response byte; detail: errno or 0 */
    UDR_OUTCOME_BROKEN_OFF,     /* closed or reset within the response; detail: errno or 0 */
    UDR_OUTCOME_TIMEOUT,        /* reported only with `failontimeout` */
    UDR_OUTCOME_RESPONSE,       /* a response that may not be passed on */
    UDR_OUTCOME_STATUS,         /* of `failonstatus`; detail: the status */
    UDR_OUTCOME_MARKED          /* the configuration says +E: out for one pause, then tried */
} udr_outcome_t;

static inline bool udr_outcome_is_good(udr_outcome_t outcome)
{
    return outcome == UDR_OUTCOME_SERVED || outcome == UDR_OUTCOME_CONNECTED || outcome == UDR_OUTCOME_ANSWERED;
}

typedef struct udr_report_t {
    udr_outcome_t outcome;
    int detail;       /* see udr_outcome_t; 0 where it says nothing */
    apr_time_t begun; /* when this attempt (not the request) began, by udr_clock_now(); 0: now */
    bool reused;      /* its connection had served requests before */
} udr_report_t;

/* What a check has found. */
typedef struct udr_finding_t {
    udr_cause_t cause;  /* NONE: all is well; OURS: nothing, it counts for nothing */
    int detail;         /* an errno, or see udr_cause_t; 0 where it says nothing */
    apr_uint32_t agent; /* udr_slot_agent(); 0: it says nothing of itself */
    apr_time_t begun;   /* by udr_clock_now() */
    int passes;         /* hcpasses */
    int fails;          /* hcfails */
} udr_finding_t;

/* Of an out_until: until checks pass. */
#define UDR_VERDICT_NO_END APR_INT64_MAX

/* What has changed, or'ed. The two news come to one caller among all processes. */
enum {
    UDR_CHANGE_NONE = 0,
    UDR_CHANGE_PICK = 1,     /* who may be picked: the caller increments the epoch */
    UDR_CHANGE_WENT_OUT = 2, /* it worked (or was new) and is out: for the log */
    UDR_CHANGE_CAME_BACK = 4 /* it was out and works: for the log */
};

/* Judges one attempt. retry: the first pause in microseconds, 0: none; now: udr_clock_now().
 *
 * An attempt that began before the member was last put out, or came back, is old news: its failure changes nothing (of
 * many requests that fail at once the first one counts), nor does its success. A failure within a pause does not
 * lengthen it, one after it doubles it. A reused connection that closes unanswered is no failure: members close what
 * is idle; a new connection will tell. Nor does success on one prove that the member can be connected to.
 *
 * Members with +I are judged like any other; that they are picked nevertheless is for the roster. */
unsigned int udr_verdict_report(udr_slot_t *slot, const udr_report_t *report, apr_interval_time_t retry,
                                apr_time_t now);

/* Judges one check. Enough bad ones in a row put the member out until enough good ones bring it back; these do so too
 * with one that requests have put out since, if they began after that. Its agent's `down` is enough by itself. Only one
 * process at a time calls this for a member (udr_leader); one that was stopped in the middle of it tells one finding
 * late, which counts as any other. */
unsigned int udr_verdict_check(udr_slot_t *slot, const udr_finding_t *finding, apr_time_t now);

/* It is new, and the configuration says +E of it. retry, now: as above. */
void udr_verdict_mark(udr_slot_t *slot, apr_interval_time_t retry, apr_time_t now);

/* It isn't checked for the time being: the operator has stopped or disabled it. What checks have found stays. */
void udr_verdict_suspend(udr_slot_t *slot);

/* Is anything known of it that checks have found? */
bool udr_verdict_remembers(const udr_slot_t *slot);

/* It isn't checked any more: what checks have found is forgotten. */
unsigned int udr_verdict_forget(udr_slot_t *slot, apr_time_t now);

/* Until when it takes no requests: 0: it takes some; UDR_VERDICT_NO_END: until checks pass. A time that is over counts
 * as out, until one request has proved that it works. */
apr_time_t udr_verdict_out_until(const udr_slot_t *slot);

/* Its socket file has gone: as a request that finds none. */
unsigned int udr_verdict_file_gone(udr_slot_t *slot, apr_interval_time_t retry, apr_time_t now);

/* Its socket file has appeared, or its mode has changed: if it is out because it couldn't be connected to, the pause
 * ends and the next one is the first again. Returns UDR_CHANGE_PICK or 0. */
unsigned int udr_verdict_file_appeared(udr_slot_t *slot, apr_time_t now);

/* Another process has made its socket anew: that it is up since now is all there is to say. For members of a glob,
 * whose file has been away; the caller increments the epoch. */
void udr_verdict_begin_anew(udr_slot_t *slot, apr_time_t now);

/* May requests wait for it (`hold`)? It has worked before, and has gone (absent, stale, closed unanswered) for less
 * than hold. */
bool udr_verdict_is_just_gone(const udr_slot_t *slot, apr_interval_time_t hold, apr_time_t now);

/* When is_just_gone() becomes false if nothing happens; 0: it is false. */
apr_time_t udr_verdict_gone_until(const udr_slot_t *slot, apr_interval_time_t hold, apr_time_t now);

/* What an errno of socket(2) or connect(2) means. */
udr_cause_t udr_verdict_cause_of(int error);

/* The cause out of slot->cause. */
udr_cause_t udr_verdict_cause(apr_uint32_t cause);

/* The detail for UDR_CAUSE_CHECK_PROTOCOL: of "FastCGI", "TLS", "HTTP/2", "HTTP"; 0 of any other name. */
int udr_verdict_protocol(const char *name);

/* What slot->cause is made of. */
apr_uint32_t udr_verdict_compose(udr_cause_t cause, int detail);

/* slot->cause or slot->check_cause in words, for log and status: "no socket file (No such file or directory)"; "" for
 * none. A constant, or from p. */
const char *udr_verdict_explain(apr_uint32_t cause, apr_pool_t *p);

#endif
