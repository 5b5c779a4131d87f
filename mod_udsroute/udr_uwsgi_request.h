/* SPDX-License-Identifier: Apache-2.0 */
/* How a request is written in the uwsgi protocol (https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html): a packet
 * of variables, and behind it the body as it is. Layer: core; pure. Used by the protocol table. */
#ifndef UDR_UWSGI_REQUEST_H
#define UDR_UWSGI_REQUEST_H

#include "mod_udsroute/udr_http1_request.h"

/* How many bytes the packet takes. 0: it can't be sent, and *why is a static sentence that says so: more variables than
 * the packet's length can say, one without a name, or a body whose length is not known. */
apr_size_t udr_uwsgi_request_room(const udr_request_t *request, const char **why);

/* Writes the packet where there is so much room; returns its length. persistent: never, it makes no difference. */
apr_size_t udr_uwsgi_request_head(const udr_request_t *request, bool persistent, char *room);

#endif
