/* SPDX-License-Identifier: Apache-2.0 */
/* What comes of an upgrade that the member accepts (101): bytes of another protocol, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define SWITCH_WITH(fields) "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" fields "\r\n"
#define SWITCH              SWITCH_WITH("Upgrade: websocket\r\n")

/* A request that offers a protocol is sent; returns the member's end. The client says nothing yet. */
static int offer(scene_t *scene, const char *upgrade)
{
    scene->request.upgrade = upgrade;
    scene->client.behind = APR_EAGAIN;
    return scene_start_and_read(scene);
}

static int open_tunnel(scene_t *scene)
{
    int fd = offer(scene, "websocket");
    member_says(fd, SWITCH);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN, POLLIN);
    assert_story(scene, "upgrade:101");
    return fd;
}

static void client_ends(scene_t *scene)
{
    scene->client.behind = APR_EOF;
}

static void member_ends(int fd)
{
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
}

/* Whether the member has been told that no more comes. Nothing else is left to read. */
static bool member_sees_end(int fd)
{
    char byte;
    ssize_t n = read(fd, &byte, 1);
    assert_true(n == 0 || (n == -1 && errno == EAGAIN));
    return n == 0;
}

#define assert_moved(scene, sent, received) check_moved(scene, sent, received, __LINE__)

static void check_moved(const scene_t *scene, apr_uint64_t sent, apr_uint64_t received, int line)
{
    apr_uint64_t is_sent, is_received;
    assert_true(udr_exchange_is_tunnel(scene->exchange, &is_sent, &is_received));
    if (is_sent != sent || is_received != received) {
        fail_msg("line %d: %lu sent and %lu received, not %lu and %lu", line, (unsigned long)is_sent,
                 (unsigned long)is_received, (unsigned long)sent, (unsigned long)received);
    }
}

/* Ends a tunnel from both sides. */
static void close_tunnel(scene_t *scene, int fd)
{
    client_ends(scene);
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 0, 0);
}

/* --- the switch --- */

static void switches_to_what_was_offered(void **state)
{
    static const struct {
        const char *offered;
        const char *answer;
        const char *fields; /* as the client gets them */
    } rows[] = {
        {"websocket", SWITCH, "Connection: Upgrade\nUpgrade: websocket\n"},
        {"WebSocket", SWITCH, "Connection: Upgrade\nUpgrade: websocket\n"},
        {"h2c, websocket", SWITCH_WITH("upgrade: WEBSOCKET\r\n"), "Connection: Upgrade\nupgrade: WEBSOCKET\n"},
        {"websocket,other/2", SWITCH_WITH("A: b\r\nUpgrade:other/2 \r\n"),
         "Connection: Upgrade\nA: b\nUpgrade: other/2\n"},
        {"a, b, c", SWITCH_WITH("Upgrade: c, a\r\n"), "Connection: Upgrade\nUpgrade: c, a\n"},
        {"a, b", SWITCH_WITH("Upgrade: a\r\nUpgrade: b\r\n"), "Connection: Upgrade\nUpgrade: a\nUpgrade: b\n"},
        {"websocket", "HTTP/1.1 103 Early Hints\r\n\r\n" SWITCH, "Connection: Upgrade\nUpgrade: websocket\n"},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = offer(scene, rows[i].offered);
        assert_false(udr_exchange_head_passed(scene->exchange));
        member_says(fd, rows[i].answer);
        assert_true(scene_settle(scene));
        assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN, POLLIN);
        assert_text(&scene->client.fields, rows[i].fields);
        assert_int_equal(scene->client.head.status, 101);
        assert_true(udr_exchange_head_passed(scene->exchange));
        assert_int_equal(udr_exchange_times(scene->exchange)->first_byte, scene->now);
        assert_moved(scene, 0, 0);
        close_tunnel(scene, fd);
    }
}

