/* SPDX-License-Identifier: Apache-2.0 */
/* The response's way to the client: in whatever pieces it comes, refused where it must not be passed on, held back for
 * a client that is full, flushed when it is due, dropped when nobody wants it. */
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

#define OK         "HTTP/1.1 200 OK\r\n"
#define OK_HELLO   OK "Content-Length: 5\r\n\r\nhello"
#define OK_TEN     OK "Content-Length: 10\r\n\r\n"
#define OK_CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define HINTS      "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

enum { MEGABYTE = 1 << 20 };

/* Starts a GET and has the member say this. Returns its end; the exchange may have ended. */
static int answer(scene_t *scene, const char *response)
{
    int fd = scene_start_and_read(scene);
    member_says(fd, response);
    (void)scene_settle(scene);
    return fd;
}

/* --- whole responses, however they come --- */

typedef struct response_t {
    const char *text;
    bool closes; /* the member does, behind it */
    const char *method;
    int status;
    udr_http1_framing_t framing;
    const char *fields;
    const char *body;
    const char *trailers;
    const char *interims;
    int kept;
} response_t;

static const response_t good_responses[] = {
    {OK_HELLO, false, "GET", 200, UDR_HTTP1_LENGTH, "Content-Length: 5\n", "hello", "", "", 1},
    {OK "Content-Length: 0\r\n\r\n", false, "GET", 200, UDR_HTTP1_LENGTH, "Content-Length: 0\n", "", "", "", 1},
    {OK "A: 1\r\nContent-Length: 5\r\nA:  2 \r\n\r\n", false, "HEAD", 200, UDR_HTTP1_NO_BODY,
     "A: 1\nContent-Length: 5\nA: 2\n", "", "", "", 1},
    {"HTTP/1.1 204 No Content\r\n\r\n", false, "GET", 204, UDR_HTTP1_NO_BODY, "", "", "", "", 1},
    {"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", false, "GET", 304, UDR_HTTP1_NO_BODY, "ETag: \"x\"\n", "", "",
     "", 1},
    {OK_CHUNKED "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", false, "GET", 200, UDR_HTTP1_CHUNKED,
     "Transfer-Encoding: chunked\n", "hello world", "", "", 1},
    {OK_CHUNKED "0\r\n\r\n", false, "GET", 200, UDR_HTTP1_CHUNKED, "Transfer-Encoding: chunked\n", "", "", "", 1},
    {OK_CHUNKED "3\r\nabc\r\n0\r\nX-Sum: 9\r\nX-More: 1\r\n\r\n", false, "GET", 200, UDR_HTTP1_CHUNKED,
     "Transfer-Encoding: chunked\n", "abc", "X-Sum: 9\nX-More: 1\n", "", 1},
    {OK "A: 1\r\n\r\nhello", true, "GET", 200, UDR_HTTP1_TO_CLOSE, "A: 1\n", "hello", "", "", 0},
    {OK "\r\n", true, "GET", 200, UDR_HTTP1_TO_CLOSE, "", "", "", "", 0},
    {"HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno", false, "GET", 404, UDR_HTTP1_LENGTH,
     "Content-Length: 2\n", "no", "", "", 0},
    {HINTS HINTS OK_HELLO, false, "GET", 200, UDR_HTTP1_LENGTH, "Content-Length: 5\n", "hello", "",
     "Link: </a.css>\nLink: </a.css>\n", 1},
    /* 100 is for those who have asked for it. */
    {"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n" OK_HELLO, false, "GET", 200, UDR_HTTP1_LENGTH, "Content-Length: 5\n",
     "hello", "", "", 1},
};

static void assert_passed_on(scene_t *scene, const response_t *response)
{
    assert_done(scene);
    assert_int_equal(scene->client.head.status, response->status);
    assert_int_equal(scene->client.head.framing, response->framing);
    assert_text(&scene->client.fields, response->fields);
    assert_text(&scene->client.body, response->body);
    assert_text(&scene->client.trailers, response->trailers);
    assert_text(&scene->client.interim_fields, response->interims);
    assert_true(udr_exchange_head_passed(scene->exchange));
    assert_counts(scene, response->kept, 0);
    /* The head came once, and the end last. */
    const char *head = strstr(scene->client.story.ptr, "head:");
    assert_null(strstr(head + 1, "head:"));
    assert_string_equal(strrchr(scene->client.story.ptr, ' '), " end");
}

