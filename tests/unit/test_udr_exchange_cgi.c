/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges with members that are spoken to and answer as CGI programs are and do. */
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

static void post_hello(scene_t *scene)
{
    apr_table_t *params = apr_table_make(scene->pool, 1);
    apr_table_setn(params, "A", "b");
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_LENGTH;
    scene->request.length = 5;
    scene->request.params = params;
    client_sends(&scene->client, "hello");
}

/* The member gets these bytes, and no others. */
static int start(scene_t *scene, const char *bytes, apr_size_t len)
{
    text_t got = {NULL, 0, 0};
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    (void)member_swallows(fd, &got);
    assert_int_equal(got.len, len);
    assert_memory_equal(got.ptr, bytes, len);
    text_clear(&got);
    assert_waits(scene, UDR_EXCHANGE_HEAD, POLLIN, 0);
    return fd;
}

static int start_uwsgi(scene_t *scene)
{
    static const char request[] = "\0\x19\0\0\x01\0A\x01\0b\x0e\0CONTENT_LENGTH\x01\0"
                                  "5hello";
    scene_speak(scene, "uwsgi");
    post_hello(scene);
    return start(scene, request, sizeof request - 1);
}

static void assert_passed(const scene_t *scene, int status, const char *body)
{
    assert_true(scene->client.head.is_cgi);
    assert_int_equal(scene->client.head.status, status);
    assert_text(&scene->client.body, body);
}

static void passes_on_an_answer_that_ends_with_the_connection(void **state)
{
    scene_t *scene = *state;
    int fd = start_uwsgi(scene);
    member_says(fd, "HTTP/1.1 201 Created\r\nA: b\r\n\r\nhi");
    assert_true(scene_settle(scene));
    member_says(fd, " there");
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_passed(scene, 201, "hi there");
    assert_counts(scene, 0, 0);
}

/* It leaves bytes of the request unread. */
static void takes_a_reset_for_the_end_of_such_an_answer(void **state)
{
    scene_t *scene = *state;
    scene_speak(scene, "uwsgi");
    post_hello(scene);
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    member_says(fd, "Status: 403\r\n\r\nno");
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_passed(scene, 403, "no");
}

static void fails_on_a_reset_before_the_end_is_near(void **state)
{
    static const char *const beginnings[] = {"Status: 403\r\n", "Content-Length: 5\r\n\r\nno"};
    scene_t *scene = *state;
    for (size_t i = 0; i < 2; i++) {
        scene_speak(scene, "uwsgi");
        post_hello(scene);
        assert_true(scene_start(scene));
        int fd = member_accepts(scene);
        member_says(fd, beginnings[i]);
        close(fd);
        assert_false(scene_settle(scene));
        assert_failed(scene, UDR_FAILURE_CLOSED, i ? UDR_EXCHANGE_RELAY : UDR_EXCHANGE_HEAD);
        assert_int_equal(udr_exchange_failure(scene->exchange)->error, ECONNRESET);
    }
}

static void speaks_scgi_with_those_who_do(void **state)
{
    static const char request[] = "28:CONTENT_LENGTH\0"
                                  "5\0SCGI\0"
                                  "1\0A\0b\0,hello";
    scene_t *scene = *state;
    scene_speak(scene, "scgi");
    post_hello(scene);
    int fd = start(scene, request, sizeof request - 1);
    member_says(fd, "Status: 404 Not Found\r\nA: b\r\n\r\nhi");
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_passed(scene, 404, "hi");
    assert_counts(scene, 0, 0);
}

/* The process behind the socket serves nobody else until it is closed, whatever the member says and disablereuse. */
static void never_keeps_a_connection(void **state)
{
    scene_t *scene = *state;
    assert_true(scene->member->settings.reuse != 0);
    int fd = start_uwsgi(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_passed(scene, 200, "hi");
    assert_counts(scene, 0, 0);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
    close(fd);
}

/* Nor where the answer alone would let it: the protocol's word counts. */
static void keeps_none_where_the_protocol_has_no_keepalive(void **state)
{
    scene_t *scene = *state;
    udr_target_t target = *scene->member->target;
    udr_scheme_t scheme = *target.scheme;
    udr_protocol_t protocol = *scheme.protocol;
    protocol.has_keepalive = false;
    scheme.protocol = &protocol;
    target.scheme = &scheme;
    scene->member->target = &target;
    assert_true(scene_start(scene));
    int fd = member_accepts(scene);
    assert_string_equal(member_reads(scene, fd), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_false(scene_settle(scene));
    assert_done(scene);
    assert_counts(scene, 0, 0);
    close(fd);
    scene_end(scene);
}

static void refuses_to_send_what_has_no_length(void **state)
{
    scene_t *scene = *state;
    scene_speak(scene, "uwsgi");
    scene->request.method = "POST";
    scene->request.body = UDR_BODY_CHUNKED;
    assert_false(scene_start(scene));
    assert_failed(scene, UDR_FAILURE_REQUEST, UDR_EXCHANGE_SEND);
    assert_why(scene, "a body of unknown length", APR_EINVAL);
}

static void refuses_an_interim_answer(void **state)
{
    scene_t *scene = *state;
    int fd = start_uwsgi(scene);
    member_says(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_RESPONSE, UDR_EXCHANGE_HEAD);
    close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(passes_on_an_answer_that_ends_with_the_connection),
        TEST(takes_a_reset_for_the_end_of_such_an_answer),
        TEST(fails_on_a_reset_before_the_end_is_near),
        TEST(speaks_scgi_with_those_who_do),
        TEST(never_keeps_a_connection),
        TEST(keeps_none_where_the_protocol_has_no_keepalive),
        TEST(refuses_to_send_what_has_no_length),
        TEST(refuses_an_interim_answer),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_cgi", tests, NULL, NULL);
}
