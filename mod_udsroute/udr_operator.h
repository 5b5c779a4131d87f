/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator says of a member while the server runs, and how that goes with what its configuration says.
 * Layer: core. Used by the parent, when it has read its configuration, and by the status page. */
#ifndef UDR_OPERATOR_H
#define UDR_OPERATOR_H

#include "mod_udsroute/udr_settings.h"
#include "mod_udsroute/udr_slot.h"

/* A member is one of four: an operator's word replaces the former one. What else `status` says (spare, hot standby,
 * ignores errors) stays as it is. */
typedef enum udr_operation_t {
    UDR_OPERATION_ENABLE,
    UDR_OPERATION_DRAIN,
    UDR_OPERATION_DISABLE,
    UDR_OPERATION_STOP
} udr_operation_t;

/* The configuration, anew: `status` and `loadfactor` of a member. They take effect, unless an operator has said
 * something else since the configuration last said another thing: a reload undoes nobody's work, and who changes them
 * there is heard. Once for each slot and configuration, by the parent, one thread. */
void udr_operator_configure(udr_hot_t *hot, udr_slot_t *slot, const udr_settings_t *settings);

/* Another member is in the slot, of which no operator has said anything. One thread of all processes. */
void udr_operator_begin(udr_hot_t *hot, udr_slot_t *slot, const udr_settings_t *settings);

/* An operator's word, for all children and over graceful restarts. Any thread of any process; then the caller
 * increments the epoch. */
void udr_operator_say(udr_hot_t *hot, udr_operation_t operation);

/* The same for the weight, in hundredths; 0: the configuration's. */
void udr_operator_weigh(udr_hot_t *hot, apr_uint32_t weight);

#endif
