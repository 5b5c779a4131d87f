/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of an exchange: httpd's filters, used without blocking.
 * Layer: glue. Made by the handler, called by the exchange, waited for by the runner. */
#ifndef MOD_UDSROUTE_CLIENT_H
#define MOD_UDSROUTE_CLIENT_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/mod_udsroute_response.h"
#include "mod_udsroute/udr_exchange.h"
#include "mod_udsroute/udr_sticky.h"

/* A client that has shut down its sending side has gone, as a rule; but scripts do so and then wait for the answer (nc
 * -N). An answer that comes within this time they get. */
#define UDR_CLIENT_GONE_AFTER apr_time_from_msec(100)

typedef struct udr_client_t {
    request_rec *r;
    const udr_match_t *match;
    udr_request_t *request;
    udr_member_t *member;     /* that was picked last; NULL: none yet */
    udr_session_t session;    /* that the client has brought */
    udr_exchange_t *exchange; /* set by the handler once it exists */
    apr_bucket_brigade *in;   /* body bytes taken from the filters and not yet consumed */
    apr_bucket_brigade *out;  /* response bytes collected and not yet passed on */
    bool has_room;            /* the exchange is in the connection's memory */
    bool in_ended;
    bool is_chunked;     /* the request's body is: httpd's filter waits for the end of its trailers */
    bool wants_worker;   /* so that a worker has to read it */
    bool is_tunnel;      /* after 101: bytes of another protocol, past the filters of HTTP */
    bool sending_ended;  /* the runner saw that the client has shut down its sending side */
    bool owes_flush;     /* once the client takes more: what filters keep back is to be pushed out, */
    bool owes_interim;   /* likewise of an interim response, which does not pass HTTP's filters, */
    bool owes_shutdown;  /* and our sending side to be shut down */
    int first_status;    /* r->status before the exchange: an error's, when this is the request for its page */
    int member_status;   /* what the member answered; 0: nothing yet */
    bool is_parked;      /* it waited on a loop */
    bool has_told;       /* udr_environment_tell_member(): for this member */
    bool is_overridden;  /* the member's response is replaced by httpd's page for its status */
    bool has_passed;     /* something went down the filters: the head can't be taken back */
    bool is_held;        /* `out` waits for a worker: a filter that may block or burn comes next */
    bool is_held_to_end; /* and then the end of the response, with these: */
    udr_slice_t trailers;
    udr_stamp_t stamp;    /* of the response, until its head is passed on */
    apr_size_t head_size; /* of the member's head */
    bool has_length;      /* of the response's body: */
    apr_uint64_t length;
    apr_size_t collected; /* bytes of the response's body in `out` */
    int body_status;      /* the HTTP status for a body that the filters refused; 0: none */
    apr_off_t body_taken;
    char *note; /* what the member has begun to say to the error log: a line without its end */
    apr_size_t note_len;
    apr_size_t unflushed; /* bytes passed on since core's output filter was last known to be empty */
} udr_client_t;

/* Both directions of the client's socket are shut, or it is in error: UDR_READY_…, what that means for the exchange. */
unsigned int udr_client_hung_up(udr_client_t *client);

/* Once, when the hooks are registered. */
void udr_client_register(void);

/* For r, which leads where match says; from its pool. */
udr_client_t *udr_client_create(request_rec *r, const udr_match_t *match, udr_request_t *request);

/* The table to give to the exchange, with or without a listener for its story. */
const udr_client_ops_t *udr_client_ops(const request_rec *r);

/* The client's descriptor, to poll; -1: it has none of its own (an HTTP/2 stream). */
int udr_client_fd(const udr_client_t *client);

/* The most bytes that core's output filter takes without blocking. */
apr_size_t udr_client_pass_limit(const request_rec *r);

/* Has core's output filter write what it holds, without blocking, as the event MPM does. APR_EAGAIN: the client does
 * not take it all now; APR_ECONNABORTED: it has gone. */
apr_status_t udr_client_write_pending(conn_rec *c);

/* On a worker: passes on what was held. APR_ECONNABORTED: the client has gone. */
apr_status_t udr_client_pass_held(udr_client_t *client);

/* Tunnels are many, and idle: gives back to the system what reading the request has left in the allocator's list. There
 * is no way to ask for that but to take such pieces and return them under a low limit, which then stays: only where the
 * connection does not go back to the MPM. */
void udr_client_trim(conn_rec *c);

/* Nothing was passed on: the request is as it was before the exchange, for httpd to answer. */
void udr_client_take_back(udr_client_t *client);

/* On a worker: reads all of a body of unknown length and keeps it, the most of it in a file, so that it has a length.
 * OK, or the HTTP status to answer with. */
int udr_client_spool(udr_client_t *client);

/* The exchange has ended: what the member has said to the error log has, too. */
void udr_client_end_note(udr_client_t *client);

/* The response broke off after its head was passed on: makes sure that it does not look complete. */
void udr_client_break_off(udr_client_t *client);

#endif
