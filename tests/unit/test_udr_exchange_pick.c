/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges of a balancer: another member, waiting for one that has gone, waiting under `maxconn`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_balancer.h"
#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS(n)  apr_time_from_msec(n)
#define SEC(n) apr_time_from_sec(n)

#define OK_CLOSE "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"

/* The first member's socket is the scene's. The second is of a later set: asked when the first can't take a request. */
static place_t other;
static udr_pick_t holders[WAITING_MAX + 2]; /* of the test itself, in the second child */
static int turns_told;
static int picked;

/* The client takes no more than that of what is spliced to it. */
static int client_fd;
static apr_size_t client_takes;

ssize_t __real_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags);
ssize_t __wrap_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags);

ssize_t __wrap_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags)
{
    if (to != client_fd) {
        return __real_splice(from, from_at, to, to_at, len, flags);
    }
    if (client_takes == 0) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t n = __real_splice(from, from_at, to, to_at, client_takes < len ? client_takes : len, flags);
    client_takes -= n > 0 ? (apr_size_t)n : 0;
    return n;
}

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
    if (fd != client_fd) {
        return __real_getsockopt(fd, level, option, value, len);
    }
    strcpy(value, "cubic");
    return 0;
}

static int set_up(void **state)
{
    turns_told = 0;
    picked = 0;
    client_fd = -1;
    memset(holders, 0, sizeof holders);
    return balancer_set_up(state) == 0 && place_make(&other, pool) ? scene_set_up(state) : -1;
}

static int tear_down(void **state)
{
    place_abandon(&other);
    bool is_clean = scene_tear_down(state) == 0;
    is_clean = place_drop(&other) && is_clean;
    return balancer_tear_down(state) == 0 && is_clean ? 0 : -1;
}

static void count_turn(udr_queue_waiter_t *waiter)
{
    (void)waiter;
    turns_told++;
}

static void note_picked(void *client, udr_member_t *member)
{
    (void)client;
    picked = picked % 100000 * 10 + (member == APR_ARRAY_IDX(balancer->members, 0, udr_member_t *) ? 1 : 2);
}

static scene_t *finish(scene_t *scene)
{
    balancer_open();
    /* Those of the children's queues, which end after the places. */
    scene->place.descriptors += CHILDREN;
    other.descriptors += CHILDREN;
    for (int i = 0; i < balancer->members->nelts; i++) {
        udr_member_t *member = APR_ARRAY_IDX(balancer->members, i, udr_member_t *);
        assert_int_equal(udr_pool_create(&member->pool, member, 1, scene->child), APR_SUCCESS);
    }
    scene->member = APR_ARRAY_IDX(balancer->members, 0, udr_member_t *);
    scene->ops.picked = note_picked;
    scene->plan.member = NULL;
    scene->plan.picker = children[0].picker;
    scene->plan.wake_queued = count_turn;
    return scene;
}

static scene_t *open_one(void **state, const char *parameters)
{
    scene_t *scene = *state;
    (void)balancer_has(scene->place.path, parameters);
    return finish(scene);
}

static scene_t *open_two(void **state, const char *first, const char *second)
{
    scene_t *scene = *state;
    (void)balancer_has(scene->place.path, first);
    (void)balancer_has(other.path, apr_pstrcat(pool, second, " lbset=1", NULL));
    place_listen(&other, 5);
    return finish(scene);
}

/* The member at fd answers, and all is over. */
static void is_answered(scene_t *scene, int fd)
{
    assert_non_null(strstr(member_reads(scene, fd), "\r\n\r\n"));
    member_says(fd, OK_CLOSE);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_text(&scene->client.body, "hello");
    close(fd);
}

static void serve_one(scene_t *scene)
{
    assert_true(scene_start(scene));
    is_answered(scene, member_accepts(scene));
}

static void assert_at_rest(void)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        assert_line(i, 0, 0);
    }
}

/* Another request, in the other child, is in flight on the member, or waits there. */
static udr_picked_t take(int holder)
{
    apr_time_t until;
    udr_pick_begin(&holders[holder], children[1].picker, &(udr_occasion_t){.key = NULL}, NULL, NULL, pool);
    return udr_pick_next(&holders[holder], udr_clock_now(), &until);
}

/* --- one member after another --- */

