/* SPDX-License-Identifier: Apache-2.0 */
/* What a health check asks of a member. Layer: core. Used by the check. */
#ifndef UDR_CHECK_REQUEST_H
#define UDR_CHECK_REQUEST_H

#include "mod_udsroute/udr_http1_request.h"
#include "mod_udsroute/udr_member.h"

/* Fills *request (its parts from p, or the member's) as the member's hcmethod and hcuri say. Returns false where
 * nothing is asked of it. */
bool udr_check_request_fill(udr_request_t *request, const udr_member_t *member, apr_pool_t *p);

#endif
