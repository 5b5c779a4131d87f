/* SPDX-License-Identifier: Apache-2.0 */
/* A child's loops: one thread each, on which adopted connections live.
 * Layer: glue. Made by the child; used by whoever hands a connection over. */
#ifndef MOD_UDSROUTE_LOOPS_H
#define MOD_UDSROUTE_LOOPS_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_exchange.h"
#include "mod_udsroute/udr_linger.h"
#include "mod_udsroute/udr_loop.h"

#include <ap_mmn.h>

#include <stdatomic.h>
#include <sys/resource.h>

/* Whether httpd tells a child that it stops (2.4.49 and later). Without that, loops ask from time to time. */
#define UDR_HAS_CHILD_STOPPING AP_MODULE_MAGIC_AT_LEAST(20120211, 110)

/* What the connections of a loop are about, as the status page counts them. */
typedef enum udr_held_t {
    UDR_HELD_NOT,
    UDR_HELD_IDLE,   /* waits for a request */
    UDR_HELD_SERVED, /* a request is being read or served (by a worker, perhaps), or the last of its response written */
    UDR_HELD_PARKED, /* an exchange waits for the member or the client */
    UDR_HELD_TUNNEL,
    UDR_HELD_CLOSING, /* waits for the client to close, with its socket alone as a rule */
    UDR_HELD_KINDS
} udr_held_t;

/* One loop and what its thread has for all its exchanges. */
typedef struct udr_home_t {
    udr_loop_t *loop;
    apr_thread_t *thread;
    int lane;              /* of the members' pools; 1 for the first loop, 0: no connection lives here */
    udr_pipes_t pipes;     /* that the scratch lends */
    udr_scratch_t scratch; /* the loop thread's: one exchange runs at a time */
    udr_timer_t tidy_timer;
    udr_linger_t *linger; /* clients of connections that have ended, until they close, too */
    struct rusage usage;  /* the thread's, as of the round that began at usage_taken_at */
    apr_time_t usage_taken_at;
    apr_time_t recently;         /* when it last looked at the clock; the loop's own thread */
    apr_time_t suspects_until;   /* hooks were slow a while ago */
    struct udr_adopted_t *first; /* the connections that live here; the loop thread's */
    apr_time_t stopping_since;
    bool is_stopping; /* the child is: idle connections are closed */
    bool is_killed;   /* at once: no worker may wait for a client */
    udr_task_t stop_task;
    udr_task_t kill_task;
    udr_task_t end_task;
    apr_uint32_t stop_is_posted;                /* atomic */
    apr_uint32_t kill_is_posted;                /* atomic */
    _Atomic(unsigned int) held[UDR_HELD_KINDS]; /* connections; the loop's thread writes, others may read */
} udr_home_t;

/* Makes the loops (without threads), before the members' pools. count: 0: none for connections; if the child is
 * threaded, one is made nevertheless, which only tidies and attends. lingering: see udr_linger_create(); each. */
apr_status_t udr_loops_create(apr_pool_t *pchild, int count, bool is_threaded, unsigned int lingering);

/* The first one; NULL: there is none. */
udr_loop_t *udr_loops_first(void);

/* Has the first loop look after a descriptor, too; two at most. Before udr_loops_start(). */
apr_status_t udr_loops_attend(int fd, void (*ready)(udr_watch_t *watch, uint32_t events));

/* Starts their threads, once everything is there for them. Each calls tidy four times a second with the lane of its
 * own, the first one with the common lane 0 as well. */
apr_status_t udr_loops_start(apr_pool_t *pchild, void (*tidy)(int lane, apr_time_t now));

/* Hook child_stopping: idle connections are closed; if the child is not to end gracefully, no worker waits for a client
 * any longer. Any thread. */
void udr_loops_child_stopping(apr_pool_t *pchild, int graceful);

/* How many connections can live on, in this child. */
int udr_loops_count(void);

/* A connection is about something else now. *held: what it was counted as. On the loop's thread. */
void udr_loops_hold(udr_home_t *home, udr_held_t *held, udr_held_t now);

/* How many connections of this child's loops are about that. Any thread; while they change, the figures of a moment. */
unsigned int udr_loops_held(udr_held_t held);

/* The one to live on for a connection; spreads them evenly. */
udr_home_t *udr_loops_choose(void);

/* The one whose thread this is; NULL: a worker thread. */
udr_home_t *udr_loops_here(void);

#endif
