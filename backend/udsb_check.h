/* SPDX-License-Identifier: Apache-2.0 */
/* What can be told before anything is started.
 * Layer: the program. */
#ifndef UDSB_CHECK_H
#define UDSB_CHECK_H

#include "backend/udsb_options.h"

/* Do the options go together? UDSB_INVALID: no, error says why. passed: sockets from the service manager. */
udsb_result_t udsb_check_usage(const udsb_options_t *options, unsigned passed, udsb_error_t *error);

/* --check: examines what is at each socket path, the root and the kernel's limits, changes nothing, tells on stdout
 * what was found. Returns the exit status: 1 if the server would not start. */
int udsb_check(const udsb_options_t *options, unsigned passed);

#endif
