/* SPDX-License-Identifier: Apache-2.0 */
/* Which application runtime is at the other end, by its process's name, and what those of that name speak: for who has
 * written another scheme and sees nothing but silence, or connections that are closed. Layer: core. Used by exchanges
 * and health checks that have failed. */
#ifndef UDR_RUNTIME_H
#define UDR_RUNTIME_H

#include "mod_udsroute/udr_target.h"

#include <sys/types.h>

/* fd: a connected socket. Returns the process that has called listen(2) there (unix(7), SO_PEERCRED); 0: that can't be
 * found out. */
pid_t udr_runtime_process(int fd);

/* Returns a sentence from p when that process is known for another protocol than the scheme's; NULL: nothing is to be
 * said of it, or nothing can be found out, as of 0. It reads the process's name: only for who tells the sentence to
 * somebody. */
const char *udr_runtime_suspect(pid_t process, const udr_scheme_t *scheme, apr_pool_t *p);

/* The same for a process of that name (proc_pid_comm(5)). */
const char *udr_runtime_suspect_name(const char *name, const udr_scheme_t *scheme, apr_pool_t *p);

#endif
