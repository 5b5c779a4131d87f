/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange with a member that speaks FastCGI: records both ways, its notes, a connection that is used again, and
 * what it is told when nobody wants its answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>
#include <unistd.h>

#define BYTES(literal) literal, sizeof(literal) - 1
#define BEGIN          "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0"
#define BEGIN_KEEP     "\1\1\0\1\0\10\0\0\0\1\1\0\0\0\0\0"
#define END_OF_PARAMS  "\1\4\0\1\0\0\0\0"
#define END_OF_STDIN   "\1\5\0\1\0\0\0\0"
#define ABORT          "\1\2\0\1\0\0\0\0"
#define GET            BEGIN_KEEP "\1\4\0\1\0\4\0\0\1\1AB" END_OF_PARAMS END_OF_STDIN
#define POST_5         BEGIN_KEEP "\1\4\0\1\0\25\0\0\16\1CONTENT_LENGTH5\1\1AB" END_OF_PARAMS
#define END(status)    "\1\3\0\1\0\10\0\0\0\0\0\0" status "\0\0\0"
#define COMPLETE       END("\0")
#define HELLO          "\1\6\0\1\0\32\0\0Content-Length: 5\r\n\r\nhello"

/* A member of the kind; a request with one variable. */
static int set_up(void **state)
{
    if (scene_set_up(state)) {
        return -1;
    }
    scene_t *scene = *state;
    apr_table_t *params = apr_table_make(scene->pool, 1);
    const char *text = apr_pstrcat(scene->pool, "unix:", scene->place.path, "|fcgi://localhost/", NULL);
    apr_table_setn(params, "A", "B");
    scene->request.params = params;
    return udr_target_parse(&scene->member->target, text, "/run", scene->pool) != NULL;
}

static void post(scene_t *scene, apr_uint64_t length)
{
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_LENGTH;
    scene->request.length = length;
}

static void assert_got(int fd, const char *expected, apr_size_t len)
{
    text_t got = {NULL, 0, 0};
    (void)member_swallows(fd, &got);
    assert_int_equal(got.len, len);
    assert_memory_equal(got.ptr, expected, len);
    text_clear(&got);
}

static void assert_closed(int fd)
{
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
    close(fd);
}

/* Starts a GET; returns the member's end of its connection, the request read. */
static int start_get(scene_t *scene)
{
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_got(fd, BYTES(GET));
    return fd;
}

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

/* --- there and back --- */