/* RFC 9110, 7.8. */
static void refuses_a_switch_that_was_not_asked_for(void **state)
{
    static const struct {
        const char *offered;
        const char *answer;
        const char *why;
    } rows[] = {
        {NULL, SWITCH, "101 Switching Protocols, which was not asked for"},
        {"websocket", SWITCH_WITH(""), "101 Switching Protocols without an Upgrade field"},
        {"websocket", SWITCH_WITH("Upgrade: h2c\r\n"), "101 Switching Protocols to a protocol that was not offered"},
        {"websocket", SWITCH_WITH("Upgrade: web\r\n"), "101 Switching Protocols to a protocol that was not offered"},
        {"websocket", SWITCH_WITH("Upgrade: websockets\r\n"),
         "101 Switching Protocols to a protocol that was not offered"},
        {"websocket", SWITCH_WITH("Upgrade: \r\n"), "101 Switching Protocols to a protocol that was not offered"},
        {"websocket", SWITCH_WITH("Upgrades: websocket\r\n"), "101 Switching Protocols without an Upgrade field"},
        {"websocket", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
         "101 Switching Protocols without Connection: Upgrade"},
        {"websocket", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrades\r\n\r\n",
         "101 Switching Protocols without Connection: Upgrade"},
        {"a, b", SWITCH_WITH("Upgrade: a, c\r\n"), "101 Switching Protocols to a protocol that was not offered"},
        {"a, b", SWITCH_WITH("Upgrade: a\r\nUpgrade: c\r\n"),
         "101 Switching Protocols to a protocol that was not offered"},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        apr_uint64_t sent, received;
        int fd = offer(scene, rows[i].offered);
        member_says(fd, rows[i].answer);
        member_says(fd, "bytes");
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
        assert_why(scene, rows[i].why, APR_SUCCESS);
        assert_story(scene, "");
        assert_false(udr_exchange_head_passed(scene->exchange));
        assert_false(udr_exchange_is_tunnel(scene->exchange, &sent, &received));
        assert_counts(scene, 0, 0);
        close(fd);
    }
}

/* What the client sends would be body and other protocol in one. */
static void refuses_a_switch_before_the_request_is_complete(void **state)
{
    scene_t *scene = *state;
    for (int awaits_continue = 0; awaits_continue < 2; awaits_continue++) {
        scene->request.upgrade = "websocket";
        scene->request.expect_continue = awaits_continue != 0;
        int fd = scene_start_post(scene);
        assert_state(scene, UDR_EXCHANGE_SEND);
        member_says(fd, SWITCH);
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_SEND);
        assert_why(scene, "101 Switching Protocols before the request was complete", APR_SUCCESS);
        assert_story(scene, "");
        close(fd);
    }
}

static void switches_behind_a_body(void **state)
{
    scene_t *scene = *state;
    scene->request.upgrade = "websocket";
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_LENGTH;
    scene->request.length = 4;
    scene->client.behind = APR_EAGAIN;
    client_sends(&scene->client, "body");
    client_sends(&scene->client, "early");
    int fd = scene_start_and_read(scene);
    assert_state(scene, UDR_EXCHANGE_HEAD);
    assert_true(udr_exchange_body_taken(scene->exchange));
    member_says(fd, SWITCH);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_TUNNEL);
    assert_string_equal(member_reads(scene, fd), "early");
    assert_moved(scene, 5, 0);
    close_tunnel(scene, fd);
}

/* The member may decline: then it is a response like any. */
static void relays_an_answer_that_is_no_switch(void **state)
{
    scene_t *scene = *state;
    apr_uint64_t sent, received;
    int fd = offer(scene, "websocket");
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "head:200 data:2 end");
    assert_false(udr_exchange_is_tunnel(scene->exchange, &sent, &received));
    assert_counts(scene, 1, 0);
    close(fd);
}

