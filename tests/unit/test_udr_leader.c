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

#define NOW  apr_time_from_sec(1000)
#define LATE (NOW + UDR_LEADER_PATIENCE)

static apr_pool_t *pool;
static udr_shared_t *shared;
static udr_leader_t self; /* this process */

static int set_up(void **state)
{
    (void)state;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || udr_shared_create(&shared, 4, 4, 4, pool) != APR_SUCCESS) {
        return -1;
    }
    udr_shared_begin_generation(shared);
    self = (udr_leader_t){.leads = false};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

/* A child that attends whenever it is told to, at NOW, and says whether it leads; and that between them, when told 'h',
 * whether it is heard of still. */
typedef struct process_t {
    pid_t id;
    int tell;
    int says;
} process_t;

static void attend_when_told(int told, int says)
{
    udr_leader_t leader = {.leads = false};
    char word;
    while (read(told, &word, 1) == 1) {
        if (word == 'h') {
            word = udr_leader_is_heard(&leader, shared) ? 'y' : 'n';
        } else {
            word = udr_leader_attend(&leader, shared, NOW) == UDR_LEADING_NOT ? 'n' : 'y';
        }
        if (write(says, &word, 1) != 1) {
            break;
        }
    }
    _exit(1);
}

static process_t start(void)
{
    int orders[2], answers[2];
    assert_int_equal(pipe(orders), 0);
    assert_int_equal(pipe(answers), 0);
    process_t process = {.id = fork(), .tell = orders[1], .says = answers[0]};
    assert_true(process.id >= 0);
    if (process.id == 0) {
        close(orders[1]);
        attend_when_told(orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    return process;
}

static char ask(const process_t *process, char what)
{
    char word = '?';
    assert_int_equal(write(process->tell, &what, 1), 1);
    assert_int_equal(read(process->says, &word, 1), 1);
    return word;
}

static void end(const process_t *process)
{
    int status;
    assert_int_equal(kill(process->id, SIGKILL), 0);
    assert_int_equal(waitpid(process->id, &status, 0), process->id);
    close(process->tell);
    close(process->says);
}

/* At that time; and whether it leads is what is known of it. */
static udr_leading_t attend(apr_time_t now)
{
    udr_leading_t leading = udr_leader_attend(&self, shared, now);
    assert_int_equal(self.leads, leading != UDR_LEADING_NOT);
    assert_int_equal(udr_leader_is_heard(&self, shared), self.leads);
    return leading;
}

static void there_is_one_at_a_time(void **state)
{
    (void)state;
    process_t first = start();
    process_t second = start();
    assert_int_equal(ask(&first, 'a'), 'y');
    assert_int_equal(ask(&second, 'a'), 'n');
    assert_int_equal(ask(&first, 'a'), 'y');
    assert_int_equal(attend(NOW), UDR_LEADING_NOT);
    end(&second);
    assert_int_equal(attend(NOW), UDR_LEADING_NOT);
    end(&first);
    assert_int_equal(attend(NOW), UDR_LEADING_ALWAYS);
    assert_int_equal(attend(NOW), UDR_LEADING_ALWAYS);
}

static void *lead_and_end(void *leader)
{
    (void)udr_leader_attend(leader, shared, NOW);
    return NULL;
}

/* A child that ends in order does so without a word, too. */
static void a_thread_that_ends_leads_no_more(void **state)
{
    pthread_t thread;
    udr_leader_t leader = {.leads = false};
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, lead_and_end, &leader), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(leader.leads);
    assert_int_equal(attend(NOW), UDR_LEADING_ALWAYS);
}

/* The parent reads a new configuration: who was forked before gives way. (The generation is not in the mapping: here
 * the children are the old ones.) */
static void a_former_generation_gives_way(void **state)
{
    (void)state;
    process_t former = start();
    assert_int_equal(ask(&former, 'a'), 'y');
    udr_shared_begin_generation(shared);
    assert_int_equal(ask(&former, 'a'), 'n');
    assert_int_equal(ask(&former, 'a'), 'n');
    assert_int_equal(attend(NOW), UDR_LEADING_ALWAYS);
    end(&former);
}

/* --- one that lives and does nothing --- */

static void somebody_leads_instead_of_one_that_is_silent(void **state)
{
    udr_leader_t third = {.leads = false};
    (void)state;
    process_t silent = start();
    assert_int_equal(ask(&silent, 'a'), 'y');
    assert_int_equal(attend(LATE - 1000), UDR_LEADING_NOT);
    assert_int_equal(ask(&silent, 'h'), 'y');
    assert_int_equal(attend(LATE), UDR_LEADING_INSTEAD);
    assert_int_equal(attend(LATE), UDR_LEADING_ALWAYS);
    assert_int_equal(udr_leader_attend(&third, shared, LATE), UDR_LEADING_NOT);
    /* It is heard of again: that it leads no more it knows before it asks. */
    assert_int_equal(ask(&silent, 'h'), 'n');
    assert_int_equal(ask(&silent, 'a'), 'n');
    assert_int_equal(ask(&silent, 'a'), 'n');
    /* It has given the mutex up, and to nobody else. */
    assert_int_equal(udr_leader_attend(&third, shared, LATE), UDR_LEADING_NOT);
    assert_false(self.has_mutex);
    assert_int_equal(attend(LATE), UDR_LEADING_ALWAYS);
    assert_true(self.has_mutex);
    end(&silent);
}

/* Or is killed: the mutex is for who leads, not for the first to ask. */
static void the_silent_one_may_die(void **state)
{
    udr_leader_t third = {.leads = false};
    (void)state;
    process_t silent = start();
    assert_int_equal(ask(&silent, 'a'), 'y');
    assert_int_equal(attend(LATE), UDR_LEADING_INSTEAD);
    end(&silent);
    assert_int_equal(udr_leader_attend(&third, shared, LATE), UDR_LEADING_NOT);
    assert_int_equal(attend(LATE), UDR_LEADING_ALWAYS);
    assert_true(self.has_mutex);
}

/* Its successor, too: one after the other. Who leaves is not waited for. */
static void who_leads_instead_may_fall_silent_and_may_leave(void **state)
{
    udr_leader_t third = {.leads = false};
    (void)state;
    process_t silent = start();
    assert_int_equal(ask(&silent, 'a'), 'y');
    assert_int_equal(attend(LATE), UDR_LEADING_INSTEAD);
    assert_int_equal(udr_leader_attend(&third, shared, LATE + UDR_LEADER_PATIENCE - 1000), UDR_LEADING_NOT);
    assert_int_equal(udr_leader_attend(&third, shared, LATE + UDR_LEADER_PATIENCE), UDR_LEADING_INSTEAD);
    assert_false(udr_leader_is_heard(&self, shared));
    assert_int_equal(attend(LATE + UDR_LEADER_PATIENCE), UDR_LEADING_NOT);
    udr_leader_leave(&third, shared);
    assert_int_equal(attend(LATE + UDR_LEADER_PATIENCE), UDR_LEADING_INSTEAD);
    end(&silent);
}

/* As late as it is, if nobody has taken its place it leads as before. */
static void one_that_nobody_missed_goes_on(void **state)
{
    (void)state;
    process_t other = start();
    assert_int_equal(attend(NOW), UDR_LEADING_ALWAYS);
    assert_int_equal(attend(LATE + UDR_LEADER_PATIENCE), UDR_LEADING_ALWAYS);
    assert_int_equal(ask(&other, 'a'), 'n');
    udr_leader_leave(&self, shared);
    assert_int_equal(ask(&other, 'a'), 'y');
    end(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_is_one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_thread_that_ends_leads_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_former_generation_gives_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(somebody_leads_instead_of_one_that_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_silent_one_may_die, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_leads_instead_may_fall_silent_and_may_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_nobody_missed_goes_on, set_up, tear_down),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