static void sends_a_body_and_gets_an_answer(void **state)
{
    scene_t *scene = *state;
    post(scene, 5);
    client_sends(&scene->client, "hello");
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_got(fd, BYTES(POST_5 "\1\5\0\1\0\5\0\0hello" END_OF_STDIN));
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    member_says_bytes(fd, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_story(scene, "head:200 data:5 end");
    assert_text(&scene->client.body, "hello");
    assert_true(scene->client.head.is_cgi);
    assert_counts(scene, 1, 0);
    close(fd);
}

static void sends_a_body_as_it_comes(void **state)
{
    scene_t *scene = *state;
    post(scene, 5);
    client_sends(&scene->client, "he");
    scene->client.behind = APR_EAGAIN;
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_got(fd, BYTES(POST_5 "\1\5\0\1\0\2\0\0he"));
    client_sends(&scene->client, "llo");
    assert_true(scene_settle(scene));
    assert_got(fd, BYTES("\1\5\0\1\0\3\0\0llo" END_OF_STDIN));
    member_says_bytes(fd, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    assert_done(scene);
    close(fd);
}

static void uses_the_connection_again(void **state)
{
    scene_t *scene = *state;
    int fd = start_get(scene);
    member_says_bytes(fd, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 1, 0);
    assert_true(scene_start(scene));
    assert_got(fd, BYTES(GET));
    /* Neither for an answer to HEAD: its end has been said. */
    member_says_bytes(fd, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    scene->request.method = "HEAD";
    assert_true(scene_start(scene));
    assert_got(fd, BYTES(GET));
    member_says_bytes(fd, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    assert_story(scene, "head:200 end");
    assert_counts(scene, 1, 0);
    close(fd);
}

/* What could not be sent again is not for a connection that may be closed at this moment. The other one goes, so that
 * its process is free. */
static void takes_a_new_connection_for_what_may_be_done_once(void **state)
{
    scene_t *scene = *state;
    int first = start_get(scene);
    member_says_bytes(first, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    assert_counts(scene, 1, 0);
    post(scene, 5);
    client_sends(&scene->client, "hello");
    assert_true(scene_start(scene));
    assert_closed(first);
    int second = member_accepts(scene);
    assert_got(second, BYTES(POST_5 "\1\5\0\1\0\5\0\0hello" END_OF_STDIN));
    member_says_bytes(second, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 1, 0);
    close(second);
}

static void does_not_keep_the_connection_of_a_lone_request(void **state)
{
    scene_t *scene = *state;
    scene->request.is_lone = true;
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_got(fd, BYTES(BEGIN "\1\4\0\1\0\4\0\0\1\1AB" END_OF_PARAMS END_OF_STDIN));
    member_says_bytes(fd, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 0, 0);
    assert_closed(fd);
}

static void does_not_keep_what_has_no_end(void **state)
{
    scene_t *scene = *state;
    int fd = start_get(scene);
    member_says_bytes(fd, BYTES(HELLO));
    assert_true(scene_settle(scene));
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_text(&scene->client.body, "hello");
    assert_counts(scene, 0, 0);
}

static void does_not_keep_what_has_more_behind_it(void **state)
{
    scene_t *scene = *state;
    int fd = start_get(scene);
    member_says_bytes(fd, BYTES(HELLO COMPLETE "\1"));
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 0, 0);
    assert_closed(fd);
}

/* Any record has room for 65535 bytes. */
static void cuts_a_large_body_into_records(void **state)
{
    enum { LARGE = 300000 };
    scene_t *scene = *state;
    char *bytes = make_bytes(scene, LARGE);
    text_t got = {NULL, 0, 0}, body = {NULL, 0, 0};
    post(scene, LARGE);
    client_sends_bytes(&scene->client, bytes, 200000);
    client_sends_bytes(&scene->client, bytes + 200000, LARGE - 200000);
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    while (udr_exchange_wait(scene->exchange)->member & POLLOUT) {
        (void)member_swallows(fd, &got);
        assert_true(scene_settle(scene));
    }
    (void)member_swallows(fd, &got);
    apr_size_t at =
        16 + 8 + 22 + 4 + 8; /* BEGIN_REQUEST; PARAMS with "CONTENT_LENGTH", "300000" and "A", "B"; its end */
    while (at < got.len) {
        const unsigned char *header = (const unsigned char *)got.ptr + at;
        apr_size_t len = (apr_size_t)header[4] << 8 | header[5];
        assert_memory_equal(header, "\1\5\0\1", 4);
        at += 8 + len;
        assert_true(at <= got.len && (len > 0 || at == got.len));
        text_add(&body, (const char *)header + 8, len);
    }
    assert_int_equal(body.len, LARGE);
    assert_memory_equal(body.ptr, bytes, LARGE);
    text_clear(&got);
    text_clear(&body);
    member_says_bytes(fd, BYTES(HELLO COMPLETE));
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 1, 0);
    close(fd);
}

/* --- notes, pieces --- */

static void hands_out_notes(void **state)
{
    scene_t *scene = *state;
    int fd = start_get(scene);
    member_says_bytes(fd, BYTES("\1\7\0\1\0\4\4\0one\npadd"));
    assert_true(scene_settle(scene));
    assert_text(&scene->client.notes, "one\n");
    assert_story(scene, "");
    member_says_bytes(fd, BYTES("\1\6\0\1\0\20\1\0Content-Length: \0"
                                "\1\7\0\1\0\4\2\0two\n\0\0"
                                "\1\6\0\1\0\7\0\0"
                                "5\n\nhell"
                                "\1\7\0\1\0\6\0\0three\n"
                                "\1\6\0\1\0\1\0\0o" COMPLETE));
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_text(&scene->client.notes, "one\ntwo\nthree\n");
    assert_text(&scene->client.fields, "Content-Length: 5\n");
    assert_text(&scene->client.body, "hello");
    assert_counts(scene, 1, 0);
    close(fd);
}

/* Byte by byte, each in a run of its own: what is kept between two of them is what the reader has made of it. */
static void takes_an_answer_in_pieces(void **state)
{
    static const char answer[] = "\1\7\0\1\0\4\4\0one\npadd"
                                 "\1\6\0\1\0\20\1\0Content-Length: \0"
                                 "\1\7\0\1\0\4\2\0two\n\0\0"
                                 "\1\6\0\1\0\4\3\0"
                                 "5\nX:\0\0\0"
                                 "\1\6\0\1\0\10\0\0 y\n\nhell"
                                 "\1\7\0\1\0\6\0\0three\n"
                                 "\1\6\0\1\0\1\0\0o" COMPLETE;
    scene_t *scene = *state;
    for (apr_size_t piece = 1; piece < 40; piece += 1) {
        scene->scratch_size = 64;
        int fd = start_get(scene);
        for (apr_size_t at = 0; at < sizeof answer - 1; at += piece) {
            apr_size_t rest = sizeof answer - 1 - at;
            member_says_bytes(fd, answer + at, piece < rest ? piece : rest);
            assert_int_equal(scene_settle(scene), piece < rest);
        }
        assert_done(scene);
        assert_text(&scene->client.notes, "one\ntwo\nthree\n");
        assert_text(&scene->client.fields, "Content-Length: 5\nX: y\n");
        assert_text(&scene->client.body, "hello");
        /* The next one finds a connection closed, and makes its own. */
        close(fd);
    }
}

/* --- what goes wrong --- */

static void tells_the_member_that_nobody_waits(void **state)
{
    scene_t *scene = *state;
    int fd = start_get(scene);
    scene->client.is_gone = true;
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_HEAD);
    assert_got(fd, BYTES(ABORT));
    assert_closed(fd);
    /* While a body is due, between two records. */
    scene->client.is_gone = false;
    post(scene, 5);
    client_sends(&scene->client, "he");
    scene->client.behind = APR_EAGAIN;
    assert_true(scene_start(scene));
    fd = member_accepts(scene);
    scene->client.is_gone = true;
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_SEND);
    assert_got(fd, BYTES(POST_5 "\1\5\0\1\0\2\0\0he" ABORT));
    assert_closed(fd);
}

/* Within a record those bytes would be the body's. */
static void says_nothing_within_a_record(void **state)
{
    enum { LARGE = 8 << 20 };
    scene_t *scene = *state;
    text_t got = {NULL, 0, 0};
    post(scene, LARGE);
    client_sends_bytes(&scene->client, make_bytes(scene, LARGE), LARGE);
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN | POLLOUT, 0);
    /* There is room for it. */
    (void)member_swallows(fd, &got);
    scene->client.is_gone = true;
    assert_false(scene_run(scene, UDR_READY_CLIENT_GONE));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_SEND);
    text_clear(&got);
    assert_closed(fd);
}

