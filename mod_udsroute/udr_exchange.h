/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange: one request's dealings with a member, from the turn in its pool to the release of its connection, as a
 * state machine that never blocks. It runs until it would have to wait, says for what, and is run again by whoever
 * waits for it (the runner). Layer: core. Made by the glue's handler, run by a runner; one thread at a time. */
#ifndef UDR_EXCHANGE_H
#define UDR_EXCHANGE_H

#include "mod_udsroute/udr_picker.h"
#include "mod_udsroute/udr_pipe.h"
#include "mod_udsroute/udr_pool.h"
#include "mod_udsroute/udr_protocol.h"

/* The client's side, as the exchange sees it. None waits for the client (what
 * httpd's filters do within interim and push is theirs). Those that take response bytes return APR_SUCCESS;
 * APR_EAGAIN: taken, but let the client become writable before more is read for it; APR_ECONNABORTED: the client is
 * gone; anything else: something on its side refused them.
 */
typedef struct udr_client_ops_t {
    /* A balancer has picked this member, the first one or another: the request is for it now. NULL: of no interest. */
    void (*picked)(void *client, udr_member_t *member);

    /* The body bytes at hand; the same ones again until consumed. APR_SUCCESS: at least one; APR_EAGAIN: none yet;
     * APR_EOF: the body is complete; anything else: it will never be (the failure keeps the status). */
    apr_status_t (*body_peek)(void *client, udr_slice_t *data);
    /* The first len bytes of what was peeked at are done with. */
    void (*body_consume)(void *client, apr_size_t len);
    /* After APR_EOF: what came behind a chunked body. May return NULL. */
    const apr_table_t *(*body_trailers)(void *client);
    /* Tell a client that waits with its body to go on (100 Continue). */
    apr_status_t (*body_invite)(void *client);

    /* A 1xx response other than 101. */
    apr_status_t (*interim)(void *client, const udr_http1_head_t *head);
    /* The head of the final response, once. *wanted is true; false: drop the body, the client gets something else. */
    apr_status_t (*head)(void *client, const udr_http1_head_t *head, bool *wanted);
    /* The head of a 101 response: what body_peek gives from now on are the bytes that the client sends in the other
     * protocol (APR_EOF: it sends no more), what data takes are the member's. */
    apr_status_t (*upgrade)(void *client, const udr_http1_head_t *head);
    /* The member sends no more through the tunnel: so is the client told. APR_EOF: it can't be told without closing
     * (TLS): the tunnel is over. */
    apr_status_t (*shut)(void *client);

    /* Bytes that the member has sent for the error log, at any time. They need not be whole lines. */
    void (*note)(void *client, udr_slice_t bytes);

    /* Body bytes, good until the next push or end. */
    apr_status_t (*data)(void *client, udr_slice_t data);
    /* Pass on what was collected. flush: and keep nothing back, the head included. */
    apr_status_t (*push)(void *client, bool flush);
    /* May the bytes of this body that are still to come be written to the client's socket as they are, past its
     * filters? Everything pushed is written before. APR_SUCCESS: yes, to *fd, which is O_NONBLOCK; APR_EAGAIN: ask
     * again when the client is writable; APR_ENOTIMPL: no. NULL: never. */
    apr_status_t (*bypass)(void *client, int *fd);
    /* len bytes were written so: for the counts. */
    void (*bypassed)(void *client, apr_size_t len);
    /* The client is writable again. APR_EAGAIN: not for all that is pending. */
    apr_status_t (*drain)(void *client);
    /* The response is complete; passes on what was collected, and the trailers. */
    apr_status_t (*end)(void *client, udr_slice_t trailers);

    /* A line of the story (LogLevel udsroute:trace5). NULL: nobody listens. */
    void (*trace)(void *client, const char *step, const char *text);
} udr_client_ops_t;

typedef enum udr_exchange_state_t {
    UDR_EXCHANGE_START,   /* nothing done yet, or about to try again */
    UDR_EXCHANGE_HOLD,    /* wait point: the members that could take it have only just gone */
    UDR_EXCHANGE_QUEUE,   /* wait point: `maxconn` requests are in flight on the member */
    UDR_EXCHANGE_TURN,    /* wait point: `max` connections are in use */
    UDR_EXCHANGE_CONNECT, /* wait point: the listen backlog is full */
    UDR_EXCHANGE_SEND,   /* the request is being sent. Wait points: member takes no more, client's body, 100 Continue */
    UDR_EXCHANGE_HEAD,   /* wait point: the request is sent, the response head is due */
    UDR_EXCHANGE_RELAY,  /* the head is passed on, the body follows. Wait points: member, client */
    UDR_EXCHANGE_TUNNEL, /* after 101: bytes of another protocol, both ways. Wait points: member, client */
    UDR_EXCHANGE_DONE,   /* the response is complete and passed on; the tunnel has been closed from both sides */
    UDR_EXCHANGE_FAILED, /* see failure */
    UDR_EXCHANGE_STATES
} udr_exchange_state_t;

