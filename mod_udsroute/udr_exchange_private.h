/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the exchange share: its state, and who does which part. udr_exchange.c moves between the states,
 * *_connect.c gets a connection, *_send.c sends the request, *_receive.c receives and relays the response, *_splice.c
 * does so without copying, *_tunnel.c does what follows 101, *_wait.c says what is waited for. Layer: core; included by
 * udr_exchange*.c only. */
#ifndef UDR_EXCHANGE_PRIVATE_H
#define UDR_EXCHANGE_PRIVATE_H

#include "mod_udsroute/udr_exchange.h"
#include "mod_udsroute/udr_hunger.h"

/* The request's way to the member. */
typedef struct udr_sender_t {
    struct iovec parts[4];           /* what is being sent: head, frame, body bytes, end of frame */
    int count;                       /* of parts; 0: take more */
    apr_size_t body_in_parts;        /* client bytes among them, consumed when all parts are sent */
    char prefix[UDR_PROTOCOL_FRAME]; /* the frame that parts point to */
    bool head_written;
    bool end_written;
    bool done;          /* all is sent */
    bool broken;        /* the member takes no more: send no more, but read what it may have answered */
    apr_status_t error; /* broken: why */
    bool wrote;         /* a byte has been sent in this attempt */
    bool body_touched;  /* a body byte has been consumed: this request can't be sent again */
    bool body_ended;    /* the client's body was taken to its end */
    apr_uint64_t body_sent;
    bool awaits_continue; /* the body is not asked for before the member, or continue_until, says so */
    apr_time_t continue_until;
    bool member_full;             /* waits for the member to take more */
    bool client_empty;            /* waits for the client to send more */
    apr_time_t client_look_again; /* when to ask the client even if its socket is silent: its filters keep time, too */
} udr_sender_t;

/* The response's way to the client. */
typedef struct udr_receiver_t {
    udr_reader_t reader;
    char *stash; /* bytes that the reader could not use yet; from the request's pool */
    apr_size_t stash_len;
    apr_size_t stash_size;
    bool readable; /* a read may find something */
    bool ended;    /* the end is known to be there: read on to it */
    bool begun;    /* a byte has been received in this attempt */
    bool spoken;   /* … and understood: it speaks the protocol */
    bool head_passed;
    bool is_complete;     /* nothing of this response is due any more */
    bool wanted;          /* the client gets the body */
    apr_uint64_t relayed; /* body bytes given to the client */
    apr_size_t dropped;   /* bytes of an unwanted body */
    int interims;
    bool client_full;    /* waits for the client to take more */
    bool has_pushed;     /* something has gone to the client, the head with it */
    bool has_data;       /* body bytes were given to the client since the last flush */
    bool unflushed;      /* something was: the head, at least */
    apr_time_t flush_at; /* when to flush if the member stays silent; 0: undecided */
} udr_receiver_t;

/* What goes both ways after 101. Of sender and receiver these are used on: member_full, client_empty, readable, ended,
 * client_full. */
typedef struct udr_tunnel_t {
    bool begun;
    bool client_ended; /* it sends no more, and the member has been told */
    bool member_ended; /* likewise */
    bool is_bulk;      /* the member sends more at once than a read takes */
    apr_time_t active; /* when bytes last moved */
    apr_uint64_t sent; /* by the client */
    apr_uint64_t received;
} udr_tunnel_t;

/* A large body's way past the client's filters. */
typedef struct udr_splicer_t {
    bool is_on;
    bool is_refused;  /* not for this response */
    bool is_written;  /* without a pipe: read into the runner's scratch, written from there */
    bool is_last;     /* the member is through: the response is complete when the client has what the pipe holds */
    int client_fd;    /* while it is on */
    apr_size_t reach; /* how much the next move takes */
    udr_pipe_t *pipe; /* borrowed for the length of one run; between two runs only one that holds bytes */
} udr_splicer_t;

struct udr_exchange_t {
    udr_exchange_plan_t plan;
    const udr_settings_t *settings;
    const udr_protocol_t *protocol;
    apr_pool_t *pool;
    udr_exchange_state_t state;
    udr_failure_t failure;
    udr_times_t times;
    udr_wait_t wait;
    int attempts;
    int tries;      /* of these, with this member */
    int unanswered; /* of these, closed after something had been sent */
    udr_waiter_t waiter;
    udr_member_t *member; /* the one that it is at, or was last; NULL: none yet */
    udr_pick_t pick;      /* with a picker */
    apr_time_t attempt_begun;
    apr_time_t answered_at; /* a response has begun, which has brought the member back: what goes wrong after that is
                               not of before; 0: it has not */
    apr_time_t failed_at;   /* the first member; 0: none has */
    apr_time_t hold_until;
    apr_time_t queued_at; /* it waits under `maxconn`; earlier by what it has waited at other members */
    apr_interval_time_t queued;
    apr_time_t turn_since; /* it waits under `max` */
    bool has_turn;
    udr_connection_t *connection;
    bool connected;
    bool reused;
    bool fresh_only; /* a pooled connection has failed: make a new one */
    apr_interval_time_t connect_pause;
    apr_time_t connect_again;
    udr_hunger_t hunger;      /* for a process of the member's, where a connection takes one */
    apr_time_t member_active; /* when the member last sent or took something */
    apr_time_t client_active; /* likewise the client */
    bool member_was_due;      /* it owed us something when the last run ended */
    bool client_was_due;      /* likewise the client */
    udr_sender_t sender;
    udr_receiver_t receiver;
    udr_tunnel_t tunnel;
    udr_splicer_t splicer;

