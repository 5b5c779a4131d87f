/* SPDX-License-Identifier: Apache-2.0 */
/* The request's way to the member: bodies as the client gives and the member takes them, 100 Continue, and what becomes
 * of a request that the member does not want to the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define OK_EMPTY     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define CONTINUE     "HTTP/1.1 100 Continue\r\n\r\n"
#define TOO_LARGE    "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsorry"
#define POST_CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

enum { MEGABYTE = 1 << 20 };

/* The linker puts sendmsg(2) into our hands (--wrap): the member takes nothing at all so many times. */
static int refusals;

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (refusals > 0) {
        refusals--;
        errno = EAGAIN;
        return -1;
    }
    return __real_sendmsg(fd, message, flags);
}

/* A POST with a Content-Length. */
static void post_length(scene_t *scene, apr_uint64_t length)
{
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_LENGTH;
    scene->request.length = length;
}

static void post_chunked(scene_t *scene)
{
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
}

/* Starts, and accepts the connection. */
static int start(scene_t *scene)
{
    assert_true(scene_start(scene));
    return member_accepts(scene);
}

static void assert_got(scene_t *scene, int fd, const char *expected)
{
    assert_string_equal(member_reads(scene, fd), expected);
}

/* The member answers what is to be answered, and the exchange is done with its connection kept. */
static void finish_well(scene_t *scene, int fd)
{
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_true(udr_exchange_body_taken(scene->exchange));
    member_says(fd, OK_EMPTY);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 1, 0);
    close(fd);
}

/* Bytes of which no two runs look alike. */
static char *make_bytes(scene_t *scene, apr_size_t len)
{
    char *bytes = apr_palloc(scene->pool, len);
    unsigned int random = 1;
    for (apr_size_t i = 0; i < len; i++) {
        random = random * 1103515245 + 12345;
        bytes[i] = (char)('A' + (random >> 16) % 26);
    }
    return bytes;
}

/* The member reads whenever the exchange has filled its socket, and at the end. */
static void read_while_full(scene_t *scene, int fd, text_t *got)
{
    while (udr_exchange_wait(scene->exchange)->member & POLLOUT) {
        (void)member_swallows(fd, got);
        assert_true(scene_settle(scene));
    }
    (void)member_swallows(fd, got);
}

/* --- bodies of a known length --- */

