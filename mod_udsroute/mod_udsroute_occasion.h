/* SPDX-License-Identifier: Apache-2.0 */
/* What of a request decides which member of a balancer it gets: its session, what lbmethod=hash: asks for.
 * Layer: glue. */
#ifndef MOD_UDSROUTE_OCCASION_H
#define MOD_UDSROUTE_OCCASION_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_picker.h"
#include "mod_udsroute/udr_sticky.h"

/* Fills both; what they point to is the request's. */
void udr_occasion_fill(udr_occasion_t *occasion, udr_session_t *session, request_rec *r, const udr_picker_t *picker);

#endif
