/* SPDX-License-Identifier: Apache-2.0 */
/* The library as a program uses it: only udsbackend.h, and a client that writes and reads bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsbackend.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char directory[64], path[96];
static udsb_server_t *server;

/* --- a client -------------------------------------------------------------------------------------------------------
 */

static int try_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(descriptor, (const struct sockaddr *)&address, sizeof address)) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

static int connect_and_send(const char *text)
{
    const int descriptor = try_connect();

    assert_true(descriptor >= 0);
    assert_int_equal(send(descriptor, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    return descriptor;
}

/* Reads until there is what is expected, or the end. */
static void read_until(int descriptor, const char *expected, char *text, size_t size)
{
    size_t used = 0;
    ssize_t length;

    text[0] = '\0';
    while (used < size - 1 && (!expected || !strstr(text, expected)) &&
           (length = recv(descriptor, text + used, size - 1 - used, 0)) > 0) {
        used += (size_t)length;
        text[used] = '\0';
    }
}

/* One request on a connection of its own; what is expected must be in the answer. */
static void assert_answer(const char *request, const char *expected)
{
    const int descriptor = connect_and_send(request);
    char text[4096];

    shutdown(descriptor, SHUT_WR); /* so that the connection ends after the answer */
    read_until(descriptor, NULL, text, sizeof text);
    close(descriptor);
    if (!strstr(text, expected))
        fail_msg("expected \"%s\" in \"%s\"", expected, text);
}

#define GET(target)   "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define CLOSE(target) "GET " target " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

/* --- handlers -------------------------------------------------------------------------------------------------------
 */

static void answer_nothing(udsb_request_t *request, void *context)
{
    (void)request, (void)context;
}

static void answer_twice(udsb_request_t *request, void *context)
{
    (void)context;
    udsb_request_answer_text(request, 201, "first");
    udsb_request_answer_text(request, 202, "second");
}

static void answer_after_a_wait(udsb_request_t *request, void *context)
{
    static char waited;

    (void)context;
    if (udsb_request_state(request) == &waited) {
        udsb_request_answer_text(request, 200, "after a wait");
        return;
    }
    udsb_request_set_state(request, &waited, NULL);
    udsb_request_wait(request, 20, false);
}

static void answer_with_body(udsb_request_t *request, void *context)
{
    size_t length;
    const char *const body = udsb_request_body(request, &length);

    (void)context;
    udsb_request_answer(request, 200, udsb_response_copy("text/plain", body, length));
}

static bool refuse_x(udsb_request_t *request, const void *data, size_t length, void *context)
{
    (void)request, (void)context;
    return !memchr(data, 'x', length);
}

static void answer_bad_header(udsb_request_t *request, void *context)
{
    udsb_response_t *const response = udsb_response_copy(NULL, "a", 1);

    (void)context;
    assert_false(udsb_response_header(response, "X-Bad", "a\r\nInjected: b"));
    assert_true(udsb_response_header(response, "X-Good", "a"));
    udsb_request_answer(request, 200, response);
}

static ssize_t fail_in_the_middle(void *state, uint64_t position, char *buffer, size_t size)
{
    (void)state, (void)size;
    if (position)
        return UDSB_SOURCE_FAILED;
    buffer[0] = 'a';
    return 1;
}

static atomic_uint destroyed;

static void count_destroyed(void *state)
{
    (void)state;
    atomic_fetch_add(&destroyed, 1);
}

static void answer_failing_stream(udsb_request_t *request, void *context)
{
    (void)context;
    udsb_request_answer(
        request, 200,
        udsb_response_stream(request, NULL, UDSB_LENGTH_UNKNOWN, fail_in_the_middle, NULL, count_destroyed));
}

/* Waits until the test lets it go on: a pipe says when it is called. */
static int entered[2];

static void answer_for_ever(udsb_request_t *request, void *context)
{
    (void)context;
    if (!udsb_request_state(request)) {
        udsb_request_set_state(request, entered, NULL);
        assert_int_equal(write(entered[1], "x", 1), 1);
    }
    udsb_request_wait(request, 3600000, false);
}

static void answer_slowly(udsb_request_t *request, void *context)
{
    (void)context;
    if (udsb_request_state(request)) {
        udsb_request_answer_text(request, 200, "slowly");
        return;
    }
    udsb_request_set_state(request, entered, NULL);
    assert_int_equal(write(entered[1], "x", 1), 1);
    udsb_request_wait(request, 200, false);
}

static void wait_until_entered(void)
{
    char byte;

    assert_int_equal(read(entered[0], &byte, 1), 1);
}

/* --- set-up ---------------------------------------------------------------------------------------------------------
 */

static void be_silent(void *context, udsb_log_level_t level, const char *line)
{
    (void)context, (void)level, (void)line;
}

static void map(const char *methods, const char *route, udsb_handler_t *handler, udsb_body_function_t *body)
{
    assert_int_equal(
        udsb_server_map(
            server,
            &(udsb_route_t){.methods = methods, .path = route, .handler = handler, .body = body, .body_limit = 8}),
        UDSB_OK);
}

static int set_up_with(uint64_t finish_ms)
{
    strcpy(directory, "/tmp/udsb-server-XXXXXX");
    if (!mkdtemp(directory) || pipe(entered))
        return -1;
    snprintf(path, sizeof path, "%s/a.sock", directory);
    server = udsb_server_create(&(udsb_server_options_t){.threads = 2, .finish_ms = finish_ms, .log = be_silent});
    map("GET", "/nothing", answer_nothing, NULL);
    map("GET", "/twice", answer_twice, NULL);
    map("GET", "/wait", answer_after_a_wait, NULL);
    map("POST", "/body", answer_with_body, NULL);
    map("POST", "/picky", answer_with_body, refuse_x);
    map("GET", "/header", answer_bad_header, NULL);
    map("GET", "/fail", answer_failing_stream, NULL);
    map("GET", "/ever", answer_for_ever, NULL);
    map("GET", "/slow", answer_slowly, NULL);
    assert_int_equal(udsb_server_map_text(server, "GET", "/ux", "Hello"), UDSB_OK);
    assert_int_equal(udsb_server_listen(server, &(udsb_listener_options_t){.address = path, .mode = 0600}), UDSB_OK);
    return udsb_server_start(server) == UDSB_OK ? 0 : -1;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with(60000);
}

static int set_up_impatient(void **state)
{
    (void)state;
    return set_up_with(50);
}

static int tear_down(void **state)
{
    (void)state;
    udsb_server_destroy(server);
    close(entered[0]);
    close(entered[1]);
    return rmdir(directory); /* fails if anything was left in it */
}

/* --- tests ----------------------------------------------------------------------------------------------------------
 */

static void answers(void **state)
{
    (void)state;
    assert_answer(GET("/ux"), "200 OK");
    assert_answer(GET("/ux"), "\r\n\r\nHello");
    assert_answer("HEAD /ux HTTP/1.1\r\nHost: h\r\n\r\n", "Content-Length: 5\r\n");
    assert_answer("GET /ux HTTP/1.0\r\n\r\n", "\r\n\r\nHello");
    assert_answer(GET("/nothing"), "500 ");
    assert_answer(GET("/twice"), "201 ");
    assert_answer(GET("/header"), "X-Good: a\r\n");
    assert_answer(GET("/other"), "404 ");
    assert_answer("PUT /ux HTTP/1.1\r\nHost: h\r\n\r\n", "Allow: GET, HEAD, OPTIONS\r\n");
    assert_answer("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "204 ");
    assert_answer(CLOSE("/wait"), "after a wait");
}

static void bodies(void **state)
{
    (void)state;
    assert_answer("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n12345678", "\r\n\r\n12345678");
    assert_answer("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n123456789", "413 ");
    assert_answer(
        "POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n",
        "\r\n\r\n12345678");
    assert_answer("POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n",
                  "413 ");
    assert_answer("POST /picky HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "200 ");
    assert_answer("POST /picky HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\naxc", "400 ");
}

/* RFC 9112, 6.3 and 11.2. */
static void what_can_be_read_two_ways_is_refused(void **state)
{
    (void)state;
    assert_answer("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  "400 ");
    assert_answer("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400 ");
    assert_answer("POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nabc", "501 ");
    assert_answer("POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501 ");
    assert_answer("GET /ux HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "400 ");
    assert_answer("GET /ux HTTP/1.1\r\n\r\n", "400 ");
    assert_answer(GET("/u%00x"), "400 ");
}

static void a_stream_that_fails_has_no_proper_end(void **state)
{
    char text[1024];
    int descriptor;

    (void)state;
    atomic_store(&destroyed, 0);
    descriptor = connect_and_send(GET("/fail"));
    read_until(descriptor, NULL, text, sizeof text);
    close(descriptor);
    assert_non_null(strstr(text, "\r\n1\r\na\r\n"));
    assert_null(strstr(text, "\r\n0\r\n"));
    assert_int_equal(udsb_server_stop(server), UDSB_OK);
    assert_int_equal(atomic_load(&destroyed), 1);
}

static void many_requests_on_one_connection(void **state)
{
    const int descriptor = connect_and_send(GET("/ux"));
    char text[1024];

    (void)state;
    for (int i = 0; i < 100; i++) {
        read_until(descriptor, "Hello", text, sizeof text);
        assert_non_null(strstr(text, "Hello"));
        assert_int_equal(send(descriptor, GET("/ux"), strlen(GET("/ux")), MSG_NOSIGNAL), strlen(GET("/ux")));
    }
    close(descriptor);
}

static void *stop(void *context)
{
    (void)context;
    udsb_server_stop(server);
    return NULL;
}

static void stopping_finishes_what_runs_and_closes_what_is_idle(void **state)
{
    const int idle = try_connect(), slow = connect_and_send(GET("/slow")), kept = connect_and_send(GET("/ux"));
    char text[1024];

    (void)state;
    wait_until_entered();
    read_until(kept, "Hello", text, sizeof text);
    assert_int_equal(udsb_server_stop(server), UDSB_OK);
    read_until(slow, NULL, text, sizeof text);
    assert_non_null(strstr(text, "slowly"));
    assert_non_null(strstr(text, "Connection: close"));
    assert_int_equal(recv(idle, text, sizeof text, 0), 0);
    assert_int_equal(recv(kept, text, sizeof text, 0), 0);
    assert_int_equal(try_connect(), -1);
    close(idle);
    close(slow);
    close(kept);
}

/* --- a server whose only worker is held by a handler, so that things pile up before it
 * --------------------------------- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void pass_the_gate(void)
{
    assert_int_equal(write(entered[1], "x", 1), 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void answer_behind_the_gate(udsb_request_t *request, void *context)
{
    (void)context;
    pass_the_gate();
    udsb_request_answer_text(request, 200, "through");
}

static void wait_until_stop(udsb_request_t *request, void *context)
{
    (void)context;
    if (udsb_request_state(request)) {
        udsb_request_answer_text(request, 200, "woken");
        return;
    }
    udsb_request_set_state(request, &gate, NULL);
    udsb_request_wait(request, 3600000, true);
}

static int set_up_gate(void **state)
{
    if (set_up(state))
        return -1;
    udsb_server_destroy(server);
    server = udsb_server_create(&(udsb_server_options_t){.threads = 1, .log = be_silent});
    map("GET", "/gate", answer_behind_the_gate, NULL);
    map("POST", "/until/stop", wait_until_stop, NULL);
    assert_int_equal(udsb_server_map_text(server, "GET", "/ux", "Hello"), UDSB_OK);
    assert_int_equal(udsb_server_listen(server, &(udsb_listener_options_t){.address = path}), UDSB_OK);
    return udsb_server_start(server) == UDSB_OK ? 0 : -1;
}

/* Closes the gate, and sends a request that stands before it. */
static int close_gate(const char *request)
{
    int descriptor;

    pthread_mutex_lock(&gate);
    descriptor = connect_and_send(request);
    wait_until_entered();
    return descriptor;
}

/* Begins to stop the server: what it wants of the worker comes before all that piles up at the sockets. */
static pthread_t begin_to_stop(void)
{
    const struct timespec moment = {.tv_nsec = 100000000};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop, NULL), 0);
    while (!udsb_server_is_draining(server))
        sched_yield();
    nanosleep(&moment, NULL); /* from here to its first call of the worker nothing can be seen from outside */
    return thread;
}

static void the_backlog_is_not_lost(void **state)
{
    enum { QUEUE = 64 };
    int holding, queued[QUEUE];
    char text[1024];
    pthread_t thread;

    (void)state;
    holding = close_gate(CLOSE("/gate"));
    for (int i = 0; i < QUEUE; i++)
        queued[i] = connect_and_send(GET("/ux"));
    thread = begin_to_stop();
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < QUEUE; i++) {
        read_until(queued[i], NULL, text, sizeof text);
        assert_non_null(strstr(text, "Hello"));
        close(queued[i]);
    }
    read_until(holding, NULL, text, sizeof text);
    assert_non_null(strstr(text, "through"));
    close(holding);
    pthread_join(thread, NULL);
}

/* A wait that ends with the server does not even begin when the server is stopping already. */
static void no_wait_begins_while_stopping(void **state)
{
    const int descriptor = connect_and_send("POST /until/stop HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                                            "Content-Length: 1\r\n\r\n");
    char text[1024];
    pthread_t thread;

    (void)state;
    read_until(descriptor, "100 Continue\r\n\r\n", text, sizeof text);
    thread = begin_to_stop();
    assert_int_equal(send(descriptor, "x", 1, MSG_NOSIGNAL), 1);
    read_until(descriptor, NULL, text, sizeof text);
    assert_non_null(strstr(text, "woken"));
    close(descriptor);
    pthread_join(thread, NULL);
}

/* Exactly as many requests at the same moment as libmicrohttpd takes from epoll at once: none is forgotten. */
static void a_crowd_at_once(void **state)
{
    enum { CROWD = 128 };
    int holding, descriptors[CROWD];
    char text[1024];

    (void)state;
    for (int i = 0; i < CROWD; i++) { /* known to the worker, and idle */
        descriptors[i] = connect_and_send(GET("/ux"));
        read_until(descriptors[i], "Hello", text, sizeof text);
    }
    holding = close_gate(GET("/gate"));
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(send(descriptors[i], GET("/ux"), strlen(GET("/ux")), MSG_NOSIGNAL), strlen(GET("/ux")));
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < CROWD; i++) {
        read_until(descriptors[i], "Hello", text, sizeof text);
        assert_non_null(strstr(text, "Hello"));
        close(descriptors[i]);
    }
    close(holding);
}

/* --- the end that is not waited for ---------------------------------------------------------------------------------
 */

static void what_does_not_finish_is_cut_off(void **state)
{
    const int descriptor = connect_and_send(GET("/ever"));
    char text[64];

    (void)state;
    wait_until_entered();
    assert_int_equal(udsb_server_stop(server), UDSB_OK); /* after finish_ms */
    assert_true(recv(descriptor, text, sizeof text, 0) <= 0);
    close(descriptor);
}

static void hurrying_cuts_off_at_once(void **state)
{
    const int descriptor = connect_and_send(GET("/ever"));
    char text[64];
    pthread_t thread;

    (void)state;
    wait_until_entered();
    assert_int_equal(pthread_create(&thread, NULL, stop, NULL), 0);
    udsb_server_hurry(server);
    pthread_join(thread, NULL); /* finish_ms is a minute */
    assert_true(recv(descriptor, text, sizeof text, 0) <= 0);
    close(descriptor);
}

static void steps_have_an_order(void **state)
{
    udsb_server_t *const other = udsb_server_create(NULL);
    const udsb_route_t route = {.methods = "GET", .path = "/late", .handler = answer_nothing};

    (void)state;
    assert_string_equal(udsb_server_error(NULL), "out of memory");
    assert_string_equal(udsb_server_error(other), "");
    assert_int_equal(udsb_server_start(other), UDSB_BAD_STATE);
    assert_string_equal(udsb_server_error(other), "a server needs a listener to start");
    udsb_server_destroy(other);
    udsb_server_destroy(NULL);

    assert_int_equal(udsb_server_start(server), UDSB_BAD_STATE);
    assert_int_equal(udsb_server_map(server, &route), UDSB_BAD_STATE);
    assert_int_equal(udsb_server_map_text(server, "GET", "/late", ""), UDSB_BAD_STATE);
    assert_int_equal(udsb_server_map_files(server, "/", directory), UDSB_BAD_STATE);
    assert_int_equal(udsb_server_map_websocket(server, "/late", NULL, 0, NULL), UDSB_BAD_STATE);
    assert_int_equal(udsb_server_listen(server, &(udsb_listener_options_t){.address = "/x"}), UDSB_BAD_STATE);
    assert_int_equal(udsb_server_listen_fd(server, 0), UDSB_BAD_STATE);
    assert_int_equal(udsb_server_allow_peer(server, "root"), UDSB_BAD_STATE);
    assert_false(udsb_server_is_draining(server));
    udsb_server_drain(server);
    assert_true(udsb_server_is_draining(server));
    assert_false(udsb_server_is_stopping(server));
    assert_answer(GET("/ux"), "Hello");
    assert_int_equal(udsb_server_stop(server), UDSB_OK);
    assert_int_equal(udsb_server_stop(server), UDSB_OK);
    assert_int_equal(udsb_server_start(server), UDSB_BAD_STATE);
}

static void arguments_have_ranges(void **state)
{
    static const struct {
        udsb_listener_options_t options;
        const char *expected;
    } cases[] = {
        {{.address = NULL}, "socket \"\" is missing"},
        {{.address = "@"}, "socket \"@\" has no name after the @"},
        {{.address = "/x", .mode = 01000}, "mode 1000 is not from 1 to 0777"},
        {{.address = "/x", .backlog = -1}, "backlog -1 is not from 1 to 65535"},
        {{.address = "/x", .backlog = 65536}, "backlog 65536 is not from 1 to 65535"},
        {{.address = "/x", .owner = "no-such-user"}, "owner \"no-such-user\" is not a user"},
        {{.address = "/x", .group = "no-such-group"}, "group \"no-such-group\" is not a group"},
    };
    udsb_server_t *const other = udsb_server_create(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(udsb_server_listen(other, &cases[i].options), UDSB_INVALID);
        assert_string_equal(udsb_server_error(other), cases[i].expected);
    }
    assert_int_equal(udsb_server_allow_peer(other, "no-such-user"), UDSB_INVALID);
    assert_int_equal(udsb_server_map_files(other, "/no-slash", directory), UDSB_INVALID);
    assert_int_equal(udsb_server_map_files(other, "/", "/nonexistent"), UDSB_SYSTEM);
    assert_int_equal(udsb_server_listen(other, &(udsb_listener_options_t){.address = path}), UDSB_IN_USE);
    udsb_server_destroy(other);
    assert_string_equal(udsb_version(), UDSB_VERSION);
}

/* A server that never starts takes its socket file with it. */
static void not_started_but_unlinked(void **state)
{
    udsb_server_t *const other = udsb_server_create(NULL);
    struct stat status;
    char second[112];

    (void)state;
    snprintf(second, sizeof second, "%s.2", path);
    assert_int_equal(udsb_server_listen(other, &(udsb_listener_options_t){.address = second, .mode = 0640}), UDSB_OK);
    assert_int_equal(stat(second, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    udsb_server_destroy(other);
    assert_int_equal(stat(second, &status), -1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(answers),
        TEST(bodies),
        TEST(what_can_be_read_two_ways_is_refused),
        TEST(a_stream_that_fails_has_no_proper_end),
        TEST(many_requests_on_one_connection),
        TEST(stopping_finishes_what_runs_and_closes_what_is_idle),
        cmocka_unit_test_setup_teardown(the_backlog_is_not_lost, set_up_gate, tear_down),
        cmocka_unit_test_setup_teardown(no_wait_begins_while_stopping, set_up_gate, tear_down),
        cmocka_unit_test_setup_teardown(a_crowd_at_once, set_up_gate, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_finish_is_cut_off, set_up_impatient, tear_down),
        TEST(hurrying_cuts_off_at_once),
        TEST(steps_have_an_order),
        TEST(arguments_have_ranges),
        TEST(not_started_but_unlinked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
