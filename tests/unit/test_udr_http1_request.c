/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_http1_request.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

typedef struct pair_t {
    const char *name;
    const char *value;
} pair_t;

static apr_table_t *table_of(const pair_t *pairs)
{
    apr_table_t *table = apr_table_make(pool, 4);
    for (; pairs && pairs->name; pairs++) {
        apr_table_addn(table, pairs->name, pairs->value);
    }
    return table;
}

/* GET / with the fields given. */
static udr_request_t request_with(const pair_t *fields)
{
    return (udr_request_t){.method = "GET", .target = "/", .host = "h", .fields = table_of(fields)};
}

static const char *text_of(udr_slice_t slice)
{
    return apr_pstrmemdup(pool, slice.ptr, slice.len);
}

/* From the heap and as large as it says it needs: a sanitizer sees what is written behind it. */
static const char *head_of(const udr_request_t *request, bool persistent)
{
    const char *why = NULL;
    apr_size_t room = udr_http1_request_room(request, &why);
    assert_true(room > 0);
    char *written = malloc(room);
    assert_non_null(written);
    apr_size_t len = udr_http1_request_head(request, persistent, written);
    assert_in_range(len, 1, room);
    const char *head = text_of((udr_slice_t){written, len});
    free(written);
    return head;
}

static bool is_refused(const udr_request_t *request)
{
    const char *why = NULL;
    return udr_http1_request_room(request, &why) == 0 && why != NULL;
}

/* --- what it is --- */