/* Sends text from one offset to another and has the exchange take it. Returns whether it waits. */
static bool say_part(scene_t *scene, int fd, const char *text, size_t from, size_t to)
{
    if (from < to) {
        member_says_bytes(fd, text + from, to - from);
    }
    return scene_settle(scene);
}

static void end_response(scene_t *scene, int fd, const response_t *response)
{
    if (response->closes) {
        assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_false(scene_settle(scene));
    }
    assert_passed_on(scene, response);
    close(fd);
    (void)udr_pool_tidy(scene->member->pool, apr_time_now());
}

static void passes_on_a_response_in_one_piece(void **state)
{
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(good_responses); i++) {
        const response_t *response = &good_responses[i];
        scene->request.method = response->method;
        int fd = answer(scene, response->text);
        end_response(scene, fd, response);
    }
}

static void passes_on_a_response_byte_by_byte(void **state)
{
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(good_responses); i++) {
        const response_t *response = &good_responses[i];
        size_t len = strlen(response->text);
        scene->request.method = response->method;
        int fd = scene_start_and_read(scene);
        for (size_t j = 0; j < len; j++) {
            bool waits = say_part(scene, fd, response->text, j, j + 1);
            assert_true(waits == (j + 1 < len || response->closes));
        }
        end_response(scene, fd, response);
    }
}

static void passes_on_a_response_in_two_pieces(void **state)
{
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(good_responses); i++) {
        const response_t *response = &good_responses[i];
        size_t len = strlen(response->text);
        scene->request.method = response->method;
        for (size_t j = 1; j < len; j++) {
            int fd = scene_start_and_read(scene);
            assert_true(say_part(scene, fd, response->text, 0, j));
            (void)say_part(scene, fd, response->text, j, len);
            end_response(scene, fd, response);
        }
    }
}

/* A response that is cut off is never taken for a whole one. */
static void tells_that_a_response_is_cut_off(void **state)
{
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(good_responses); i++) {
        const response_t *response = &good_responses[i];
        size_t len = strlen(response->text);
        const char *final = strstr(response->text, "HTTP/1.1 200 OK");
        const char *body = strstr(final ? final : response->text, "\r\n\r\n") + 4;
        scene->request.method = response->method;
        for (size_t j = 0; j < len; j++) {
            bool head_is_whole = response->text + j >= body;
            if (response->closes && head_is_whole) {
                continue; /* nobody can tell: that is what the closing is for */
            }
            int fd = scene_start_and_read(scene);
            assert_true(say_part(scene, fd, response->text, 0, j));
            close(fd);
            assert_false(scene_settle(scene));
            assert_failed(scene, UDR_FAILURE_CLOSED, head_is_whole ? UDR_EXCHANGE_RELAY : UDR_EXCHANGE_HEAD);
            assert_non_null(udr_exchange_failure(scene->exchange)->why);
            assert_int_equal(udr_exchange_failure(scene->exchange)->error, APR_SUCCESS);
            assert_true(udr_exchange_head_passed(scene->exchange) == head_is_whole);
            assert_int_equal(scene->client.head.status != 0, head_is_whole);
            assert_true(!scene->client.story.ptr || !strstr(scene->client.story.ptr, "end"));
            assert_counts(scene, 0, 0);
        }
    }
}

static void tells_that_the_member_has_said_nothing(void **state)
{
    scene_t *scene = *state;
    close(scene_start_and_read(scene));
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_HEAD);
    assert_why(scene, "closed before any byte of the response", APR_SUCCESS);
}

/* Without having read the request to its end, that is. */
static void tells_that_the_member_has_reset_the_connection(void **state)
{
    scene_t *scene = *state;
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    member_says(fd, OK "\r\nhello");
    close(fd);
    assert_false(scene_settle(scene));
    /* What ends with the close, and then ends with a reset, is not known to be whole. */
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_RELAY);
    assert_int_equal(udr_exchange_failure(scene->exchange)->error, ECONNRESET);
    assert_text(&scene->client.body, "hello");
}

