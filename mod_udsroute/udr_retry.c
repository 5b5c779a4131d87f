/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_retry.h"

/*  connected  wrote  closed  begun  idempotent  replayable | again
 *      no       -      -       -        -           -      | yes    the member knows nothing of it
 *      yes      no     -       no       -          yes     | yes    likewise
 *      yes      yes    yes     no      yes         yes     | yes    doing it twice does no harm
 *                   everything else                         | no
 */
bool udr_retry_is_safe(const udr_attempt_t *attempt)
{
    if (!attempt->body_replayable || attempt->response_begun) {
        return false;
    }
    return !attempt->connected || !attempt->wrote || (attempt->closed && attempt->idempotent);
}
