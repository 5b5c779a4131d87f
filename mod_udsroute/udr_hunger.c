/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_hunger.h"

#include "mod_udsroute/udr_acceptance.h"

#define FIRST_LOOK apr_time_from_msec(1)

/* From one look to the next: twice as long each time, up to this. Whoever gives back a connection meanwhile sees the
 * call without being asked. */
#define PAUSE_MAX apr_time_from_msec(64)

/* Where the kernel doesn't tell, a request that takes its time to be answered looks just like one that waits, and
 * closes an idle connection at each look: fewer of them. */
#define BLIND_PAUSE_MIN apr_time_from_msec(5)
#define BLIND_PAUSE_MAX apr_time_from_sec(1)

void udr_hunger_begin(udr_hunger_t *hunger, udr_yield_t *yield, apr_uint32_t slot, apr_time_t now)
{
    if (!hunger->yield) {
        *hunger = (udr_hunger_t){.yield = yield, .slot = slot, .look_at = now + FIRST_LOOK, .pause = FIRST_LOOK};
    }
}

static void pause_from(udr_hunger_t *hunger, apr_time_t now, bool is_blind)
{
    apr_interval_time_t most = is_blind ? BLIND_PAUSE_MAX : PAUSE_MAX;
    if (is_blind && hunger->pause < BLIND_PAUSE_MIN) {
        hunger->pause = BLIND_PAUSE_MIN;
    }
    hunger->look_at = now + hunger->pause;
    hunger->pause = 2 * hunger->pause < most ? 2 * hunger->pause : most;
}

static void call(udr_hunger_t *hunger)
{
    if (!hunger->has_called || udr_yield_is_answered(hunger->yield, hunger->slot, hunger->call)) {
        hunger->call = udr_yield_call(hunger->yield, hunger->slot);
        hunger->has_called = true;
    }
    udr_yield_press(hunger->yield, hunger->slot, hunger->call + hunger->looks);
}

void udr_hunger_look(udr_hunger_t *hunger, int fd, apr_time_t now)
{
    if (!hunger->yield || now < hunger->look_at) {
        return;
    }
    udr_acceptance_t acceptance = fd < 0 ? UDR_ACCEPTANCE_WAITS : udr_acceptance_find(fd);
    if (acceptance == UDR_ACCEPTANCE_GIVEN) {
        udr_hunger_end(hunger);
        return;
    }
    bool is_blind = acceptance == UDR_ACCEPTANCE_UNKNOWN;
    if (!is_blind || hunger->looks > 0) {
        call(hunger);
    }
    hunger->looks++;
    pause_from(hunger, now, is_blind);
}

void udr_hunger_end(udr_hunger_t *hunger)
{
    if (hunger->yield && hunger->has_called) {
        udr_yield_withdraw(hunger->yield, hunger->slot, hunger->call);
    }
    hunger->yield = NULL;
}
