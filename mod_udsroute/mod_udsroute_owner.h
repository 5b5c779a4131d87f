/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an adopted connection is: the table of owners. Layer: glue. Used by mod_udsroute_adopted*.c. */
#ifndef MOD_UDSROUTE_OWNER_H
#define MOD_UDSROUTE_OWNER_H

#include <stdbool.h>

/* At any time exactly one thread may touch a connection: */
typedef enum udr_owner_t {
    UDR_OWNER_WORKER,  /* the MPM's worker thread, within its process_connection hooks */
    UDR_OWNER_LEAVING, /* the same, from the handler's SUSPENDED to the suspend_connection hook */
    UDR_OWNER_COMING,  /* nobody: in the queue to the loop */
    UDR_OWNER_LOOP,    /* the loop's thread */
    UDR_OWNER_GOING,   /* nobody: in the MPM's queue to a worker */
    UDR_OWNER_GUEST,   /* a worker thread, within our callback */
    UDR_OWNER_GONE,    /* the loop's thread, on the way to be freed */
    UDR_OWNERS
} udr_owner_t;

/* Whether the table has an edge from one to the other. */
bool udr_owner_may_pass(udr_owner_t from, udr_owner_t to);

const char *udr_owner_name(udr_owner_t owner);

#endif