static void passes_on_what_comes_behind_the_head(void **state)
{
    static const char answer[] = SWITCH "hello";
    scene_t *scene = *state;
    for (size_t cut = 0; cut < sizeof answer; cut++) {
        int fd = offer(scene, "websocket");
        if (cut > 0) {
            member_says_bytes(fd, answer, cut);
            assert_true(scene_settle(scene));
        }
        if (cut < sizeof answer - 1) {
            member_says(fd, answer + cut);
        }
        assert_true(scene_settle(scene));
        assert_state(scene, UDR_EXCHANGE_TUNNEL);
        assert_text(&scene->client.body, "hello");
        assert_moved(scene, 0, 5);
        if (cut == 0) {
            assert_story(scene, "upgrade:101 data:5 flush");
        }
        close_tunnel(scene, fd);
    }
}

/* --- both ways --- */

static void moves_bytes_both_ways(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    client_sends(&scene->client, "ping");
    assert_true(scene_settle(scene));
    assert_string_equal(member_reads(scene, fd), "ping");
    member_says(fd, "pong!");
    assert_true(scene_settle(scene));
    assert_story(scene, "upgrade:101 data:5 flush");
    assert_moved(scene, 4, 5);
    /* At once, whoever speaks first; and what looks like HTTP is none. */
    client_sends(&scene->client, "GET / ");
    client_sends(&scene->client, "HTTP/1.1\r\n\r\n");
    member_says(fd, "HTTP/1.1 200 OK\r\n\r\n");
    assert_true(scene_settle(scene));
    assert_string_equal(member_reads(scene, fd), "GET / HTTP/1.1\r\n\r\n");
    assert_text(&scene->client.body, "pong!HTTP/1.1 200 OK\r\n\r\n");
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN, POLLIN);
    assert_moved(scene, 22, 24);
    close_tunnel(scene, fd);
    assert_text(&scene->client.trailers, "");
}

static void gives_the_client_no_more_at_once_than_it_may(void **state)
{
    scene_t *scene = *state;
    char *bytes = malloc(10000);
    assert_non_null(bytes);
    memset(bytes, 'x', 10000);
    scene->plan.pass_limit = 3000;
    int fd = open_tunnel(scene);
    member_says_bytes(fd, bytes, 10000);
    assert_true(scene_settle(scene));
    assert_story(scene, "upgrade:101 data:3000 flush data:3000 flush data:3000 flush data:1000 flush");
    free(bytes);
    close_tunnel(scene, fd);
}

static void uses_a_pooled_connection_and_does_not_give_it_back(void **state)
{
    scene_t *scene = *state;
    int fd = scene_keep_connection(scene);
    scene->request.upgrade = "websocket";
    scene->client.behind = APR_EAGAIN;
    assert_true(scene_start(scene));
    (void)member_reads(scene, fd);
    member_says(fd, SWITCH);
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_TUNNEL);
    close_tunnel(scene, fd);
}

static void keeps_its_turn_to_the_end(void **state)
{
    scene_t *scene = *state;
    udr_waiter_t waiter = {.wake = NULL};
    scene->member->settings.max = 1;
    int fd = open_tunnel(scene);
    assert_counts(scene, 0, 1);
    assert_int_equal(udr_pool_take(scene->member->pool, &waiter), APR_EAGAIN);
    client_ends(scene);
    assert_true(scene_settle(scene));
    assert_int_equal(udr_pool_take(scene->member->pool, &waiter), APR_EAGAIN);
    close(fd);
    assert_false(scene_settle(scene));
    assert_int_equal(udr_pool_take(scene->member->pool, &waiter), APR_SUCCESS);
    udr_pool_give(scene->member->pool, NULL, 0);
}

/* Each would be a system call for nothing. */
static void asks_the_client_only_when_it_has_said_something(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    int peeks = scene->client.peeks;
    for (int i = 0; i < 3; i++) {
        scene_pass_time(scene, apr_time_from_sec(5));
        member_says(fd, "x");
        assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    }
    assert_int_equal(scene->client.peeks, peeks);
    client_sends(&scene->client, "y");
    assert_true(scene_run(scene, UDR_READY_CLIENT_IN));
    assert_int_equal(scene->client.peeks, peeks + 2);
    assert_string_equal(member_reads(scene, fd), "y");
    close_tunnel(scene, fd);
}

