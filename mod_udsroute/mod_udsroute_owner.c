/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_owner.h"

static const struct {
    const char *name;
    unsigned int next; /* who may follow, as bits */
} owners[UDR_OWNERS] = {
#define TO(owner) (1U << UDR_OWNER_##owner)
    [UDR_OWNER_WORKER] = {"worker", TO(LEAVING)},
    [UDR_OWNER_LEAVING] = {"leaving", TO(COMING)},
    [UDR_OWNER_COMING] = {"coming", TO(LOOP)},
    [UDR_OWNER_LOOP] = {"loop", TO(GOING) | TO(GONE)},
    [UDR_OWNER_GOING] = {"going", TO(GUEST)},
    [UDR_OWNER_GUEST] = {"guest", TO(COMING) | TO(LEAVING)},
    [UDR_OWNER_GONE] = {"gone", 0},
#undef TO
};

bool udr_owner_may_pass(udr_owner_t from, udr_owner_t to)
{
    return (owners[from].next & (1U << to)) != 0;
}

const char *udr_owner_name(udr_owner_t owner)
{
    return owners[owner].name;
}
