/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the members' sockets, watched: one that is replaced takes its connections with it, one that goes takes
 * its member out, one that appears ends its pause and has it looked at. Layer: glue. By the child's own thread; under
 * prefork by one child for all, where there are checks, and else by nobody: a file is looked at when it is used. */
#ifndef MOD_UDSROUTE_WATCH_H
#define MOD_UDSROUTE_WATCH_H

#include "mod_udsroute/mod_udsroute.h"

/* Watches for all members. is_childs: the thread that reads may touch what is the child's alone, its idle connections
 * and its requests that wait. p: lives as long as that thread reads. */
void udr_watch_start(server_rec *main_server, bool is_childs, apr_pool_t *p);

/* Now and then, on that thread: what can't be watched is looked at, once a second. */
void udr_watch_attend(apr_time_t now);

/* To be watched for reading, then udr_watch_read(); -1: there is nothing to watch with. */
int udr_watch_descriptor(void);
void udr_watch_read(void);

#endif
