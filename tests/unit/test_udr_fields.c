/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_fields.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* --- names --- */

static bool is_hop_by_hop(const char *name)
{
    return udr_fields_is_hop_by_hop(name, strlen(name));
}

static bool is_framing(const char *name)
{
    return udr_fields_is_framing(name, strlen(name));
}

static void knows_what_belongs_to_one_connection(void **state)
{
    static const char *const names[] = {
        "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "Transfer-Encoding",
        "connection", "KEEP-ALIVE", "pROXY-cONNECTION", "te", "upgrade", "transfer-encoding"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        if (!is_hop_by_hop(names[i])) {
            fail_msg("%s is not taken for hop-by-hop", names[i]);
        }
    }
}

static void leaves_end_to_end_fields_alone(void **state)
{
    /* Trailer and those of authentication are end-to-end; the others differ by a byte. */
    static const char *const names[] = {"Trailer",
                                        "Proxy-Authorization",
                                        "Proxy-Authenticate",
                                        "Content-Length",
                                        "Host",
                                        "Accept",
                                        "Connectio",
                                        "Connections",
                                        "KeepAlive",
                                        "T",
                                        "TEE",
                                        "Upgrad",
                                        "",
                                        "Transfer_Encoding",
                                        "XE",
                                        "Upgrada",
                                        "Keep_Alive",
                                        "Connectiom",
                                        "Proxy-Connectiom",
                                        "Proxy-Connection ",
                                        "Transfer-Encodings"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        if (is_hop_by_hop(names[i])) {
            fail_msg("'%s' is taken for hop-by-hop", names[i]);
        }
    }
}

static void knows_what_frames_and_routes_a_message(void **state)
{
    static const char *const framing[] = {"Content-Length", "Transfer-Encoding", "Host", "content-length", "HOST"};
    static const char *const others[] = {"Content-Type", "Content-Lengt", "Content-Lengths", "Hos", "Hosts",
                                         "TE",           "Trailer",       "Connection",      ""};
    (void)state;
    for (size_t i = 0; i < COUNT(framing); i++) {
        assert_true(is_framing(framing[i]));
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(is_framing(others[i]));
    }
}

static void looks_at_no_byte_behind_the_name(void **state)
{
    (void)state;
    assert_true(udr_fields_is_hop_by_hop("TEapot", 2));
    assert_false(udr_fields_is_hop_by_hop("TEapot", 6));
    assert_true(udr_fields_is_framing("Hostname", 4));
}

/* --- lists --- */