static void takes_a_whole_response_before_a_reset(void **state)
{
    scene_t *scene = *state;
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    member_says(fd, OK_HELLO);
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_text(&scene->client.body, "hello");
}

/* --- heads and runs of bytes of every size --- */

static void keeps_a_large_head_together(void **state)
{
    static const size_t pieces[] = {1000, 3000, 4095, 4096, 5000, 100000};
    scene_t *scene = *state;
    scene->scratch_size = 4096;
    const char *response = OK;
    const char *fields = "";
    for (int i = 0; i < 60; i++) {
        const char *field = apr_psprintf(scene->pool, "X-%d: %0*d", i, 50 * i, i);
        response = apr_pstrcat(scene->pool, response, field, "\r\n", NULL);
        fields = apr_pstrcat(scene->pool, fields, field, "\n", NULL);
    }
    response = apr_pstrcat(scene->pool, response, "Content-Length: 5\r\n\r\nhello", NULL);
    fields = apr_pstrcat(scene->pool, fields, "Content-Length: 5\n", NULL);
    size_t len = strlen(response);
    assert_in_range(len, 60000, 100000);
    for (size_t i = 0; i < COUNT(pieces); i++) {
        int fd = scene_start_and_read(scene);
        bool waits = true;
        for (size_t at = 0; at < len; at += pieces[i]) {
            assert_true(waits);
            waits = say_part(scene, fd, response, at, at + pieces[i] < len ? at + pieces[i] : len);
        }
        assert_false(waits);
        assert_done(scene);
        assert_text(&scene->client.fields, fields);
        assert_text(&scene->client.body, "hello");
        close(fd);
        (void)udr_pool_tidy(scene->member->pool, apr_time_now());
    }
}

static void refuses_a_head_over_the_limits(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.field_size = 64;
    /* One line that is too long; and short ones, too many of them (8 times a line's length). */
    int fd = answer(scene, apr_psprintf(scene->pool, OK "X: %0*d\r\n", 100, 1));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    assert_why(scene, "a line longer than responsefieldsize", APR_SUCCESS);
    close(fd);
    const char *many = OK;
    for (int i = 0; i < 10; i++) {
        many = apr_pstrcat(scene->pool, many, apr_psprintf(scene->pool, "X: %050d\r\n", i), NULL);
    }
    fd = answer(scene, many);
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    assert_why(scene, "a head or trailer section longer than 8 times responsefieldsize", APR_SUCCESS);
    close(fd);
}

static void gives_the_client_no_more_at_once_than_it_may(void **state)
{
    static const char *const heads[] = {OK "Content-Length: 10000\r\n\r\n", OK_CHUNKED "2710\r\n"};
    scene_t *scene = *state;
    char *bytes = apr_palloc(scene->pool, 10000);
    memset(bytes, 'x', 10000);
    scene->plan.pass_limit = 100;
    for (size_t i = 0; i < COUNT(heads); i++) {
        int fd = scene_start_and_read(scene);
        member_says(fd, heads[i]);
        member_says_bytes(fd, bytes, 10000);
        if (i == 1) {
            member_says(fd, "\r\n0\r\n\r\n");
        }
        assert_false(scene_settle(scene));
        assert_done(scene);
        assert_in_range(scene->client.largest, 1, 100);
        assert_int_equal(scene->client.body.len, 10000);
        assert_counts(scene, 1, 0);
        close(fd);
        (void)udr_pool_tidy(scene->member->pool, apr_time_now());
    }
}

/* Bytes behind the response that were not read with it are found when the connection is to be used again. */
static void finds_bytes_behind_a_response_before_the_next_request(void **state)
{
    scene_t *scene = *state;
    scene->plan.pass_limit = strlen(OK_HELLO);
    int fd = answer(scene, OK_HELLO "x");
    assert_done(scene);
    assert_true(scene_start(scene));
    assert_true(place_is_wanted(&scene->place));
    close(fd);
}

