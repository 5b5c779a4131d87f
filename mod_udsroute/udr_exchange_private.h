/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the exchange share: its state, and who does which part. udr_exchange.c moves between the states,
 * *_send.c sends the request, *_receive.c receives and relays the response. Layer: core; included by udr_exchange*.c
 * only. */
#ifndef UDR_EXCHANGE_PRIVATE_H
#define UDR_EXCHANGE_PRIVATE_H

#include "mod_udsroute/udr_exchange.h"

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
    bool head_passed;
    bool wanted;          /* the client gets the body */
    apr_uint64_t relayed; /* body bytes given to the client */
    apr_size_t dropped;   /* bytes of an unwanted body */
    int interims;
    bool client_full;    /* waits for the client to take more */
    bool has_data;       /* body bytes were given to the client since the last flush */
    bool unflushed;      /* something was: the head, at least */
    apr_time_t flush_at; /* when to flush if the member stays silent; 0: undecided */
} udr_receiver_t;

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
    udr_waiter_t waiter;
    bool has_turn;
    udr_connection_t *connection;
    bool connected;
    bool reused;
    bool fresh_only; /* a pooled connection has failed: make a new one */
    apr_interval_time_t connect_pause;
    apr_time_t connect_again;
    apr_time_t member_active; /* when the member last sent or took something */
    apr_time_t client_active; /* likewise the client */
    bool member_was_due;      /* it owed us something when the last run ended */
    bool client_was_due;      /* likewise the client */
    udr_sender_t sender;
    udr_receiver_t receiver;

    /* for the length of one run */
    apr_time_t now;
    const udr_scratch_t *scratch;
};

/* udr_exchange.c */
void udr_exchange_transit(udr_exchange_t *x, udr_exchange_state_t to);
void udr_exchange_fail(udr_exchange_t *x, udr_failure_kind_t kind, apr_status_t error, const char *why);
void udr_exchange_release(udr_exchange_t *x, bool keep);
bool udr_exchange_has_ended(const udr_exchange_t *x);
void udr_exchange_trace(udr_exchange_t *x, const char *step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* udr_exchange_send.c */
void udr_exchange_send_init(udr_exchange_t *x);
void udr_exchange_send(udr_exchange_t *x);

/* udr_exchange_receive.c */
void udr_exchange_receive_init(udr_exchange_t *x);
void udr_exchange_receive(udr_exchange_t *x);
void udr_exchange_flush_if_due(udr_exchange_t *x);

#endif
