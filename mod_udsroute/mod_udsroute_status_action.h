/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator does to a member by a form of the status page (UDSStatusActions). Layer: glue. Used by the handler
 * of the status. */
#ifndef MOD_UDSROUTE_STATUS_ACTION_H
#define MOD_UDSROUTE_STATUS_ACTION_H

#include "mod_udsroute/mod_udsroute.h"

/* A POST, where actions are allowed: reads the form (nonce, member, action, weight), does what it says and leads back
 * to the page; else answers with a status and a sentence. Returns what the handler is to return. */
int udr_status_action(request_rec *r);

#endif
