/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of CGI responses. As in test_udr_http1.c, every shape arrives in every way. */
#include "mod_udsroute/udr_http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fixture_reading.h"

#define TEXT(literal) literal, sizeof(literal) - 1
#define COUNT(array)  (sizeof(array) / sizeof(*(array)))

static const udr_http1_limits_t usual = {1024, 8192};

static udr_http1_reader_t reader_for(bool head_request, const udr_http1_limits_t *limits)
{
    udr_http1_reader_t reader;
    memset(&reader, 0xa5, sizeof(reader));
    udr_http1_reader_init_cgi(&reader, head_request, limits);
    assert_true(reader.head.is_cgi);
    return reader;
}

typedef struct row_t {
    const char *response;
    size_t len;
    const char *transcript;
} row_t;

static void check_rows(const row_t *rows, size_t count, bool head_request)
{
    const udr_http1_reader_t fresh = reader_for(head_request, &usual);
    for (size_t i = 0; i < count; i++) {
        check_reading(&fresh, rows[i].response, rows[i].len, rows[i].transcript);
    }
}

static void takes_the_status_from_the_field(void **state)
{
    static const row_t rows[] = {
        {TEXT("Status: 404 Not Found\r\nA: b\r\n\r\nhi"),
         "head 1.1 404 'Not Found' to-close [Status=404 Not Found, A=b]; body hi; more 0; end"},
        {TEXT("A: b\nsTATUS:404\n\n"), "head 1.1 404 '' to-close [A=b, sTATUS=404]; more 0; end"},
        {TEXT("Status: \t 200 \t d\xe9j\xe0 vu \t\r\n\r\n"),
         "head 1.1 200 'd<e9>j<e0> vu' to-close [Status=200 <09> d<e9>j<e0> vu]; more 0; end"},
        {TEXT("Status: 200\tOK\r\n\r\n"), "head 1.1 200 'OK' to-close [Status=200<09>OK]; more 0; end"},
        {TEXT("Status: 599 x\r\n\r\n"), "head 1.1 599 'x' to-close [Status=599 x]; more 0; end"},
        /* The same twice is the same. */
        {TEXT("Status: 201 a\r\nStatus: 201 b\r\n\r\n"),
         "head 1.1 201 'a' to-close [Status=201 a, Status=201 b]; more 0; end"},
        /* Location does not make another status a redirect. */
        {TEXT("Location: /x\r\nStatus: 201\r\n\r\n"),
         "head 1.1 201 '' to-close [Location=/x, Status=201]; more 0; end"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void supplies_a_status_where_none_is_said(void **state)
{
    static const row_t rows[] = {
        {TEXT("Content-Type: text/plain\r\n\r\n"), "head 1.1 200 '' to-close [Content-Type=text/plain]; more 0; end"},
        {TEXT("LOCATION: http://h/\r\nA: b\r\n\r\n"),
         "head 1.1 302 '' to-close [LOCATION=http://h/, A=b]; more 0; end"},
        {TEXT("Locations: x\r\n\r\n"), "head 1.1 200 '' to-close [Locations=x]; more 0; end"},
        /* Almost a status line. */
        {TEXT("H: x\r\n\r\n"), "head 1.1 200 '' to-close [H=x]; more 0; end"},
        {TEXT("HTTP: x\r\n\r\n"), "head 1.1 200 '' to-close [HTTP=x]; more 0; end"},
        {TEXT("http-foo: x\r\n\r\n"), "head 1.1 200 '' to-close [http-foo=x]; more 0; end"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void takes_a_status_line(void **state)
{
    static const row_t rows[] = {
        {TEXT("HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nhi"),
         "head 1.1 404 'Not Found' to-close [A=b]; body hi; more 0; end"},
        {TEXT("HTTP/1.0 200 OK\r\n\r\n"), "head 1.1 200 'OK' to-close []; more 0; end"},
        {TEXT("HTTP/1.1 200\n\n"), "head 1.1 200 '' to-close []; more 0; end"},
        /* What uWSGI says to the client of an HTTP/2 connection. */
        {TEXT("HTTP/2.0 503 Busy\r\n\r\n"), "head 1.1 503 'Busy' to-close []; more 0; end"},
        /* It wins over a field, whatever that says, and needs no Location to be one. */
        {TEXT("HTTP/1.1 200 OK\r\nStatus: open\r\nLocation: /\r\n\r\n"),
         "head 1.1 200 'OK' to-close [Status=open, Location=/]; more 0; end"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void says_where_the_body_ends(void **state)
{
    static const row_t rows[] = {
        {TEXT("Content-Length: 2\r\n\r\nhi"), "head 1.1 200 '' length 2 [Content-Length=2]; body hi; end"},
        {TEXT("Content-Length: 2\r\n\r\nhi!"), "head 1.1 200 '' length 2 [Content-Length=2]; body hi; end left 1"},
        {TEXT("Content-Length: 0\r\n\r\n"), "head 1.1 200 '' length 0 [Content-Length=0]; end"},
        {TEXT("Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi"),
         "head 1.1 200 '' length 2 [Content-Length=2, 2, Content-Length=2]; body hi; end"},
        {TEXT("Content-Length: 2\r\n\r\nh"), "head 1.1 200 '' length 2 [Content-Length=2]; body h; more 0; bad: closed "
                                             "within the body: fewer bytes than Content-Length said"},
        {TEXT("Status: 304\r\nContent-Length: 5\r\n\r\n"),
         "head 1.1 304 '' bodiless 5 [Status=304, Content-Length=5]; end"},
        /* Status may come first or last. A 204 has no content, and nothing comes behind it to be mistaken. */
        {TEXT("Status: 204\r\nContent-Length: 5\r\n\r\n"),
         "head 1.1 204 '' bodiless [Status=204, Content-Length=5]; end"},
        {TEXT("Content-Length: 5\r\nStatus: 204\r\n\r\n"),
         "head 1.1 204 '' bodiless [Content-Length=5, Status=204]; end"},
        {TEXT("HTTP/1.1 204\r\nContent-Length: 5\r\n\r\n"), "head 1.1 204 '' bodiless [Content-Length=5]; end"},
        /* Words about a connection that programs do not have. */
        {TEXT("Connection: close\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi"),
         "head 1.1 200 '' length 2 [Connection=close, Transfer-Encoding=chunked, Content-Length=2]; body hi; end"},
        {TEXT("Content-Length: 2\r\nConnection: keep-alive\r\nTransfer-Encoding: gzip\r\n\r\nhi"),
         "head 1.1 200 '' length 2 [Content-Length=2, Connection=keep-alive, Transfer-Encoding=gzip]; body hi; end"},
        {TEXT("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
         "head 1.1 200 '' to-close [Transfer-Encoding=chunked]; body 0<0d><0a><0d><0a>; more 0; end"},
    };
    static const row_t to_head[] = {
        {TEXT("A: b\r\n\r\n"), "head 1.1 200 '' bodiless [A=b]; end"},
        {TEXT("Content-Length: 7\r\n\r\nhi"), "head 1.1 200 '' bodiless 7 [Content-Length=7]; end left 2"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
    check_rows(to_head, COUNT(to_head), true);
}

#define NO_CODE "bad: a Status that does not begin with a code of three digits"
#define OUTSIDE "bad: a Status outside 200 to 599"
#define NO_LINE "bad: a status line that is none"
#define INTERIM "bad: a status line with a code below 200 in a CGI response"

static void refuses_what_is_no_cgi_response(void **state)
{
    static const row_t rows[] = {
        {TEXT("\r\n"), "bad: an empty head: no CGI field"},
        {TEXT("\n<html>"), "bad: an empty head: no CGI field"},
        {TEXT("Status:\r\n\r\n"), NO_CODE},
        {TEXT("Status: 20\r\n\r\n"), NO_CODE},
        {TEXT("Status: OK\r\n\r\n"), NO_CODE},
        {TEXT("Status: 2000\r\n\r\n"), NO_CODE},
        {TEXT("Status: 200OK\r\n\r\n"), NO_CODE},
        {TEXT("Status: a00\r\n\r\n"), NO_CODE},
        {TEXT("Status: 2a0\r\n\r\n"), NO_CODE},
        {TEXT("Status: 20a\r\n\r\n"), NO_CODE},
        {TEXT("Status: HTTP/1.1 200 OK\r\n\r\n"), NO_CODE},
        {TEXT("Status: 199\r\n\r\n"), OUTSIDE},
        {TEXT("Status: 100 Continue\r\n\r\n"), OUTSIDE},
        {TEXT("Status: 101 Switching Protocols\r\n\r\n"), OUTSIDE},
        {TEXT("Status: 600\r\n\r\n"), OUTSIDE},
        {TEXT("Status: 000\r\n\r\n"), OUTSIDE},
        {TEXT("Status: 200\r\nStatus: 404\r\n\r\n"), "bad: differing Status fields"},
        {TEXT("HTTP/1.1 100 Continue\r\n\r\n"), INTERIM},
        {TEXT("HTTP/1.1 101 Switching Protocols\r\n\r\n"), INTERIM},
        {TEXT("HTTP/1.1 199\r\n\r\n"), INTERIM},
        {TEXT("HTTP/1.1 600\r\n\r\n"), "bad: a status line with a code outside 100 to 599"},
        {TEXT("HTTP/2 200\r\n\r\n"), NO_LINE},
        {TEXT("HTTP/\r\n\r\n"), NO_LINE},
        {TEXT("HTTP/x.1 200\r\n\r\n"), NO_LINE},
        {TEXT("HTTP/1.x 200\r\n\r\n"), NO_LINE},
        {TEXT("HTTP/1-1 200\r\n\r\n"), NO_LINE},
        {TEXT("HTTP/1.1 20\r\n\r\n"), NO_LINE},
        {TEXT("HTTP/1.1 200OK\r\n\r\n"), NO_LINE},
        {TEXT("HTTP/1.1 200 a\rb\r\n\r\n"), "bad: a bare CR in a line"},
        {TEXT("Content-Length: 2\r\nContent-Length: 3\r\n\r\n"), "bad: differing Content-Lengths"},
        {TEXT("Content-Length: two\r\n\r\n"), "bad: a Content-Length that is no number"},
        {TEXT("<html>\r\n"), "bad: a field line without a colon"},
        {TEXT("A: b\r\n c\r\n\r\n"), "bad: a folded field line (obs-fold)"},
        {TEXT("A\0: b\r\n\r\n"), "bad: a NUL in a line"},
        /* Another protocol, which knows no lines: at once. */
        {TEXT("\1"), "bad: a control character in a line"},
        {TEXT("\0\0\6"), "bad: a NUL in a line"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

static void says_where_the_member_closed(void **state)
{
    static const row_t rows[] = {
        {TEXT(""), "more 0; bad: closed before any byte of the response"},
        {TEXT("H"), "more 1; bad: closed within the head"},
        {TEXT("HTTP/1.1 200 OK\r\n"), "more 17; bad: closed within the head"},
        {TEXT("Status: 200"), "more 11; bad: closed within the head"},
        {TEXT("Status: 200\r\n"), "more 13; bad: closed within the head"},
    };
    (void)state;
    check_rows(rows, COUNT(rows), false);
}

/* The limits count from the first byte, with a status line and without. */
static void keeps_its_limits(void **state)
{
    static const char *const begins[] = {"", "HTTP/1.1 200 OK\r\n"};
    const udr_http1_limits_t limits = {64, 200};
    const udr_http1_reader_t fresh = reader_for(false, &limits);
    char response[512];
    (void)state;
    for (size_t i = 0; i < COUNT(begins); i++) {
        snprintf(response, sizeof response, "%sA: %062d\r\n", begins[i], 0);
        check_reading(&fresh, response, strlen(response), "bad: a line longer than responsefieldsize");
        snprintf(response, sizeof response, "%sA: %050d\r\nA: %050d\r\nA: %050d\r\nA: %050d\r\n", begins[i], 0, 0, 0,
                 0);
        check_reading(&fresh, response, strlen(response),
                      "bad: a head or trailer section longer than 8 times responsefieldsize");
        snprintf(response, sizeof response, "%sStatus: %03d %051d\r\n\r\n", begins[i], 200, 0);
        assert_non_null(
            strstr(transcribe_reading(&fresh, response, strlen(response), (pieces_t){1, 1}), "head 1.1 200"));
    }
    memset(response, 'a', sizeof response);
    check_reading(&fresh, response, sizeof response, "bad: a line longer than responsefieldsize");
}

/* A body of either kind may pass the reader by. */
static void lets_bodies_pass_by(void **state)
{
    run_t run = {.reader = reader_for(false, &usual)};
    (void)state;
    assert_int_equal(udr_http1_reader_verbatim(&run.reader), 0);
    assert_int_equal(feed_once(&run, TEXT("Content-Length: 5\r\n\r\n"), NULL), 21);
    assert_int_equal(run.status, UDR_CODEC_HEAD);
    assert_int_equal(udr_http1_reader_verbatim(&run.reader), 5);
    udr_http1_reader_skip(&run.reader, 5);
    assert_int_equal(feed_once(&run, "", 0, NULL), 0);
    assert_int_equal(run.status, UDR_CODEC_END);

    run.reader = reader_for(false, &usual);
    assert_int_equal(feed_once(&run, TEXT("A: b\r\n\r\n"), NULL), 8);
    assert_int_equal(udr_http1_reader_verbatim(&run.reader), UINT64_MAX);
    udr_http1_reader_skip(&run.reader, 5);
    assert_int_equal(udr_http1_reader_eof(&run.reader, 0), UDR_CODEC_END);
}

/* Fields that Connection names are for the connection, as in HTTP. */
static void notes_what_connection_names(void **state)
{
    run_t run = {.reader = reader_for(false, &usual)};
    (void)state;
    assert_int_equal(feed_once(&run, TEXT("Connection: close\r\n\r\n"), NULL), 21);
    assert_false(run.reader.head.names_fields);
    run.reader = reader_for(false, &usual);
    assert_int_equal(feed_once(&run, TEXT("Connection: close, X-A\r\n\r\n"), NULL), 26);
    assert_true(run.reader.head.names_fields);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_status_from_the_field),
        cmocka_unit_test(supplies_a_status_where_none_is_said),
        cmocka_unit_test(takes_a_status_line),
        cmocka_unit_test(says_where_the_body_ends),
        cmocka_unit_test(refuses_what_is_no_cgi_response),
        cmocka_unit_test(says_where_the_member_closed),
        cmocka_unit_test(keeps_its_limits),
        cmocka_unit_test(lets_bodies_pass_by),
        cmocka_unit_test(notes_what_connection_names),
    };
    return cmocka_run_group_tests_name("udr_http1_cgi", tests, NULL, NULL);
}
