/* SPDX-License-Identifier: Apache-2.0 */
/* The handler: makes the exchange for a routed request, has it run, and tells httpd how it went.
 * Layer: glue. */
#ifndef MOD_UDSROUTE_HANDLER_H
#define MOD_UDSROUTE_HANDLER_H

#include "mod_udsroute/mod_udsroute.h"

/* Hook handler. */
int udr_handler(request_rec *r);

#endif
