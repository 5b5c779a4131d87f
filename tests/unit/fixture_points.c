/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_debug.h"
#include "tests/unit/fixture_points.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *fatal_point = "";
int fatal_signal = SIGKILL;
const char *lively_point = "";
void (*meanwhile)(void);

/* In place of the one in udr_debug.c. */
void udr_debug_pass(const char *point)
{
    if (strcmp(point, fatal_point) == 0) {
        fatal_point = "";
        raise(fatal_signal);
    }
    if (strcmp(point, lively_point) == 0) {
        lively_point = "";
        meanwhile();
    }
}

void die(void)
{
    udr_debug_pass("here");
}

void assert_killed(pid_t process, const char *point, const char *during)
{
    int status = await_child(process);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        print_error("not killed at %s in %s: status %x\n", point, during, (unsigned int)status);
        fail();
    }
}

void assert_stopped(pid_t process)
{
    int status = 0;
    assert_int_equal(waitpid(process, &status, WUNTRACED), process);
    assert_true(WIFSTOPPED(status));
}

void tell(const int *to)
{
    if (write(to[1], "", 1) != 1) {
        abort();
    }
}

void listen_to(const int *from)
{
    char byte;
    if (read(from[0], &byte, 1) != 1) {
        abort();
    }
}
