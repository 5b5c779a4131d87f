/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_clock.h"
#include "tests/unit/fixture_checker.h"

#include <apr_strings.h>

#include <unistd.h>

enum { SLOTS = 64, ROWS = 2, TICKETS = 2 };

apr_pool_t *pool;
place_t place;
udr_loop_t *loop;
udr_shared_t *shared;
udr_balancer_t *balancer;
udr_checker_t *checker;
udr_news_t news[8];
int news_count;
bool another_leads;

static apr_pool_t *child;

static bool accepts(const udr_member_t *member, const udr_answer_t *answer, const char **why, apr_pool_t *p)
{
    (void)member;
    (void)answer;
    (void)why;
    (void)p;
    return true;
}

static bool leads(void)
{
    return !another_leads;
}

static void hear(const udr_news_t *what)
{
    assert_true(news_count < 8);
    news[news_count] = *what;
    news[news_count++].why = what->why ? apr_pstrdup(pool, what->why) : NULL;
}

int checker_set_up(void **state)
{
    static const udr_source_t source = {.directive = "UDSMember", .file = "x", .line = 1};
    (void)state;
    news_count = 0;
    another_leads = false;
    checker = NULL;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || !place_make(&place, pool) ||
        apr_pool_create(&child, pool) != APR_SUCCESS || udr_loop_create(&loop, child) != APR_SUCCESS ||
        udr_shared_create(&shared, SLOTS, ROWS, TICKETS, pool) != APR_SUCCESS) {
        return -1;
    }
    (void)udr_shared_begin_generation(shared);
    balancer = udr_balancer_create("app", &source, pool);
    return 0;
}

int checker_tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(child);
    let_go();
    place.descriptors += ROWS; /* their eventfds go with the pool */
    bool dropped = place_drop(&place);
    apr_pool_destroy(pool);
    return dropped ? 0 : -1;
}

void checker_start(void)
{
    static const udr_checker_client_t client = {.accepts = accepts, .news = hear, .leads = leads};
    assert_int_equal(udr_checker_create(&checker, shared, loop, &client, child), APR_SUCCESS);
    assert_int_equal(udr_checker_add(checker, balancer), APR_SUCCESS);
    udr_checker_start(checker);
}

void let_go(void)
{
    while (place.listener >= 0 && place_is_wanted(&place)) {
        close(place_accept(&place));
    }
}

static void stop_running(udr_timer_t *timer)
{
    (void)timer;
    udr_loop_stop(loop);
}

void run_loop_for(int ms)
{
    udr_timer_t timer = {.expired = stop_running};
    udr_loop_set_timer(loop, &timer, udr_clock_now() + apr_time_from_msec(ms));
    udr_loop_run(loop);
}

void run_for(int ms)
{
    run_loop_for(ms);
    let_go();
}
