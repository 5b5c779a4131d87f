/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the adopted connection share: its state, and who does which part. mod_udsroute_adopted.c takes it
 * in and gets the loop's events, *_request.c reads and serves requests, *_exchange.c runs their exchanges, *_after.c
 * ends requests, *_guest.c has a worker do what may block, *_end.c closes. Layer: glue; included by
 * mod_udsroute_adopted*.c only. */
#ifndef MOD_UDSROUTE_ADOPTED_PRIVATE_H
#define MOD_UDSROUTE_ADOPTED_PRIVATE_H

#include "mod_udsroute/mod_udsroute_adopted.h"
#include "mod_udsroute/mod_udsroute_owner.h"
#include "mod_udsroute/udr_debug.h"

#include <scoreboard.h>

/* What a connection on the loop is about. */
typedef enum phase_t {
    PHASE_REQUEST, /* waits for the next request, or for the rest of its head */
    PHASE_SERVE,   /* a request is in httpd's hooks */
    PHASE_EXCHANGE,
    PHASE_WRITE,   /* the response is complete, the client has not taken all of it */
    PHASE_THROUGH, /* to be closed as soon as the worker that handed it over is through with it */
    PHASE_LINGER   /* closed on our side; waits for the client to close (udr_linger_lend()) */
} phase_t;

/* What a worker is to do for it. */
typedef enum job_t {
    JOB_NONE,
    JOB_READ,    /* read a request and serve it */
    JOB_HANDLER, /* run the handler */
    JOB_STEP,    /* go on with the exchange for a while */
    JOB_FINISH,  /* end a request whose exchange has ended */
    JOB_ERROR    /* end a request that a hook has refused: its error page may be anything */
} job_t;

struct udr_adopted_t {
    conn_rec *c; /* whose pool this lives in */
    udr_home_t *home;
    udr_owner_t owner;
    udr_task_t task;             /* its way to the loop */
    udr_task_t wake_task;        /* a turn has come */
    udr_task_t again_task;       /* the loop's: its next requests, after the others' */
    apr_uint32_t wake_is_posted; /* atomic */
    worker_score *slot;          /* scoreboard slot of the worker that handed it over; NULL: that one is through */
    apr_time_t handed_over_at;   /* by that worker */
    request_rec *r;              /* the request in PHASE_EXCHANGE and for a worker's job */
    udr_client_t *client;        /* its exchange's client */
    job_t job;
    int error;           /* JOB_ERROR: the status */
    const char *handler; /* JOB_HANDLER: r->handler as ap_invoke_handler() had derived it for the call */

    /* the loop's thread alone */
    bool is_deferred;  /* again_task is in the loop's list */
    bool is_in_row;    /* next_request() is at work: it serves what follows */
    bool is_quiet;     /* the client's input has just been found empty: an event will tell of more */
    bool is_bodiless;  /* the request was read here, and has no body */
    bool has_news;     /* the client has sent something while it was not here, */
    bool has_hung_up;  /* or has gone */
    bool is_here;      /* owner is UDR_OWNER_LOOP, as the loop's own events may ask at any time */
    phase_t phase;     /* see udr_adopted_set_phase() */
    udr_held_t held;   /* what it is counted as */
    udr_watch_t watch; /* the client's socket */
    udr_timer_t timer;
    apr_time_t client_left_at;
    apr_time_t kept_until; /* until then the worker that handed it over may look at its memory; 0: it does not */
    bool is_look_counted;  /* mod_logio counts the bytes that are looked at */
    apr_time_t head_begun; /* when the first bytes of an unfinished head were seen; 0: none */
    apr_interval_time_t keep_alive_timeout;
    apr_interval_time_t timeout;
    apr_bucket_brigade *bb;
    apr_time_t serving_since; /* when the hooks began to run */
    udr_balancer_t *balancer; /* of its last routed request */
    struct udr_adopted_t *previous;
    struct udr_adopted_t *next;
};

/* mod_udsroute_adopted.c */

/* The only place where a connection changes hands. */
void udr_adopted_pass_to(udr_adopted_t *a, udr_owner_t to);

/* The only place where its phase changes (and is counted). On the loop's thread. */
void udr_adopted_set_phase(udr_adopted_t *a, phase_t phase);
void udr_adopted_set_timer(udr_adopted_t *a, apr_interval_time_t after);

/* To the loop; nothing of it may be touched afterwards. */
void udr_adopted_post(udr_adopted_t *a);

/* What of httpd's settings applies to the connection from a request to this server on. */
void udr_adopted_take_settings(udr_adopted_t *a, const server_rec *s);

/* mod_udsroute_adopted_request.c */
void udr_adopted_next_request(udr_adopted_t *a);
void udr_adopted_let_worker_read(udr_adopted_t *a);

/* Has it go on after the others, in the next round. */
void udr_adopted_defer(udr_adopted_t *a);

/* In the handler, on the loop: if the hooks before it were slow, workers read the member's requests for a while.
 * Returns the time. */
apr_time_t udr_adopted_judge_hooks(udr_adopted_t *a, const request_rec *r);

/* mod_udsroute_adopted_after.c */

/* A request has been answered, and is whole: it is logged and freed, and the connection goes on. On the loop's thread.
 */
void udr_adopted_end_request(udr_adopted_t *a, request_rec *r);

/* A request has ended (r may be freed already): the client gets the rest of its response, and is kept or closed.
 * is_quiet: httpd has looked on this thread just now, and there is no next request yet. */
void udr_adopted_after_request(udr_adopted_t *a, bool is_quiet);
void udr_adopted_again(udr_task_t *task);

/* mod_udsroute_adopted_exchange.c */

/* Runs the exchange; ready: UDR_READY_… */
void udr_adopted_advance(udr_adopted_t *a, unsigned int ready);

/* Waits for what the exchange waits for; or has a worker go on, where a filter comes next that may block. */
void udr_adopted_arm(udr_adopted_t *a);

/* A turn has come, on whichever thread gave its own up; and on the loop. */
void udr_adopted_wake(udr_waiter_t *waiter);
void udr_adopted_wake_queued(udr_queue_waiter_t *waiter);
void udr_adopted_woken(udr_task_t *task);

/* mod_udsroute_adopted_guest.c */

/* Has a worker do a->job; nothing of it may be touched afterwards. */
void udr_adopted_go_to_worker(udr_adopted_t *a);

/* mod_udsroute_adopted_end.c */

/* Closes, as soon as that can be. */
void udr_adopted_bury(udr_adopted_t *a);

/* Frees one whose client waits for nothing more: at the end of the round, or as soon as the worker that handed it over
 * is through for sure. */
void udr_adopted_destroy(udr_adopted_t *a);

/* Shuts the client's socket down, so that a worker that waits for the client gets on. On the loop's thread, whoever has
 * the connection. */
void udr_adopted_shut(udr_adopted_t *a);

#endif