static void finds_a_token_in_a_list(void **state)
{
    static const struct {
        const char *list;
        const char *token;
        bool has;
    } rows[] = {
        {"close", "close", true},
        {"Close", "cLOSE", true},
        {"keep-alive, close", "close", true},
        {"keep-alive,close", "close", true},
        {"close,keep-alive", "close", true},
        {"a ,\t close \t, b", "close", true},
        {",,close", "close", true},
        {" , ,\t, close,,", "close", true},
        {"\tclose ", "close", true},
        {"closed", "close", false},
        {"clos", "close", false},
        {"not close", "close", false},
        {"close now", "close", false},
        {"x-close", "close", false},
        {"close;q=1", "close", false},
        {"", "close", false},
        {",", "close", false},
        {" \t ", "close", false},
        {"a, , b", "", false},
        {NULL, "close", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (udr_fields_list_has(rows[i].list, rows[i].token, strlen(rows[i].token)) != rows[i].has) {
            fail_msg("row %zu: '%s' in '%s'", i, rows[i].token, rows[i].list ? rows[i].list : "(null)");
        }
    }
    assert_true(udr_fields_list_has("a, te", "trailers", 1) == false);
    assert_true(udr_fields_list_has("a, tr", "trailers", 2));
}

static void finds_what_two_lists_have_in_common(void **state)
{
    static const struct {
        const char *list;
        const char *allowed;
        const char *common; /* as the first list has it */
    } rows[] = {
        {"websocket", "websocket", "websocket"},
        {"WebSocket", "websocket", "WebSocket"},
        {"h2c, websocket", "websocket", "websocket"},
        {"websocket,h2c", "websocket", "websocket"},
        {"a, b, c", "c,a", "a, c"},
        {" a ,, b\t", "a, b", "a, b"},
        {"a, a", "a", "a, a"},
        {"h2c", "websocket", NULL},
        {"web", "websocket", NULL},
        {"websockets", "websocket", NULL},
        {"websocket/13", "websocket", NULL},
        {"TLS/1.2, websocket", "tls/1.2", "TLS/1.2"},
        {"", "websocket", NULL},
        {",", "websocket", NULL},
        {"a", "", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *common = udr_fields_list_common(rows[i].list, rows[i].allowed, pool);
        if (!common != !rows[i].common || (common && strcmp(common, rows[i].common) != 0)) {
            fail_msg("row %zu: '%s'", i, common ? common : "(null)");
        }
    }
}

static bool has_no_x(const char *token, void *baton)
{
    assert_ptr_equal(baton, pool);
    return !strchr(token, 'x');
}

static void filters_lists(void **state)
{
    static const struct {
        const char *list;
        const char *kept;
    } rows[] = {
        {"a", "a"},
        {"x", NULL},
        {"", NULL},
        {" ,\t,", NULL},
        {"a,x, b", "a, b"},
        {"xa, ax", NULL},
        {"a ,, b/1\t", "a, b/1"},
        {"a b", NULL},
        {"a\tb, c", "c"},
        {"c, a x", "c"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *kept = udr_fields_list_filter(rows[i].list, has_no_x, pool, pool);
        if (!kept != !rows[i].kept || (kept && strcmp(kept, rows[i].kept) != 0)) {
            fail_msg("row %zu: '%s'", i, kept ? kept : "(null)");
        }
    }
}

static void finds_a_list_within_another(void **state)
{
    static const struct {
        const char *list;
        const char *allowed;
        bool is_within;
    } rows[] = {
        {"a", "a", true},           {"A", "b, a", true},  {"a, b", "b,a", true},   {" a ,,b\t,", "a, b, c", true},
        {"a, a", "a", true},        {"a/1", "A/1", true}, {"a, c", "a, b", false}, {"c, a", "a, b", false},
        {"a, c, b", "a, b", false}, {"a/1", "a", false},  {"a", "a/1", false},     {"a b", "a, b", false},
        {"", "a", false},           {" , ,", "a", false}, {"a", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (udr_fields_list_within(rows[i].list, rows[i].allowed) != rows[i].is_within) {
            fail_msg("row %zu: '%s' in '%s'", i, rows[i].list, rows[i].allowed);
        }
    }
}

/* --- what Connection names --- */

typedef struct pair_t {
    const char *name;
    const char *value;
} pair_t;

static int write_field(void *baton, const char *name, const char *value)
{
    const char **text = baton;
    *text = apr_pstrcat(pool, *text, name, ": ", value, "\n", NULL);
    return 1;
}

/* What is left of the fields, a line each. */
static const char *left_after_drop(const pair_t *fields)
{
    apr_table_t *table = apr_table_make(pool, 4);
    const char *text = "";
    for (; fields->name; fields++) {
        apr_table_addn(table, fields->name, fields->value);
    }
    udr_fields_drop_named(table, pool);
    apr_table_do(write_field, &text, table, NULL);
    return text;
}

static void drops_what_connection_names(void **state)
{
    static const struct {
        pair_t fields[8];
        const char *left;
    } rows[] = {
        {{{"Accept", "*/*"}, {"X-Hop", "1"}, {NULL, NULL}}, "Accept: */*\nX-Hop: 1\n"},
        {{{"X-Hop", "1"}, {"Connection", "X-Hop"}, {NULL, NULL}}, "Connection: X-Hop\n"},
        /* several in one list, in any case, with empty items */
        {{{"A", "1"}, {"B", "2"}, {"C", "3"}, {"Connection", ",a ,, C,"}, {NULL, NULL}},
         "B: 2\nConnection: ,a ,, C,\n"},
        /* several Connection fields */
        {{{"Connection", "A"}, {"A", "1"}, {"connection", "B"}, {"B", "2"}, {"C", "3"}, {NULL, NULL}},
         "Connection: A\nconnection: B\nC: 3\n"},
        /* every field of that name */
        {{{"A", "1"}, {"a", "2"}, {"Connection", "A"}, {"A", "3"}, {NULL, NULL}}, "Connection: A\n"},
        /* the framing stays, or the message would mean something else */
        {{{"Host", "h"},
          {"Content-Length", "5"},
          {"Transfer-Encoding", "chunked"},
          {"Connection", "host, content-length, transfer-encoding, close"},
          {NULL, NULL}},
         "Host: h\nContent-Length: 5\nTransfer-Encoding: chunked\n"
         "Connection: host, content-length, transfer-encoding, close\n"},
        /* what is hop-by-hop anyway is not copied anyway, and httpd has to see it */
        {{{"Connection", "connection, te, upgrade"}, {"TE", "trailers"}, {"Upgrade", "x"}, {NULL, NULL}},
         "Connection: connection, te, upgrade\nTE: trailers\nUpgrade: x\n"},
        /* options that name no field */
        {{{"Connection", "close, keep-alive"}, {"Accept", "*/*"}, {NULL, NULL}},
         "Connection: close, keep-alive\nAccept: */*\n"},
        {{{"Connection", ""}, {"Accept", "*/*"}, {NULL, NULL}}, "Connection: \nAccept: */*\n"},
        {{{"Connection", "Accept-Ranges, Acc"}, {"Accept", "*/*"}, {NULL, NULL}},
         "Connection: Accept-Ranges, Acc\nAccept: */*\n"},
        {{{NULL, NULL}}, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(left_after_drop(rows[i].fields), rows[i].left);
    }
}

/* --- what may be written --- */

static void takes_tokens_and_nothing_else(void **state)
{
    /* RFC 9110, 5.6.2, spelt out. */
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    (void)state;
    for (int c = 1; c < 256; c++) {
        bool good = strchr(allowed, c) != NULL;
        const char alone[] = {(char)c, '\0'};
        const char first[] = {(char)c, 'a', '\0'};
        const char last[] = {'a', 'b', (char)c, '\0'};
        if (udr_fields_is_token(alone) != good || udr_fields_is_token(first) != good ||
            udr_fields_is_token(last) != good) {
            fail_msg("byte 0x%02x", (unsigned int)c);
        }
    }
    assert_false(udr_fields_is_token(""));
    assert_true(udr_fields_is_token("X-Forwarded-For"));
}

static void takes_values_that_end_no_line(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        bool good = c == '\t' || (c >= ' ' && c != 0x7f);
        const char alone[] = {(char)c, '\0'};
        const char within[] = {'a', (char)c, 'b', '\0'};
        const char last[] = {'a', ' ', (char)c, '\0'};
        if (udr_fields_is_value(alone) != good || udr_fields_is_value(within) != good ||
            udr_fields_is_value(last) != good) {
            fail_msg("byte 0x%02x", (unsigned int)c);
        }
    }
    assert_true(udr_fields_is_value(""));
    assert_true(udr_fields_is_value("gr\xc3\xbc\xc3\x9f dich\t(\"obs-text\" \xff)"));
    assert_false(udr_fields_is_value("a\r\nSet-Cookie: b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_what_belongs_to_one_connection),
        cmocka_unit_test(leaves_end_to_end_fields_alone),
        cmocka_unit_test(knows_what_frames_and_routes_a_message),
        cmocka_unit_test(looks_at_no_byte_behind_the_name),
        cmocka_unit_test(finds_a_token_in_a_list),
        cmocka_unit_test_setup_teardown(filters_lists, make_pool, drop_pool),
        cmocka_unit_test(finds_a_list_within_another),
        cmocka_unit_test_setup_teardown(finds_what_two_lists_have_in_common, make_pool, drop_pool),
        cmocka_unit_test_setup_teardown(drops_what_connection_names, make_pool, drop_pool),
        cmocka_unit_test(takes_tokens_and_nothing_else),
        cmocka_unit_test(takes_values_that_end_no_line),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_fields", tests, NULL, NULL);
}
