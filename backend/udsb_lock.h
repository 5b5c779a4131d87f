/* SPDX-License-Identifier: Apache-2.0 */
/* A lock file beside a socket: held while the socket file is looked at, made or unlinked; gone afterwards.
 * Layer: bottom. Used by udsb_socket.c. */
#ifndef UDSB_LOCK_H
#define UDSB_LOCK_H

#include <stdint.h>

/* Takes the lock called name in the directory; at most timeout_ms. Returns a descriptor for udsb_lock_release, or -1
 * with errno (ETIMEDOUT: another process held it all the time). */
int udsb_lock_take(int directory, const char *name, uint64_t timeout_ms);

/* Removes the lock file and lets go. */
void udsb_lock_release(int lock, int directory, const char *name);

#endif
