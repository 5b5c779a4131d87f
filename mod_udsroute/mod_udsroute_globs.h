/* SPDX-License-Identifier: Apache-2.0 */
/* Members from directories, in httpd's life: who looks into them, when, and what the log says of it.
 * Layer: glue. In each child by its own thread (under prefork with the requests); once by the parent. */
#ifndef MOD_UDSROUTE_GLOBS_H
#define MOD_UDSROUTE_GLOBS_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_dirwatch.h"

/* The parent, once all is claimed: the first requests find members. */
void udr_globs_scan_all(server_rec *main_server);

/* A child that has joined: looks into all directories, and opens the pickers to what is there. */
apr_status_t udr_globs_start(server_rec *main_server, bool is_threaded, apr_pool_t *pchild);

/* Has all directories watched. */
void udr_globs_watch(udr_dirwatch_t *dirwatch);

/* Four times a second: looks where nothing is watched, forgets who has gone. */
void udr_globs_attend(apr_time_t now);

#endif
