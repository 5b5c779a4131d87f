/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More runs than any test needs: an exchange that is never at rest would keep a thread spinning. */
#define RUNS_MAX 20000

/* --- bytes --- */

void text_add(text_t *text, const char *bytes, apr_size_t len)
{
    if (text->len + len + 1 > text->size) {
        text->size = 2 * (text->len + len + 1);
        text->ptr = realloc(text->ptr, text->size);
        assert_non_null(text->ptr);
    }
    if (len) {
        memcpy(text->ptr + text->len, bytes, len);
    }
    text->len += len;
    text->ptr[text->len] = '\0';
}

void text_clear(text_t *text)
{
    free(text->ptr);
    *text = (text_t){NULL, 0, 0};
}

/* --- the client: what it is asked --- */

static void tell(fake_client_t *client, const char *word)
{
    if (client->story.len) {
        text_add(&client->story, " ", 1);
    }
    text_add(&client->story, word, strlen(word));
}

static void tell_number(fake_client_t *client, const char *word, apr_size_t number)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%s:%lu", word, (unsigned long)number);
    tell(client, text);
}

static void note_fields(text_t *text, udr_slice_t section)
{
    udr_field_t field;
    while (udr_http1_field_next(&section, &field)) {
        text_add(text, field.name.ptr, field.name.len);
        text_add(text, ": ", 2);
        text_add(text, field.value.ptr, field.value.len);
        text_add(text, "\n", 1);
    }
}

static apr_status_t body_peek(void *baton, udr_slice_t *data)
{
    fake_client_t *client = baton;
    client->peeks++;
    if (!client->first) {
        return client->behind;
    }
    *data = (udr_slice_t){client->first->bytes, client->first->len};
    return APR_SUCCESS;
}

/* What is consumed is gone: who still uses it is found by the address sanitizer. */
static void body_consume(void *baton, apr_size_t len)
{
    fake_client_t *client = baton;
    piece_t *piece = client->first;
    assert_non_null(piece);
    assert_in_range(len, 1, piece->len);
    client->consumed += len;
    client->first = piece->next;
    if (len < piece->len) {
        piece_t *rest = malloc(sizeof *rest + piece->len - len);
        assert_non_null(rest);
        rest->next = piece->next;
        rest->len = piece->len - len;
        memcpy(rest->bytes, piece->bytes + len, rest->len);
        client->first = rest;
    }
    free(piece);
}

static const apr_table_t *body_trailers(void *baton)
{
    const fake_client_t *client = baton;
    assert_null(client->first);
    assert_int_equal(client->behind, APR_EOF);
    return client->body_trailers;
}

static apr_status_t body_invite(void *baton)
{
    fake_client_t *client = baton;
    tell(client, "invite");
    return client->answer.invite;
}

/* --- the client: what it gets --- */

static apr_status_t take_interim(void *baton, const udr_http1_head_t *head)
{
    fake_client_t *client = baton;
    tell_number(client, "interim", (apr_size_t)head->status);
    note_fields(&client->interim_fields, head->fields);
    return client->answer.interim;
}

static apr_status_t take_head(void *baton, const udr_http1_head_t *head, bool *wanted)
{
    fake_client_t *client = baton;
    assert_true(*wanted);
    tell_number(client, "head", (apr_size_t)head->status);
    client->head = *head;
    note_fields(&client->fields, head->fields);
    *wanted = client->wants_body;
    return client->answer.head;
}

/* The bytes stay where they are until the next push or end: only then are they looked at. */
static apr_status_t take_data(void *baton, udr_slice_t data)
{
    fake_client_t *client = baton;
    assert_true(data.len > 0);
    assert_in_range(client->unpushed_count, 0, UNPUSHED_MAX - 1);
    tell_number(client, "data", data.len);
    client->unpushed[client->unpushed_count++] = data;
    if (client->largest < data.len) {
        client->largest = data.len;
    }
    return client->answer.data;
}

static void look_at_data(fake_client_t *client)
{
    for (int i = 0; i < client->unpushed_count; i++) {
        text_add(&client->body, client->unpushed[i].ptr, client->unpushed[i].len);
    }
    client->unpushed_count = 0;
}

