/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More runs than any test needs: an exchange that is never at rest would keep a thread spinning. */
#define RUNS_MAX 20000

/* --- the scene --- */

static void count_wake(udr_waiter_t *waiter)
{
    scene_t *scene = waiter->baton;
    scene->wakes++;
}

static bool make_member(scene_t *scene)
{
    const udr_target_t *target = NULL;
    udr_settings_t settings;
    const char *text = apr_pstrcat(scene->pool, "unix:", scene->place.path, "|http://localhost/", NULL);
    if (udr_target_parse(&target, text, "/run", scene->pool)) {
        return false;
    }
    udr_settings_init(&settings);
    udr_settings_resolve(&settings, apr_time_from_sec(60), false);
    scene->member = udr_member_create(target, &settings, scene->pool);
    return udr_pool_create(&scene->member->pool, scene->member, 1, scene->child) == APR_SUCCESS;
}

int scene_set_up(void **state)
{
    scene_t *scene = calloc(1, sizeof *scene);
    *state = scene;
    if (!scene || apr_pool_create(&scene->pool, NULL) != APR_SUCCESS ||
        apr_pool_create(&scene->child, scene->pool) != APR_SUCCESS || !place_make(&scene->place, scene->pool) ||
        !make_member(scene)) {
        return -1;
    }
    place_listen(&scene->place, 5);
    /* Far off: where the exchange looks at the clock itself, a test would not go the same way twice otherwise. */
    scene->now = apr_time_from_sec(4000000000);
    client_init(&scene->client);
    scene->ops = fake_client_ops;
    scene->request =
        (udr_request_t){.method = "GET", .target = "/", .host = "h", .fields = apr_table_make(scene->pool, 4)};
    scene->plan = (udr_exchange_plan_t){
        .member = scene->member,
        .request = &scene->request,
        .ops = &scene->ops,
        .client = &scene->client,
        .wake = count_wake,
        .wake_baton = scene,
        .client_timeout = apr_time_from_sec(30),
        .pass_limit = 1 << 20,
    };
    return 0;
}

void scene_speak(scene_t *scene, const char *scheme)
{
    const udr_target_t *target = NULL;
    const char *text = apr_pstrcat(scene->pool, "unix:", scene->place.path, "|", scheme, "://localhost/", NULL);
    assert_null(udr_target_parse(&target, text, "/run", scene->pool));
    scene->member->target = target;
}

int scene_tear_down(void **state)
{
    scene_t *scene = *state;
    udr_pool_counts_t counts;
    scene_end(scene);
    udr_pool_count(scene->member->pool, &counts);
    apr_pool_destroy(scene->child);
    bool clean = counts.busy == 0 && counts.waiting == 0;
    if (!clean) {
        print_error("left behind: %d turns, %d waiters\n", counts.busy, counts.waiting);
    }
    clean = place_drop(&scene->place) && clean;
    apr_pool_destroy(scene->pool);
    free(scene);
    return clean ? 0 : -1;
}

void scene_end(scene_t *scene)
{
    if (scene->request_pool) {
        apr_pool_destroy(scene->request_pool);
    }
    scene->request_pool = NULL;
    scene->exchange = NULL;
    client_forget(&scene->client);
    client_drop_body(&scene->client);
}

void scene_begin(scene_t *scene)
{
    /* What the client sends has been said before. */
    piece_t *first = scene->client.first;
    scene->client.first = NULL;
    scene_end(scene);
    scene->client.first = first;
    assert_int_equal(apr_pool_create(&scene->request_pool, scene->pool), APR_SUCCESS);
    scene->exchange = udr_exchange_create(&scene->plan, NULL, scene->request_pool);
    assert_state(scene, UDR_EXCHANGE_START);
}

/* What a runner relies on. */
static void check_wait(const scene_t *scene)
{
    const udr_wait_t *wait = udr_exchange_wait(scene->exchange);
    udr_exchange_state_t state = udr_exchange_state(scene->exchange);
    assert_in_range(state, UDR_EXCHANGE_HOLD, UDR_EXCHANGE_TUNNEL);
    assert_true(wait->until > scene->now);
    assert_int_equal(wait->turn,
                     state == UDR_EXCHANGE_HOLD || state == UDR_EXCHANGE_QUEUE || state == UDR_EXCHANGE_TURN);
    assert_true(!wait->member || udr_exchange_fd(scene->exchange) >= 0);
    /* The bytes that it was given lie in memory that is about to go. */
    assert_int_equal(scene->client.unpushed_count, 0);
}

