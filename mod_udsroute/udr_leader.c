/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_leader.h"

#include <errno.h>

static bool try_to_lead(pthread_mutex_t *leading)
{
    int error = pthread_mutex_trylock(leading);
    if (error == EOWNERDEAD) {
        /* What the one before was about is in the slots, word by word: there is nothing to repair. */
        (void)pthread_mutex_consistent(leading);
    }
    return error == 0 || error == EOWNERDEAD;
}

void udr_leader_leave(const udr_shared_t *shared)
{
    (void)pthread_mutex_unlock(udr_shared_leading(shared));
}

bool udr_leader_attend(const udr_shared_t *shared, bool leads)
{
    if (!udr_shared_is_succeeded(shared)) {
        return leads || try_to_lead(udr_shared_leading(shared));
    }
    if (leads) {
        udr_leader_leave(shared);
    }
    return false;
}
