/* SPDX-License-Identifier: Apache-2.0 */
/* What tells balancers and members apart where their names don't: in the labels of metrics, and in the log. Layer:
 * glue; used by the view. */
#ifndef MOD_UDSROUTE_STATUS_NAMES_H
#define MOD_UDSROUTE_STATUS_NAMES_H

#include "mod_udsroute/mod_udsroute_status_view.h"

/* Sets `unique` of all balancers and members, once these are complete. A name lasts as long as the
 * configuration stays as it is. From p. */
void udr_status_names_give(const udr_view_t *view, apr_pool_t *p);

#endif