/* --- half of it ends --- */

static void goes_on_when_the_client_sends_no_more(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    assert_false(udr_exchange_body_taken(scene->exchange));
    client_sends(&scene->client, "last words");
    client_ends(scene);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN, 0);
    assert_true(udr_exchange_body_taken(scene->exchange));
    assert_string_equal(member_reads(scene, fd), "last words");
    assert_true(member_sees_end(fd));
    member_says(fd, "and mine");
    assert_true(scene_settle(scene));
    assert_text(&scene->client.body, "and mine");
    member_ends(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "upgrade:101 data:8 flush shut");
    assert_moved(scene, 10, 8);
    assert_counts(scene, 0, 0);
    close(fd);
}

static void goes_on_when_the_member_sends_no_more(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    member_says(fd, "last words");
    member_ends(fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN);
    assert_story(scene, "upgrade:101 data:10 flush shut");
    client_sends(&scene->client, "and mine");
    assert_true(scene_settle(scene));
    assert_string_equal(member_reads(scene, fd), "and mine");
    assert_false(member_sees_end(fd));
    client_ends(scene);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_true(member_sees_end(fd));
    assert_story(scene, "upgrade:101 data:10 flush shut");
    assert_moved(scene, 8, 10);
    assert_counts(scene, 0, 0);
    close(fd);
}

/* Nobody is left to whom the client could send: its turn is free, whatever the client does. */
static void ends_when_the_member_closes(void **state)
{
    scene_t *scene = *state;
    for (int sends_more = 0; sends_more < 2; sends_more++) {
        int fd = open_tunnel(scene);
        member_says(fd, "last words");
        close(fd);
        if (sends_more) {
            /* Whoever has this to tell may have nothing to tell of the member any more. */
            client_sends(&scene->client, "for nobody");
            assert_false(scene_run(scene, UDR_READY_CLIENT_IN));
        } else {
            assert_false(scene_run(scene, UDR_READY_MEMBER_IN | UDR_READY_MEMBER_ENDED));
        }
        assert_done(scene);
        assert_story(scene, "upgrade:101 data:10 flush shut");
        assert_text(&scene->client.body, "last words");
        assert_moved(scene, 0, 10);
        assert_counts(scene, 0, 0);
        client_drop_body(&scene->client);
    }
}

static void ends_when_the_member_closes_after_its_half(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    member_ends(fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN);
    close(fd);
    client_sends(&scene->client, "for nobody");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "upgrade:101 shut");
    client_drop_body(&scene->client);
}

/* It has more to say, though it does not want to hear more. */
static void goes_on_when_the_member_takes_no_more(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    assert_int_equal(shutdown(fd, SHUT_RD), 0);
    client_sends(&scene->client, "for nobody");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN, 0);
    member_says(fd, "one");
    assert_true(scene_settle(scene));
    member_says(fd, "two");
    assert_true(scene_settle(scene));
    assert_text(&scene->client.body, "onetwo");
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    client_drop_body(&scene->client);
}

/* A client that is full gets all of it first. */
static void reads_all_from_a_member_that_has_closed(void **state)
{
    scene_t *scene = *state;
    scene->scratch_size = 4096;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = open_tunnel(scene);
    for (int i = 0; i < 10; i++) {
        char bytes[1000];
        memset(bytes, 'a' + i, sizeof bytes);
        member_says_bytes(fd, bytes, sizeof bytes);
    }
    close(fd);
    client_sends(&scene->client, "for nobody");
    assert_true(scene_run(scene, UDR_READY_CLIENT_IN | UDR_READY_MEMBER_IN | UDR_READY_MEMBER_ENDED));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLOUT);
    scene->client.answer.push = APR_SUCCESS;
    scene->client.is_writable = true;
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_moved(scene, 0, 10000);
    client_drop_body(&scene->client);
}

