/* SPDX-License-Identifier: Apache-2.0 */
/* What a member says of itself in its answers to checks (`hcagent`): X-UDSRoute-State and X-UDSRoute-Weight.
 * Layer: core. Used by the check. */
#ifndef UDR_AGENT_H
#define UDR_AGENT_H

#include "mod_udsroute/udr_codec.h"
#include "mod_udsroute/udr_slot.h"

#include <apr_pools.h>

/* udr_slot_agent() of what a field section says; 0: nothing. A word or number that it can't be says nothing, nor
 * does a field that comes more than once. Working memory is from p. */
apr_uint32_t udr_agent_read(udr_slice_t fields, apr_pool_t *p);

#endif