/* Why an exchange failed. What it means for the client and the log is decided by the glue, in one table. */
typedef enum udr_failure_kind_t {
    UDR_FAILURE_NONE,
    UDR_FAILURE_REQUEST,         /* the request holds what may not be sent */
    UDR_FAILURE_NOBODY,          /* no member of the balancer can take it */
    UDR_FAILURE_QUEUE,           /* no turn within `queue`; error: no place to wait for one */
    UDR_FAILURE_TURN,            /* no turn within `acquire` */
    UDR_FAILURE_SOCKET,          /* socket(2) failed: error */
    UDR_FAILURE_CONNECT,         /* connect(2) failed: error */
    UDR_FAILURE_CONNECT_TIMEOUT, /* the backlog stayed full for `connectiontimeout` */
    UDR_FAILURE_PEER,            /* not the user that `peer` asks for: why says who */
    UDR_FAILURE_CLOSED,          /* closed or reset before or within the response: why, error */
    UDR_FAILURE_RESPONSE,        /* a response that may not be passed on: why */
    UDR_FAILURE_BUSY,            /* the member has refused to begin with the request: why */
    UDR_FAILURE_TIMEOUT,         /* silence for `timeout` while a response was due */
    UDR_FAILURE_CLIENT_BODY,     /* the client's body broke off or was refused: error */
    UDR_FAILURE_CLIENT_TIMEOUT,  /* the client neither sent nor took anything for too long */
    UDR_FAILURE_CLIENT_GONE,     /* the client has gone */
    UDR_FAILURE_STOPPED,         /* udr_exchange_stop() */
    UDR_FAILURE_TUNNEL_IDLE,     /* nothing went through the tunnel, either way, for `timeout` */
    UDR_FAILURE_CLIENT_FILTER,   /* something on the client's side refused the response: error */
    UDR_FAILURE_KINDS
} udr_failure_kind_t;

typedef struct udr_failure_t {
    udr_failure_kind_t kind;
    udr_exchange_state_t state; /* in which it happened */
    apr_status_t error;         /* 0: none */
    const char *why;            /* NULL: nothing to add */
    const char *protocol;       /* what the answer looks like instead ("FastCGI"), or NULL */
    const char
        *suspicion; /* closed or silent without an answer: what the runtime there speaks (udr_runtime.h), or NULL */
} udr_failure_t;

/* What an exchange waits for, all at once; whichever comes first. */
typedef struct udr_wait_t {
    short member;     /* POLLIN, POLLOUT on udr_exchange_fd(); 0: look not at it (it may be closed already) */
    short client;     /* POLLIN: for body bytes; POLLOUT: to take more */
    bool turn;        /* one of its waiters is woken */
    apr_time_t until; /* run it again then, at the latest; never 0 */
} udr_wait_t;

/* What has come about since the last run. */
enum {
    UDR_READY_MEMBER_IN = 1, /* readable, closed or in error */
    UDR_READY_MEMBER_OUT = 2,
    UDR_READY_CLIENT_IN = 4,
    UDR_READY_CLIENT_OUT = 8,
    UDR_READY_CLIENT_GONE = 16,
    UDR_READY_MEMBER_ENDED =
        32 /* it has closed; there may be bytes before the end. An edge-triggered loop hears of it once */
};

/* When things happened, by udr_clock_now(); 0: never. */
typedef struct udr_times_t {
    apr_time_t begun;
    apr_time_t turn;       /* got its turn */
    apr_time_t connecting; /* began to connect; 0: the connection was reused */
    apr_time_t connected;
    apr_time_t first_byte; /* of the response */
    apr_time_t ended;
} udr_times_t;

/* What the runner lends for the length of one run: bytes for received data, and pipes. */
typedef struct udr_scratch_t {
    char *ptr;
    apr_size_t size;    /* at least 4096 */
    udr_pipes_t *pipes; /* NULL: none, nothing is spliced */
} udr_scratch_t;

typedef struct udr_exchange_t udr_exchange_t;