static void knows_idempotent_methods(void **state)
{
    static const char *const idempotent[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    static const char *const others[] = {"POST", "PATCH", "CONNECT", "get", "Get", "GETS", "GE", "LOCK", ""};
    (void)state;
    for (size_t i = 0; i < COUNT(idempotent); i++) {
        assert_true(udr_request_is_idempotent(&(udr_request_t){.method = idempotent[i]}));
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(udr_request_is_idempotent(&(udr_request_t){.method = others[i]}));
    }
}

/* --- heads --- */

static void writes_a_head(void **state)
{
    const pair_t fields[] = {{"Accept", "*/*"}, {"X-Empty", ""}, {"Accept", "text/html"}, {NULL, NULL}};
    udr_request_t request = {
        .method = "GET", .target = "/a/b?c=d", .host = "example.org:8080", .fields = table_of(fields)};
    (void)state;
    assert_string_equal(head_of(&request, true), "GET /a/b?c=d HTTP/1.1\r\n"
                                                 "Host: example.org:8080\r\n"
                                                 "Accept: */*\r\n"
                                                 "X-Empty: \r\n"
                                                 "Accept: text/html\r\n"
                                                 "\r\n");
}

static void writes_the_asterisk_form(void **state)
{
    udr_request_t request = request_with(NULL);
    (void)state;
    request.method = "OPTIONS";
    request.target = "*";
    assert_string_equal(head_of(&request, true), "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void says_how_the_body_is_framed(void **state)
{
    udr_request_t request = request_with(NULL);
    (void)state;
    request.method = "POST";
    assert_string_equal(head_of(&request, true), "POST / HTTP/1.1\r\nHost: h\r\n\r\n");
    request.body = UDR_BODY_LENGTH;
    assert_string_equal(head_of(&request, true), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    request.length = 12345;
    assert_string_equal(head_of(&request, true), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12345\r\n\r\n");
    request.length = UINT64_MAX;
    assert_string_equal(head_of(&request, true),
                        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n");
    /* The length of a body of unknown length is nobody's business. */
    request.body = UDR_BODY_CHUNKED;
    assert_string_equal(head_of(&request, true), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void says_what_concerns_the_connection(void **state)
{
    udr_request_t request = request_with(NULL);
    (void)state;
    assert_string_equal(head_of(&request, true), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(head_of(&request, false), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    request.accepts_trailers = true;
    assert_string_equal(head_of(&request, true), "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_string_equal(head_of(&request, false),
                        "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
}

/* What concerns this connection is said once: beside an upgrade, nothing else. */
static void offers_an_upgrade(void **state)
{
    static const struct {
        bool accepts_trailers;
        bool persistent;
    } rows[] = {{false, false}, {false, true}, {true, false}, {true, true}};
    const pair_t fields[] = {{"Upgrade", "other"},
                             {"Connection", "Upgrade, keep-alive"},
                             {"Sec-WebSocket-Key", "k"},
                             {"TE", "trailers"},
                             {NULL, NULL}};
    udr_request_t request = request_with(fields);
    (void)state;
    request.upgrade = "websocket, h2c";
    for (size_t i = 0; i < COUNT(rows); i++) {
        request.accepts_trailers = rows[i].accepts_trailers;
        assert_string_equal(head_of(&request, rows[i].persistent), "GET / HTTP/1.1\r\n"
                                                                   "Host: h\r\n"
                                                                   "Sec-WebSocket-Key: k\r\n"
                                                                   "Upgrade: websocket, h2c\r\n"
                                                                   "Connection: Upgrade\r\n"
                                                                   "\r\n");
    }
}

/* Room is taken for the texts, for four bytes with each field, and for 256 bytes of the writer's own: no request needs
 * more, whichever of its parts are long. */
static void has_room_for_everything(void **state)
{
    static char long_text[5000];
    memset(long_text, 'x', sizeof long_text - 1);
    (void)state;
    for (int i = 0; i < 16; i++) {
        const bool is_long = (i & 1) != 0;
        const pair_t fields[] = {{"A", ""}, {is_long ? long_text : "B", is_long ? long_text : ""}, {NULL, NULL}};
        udr_request_t request = request_with(fields);
        request.method = (i & 2) != 0 ? long_text : "M";
        request.target = request.host = request.method;
        request.body = (i & 4) != 0 ? UDR_BODY_LENGTH : UDR_BODY_CHUNKED;
        request.length = UINT64_MAX;
        request.expect_continue = true;
        request.accepts_trailers = true;
        request.upgrade = (i & 8) != 0 ? request.method : NULL;
        const char *head = head_of(&request, false);
        apr_size_t len = strlen(head);
        assert_string_equal(head + len - 4, "\r\n\r\n");
        apr_size_t texts = 3 * strlen(request.method) + strlen(fields[1].name) + strlen(fields[1].value);
        assert_in_range(len, texts, texts + 8 + 256 + (request.upgrade ? strlen(request.upgrade) : 0));
    }
}

/* Beside many fields what the writer adds itself is nothing. */
static void has_room_for_many_fields(void **state)
{
    pair_t fields[101] = {{NULL, NULL}};
    (void)state;
    for (int i = 0; i < 100; i++) {
        fields[i] = (pair_t){i % 2 ? "X-Long-Name-Of-A-Field" : "X", i % 3 ? "a value of some length" : ""};
    }
    udr_request_t request = request_with(fields);
    assert_true(strlen(head_of(&request, true)) > 100 * 15);
}

static void asks_for_100_continue(void **state)
{
    const pair_t fields[] = {{"Expect", "100-continue"}, {"A", "1"}, {"expect", "something-else"}, {NULL, NULL}};
    udr_request_t request = request_with(fields);
    (void)state;
    /* The client's own is not copied … */
    assert_string_equal(head_of(&request, true), "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\n\r\n");
    request.method = "PUT";
    request.body = UDR_BODY_LENGTH;
    request.length = 5;
    request.expect_continue = true;
    /* … but said once, in our words. */
    assert_string_equal(head_of(&request, true),
                        "PUT / HTTP/1.1\r\nHost: h\r\nA: 1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
}

static void says_everything_at_once(void **state)
{
    const pair_t fields[] = {{"Trailer", "X-Sum"}, {NULL, NULL}};
    udr_request_t request = request_with(fields);
    (void)state;
    request.method = "PUT";
    request.body = UDR_BODY_CHUNKED;
    request.expect_continue = true;
    request.accepts_trailers = true;
    assert_string_equal(head_of(&request, false), "PUT / HTTP/1.1\r\n"
                                                  "Host: h\r\n"
                                                  "Trailer: X-Sum\r\n"
                                                  "Transfer-Encoding: chunked\r\n"
                                                  "Expect: 100-continue\r\n"
                                                  "TE: trailers\r\n"
                                                  "Connection: close, TE\r\n"
                                                  "\r\n");
}

static void copies_nothing_that_it_says_itself(void **state)
{
    const pair_t fields[] = {{"Host", "other"},
                             {"host", "other"},
                             {"Content-Length", "7"},
                             {"CONTENT-LENGTH", "8"},
                             {"Transfer-Encoding", "chunked"},
                             {"Connection", "keep-alive"},
                             {"Keep-Alive", "timeout=5"},
                             {"Proxy-Connection", "close"},
                             {"TE", "gzip"},
                             {"Upgrade", "h2c"},
                             {"Expect", "200-ok"},
                             {"Trailer", "X-Sum"},
                             {"Via", "1.1 us"},
                             {NULL, NULL}};
    udr_request_t request = request_with(fields);
    (void)state;
    assert_string_equal(head_of(&request, true), "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 us\r\n\r\n");
    request.body = UDR_BODY_LENGTH;
    assert_string_equal(head_of(&request, true),
                        "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 us\r\nContent-Length: 0\r\n\r\n");
    /* What follows a chunked body may be announced. */
    request.body = UDR_BODY_CHUNKED;
    assert_string_equal(
        head_of(&request, true),
        "GET / HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum\r\nVia: 1.1 us\r\nTransfer-Encoding: chunked\r\n\r\n");
}

/* --- refusals --- */

static bool is_token_byte(int c)
{
    return strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", c) != NULL;
}

static bool is_target_byte(int c)
{
    return c > ' ' && c < 0x7f;
}

static bool is_value_byte(int c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

/* The byte at the start, within and at the end of a part of the request. */
static void assert_byte_is_judged(int c, const char *part, bool good)
{
    const char texts[][4] = {{(char)c, 'a', 'a', '\0'}, {'a', (char)c, 'a', '\0'}, {'a', 'a', (char)c, '\0'}};
    for (size_t i = 0; i < COUNT(texts); i++) {
        pair_t fields[] = {{"Name", "value"}, {"Other", "value"}, {NULL, NULL}};
        udr_request_t request = request_with(NULL);
        if (strcmp(part, "method") == 0) {
            request.method = texts[i];
        } else if (strcmp(part, "target") == 0) {
            request.target = texts[i];
        } else if (strcmp(part, "host") == 0) {
            request.host = texts[i];
        } else if (strcmp(part, "upgrade") == 0) {
            request.upgrade = texts[i];
        } else if (strcmp(part, "name") == 0) {
            fields[1].name = texts[i];
        } else {
            fields[1].value = texts[i];
        }
        request.fields = table_of(fields);
        if (is_refused(&request) == good) {
            fail_msg("byte 0x%02x in the %s", (unsigned int)c, part);
        }
    }
}

static void judges_every_byte_in_every_part(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        assert_byte_is_judged(c, "method", is_token_byte(c));
        assert_byte_is_judged(c, "target", is_target_byte(c));
        assert_byte_is_judged(c, "host", is_value_byte(c));
        assert_byte_is_judged(c, "upgrade", is_value_byte(c));
        assert_byte_is_judged(c, "name", is_token_byte(c));
        assert_byte_is_judged(c, "value", is_value_byte(c));
    }
}

static void refuses_a_request_without_a_method_a_target_or_a_name(void **state)
{
    const pair_t fields[] = {{"", "value"}, {NULL, NULL}};
    udr_request_t request = request_with(NULL);
    (void)state;
    assert_false(is_refused(&request));
    request.method = "";
    assert_true(is_refused(&request));
    request = request_with(NULL);
    request.target = "";
    assert_true(is_refused(&request));
    request = request_with(fields);
    assert_true(is_refused(&request));
}

/* What is not copied is examined all the same: it is somebody's attempt. */
static void refuses_a_line_end_even_where_it_would_not_be_written(void **state)
{
    const pair_t fields[] = {{"Expect", "a\r\nb"}, {NULL, NULL}};
    const udr_request_t request = request_with(fields);
    (void)state;
    assert_true(is_refused(&request));
}

/* --- bodies --- */

static void frames_a_chunk(void **state)
{
    static const struct {
        apr_size_t len;
        const char *prefix;
    } rows[] = {
        {1, "1\r\n"},
        {9, "9\r\n"},
        {15, "f\r\n"},
        {16, "10\r\n"},
        {255, "ff\r\n"},
        {65536, "10000\r\n"},
        {(apr_size_t)-1, "ffffffffffffffff\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char prefix[UDR_HTTP1_CHUNK_PREFIX];
        apr_size_t len = udr_http1_request_chunk(prefix, rows[i].len);
        assert_int_equal(len, strlen(rows[i].prefix));
        assert_memory_equal(prefix, rows[i].prefix, len);
    }
}

/* A request with a chunked body and these fields in its head. */
static const udr_request_t *chunked_request(const pair_t *fields)
{
    static udr_request_t request;
    request = (udr_request_t){
        .method = "POST", .target = "/", .host = "localhost", .fields = table_of(fields), .body = UDR_BODY_CHUNKED};
    return &request;
}

static void ends_a_chunked_body(void **state)
{
    (void)state;
    assert_string_equal(text_of(udr_http1_request_end(chunked_request(NULL), NULL, pool)), "0\r\n\r\n");
    assert_string_equal(text_of(udr_http1_request_end(chunked_request(NULL), table_of(NULL), pool)), "0\r\n\r\n");
}

static void sends_trailers_behind_the_last_chunk(void **state)
{
    const pair_t trailers[] = {{"X-Sum", "abc"}, {"X-Empty", ""}, {"X-Sum", "d\te"}, {NULL, NULL}};
    (void)state;
    assert_string_equal(text_of(udr_http1_request_end(chunked_request(NULL), table_of(trailers), pool)),
                        "0\r\nX-Sum: abc\r\nX-Empty: \r\nX-Sum: d\te\r\n\r\n");
}

static void leaves_out_trailers_that_the_head_has_settled(void **state)
{
    const pair_t head[] = {{"X-Forwarded-For", "192.0.2.1"}, {NULL, NULL}};
    const pair_t trailers[] = {{"x-forwarded-for", "127.0.0.1"}, {"X-Sum", "abc"}, {NULL, NULL}};
    (void)state;
    assert_string_equal(text_of(udr_http1_request_end(chunked_request(head), table_of(trailers), pool)),
                        "0\r\nX-Sum: abc\r\n\r\n");
}

static void leaves_out_trailers_that_mean_mischief(void **state)
{
    const pair_t trailers[] = {{"Content-Length", "5"}, {"transfer-encoding", "chunked"},
                               {"Host", "other"},       {"Connection", "close"},
                               {"Keep-Alive", "x"},     {"TE", "trailers"},
                               {"Upgrade", "x"},        {"Expect", "100-continue"},
                               {"Trailer", "X"},        {"", "no name"},
                               {"Bad Name", "x"},       {"Bad\r\nName", "x"},
                               {"X-Bad", "a\r\nb"},     {"X-Bell", "\a"},
                               {"X-Good", "kept"},      {NULL, NULL}};
    const pair_t none[] = {{"Content-Length", "5"}, {NULL, NULL}};
    (void)state;
    assert_string_equal(text_of(udr_http1_request_end(chunked_request(NULL), table_of(trailers), pool)),
                        "0\r\nX-Good: kept\r\n\r\n");
    assert_string_equal(text_of(udr_http1_request_end(chunked_request(NULL), table_of(none), pool)), "0\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_idempotent_methods),
        cmocka_unit_test(writes_a_head),
        cmocka_unit_test(writes_the_asterisk_form),
        cmocka_unit_test(says_how_the_body_is_framed),
        cmocka_unit_test(says_what_concerns_the_connection),
        cmocka_unit_test(offers_an_upgrade),
        cmocka_unit_test(has_room_for_everything),
        cmocka_unit_test(has_room_for_many_fields),
        cmocka_unit_test(asks_for_100_continue),
        cmocka_unit_test(says_everything_at_once),
        cmocka_unit_test(copies_nothing_that_it_says_itself),
        cmocka_unit_test(judges_every_byte_in_every_part),
        cmocka_unit_test(refuses_a_request_without_a_method_a_target_or_a_name),
        cmocka_unit_test(refuses_a_line_end_even_where_it_would_not_be_written),
        cmocka_unit_test(frames_a_chunk),
        cmocka_unit_test(ends_a_chunked_body),
        cmocka_unit_test(sends_trailers_behind_the_last_chunk),
        cmocka_unit_test(leaves_out_trailers_that_mean_mischief),
        cmocka_unit_test(leaves_out_trailers_that_the_head_has_settled),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_http1_request", tests, make_pool, drop_pool);
}
