/* SPDX-License-Identifier: Apache-2.0 */
/* The points of the schedule (udr_debug.h), in programs that have the core built in as in a debug build: there a
 * process dies, stops, or others do something meanwhile. On top of fixture_shared. */
#ifndef FIXTURE_POINTS_H
#define FIXTURE_POINTS_H

#include "tests/unit/fixture_shared.h"

/* At this point, once, this process gets this signal: SIGKILL at first, or SIGSTOP until it is told to go on. */
extern const char *fatal_point;
extern int fatal_signal;

/* At this one, once, this is called. */
extern const char *lively_point;
extern void (*meanwhile)(void);

/* Ends this process when "here" is its fatal point. */
void die(void);

/* It has got as far as its fatal point; during: what it was to do, for the message. */
void assert_killed(pid_t process, const char *point, const char *during);

/* Goes on until its fatal point (SIGSTOP). */
void assert_stopped(pid_t process);

/* Sends a byte to whoever waits for one at the other end of the pipe. */
void tell(const int *to);
void listen_to(const int *from);

#endif