    /* for the length of one run */
    apr_time_t now;
    const udr_scratch_t *scratch;
    apr_size_t budget; /* bytes that may still be moved in it */
};

/* Whether the connection may serve another request after this one, as far as that is ours to say. */
static inline bool udr_exchange_may_keep(const udr_exchange_t *x)
{
    return x->settings->reuse && x->protocol->has_keepalive && !x->plan.request->is_lone;
}

static inline bool udr_exchange_has_ended(const udr_exchange_t *x)
{
    return x->state == UDR_EXCHANGE_DONE || x->state == UDR_EXCHANGE_FAILED;
}

/* udr_exchange.c */
void udr_exchange_transit(udr_exchange_t *x, udr_exchange_state_t to);
void udr_exchange_fail(udr_exchange_t *x, udr_failure_kind_t kind, apr_status_t error, const char *why);
void udr_exchange_release(udr_exchange_t *x, bool keep);

/* So many bytes were moved in this run. */
void udr_exchange_spend(udr_exchange_t *x, apr_size_t bytes);
void udr_exchange_tell(udr_exchange_t *x, const char *step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Without a listener no more is asked than whether there is one. */
#define udr_exchange_trace(x, ...) ((x)->plan.ops->trace ? udr_exchange_tell(x, __VA_ARGS__) : (void)0)

/* What the client's side said to bytes it was given. Returns false when it is gone. */
bool udr_exchange_client_took(udr_exchange_t *x, apr_status_t rv);

/* udr_exchange_tunnel.c */

/* The head is 101; data: what came behind it. */
void udr_exchange_begin_tunnel(udr_exchange_t *x, udr_slice_t data);
void udr_exchange_tunnel(udr_exchange_t *x);

/* udr_exchange_pick.c: which member; without a picker there is one */
void udr_exchange_start(udr_exchange_t *x);
void udr_exchange_wait_in_queue(udr_exchange_t *x);

/* The attempt has failed so; the picker is told. Returns whether another may be made, with a member that the picker
 * says. */
bool udr_exchange_leave_member(udr_exchange_t *x, udr_failure_kind_t kind, apr_status_t error);

void udr_exchange_use_member(udr_exchange_t *x, udr_member_t *member);

/* A new connection has been made. */
void udr_exchange_report_connected(udr_exchange_t *x);

/* A response has begun. Its end may be far away (server-sent events): a member that was out is not to wait for it,
 * where an answer is proof enough that it works. */
void udr_exchange_report_answered(udr_exchange_t *x);

/* There is a tunnel: the member has served the request, however long that lasts. */
void udr_exchange_report_switched(udr_exchange_t *x);

/* Nothing of it is in flight any more: counters, and the turn under `maxconn`. is_complete: the member has answered
 * whole. Harmless when it has been called before. */
void udr_exchange_end_pick(udr_exchange_t *x, bool is_complete);

/* udr_exchange_connect.c: the steps from there to SEND */
void udr_exchange_take_turn(udr_exchange_t *x);
void udr_exchange_wait_for_turn(udr_exchange_t *x);

/* CONNECT: one try. Leaves the state when it is decided. */
void udr_exchange_try_to_connect(udr_exchange_t *x);

/* While it is hungry: whether a process of the member's has its connection now. */
void udr_exchange_look_for_process(udr_exchange_t *x);

/* udr_exchange_wait.c */

/* Whose turn it is has its time counted from when it became so, or from the last thing it did. */
void udr_exchange_check_timeouts(udr_exchange_t *x);
void udr_exchange_set_wait(udr_exchange_t *x);

/* udr_exchange_send.c */
void udr_exchange_send_init(udr_exchange_t *x);
void udr_exchange_send(udr_exchange_t *x);

/* udr_exchange_receive.c */
void udr_exchange_receive_init(udr_exchange_t *x);
void udr_exchange_receive(udr_exchange_t *x);
void udr_exchange_flush_if_due(udr_exchange_t *x);

/* The response has been read to its end; extra: bytes came behind it. The member is let go, and the exchange done as
 * soon as the client has what a pipe may hold. */
void udr_exchange_complete(udr_exchange_t *x, bool extra);

/* … that is now. */
void udr_exchange_finish(udr_exchange_t *x);

/* One read of what the member sends as a response, at most room bytes, and what is noted of it. Returns whether there
 * was anything; if not, that has been seen to. */
bool udr_exchange_read_member(udr_exchange_t *x, char *buffer, apr_size_t room, apr_size_t *received);

/* So much of the scratch the client may be given at once. */
static inline apr_size_t udr_exchange_pass_room(const udr_exchange_t *x)
{
    return x->scratch->size < x->plan.pass_limit ? x->scratch->size : x->plan.pass_limit;
}

/* The member has closed (APR_EOF), or the connection is in error. */
void udr_exchange_closed(udr_exchange_t *x, apr_status_t error);

/* udr_exchange_splice.c */

/* Moves what can be moved, in place of a read. Returns false when this response, or what comes next of it, is to be
 * read. */
bool udr_exchange_splice(udr_exchange_t *x);

/* The client gets what the pipe holds, as far as it takes it. */
void udr_exchange_drain(udr_exchange_t *x);

/* How many bytes are in the pipe. */
apr_size_t udr_exchange_held(const udr_exchange_t *x);

/* At the end of a run, and of the exchange: one that waits keeps no empty pipe, one that has ended none at all. */
void udr_exchange_give_back_pipe(udr_exchange_t *x);

#endif