bool scene_run(scene_t *scene, unsigned int ready)
{
    apr_size_t size = scene->scratch_size ? scene->scratch_size : udr_exchange_scratch_size(scene->exchange);
    /* New each time, so that the address sanitizer sees who keeps it for longer than the run. */
    udr_scratch_t scratch = {malloc(size), size, scene->pipes};
    assert_non_null(scratch.ptr);
    bool waits = udr_exchange_run(scene->exchange, &scratch, ready, scene->now);
    memset(scratch.ptr, '#', size);
    free(scratch.ptr);
    if (waits) {
        check_wait(scene);
    } else {
        assert_int_equal(udr_exchange_fd(scene->exchange), -1);
        assert_int_equal(udr_exchange_times(scene->exchange)->ended, scene->now);
    }
    return waits;
}

/* What has come about of what is waited for, as a runner would tell it. */
static unsigned int news(const scene_t *scene)
{
    const udr_wait_t *wait = udr_exchange_wait(scene->exchange);
    const fake_client_t *client = &scene->client;
    unsigned int ready = client->is_gone ? UDR_READY_CLIENT_GONE : 0;
    struct pollfd member = {.fd = wait->member ? udr_exchange_fd(scene->exchange) : -1, .events = wait->member};
    if (poll(&member, 1, 0) == 1) {
        ready |= member.revents & (POLLIN | POLLHUP | POLLERR) ? UDR_READY_MEMBER_IN : 0;
        ready |= member.revents & (POLLOUT | POLLHUP | POLLERR) ? UDR_READY_MEMBER_OUT : 0;
    }
    if ((wait->client & POLLIN) && (client->first || client->behind != APR_EAGAIN)) {
        ready |= UDR_READY_CLIENT_IN;
    }
    if ((wait->client & POLLOUT) && client->is_writable) {
        ready |= UDR_READY_CLIENT_OUT;
    }
    return ready;
}

bool scene_settle(scene_t *scene)
{
    unsigned int ready = news(scene);
    for (int runs = 0; runs < RUNS_MAX; runs++) {
        if (!scene_run(scene, ready)) {
            return false;
        }
        ready = news(scene);
        if (!ready) {
            return true;
        }
    }
    fail_msg("after %d runs the exchange is not at rest", RUNS_MAX);
    return false;
}

bool scene_start(scene_t *scene)
{
    scene_begin(scene);
    return scene_settle(scene);
}

void scene_pass_time(scene_t *scene, apr_interval_time_t time)
{
    scene->now += time;
}

bool scene_wait(scene_t *scene, apr_interval_time_t time)
{
    apr_time_t end = scene->now + time;
    while (udr_exchange_wait(scene->exchange)->until <= end) {
        scene->now = udr_exchange_wait(scene->exchange)->until;
        if (!scene_run(scene, 0)) {
            return false;
        }
    }
    scene->now = end;
    return scene_run(scene, 0);
}

bool scene_wait_out(scene_t *scene)
{
    apr_time_t until = udr_exchange_wait(scene->exchange)->until;
    udr_exchange_state_t state = udr_exchange_state(scene->exchange);
    scene->now = until - 1;
    assert_true(scene_run(scene, 0));
    assert_state(scene, state);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, until);
    scene->now = until;
    return scene_run(scene, 0);
}

/* --- the member --- */

int member_accepts(const scene_t *scene)
{
    return place_accept(&scene->place);
}

apr_size_t member_swallows(int fd, text_t *into)
{
    char buffer[65536];
    apr_size_t total = 0;
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        total += (apr_size_t)n;
        if (into) {
            text_add(into, buffer, (apr_size_t)n);
        }
    }
    assert_true(total > 0);
    return total;
}

const char *member_reads(scene_t *scene, int fd)
{
    char buffer[4096];
    const char *text = "";
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        text = apr_pstrcat(scene->request_pool, text, apr_pstrmemdup(scene->request_pool, buffer, (apr_size_t)n), NULL);
    }
    return text;
}

void member_reads_and_closes(scene_t *scene, int fd)
{
    assert_true(strlen(member_reads(scene, fd)) > 0);
    close(fd);
}

