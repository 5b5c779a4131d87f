/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_sticky.h"

#include <apr_general.h>

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define URL    UDR_STICKY_URL
#define COOKIE UDR_STICKY_COOKIE

static const udr_sticky_t usual = {.cookie = "SID", .parameter = "sid", .separator = '.'};

/* value NULL: no session; route NULL: none in it. */
typedef struct case_t {
    const char *uri;
    const char *cookies;
    udr_sticky_source_t source;
    const char *value;
    const char *route;
} case_t;

static bool is_piece(const char *ptr, apr_size_t len, const char *text)
{
    return text ? ptr && len == strlen(text) && !memcmp(ptr, text, len) : !ptr && len == 0;
}

static void check(const udr_sticky_t *sticky, const case_t *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const case_t *c = &cases[i];
        udr_session_t session;
        memset(&session, 0x55, sizeof session);
        bool found = udr_sticky_find(&session, sticky, c->uri, c->cookies);
        if (found != (c->value != NULL) || session.source != c->source ||
            !is_piece(session.value, session.value_len, c->value) ||
            !is_piece(session.route, session.route_len, c->route)) {
            fail_msg("%s with %s: value '%.*s', route '%.*s'", c->uri, c->cookies ? c->cookies : "no cookie",
                     (int)session.value_len, session.value ? session.value : "", (int)session.route_len,
                     session.route ? session.route : "");
        }
        assert_ptr_equal(session.name, c->source == URL      ? sticky->parameter
                                       : c->source == COOKIE ? sticky->cookie
                                                             : NULL);
    }
}

static void finds_it_in_the_url(void **state)
{
    static const case_t cases[] = {
        {"/", NULL, 0, NULL, NULL},
        {"", NULL, 0, NULL, NULL},
        {"/a;sid=1.r", NULL, URL, "1.r", "r"},
        {"/a;sid=1.r?x=y", NULL, URL, "1.r", "r"},
        {"/a?sid=1.r", NULL, URL, "1.r", "r"},
        {"/a?x=y&sid=1.r&z", NULL, URL, "1.r", "r"},
        {"/a?x;sid=1.r", NULL, URL, "1.r", "r"},
        {"http://host/a;sid=1.r", NULL, URL, "1.r", "r"},
        /* a path parameter ends with its segment, one of the query goes on */
        {"/a;sid=1.r/b", NULL, URL, "1.r", "r"},
        {"/a?sid=1.r/b", NULL, URL, "1.r/b", "r/b"},
        {"/a?x&sid=1.r/b", NULL, URL, "1.r/b", "r/b"},
        {"/a?sid=1.r?b", NULL, URL, "1.r", "r"},
        /* semicolons do not end it here */
        {"/a;sid=1.r;b=c", NULL, URL, "1.r;b=c", "r;b=c"},
        {"/a?sid=1.r;b=c", NULL, URL, "1.r;b=c", "r;b=c"},
        /* names, whole and with case */
        {"/a;Xsid=1.r", NULL, 0, NULL, NULL},
        {"/a;sidX=1.r", NULL, 0, NULL, NULL},
        {"/a;SID=1.r", NULL, 0, NULL, NULL},
        {"/sid=1.r", NULL, 0, NULL, NULL},
        {"/a;Xsid=1.p;sid=2.r", NULL, URL, "2.r", "r"},
        {"/a;sid", NULL, 0, NULL, NULL},
        {"/a;sid.r", NULL, 0, NULL, NULL},
        {"/a;si", NULL, 0, NULL, NULL},
        {"/a?x=%3Bsid=1.r", NULL, 0, NULL, NULL},
        /* empty ones are passed over, the first counts */
        {"/a;sid=", NULL, 0, NULL, NULL},
        {"/a;sid=/b", NULL, 0, NULL, NULL},
        {"/a?sid=&sid=2.r", NULL, URL, "2.r", "r"},
        {"/a;sid=?sid=2.r", NULL, URL, "2.r", "r"},
        {"/a;sid=1.r?sid=2.s", NULL, URL, "1.r", "r"},
        {"/a;;;&&??sid=1.r", NULL, URL, "1.r", "r"},
        /* routes */
        {"/a;sid=1", NULL, URL, "1", NULL},
        {"/a;sid=1.", NULL, URL, "1.", NULL},
        {"/a;sid=.r", NULL, URL, ".r", "r"},
        {"/a;sid=.", NULL, URL, ".", NULL},
        {"/a;sid=1.r.s", NULL, URL, "1.r.s", "r.s"},
        {"/a;sid=a=b.r=s", NULL, URL, "a=b.r=s", "r=s"},
    };
    (void)state;
    check(&usual, cases, COUNT(cases));
}

