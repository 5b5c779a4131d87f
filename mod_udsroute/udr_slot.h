/* SPDX-License-Identifier: Apache-2.0 */
/* What the children of a server share of one member: fixed-width, no pointers, all zero at first.
 * Layer: core. In the mapping of udr_shared, which hands slots out; used by the queue, the methods, the verdicts and
 * the status. */
#ifndef UDR_SLOT_H
#define UDR_SLOT_H

#include "mod_udsroute/udr_health.h"
#include "mod_udsroute/udr_history.h"
#include "mod_udsroute/udr_quota.h"

#include <pthread.h>
#include <stdatomic.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "atomics work over processes");

/* An MD5; see udr_shared_identify(). */
#define UDR_IDENTITY_SIZE 16

/* What the operator or the configuration says of a member: udr_hot_t's flags, by the letters of `status`. */
enum {
    UDR_SLOT_DISABLED = 0x01,       /* D */
    UDR_SLOT_STOPPED = 0x02,        /* S */
    UDR_SLOT_IGNORES_ERRORS = 0x04, /* I */
    UDR_SLOT_SPARE = 0x08,          /* R */
    UDR_SLOT_HOT_STANDBY = 0x10,    /* H */
    UDR_SLOT_DRAINS = 0x20          /* N */
};

/* X-UDSRoute-State, as a member's answers to checks have it last (`hcagent`). */
typedef enum udr_agent_state_t { UDR_AGENT_SILENT, UDR_AGENT_UP, UDR_AGENT_DRAIN, UDR_AGENT_DOWN } udr_agent_state_t;

/* udr_slot_t.agent: the state above, X-UDSRoute-Weight in percent below; 0 of SILENT is no weight. */
static inline apr_uint32_t udr_slot_agent(udr_agent_state_t state, unsigned int percent)
{
    return (apr_uint32_t)state << 8 | percent;
}

static inline udr_agent_state_t udr_slot_agent_state(apr_uint32_t agent)
{
    return (udr_agent_state_t)(agent >> 8 & 3);
}

/* 0 … 100 */
static inline unsigned int udr_slot_agent_percent(apr_uint32_t agent)
{
    return udr_slot_agent_state(agent) == UDR_AGENT_SILENT ? 100 : agent & 0xff;
}

/* What is read at each pick: one cache line for each member, all in one array. Any thread of any process. */
typedef struct udr_hot_t {
    _Alignas(64) _Atomic apr_uint64_t line; /* udr_queue's: requests in flight (low 32 bits) and waiting under maxconn
                                               (high 32 bits), over all children */
    _Atomic apr_uint64_t elected;           /* how often it was picked */
    _Atomic apr_uint64_t traffic;           /* bytes both ways */
    _Atomic apr_uint64_t traffic_base;      /* subtracted from it by bytraffic: a member that comes (back) starts where
                                               the others are */
    _Atomic apr_uint32_t latency;           /* decayed time to the end of a response, us; 0: unknown */
    _Atomic apr_uint32_t latency_at;        /* when that was written, ms of udr_clock_now(); wraps */
    _Atomic apr_uint32_t flags;             /* UDR_SLOT_...; may change at any time */
    _Atomic apr_uint32_t weight;            /* the operator's load factor in hundredths; 0: the configuration's */
    _Atomic apr_uint32_t limit;             /* maxconn, 0: none. Written by udr_queue_set_limit() */
    _Atomic apr_uint32_t needs_recount;     /* udr_queue's: somebody died in the middle of counting */
    _Atomic apr_uint64_t calls;             /* udr_yield's: made (high 32 bits, wraps) and answered (low 32 bits) */
} udr_hot_t;

_Static_assert(sizeof(udr_hot_t) == 64, "a cache line");

/* Of a berth, a place for one of a glob's sockets: udr_berth's. What is forgotten keeps its name, and its counters,
 * until another one needs the place. */
enum {
    UDR_BERTH_FREE,      /* nobody, or forgotten */
    UDR_BERTH_UNCHECKED, /* there, but no check has said yet that it works */
    UDR_BERTH_OPEN,      /* there */
    UDR_BERTH_DRAINING   /* its file has gone; requests are under way */
};

/* A path is at most 107 bytes long: a name in it, with its end, fits in 14 times 8. */
#define UDR_BERTH_WORDS 14

/* Written with the mutex of the glob's slot, read by any thread of any process without. */
typedef struct udr_berth_t {
    _Atomic apr_uint32_t state;                 /* UDR_BERTH_… */
    _Atomic apr_uint32_t tenancy;               /* up by two for each new name; odd: it is just being changed */
    _Atomic apr_uint64_t file;                  /* a hash of which file it is, and of its mode */
    _Atomic apr_int64_t since;                  /* when its file came or was replaced, or went */
    _Atomic apr_uint64_t name[UDR_BERTH_WORDS]; /* of the file; zeros to the end */
} udr_berth_t;

