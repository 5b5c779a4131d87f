/* SPDX-License-Identifier: Apache-2.0 */
/* One server process from its options to its end, and the signals that end it.
 * Layer: the program. Called by main for a single server, and by each instance. */
#ifndef UDSB_RUN_H
#define UDSB_RUN_H

#include "backend/udsb_options.h"

#include <signal.h>

/* Exit statuses of the program. */
enum { UDSB_EXIT_STOPPED = 0, UDSB_EXIT_FAILED = 1, UDSB_EXIT_USAGE = 2 };

/* The signals that end the program: SIGTERM, SIGINT, SIGHUP. Blocked in all threads, waited for in one. */
void udsb_run_block_signals(sigset_t *signals);

/* Called once the server serves. */
typedef void udsb_run_ready_t(void *context);

/* Serves until a signal, drains, stops. instance: 0, or the number that goes into the socket paths. passed: sockets
 * from UDSB_SYSTEMD_FIRST on to be served as well. signals: blocked by the caller. Returns the exit status; failures
 * are logged. */
int udsb_run(const udsb_options_t *options, unsigned instance, unsigned passed, const sigset_t *signals,
             udsb_run_ready_t *ready, void *context);

#endif