static void counts_a_request(void **state)
{
    scene_t *scene = open_two(state, "", "");
    assert_true(scene_start(scene));
    assert_line(0, 1, 0);
    assert_int_equal(picked, 1);
    assert_ptr_equal(udr_exchange_member(scene->exchange), scene->member);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
    is_answered(scene, member_accepts(scene));
    assert_at_rest();
    assert_int_equal(atomic_load(&hot_of(0)->elected), 1);
    assert_int_equal(atomic_load(&hot_of(1)->elected), 0);
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[2]), 1);
    assert_int_equal(atomic_load(&slot_of(0)->failed), 0);
    assert_int_equal(atomic_load(&slot_of(0)->seen_up), 1);
    assert_true(atomic_load(&hot_of(0)->traffic) >= 5);
}

static void learns_latency_from_whole_responses_only(void **state)
{
    scene_t *scene = open_two(state, "", "");
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_non_null(strstr(member_reads(scene, fd), "\r\n\r\n"));
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    assert_true(scene_settle(scene));
    assert_true(udr_exchange_head_passed(scene->exchange));
    udr_exchange_cancel(scene->exchange);
    close(fd);
    assert_int_equal(atomic_load(&hot_of(0)->latency), 0);
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[2]), 1);
    assert_true(scene_start(scene));
    fd = member_accepts(scene);
    assert_true(scene_wait(scene, MS(500)));
    is_answered(scene, fd);
    assert_in_range(atomic_load(&hot_of(0)->latency), MS(500), SEC(60));
}

static void tries_another_after_a_refusal(void **state)
{
    scene_t *scene = open_two(state, "", "");
    place_abandon(&scene->place);
    scene->request.method = "POST"; /* which no member has seen yet */
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(picked, 12);
    assert_line(0, 0, 0);
    assert_line(1, 1, 0);
    assert_int_equal(went_out, 1);
    assert_int_equal(udr_exchange_attempts(scene->exchange), 2);
    is_answered(scene, place_accept(&other));
    assert_at_rest();
    assert_int_equal(udr_exchange_failure(scene->exchange)->kind, UDR_FAILURE_NONE);
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[2]), 0);
    assert_int_equal(atomic_load(&slot_of(1)->requests_by_class[2]), 1);
    /* The next one knows. */
    assert_true(scene_start(scene));
    assert_int_equal(picked, 122);
    is_answered(scene, place_accept(&other));
}

static void fails_when_all_refuse(void **state)
{
    scene_t *scene = open_two(state, "", "");
    place_abandon(&scene->place);
    place_abandon(&other);
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_int_equal(picked, 12);
    assert_int_equal(went_out, 2);
    assert_at_rest();
}

static void sends_a_get_again_to_another(void **state)
{
    scene_t *scene = open_two(state, "", "");
    int fd = scene_start_and_read(scene);
    close(fd);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_int_equal(picked, 12);
    is_answered(scene, place_accept(&other));
    assert_at_rest();
}

static void never_sends_a_post_twice(void **state)
{
    scene_t *scene = open_two(state, "", "");
    scene->request.method = "POST";
    int fd = scene_start_and_read(scene);
    close(fd);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
    assert_false(place_is_wanted(&other));
    assert_int_equal(picked, 1);
    assert_int_equal(went_out, 1);
    assert_at_rest();
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[0]), 1);
}

static void sends_nothing_twice_once_the_response_has_begun(void **state)
{
    scene_t *scene = open_two(state, "", "");
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 2");
    close(fd);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
    assert_false(place_is_wanted(&other));
    assert_at_rest();
}

/* Pooled, closed; new, refused: only then another member. */
static void tries_another_when_the_pool_was_stale(void **state)
{
    scene_t *scene = open_two(state, "", "");
    int fd = scene_keep_connection(scene);
    assert_true(scene_start(scene));
    assert_false(place_is_wanted(&scene->place));
    place_abandon(&scene->place);
    member_reads_and_closes(scene, fd);
    assert_true(scene_settle(scene));
    assert_int_equal(picked, 112);
    assert_line(0, 0, 0);
    is_answered(scene, place_accept(&other));
    assert_at_rest();
}

static void tries_another_when_there_is_no_turn(void **state)
{
    scene_t *scene = open_two(state, "acquire=100", "");
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_TURN);
    assert_true(scene_wait_out(scene));
    assert_int_equal(picked, 12);
    assert_int_equal(went_out, 0);
    is_answered(scene, place_accept(&other));
    scene_give_turn(scene);
    assert_at_rest();
}

