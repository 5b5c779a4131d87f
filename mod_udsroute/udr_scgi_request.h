/* SPDX-License-Identifier: Apache-2.0 */
/* How a request is written in SCGI (https://python.ca/scgi/protocol.txt): a netstring of variables, and behind it the
 * body as it is. Layer: core; pure. Used by the protocol table. */
#ifndef UDR_SCGI_REQUEST_H
#define UDR_SCGI_REQUEST_H

#include "mod_udsroute/udr_http1_request.h"

/* How many bytes the netstring takes. 0: it can't be sent, and *why is a static sentence that says so: a variable
 * without a name, or a body whose length is not known. */
apr_size_t udr_scgi_request_room(const udr_request_t *request, const char **why);

/* Writes the netstring where there is so much room; returns its length. persistent: never, it makes no difference. */
apr_size_t udr_scgi_request_head(const udr_request_t *request, bool persistent, char *room);

#endif