static void relays_a_large_body_to_a_slow_client(void **state)
{
    scene_t *scene = *state;
    apr_size_t written = 0;
    char *bytes = apr_palloc(scene->pool, MEGABYTE);
    for (apr_size_t i = 0; i < MEGABYTE; i++) {
        bytes[i] = (char)('a' + i % 23);
    }
    int fd = answer(scene, OK "Content-Length: 4194304\r\n\r\n");
    scene->client.answer.push = APR_EAGAIN;
    while (written < 4 * MEGABYTE) {
        apr_size_t at = written % MEGABYTE;
        ssize_t n = send(fd, bytes + at, MEGABYTE - at, MSG_NOSIGNAL);
        assert_true(n > 0);
        written += (apr_size_t)n;
        bool waits = scene_settle(scene);
        assert_true(waits == (written < 4 * MEGABYTE));
    }
    assert_done(scene);
    assert_int_equal(scene->client.body.len, 4 * MEGABYTE);
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(scene->client.body.ptr + (size_t)i * MEGABYTE, bytes, MEGABYTE);
    }
    assert_non_null(strstr(scene->client.story.ptr, "drain"));
    assert_counts(scene, 1, 0);
    close(fd);
}

/* --- interim responses --- */

static void passes_interim_responses_on_as_they_come(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, HINTS);
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    assert_story(scene, "interim:103");
    member_says(fd, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    assert_true(scene_settle(scene));
    assert_story(scene, "interim:103 interim:102");
    assert_false(udr_exchange_head_passed(scene->exchange));
    member_says(fd, OK_HELLO);
    assert_false(scene_settle(scene));
    assert_story(scene, "interim:103 interim:102 head:200 data:5 end");
    close(fd);
}

static void times_the_final_response(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, HINTS);
    scene_pass_time(scene, 5000);
    member_says(fd, OK_TEN);
    assert_true(scene_settle(scene));
    apr_time_t came = scene->now;
    scene_pass_time(scene, 5000);
    member_says(fd, "helloworld");
    assert_false(scene_settle(scene));
    assert_int_equal(udr_exchange_times(scene->exchange)->first_byte, came);
    close(fd);
}

static void times_a_final_response_that_comes_with_an_interim_one(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    scene_pass_time(scene, 5000);
    member_says(fd, HINTS OK_HELLO);
    assert_false(scene_settle(scene));
    assert_int_equal(udr_exchange_times(scene->exchange)->first_byte, scene->now);
    close(fd);
}

static void loses_patience_with_interim_responses(void **state)
{
    static const struct {
        const char *interim;
        const char *told;
    } rows[] = {{"HTTP/1.1 103 Early Hints\r\n\r\n", "interim:103"}, {"HTTP/1.1 100 Continue\r\n\r\n", ""}};
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = scene_start_and_read(scene);
        for (int j = 0; j < 64; j++) {
            member_says(fd, rows[i].interim);
        }
        assert_true(scene_settle(scene));
        assert_state(scene, UDR_EXCHANGE_HEAD);
        member_says(fd, rows[i].interim);
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
        assert_why(scene, "more than 64 interim responses", APR_SUCCESS);
        close(fd);
    }
}

static void refuses_a_change_of_protocol(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    assert_why(scene, "101 Switching Protocols, which was not asked for", APR_SUCCESS);
    assert_story(scene, "");
    assert_false(udr_exchange_head_passed(scene->exchange));
    close(fd);
}

/* --- what is no response --- */

