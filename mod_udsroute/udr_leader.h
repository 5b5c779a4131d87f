/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the children does what only one of them may do: whoever holds a mutex in what they share. The kernel gives
 * it up for one that dies, whatever way that is, so that another is found within a quarter of a second. Layer: core.
 * Used by each child's own thread, which holds it as long as it lives. */
#ifndef UDR_LEADER_H
#define UDR_LEADER_H

#include "mod_udsroute/udr_shared.h"

/* Four times a second, always from the same thread, which must live as long as its process leads. leads: what this
 * returned last; false at first. Returns whether this process leads from now on. One of a former generation does not:
 * its configuration isn't the server's any more. */
bool udr_leader_attend(const udr_shared_t *shared, bool leads);

/* By the same thread: it leads no longer. */
void udr_leader_leave(const udr_shared_t *shared);

#endif