static void waits_once_for_a_turn_of_the_only_member(void **state)
{
    scene_t *scene = open_one(state, "acquire=100");
    scene_hold_turn(scene);
    assert_true(scene_start(scene));
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_TURN, UDR_EXCHANGE_TURN);
    scene_give_turn(scene);
    assert_at_rest();
}

static void puts_out_for_a_status(void **state)
{
    balancer_says("failonstatus=503");
    scene_t *scene = open_two(state, "", "");
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n");
    assert_false(scene_settle(scene));
    assert_done(scene);
    close(fd);
    assert_int_equal(scene->client.head.status, 503);
    assert_int_equal(went_out, 1);
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[5]), 1);
    assert_at_rest();
}

/* The only member, which is out because of a request that it has not answered, and is asked again. */
static int ask_who_is_out(void **state, const char *answer)
{
    scene_t *scene = open_one(state, "retry=0 hold=0");
    scene->request.method = "POST";
    close(scene_start_and_read(scene));
    assert_false(scene_settle(scene));
    assert_int_equal(went_out, 1);
    int fd = scene_start_and_read(scene);
    assert_int_equal(came_back, 0);
    scene->now += MS(5);
    member_says(fd, answer);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_RELAY);
    return fd;
}

#define ENDLESS "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

static void brings_back_who_begins_an_answer(void **state)
{
    int fd = ask_who_is_out(state, "HTTP/1.1 200 OK" ENDLESS);
    assert_int_equal(came_back, 1);
    member_says(fd, "0\r\n\r\n");
    assert_false(scene_settle(*state));
    assert_done(*state);
    close(fd);
    assert_int_equal(came_back, 1);
    assert_int_equal(went_out, 1);
    assert_at_rest();
}

/* It is no failure of before it came back. */
static void puts_out_who_breaks_off_what_has_brought_it_back(void **state)
{
    int fd = ask_who_is_out(state, "HTTP/1.1 200 OK" ENDLESS);
    close(fd);
    assert_false(scene_settle(*state));
    assert_int_equal(came_back, 1);
    assert_int_equal(went_out, 2);
    assert_int_equal(udr_verdict_cause(atomic_load(&slot_of(0)->cause)), UDR_CAUSE_BROKEN_OFF);
    assert_at_rest();
}

static void does_not_bring_back_for_a_bad_status(void **state)
{
    balancer_says("failonstatus=500");
    int fd = ask_who_is_out(state, "HTTP/1.1 500 Internal Server Error" ENDLESS);
    member_says(fd, "0\r\n\r\n");
    assert_false(scene_settle(*state));
    close(fd);
    assert_int_equal(came_back, 0);
    assert_at_rest();
}

static void silence_puts_out_only_with_failontimeout(void **state)
{
    scene_t *scene = open_one(state, "timeout=5");
    for (int fails = 0; fails < 2; fails++) {
        balancer->settings.fail_on_timeout = fails;
        int fd = scene_start_and_read(scene);
        assert_false(scene_wait(scene, SEC(6)));
        assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_HEAD);
        assert_int_equal(went_out, fails);
        assert_at_rest();
        close(fd);
    }
}

static void a_client_that_goes_is_no_failure(void **state)
{
    scene_t *scene = open_two(state, "", "");
    int fd = scene_start_and_read(scene);
    assert_false(scene_run(scene, UDR_READY_CLIENT_GONE));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_HEAD);
    assert_at_rest();
    assert_int_equal(went_out, 0);
    assert_int_equal(atomic_load(&slot_of(0)->failed), 0);
    close(fd);
}

static void nobody_can_take_it(void **state)
{
    scene_t *scene = open_two(state, "", "");
    balancer_flags(0, UDR_SLOT_DISABLED);
    balancer_flags(1, UDR_SLOT_STOPPED);
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_NOBODY, UDR_EXCHANGE_START);
    assert_null(udr_exchange_member(scene->exchange));
    assert_int_equal(picked, 0);
}

/* --- hold --- */

/* A request that waits for the only member. */
static scene_t *hold_one(void **state, const char *parameters)
{
    scene_t *scene = open_one(state, parameters);
    serve_one(scene);
    place_abandon(&scene->place);
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_HOLD);
    assert_in_range(udr_exchange_wait(scene->exchange)->until, scene->now + 1, scene->now + MS(10));
    assert_at_rest();
    return scene;
}