static void refuses_what_could_be_read_two_ways(void **state)
{
    static const struct {
        const char *text;
        const char *why;
        udr_exchange_state_t state;
        const char *body; /* passed on before */
    } rows[] = {
        {"nonsense\r\n", "a status line that is none", UDR_EXCHANGE_HEAD, ""},
        {OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "differing Content-Lengths", UDR_EXCHANGE_HEAD, ""},
        {OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both Transfer-Encoding and Content-Length",
         UDR_EXCHANGE_HEAD, ""},
        {OK "A: 1\r\n b\r\n\r\n", "a folded field line (obs-fold)", UDR_EXCHANGE_HEAD, ""},
        {HINTS "nonsense\r\n", "a status line that is none", UDR_EXCHANGE_HEAD, ""},
        {OK_CHUNKED "nonsense\r\n", "a bad chunk size", UDR_EXCHANGE_RELAY, ""},
        {OK_CHUNKED "5\r\nhello\r\nx", "a bad chunk size", UDR_EXCHANGE_RELAY, ""},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = answer(scene, rows[i].text);
        assert_failed(scene, UDR_FAILURE_RESPONSE, rows[i].state);
        assert_why(scene, rows[i].why, APR_SUCCESS);
        assert_null(udr_exchange_failure(scene->exchange)->protocol);
        assert_true(udr_exchange_head_passed(scene->exchange) == (rows[i].state == UDR_EXCHANGE_RELAY));
        assert_counts(scene, 0, 0);
        /* The member learns of it at once. */
        struct pollfd end = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&end, 1, 0), 1);
        assert_true(end.revents & POLLHUP);
        close(fd);
    }
}

static void names_the_protocol_that_it_is_instead(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *protocol;
    } rows[] = {
        {"\x01\x06\x00\x01\x00\x05\x03\x00hello", 13, "FastCGI"},
        {"\x15\x03\x01\x00\x02\x02\x46", 7, "TLS"},
        {"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", 15, "HTTP/2"},
        {"SSH-2.0-OpenSSH\r\n", 17, NULL},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = scene_start_and_read(scene);
        member_says_bytes(fd, rows[i].text, rows[i].len);
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
        assert_why(scene, "a status line that is none", APR_SUCCESS);
        const char *protocol = udr_exchange_failure(scene->exchange)->protocol;
        assert_string_equal(protocol ? protocol : "-", rows[i].protocol ? rows[i].protocol : "-");
        close(fd);
    }
}

/* Within a body they are bytes like any. */
static void names_no_protocol_within_a_body(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    member_says(fd, OK_CHUNKED);
    assert_true(scene_settle(scene));
    member_says_bytes(fd, "\x01\x06\x00\x01\x00\x05\x03\x00", 8);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_RELAY);
    assert_null(udr_exchange_failure(scene->exchange)->protocol);
    close(fd);
}

/* --- a client that is full, or gone --- */

static void reads_no_more_while_the_client_is_full(void **state)
{
    scene_t *scene = *state;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = answer(scene, OK_TEN "hello");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_story(scene, "head:200 data:5 push");
    member_says(fd, "wor");
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_story(scene, "head:200 data:5 push");

    /* Writable, it takes some, but not all. */
    scene->client.answer.drain = APR_EAGAIN;
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_story(scene, "head:200 data:5 push drain");

    /* Then all: what has come meanwhile is read in the same run, without a look at the member first. */
    scene->client.answer.drain = APR_SUCCESS;
    scene->client.answer.push = APR_SUCCESS;
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_story(scene, "head:200 data:5 push drain drain data:3 push");
    member_says(fd, "ld");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_text(&scene->client.body, "helloworld");
    close(fd);
}

static void waits_after_whatever_has_filled_the_client(void **state)
{
    scene_t *scene = *state;
    apr_status_t *const answers[] = {&scene->client.answer.interim, &scene->client.answer.head,
                                     &scene->client.answer.data, &scene->client.answer.push};
    static const char *const parts[] = {HINTS, OK_TEN, "hello", "worl"};
    scene->client.is_writable = false;
    int fd = scene_start_and_read(scene);
    for (size_t i = 0; i < COUNT(answers); i++) {
        *answers[i] = APR_EAGAIN;
        member_says(fd, parts[i]);
        assert_true(scene_settle(scene));
        assert_waits(scene, i == 0 ? UDR_EXCHANGE_HEAD : UDR_EXCHANGE_RELAY, 0, POLLOUT);
        *answers[i] = APR_SUCCESS;
        assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
        assert_waits(scene, i == 0 ? UDR_EXCHANGE_HEAD : UDR_EXCHANGE_RELAY, POLLIN, 0);
    }
    /* At the end there is nothing to wait for: who has made the exchange sees to the rest. */
    scene->client.answer.end = APR_EAGAIN;
    member_says(fd, "d");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 1, 0);
    close(fd);
}