static void sends_head_and_body_together(void **state)
{
    scene_t *scene = *state;
    post_length(scene, 5);
    client_sends(&scene->client, "hello");
    int fd = start(scene);
    assert_got(scene, fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_int_equal(scene->client.consumed, 5);
    /* Who knows the length needs no telling that this was it. */
    assert_int_equal(scene->client.peeks, 1);
    finish_well(scene, fd);
}

static void asks_for_no_body_where_there_is_none(void **state)
{
    scene_t *scene = *state;
    scene->client.behind = APR_EGENERAL;
    int fd = start(scene);
    assert_got(scene, fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(scene->client.peeks, 0);
    finish_well(scene, fd);
}

static void sends_a_body_of_no_bytes(void **state)
{
    scene_t *scene = *state;
    scene->client.behind = APR_EGENERAL;
    post_length(scene, 0);
    int fd = start(scene);
    assert_got(scene, fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(scene->client.peeks, 0);
    finish_well(scene, fd);
}

static void sends_the_body_as_it_comes(void **state)
{
    scene_t *scene = *state;
    post_length(scene, 10);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    assert_got(scene, fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    assert_false(udr_exchange_body_taken(scene->exchange));
    client_sends(&scene->client, "hel");
    client_sends(&scene->client, "lo");
    assert_true(scene_settle(scene));
    assert_got(scene, fd, "hello");
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    client_sends(&scene->client, "world");
    assert_true(scene_settle(scene));
    assert_got(scene, fd, "world");
    finish_well(scene, fd);
}

static void is_not_misled_by_a_client_with_nothing_to_say(void **state)
{
    scene_t *scene = *state;
    post_length(scene, 5);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    int peeks = scene->client.peeks;
    assert_true(scene_run(scene, UDR_READY_CLIENT_IN));
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    assert_int_equal(scene->client.peeks, peeks + 1);
    /* Not ready, it is not asked. */
    assert_true(scene_run(scene, 0));
    assert_int_equal(scene->client.peeks, peeks + 1);
    close(fd);
}

/* Its filters may have a time limit of their own, which they notice when they are asked. */
static void looks_again_at_a_silent_client(void **state)
{
    scene_t *scene = *state;
    post_length(scene, 5);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    for (int i = 1; i < 4; i++) {
        int peeks = scene->client.peeks;
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_sec(1));
        assert_true(scene_wait_out(scene));
        assert_int_equal(scene->client.peeks, peeks + 1);
    }
    scene->client.behind = APR_TIMEUP;
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_BODY, UDR_EXCHANGE_SEND);
    assert_why(scene, NULL, APR_TIMEUP);
    close(fd);
}

static void refuses_bodies_that_are_not_as_long_as_they_say(void **state)
{
    static const struct {
        apr_uint64_t length;
        const char *pieces[3];
        const char *why;
        apr_status_t error;
        const char *sent; /* of the body */
    } rows[] = {
        {5, {NULL}, "it is shorter than its Content-Length", APR_INCOMPLETE, ""},
        {5, {"hell", NULL}, "it is shorter than its Content-Length", APR_INCOMPLETE, "hell"},
        {5, {"he", "ll", NULL}, "it is shorter than its Content-Length", APR_INCOMPLETE, "hell"},
        {5, {"hello!", NULL}, "it is longer than its Content-Length", APR_EINVAL, ""},
        {5, {"hell", "oo", NULL}, "it is longer than its Content-Length", APR_EINVAL, "hell"},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        scene_end(scene); /* and what the client still had to send */
        post_length(scene, rows[i].length);
        scene->client.behind = APR_EAGAIN;
        int fd = start(scene);
        (void)member_reads(scene, fd);
        for (size_t j = 0; rows[i].pieces[j]; j++) {
            client_sends(&scene->client, rows[i].pieces[j]);
        }
        scene->client.behind = APR_EOF;
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_CLIENT_BODY, UDR_EXCHANGE_SEND);
        assert_why(scene, rows[i].why, rows[i].error);
        assert_got(scene, fd, rows[i].sent);
        assert_story(scene, "");
        close(fd);
    }
}

static void fails_with_a_body_that_breaks_off(void **state)
{
    scene_t *scene = *state;
    post_chunked(scene);
    client_sends(&scene->client, "hello");
    scene->client.behind = APR_EGENERAL;
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_BODY, UDR_EXCHANGE_SEND);
    assert_why(scene, NULL, APR_EGENERAL);
    assert_false(udr_exchange_body_taken(scene->exchange));
    /* The member sees a request that is cut off, not one that ends. */
    int fd = member_accepts(scene);
    assert_got(scene, fd, POST_CHUNKED "5\r\nhello\r\n");
    close(fd);
}

/* --- bodies of unknown length --- */

static void sends_chunks_as_they_come(void **state)
{
    scene_t *scene = *state;
    post_chunked(scene);
    client_sends(&scene->client, "hello");
    client_sends(&scene->client, "0123456789abcdef");
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    assert_got(scene, fd, POST_CHUNKED "5\r\nhello\r\n10\r\n0123456789abcdef\r\n");
    client_sends(&scene->client, "x");
    assert_true(scene_settle(scene));
    assert_got(scene, fd, "1\r\nx\r\n");
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    scene->client.behind = APR_EOF;
    assert_true(scene_settle(scene));
    assert_got(scene, fd, "0\r\n\r\n");
    assert_int_equal(scene->client.consumed, 22);
    finish_well(scene, fd);
}

