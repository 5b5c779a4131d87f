/* SPDX-License-Identifier: Apache-2.0 */
/* One check, with the member's side in the hands of the test, step by step on one thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_check.h"
#include "tests/unit/fixture_settings.h"
#include "tests/unit/fixture_socket.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static apr_pool_t *pool;
static apr_pool_t *child;
static place_t place;
static udr_loop_t *loop;
static udr_member_t *member;
static udr_check_t *check;
static udr_finding_t found; /* by the last check */
static char why[256];
static int ended;        /* how many checks have */
static bool is_fine;     /* what the expression says */
static char seen[80000]; /* the body that it was shown */
static int seen_status;

/* --- the scenery --- */

static void done(void *baton, const udr_finding_t *finding)
{
    (void)baton;
    found = *finding;
    const char *reason = udr_check_explain(check);
    apr_cpystrn(why, reason ? reason : "", sizeof why);
    ended++;
    udr_loop_stop(loop);
}

static bool accepts(void *baton, const udr_member_t *whose, const udr_answer_t *answer, const char **reason,
                    apr_pool_t *p)
{
    (void)baton;
    assert_ptr_equal(whose, member);
    memcpy(seen, answer->body.ptr, answer->body.len);
    seen[answer->body.len] = '\0';
    seen_status = answer->status;
    *reason = is_fine ? NULL : apr_pstrdup(p, "not fine");
    return is_fine;
}

static const udr_check_client_t client = {.accepts = accepts, .done = done};

static int set_up(void **state)
{
    (void)state;
    ended = 0;
    why[0] = '\0';
    seen[0] = '\0';
    is_fine = true;
    found = (udr_finding_t){.cause = UDR_CAUSES};
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS || !place_make(&place, pool) ||
        apr_pool_create(&child, pool) != APR_SUCCESS || udr_loop_create(&loop, child) != APR_SUCCESS) {
        return -1;
    }
    place_listen(&place, 5);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(child);
    bool dropped = place_drop(&place);
    apr_pool_destroy(pool);
    return dropped ? 0 : -1;
}

/* parameters: "key=value key=value …". path: behind the host. */
static void make(const char *path, const char *parameters)
{
    const udr_target_t *target;
    udr_settings_t settings = settings_of(parameters, pool);
    assert_null(
        udr_target_parse(&target, apr_psprintf(pool, "unix:%s|http://app.example:81%s", place.path, path), "/", pool));
    udr_settings_resolve(&settings, apr_time_from_sec(60), false);
    member = udr_member_create(target, &settings, pool);
    assert_int_equal(udr_check_create(&check, member, loop, &client, NULL, child), APR_SUCCESS);
}

/* Whatever is ready. */
static void run_loop(void)
{
    udr_loop_stop(loop);
    udr_loop_run(loop);
}

/* Until the check has ended. */
static void await_end(void)
{
    int before = ended;
    alarm(20);
    if (udr_check_is_running(check)) {
        udr_loop_run(loop);
    }
    alarm(0);
    assert_int_equal(ended, before + 1);
    assert_false(udr_check_is_running(check));
}

/* Returns the member's end, when it has got the whole request. */
static int accept_check(char *request, size_t size)
{
    int fd = place_accept(&place);
    ssize_t len = recv(fd, request, size - 1, 0);
    assert_true(len > 0);
    request[len] = '\0';
    return fd;
}

