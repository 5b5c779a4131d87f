/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_retry.h"

/*  replayable  begun  connected  wrote  closed  idempotent | again
 *      yes        no       no       -       -         -       | yes    the member knows nothing of it
 *      yes        no       yes      no      -         -       | yes    likewise
 *      yes        no       yes      yes     yes       yes     | yes    doing it twice does no harm
 *                      everything else                        | no
 */
bool udr_retry_is_safe(const udr_attempt_t *attempt)
{
    if (!attempt->body_replayable || attempt->response_begun) {
        return false;
    }
    return !attempt->connected || !attempt->wrote || (attempt->closed && attempt->idempotent);
}