/* An edge-triggered loop hears of the end once: all that is before it is read in that run. */
static void reads_on_to_the_end_that_is_known_to_be_there(void **state)
{
    scene_t *scene = *state;
    scene->scratch_size = 4096;
    int fd = open_tunnel(scene);
    for (int i = 0; i < 100; i++) {
        member_says(fd, "0123456789");
    }
    member_ends(fd);
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN | UDR_READY_MEMBER_ENDED));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN);
    assert_moved(scene, 0, 1000);
    close_tunnel(scene, fd);
}

/* What the client's side says to the end of what the member sends. */
static void tells_the_client_of_the_end(void **state)
{
    static const struct {
        apr_status_t answer;
        udr_exchange_state_t state;
        udr_failure_kind_t kind;
    } rows[] = {
        {APR_EOF, UDR_EXCHANGE_DONE, UDR_FAILURE_NONE}, /* it can't be told without closing */
        {APR_ECONNABORTED, UDR_EXCHANGE_FAILED, UDR_FAILURE_CLIENT_GONE},
        {APR_EGENERAL, UDR_EXCHANGE_FAILED, UDR_FAILURE_CLIENT_FILTER},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = open_tunnel(scene);
        scene->client.answer.shut = rows[i].answer;
        member_says(fd, "x");
        member_ends(fd);
        assert_false(scene_settle(scene));
        assert_state(scene, rows[i].state);
        assert_int_equal(udr_exchange_failure(scene->exchange)->kind, rows[i].kind);
        assert_story(scene, "upgrade:101 data:1 flush shut");
        assert_counts(scene, 0, 0);
        close(fd);
    }
}

static void waits_for_a_client_that_is_full_when_it_is_told_of_the_end(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    scene->client.answer.shut = APR_EAGAIN;
    scene->client.is_writable = false;
    member_ends(fd);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN | POLLOUT);
    scene->client.is_writable = true;
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN);
    assert_story(scene, "upgrade:101 shut drain");
    close_tunnel(scene, fd);
}

/* --- one side takes no more for now --- */

enum { LARGE = 2 << 20 };

/* Bytes that show where one is missing. */
static char *large_text(void)
{
    char *bytes = malloc(LARGE);
    assert_non_null(bytes);
    for (int i = 0; i < LARGE; i++) {
        bytes[i] = (char)('a' + (i / 7 + i / 1000) % 26);
    }
    return bytes;
}

static void waits_for_a_member_that_is_full(void **state)
{
    scene_t *scene = *state;
    text_t got = {NULL, 0, 0};
    char *bytes = large_text();
    int fd = open_tunnel(scene);
    client_sends_bytes(&scene->client, bytes, LARGE / 2);
    client_sends_bytes(&scene->client, bytes + LARGE / 2, LARGE / 2);
    client_ends(scene);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN | POLLOUT, 0);
    assert_in_range(scene->client.consumed, 1, LARGE - 1);
    assert_false(udr_exchange_body_taken(scene->exchange));
    /* The other direction goes on. */
    member_says(fd, "hello");
    assert_true(scene_settle(scene));
    assert_text(&scene->client.body, "hello");
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN | POLLOUT, 0);
    while (scene->client.consumed < LARGE) {
        (void)member_swallows(fd, &got);
        assert_true(scene_settle(scene));
    }
    (void)member_swallows(fd, &got);
    assert_int_equal(got.len, LARGE);
    assert_memory_equal(got.ptr, bytes, LARGE);
    assert_true(member_sees_end(fd));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN, 0);
    assert_moved(scene, LARGE, 5);
    text_clear(&got);
    free(bytes);
    close_tunnel(scene, fd);
}

