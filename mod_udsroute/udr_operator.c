/* SPDX-License-Identifier: Apache-2.0 */
/* An operator's word is whatever flags say that the configuration doesn't, and a weight that isn't 0. No third word
 * says whether there is one: two operators who speak at once could leave it contradicting the two. */
#include "mod_udsroute/udr_operator.h"

#define REPLACED (UDR_SLOT_DISABLED | UDR_SLOT_STOPPED | UDR_SLOT_DRAINS)

static const apr_uint32_t flag_of[] = {
    [UDR_OPERATION_ENABLE] = 0,
    [UDR_OPERATION_DRAIN] = UDR_SLOT_DRAINS,
    [UDR_OPERATION_DISABLE] = UDR_SLOT_DISABLED,
    [UDR_OPERATION_STOP] = UDR_SLOT_STOPPED,
};

/* What else the letters say (+E) is said once, at the beginning: udr_verdict_mark(). */
static apr_uint32_t flags_of(const udr_settings_t *settings)
{
    return (apr_uint32_t)(settings->status & ~UDR_STATUS_ERROR);
}

void udr_operator_configure(udr_hot_t *hot, udr_slot_t *slot, const udr_settings_t *settings)
{
    apr_uint32_t flags = flags_of(settings);
    apr_uint32_t weight = (apr_uint32_t)settings->load_factor;
    if (atomic_exchange(&slot->configured_flags, flags) != flags) {
        atomic_store(&hot->flags, flags);
    }
    if (atomic_exchange(&slot->configured_weight, weight) != weight) {
        atomic_store(&hot->weight, 0);
    }
}

void udr_operator_begin(udr_hot_t *hot, udr_slot_t *slot, const udr_settings_t *settings)
{
    atomic_store(&slot->configured_flags, flags_of(settings));
    atomic_store(&slot->configured_weight, (apr_uint32_t)settings->load_factor);
    atomic_store(&hot->flags, flags_of(settings));
    atomic_store(&hot->weight, 0);
}

void udr_operator_say(udr_hot_t *hot, udr_operation_t operation)
{
    apr_uint32_t flags = atomic_load(&hot->flags);
    apr_uint32_t said;
    do {
        said = (flags & ~(apr_uint32_t)REPLACED) | flag_of[operation];
    } while (!atomic_compare_exchange_weak(&hot->flags, &flags, said));
}

void udr_operator_weigh(udr_hot_t *hot, apr_uint32_t weight)
{
    atomic_store(&hot->weight, weight);
}