static void fails_when_the_member_is_busy(void **state)
{
    scene_t *scene = *state;
    int fd = start_get(scene);
    member_says_bytes(fd, BYTES(END("\2")));
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_BUSY, UDR_EXCHANGE_HEAD);
    assert_why(scene, "ended by END_REQUEST: it is overloaded", APR_SUCCESS);
    assert_story(scene, "");
    close(fd);
}

static void fails_with_an_answer_that_is_none(void **state)
{
    scene_t *scene = *state;
    int fd = start_get(scene);
    member_says_bytes(fd, BYTES(COMPLETE));
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    assert_why(scene, "ended without an answer", APR_SUCCESS);
    assert_null(udr_exchange_failure(scene->exchange)->protocol);
    close(fd);
    fd = start_get(scene);
    member_says_bytes(fd, BYTES(HELLO "\1\6\0\1\0\1\0\0x" END("\3")));
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_RELAY);
    close(fd);
}

static void names_the_protocol_of_the_answer(void **state)
{
    scene_t *scene = *state;
    int fd = start_get(scene);
    member_says_bytes(fd, BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    assert_string_equal(udr_exchange_failure(scene->exchange)->protocol, "HTTP");
    close(fd);
    /* In a record it is a CGI response with a status line, if a bad one. */
    fd = start_get(scene);
    member_says_bytes(fd, BYTES("\1\6\0\1\0\24\0\0"));
    assert_true(scene_settle(scene));
    member_says_bytes(fd, BYTES("HTTP/1.1 199 bad\r\n\r\n"));
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    assert_null(udr_exchange_failure(scene->exchange)->protocol);
    close(fd);
}

static void sends_no_body_of_unknown_length(void **state)
{
    scene_t *scene = *state;
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_REQUEST, UDR_EXCHANGE_SEND);
    assert_why(scene, "a body of unknown length", APR_EINVAL);
}

/* --- no short cut --- */

static apr_status_t refuse_to_be_asked(void *client, int *fd)
{
    (void)client;
    (void)fd;
    fail_msg("the records would go to the client");
    return APR_ENOTIMPL;
}

/* What stands between the records is not the client's. */
static void reads_a_large_body(void **state)
{
    enum { RECORDS = 20 };
    scene_t *scene = *state;
    udr_pipes_t pipes = {0};
    char *bytes = make_bytes(scene, 65535);
    scene->pipes = &pipes;
    scene->ops.bypass = refuse_to_be_asked;
    int fd = start_get(scene);
    member_says_bytes(fd, BYTES("\1\6\0\1\0\37\0\0Content-Length: 1310700\r\n\r\n!!!!"));
    for (int i = 0; i < RECORDS; i++) {
        member_says_bytes(fd, BYTES("\1\6\0\1\xff\xff\0\0"));
        member_says_bytes(fd, bytes, 65535);
        assert_true(scene_settle(scene));
    }
    member_says_bytes(fd, BYTES(COMPLETE));
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_int_equal(scene->client.body.len, 65535 * RECORDS);
    assert_memory_equal(scene->client.body.ptr + 65539, bytes, 65535 - 4);
    assert_counts(scene, 1, 0);
    close(fd);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_scene(sends_a_body_and_gets_an_answer),
        in_scene(sends_a_body_as_it_comes),
        in_scene(uses_the_connection_again),
        in_scene(takes_a_new_connection_for_what_may_be_done_once),
        in_scene(does_not_keep_the_connection_of_a_lone_request),
        in_scene(does_not_keep_what_has_no_end),
        in_scene(does_not_keep_what_has_more_behind_it),
        in_scene(cuts_a_large_body_into_records),
        in_scene(hands_out_notes),
        in_scene(takes_an_answer_in_pieces),
        in_scene(tells_the_member_that_nobody_waits),
        in_scene(says_nothing_within_a_record),
        in_scene(fails_when_the_member_is_busy),
        in_scene(fails_with_an_answer_that_is_none),
        in_scene(names_the_protocol_of_the_answer),
        in_scene(sends_no_body_of_unknown_length),
        in_scene(reads_a_large_body),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_fcgi", tests, NULL, NULL);
}
