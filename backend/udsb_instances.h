/* SPDX-License-Identifier: Apache-2.0 */
/* --instances N: a parent process that serves nothing, and N children that do; one that dies is started again.
 * Layer: the program. */
#ifndef UDSB_INSTANCES_H
#define UDSB_INSTANCES_H

#include "backend/udsb_options.h"

#include <signal.h>

/* Runs the instances until a signal, passes it and further ones on, and waits for all. Returns the exit status: 1 when
 * an instance did not even start the first time. signals: blocked by the caller. */
int udsb_instances_run(const udsb_options_t *options, const sigset_t *signals);

/* How long to wait before an instance that lived for lived_ms is started again, when the last wait was pause_ms (0:
 * none yet): from 100 ms on, doubled up to 10 s; from the start again after it has lived for 10 s. */
uint64_t udsb_instances_pause(uint64_t pause_ms, uint64_t lived_ms);

#endif
