/* SPDX-License-Identifier: Apache-2.0 */
/* A request of an adopted connection whose head is whole and plain, made without httpd's reading line by line: the same
 * request record, and the same hooks in the same order, as ap_read_request() would give. All others that function
 * reads. Layer: glue. Used by the adopted connection, on the loop's thread. */
#ifndef MOD_UDSROUTE_HEAD_H
#define MOD_UDSROUTE_HEAD_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_head.h"

/* What the Host of a connection's first request was found to mean; the next ones have the same, mostly. */
typedef struct udr_host_t udr_host_t;

/* Whether bytes are the head of the next request of c, and such a one. */
bool udr_head_is_plain(udr_head_t *head, udr_slice_t bytes, conn_rec *c);

/* Makes the request, and takes its head (of `bytes`) from the input. NULL and *is_refused: it has been refused and
 * answered. NULL else: ap_read_request() has to read it after all. */
request_rec *udr_head_make_request(conn_rec *c, const udr_head_t *head, udr_slice_t bytes, bool *is_refused);

#endif