static void holds_until_it_listens_again(void **state)
{
    scene_t *scene = hold_one(state, "");
    assert_true(scene_wait(scene, MS(1500)));
    assert_state(scene, UDR_EXCHANGE_HOLD);
    assert_at_rest();
    place_listen(&scene->place, 5);
    assert_true(scene_wait(scene, MS(10)));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_line(0, 1, 0);
    assert_int_equal(went_out, 1);
    assert_int_equal(came_back, 1);
    is_answered(scene, member_accepts(scene));
    assert_int_equal(atomic_load(&slot_of(0)->held), 1);
    assert_at_rest();
}

static void asks_when_it_is_woken(void **state)
{
    scene_t *scene = hold_one(state, "");
    assert_true(udr_exchange_wait(scene->exchange)->turn);
    assert_true(scene_run(scene, 0));
    assert_state(scene, UDR_EXCHANGE_HOLD);
    place_listen(&scene->place, 5);
    (void)udr_verdict_file_appeared(slot_of(0), scene->now);
    udr_shared_bump_epoch(shared);
    udr_picker_wake_held(children[0].picker);
    assert_int_equal(turns_told, 1);
    assert_true(scene_run(scene, 0)); /* no time has passed */
    assert_state(scene, UDR_EXCHANGE_HEAD);
    is_answered(scene, member_accepts(scene));
    assert_at_rest();
}

static void holds_a_get_that_was_cut_off(void **state)
{
    scene_t *scene = open_one(state, "");
    serve_one(scene);
    int fd = scene_start_and_read(scene);
    place_abandon(&scene->place);
    close(fd);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HOLD);
    place_listen(&scene->place, 5);
    assert_true(scene_wait(scene, MS(20)));
    is_answered(scene, member_accepts(scene));
    assert_at_rest();
}

/* A request that members die of is not to go through all of them. */
static void a_request_is_cut_off_three_times_at_most(void **state)
{
    scene_t *scene = open_one(state, "");
    serve_one(scene);
    bool goes_on = scene_start(scene);
    int attempts = 0;
    for (; goes_on && attempts < 9; attempts++) {
        member_reads_and_closes(scene, member_accepts(scene));
        goes_on = scene_settle(scene) && scene_wait(scene, MS(20));
    }
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
    assert_int_equal(attempts, 3);
    assert_at_rest();
}

static void gives_up_when_it_stays_away(void **state)
{
    scene_t *scene = hold_one(state, "hold=1");
    apr_time_t gone_at = scene->now;
    assert_false(scene_wait(scene, SEC(3)));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_in_range(scene->now, gone_at + SEC(1), gone_at + SEC(1) + MS(20));
    assert_at_rest();
    /* From now on nobody waits. */
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
}

/* What went wrong with the last member says more than that there is none left. */
static void tells_the_last_failure(void **state)
{
    balancer_says("forcerecovery=Off");
    scene_t *scene = hold_one(state, "hold=1 retry=10");
    assert_false(scene_wait(scene, SEC(3)));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_NOBODY, UDR_EXCHANGE_START);
    assert_at_rest();
}

/* Others get through now and then, this one never does: its time is counted from its first failure. */
static void does_not_hold_again_and_again(void **state)
{
    scene_t *scene = hold_one(state, "hold=1");
    apr_time_t begun = scene->now;
    while (scene_wait(scene, MS(10)) && scene->now - begun < SEC(3)) {
        const udr_report_t made = {.outcome = UDR_OUTCOME_CONNECTED, .begun = scene->now};
        (void)udr_verdict_report(slot_of(0), &made, SEC(1), scene->now);
        udr_shared_bump_epoch(shared);
    }
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_in_range(scene->now, begun + SEC(1) - MS(20), begun + SEC(1) + MS(20));
    assert_at_rest();
}

/* It is back, and full: that is not waited for under `hold`. */
static void holding_does_not_lengthen_the_queue(void **state)
{
    scene_t *scene = hold_one(state, "maxconn=1 queue=500ms");
    place_listen(&scene->place, 5);
    assert_int_equal(take(0), UDR_PICKED_MEMBER);
    assert_true(scene_wait(scene, MS(10)));
    assert_state(scene, UDR_EXCHANGE_QUEUE);
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_QUEUE, UDR_EXCHANGE_QUEUE);
    udr_pick_leave(&holders[0]);
    assert_at_rest();
}

static void does_not_hold_for_who_never_worked(void **state)
{
    scene_t *scene = open_one(state, "");
    place_abandon(&scene->place);
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_CONNECT, UDR_EXCHANGE_CONNECT);
    assert_at_rest();
}