static void waits_for_a_client_that_is_full(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    member_says(fd, "one");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN | POLLOUT);
    member_says(fd, "two");
    member_ends(fd);
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN | UDR_READY_MEMBER_ENDED));
    assert_story(scene, "upgrade:101 data:3 flush");
    /* The other direction goes on. */
    client_sends(&scene->client, "up");
    assert_true(scene_settle(scene));
    assert_string_equal(member_reads(scene, fd), "up");
    /* Not for all that is pending: it has to wait on. */
    scene->client.is_writable = true;
    scene->client.answer.drain = APR_EAGAIN;
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN | POLLOUT);
    scene->client.answer.drain = APR_SUCCESS;
    scene->client.answer.push = APR_SUCCESS;
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN);
    assert_story(scene, "upgrade:101 data:3 flush drain drain data:3 flush shut");
    close_tunnel(scene, fd);
}

/* As soon as the head has been passed on. */
static void waits_for_a_client_that_is_full_at_the_switch(void **state)
{
    scene_t *scene = *state;
    int fd = offer(scene, "websocket");
    scene->client.answer.upgrade = APR_EAGAIN;
    scene->client.is_writable = false;
    member_says(fd, SWITCH);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, 0, POLLIN | POLLOUT);
    member_says(fd, "hello");
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_story(scene, "upgrade:101");
    scene->client.is_writable = true;
    assert_true(scene_settle(scene));
    assert_story(scene, "upgrade:101 drain data:5 flush");
    close_tunnel(scene, fd);
}

/* --- silence --- */

static void ends_after_silence(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.timeout = apr_time_from_sec(20);
    int fd = open_tunnel(scene);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_sec(20));
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_TUNNEL_IDLE, UDR_EXCHANGE_TUNNEL);
    assert_why(scene, NULL, APR_SUCCESS);
    close(fd);
}

static void let_member_speak(scene_t *scene, int fd)
{
    (void)scene;
    member_says(fd, "x");
}

static void let_client_speak(scene_t *scene, int fd)
{
    (void)fd;
    client_sends(&scene->client, "x");
}

static void counts_silence_from_the_last_byte_either_way(void **state)
{
    static void (*const ways[])(scene_t * scene, int fd) = {let_member_speak, let_client_speak};
    scene_t *scene = *state;
    scene->member->settings.timeout = apr_time_from_sec(20);
    for (size_t i = 0; i < COUNT(ways); i++) {
        int fd = open_tunnel(scene);
        for (int times = 0; times < 3; times++) {
            scene_pass_time(scene, apr_time_from_sec(19));
            ways[i](scene, fd);
            assert_true(scene_settle(scene));
            assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_sec(20));
        }
        assert_false(scene_wait_out(scene));
        assert_failed(scene, UDR_FAILURE_TUNNEL_IDLE, UDR_EXCHANGE_TUNNEL);
        close(fd);
    }
}

/* Neither a side that takes no more nor one that has ended keeps it open for good. */
static void fill_member(scene_t *scene, int fd)
{
    char *bytes = large_text();
    (void)fd;
    client_sends_bytes(&scene->client, bytes, LARGE);
    free(bytes);
}

static void fill_client(scene_t *scene, int fd)
{
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    member_says(fd, "x");
}

static void end_client(scene_t *scene, int fd)
{
    (void)fd;
    client_ends(scene);
}

static void end_member(scene_t *scene, int fd)
{
    (void)scene;
    member_ends(fd);
}

static void ends_after_silence_whatever_it_waits_for(void **state)
{
    static void (*const ways[])(scene_t * scene, int fd) = {fill_member, fill_client, end_client, end_member};
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        scene->client.answer.push = APR_SUCCESS;
        int fd = open_tunnel(scene);
        ways[i](scene, fd);
        assert_true(scene_settle(scene));
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.timeout);
        assert_false(scene_wait_out(scene));
        assert_failed(scene, UDR_FAILURE_TUNNEL_IDLE, UDR_EXCHANGE_TUNNEL);
        client_drop_body(&scene->client);
        close(fd);
    }
}

static const scene_t *clocked;
static apr_interval_time_t time_in_filters; /* within the run */

