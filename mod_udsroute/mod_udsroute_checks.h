/* SPDX-License-Identifier: Apache-2.0 */
/* Active health checks: one child makes them for all, and another takes over when it ends, however that comes about.
 * Layer: glue. Every child has this on one thread of its own that has a loop: the first loop's, the one that tidies, or
 * under prefork one made for this. */
#ifndef MOD_UDSROUTE_CHECKS_H
#define MOD_UDSROUTE_CHECKS_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_loop.h"

/* Does any member want checks (`hcmethod`)? */
bool udr_checks_are_wanted(const server_rec *main_server);

/* Before the loop runs. p: lives as long as the loop does. */
void udr_checks_init(server_rec *main_server, udr_loop_t *loop, apr_pool_t *p);

/* Without threads: makes one, which ends with the process, and all of the above for it. After fork(2). */
apr_status_t udr_checks_start_alone(server_rec *main_server);

/* Without threads, and without checks: what those of a former configuration have found is forgotten, unless the child
 * that has made them is still about to leave it to others: then the next time. By the main thread, now and then. */
void udr_checks_forget_alone(const server_rec *main_server);

/* Four times a second, on the loop's thread: takes over, if nobody makes the checks; or leaves them to a newer
 * generation. Returns whether this child makes them. */
bool udr_checks_attend(apr_time_t now);

/* On the loop's thread: the file of the member's socket has appeared, or its mode has changed. */
void udr_checks_look(const udr_member_t *member);

#endif