void member_says_bytes(int fd, const char *bytes, apr_size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

void member_says(int fd, const char *text)
{
    member_says_bytes(fd, text, strlen(text));
}

int scene_start_and_read(scene_t *scene)
{
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_non_null(strstr(member_reads(scene, fd), "\r\n\r\n"));
    return fd;
}

int scene_start_post(scene_t *scene)
{
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    scene->client.behind = APR_EAGAIN;
    return scene_start_and_read(scene);
}

int scene_keep_connection(scene_t *scene)
{
    udr_request_t request = scene->request;
    piece_t *first = scene->client.first;
    scene->client.first = NULL;
    scene->request = (udr_request_t){.method = "GET", .target = "/before", .host = "h", .fields = request.fields};
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 1, 0);
    scene->request = request;
    scene->client.first = first;
    return fd;
}

void scene_hold_turn(scene_t *scene)
{
    udr_waiter_t holder = {.wake = NULL};
    scene->member->settings.max = 1;
    assert_int_equal(udr_pool_take(scene->member->pool, &holder), APR_SUCCESS);
    scene->held++;
}

void scene_give_turn(scene_t *scene)
{
    udr_pool_give(scene->member->pool, NULL, 0);
    scene->held--;
}

int scene_count_waiting(const scene_t *scene)
{
    udr_pool_counts_t counts;
    scene_count(scene, &counts);
    return counts.waiting;
}

void scene_fill_backlog(scene_t *scene)
{
    place_listen(&scene->place, 0);
    place_crowd_backlog(&scene->place);
}

void scene_count(const scene_t *scene, udr_pool_counts_t *counts)
{
    udr_pool_count(scene->member->pool, counts);
}

/* --- claims --- */

__attribute__((format(printf, 3, 4), noreturn)) static void fail_at(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprint_error(format, arguments);
    va_end(arguments);
    _fail(file, line);
    abort();
}

static const char *name_of(udr_exchange_state_t state)
{
    return udr_exchange_state_name(state);
}

void check_state(const scene_t *scene, udr_exchange_state_t state, const char *file, int line)
{
    udr_exchange_state_t is = udr_exchange_state(scene->exchange);
    const udr_failure_t *failure = udr_exchange_failure(scene->exchange);
    if (is != state) {
        fail_at(file, line, "state %s, not %s (failure %d: %s)\n", name_of(is), name_of(state), (int)failure->kind,
                failure->why ? failure->why : "-");
    }
    /* Whoever has ended keeps nothing, and only who has failed says why; or a member has, and another is looked for. */
    if (is >= UDR_EXCHANGE_SEND || !scene->plan.picker) {
        assert_int_equal(failure->kind != UDR_FAILURE_NONE, is == UDR_EXCHANGE_FAILED);
    }
}

void check_waits(const scene_t *scene, udr_exchange_state_t state, short member, short client, const char *file,
                 int line)
{
    const udr_wait_t *wait = udr_exchange_wait(scene->exchange);
    check_state(scene, state, file, line);
    if (wait->member != member || wait->client != client) {
        fail_at(file, line, "waits for member %d, client %d, not for %d, %d\n", wait->member, wait->client, member,
                client);
    }
}

void check_failed(const scene_t *scene, udr_failure_kind_t kind, udr_exchange_state_t state, const char *file, int line)
{
    const udr_failure_t *failure = udr_exchange_failure(scene->exchange);
    check_state(scene, UDR_EXCHANGE_FAILED, file, line);
    if (failure->kind != kind || failure->state != state) {
        fail_at(file, line, "failure %d in %s (%s), not %d in %s\n", (int)failure->kind, name_of(failure->state),
                failure->why ? failure->why : "-", (int)kind, name_of(state));
    }
    /* A connection on which something went wrong serves nobody else. */
    check_counts(scene, -1, scene->held, file, line);
}

void check_why(const scene_t *scene, const char *why, apr_status_t error, const char *file, int line)
{
    const udr_failure_t *failure = udr_exchange_failure(scene->exchange);
    const char *is = failure->why ? failure->why : "(null)";
    if (strcmp(is, why ? why : "(null)") != 0 || failure->error != error) {
        fail_at(file, line, "'%s', %d, not '%s', %d\n", is, failure->error, why ? why : "(null)", error);
    }
}

void check_text(const text_t *text, const char *expected, const char *file, int line)
{
    const char *is = text->ptr ? text->ptr : "";
    if (strcmp(is, expected) != 0) {
        fail_at(file, line, "'%s', not\n'%s'\n", is, expected);
    }
}

void check_counts(const scene_t *scene, int idle, int busy, const char *file, int line)
{
    udr_pool_counts_t counts;
    udr_pool_count(scene->member->pool, &counts);
    if ((idle >= 0 && counts.idle != idle) || counts.busy != busy) {
        fail_at(file, line, "%d idle, %d busy, not %d, %d\n", counts.idle, counts.busy, idle, busy);
    }
}