static void say(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/* One check that is answered so. closes: then the end. */
static void answer_with(const char *bytes, size_t len, bool closes)
{
    char request[1024];
    udr_check_begin(check, false, 0);
    int fd = accept_check(request, sizeof request);
    say(fd, bytes, len);
    if (closes) {
        close(fd);
    }
    ended = 0;
    found = (udr_finding_t){.cause = UDR_CAUSES};
    udr_loop_run(loop);
    assert_int_equal(ended, 1);
    if (!closes) {
        char byte;
        assert_int_equal(recv(fd, &byte, 1, 0), 0); /* one connection for each check, closed by us */
        close(fd);
    }
}

static void answer(const char *text)
{
    answer_with(text, strlen(text), false);
}

#define assert_found(cause_, detail_) check_found(cause_, detail_, __LINE__)
static void check_found(udr_cause_t cause, int detail, int line)
{
    if (found.cause != cause || found.detail != detail) {
        fail_msg("line %d: cause %d, detail %d; %s", line, (int)found.cause, found.detail, why);
    }
    assert_true(found.begun > 0);
}

/* --- what is asked --- */

static void asks_as_the_member_is_configured(void **state)
{
    static const struct {
        const char *path;
        const char *parameters;
        const char *line;
    } rows[] = {
        {"/", "hcmethod=GET", "GET / HTTP/1.0\r\n"},
        {"", "hcmethod=GET11", "GET / HTTP/1.1\r\n"},
        {"/", "hcmethod=GET hcuri=/healthz", "GET /healthz HTTP/1.0\r\n"},
        {"/", "hcmethod=GET hcuri=healthz?a=b", "GET /healthz?a=b HTTP/1.0\r\n"},
        {"", "hcmethod=HEAD hcuri=/healthz", "HEAD /healthz HTTP/1.0\r\n"},
        {"/app", "hcmethod=HEAD11", "HEAD /app HTTP/1.1\r\n"},
        {"/app", "hcmethod=HEAD11 hcuri=/h", "HEAD /app/h HTTP/1.1\r\n"},
        {"/app/", "hcmethod=HEAD11 hcuri=/h", "HEAD /app/h HTTP/1.1\r\n"},
        {"/app/", "hcmethod=GET hcuri=?a", "GET /app/?a HTTP/1.0\r\n"},
        {"/a$1", "hcmethod=GET hcuri=/h", "GET /h HTTP/1.0\r\n"},
        {"/a$1", "hcmethod=GET", "GET / HTTP/1.0\r\n"},
        {"/app", "hcmethod=OPTIONS", "OPTIONS * HTTP/1.0\r\n"},
        {"/app", "hcmethod=OPTIONS11 hcuri=/o", "OPTIONS /app/o HTTP/1.1\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char request[1024];
        make(rows[i].path, rows[i].parameters);
        udr_check_begin(check, false, 0);
        int fd = accept_check(request, sizeof request);
        if (strncmp(request, rows[i].line, strlen(rows[i].line)) != 0) {
            fail_msg("%s %s: %s", rows[i].path, rows[i].parameters, request);
        }
        assert_non_null(strstr(request, "\r\nHost: app.example:81\r\n"));
        assert_non_null(strstr(request, "\r\nConnection: close\r\n"));
        assert_string_equal(request + strlen(request) - 4, "\r\n\r\n");
        udr_check_cancel(check);
        close(fd);
    }
}

static void only_connects_where_nothing_is_asked(void **state)
{
    char byte;
    (void)state;
    make("/", "hcmethod=CONNECT");
    udr_check_begin(check, false, 0);
    assert_int_equal(ended, 1);
    assert_found(UDR_CAUSE_NONE, 0);
    int fd = place_accept(&place);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
    make("/", "hcmethod=GET");
    udr_check_begin(check, true, 0);
    assert_int_equal(ended, 2);
    assert_found(UDR_CAUSE_NONE, 0);
    close(place_accept(&place));
}

/* --- what is found --- */

static void takes_2xx_and_3xx_for_health(void **state)
{
    static const struct {
        int status;
        bool is_well;
    } rows[] = {{200, true},  {204, true},  {299, true},  {302, true},  {399, true},
                {400, false}, {404, false}, {500, false}, {503, false}, {101, false}};
    (void)state;
    make("/", "hcmethod=GET");
    for (size_t i = 0; i < COUNT(rows); i++) {
        answer(apr_psprintf(pool, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", rows[i].status));
        assert_found(rows[i].is_well ? UDR_CAUSE_NONE : UDR_CAUSE_CHECK_STATUS, rows[i].is_well ? 0 : rows[i].status);
    }
}

static void reads_answers_of_every_kind(void **state)
{
    static const char *const answers[] = {
        OK_ANSWER,
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" OK_ANSWER,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OK_ANSWER "and more",
    };
    (void)state;
    make("/", "hcmethod=GET hcexpr=e");
    for (size_t i = 0; i < COUNT(answers); i++) {
        answer(answers[i]);
        assert_found(UDR_CAUSE_NONE, 0);
        assert_string_equal(seen, "ok");
        assert_int_equal(seen_status, 200);
    }
    answer_with("HTTP/1.0 200 OK\r\n\r\nok", 21, true);
    assert_found(UDR_CAUSE_NONE, 0);
    assert_string_equal(seen, "ok");
}

static void reads_answers_that_come_in_pieces(void **state)
{
    char request[1024];
    (void)state;
    make("/", "hcmethod=GET hcexpr=e");
    udr_check_begin(check, false, 0);
    int fd = accept_check(request, sizeof request);
    for (const char *s = OK_ANSWER; *s; s++) {
        assert_int_equal(ended, 0);
        say(fd, s, 1);
        run_loop();
    }
    assert_int_equal(ended, 1);
    assert_found(UDR_CAUSE_NONE, 0);
    assert_string_equal(seen, "ok");
    close(fd);
}

static void has_an_expression_judge(void **state)
{
    (void)state;
    make("/", "hcmethod=GET hcexpr=e");
    answer("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    assert_found(UDR_CAUSE_NONE, 0);
    assert_int_equal(seen_status, 500);
    is_fine = false;
    answer(OK_ANSWER);
    assert_found(UDR_CAUSE_CHECK_ANSWER, 200);
    assert_string_equal(why, "not fine");
}

/* A body that has no end is no reason to read for ever. */
static void reads_so_much_of_a_body(void **state)
{
    char *body = apr_palloc(pool, UDR_CHECK_BODY_MAX + 100);
    (void)state;
    memset(body, 'x', UDR_CHECK_BODY_MAX + 100);
    make("/", "hcmethod=GET hcexpr=e");
    char request[1024];
    udr_check_begin(check, false, 0);
    int fd = accept_check(request, sizeof request);
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    say(fd, head, sizeof head - 1);
    for (size_t sent = 0; !ended && sent < UDR_CHECK_BODY_MAX + 100;) {
        ssize_t n = send(fd, body, 8192, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        run_loop();
    }
    assert_int_equal(ended, 1);
    assert_found(UDR_CAUSE_NONE, 0);
    assert_int_equal(strlen(seen), UDR_CHECK_BODY_MAX);
    close(fd);
}

static void finds_what_is_no_answer(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        udr_cause_t cause;
        int detail;
    } rows[] = {
        {"", 0, UDR_CAUSE_UNANSWERED, 0},
        {"HTTP/1.1 2", 10, UDR_CAUSE_BROKEN_OFF, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 40, UDR_CAUSE_BROKEN_OFF, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", 40, UDR_CAUSE_RESPONSE, 0},
        {"hello, world\r\n\r\n", 16, UDR_CAUSE_RESPONSE, 0},
        {"\1\3\0\0\0\10\0\0\0\0\0\0\0\0\0\0", 16, UDR_CAUSE_CHECK_PROTOCOL, 1},
        {"\25\3\3\0\2\2\12", 7, UDR_CAUSE_CHECK_PROTOCOL, 2},
        {"\0\0\0\4\0\0\0\0\0", 9, UDR_CAUSE_CHECK_PROTOCOL, 3},
    };
    (void)state;
    make("/", "hcmethod=GET");
    for (size_t i = 0; i < COUNT(rows); i++) {
        answer_with(rows[i].bytes, rows[i].len, true);
        assert_found(rows[i].cause, rows[i].detail);
        assert_int_equal(why[0] != '\0',
                         rows[i].cause == UDR_CAUSE_RESPONSE || rows[i].cause == UDR_CAUSE_CHECK_PROTOCOL);
    }
}

static void finds_why_it_can_not_connect(void **state)
{
    (void)state;
    make("/", "hcmethod=GET");
    place_abandon(&place);
    udr_check_begin(check, false, 0);
    assert_found(UDR_CAUSE_STALE, ECONNREFUSED);
    assert_int_equal(unlink(place.path), 0);
    udr_check_begin(check, false, 0);
    assert_found(UDR_CAUSE_ABSENT, ENOENT);
    assert_int_equal(ended, 2);
    place_listen(&place, 5);
    answer(OK_ANSWER);
    assert_found(UDR_CAUSE_NONE, 0);
}

static void refuses_another_peer(void **state)
{
    (void)state;
    make("/", "hcmethod=GET peer=4294967294");
    udr_check_begin(check, false, 0);
    assert_found(UDR_CAUSE_OPERATOR, 0);
    assert_non_null(strstr(why, place_describe_peer(&place)));
    close(place_accept(&place));
}

/* --- time --- */

static void gives_up_on_one_that_hangs(void **state)
{
    char request[1024];
    (void)state;
    make("/", "hcmethod=GET hcinterval=100ms hctimeout=20ms");
    udr_check_begin(check, false, 0);
    int fd = accept_check(request, sizeof request);
    say(fd, "HTTP/1.1 200 OK\r\n", 17);
    await_end();
    assert_found(UDR_CAUSE_CHECK_TIMEOUT, 0);
    close(fd);
}

static void waits_for_a_full_backlog(void **state)
{
    char request[1024];
    (void)state;
    place_abandon(&place);
    unlink(place.path);
    place_listen(&place, 0);
    place_crowd_backlog(&place);
    make("/", "hcmethod=GET hctimeout=10");
    udr_check_begin(check, false, 0);
    run_loop();
    assert_true(udr_check_is_running(check));
    place_disperse(&place);
    while (place_is_wanted(&place)) {
        close(place_accept(&place));
    }
    alarm(20);
    while (!place_is_wanted(&place)) {
        run_loop();
    }
    alarm(0);
    int fd = accept_check(request, sizeof request);
    say(fd, OK_ANSWER, sizeof OK_ANSWER - 1);
    await_end();
    assert_found(UDR_CAUSE_NONE, 0);
    close(fd);
}

static void finds_a_backlog_that_stays_full(void **state)
{
    (void)state;
    place_abandon(&place);
    unlink(place.path);
    place_listen(&place, 0);
    place_crowd_backlog(&place);
    make("/", "hcmethod=GET hcinterval=100ms hctimeout=20ms");
    udr_check_begin(check, false, 0);
    await_end();
    assert_found(UDR_CAUSE_CHECK_BACKLOG, 0);
    place_disperse(&place);
}

static void is_cancelled_without_a_word(void **state)
{
    char request[1024];
    char byte;
    (void)state;
    make("/", "hcmethod=GET");
    udr_check_cancel(check);
    udr_check_begin(check, false, 0);
    int fd = accept_check(request, sizeof request);
    udr_check_cancel(check);
    assert_false(udr_check_is_running(check));
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
    run_loop();
    assert_int_equal(ended, 0);
}

/* tear_down() looks for what is left open. */
static void is_ended_with_its_pool(void **state)
{
    char request[1024];
    (void)state;
    make("/", "hcmethod=GET");
    udr_check_begin(check, false, 0);
    close(accept_check(request, sizeof request));
}

/* --- what it says of itself --- */

static void reads_what_it_says_of_itself(void **state)
{
    static const struct {
        const char *head;
        udr_cause_t cause;
        int detail;
        udr_agent_state_t state;
        unsigned int percent;
    } rows[] = {
        {"200 OK\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_SILENT, 100},
        {"200 OK\r\nX-UDSRoute-State: up\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_UP, 100},
        {"200 OK\r\nx-udsroute-state: Drain\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_DRAIN, 100},
        {"503 X\r\nX-UDSRoute-State: drain\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_DRAIN, 100},
        {"200 OK\r\nX-UDSRoute-State: down\r\n", UDR_CAUSE_CHECK_AGENT, 0, UDR_AGENT_SILENT, 100},
        {"503 X\r\nX-UDSRoute-State: up\r\n", UDR_CAUSE_CHECK_STATUS, 503, UDR_AGENT_SILENT, 100},
        {"200 OK\r\nX-UDSRoute-Weight: 40\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_UP, 40},
        {"200 OK\r\nX-UDSRoute-Weight: 0\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_UP, 0},
        {"200 OK\r\nX-UDSRoute-Weight: 7\r\nX-UDSRoute-State: drain\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_DRAIN, 7},
        {"200 OK\r\nX-UDSRoute-Weight: 101\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_SILENT, 100},
        {"200 OK\r\nX-UDSRoute-State: asleep\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_SILENT, 100},
        {"200 OK\r\nX-UDSRoute-State: up, down\r\n", UDR_CAUSE_NONE, 0, UDR_AGENT_SILENT, 100},
    };
    (void)state;
    make("/", "hcmethod=GET hcagent=On");
    for (size_t i = 0; i < COUNT(rows); i++) {
        answer(apr_psprintf(pool, "HTTP/1.1 %sContent-Length: 0\r\n\r\n", rows[i].head));
        assert_found(rows[i].cause, rows[i].detail);
        assert_int_equal(udr_slot_agent_state(found.agent), rows[i].state);
        assert_int_equal(udr_slot_agent_percent(found.agent), rows[i].percent);
    }
}

static void does_not_listen_to_who_was_not_asked(void **state)
{
    (void)state;
    make("/", "hcmethod=GET");
    answer("HTTP/1.1 200 OK\r\nX-UDSRoute-State: down\r\nContent-Length: 0\r\n\r\n");
    assert_found(UDR_CAUSE_NONE, 0);
    assert_int_equal(found.agent, 0);
}

static void *send_without_end(void *data)
{
    static const char interims[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    const int *fd = data;
    while (send(*fd, interims, sizeof interims - 1, MSG_NOSIGNAL) > 0) {
    }
    return NULL;
}

/* Faster than it is read, and nothing of it is a final answer: the loop has other things to do. */
static void has_enough_of_who_never_ends(void **state)
{
    (void)state;
    char request[1024];
    pthread_t sender;
    make("/", "hcmethod=GET11 hcinterval=60 hctimeout=15");
    udr_check_begin(check, false, 0);
    int fd = accept_check(request, sizeof request);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* the sender waits until there is room */
    assert_int_equal(pthread_create(&sender, NULL, send_without_end, &fd), 0);
    await_end();
    assert_found(UDR_CAUSE_RESPONSE, 0);
    assert_string_equal(why, "an answer without end");
    assert_int_equal(pthread_join(sender, NULL), 0);
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(asks_as_the_member_is_configured),
        TEST(only_connects_where_nothing_is_asked),
        TEST(takes_2xx_and_3xx_for_health),
        TEST(reads_answers_of_every_kind),
        TEST(reads_answers_that_come_in_pieces),
        TEST(has_an_expression_judge),
        TEST(reads_so_much_of_a_body),
        TEST(finds_what_is_no_answer),
        TEST(has_enough_of_who_never_ends),
        TEST(finds_why_it_can_not_connect),
        TEST(refuses_another_peer),
        TEST(gives_up_on_one_that_hangs),
        TEST(waits_for_a_full_backlog),
        TEST(finds_a_backlog_that_stays_full),
        TEST(is_cancelled_without_a_word),
        TEST(is_ended_with_its_pool),
        TEST(reads_what_it_says_of_itself),
        TEST(does_not_listen_to_who_was_not_asked),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
