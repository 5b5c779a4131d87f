/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_debug.h"

#ifdef UDR_DEBUG

#include "mod_udsroute/udr_clock.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define POINTS_MAX 64
#define NAME_SIZE  40

typedef enum delay_t { DELAY_FIXED, DELAY_RANDOM, DELAY_HELD } delay_t;

typedef struct point_t {
    char name[NAME_SIZE];
    delay_t kind;
    apr_interval_time_t delay;
    unsigned int passed; /* atomic, relaxed: an ordering of our own would hide from the thread sanitizer what it is to
                            find */
} point_t;

static struct {
    point_t points[POINTS_MAX];
    int count;
    void (*log)(const char *text);
} debug;

/* The step that this thread is in. */
static __thread struct {
    const char *kind; /* NULL: in none */
    apr_time_t begun;
    apr_time_t processor; /* time of it that this thread had used by then */
    long waits;           /* how often this thread had waited by then */
    const char *part;
    apr_time_t part_begun;
    const char *longest_part;
    apr_interval_time_t longest;
} step;

void udr_debug_set_log(void (*log)(const char *text))
{
    debug.log = log;
}

void udr_debug_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "mod_udsroute: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}

/* --- the schedule --------------------------------------------------------------------------------------------------
 */

static const char *parse_delay(point_t *point, const char *text, const char **end)
{
    static const struct {
        const char *prefix;
        delay_t kind;
    } kinds[] = {{"random:", DELAY_RANDOM}, {"held:", DELAY_HELD}};
    char *unit;
    point->kind = DELAY_FIXED;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            point->kind = kinds[i].kind;
            text += strlen(kinds[i].prefix);
        }
    }
    unsigned long number = strtoul(text, &unit, 10);
    if (unit == text || number > 10000000 || (strncmp(unit, "us", 2) != 0 && strncmp(unit, "ms", 2) != 0)) {
        return "a delay is a number of us or ms";
    }
    point->delay = *unit == 'u' ? (apr_interval_time_t)number : apr_time_from_msec((apr_interval_time_t)number);
    *end = unit + 2;
    return NULL;
}

const char *udr_debug_set_schedule(const char *schedule)
{
    debug.count = 0;
    while (*schedule) {
        point_t *point = &debug.points[debug.count];
        size_t length = strcspn(schedule, "=,");
        if (debug.count == POINTS_MAX) {
            return "too many points";
        }
        if (length == 0 || length >= NAME_SIZE || schedule[length] != '=') {
            return "an item is point=delay";
        }
        memcpy(point->name, schedule, length);
        point->name[length] = '\0';
        point->passed = 0;
        const char *problem = parse_delay(point, schedule + length + 1, &schedule);
        if (problem || (*schedule && *schedule != ',')) {
            return problem ? problem : "a delay ends with its unit";
        }
        schedule += *schedule == ',';
        debug.count++;
    }
    return NULL;
}

static point_t *find(const char *name)
{
    for (int i = 0; i < debug.count; i++) {
        if (strcmp(debug.points[i].name, name) == 0) {
            return &debug.points[i];
        }
    }
    return NULL;
}

unsigned int udr_debug_count(const char *name)
{
    const point_t *point = find(name);
    return point ? __atomic_load_n(&point->passed, __ATOMIC_RELAXED) : 0;
}

void udr_debug_report(void)
{
    char text[128];
    for (int i = 0; debug.log && i < debug.count; i++) {
        const point_t *point = &debug.points[i];
        snprintf(text, sizeof text, "schedule: %s passed %u times", point->name,
                 __atomic_load_n(&point->passed, __ATOMIC_RELAXED));
        debug.log(text);
    }
}

/* 0 to most. Marsaglia's xorshift: no lock, no other thread's numbers. */
static apr_interval_time_t random_up_to(apr_interval_time_t most)
{
    static __thread uint32_t state;
    if (!state) {
        state = (uint32_t)(uintptr_t)&state ^ (uint32_t)udr_clock_now();
        state += !state;
    }
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (apr_interval_time_t)(state % ((uint64_t)most + 1));
}

/* How often this thread has gone to sleep of itself: in a system call, for a lock. Being pushed off the processor by
 * others does not count. */
static long waits_so_far(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void sleep_excused(apr_interval_time_t delay)
{
    apr_time_t begun = udr_clock_now();
    long waits = step.kind ? waits_so_far() : 0;
    apr_sleep(delay);
    if (step.kind) {
        apr_interval_time_t slept = udr_clock_now() - begun;
        step.begun += slept;
        step.part_begun += slept;
        step.waits += waits_so_far() - waits;
    }
}

void udr_debug_pass(const char *name)
{
    point_t *point = find(name);
    if (!point) {
        return;
    }
    __atomic_fetch_add(&point->passed, 1, __ATOMIC_RELAXED);
    apr_interval_time_t delay = point->kind == DELAY_RANDOM ? random_up_to(point->delay) : point->delay;
    if (delay && point->kind == DELAY_HELD) {
        apr_sleep(delay);
    } else if (delay) {
        sleep_excused(delay);
    }
}

void udr_debug_pass_transfer(const char *from, const char *to)
{
    char name[NAME_SIZE];
    if (debug.count > 0) {
        snprintf(name, sizeof name, "%s>%s", from, to);
        udr_debug_pass(name);
    }
}

/* --- the watchdog over a loop's steps ------------------------------------------------------------------------------
 */

static apr_time_t processor_time(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (apr_time_t)used.tv_sec * APR_USEC_PER_SEC + used.tv_nsec / 1000;
}

void udr_debug_begin_step(const char *kind)
{
    step.kind = step.part = step.longest_part = kind;
    step.longest = 0;
    step.processor = processor_time();
    step.waits = waits_so_far();
    step.begun = step.part_begun = udr_clock_now();
}

void udr_debug_begin_part(const char *part)
{
    if (!step.kind) {
        return;
    }
    apr_time_t now = udr_clock_now();
    if (now - step.part_begun > step.longest) {
        step.longest = now - step.part_begun;
        step.longest_part = step.part;
    }
    step.part = part;
    step.part_begun = now;
}

void udr_debug_end_step(void)
{
    char text[256];
    udr_debug_begin_part(NULL);
    apr_interval_time_t took = udr_clock_now() - step.begun;
    if (took > UDR_STEP_MAX) {
        apr_interval_time_t used = processor_time() - step.processor;
        long waits = waits_so_far() - step.waits;
        /* A step that has neither slept nor worked for so long was pushed off its processor: no fault of its own. */
        if (debug.log && (waits > 0 || used > UDR_STEP_MAX)) {
            snprintf(text, sizeof text,
                     "a loop was held for %ld us by %s, %ld us of it by %s; it waited %ld times and used the processor "
                     "for %ld us",
                     (long)took, step.kind, (long)step.longest, step.longest_part, waits, (long)used);
            debug.log(text);
        }
    }
    step.kind = NULL;
}

#endif