static void ends_it_at_a_semicolon_where_that_is_asked_for(void **state)
{
    static const case_t cases[] = {
        {"/a;sid=1.r;b=c", NULL, URL, "1.r", "r"},  {"/a?sid=1.r;b=c", NULL, URL, "1.r", "r"},
        {"/a;sid=1.r/b", NULL, URL, "1.r", "r"},    {"/a?sid=1.r/b", NULL, URL, "1.r/b", "r/b"},
        {"/a;sid=;sid=2.r", NULL, URL, "2.r", "r"},
    };
    udr_sticky_t sticky = usual;
    (void)state;
    sticky.ends_at_semicolon = true;
    check(&sticky, cases, COUNT(cases));
}

static void finds_it_in_cookies(void **state)
{
    static const case_t cases[] = {
        {"/", "", 0, NULL, NULL},
        {"/", "SID=1.r", COOKIE, "1.r", "r"},
        {"/", "a=b; SID=1.r; c=d", COOKIE, "1.r", "r"},
        {"/", "a=b;SID=1.r;c=d", COOKIE, "1.r", "r"},
        /* two fields, as httpd joins them */
        {"/", "a=b, SID=1.r, c=d", COOKIE, "1.r", "r"},
        /* names */
        {"/", "XSID=1.r", 0, NULL, NULL},
        {"/", "SIDX=1.r", 0, NULL, NULL},
        {"/", "sid=1.r", 0, NULL, NULL},
        {"/", "XSID=1.p; SID=2.r", COOKIE, "2.r", "r"},
        {"/", "SID", 0, NULL, NULL},
        {"/", "SID; SID=1.r", COOKIE, "1.r", "r"},
        {"/", "a=SID=1.r", 0, NULL, NULL},
        {"/", "a=b SID=1.r", 0, NULL, NULL},
        {"/", "=1.r; =SID", 0, NULL, NULL},
        /* white space */
        {"/", " \tSID = \t1.r\t ; a", COOKIE, "1.r", "r"},
        {"/", "SID= ;SID=2.r", COOKIE, "2.r", "r"},
        /* quotes */
        {"/", "SID=\"1.r\"", COOKIE, "1.r", "r"},
        {"/", "SID=\"1.r\"; $Path=\"/\"", COOKIE, "1.r", "r"},
        {"/", "SID= \"1.r\" , a", COOKIE, "1.r", "r"},
        {"/", "SID=\"1.r", COOKIE, "\"1.r", "r"},
        {"/", "SID=\"", COOKIE, "\"", NULL},
        {"/", "SID=\"\"; SID=2.r", COOKIE, "2.r", "r"},
        /* of several the first that says anything */
        {"/", "SID=1.r; SID=2.s", COOKIE, "1.r", "r"},
        {"/", "SID=1; SID=2.s", COOKIE, "1", NULL},
        {"/", "SID=; SID=2.s", COOKIE, "2.s", "s"},
        {"/", "SID=", 0, NULL, NULL},
        {"/", ";,;,", 0, NULL, NULL},
        {"/", "SID=a=b.r", COOKIE, "a=b.r", "r"},
        /* the names are not mixed up */
        {"/a;SID=1.r", "sid=1.r", 0, NULL, NULL},
    };
    (void)state;
    check(&usual, cases, COUNT(cases));
}

static void the_url_comes_before_cookies(void **state)
{
    static const case_t cases[] = {
        {"/a;sid=1.r", "SID=2.s", URL, "1.r", "r"},
        {"/a;sid=1", "SID=2.s", URL, "1", NULL},
        {"/a;sid=", "SID=2.s", COOKIE, "2.s", "s"},
    };
    (void)state;
    check(&usual, cases, COUNT(cases));
}