static void sends_an_empty_chunked_body(void **state)
{
    scene_t *scene = *state;
    post_chunked(scene);
    int fd = start(scene);
    assert_got(scene, fd, POST_CHUNKED "0\r\n\r\n");
    finish_well(scene, fd);
}

static void sends_the_clients_trailers(void **state)
{
    scene_t *scene = *state;
    apr_table_t *trailers = apr_table_make(scene->pool, 2);
    apr_table_setn(trailers, "X-Sum", "42");
    apr_table_setn(trailers, "Content-Length", "42");
    scene->client.body_trailers = trailers;
    post_chunked(scene);
    client_sends(&scene->client, "hello");
    int fd = start(scene);
    assert_got(scene, fd, POST_CHUNKED "5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n");
    finish_well(scene, fd);
}

/* --- what may not be sent --- */

static void sends_nothing_of_a_request_that_is_none(void **state)
{
    scene_t *scene = *state;
    int kept = scene_keep_connection(scene);
    scene->request.method = "GET /other";
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_REQUEST, UDR_EXCHANGE_SEND);
    assert_int_equal(udr_exchange_failure(scene->exchange)->error, APR_EINVAL);
    assert_non_null(udr_exchange_failure(scene->exchange)->why);
    assert_got(scene, kept, "");
    assert_false(place_is_wanted(&scene->place));
    close(kept);
}

/* --- members that are slow --- */

static void sends_no_faster_than_the_member_reads(void **state)
{
    scene_t *scene = *state;
    char *bytes = make_bytes(scene, 3 * MEGABYTE);
    text_t got = {NULL, 0, 0};
    post_length(scene, 3 * MEGABYTE);
    client_sends_bytes(&scene->client, bytes, MEGABYTE);
    client_sends_bytes(&scene->client, bytes + MEGABYTE, 2 * MEGABYTE);
    int fd = start(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    /* The client keeps its bytes until all of them are gone; it is not asked for more meanwhile. */
    assert_int_equal(scene->client.consumed, 0);
    assert_int_equal(scene->client.peeks, 1);
    read_while_full(scene, fd, &got);
    assert_int_equal(scene->client.consumed, 3 * MEGABYTE);
    const char *body = strstr(got.ptr, "\r\n\r\n") + 4;
    assert_int_equal(got.ptr + got.len - body, 3 * MEGABYTE);
    assert_memory_equal(body, bytes, 3 * MEGABYTE);
    text_clear(&got);
    finish_well(scene, fd);
}

static void keeps_the_frames_of_chunks_around_a_full_socket(void **state)
{
    static const apr_size_t sizes[] = {1, 300000, 65536, 7, 500000};
    scene_t *scene = *state;
    char *bytes = make_bytes(scene, MEGABYTE);
    text_t got = {NULL, 0, 0}, expected = {NULL, 0, 0};
    text_add(&expected, POST_CHUNKED, strlen(POST_CHUNKED));
    post_chunked(scene);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const char *prefix = apr_psprintf(scene->pool, "%lx\r\n", (unsigned long)sizes[i]);
        client_sends_bytes(&scene->client, bytes + i, sizes[i]);
        text_add(&expected, prefix, strlen(prefix));
        text_add(&expected, bytes + i, sizes[i]);
        text_add(&expected, "\r\n", 2);
    }
    text_add(&expected, "0\r\n\r\n", 5);
    int fd = start(scene);
    read_while_full(scene, fd, &got);
    assert_int_equal(got.len, expected.len);
    assert_memory_equal(got.ptr, expected.ptr, got.len);
    text_clear(&got);
    text_clear(&expected);
    finish_well(scene, fd);
}