static void finds_that_the_member_closed_while_the_client_was_full(void **state)
{
    scene_t *scene = *state;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = answer(scene, OK_TEN "hello");
    close(fd);
    /* Not even when somebody says that there is something to be read. */
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    scene->client.is_writable = true;
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_RELAY);
}

static void goes_on_sending_while_the_client_is_full(void **state)
{
    scene_t *scene = *state;
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    scene->client.behind = APR_EAGAIN;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = answer(scene, OK_TEN "hello");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLIN | POLLOUT);
    client_sends(scene, "more");
    assert_true(scene_settle(scene));
    assert_string_equal(member_reads(scene, fd), "4\r\nmore\r\n");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLIN | POLLOUT);
    close(fd);
}

static void ends_when_the_client_turns_out_to_be_gone(void **state)
{
    scene_t *scene = *state;
    static const char response[] = HINTS OK_TEN "hello";
    apr_status_t *const answers[] = {&scene->client.answer.interim, &scene->client.answer.head,
                                     &scene->client.answer.data, &scene->client.answer.push, &scene->client.answer.end};
    static const char *const stories[] = {"interim:103", "interim:103 head:200", "interim:103 head:200 data:5",
                                          "interim:103 head:200 data:5 push",
                                          "interim:103 head:200 data:5 push data:5 end"};
    for (size_t i = 0; i < COUNT(answers); i++) {
        *answers[i] = APR_ECONNABORTED;
        int fd = answer(scene, response);
        if (answers[i] == &scene->client.answer.end) {
            assert_state(scene, UDR_EXCHANGE_RELAY);
            member_says(fd, "world");
            assert_false(scene_settle(scene));
        }
        assert_failed(scene, UDR_FAILURE_CLIENT_GONE, i == 0 ? UDR_EXCHANGE_HEAD : UDR_EXCHANGE_RELAY);
        assert_why(scene, NULL, APR_ECONNABORTED);
        assert_story(scene, stories[i]);
        /* The member has done its part when only the end is missing. */
        assert_counts(scene, answers[i] == &scene->client.answer.end, 0);
        *answers[i] = APR_SUCCESS;
        close(fd);
    }
}

static void ends_when_a_full_client_turns_out_to_be_gone(void **state)
{
    scene_t *scene = *state;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.answer.drain = APR_ECONNABORTED;
    int fd = answer(scene, OK_TEN "hello");
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_RELAY);
    assert_story(scene, "head:200 data:5 push drain");
    close(fd);
}

/* --- a body that nobody wants --- */

static void reads_a_small_unwanted_body_to_save_the_connection(void **state)
{
    static const char *const responses[] = {
        "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n"};
    scene_t *scene = *state;
    scene->client.wants_body = false;
    for (size_t i = 0; i < COUNT(responses); i++) {
        int fd = answer(scene, responses[i]);
        assert_done(scene);
        assert_story(scene, "head:500");
        assert_counts(scene, 1, 0);
        close(fd);
        (void)udr_pool_tidy(scene->member->pool, apr_time_now());
    }
}

static void does_not_wait_for_an_unwanted_body(void **state)
{
    static const char *const responses[] = {"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\n",
                                            "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nhell",
                                            "HTTP/1.1 500 Oops\r\n\r\nhello"};
    scene_t *scene = *state;
    scene->client.wants_body = false;
    for (size_t i = 0; i < COUNT(responses); i++) {
        int fd = answer(scene, responses[i]);
        assert_done(scene);
        assert_story(scene, "head:500");
        assert_counts(scene, 0, 0);
        close(fd);
    }
}

