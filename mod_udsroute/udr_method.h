/* SPDX-License-Identifier: Apache-2.0 */
/* Balancing methods (`lbmethod`): who of a balancer's open members takes the next request. One interface; each method
 * is a small file behind it, named by the table in udr_method.c. Layer: core. Implemented by udr_method_*.c, used by
 * the balancer; udr_method_parse() by the configuration. */
#ifndef UDR_METHOD_H
#define UDR_METHOD_H

#include "mod_udsroute/udr_slot.h"

#include <apr_pools.h>
#include <apr_time.h>

#include <stdbool.h>

/* A member that may be picked at present. */
typedef struct udr_seat_t {
    udr_hot_t *hot;        /* its line in shared memory */
    apr_uint64_t identity; /* a hash of what it is, whatever its place in the configuration; as good as random */
    int member;            /* its index in the balancer */
    apr_uint32_t weight;   /* effective, in hundredths: 1 or more */
} udr_seat_t;

/* What a method may look at of the request. */
typedef struct udr_choice_t {
    const apr_uint64_t *excluded; /* members not to be picked, by their index: bit i % 64 of word i / 64; may be NULL */
    apr_size_t excluded_words;    /* members beyond are not excluded */
    const char *key;              /* what takes_key asked for; may be NULL when key_len is 0 */
    apr_size_t key_len;           /* 0: the request has no such field, cookie or variable: any member will do */
    apr_uint64_t *random;         /* the state for udr_random_next(), the caller's */
    apr_time_t now;               /* udr_clock_now() */
    bool is_again;                /* the request has been picked for before, and has had its turn */
} udr_choice_t;

/* What hash: hashes. */
typedef enum udr_key_kind_t {
    UDR_KEY_NONE,
    UDR_KEY_IP,     /* the client's address, as httpd sees it (after mod_remoteip) */
    UDR_KEY_URI,    /* the request's path and query */
    UDR_KEY_HEADER, /* a field of the request; names in any case */
    UDR_KEY_COOKIE, /* a cookie's value */
    UDR_KEY_ENV     /* a variable of the request's environment */
} udr_key_kind_t;

typedef struct udr_key_t {
    udr_key_kind_t kind;
    const char *name; /* of field, cookie or variable as written; NULL for the other kinds */
} udr_key_t;

/* Each process has a state of its own for each balancer. create: when the child starts. prepare and pick: any thread,
 * under the mutex that this process has for the balancer; none of them blocks. Other processes pick at the same time:
 * all they share is `turn` and the hot lines, which are atomics, and neither needs more than that to be right.
 *
 * A pick counts nothing: whoever follows it raises the in-flight count and `elected` (before the mutex is left, or the
 * next pick does not see it), and later `traffic` and the latency. */
typedef struct udr_method_t {
    const char *name;
    bool takes_key;

    /* turn: in shared memory, one for the balancer, 0 at first; it lasts as long as the state. members: how many the
     * balancer can have at most; seats have smaller indexes. The state lives in p and takes its memory from there; how
     * much that is does not depend on how often it is prepared. */
    apr_status_t (*create)(void **state, _Atomic apr_uint64_t *turn, int members, apr_pool_t *p);

    /* Has to be called before the first pick, and again when the open seats, their order or their weights are others.
     * Costs up to 1 ms for byrequests with 256 different weights, microseconds otherwise. */
    void (*prepare)(void *state, const udr_seat_t *seats, int count);

    /* Picks one of the seats that were prepared (the same, in the same order). Returns its place in seats, or -1: all
     * are excluded, or there are none. */
    int (*pick)(void *state, const udr_seat_t *seats, int count, const udr_choice_t *choice);
} udr_method_t;

extern const udr_method_t udr_method_byrequests; /* in turn, by weight: exact over all processes */
extern const udr_method_t udr_method_bytraffic;  /* least bytes by weight */
extern const udr_method_t udr_method_bybusyness; /* fewest requests by weight */
extern const udr_method_t udr_method_leasttime;  /* the faster of two, by latency, requests and weight */
extern const udr_method_t udr_method_hash;       /* the same key, the same member */

/* Reads the value of lbmethod: a name, for hash with a key behind it ("hash:header:X-Tenant"). Returns NULL and sets
 * *method and *key (what it points to comes from p), or a sentence that says what to write. */
const char *udr_method_parse(const udr_method_t **method, udr_key_t *key, const char *text, apr_pool_t *p);

static inline bool udr_choice_excludes(const udr_choice_t *choice, int member)
{
    const apr_size_t word = (apr_size_t)member / 64;
    return word < choice->excluded_words && (choice->excluded[word] >> (member % 64) & 1);
}

/* How many requests a member has to do with: those in flight and those that wait for it under maxconn. */
static inline apr_uint64_t udr_seat_load(const udr_seat_t *seat)
{
    apr_uint64_t line = atomic_load_explicit(&seat->hot->line, memory_order_relaxed);
    return (line & APR_UINT32_MAX) + (line >> 32);
}

#endif
