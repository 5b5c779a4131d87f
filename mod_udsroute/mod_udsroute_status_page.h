/* SPDX-License-Identifier: Apache-2.0 */
/* The status as a page for people: HTML that keeps itself up to date. Layer: glue. */
#ifndef MOD_UDSROUTE_STATUS_PAGE_H
#define MOD_UDSROUTE_STATUS_PAGE_H

#include "mod_udsroute/mod_udsroute_status_view.h"

/* The parts of the view that it tells. */
#define UDR_STATUS_PAGE_PARTS (UDR_VIEW_BACKLOGS | UDR_VIEW_HISTORIES)

/* Writes it as r's response, with the policy that keeps it to itself; with forms where UDSStatusActions is On. */
void udr_status_page_write(request_rec *r, const udr_view_t *view);

#endif
