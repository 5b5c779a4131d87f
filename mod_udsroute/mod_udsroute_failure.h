/* SPDX-License-Identifier: Apache-2.0 */
/* What a failed exchange means: one table from its kind to the HTTP status and to the message of the error log.
 * Layer: glue. Used by the handler. */
#ifndef MOD_UDSROUTE_FAILURE_H
#define MOD_UDSROUTE_FAILURE_H

#include "mod_udsroute/mod_udsroute_client.h"

/* Not of IANA's registry: the client closed before there was an answer. Nobody gets it; access logs show it, as nginx's
 * do. */
#define UDR_STATUS_CLIENT_GONE 499

/* There was no member, connection or turn to be had: the request has not been anywhere. */
bool udr_failure_is_for_want(udr_failure_kind_t kind);

/* Logs the failure, once, with member, step, errno and remedy, and returns the status to answer with (a Retry-After
 * is set with 503). member: NULL when there was none. */
int udr_failure_report(request_rec *r, const udr_member_t *member, const udr_client_t *client);

#endif