/* The head is put together in the runner's scratch, which is somebody else's when the run is over. */
static void keeps_a_head_that_the_member_does_not_take_at_once(void **state)
{
    scene_t *scene = *state;
    for (refusals = 1; refusals <= 3;) {
        int again = refusals + 1;
        post_length(scene, 5);
        client_sends(&scene->client, "hello");
        scene_begin(scene);
        for (; refusals > 0; scene_pass_time(scene, 1)) {
            assert_true(scene_run(scene, UDR_READY_MEMBER_OUT));
            assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
        }
        assert_true(scene_settle(scene));
        int fd = member_accepts(scene);
        assert_got(scene, fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        scene_end(scene);
        close(fd);
        refusals = again;
    }
    refusals = 0;
}

/* In the scratch, or in memory of its own where it does not fit. */
static void sends_a_head_that_is_larger_than_the_socket(void **state)
{
    static const apr_size_t scratches[] = {4096, 2 * MEGABYTE};
    scene_t *scene = *state;
    char *value = apr_pstrmemdup(scene->pool, make_bytes(scene, MEGABYTE), MEGABYTE);
    apr_table_t *fields = apr_table_make(scene->pool, 1);
    apr_table_setn(fields, "X-Large", value);
    const char *expected = apr_pstrcat(scene->pool, "POST / HTTP/1.1\r\nHost: h\r\nX-Large: ", value,
                                       "\r\nContent-Length: 5\r\n\r\nhello", NULL);
    for (size_t i = 0; i < COUNT(scratches); i++) {
        text_t got = {NULL, 0, 0};
        scene->scratch_size = scratches[i];
        scene->request.fields = fields;
        post_length(scene, 5);
        client_sends(&scene->client, "hello");
        assert_true(scene_start(scene));
        int fd = member_accepts(scene);
        assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
        read_while_full(scene, fd, &got);
        assert_int_equal(got.len, strlen(expected));
        assert_memory_equal(got.ptr, expected, got.len);
        text_clear(&got);
        assert_state(scene, UDR_EXCHANGE_HEAD);
        scene_end(scene);
        close(fd);
    }
}

/* --- members that answer before they have read all --- */

static void passes_on_what_the_member_said_before_it_closed(void **state)
{
    scene_t *scene = *state;
    post_length(scene, 4 * MEGABYTE);
    client_sends_bytes(&scene->client, make_bytes(scene, 4 * MEGABYTE), 4 * MEGABYTE);
    int fd = start(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    member_says(fd, TOO_LARGE);
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "head:413 data:5 end");
    assert_text(&scene->client.body, "sorry");
    assert_false(udr_exchange_body_taken(scene->exchange));
    assert_counts(scene, 0, 0);
}

/* It has read what came, answered and closed, while the client was still to send more. */
static void sends_no_more_to_a_member_that_has_answered_and_closed(void **state)
{
    scene_t *scene = *state;
    post_chunked(scene);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    (void)member_reads(scene, fd);
    member_says(fd, TOO_LARGE);
    close(fd);
    client_sends(&scene->client, "hello");
    assert_false(scene_run(scene, UDR_READY_CLIENT_IN));
    assert_done(scene);
    assert_story(scene, "head:413 data:5 end");
    assert_int_equal(scene->client.consumed, 0);
}

static void passes_on_an_early_response_of_a_member_that_stays_open(void **state)
{
    scene_t *scene = *state;
    post_length(scene, 4 * MEGABYTE);
    client_sends_bytes(&scene->client, make_bytes(scene, 4 * MEGABYTE), 4 * MEGABYTE);
    int fd = start(scene);
    member_says(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "head:403 data:2 end");
    assert_counts(scene, 0, 0);
    close(fd);
}

static void goes_on_sending_under_an_early_response(void **state)
{
    scene_t *scene = *state;
    post_chunked(scene);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, POLLIN);
    client_sends(&scene->client, "question");
    assert_int_equal(udr_exchange_moved(scene->exchange), 5);
    scene->client.behind = APR_EOF;
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_got(scene, fd, POST_CHUNKED "8\r\nquestion\r\n0\r\n\r\n");
    member_says(fd, "world");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_int_equal(udr_exchange_moved(scene->exchange), 18);
    assert_text(&scene->client.body, "helloworld");
    /* Both are complete: the connection is as good as any. */
    assert_counts(scene, 1, 0);
    close(fd);
}

