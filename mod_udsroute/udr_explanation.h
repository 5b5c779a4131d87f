/* SPDX-License-Identifier: Apache-2.0 */
/* A member's diagnosis, remembered for a moment: when thousands of requests a second fail for one reason, looking into
 * the kernel's tables for each would cost more than serving them. Layer: core. One a member in each child; used by the
 * glue from any thread. */
#ifndef UDR_EXPLANATION_H
#define UDR_EXPLANATION_H

#include "mod_udsroute/udr_address.h"

#include <apr_time.h>

/* For how long a diagnosis is taken to hold. */
#define UDR_EXPLANATION_HOLDS apr_time_from_sec(1)

typedef struct udr_explanation_t udr_explanation_t;

/* From p, with which it lives. */
apr_status_t udr_explanation_create(udr_explanation_t **explanation, apr_pool_t *p);

/* As udr_diagnosis_explain(); asked again for the same error within UDR_EXPLANATION_HOLDS, it says the same. The
 * sentence is from p, another pool than that of creation. */
const char *udr_explanation_get(udr_explanation_t *explanation, const udr_address_t *address, int error, apr_time_t now,
                                apr_pool_t *p);

#endif
