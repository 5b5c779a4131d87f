/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_trial.h"

static apr_time_t later(apr_time_t one, apr_time_t other)
{
    return one > other ? one : other;
}

bool udr_trial_begin(udr_trial_t *trial, apr_interval_time_t cost, apr_time_t now)
{
    apr_time_t until = atomic_load_explicit(&trial->owed_until, memory_order_relaxed);
    apr_time_t then;
    do {
        then = later(until, now) + cost * trial->share;
        if (then - now > UDR_TRIAL_BURST) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&trial->owed_until, &until, then, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void udr_trial_charge(udr_trial_t *trial, apr_interval_time_t cost, apr_time_t now)
{
    apr_time_t until = atomic_load_explicit(&trial->owed_until, memory_order_relaxed);
    apr_time_t then;
    do {
        then = later(until, now) + cost * trial->share;
        then = then - now > UDR_TRIAL_MOST ? now + UDR_TRIAL_MOST : then;
    } while (!atomic_compare_exchange_weak_explicit(&trial->owed_until, &until, then, memory_order_relaxed,
                                                    memory_order_relaxed));
}

void udr_trial_succeed(udr_trial_t *trial, apr_interval_time_t cost)
{
    (void)atomic_fetch_sub_explicit(&trial->owed_until, cost * trial->share, memory_order_relaxed);
}