static void another_separator_can_be_chosen(void **state)
{
    static const case_t cases[] = {
        {"/", "SID=1.x!r!s", COOKIE, "1.x!r!s", "r!s"},
        {"/", "SID=1.r", COOKIE, "1.r", NULL},
    };
    udr_sticky_t sticky = usual;
    (void)state;
    sticky.separator = '!';
    check(&sticky, cases, COUNT(cases));
}

static void without_a_separator_all_of_it_is_the_route(void **state)
{
    static const case_t cases[] = {
        {"/", "SID=1.r", COOKIE, "1.r", "1.r"},
        {"/a;sid=r/b", NULL, URL, "r", "r"},
    };
    udr_sticky_t sticky = usual;
    (void)state;
    sticky.separator = '\0';
    check(&sticky, cases, COUNT(cases));
}

static void without_a_name_there_are_no_sessions(void **state)
{
    static const case_t cases[] = {{"/a;sid=1.r?=", "SID=1.r; =1.r", 0, NULL, NULL}};
    const udr_sticky_t none = {0};
    (void)state;
    check(&none, cases, COUNT(cases));
}

/* --- any bytes --- */

#define TEXT_MAX 24

static unsigned int dice = 1;

static unsigned int throw_dice(unsigned int sides)
{
    dice = dice * 1103515245U + 12345U;
    return (dice >> 16) % sides;
}

/* A piece of memory of its own, so that a sanitizer sees a step beyond it. */
static char *random_text(const char *alphabet)
{
    unsigned int len = throw_dice(TEXT_MAX);
    char *text = malloc(len + 1);
    for (unsigned int i = 0; i < len; i++) {
        text[i] = alphabet[throw_dice((unsigned int)strlen(alphabet))];
    }
    text[len] = '\0';
    return text;
}

static bool lies_in(const char *text, const char *ptr, apr_size_t len)
{
    return ptr >= text && len > 0 && ptr + len <= text + strlen(text);
}

/* What holds of any session: where it lies, what stands before it, and what is not in it. */
static void check_session(const udr_session_t *session, const char *uri, const char *cookies)
{
    bool is_url = session->source == URL;
    const char *text = is_url ? uri : cookies;
    assert_true(lies_in(text, session->value, session->value_len));
    const char *before = session->value;
    while (!is_url && before > text && strchr(" \"", before[-1])) {
        before--;
    }
    assert_true(before - text >= 2);
    assert_int_equal(before[-1], '=');
    for (apr_size_t i = 0; i < session->value_len; i++) {
        assert_null(strchr(is_url ? "?&" : ";,", session->value[i]));
    }
    const char *separator = memchr(session->value, '.', session->value_len);
    if (session->route) {
        assert_ptr_equal(session->route, separator + 1);
        assert_ptr_equal(session->route + session->route_len, session->value + session->value_len);
        assert_true(session->route_len > 0);
    } else {
        assert_true(!separator || separator == session->value + session->value_len - 1);
    }
}

static void keeps_its_word_on_any_bytes(void **state)
{
    static const udr_sticky_t sticky = {.cookie = "S", .parameter = "s", .separator = '.'};
    int found[3] = {0}, routes = 0;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char *uri = random_text("s=.;?&/x\xff");
        char *cookies = random_text("S=.;, \"x\x80");
        udr_session_t session;
        assert_true(udr_sticky_find(&session, &sticky, uri, cookies) == (session.source != UDR_STICKY_NONE));
        found[session.source]++;
        if (session.source) {
            check_session(&session, uri, cookies);
            routes += session.route != NULL;
        }
        free(uri);
        free(cookies);
    }
    /* The dice have shown what there is to see. */
    assert_true(found[URL] > 1000 && found[COOKIE] > 1000 && found[UDR_STICKY_NONE] > 1000 && routes > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_it_in_the_url),
        cmocka_unit_test(ends_it_at_a_semicolon_where_that_is_asked_for),
        cmocka_unit_test(finds_it_in_cookies),
        cmocka_unit_test(the_url_comes_before_cookies),
        cmocka_unit_test(another_separator_can_be_chosen),
        cmocka_unit_test(without_a_separator_all_of_it_is_the_route),
        cmocka_unit_test(without_a_name_there_are_no_sessions),
        cmocka_unit_test(keeps_its_word_on_any_bytes),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_sticky", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