static apr_status_t take_push(void *baton, bool flush)
{
    fake_client_t *client = baton;
    tell(client, flush ? "flush" : "push");
    look_at_data(client);
    return client->answer.push;
}

static apr_status_t take_drain(void *baton)
{
    fake_client_t *client = baton;
    tell(client, "drain");
    return client->answer.drain;
}

static apr_status_t take_end(void *baton, udr_slice_t trailers)
{
    fake_client_t *client = baton;
    tell(client, "end");
    look_at_data(client);
    note_fields(&client->trailers, trailers);
    return client->answer.end;
}

static const udr_client_ops_t fake_ops = {
    .body_peek = body_peek,
    .body_consume = body_consume,
    .body_trailers = body_trailers,
    .body_invite = body_invite,
    .interim = take_interim,
    .head = take_head,
    .data = take_data,
    .push = take_push,
    .drain = take_drain,
    .end = take_end,
};

/* --- the client: what it does --- */

void client_sends_bytes(scene_t *scene, const char *bytes, apr_size_t len)
{
    piece_t **link = &scene->client.first;
    piece_t *piece = malloc(sizeof *piece + len);
    assert_non_null(piece);
    piece->next = NULL;
    piece->len = len;
    memcpy(piece->bytes, bytes, len);
    while (*link) {
        link = &(*link)->next;
    }
    *link = piece;
}

void client_sends(scene_t *scene, const char *text)
{
    client_sends_bytes(scene, text, strlen(text));
}

static void forget_what_it_got(fake_client_t *client)
{
    text_clear(&client->story);
    text_clear(&client->fields);
    text_clear(&client->interim_fields);
    text_clear(&client->body);
    text_clear(&client->trailers);
    memset(&client->head, 0, sizeof client->head);
    client->largest = 0;
    client->unpushed_count = 0;
    client->peeks = 0;
    client->consumed = 0;
}

static void drop_pieces(fake_client_t *client)
{
    while (client->first) {
        piece_t *next = client->first->next;
        free(client->first);
        client->first = next;
    }
}

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
    udr_settings_resolve(&settings, apr_time_from_sec(60));
    scene->member = udr_member_create(target, &settings, scene->pool);
    return udr_pool_create(&scene->member->pool, scene->member, scene->child) == APR_SUCCESS;
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
    scene->client.wants_body = true;
    scene->client.is_writable = true;
    scene->client.behind = APR_EOF;
    scene->ops = fake_ops;
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
    forget_what_it_got(&scene->client);
    drop_pieces(&scene->client);
}

void scene_begin(scene_t *scene)
{
    /* What the client sends has been said before. */
    piece_t *first = scene->client.first;
    scene->client.first = NULL;
    scene_end(scene);
    scene->client.first = first;
    assert_int_equal(apr_pool_create(&scene->request_pool, scene->pool), APR_SUCCESS);
    scene->exchange = udr_exchange_create(&scene->plan, scene->request_pool);
    assert_state(scene, UDR_EXCHANGE_START);
}

/* What a runner relies on. */
static void check_wait(const scene_t *scene)
{
    const udr_wait_t *wait = udr_exchange_wait(scene->exchange);
    udr_exchange_state_t state = udr_exchange_state(scene->exchange);
    assert_in_range(state, UDR_EXCHANGE_TURN, UDR_EXCHANGE_RELAY);
    assert_true(wait->until > scene->now);
    assert_int_equal(wait->turn, state == UDR_EXCHANGE_TURN);
    assert_true(!wait->member || udr_exchange_fd(scene->exchange) >= 0);
    /* The bytes that it was given lie in memory that is about to go. */
    assert_int_equal(scene->client.unpushed_count, 0);
}

bool scene_run(scene_t *scene, unsigned int ready)
{
    apr_size_t size = scene->scratch_size ? scene->scratch_size : udr_exchange_scratch_size(scene->exchange);
    /* New each time, so that the address sanitizer sees who keeps it for longer than the run. */
    udr_scratch_t scratch = {malloc(size), size};
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
    /* Whoever has ended keeps nothing, and only who has failed says why. */
    assert_int_equal(failure->kind != UDR_FAILURE_NONE, is == UDR_EXCHANGE_FAILED);
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
    check_counts(scene, -1, 0, file, line);
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