static void leaves_nothing_when_it_ends_in_hold(void **state)
{
    scene_t *scene = hold_one(state, "");
    scene_end(scene);
    assert_at_rest();
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_HOLD);
    assert_false(scene_run(scene, UDR_READY_CLIENT_GONE));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_HOLD);
    assert_true(scene_start(scene));
    udr_exchange_stop(scene->exchange);
    assert_failed(scene, UDR_FAILURE_STOPPED, UDR_EXCHANGE_HOLD);
    assert_at_rest();
}

/* A backlog that is full all the time: the member is there, and waited for once. */
static void a_full_backlog_is_not_held(void **state)
{
    scene_t *scene = open_one(state, "connectiontimeout=1");
    serve_one(scene);
    scene_fill_backlog(scene);
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_CONNECT);
    apr_time_t begun = scene->now;
    assert_false(scene_wait(scene, SEC(5)));
    assert_failed(scene, UDR_FAILURE_CONNECT_TIMEOUT, UDR_EXCHANGE_CONNECT);
    assert_in_range(scene->now, begun + SEC(1), begun + SEC(1) + MS(100));
    assert_int_equal(went_out, 0);
    assert_at_rest();
    place_disperse(&scene->place);
}

/* --- queue --- */

static scene_t *queue_one(void **state, const char *parameters)
{
    scene_t *scene = open_one(state, parameters);
    assert_int_equal(take(0), UDR_PICKED_MEMBER);
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_QUEUE);
    assert_true(udr_exchange_wait(scene->exchange)->turn);
    assert_line(0, 1, 1);
    assert_false(place_is_wanted(&scene->place));
    return scene;
}

static void gets_its_turn(void **state)
{
    scene_t *scene = queue_one(state, "maxconn=1");
    assert_true(scene_run(scene, 0));
    assert_state(scene, UDR_EXCHANGE_QUEUE);
    udr_pick_leave(&holders[0]);
    assert_int_equal(udr_queue_wake(children[0].queue), 1);
    assert_int_equal(turns_told, 1);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_line(0, 1, 0);
    is_answered(scene, member_accepts(scene));
    assert_at_rest();
}

/* What it has waited is not the member's time. */
static void waiting_in_the_queue_is_no_latency(void **state)
{
    scene_t *scene = queue_one(state, "maxconn=1 queue=1min");
    assert_true(scene_wait(scene, SEC(40)));
    udr_pick_leave(&holders[0]);
    assert_int_equal(udr_queue_wake(children[0].queue), 1);
    assert_true(scene_settle(scene));
    is_answered(scene, member_accepts(scene));
    assert_in_range(atomic_load(&hot_of(0)->latency), 1, SEC(30));
}

static void count_elsewhere(udr_queue_waiter_t *waiter)
{
    int *count = waiter->baton;
    (*count)++;
}

static void wakes_its_new_runner(void **state)
{
    scene_t *scene = queue_one(state, "maxconn=1");
    int told = 0;
    udr_exchange_move(scene->exchange, NULL, count_elsewhere, &told, 0);
    udr_pick_leave(&holders[0]);
    assert_int_equal(udr_queue_wake(children[0].queue), 1);
    assert_int_equal(turns_told, 0);
    assert_int_equal(told, 1);
    assert_true(scene_settle(scene));
    is_answered(scene, member_accepts(scene));
}

static void gives_up_after_queue(void **state)
{
    scene_t *scene = queue_one(state, "maxconn=1 queue=1");
    apr_time_t begun = scene->now;
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_QUEUE, UDR_EXCHANGE_QUEUE);
    assert_int_equal(udr_exchange_failure(scene->exchange)->error, APR_SUCCESS);
    assert_int_equal(scene->now, begun + SEC(1));
    assert_line(0, 1, 0);
    assert_int_equal(went_out, 0);
    udr_pick_leave(&holders[0]);
    assert_at_rest();
}

static void tries_another_after_queue(void **state)
{
    scene_t *scene = open_two(state, "maxconn=1 queue=1", "");
    assert_int_equal(take(0), UDR_PICKED_MEMBER);
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_QUEUE);
    assert_true(scene_wait_out(scene));
    assert_int_equal(picked, 12);
    assert_line(0, 1, 0);
    is_answered(scene, place_accept(&other));
    udr_pick_leave(&holders[0]);
    assert_at_rest();
}

