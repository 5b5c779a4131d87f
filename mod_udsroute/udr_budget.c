/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_budget.h"

static void settle(udr_budget_t *budget, apr_time_t now)
{
    apr_interval_time_t paid = (now - budget->settled_at) / UDR_BUDGET_SHARE;
    if (paid >= budget->spent) {
        budget->spent = 0;
        budget->settled_at = now;
    } else {
        budget->spent -= paid;
        budget->settled_at += paid * UDR_BUDGET_SHARE; /* what is less than a microsecond's worth is left for later */
    }
}

bool udr_budget_allows(udr_budget_t *budget, apr_time_t now)
{
    settle(budget, now);
    return budget->spent < UDR_BUDGET_BURST;
}

void udr_budget_spend(udr_budget_t *budget, apr_interval_time_t took, apr_time_t now)
{
    settle(budget, now);
    budget->spent += took;
}
