/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_operator.h"

#define REPLACED (UDR_SLOT_DISABLED | UDR_SLOT_STOPPED | UDR_SLOT_DRAINS)

static const apr_uint32_t flag_of[] = {
    [UDR_OPERATION_ENABLE] = 0,
    [UDR_OPERATION_DRAIN] = UDR_SLOT_DRAINS,
    [UDR_OPERATION_DISABLE] = UDR_SLOT_DISABLED,
    [UDR_OPERATION_STOP] = UDR_SLOT_STOPPED,
};

void udr_operator_configure(udr_hot_t *hot, udr_slot_t *slot, apr_uint32_t flags, apr_uint32_t weight)
{
    if (atomic_exchange(&slot->configured_flags, flags) != flags || !atomic_load(&slot->is_overruled)) {
        atomic_store(&hot->flags, flags);
        atomic_store(&slot->is_overruled, 0);
    }
    if (atomic_exchange(&slot->configured_weight, weight) != weight) {
        atomic_store(&hot->weight, 0);
    }
}

void udr_operator_say(udr_hot_t *hot, udr_slot_t *slot, udr_operation_t operation)
{
    apr_uint32_t flags = atomic_load(&hot->flags);
    apr_uint32_t said;
    do {
        said = (flags & ~(apr_uint32_t)REPLACED) | flag_of[operation];
    } while (!atomic_compare_exchange_weak(&hot->flags, &flags, said));
    atomic_store(&slot->is_overruled, said != atomic_load(&slot->configured_flags));
}

void udr_operator_weigh(udr_hot_t *hot, apr_uint32_t weight)
{
    atomic_store(&hot->weight, weight);
}