static void relays_on_when_the_member_takes_no_more(void **state)
{
    scene_t *scene = *state;
    post_chunked(scene);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_true(scene_settle(scene));
    assert_int_equal(shutdown(fd, SHUT_RD), 0);
    client_sends(&scene->client, "question");
    assert_true(scene_settle(scene));
    /* The client is not asked for more. */
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    member_says(fd, "world");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_text(&scene->client.body, "helloworld");
    assert_counts(scene, 0, 0);
    close(fd);
}

static void waits_for_the_answer_of_a_member_that_takes_no_more(void **state)
{
    scene_t *scene = *state;
    post_length(scene, 5);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    assert_int_equal(shutdown(fd, SHUT_RD), 0);
    client_sends(&scene->client, "hello");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_true(udr_exchange_wait(scene->exchange)->until <= scene->now + scene->member->settings.timeout);
    member_says(fd, TOO_LARGE);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "head:413 data:5 end");
    close(fd);
}

static void has_patience_of_timeout_with_a_member_that_takes_no_more(void **state)
{
    scene_t *scene = *state;
    post_length(scene, 5);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    assert_int_equal(shutdown(fd, SHUT_RD), 0);
    client_sends(&scene->client, "hello");
    assert_true(scene_settle(scene));
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_TIMEOUT, UDR_EXCHANGE_HEAD);
    close(fd);
}

static void tells_how_the_member_closed_without_an_answer(void **state)
{
    scene_t *scene = *state;
    /* It had read all that came: an orderly end, noticed while sending. */
    post_length(scene, 5);
    scene->client.behind = APR_EAGAIN;
    int fd = start(scene);
    (void)member_reads(scene, fd);
    close(fd);
    client_sends(&scene->client, "hello");
    assert_false(scene_run(scene, UDR_READY_CLIENT_IN));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
    assert_why(scene, "closed before any byte of the response", EPIPE);
    /* It had not. */
    scene_end(scene);
    post_length(scene, MEGABYTE);
    client_sends_bytes(&scene->client, make_bytes(scene, MEGABYTE), MEGABYTE);
    fd = start(scene);
    close(fd);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
    assert_int_equal(udr_exchange_failure(scene->exchange)->error, ECONNRESET);
}

/* --- 100 Continue --- */

static int start_expecting(scene_t *scene)
{
    post_length(scene, 5);
    scene->request.expect_continue = true;
    int fd = start(scene);
    assert_got(scene, fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, 0);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_sec(1));
    assert_int_equal(scene->client.peeks, 0);
    return fd;
}

static void sends_the_body_when_the_member_says_continue(void **state)
{
    scene_t *scene = *state;
    int fd = start_expecting(scene);
    client_sends(&scene->client, "hello");
    member_says(fd, CONTINUE);
    assert_true(scene_settle(scene));
    assert_got(scene, fd, "hello");
    assert_story(scene, "invite");
    finish_well(scene, fd);
}

static void invites_the_client_before_it_asks_for_the_body(void **state)
{
    scene_t *scene = *state;
    scene->client.behind = APR_EAGAIN;
    int fd = start_expecting(scene);
    member_says(fd, CONTINUE);
    assert_true(scene_settle(scene));
    assert_story(scene, "invite");
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, POLLIN);
    client_sends(&scene->client, "hello");
    assert_true(scene_settle(scene));
    assert_got(scene, fd, "hello");
    finish_well(scene, fd);
}