static apr_time_t read_clock(void)
{
    return clocked->now + time_in_filters;
}

/* An output filter that takes its time. */
static apr_status_t push_slowly(void *client, bool flush)
{
    (void)flush;
    ((fake_client_t *)client)->unpushed_count = 0;
    time_in_filters += apr_time_from_sec(100);
    return APR_SUCCESS;
}

/* For so long nobody could have said anything. */
static void counts_no_time_in_filters_as_silence(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.timeout = apr_time_from_sec(20);
    clocked = scene;
    time_in_filters = 0;
    scene->plan.clock = read_clock;
    int fd = open_tunnel(scene);
    scene->ops.push = push_slowly;
    member_says(fd, "x");
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_int_equal(time_in_filters, apr_time_from_sec(100));
    scene_pass_time(scene, time_in_filters);
    time_in_filters = 0;
    assert_true(scene_run(scene, 0));
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_sec(20));
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_TUNNEL_IDLE, UDR_EXCHANGE_TUNNEL);
    close(fd);
}

/* --- what goes wrong --- */

/* Bytes that the member has not read make a reset of its end. */
static int reset_by_member(scene_t *scene, int fd)
{
    client_sends(&scene->client, "x");
    assert_true(scene_settle(scene));
    close(fd);
    return -1;
}

static int reset_by_member_while_the_client_sends(scene_t *scene, int fd)
{
    fd = reset_by_member(scene, fd);
    client_sends(&scene->client, "more");
    return fd;
}

static int break_off_by_client(scene_t *scene, int fd)
{
    scene->client.behind = APR_EGENERAL;
    return fd;
}

static int go_away(scene_t *scene, int fd)
{
    scene->client.is_gone = true;
    return fd;
}

static int refuse_data_gone(scene_t *scene, int fd)
{
    scene->client.answer.data = APR_ECONNABORTED;
    member_says(fd, "x");
    return fd;
}

static int refuse_data(scene_t *scene, int fd)
{
    scene->client.answer.data = APR_EGENERAL;
    member_says(fd, "x");
    return fd;
}

static int refuse_push(scene_t *scene, int fd)
{
    scene->client.answer.push = APR_ECONNABORTED;
    member_says(fd, "x");
    return fd;
}

static int refuse_drain(scene_t *scene, int fd)
{
    fill_client(scene, fd);
    assert_true(scene_settle(scene));
    scene->client.answer.drain = APR_EGENERAL;
    scene->client.is_writable = true;
    return fd;
}

static void fails_when_a_side_fails(void **state)
{
    static const struct {
        int (*happens)(scene_t *scene, int fd);
        udr_failure_kind_t kind;
        apr_status_t error;
    } rows[] = {
        {reset_by_member, UDR_FAILURE_CLOSED, ECONNRESET},
        {reset_by_member_while_the_client_sends, UDR_FAILURE_CLOSED, ECONNRESET},
        {break_off_by_client, UDR_FAILURE_CLIENT_GONE, APR_EGENERAL},
        {go_away, UDR_FAILURE_CLIENT_GONE, APR_SUCCESS},
        {refuse_data_gone, UDR_FAILURE_CLIENT_GONE, APR_ECONNABORTED},
        {refuse_data, UDR_FAILURE_CLIENT_FILTER, APR_EGENERAL},
        {refuse_push, UDR_FAILURE_CLIENT_GONE, APR_ECONNABORTED},
        {refuse_drain, UDR_FAILURE_CLIENT_GONE, APR_SUCCESS},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_client_t *client = &scene->client;
        memset(&client->answer, 0, sizeof client->answer);
        client->is_gone = false;
        client->is_writable = true;
        /* On a connection that has served before: not even then is it tried again. */
        int fd = scene_keep_connection(scene);
        scene->request.upgrade = "websocket";
        client->behind = APR_EAGAIN;
        assert_true(scene_start(scene));
        (void)member_reads(scene, fd);
        member_says(fd, SWITCH);
        assert_true(scene_settle(scene));
        assert_state(scene, UDR_EXCHANGE_TUNNEL);
        fd = rows[i].happens(scene, fd);
        assert_false(scene_settle(scene));
        assert_failed(scene, rows[i].kind, UDR_EXCHANGE_TUNNEL);
        assert_why(scene, NULL, rows[i].error);
        assert_int_equal(udr_exchange_attempts(scene->exchange), 1);
        assert_true(udr_exchange_head_passed(scene->exchange));
        assert_counts(scene, 0, 0);
        client_drop_body(client);
        if (fd >= 0) {
            assert_int_equal(read(fd, &(char){0}, 1), 0);
            close(fd);
        }
        scene->request.upgrade = NULL;
        client->behind = APR_EOF;
    }
}

