/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager passes and wants to hear: sd_listen_fds(3), sd_notify(3).
 * Layer: the program. Without libsystemd, sockets that were passed are an error and notes go nowhere. */
#ifndef UDSB_SYSTEMD_H
#define UDSB_SYSTEMD_H

#include "backend/udsb_error.h"

/* How many listening sockets were passed (LISTEN_FDS for this process); they are the descriptors from
 * UDSB_SYSTEMD_FIRST on. */
enum { UDSB_SYSTEMD_FIRST = 3 };
udsb_result_t udsb_systemd_listeners(unsigned *count, udsb_error_t *error);

/* Tells the service manager, if there is one: "READY=1", "STOPPING=1". */
void udsb_systemd_notify(const char *state);

/* From here on this process says nothing more: it is an instance, the one that started it speaks for all. */
void udsb_systemd_forget(void);

#endif