static void reads_only_so_much_of_an_unwanted_body(void **state)
{
    /* 64 KiB, in pieces of 4: so much is read, and one piece more. */
    static const struct {
        apr_size_t len;
        int kept;
    } rows[] = {{60000, 1}, {65536, 1}, {100000, 0}};
    scene_t *scene = *state;
    char *bytes = apr_pcalloc(scene->pool, 100000);
    scene->client.wants_body = false;
    scene->scratch_size = 4096;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int fd = scene_start_and_read(scene);
        member_says(fd, apr_psprintf(scene->pool, "HTTP/1.1 500 Oops\r\nContent-Length: %lu\r\n\r\n",
                                     (unsigned long)rows[i].len));
        member_says_bytes(fd, bytes, rows[i].len);
        assert_false(scene_settle(scene));
        assert_done(scene);
        assert_story(scene, "head:500");
        assert_counts(scene, rows[i].kept, 0);
        close(fd);
        (void)udr_pool_tidy(scene->member->pool, apr_time_now());
    }
}

/* --- flushing --- */

static void flushes_a_stream_at_once(void **state)
{
    static const char *const heads[] = {OK_CHUNKED, OK "\r\n"};
    static const char *const bytes[] = {"5\r\nhello\r\n", "hello"};
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(heads); i++) {
        int fd = answer(scene, heads[i]);
        for (int j = 0; j < 2; j++) {
            member_says(fd, bytes[i]);
            assert_true(scene_settle(scene));
        }
        assert_story(scene, "head:200 data:5 push flush data:5 push flush");
        /* And then there is nothing to be flushed. */
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.timeout);
        close(fd);
    }
}

static void flushes_a_body_of_known_length_after_flushwait(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.flush_wait = apr_time_from_msec(30);
    int fd = answer(scene, OK_TEN "he");
    assert_story(scene, "head:200 data:2 push");
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_msec(30));
    /* What comes meanwhile puts it off. */
    scene_pass_time(scene, apr_time_from_msec(20));
    member_says(fd, "llo");
    assert_true(scene_settle(scene));
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + apr_time_from_msec(30));
    assert_true(scene_wait_out(scene));
    assert_story(scene, "head:200 data:2 push data:3 push flush");
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_true(udr_exchange_wait(scene->exchange)->until > scene->now + apr_time_from_sec(50));
    member_says(fd, "world");
    assert_false(scene_settle(scene));
    assert_story(scene, "head:200 data:2 push data:3 push flush data:5 end");
    close(fd);
}

static void flushes_a_head_after_flushwait(void **state)
{
    static const char *const heads[] = {OK_TEN, OK_CHUNKED, OK "\r\n"};
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(heads); i++) {
        int fd = answer(scene, heads[i]);
        assert_story(scene, "head:200");
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.flush_wait);
        assert_true(scene_wait_out(scene));
        assert_story(scene, "head:200 flush");
        close(fd);
    }
}

static void flushes_everything_when_told_to(void **state)
{
    scene_t *scene = *state;
    scene->member->settings.flush = UDR_FLUSH_ON;
    int fd = answer(scene, OK_TEN);
    assert_story(scene, "head:200 flush");
    member_says(fd, "hello");
    assert_true(scene_settle(scene));
    assert_story(scene, "head:200 flush data:5 flush");
    member_says(fd, "world");
    assert_false(scene_settle(scene));
    assert_story(scene, "head:200 flush data:5 flush data:5 end");
    close(fd);
}

static void flushes_nothing_when_told_not_to(void **state)
{
    static const char *const responses[] = {OK_TEN "hello", OK_CHUNKED "5\r\nhello\r\n", OK "\r\nhello"};
    scene_t *scene = *state;
    scene->member->settings.flush = UDR_FLUSH_OFF;
    for (size_t i = 0; i < COUNT(responses); i++) {
        int fd = answer(scene, responses[i]);
        assert_story(scene, "head:200 data:5 push");
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->member->settings.timeout);
        scene_pass_time(scene, apr_time_from_sec(1));
        assert_true(scene_run(scene, 0));
        assert_story(scene, "head:200 data:5 push");
        close(fd);
    }
}

static void flushes_nothing_to_a_full_client(void **state)
{
    scene_t *scene = *state;
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = answer(scene, OK_CHUNKED "5\r\nhello\r\n");
    assert_story(scene, "head:200 data:5 push");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    scene->client.answer.push = APR_SUCCESS;
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_story(scene, "head:200 data:5 push drain flush");
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    close(fd);
}