/* All an exchange needs to know. Everything pointed to lives as long as the pool it is made from. */
typedef struct udr_exchange_plan_t {
    udr_member_t *member;    /* NULL: the picker says */
    udr_picker_t *picker;    /* NULL: there is one member, and nothing to choose or count */
    udr_occasion_t occasion; /* the picker's */
    const udr_request_t *request;
    const udr_client_ops_t *ops;
    void *client;                                    /* the ops' */
    void (*wake)(udr_waiter_t *waiter);              /* see udr_waiter_t; waiter->baton is wake_baton */
    void (*wake_queued)(udr_queue_waiter_t *waiter); /* likewise, of udr_queue_waiter_t */
    void *wake_baton;
    int lane;                           /* of the member's pool: whose idle connections to use */
    apr_time_t (*clock)(void);          /* asked again within a run after what may have blocked: filters; NULL: never */
    apr_interval_time_t client_timeout; /* over 0 */
    apr_size_t pass_limit;              /* the most bytes to give the client at once */
} udr_exchange_plan_t;

/* From p (a request's pool), whose cleanup ends an exchange that is still under way. room: so many bytes for it as
 * udr_exchange_size() says, which outlive p and are nobody else's until udr_exchange_retire(); NULL: from p. */
udr_exchange_t *udr_exchange_create(const udr_exchange_plan_t *plan, void *room, apr_pool_t *p);
apr_size_t udr_exchange_size(void);

/* It has ended, and its room may be used for another. What it says stays until then. */
void udr_exchange_retire(udr_exchange_t *exchange);

/* Runs until it would wait, is done or has failed. ready: what has come about (UDR_READY_…), 0 on the first run. now:
 * the time. Returns true when it waits for udr_exchange_wait(), false when it has ended. */
bool udr_exchange_run(udr_exchange_t *exchange, const udr_scratch_t *scratch, unsigned int ready, apr_time_t now);

/* After udr_exchange_run() said true. */
const udr_wait_t *udr_exchange_wait(const udr_exchange_t *exchange);

/* The member connection's descriptor, or -1. It may change from run to run. */
int udr_exchange_fd(const udr_exchange_t *exchange);

/* The member connection itself, or NULL; for a loop to watch. */
udr_connection_t *udr_exchange_connection(const udr_exchange_t *exchange);

/* Another runner takes over, between two runs: whom to wake when a turn comes, and which lane the connection goes back
 * to. */
void udr_exchange_move(udr_exchange_t *exchange, void (*wake)(udr_waiter_t *waiter),
                       void (*wake_queued)(udr_queue_waiter_t *waiter), void *wake_baton, int lane);

/* How large a scratch the exchange makes use of. */
apr_size_t udr_exchange_scratch_size(const udr_exchange_t *exchange);

/* Gives up whatever is under way: closes the connection, leaves the queue. Harmless when it has ended. */
void udr_exchange_cancel(udr_exchange_t *exchange);

/* The same because its runner stops: a failure that is told as such. */
void udr_exchange_stop(udr_exchange_t *exchange);

udr_exchange_state_t udr_exchange_state(const udr_exchange_t *exchange);
const udr_failure_t *udr_exchange_failure(const udr_exchange_t *exchange);
const udr_times_t *udr_exchange_times(const udr_exchange_t *exchange);
/* The member that it is at, or was last; NULL: none yet. */
udr_member_t *udr_exchange_member(const udr_exchange_t *exchange);

int udr_exchange_attempts(const udr_exchange_t *exchange);
const char *udr_exchange_state_name(udr_exchange_state_t state);

/* The head has been given to the client: whatever goes wrong now, its status stands. */
bool udr_exchange_head_passed(const udr_exchange_t *exchange);

/* Body bytes moved so far, in both directions. */
apr_uint64_t udr_exchange_moved(const udr_exchange_t *exchange);

/* The response was 101, and what follows it is under way or over: *sent and *received count its bytes, as the client
 * sees it. */
bool udr_exchange_is_tunnel(const udr_exchange_t *exchange, apr_uint64_t *sent, apr_uint64_t *received);

/* All of the request body has been taken from the client; of a tunnel, all that it sends. */
bool udr_exchange_body_taken(const udr_exchange_t *exchange);

/* The client took no more of the response when the exchange ended, or last ran. */
bool udr_exchange_client_is_full(const udr_exchange_t *exchange);

/* It has not, and is being read: the end of what the client sends is for the body to tell. While the exchange waits for
 * a member nobody reads, and a client that has closed may have left a whole request behind. */
bool udr_exchange_reads_client(const udr_exchange_t *exchange);

/* Whether the table of states has an edge from one to the other; for tests. */
bool udr_exchange_has_edge(udr_exchange_state_t from, udr_exchange_state_t to);

#endif