static void fails_when_the_client_does_not_take_the_head(void **state)
{
    static const struct {
        apr_status_t answer;
        udr_failure_kind_t kind;
    } rows[] = {{APR_ECONNABORTED, UDR_FAILURE_CLIENT_GONE}, {APR_EGENERAL, UDR_FAILURE_CLIENT_FILTER}};
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = offer(scene, "websocket");
        scene->client.answer.upgrade = rows[i].answer;
        member_says(fd, SWITCH "hello");
        assert_false(scene_settle(scene));
        assert_failed(scene, rows[i].kind, UDR_EXCHANGE_TUNNEL);
        assert_story(scene, "upgrade:101");
        close(fd);
    }
}

static void is_cancelled(void **state)
{
    scene_t *scene = *state;
    for (int with_its_request = 0; with_its_request < 2; with_its_request++) {
        int fd = open_tunnel(scene);
        client_sends(&scene->client, "unsent");
        if (with_its_request) {
            scene_end(scene);
        } else {
            udr_exchange_cancel(scene->exchange);
            assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_TUNNEL);
            udr_exchange_cancel(scene->exchange);
        }
        assert_counts(scene, 0, 0);
        assert_true(member_sees_end(fd));
        client_drop_body(&scene->client);
        close(fd);
    }
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_scene(switches_to_what_was_offered),
        in_scene(refuses_a_switch_that_was_not_asked_for),
        in_scene(refuses_a_switch_before_the_request_is_complete),
        in_scene(switches_behind_a_body),
        in_scene(relays_an_answer_that_is_no_switch),
        in_scene(passes_on_what_comes_behind_the_head),
        in_scene(moves_bytes_both_ways),
        in_scene(gives_the_client_no_more_at_once_than_it_may),
        in_scene(uses_a_pooled_connection_and_does_not_give_it_back),
        in_scene(keeps_its_turn_to_the_end),
        in_scene(asks_the_client_only_when_it_has_said_something),
        in_scene(goes_on_when_the_client_sends_no_more),
        in_scene(goes_on_when_the_member_sends_no_more),
        in_scene(ends_when_the_member_closes),
        in_scene(ends_when_the_member_closes_after_its_half),
        in_scene(goes_on_when_the_member_takes_no_more),
        in_scene(reads_all_from_a_member_that_has_closed),
        in_scene(reads_on_to_the_end_that_is_known_to_be_there),
        in_scene(tells_the_client_of_the_end),
        in_scene(waits_for_a_client_that_is_full_when_it_is_told_of_the_end),
        in_scene(waits_for_a_member_that_is_full),
        in_scene(waits_for_a_client_that_is_full),
        in_scene(waits_for_a_client_that_is_full_at_the_switch),
        in_scene(ends_after_silence),
        in_scene(counts_silence_from_the_last_byte_either_way),
        in_scene(ends_after_silence_whatever_it_waits_for),
        in_scene(counts_no_time_in_filters_as_silence),
        in_scene(fails_when_a_side_fails),
        in_scene(fails_when_the_client_does_not_take_the_head),
        in_scene(is_cancelled),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_tunnel", tests, NULL, NULL);
}
