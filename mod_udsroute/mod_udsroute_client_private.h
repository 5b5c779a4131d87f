/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the client share: mod_udsroute_client.c has its life and the table of functions, *_body.c the
 * request's body, *_head.c the heads of responses, *_pass.c the way to the output filters, *_note.c what goes to the
 * error log, *_spool.c bodies that are kept before they are sent. Layer: glue; included by mod_udsroute_client*.c only.
 */
#ifndef MOD_UDSROUTE_CLIENT_PRIVATE_H
#define MOD_UDSROUTE_CLIENT_PRIVATE_H

#include "mod_udsroute/mod_udsroute_client.h"

#include <util_filter.h>

/* A body of unknown length. */
#define UDR_CLIENT_UNKNOWN UINT64_MAX

/* The functions of udr_client_ops_t. */
apr_status_t udr_client_body_peek(void *baton, udr_slice_t *data);
void udr_client_body_consume(void *baton, apr_size_t len);
const apr_table_t *udr_client_body_trailers(void *baton);
apr_status_t udr_client_body_invite(void *baton);
apr_status_t udr_client_interim(void *baton, const udr_http1_head_t *head);
apr_status_t udr_client_head(void *baton, const udr_http1_head_t *response, bool *wanted);
apr_status_t udr_client_upgrade(void *baton, const udr_http1_head_t *response);
apr_status_t udr_client_shut(void *baton);
apr_status_t udr_client_push(void *baton, bool flush);
apr_status_t udr_client_drain(void *baton);
apr_status_t udr_client_bypass(void *baton, int *fd);
void udr_client_note(void *baton, udr_slice_t bytes);
void udr_client_bypassed(void *baton, apr_size_t len);

/* On a loop: would passing this on block it, or keep it for long? length: of the body, as far as known. */
bool udr_client_must_hold(const udr_client_t *client, apr_uint64_t length);

/* Whether nothing but r's own filters could make that of a short answer: the cheaper question. */
bool udr_client_is_light(const udr_client_t *client);

/* Leaves what was collected to a worker. */
void udr_client_hold(udr_client_t *client);

/* Filters fail for reasons of their own, too (AP_FILTER_ERROR; what mod_security or mod_ext_filter makes of a
 * response). */
bool udr_client_is_lost(const conn_rec *c, apr_status_t rv);

/* Gives the filters what was collected; their answer as it is. */
apr_status_t udr_client_hand_down(udr_client_t *client);

/* The same; APR_ECONNABORTED: the client is lost. */
apr_status_t udr_client_pass(udr_client_t *client);

/* The same past the filters of HTTP. */
apr_status_t udr_client_pass_to(udr_client_t *client, ap_filter_t *filters);

/* The client gets all that is there for it, as far as it takes it now. */
apr_status_t udr_client_drain_all(udr_client_t *client);

#endif