static void waits_for_the_client_to_take_what_is_flushed(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED);
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    assert_true(scene_wait_out(scene));
    assert_story(scene, "head:200 flush");
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    /* Once is enough. */
    assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    assert_story(scene, "head:200 flush drain");
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    close(fd);
}

static void waits_no_longer_than_ever_for_who_was_filled_by_a_flush(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED);
    scene->client.answer.push = APR_EAGAIN;
    scene->client.is_writable = false;
    assert_true(scene_wait_out(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + scene->plan.client_timeout);
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_RELAY);
    close(fd);
}

static void notices_at_a_flush_that_the_client_has_gone(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED);
    scene->client.answer.push = APR_ECONNABORTED;
    assert_false(scene_wait_out(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_RELAY);
    close(fd);
}

static void pushes_nothing_when_there_is_nothing_new(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED "5\r\nhello\r\n");
    assert_story(scene, "head:200 data:5 push flush");
    member_says(fd, "5\r");
    assert_true(scene_settle(scene));
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_story(scene, "head:200 data:5 push flush");
    close(fd);
}

/* Many small pieces that come together are given together. */
static void pushes_once_for_what_has_come_at_once(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, OK_CHUNKED "1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n");
    assert_story(scene, "head:200 data:1 data:2 data:3 push flush");
    assert_text(&scene->client.body, "abcdef");
    close(fd);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_scene(passes_on_a_response_in_one_piece),
        in_scene(passes_on_a_response_byte_by_byte),
        in_scene(passes_on_a_response_in_two_pieces),
        in_scene(tells_that_a_response_is_cut_off),
        in_scene(tells_that_the_member_has_said_nothing),
        in_scene(tells_that_the_member_has_reset_the_connection),
        in_scene(takes_a_whole_response_before_a_reset),
        in_scene(keeps_a_large_head_together),
        in_scene(refuses_a_head_over_the_limits),
        in_scene(gives_the_client_no_more_at_once_than_it_may),
        in_scene(finds_bytes_behind_a_response_before_the_next_request),
        in_scene(relays_a_large_body_to_a_slow_client),
        in_scene(passes_interim_responses_on_as_they_come),
        in_scene(times_the_final_response),
        in_scene(times_a_final_response_that_comes_with_an_interim_one),
        in_scene(loses_patience_with_interim_responses),
        in_scene(refuses_a_change_of_protocol),
        in_scene(refuses_what_could_be_read_two_ways),
        in_scene(names_the_protocol_that_it_is_instead),
        in_scene(names_no_protocol_within_a_body),
        in_scene(reads_no_more_while_the_client_is_full),
        in_scene(waits_after_whatever_has_filled_the_client),
        in_scene(finds_that_the_member_closed_while_the_client_was_full),
        in_scene(goes_on_sending_while_the_client_is_full),
        in_scene(ends_when_the_client_turns_out_to_be_gone),
        in_scene(ends_when_a_full_client_turns_out_to_be_gone),
        in_scene(reads_a_small_unwanted_body_to_save_the_connection),
        in_scene(does_not_wait_for_an_unwanted_body),
        in_scene(reads_only_so_much_of_an_unwanted_body),
        in_scene(flushes_a_stream_at_once),
        in_scene(flushes_a_body_of_known_length_after_flushwait),
        in_scene(flushes_a_head_after_flushwait),
        in_scene(flushes_everything_when_told_to),
        in_scene(flushes_nothing_when_told_not_to),
        in_scene(flushes_nothing_to_a_full_client),
        in_scene(waits_for_the_client_to_take_what_is_flushed),
        in_scene(waits_no_longer_than_ever_for_who_was_filled_by_a_flush),
        in_scene(notices_at_a_flush_that_the_client_has_gone),
        in_scene(pushes_nothing_when_there_is_nothing_new),
        in_scene(pushes_once_for_what_has_come_at_once),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_receive", tests, NULL, NULL);
}