static void sends_no_body_after_a_final_response(void **state)
{
    scene_t *scene = *state;
    int fd = start_expecting(scene);
    client_sends(&scene->client, "hello");
    member_says(fd, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    /* Not even when the member takes its time. */
    scene_pass_time(scene, apr_time_from_sec(10));
    assert_true(scene_settle(scene));
    member_says(fd, "no");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_got(scene, fd, "");
    assert_int_equal(scene->client.peeks, 0);
    assert_false(udr_exchange_body_taken(scene->exchange));
    assert_text(&scene->client.body, "no");
    assert_null(strstr(scene->client.story.ptr, "invite"));
    /* The member may be waiting for the body still. */
    assert_counts(scene, 0, 0);
    close(fd);
}

static void sends_the_body_when_the_member_says_nothing(void **state)
{
    scene_t *scene = *state;
    int fd = start_expecting(scene);
    client_sends(&scene->client, "hello");
    assert_true(scene_wait_out(scene));
    assert_story(scene, "invite");
    assert_got(scene, fd, "hello");
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    /* What it says later is no news. */
    member_says(fd, CONTINUE);
    assert_true(scene_settle(scene));
    assert_story(scene, "invite");
    finish_well(scene, fd);
}

static void is_not_put_in_motion_by_other_interim_responses(void **state)
{
    scene_t *scene = *state;
    int fd = start_expecting(scene);
    client_sends(&scene->client, "hello");
    member_says(fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_true(scene_settle(scene));
    assert_story(scene, "interim:103");
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, 0);
    assert_got(scene, fd, "");
    member_says(fd, CONTINUE);
    assert_true(scene_settle(scene));
    assert_story(scene, "interim:103 invite");
    assert_got(scene, fd, "hello");
    finish_well(scene, fd);
}

static void takes_an_invitation_and_a_refusal_at_once(void **state)
{
    scene_t *scene = *state;
    int fd = start_expecting(scene);
    client_sends(&scene->client, "hello");
    member_says(fd, CONTINUE TOO_LARGE);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "invite head:413 data:5 end");
    assert_counts(scene, 0, 0);
    close(fd);
}

static void notices_that_an_invited_client_has_gone(void **state)
{
    scene_t *scene = *state;
    int fd = start_expecting(scene);
    scene->client.answer.invite = APR_ECONNABORTED;
    member_says(fd, CONTINUE);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_SEND);
    close(fd);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_scene(sends_head_and_body_together),
        in_scene(asks_for_no_body_where_there_is_none),
        in_scene(sends_a_body_of_no_bytes),
        in_scene(sends_the_body_as_it_comes),
        in_scene(is_not_misled_by_a_client_with_nothing_to_say),
        in_scene(looks_again_at_a_silent_client),
        in_scene(refuses_bodies_that_are_not_as_long_as_they_say),
        in_scene(fails_with_a_body_that_breaks_off),
        in_scene(sends_chunks_as_they_come),
        in_scene(sends_an_empty_chunked_body),
        in_scene(sends_the_clients_trailers),
        in_scene(sends_nothing_of_a_request_that_is_none),
        in_scene(sends_no_faster_than_the_member_reads),
        in_scene(keeps_the_frames_of_chunks_around_a_full_socket),
        in_scene(keeps_a_head_that_the_member_does_not_take_at_once),
        in_scene(sends_a_head_that_is_larger_than_the_socket),
        in_scene(passes_on_what_the_member_said_before_it_closed),
        in_scene(sends_no_more_to_a_member_that_has_answered_and_closed),
        in_scene(passes_on_an_early_response_of_a_member_that_stays_open),
        in_scene(goes_on_sending_under_an_early_response),
        in_scene(relays_on_when_the_member_takes_no_more),
        in_scene(waits_for_the_answer_of_a_member_that_takes_no_more),
        in_scene(has_patience_of_timeout_with_a_member_that_takes_no_more),
        in_scene(tells_how_the_member_closed_without_an_answer),
        in_scene(sends_the_body_when_the_member_says_continue),
        in_scene(invites_the_client_before_it_asks_for_the_body),
        in_scene(sends_no_body_after_a_final_response),
        in_scene(sends_the_body_when_the_member_says_nothing),
        in_scene(is_not_put_in_motion_by_other_interim_responses),
        in_scene(takes_an_invitation_and_a_refusal_at_once),
        in_scene(notices_that_an_invited_client_has_gone),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_send", tests, NULL, NULL);
}
