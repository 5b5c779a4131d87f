/* SPDX-License-Identifier: Apache-2.0 */
/* The status as metrics for Prometheus. Layer: glue. */
#ifndef MOD_UDSROUTE_STATUS_METRICS_H
#define MOD_UDSROUTE_STATUS_METRICS_H

#include "mod_udsroute/mod_udsroute_status_view.h"

/* The parts of the view that they tell. */
#define UDR_STATUS_METRICS_PARTS 0

/* Writes them as r's response. */
void udr_status_metrics_write(request_rec *r, const udr_view_t *view);

#endif
