/* SPDX-License-Identifier: Apache-2.0 */
/* What a debug build (configure --enable-debug) has in addition, for tests and developers: assertions, delays at the
 * points where something changes hands, and a watchdog over the steps of a loop. Without it these are no code at all.
 * Layer: core, bottom. Used by loop, pool and whoever hands something over; switched on by the child. */
#ifndef UDR_DEBUG_H
#define UDR_DEBUG_H

#include <apr_time.h>

/* A step of a loop that takes longer than this keeps all others on it waiting. */
#define UDR_STEP_MAX apr_time_from_msec(5)

#ifdef UDR_DEBUG

/* Ends the process with the condition and its place on stderr. */
#define UDR_ASSERT(condition) ((condition) ? (void)0 : udr_debug_fail(#condition, __FILE__, __LINE__))

/* A point in the schedule: counts, and sleeps when the schedule says so. On any thread, with or without locks. */
#define UDR_SCHEDULE(point) udr_debug_pass(point)

/* The same for the moment before something passes from one owner to another; the point is called "from>to". */
#define UDR_SCHEDULE_TRANSFER(from, to) udr_debug_pass_transfer(from, to)

/* Runs a call that is one step of this thread's loop; kind: what for, a literal. Steps don't nest. */
#define UDR_STEP(kind, call)                                                                                           \
    do {                                                                                                               \
        udr_debug_begin_step(kind);                                                                                    \
        call;                                                                                                          \
        udr_debug_end_step();                                                                                          \
    } while (0)

/* From here on the step is busy with that, a literal. Nothing outside of steps. */
#define UDR_STEP_PART(part) udr_debug_begin_part(part)

/* Where the watchdog's lines and the report go, on whichever thread has something to say; NULL: nowhere. */
void udr_debug_set_log(void (*log)(const char *text));

/* Forgets the schedule before and takes this one: "point=delay,point=delay" with delays as "300us" or "2ms";
 * "random:2ms" anything up to that; "0us" only counts. The watchdog does not count the time that a step has slept so,
 * unless it is "held:20ms". Not thread-safe: before there are threads. Returns NULL, or a literal that says what is
 * wrong; the points before that are set. */
const char *udr_debug_set_schedule(const char *schedule);

/* How often a point of the schedule was passed. */
unsigned int udr_debug_count(const char *point);

/* Says that of all points of the schedule: "schedule: worker>leaving passed 12 times". */
void udr_debug_report(void);

/* Behind the macros. */
void udr_debug_fail(const char *condition, const char *file, int line) __attribute__((noreturn));
void udr_debug_pass(const char *point);
void udr_debug_pass_transfer(const char *from, const char *to);
void udr_debug_begin_step(const char *kind);
void udr_debug_begin_part(const char *part);
void udr_debug_end_step(void);

#else

#define UDR_ASSERT(condition)           ((void)sizeof(condition))
#define UDR_SCHEDULE(point)             ((void)0)
#define UDR_SCHEDULE_TRANSFER(from, to) ((void)0)
#define UDR_STEP(kind, call)            call
#define UDR_STEP_PART(part)             ((void)0)

#endif
#endif
