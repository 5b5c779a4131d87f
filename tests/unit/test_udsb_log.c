/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char lines[8][1100];
static udsb_log_level_t levels[8];
static unsigned count;

static void remember(void *context, udsb_log_level_t level, const char *line)
{
    assert_string_equal(context, "context");
    levels[count] = level;
    snprintf(lines[count++], sizeof lines[0], "%s", line);
}

static void one_event_is_one_line(void **state)
{
    udsb_log_t log = {.function = remember, .context = "context", .verbosity = UDSB_LOG_INFO};
    char text[2000];

    (void)state;
    count = 0;
    udsb_log_event(&log, UDSB_LOG_ERROR, "a %s %d", "b", 3);
    udsb_log_event(&log, UDSB_LOG_INFO, "%s", "fake\n2026 error\r\x1b[31m\x7f");
    udsb_log_event(&log, UDSB_LOG_DEBUG, "not wanted");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    udsb_log_event(&log, UDSB_LOG_WARNING, "%s", text);
    assert_int_equal(count, 3);
    assert_int_equal(levels[0], UDSB_LOG_ERROR);
    assert_string_equal(lines[0], "a b 3");
    assert_string_equal(lines[1], "fake?2026 error??[31m?");
    assert_int_equal(strlen(lines[2]), 1000);
}

static void stderr_gets_time_process_and_level(void **state)
{
    const udsb_log_t log = {.verbosity = UDSB_LOG_INFO};
    char text[256] = "", expected[64];
    const int saved = dup(STDERR_FILENO);
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    udsb_log_event(&log, UDSB_LOG_WARNING, "something");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    snprintf(expected, sizeof expected, "Z test_udsb_log[%d] warning: something\n", (int)getpid());
    assert_string_equal(text + strlen("2026-01-01T00:00:00.000"), expected);
    assert_int_equal(text[10], 'T');
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_event_is_one_line),
                                       cmocka_unit_test(stderr_gets_time_process_and_level)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
