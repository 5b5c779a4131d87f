/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_quota.h"

bool udr_quota_take(udr_quota_t *quota, int kind, apr_uint32_t limit, apr_time_t now)
{
    apr_int64_t none = 0;
    apr_uint32_t told = atomic_load(&quota->kinds[kind].told);
    (void)atomic_compare_exchange_strong(&quota->since, &none, now);
    do {
        if (told >= limit) {
            atomic_fetch_add(&quota->kinds[kind].left_out, 1);
            return false;
        }
    } while (!atomic_compare_exchange_weak(&quota->kinds[kind].told, &told, told + 1));
    return true;
}

bool udr_quota_end(udr_quota_t *quota, apr_uint32_t left_out[UDR_QUOTA_KINDS], apr_time_t now)
{
    apr_int64_t since = atomic_load(&quota->since);
    bool any = false;
    if (since == 0 || now - since < UDR_QUOTA_SPAN || !atomic_compare_exchange_strong(&quota->since, &since, 0)) {
        return false;
    }
    /* (What others take at this moment is of this minute or of the next.) */
    for (int i = 0; i < UDR_QUOTA_KINDS; i++) {
        atomic_store(&quota->kinds[i].told, 0);
        left_out[i] = atomic_exchange(&quota->kinds[i].left_out, 0);
        any |= left_out[i] > 0;
    }
    return any;
}
