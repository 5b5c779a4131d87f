/* SPDX-License-Identifier: Apache-2.0 */
/* Responses as the member sends them: in whatever pieces they come, and refused where they must not be passed on. */
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
     "A: 1\nContent-Length: 5\nA: 2\n", "", "", "", 0}, /* its body may still come */
    {OK "Content-Length: 0\r\n\r\n", false, "HEAD", 200, UDR_HTTP1_NO_BODY, "Content-Length: 0\n", "", "", "", 1},
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
    (void)udr_pool_tidy(scene->member->pool, 0, udr_clock_now());
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
        (void)udr_pool_tidy(scene->member->pool, 0, udr_clock_now());
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
        (void)udr_pool_tidy(scene->member->pool, 0, udr_clock_now());
    }
}

/* What the read of the response's end had no room for: a loop that has taken the event hears no more of it. */
static void finds_bytes_behind_a_response_that_fills_a_read(void **state)
{
    scene_t *scene = *state;
    scene->plan.pass_limit = 2 * strlen(OK_HELLO); /* of which the first read takes half */
    int fd = answer(scene, OK_HELLO "x");
    assert_done(scene);
    assert_counts(scene, 0, 0);
    close(fd);
    fd = answer(scene, OK_HELLO);
    assert_done(scene);
    assert_counts(scene, 1, 0);
    close(fd);
}

/* It is told once only, with the event that the response came with. */
static void does_not_keep_what_the_member_has_closed_behind_a_response(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    member_says(fd, OK_HELLO);
    close(fd);
    assert_false(scene_run(scene, UDR_READY_MEMBER_IN | UDR_READY_MEMBER_ENDED));
    assert_done(scene);
    assert_text(&scene->client.body, "hello");
    assert_counts(scene, 0, 0);
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
        {"\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x03\x00\x01", 20, "FastCGI"},
        {"\x15\x03\x01\x00\x02\x02\x46", 7, "TLS"},
        {"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", 15, "HTTP/2"},
        {"SSH-2.0-OpenSSH\r\n", 17, NULL},
    };
    scene_t *scene = *state;
    /* All at once; and the first byte alone, which is enough to refuse it, the others waiting to be read. */
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        scene->plan.pass_limit = i < COUNT(rows) ? MEGABYTE : 1;
        int fd = scene_start_and_read(scene);
        member_says_bytes(fd, rows[i % COUNT(rows)].text, rows[i % COUNT(rows)].len);
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
        assert_why(scene, "a status line that is none", APR_SUCCESS);
        const char *protocol = udr_exchange_failure(scene->exchange)->protocol;
        const char *expected = rows[i % COUNT(rows)].protocol;
        assert_string_equal(protocol ? protocol : "-", expected ? expected : "-");
        close(fd);
    }
}

static void guesses_no_protocol_from_one_byte(void **state)
{
    scene_t *scene = *state;
    int fd = answer(scene, "\x01");
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    assert_null(udr_exchange_failure(scene->exchange)->protocol);
    close(fd);
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
        in_scene(finds_bytes_behind_a_response_that_fills_a_read),
        in_scene(does_not_keep_what_the_member_has_closed_behind_a_response),
        in_scene(relays_a_large_body_to_a_slow_client),
        in_scene(passes_interim_responses_on_as_they_come),
        in_scene(times_the_final_response),
        in_scene(times_a_final_response_that_comes_with_an_interim_one),
        in_scene(loses_patience_with_interim_responses),
        in_scene(refuses_a_change_of_protocol),
        in_scene(refuses_what_could_be_read_two_ways),
        in_scene(names_the_protocol_that_it_is_instead),
        in_scene(guesses_no_protocol_from_one_byte),
        in_scene(names_no_protocol_within_a_body),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_receive", tests, NULL, NULL);
}
