/* SPDX-License-Identifier: Apache-2.0 */
/* One who has made a connection to a runtime whose processes serve one each, and waits for a process: as long as none
 * has taken the connection, it is hungry, and calls for those who hold idle connections to give one up (udr_yield).
 * Layer: core. Used by exchanges and checks. */
#ifndef UDR_HUNGER_H
#define UDR_HUNGER_H

#include "mod_udsroute/udr_yield.h"

/* All zero: not hungry. */
typedef struct udr_hunger_t {
    udr_yield_t *yield; /* NULL: not hungry, or no longer */
    apr_uint32_t slot;
    apr_time_t look_at; /* when udr_hunger_look() is due; while yield is not NULL */
    apr_interval_time_t pause;
    apr_uint32_t looks;
    bool has_called;
    apr_uint32_t call;
} udr_hunger_t;

/* It may become hungry: the first look is due in a millisecond, which a process that has nothing else to do does not
 * need. Harmless when it has begun. */
void udr_hunger_begin(udr_hunger_t *hunger, udr_yield_t *yield, apr_uint32_t slot, apr_time_t now);

/* Looks whether the connection is still waiting, if that is due. fd: connected, and nothing was heard of it yet; -1:
 * not even the backlog has room for it. When a process has it, it is no longer hungry; else it calls, or calls again
 * where a call was answered to no avail: somebody else may have been before it in the backlog. */
void udr_hunger_look(udr_hunger_t *hunger, int fd, apr_time_t now);

/* It has been served, or has given up. Harmless when it is not hungry. */
void udr_hunger_end(udr_hunger_t *hunger);

#endif
