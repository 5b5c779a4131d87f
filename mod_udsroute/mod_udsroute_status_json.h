/* SPDX-License-Identifier: Apache-2.0 */
/* The status as JSON. Layer: glue. */
#ifndef MOD_UDSROUTE_STATUS_JSON_H
#define MOD_UDSROUTE_STATUS_JSON_H

#include "mod_udsroute/mod_udsroute_status_view.h"

/* The parts of the view that it tells. */
#define UDR_STATUS_JSON_PARTS UDR_VIEW_BACKLOGS

/* Writes it as r's response. */
void udr_status_json_write(request_rec *r, const udr_view_t *view);

#endif