/* Of a glob itself, which has a slot for that: likewise. */
typedef struct udr_berths_t {
    _Atomic apr_uint64_t begun;      /* listings of the directory so far */
    _Atomic apr_uint64_t merged;     /* the one that the berths are as of */
    _Atomic apr_int64_t empty_since; /* when the last one went; 0: some are open, or none ever was */
    _Atomic apr_uint32_t generation; /* children of former ones change nothing */
    _Atomic apr_uint32_t change;     /* somebody changes berths, or has died over it: udr_berth's bits */
    _Atomic apr_uint32_t present;    /* berths that are open */
    _Atomic apr_uint32_t told;       /* what the log says already: udr_berth's bits */
    _Atomic apr_uint32_t error;      /* errno of the last try to read the directory; 0: it was read */
    udr_quota_t quota;               /* of lines about its sockets in the log */
} udr_berths_t;

/* The rest of a member. Where nothing else is said: any thread of any process. Times are udr_clock_now()'s. */
typedef struct udr_slot_t {
    unsigned char identity[UDR_IDENTITY_SIZE]; /* the parent's: see udr_shared.c, as the next four */
    apr_uint32_t state;                        /* 0: free */
    apr_uint32_t generation;                   /* the last that has claimed it */
    apr_uint32_t released_in;                  /* the first that no longer has it */
    apr_uint32_t known_since;                  /* the first that had it */
    _Atomic apr_uint32_t pause_ms;             /* the present pause of `retry`; 0: none yet */
    _Atomic apr_int64_t gone_since;            /* first failure since it last worked; 0: it works or was never seen */
    _Atomic apr_int64_t out_until;             /* no request before; 0: not out */
    _Atomic apr_int64_t up_since;              /* slow start counts from here; 0: it always was */
    _Atomic apr_uint32_t seen_up;              /* 1: a connect has succeeded since the server knows it */
    _Atomic apr_uint32_t cause;                /* of the last failure: kind and errno */
    _Atomic apr_uint32_t was_out_ms;           /* for how long it was out the last time that it came back */
    _Atomic apr_uint32_t health;               /* what checks have found: udr_health's word */
    _Atomic apr_uint32_t check_cause;          /* why the last check that ended failed, as `cause`; 0: it passed */
    _Atomic apr_uint32_t check_took_us;        /* how long it took */
    _Atomic apr_int64_t checked_at;            /* when it ended; 0: there was none */
    _Atomic apr_uint64_t checks_passed;
    _Atomic apr_uint64_t checks_failed;
    _Atomic apr_uint32_t agent;                /* what it says of itself in checks: udr_slot_agent() */
    _Atomic apr_uint64_t failed;               /* requests, as the next two */
    _Atomic apr_uint64_t retried;              /* sent again after this member failed them */
    _Atomic apr_uint64_t held;                 /* waited for it to come back */
    _Atomic apr_uint64_t bytes_in;             /* from it */
    _Atomic apr_uint64_t bytes_out;            /* to it */
    _Atomic apr_uint64_t requests_by_class[6]; /* 1 to 5: status 1xx to 5xx; 0: no status */
    udr_histogram_t latency;                   /* to the end of a response */
    udr_history_t history;                     /* the last minutes of requests, failed and latency */
    _Atomic apr_uint32_t configured_flags;     /* what the configuration said when it was last read; udr_operator's, as
                                                  the next */
    _Atomic apr_uint32_t configured_weight;    /* in hundredths */
    union {
        udr_berth_t berth;
        udr_berths_t berths;
    } glob;                    /* udr_berth's; not of members that stand in the configuration */
    struct {                   /* udr_queue's; from here on nothing is reset when it is reused */
        pthread_mutex_t mutex; /* robust, process-shared */
        apr_uint64_t arrivals; /* needs the mutex, as the next two: the last ticket's order */
        apr_uint32_t first;    /* 1 + the ticket that waits longest; 0: none waits */
        apr_uint32_t last;
    } queue;
} udr_slot_t;

/* Requests in flight; as of now, in any process. */
static inline apr_uint32_t udr_hot_busy(const udr_hot_t *hot)
{
    return (apr_uint32_t)atomic_load_explicit(&hot->line, memory_order_relaxed);
}

/* Requests that wait for their turn. */
static inline apr_uint32_t udr_hot_waiting(const udr_hot_t *hot)
{
    return (apr_uint32_t)(atomic_load_explicit(&hot->line, memory_order_relaxed) >> 32);
}

#endif
