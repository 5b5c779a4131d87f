/* SPDX-License-Identifier: Apache-2.0 */
/* SetHandler udsroute-status: which format is asked for, and who may change what. Layer: glue. Used by the module
 * record.
 */
#ifndef MOD_UDSROUTE_STATUS_HANDLER_H
#define MOD_UDSROUTE_STATUS_HANDLER_H

#include "mod_udsroute/mod_udsroute.h"

/* Hook handler: GET and HEAD of what has this handler; POST with UDSStatusActions On. */
int udr_status_handler(request_rec *r);

#endif
