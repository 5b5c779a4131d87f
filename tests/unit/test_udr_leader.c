/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_leader.h"

#include <apr_general.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static apr_pool_t *pool;
static udr_shared_t *shared;

static int set_up(void **state)
{
    (void)state;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || udr_shared_create(&shared, 4, 4, 4, pool) != APR_SUCCESS) {
        return -1;
    }
    udr_shared_begin_generation(shared);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

/* A child that leads, says so and then waits to be killed. */
static pid_t fork_leader(int *says)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        char word = udr_leader_attend(shared, false) ? 'y' : 'n';
        if (write(pipes[1], &word, 1) != 1) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    close(pipes[1]);
    *says = pipes[0];
    return process;
}

static char hear(int fd)
{
    char word = '?';
    assert_int_equal(read(fd, &word, 1), 1);
    close(fd);
    return word;
}

static void end(pid_t process)
{
    int status;
    assert_int_equal(kill(process, SIGKILL), 0);
    assert_int_equal(waitpid(process, &status, 0), process);
}

static void there_is_one_at_a_time(void **state)
{
    int first_says, second_says;
    (void)state;
    pid_t first = fork_leader(&first_says);
    assert_int_equal(hear(first_says), 'y');
    pid_t second = fork_leader(&second_says);
    assert_int_equal(hear(second_says), 'n');
    assert_false(udr_leader_attend(shared, false));
    end(second);
    assert_false(udr_leader_attend(shared, false));
    end(first);
    assert_true(udr_leader_attend(shared, false));
    assert_true(udr_leader_attend(shared, true));
}

static void *lead_and_end(void *led)
{
    *(bool *)led = udr_leader_attend(shared, false);
    return NULL;
}

/* A child that ends in order does so without a word, too. */
static void a_thread_that_ends_leads_no_more(void **state)
{
    pthread_t thread;
    bool led = false;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, lead_and_end, &led), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(led);
    assert_true(udr_leader_attend(shared, false));
}

/* The parent reads a new configuration: who was forked before gives way. (The generation is not in the mapping: here
 * the children are the old ones.) */
static void a_former_generation_gives_way(void **state)
{
    int orders[2], answers[2];
    char word;
    (void)state;
    assert_int_equal(pipe(orders), 0);
    assert_int_equal(pipe(answers), 0);
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        bool leads = false;
        while (read(orders[0], &word, 1) == 1) {
            leads = udr_leader_attend(shared, leads);
            word = leads ? 'y' : 'n';
            if (write(answers[1], &word, 1) != 1) {
                _exit(1);
            }
        }
        _exit(0);
    }
    for (int i = 0; i < 3; i++) {
        if (i == 1) {
            udr_shared_begin_generation(shared);
        }
        assert_int_equal(write(orders[1], "x", 1), 1);
        assert_int_equal(read(answers[0], &word, 1), 1);
        assert_int_equal(word, i == 0 ? 'y' : 'n');
    }
    assert_true(udr_leader_attend(shared, false));
    end(process);
    for (int i = 0; i < 2; i++) {
        close(orders[i]);
        close(answers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_is_one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_thread_that_ends_leads_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_former_generation_gives_way, set_up, tear_down),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
