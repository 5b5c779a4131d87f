/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of an exchange: httpd's filters, used without blocking.
 * Layer: glue. Made by the handler, called by the exchange, waited for by the runner. */
#ifndef MOD_UDSROUTE_CLIENT_H
#define MOD_UDSROUTE_CLIENT_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_exchange.h"

typedef struct udr_client_t {
    request_rec *r;
    udr_member_t *member;
    udr_exchange_t *exchange; /* set by the handler once it exists */
    apr_bucket_brigade *in;   /* body bytes taken from the filters and not yet consumed */
    apr_bucket_brigade *out;  /* response bytes collected and not yet passed on */
    bool in_ended;
    int first_status;   /* r->status before the exchange: an error's, when this is the request for its page */
    int member_status;  /* what the member answered; 0: nothing yet */
    bool is_parked;     /* a loop took it from a worker thread */
    bool is_overridden; /* the member's response is replaced by httpd's page for its status */
    bool has_passed;    /* something went down the filters: the head can't be taken back */
    int body_status;    /* the HTTP status for a body that the filters refused; 0: none */
    apr_off_t body_taken;
    apr_size_t unflushed; /* bytes passed on since core's output filter was last known to be empty */
} udr_client_t;

/* For r; from its pool. */
udr_client_t *udr_client_create(request_rec *r, udr_member_t *member);

/* The table to give to the exchange, with or without a listener for its story. */
const udr_client_ops_t *udr_client_ops(const request_rec *r);

/* The client's descriptor, to poll; -1: it has none of its own (an HTTP/2 stream). */
int udr_client_fd(const udr_client_t *client);

/* The most bytes that core's output filter takes without blocking. */
apr_size_t udr_client_pass_limit(const request_rec *r);

/* Has core's output filter write what it holds, without blocking, as the event MPM does. APR_EAGAIN: the client does
 * not take it all now; APR_ECONNABORTED: it has gone. */
apr_status_t udr_client_write_pending(conn_rec *c);

/* Nothing was passed on: the request is as it was before the exchange, for httpd to answer. */
void udr_client_take_back(udr_client_t *client);

/* The response broke off after its head was passed on: makes sure that it does not look complete. */
void udr_client_break_off(udr_client_t *client);

#endif