/* The second holder comes from the first member, whose queue it leaves. */
static void take_both(void)
{
    apr_time_t until;
    assert_int_equal(take(0), UDR_PICKED_MEMBER);
    assert_int_equal(take(1), UDR_PICKED_TURN);
    assert_int_equal(udr_pick_next(&holders[1], udr_clock_now(), &until), UDR_PICKED_MEMBER);
    assert_line(0, 1, 0);
    assert_line(1, 1, 0);
}

/* Two members are no reason to wait twice as long. One that has room is still asked. */
static void waits_no_longer_where_there_are_more(void **state)
{
    scene_t *scene = open_two(state, "maxconn=1 queue=3", "maxconn=1 queue=3");
    take_both();
    assert_true(scene_start(scene));
    assert_state(scene, UDR_EXCHANGE_QUEUE);
    apr_time_t begun = scene->now;
    while (scene_wait_out(scene)) {
    }
    assert_failed(scene, UDR_FAILURE_QUEUE, UDR_EXCHANGE_QUEUE);
    assert_int_equal(scene->now, begun + SEC(3));
    assert_int_equal(picked, 12);
    udr_pick_leave(&holders[0]);
    udr_pick_leave(&holders[1]);
    assert_at_rest();
}

/* Its turn came in time, and the member went: the rest of its time it waits at another. */
static void waits_for_the_rest_of_its_time_elsewhere(void **state)
{
    scene_t *scene = open_two(state, "maxconn=1 queue=3", "maxconn=1 queue=3");
    take_both();
    assert_true(scene_start(scene));
    assert_true(scene_wait(scene, SEC(2)));
    assert_state(scene, UDR_EXCHANGE_QUEUE);
    udr_pick_leave(&holders[0]);
    assert_int_equal(udr_queue_wake(children[0].queue), 1);
    assert_true(scene_settle(scene));
    scene_pass_time(scene, SEC(5)); /* in flight, which is no waiting */
    member_reads_and_closes(scene, member_accepts(scene));
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_QUEUE);
    apr_time_t begun = scene->now;
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_QUEUE, UDR_EXCHANGE_QUEUE);
    assert_int_equal(scene->now, begun + SEC(1));
    udr_pick_leave(&holders[1]);
    assert_at_rest();
}

static void does_not_wait_without_queue(void **state)
{
    scene_t *scene = open_one(state, "maxconn=1 queue=0");
    assert_int_equal(take(0), UDR_PICKED_MEMBER);
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_QUEUE, UDR_EXCHANGE_QUEUE);
    assert_line(0, 1, 0);
    udr_pick_leave(&holders[0]);
}

static void fill_the_queue(scene_t *scene)
{
    scene->plan.picker = children[1].picker;
    assert_int_equal(take(0), UDR_PICKED_MEMBER);
    for (int i = 1; i <= WAITING_MAX; i++) {
        assert_int_equal(take(i), UDR_PICKED_TURN);
    }
}

static void leave_the_queue(void)
{
    for (int i = WAITING_MAX; i >= 0; i--) {
        udr_pick_leave(&holders[i]);
    }
    assert_at_rest();
}

static void fails_without_a_place_to_wait(void **state)
{
    scene_t *scene = open_one(state, "maxconn=1");
    fill_the_queue(scene);
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_QUEUE, UDR_EXCHANGE_START);
    assert_int_equal(udr_exchange_failure(scene->exchange)->error, APR_ENOSPC);
    leave_the_queue();
}

static void tries_another_without_a_place_to_wait(void **state)
{
    scene_t *scene = open_two(state, "maxconn=1", "");
    fill_the_queue(scene);
    assert_true(scene_start(scene));
    assert_int_equal(picked, 12);
    is_answered(scene, place_accept(&other));
    leave_the_queue();
}

static apr_status_t bypass(void *client, int *fd)
{
    (void)client;
    *fd = client_fd;
    return APR_SUCCESS;
}

static void bypassed(void *client, apr_size_t len)
{
    (void)client;
    (void)len;
}

