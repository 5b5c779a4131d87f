/* SPDX-License-Identifier: Apache-2.0 */
/* Of a debug build; udr_debug.c is compiled for it here whatever the tree is configured for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_debug.h"

#define MILLISECONDS(n) apr_time_from_msec(n)

static char said[4][256];
static int lines;

static void say(const char *text)
{
    snprintf(said[lines % 4], sizeof said[0], "%s", text);
    lines++;
}

static int forget(void **state)
{
    (void)state;
    lines = 0;
    udr_debug_set_log(say);
    return udr_debug_set_schedule("") != NULL;
}

static apr_interval_time_t time_to_pass(const char *point)
{
    apr_time_t begun = udr_clock_now();
    UDR_SCHEDULE(point);
    return udr_clock_now() - begun;
}

/* --- the schedule --------------------------------------------------------------------------------------------------
 */

static void sleeps_at_the_points_it_was_told(void **state)
{
    (void)state;
    assert_null(udr_debug_set_schedule("first=3000us,second=0us,third=random:2ms"));
    assert_true(time_to_pass("first") >= 3000);
    (void)time_to_pass("second");
    (void)time_to_pass("elsewhere");
    for (int i = 0; i < 20; i++) {
        (void)time_to_pass("third");
    }
    assert_int_equal(udr_debug_count("first"), 1);
    assert_int_equal(udr_debug_count("second"), 1);
    assert_int_equal(udr_debug_count("third"), 20);
    assert_int_equal(udr_debug_count("elsewhere"), 0);
}

static void names_a_transfer_by_its_ends(void **state)
{
    (void)state;
    assert_null(udr_debug_set_schedule("worker>leaving=0us"));
    UDR_SCHEDULE_TRANSFER("worker", "leaving");
    UDR_SCHEDULE_TRANSFER("leaving", "worker");
    assert_int_equal(udr_debug_count("worker>leaving"), 1);
}

static void reports_each_point(void **state)
{
    (void)state;
    assert_null(udr_debug_set_schedule("one=0us,other=0us"));
    UDR_SCHEDULE("other");
    udr_debug_report();
    assert_int_equal(lines, 2);
    assert_string_equal(said[0], "schedule: one passed 0 times");
    assert_string_equal(said[1], "schedule: other passed 1 times");
}

static void refuses_what_it_does_not_understand(void **state)
{
    static const char *const wrong[] = {
        "point",          "point=",
        "=1ms",           "point=1",
        "point=1s",       "point=ms",
        "point=fast:1ms", "point=1ms;other=1ms",
        "a=1us,b",        "a-name-that-is-far-too-long-for-the-table-of-points=1us",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (!udr_debug_set_schedule(wrong[i])) {
            fail_msg("accepted: %s", wrong[i]);
        }
    }
}

static void takes_a_limited_number_of_points(void **state)
{
    char text[1024] = "";
    (void)state;
    for (int i = 0; i < 65; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "p%d=0us,", i);
    }
    assert_string_equal(udr_debug_set_schedule(text), "too many points");
    *strstr(text, "p64") = '\0';
    assert_null(udr_debug_set_schedule(text));
}

/* --- the watchdog --------------------------------------------------------------------------------------------------
 */

static void work_in_parts(void)
{
    UDR_STEP_PART("the first part");
    apr_sleep(MILLISECONDS(1));
    UDR_STEP_PART("the long part");
    apr_sleep(MILLISECONDS(12));
    UDR_STEP_PART("the last part");
}

static void says_which_step_took_long_and_which_part_of_it(void **state)
{
    long took = 0, part = 0;
    char name[64] = "";
    (void)state;
    /* A busy machine may make another part longer; not always. */
    for (int i = 0; i < 10 && strcmp(name, "the long part") != 0; i++) {
        lines = 0;
        UDR_STEP("a task", work_in_parts());
        assert_int_equal(lines, 1);
        assert_int_equal(
            sscanf(said[0], "a loop was held for %ld us by a task, %ld us of it by %63[^;];", &took, &part, name), 3);
    }
    assert_string_equal(name, "the long part");
    assert_true(took >= part && part >= 12000);
}

static void says_nothing_of_short_steps(void **state)
{
    (void)state;
    /* A busy machine may make one of them long; not all. */
    for (int i = 0; i < 50; i++) {
        UDR_STEP("a task", UDR_STEP_PART("nothing much"));
    }
    assert_true(lines < 5);
}

static void burn(apr_interval_time_t span)
{
    struct timespec used;
    apr_interval_time_t until;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    until = (apr_interval_time_t)used.tv_sec * APR_USEC_PER_SEC + used.tv_nsec / 1000 + span;
    while ((apr_interval_time_t)used.tv_sec * APR_USEC_PER_SEC + used.tv_nsec / 1000 < until) {
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    }
}

static void says_who_burns_the_processor(void **state)
{
    (void)state;
    UDR_STEP("an event", burn(MILLISECONDS(8)));
    assert_int_equal(lines, 1);
    assert_non_null(strstr(said[0], "by an event"));
}

/* The delay belongs to the test, not to the step. */
static void excuses_what_the_schedule_sleeps(void **state)
{
    (void)state;
    assert_null(udr_debug_set_schedule("excused=8ms,held=held:8ms"));
    for (int i = 0; i < 10; i++) {
        UDR_STEP("a task", UDR_SCHEDULE("excused"));
    }
    assert_true(lines < 5); /* again but for a busy machine */
    lines = 0;
    UDR_STEP("a task", UDR_SCHEDULE("held"));
    assert_int_equal(lines, 1);
}

static void parts_outside_of_steps_are_nothing(void **state)
{
    (void)state;
    UDR_STEP_PART("a worker's");
    apr_sleep(MILLISECONDS(8));
    UDR_STEP("a task", (void)0);
    assert_int_equal(lines, 0);
}

/* --- assertions ----------------------------------------------------------------------------------------------------
 */

static void an_assertion_ends_the_process(void **state)
{
    char text[256] = "";
    int status = 0, ends[2];
    (void)state;
    UDR_ASSERT(lines == 0);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        UDR_ASSERT(lines == 1);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(text, "mod_udsroute: assertion failed: lines == 1 ("));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sleeps_at_the_points_it_was_told, forget),
        cmocka_unit_test_setup(names_a_transfer_by_its_ends, forget),
        cmocka_unit_test_setup(reports_each_point, forget),
        cmocka_unit_test_setup(refuses_what_it_does_not_understand, forget),
        cmocka_unit_test_setup(takes_a_limited_number_of_points, forget),
        cmocka_unit_test_setup(says_which_step_took_long_and_which_part_of_it, forget),
        cmocka_unit_test_setup(says_nothing_of_short_steps, forget),
        cmocka_unit_test_setup(says_who_burns_the_processor, forget),
        cmocka_unit_test_setup(excuses_what_the_schedule_sleeps, forget),
        cmocka_unit_test_setup(parts_outside_of_steps_are_nothing, forget),
        cmocka_unit_test_setup(an_assertion_ends_the_process, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