/* A client that does not read the end of its response keeps nobody's turn: the member is through with it. */
static void a_slow_client_keeps_no_turn(void **state)
{
    static const char bytes[140000];
    scene_t *scene = open_one(state, "maxconn=1");
    udr_pipes_t pipes = {.count = 0};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    client_fd = ends[0];
    scene->ops.bypass = bypass;
    scene->ops.bypassed = bypassed;
    scene->pipes = &pipes;
    scene->client.is_writable = false;
    scene->scratch_size = 4096;
    int fd = scene_start_and_read(scene);
    assert_int_equal(take(0), UDR_PICKED_TURN);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 140000\r\n\r\n");
    member_says_bytes(fd, bytes, 1000);
    assert_true(scene_settle(scene));
    client_takes = 133000; /* more than is moved at first: the rest fills the pipe anew */
    member_says_bytes(fd, bytes, 139000);
    for (int runs = 0; udr_exchange_fd(scene->exchange) >= 0; runs++) {
        static char read_bytes[200000];
        assert_in_range(runs, 0, 100);
        (void)read(ends[1], read_bytes, sizeof read_bytes);
        assert_true(scene_run(scene, UDR_READY_CLIENT_OUT | UDR_READY_MEMBER_IN));
    }
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_true(udr_pick_has_turn(&holders[0]));
    assert_line(0, 1, 0);
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[2]), 1);
    assert_int_equal(atomic_load(&slot_of(0)->bytes_in), 140000);
    assert_false(scene_run(scene, UDR_READY_CLIENT_GONE));
    assert_int_equal(atomic_load(&slot_of(0)->requests_by_class[2]), 1);
    assert_int_equal(atomic_load(&slot_of(0)->failed), 0);
    udr_pick_leave(&holders[0]);
    assert_at_rest();
    udr_pipes_close(&pipes);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

static void leaves_nothing_when_it_ends_in_the_queue(void **state)
{
    scene_t *scene = queue_one(state, "maxconn=1");
    scene_end(scene);
    assert_line(0, 1, 0);
    assert_true(scene_start(scene));
    assert_false(scene_run(scene, UDR_READY_CLIENT_GONE));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_QUEUE);
    assert_line(0, 1, 0);
    /* A turn that has come for who goes is the next one's. */
    assert_true(scene_start(scene));
    assert_int_equal(take(1), UDR_PICKED_TURN);
    udr_pick_leave(&holders[0]);
    udr_exchange_cancel(scene->exchange);
    assert_true(udr_pick_has_turn(&holders[1]));
    assert_line(0, 1, 0);
    udr_pick_leave(&holders[1]);
    assert_at_rest();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counts_a_request),
        TEST(learns_latency_from_whole_responses_only),
        TEST(tries_another_after_a_refusal),
        TEST(fails_when_all_refuse),
        TEST(sends_a_get_again_to_another),
        TEST(never_sends_a_post_twice),
        TEST(sends_nothing_twice_once_the_response_has_begun),
        TEST(tries_another_when_the_pool_was_stale),
        TEST(tries_another_when_there_is_no_turn),
        TEST(waits_once_for_a_turn_of_the_only_member),
        TEST(puts_out_for_a_status),
        TEST(brings_back_who_begins_an_answer),
        TEST(puts_out_who_breaks_off_what_has_brought_it_back),
        TEST(does_not_bring_back_for_a_bad_status),
        TEST(silence_puts_out_only_with_failontimeout),
        TEST(a_client_that_goes_is_no_failure),
        TEST(nobody_can_take_it),
        TEST(holds_until_it_listens_again),
        TEST(asks_when_it_is_woken),
        TEST(holds_a_get_that_was_cut_off),
        TEST(a_request_is_cut_off_three_times_at_most),
        TEST(gives_up_when_it_stays_away),
        TEST(tells_the_last_failure),
        TEST(does_not_hold_again_and_again),
        TEST(holding_does_not_lengthen_the_queue),
        TEST(does_not_hold_for_who_never_worked),
        TEST(leaves_nothing_when_it_ends_in_hold),
        TEST(a_full_backlog_is_not_held),
        TEST(gets_its_turn),
        TEST(waiting_in_the_queue_is_no_latency),
        TEST(wakes_its_new_runner),
        TEST(gives_up_after_queue),
        TEST(tries_another_after_queue),
        TEST(waits_no_longer_where_there_are_more),
        TEST(waits_for_the_rest_of_its_time_elsewhere),
        TEST(does_not_wait_without_queue),
        TEST(fails_without_a_place_to_wait),
        TEST(tries_another_without_a_place_to_wait),
        TEST(a_slow_client_keeps_no_turn),
        TEST(leaves_nothing_when_it_ends_in_the_queue),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_pick", tests, NULL, NULL);
}
