/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_protocol.h"
#include "mod_udsroute/udr_target.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define RUNTIME_DIR   "/var/run/apache2"

static const udr_target_t *parse(const char *text)
{
    const udr_target_t *target = NULL;
    const char *error = udr_target_parse(&target, text, RUNTIME_DIR, pool);

    if (error) {
        fail_msg("%s", error);
    }
    return target;
}

static void assert_refused(const char *text, const char *part)
{
    static const udr_target_t untouched;
    const udr_target_t *target = &untouched;
    const char *error = udr_target_parse(&target, text, RUNTIME_DIR, pool);

    if (!error) {
        fail_msg("'%s' is accepted as %s", text, target->text);
    }
    if (!strstr(error, part)) {
        fail_msg("\"%s\" does not say \"%s\"", error, part);
    }
    assert_ptr_equal(target, &untouched);
}

static void reads_host_port_and_path(void **state)
{
    static const struct {
        const char *url; /* behind "unix:/x.sock|" */
        const char *host;
        int port;
        const char *authority;
        const char *path;
    } rows[] = {
        {"http://localhost", "localhost", 0, "localhost", ""},
        {"http://localhost/", "localhost", 0, "localhost", "/"},
        {"http://localhost:8000/app/", "localhost", 8000, "localhost:8000", "/app/"},
        {"http://localhost:80/", "localhost", 80, "localhost", "/"},
        {"http://localhost:1", "localhost", 1, "localhost:1", ""},
        {"http://localhost:65535", "localhost", 65535, "localhost:65535", ""},
        {"HTTP://LocalHost/Path", "localhost", 0, "localhost", "/Path"},
        {"http://a_b.c-d.example~!&'()*+,;=/", "a_b.c-d.example~!&'()*+,;=", 0, "a_b.c-d.example~!&'()*+,;=", "/"},
        {"http://127.0.0.1:8080/", "127.0.0.1", 8080, "127.0.0.1:8080", "/"},
        {"http://[::1]/", "[::1]", 0, "[::1]", "/"},
        {"http://[2001:DB8::1]:8080/x", "[2001:db8::1]", 8080, "[2001:db8::1]:8080", "/x"},
        {"http://h/a//b/../$1${NAME}%2F:@|", "h", 0, "h", "/a//b/../$1${NAME}%2F:@|"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const udr_target_t *target = parse(apr_pstrcat(pool, "unix:/x.sock|", rows[i].url, NULL));

        assert_string_equal(target->address->text, "unix:/x.sock");
        assert_string_equal(target->scheme->name, "http");
        assert_int_equal(target->scheme->default_port, 80);
        assert_ptr_equal(target->scheme->protocol, &udr_protocol_http1);
        assert_string_equal(target->host, rows[i].host);
        assert_int_equal(target->port, rows[i].port);
        assert_string_equal(target->authority, rows[i].authority);
        assert_string_equal(target->path, rows[i].path);
    }
}

/* The port that goes without saying. */
static void knows_the_schemes_by_their_ports(void **state)
{
    static const char *const rows[][3] = {
        {"http://h:80/", "http", "h"},     {"ws://h:80/", "ws", "h"},
        {"fcgi://h:8000/", "fcgi", "h"},   {"fcgi://h:80/", "fcgi", "h:80"},
        {"FCGI://h/", "fcgi", "h"},        {"scgi://h:4000/", "scgi", "h"},
        {"uwsgi://h:3031/", "uwsgi", "h"}, {"uwsgi://h:4000/", "uwsgi", "h:4000"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const udr_target_t *target = parse(apr_pstrcat(pool, "unix:/x.sock|", rows[i][0], NULL));

        assert_string_equal(target->scheme->name, rows[i][1]);
        assert_string_equal(target->authority, rows[i][2]);
    }
}

static void writes_the_whole_in_canonical_form(void **state)
{
    (void)state;
    assert_string_equal(parse("UNIX:///run//x.sock|HTTP://Host:80/A")->text, "unix:/run/x.sock|http://host/A");
    assert_string_equal(parse("unix:x.sock|http://h:81")->text, "unix:" RUNTIME_DIR "/x.sock|http://h:81");
    assert_string_equal(parse("unix:@x|http://h/")->text, "unix:@x|http://h/");
}

static void keeps_nothing_of_the_callers_memory(void **state)
{
    char text[] = "unix:/x.sock|http://host:81/path";
    const udr_target_t *target = parse(text);

    (void)state;
    memset(text, 'z', sizeof(text) - 1);
    assert_string_equal(target->host, "host");
    assert_string_equal(target->authority, "host:81");
    assert_string_equal(target->path, "/path");
    assert_string_equal(target->address->name, "/x.sock");
}

static void reads_patterns_where_they_may_be(void **state)
{
    const udr_target_t *target = NULL;

    (void)state;
    assert_null(udr_target_parse_pattern(&target, "unix:/run/app/*.sock|HTTP://Localhost:81/x", RUNTIME_DIR, pool));
    assert_int_equal(target->address->kind, UDR_ADDRESS_PATTERN);
    assert_string_equal(target->text, "unix:/run/app/*.sock|http://localhost:81/x");
    assert_refused("unix:/run/app/*.sock|http://localhost/", "a pattern is no address");
    assert_null(udr_target_parse_pattern(&target, "unix:/run/a.sock|http://[::1]/", RUNTIME_DIR, pool));
    assert_int_equal(target->address->kind, UDR_ADDRESS_PATH);
}

static void differs_by_its_address_alone(void **state)
{
    const udr_target_t *pattern = NULL;

    (void)state;
    assert_null(udr_target_parse_pattern(&pattern, "unix:/run/app/*|http://localhost:81/x", RUNTIME_DIR, pool));
    const udr_address_t *address = udr_address_in_directory(pattern->address, "a", pool);
    const udr_target_t *target = udr_target_at(pattern, address, pool);
    assert_ptr_equal(target->address, address);
    assert_ptr_equal(target->scheme, pattern->scheme);
    assert_ptr_equal(target->authority, pattern->authority);
    assert_string_equal(target->path, "/x");
    assert_string_equal(target->text, "unix:/run/app/a|http://localhost:81/x");
    assert_string_equal(pattern->text, "unix:/run/app/*|http://localhost:81/x");
}

static void refuses_targets_without_a_bar_with_a_full_example(void **state)
{
    (void)state;
    assert_refused("unix:/run/x.sock", "'unix:/run/x.sock' does not say what is spoken over the socket: write "
                                       "'unix:/run/x.sock|http://localhost/', or fcgi:// (PHP-FPM), uwsgi:// or "
                                       "scgi:// where that is spoken");
    assert_refused("unix:/run/x.sock|", "'unix:/run/x.sock|' does not say what is spoken over the socket: write "
                                        "'unix:/run/x.sock|http://localhost/'");
    assert_refused("unix:/run/x.sock fcgi://localhost/srv",
                   "'unix:/run/x.sock fcgi://localhost/srv' has no bar before "
                   "what is spoken: write 'unix:/run/x.sock|fcgi://localhost/srv'");
    assert_refused("unix:/run/x.sock, http://h/", "write 'unix:/run/x.sock|http://h/'");
    assert_refused("unix:/run/my app.sock", "write 'unix:/run/my app.sock|http://localhost/'");
    assert_refused("/run/x.sock", "write 'unix:/run/x.sock'");
    assert_refused("http://localhost:8080/", "'http://localhost:8080/' names no Unix socket: write "
                                             "'unix:/run/app.sock|http://localhost:8080/' (routes over TCP are");
    assert_refused("http://unix:/run/x.sock", "write 'unix:/run/x.sock|http://localhost/'");
    assert_refused("http://unix:/run/x.sock:", "write 'unix:/run/x.sock|http://localhost/'");
    assert_refused("http://unix:/run/x.sock:/base/", "'http://unix:/run/x.sock:/base/' does not begin with 'unix:': "
                                                     "write 'unix:/run/x.sock|http://localhost/base/'");
    assert_refused("http://h:80/b|unix:/run/x.sock", "write 'unix:/run/x.sock|http://h:80/b'");
    assert_refused("", "does not begin with 'unix:'");
}

static void refuses_what_the_address_refuses(void **state)
{
    (void)state;
    assert_refused("unix:/a/../b|http://localhost/", "contains a '..'");
    assert_refused("unix:|http://localhost/", "names no socket");
    assert_refused("http://localhost/|unix:/x.sock", "does not begin with 'unix:'");
    assert_refused("unix:/run/$1|http://localhost/", "contains a '$': a socket comes from the configuration only");
    /* The socket first: without it the rest is not worth mending. */
    assert_refused("unix:/a%20b", "contains a '%'");
}

static void refuses_a_missing_or_unknown_scheme(void **state)
{
    static const struct {
        const char *url;
        const char *part;
    } rows[] = {
        {"localhost/",
         "'unix:/x.sock|localhost/' has no scheme behind the bar: write 'unix:/x.sock|http://localhost/', or fcgi://"},
        {"localhost:8000/", "write 'unix:/x.sock|http://localhost:8000/'"},
        {"//localhost/", "write 'unix:/x.sock|http://localhost/'"},
        {"/", "write 'unix:/x.sock|http://localhost/'"},
        {"http:/localhost/a", "write 'unix:/x.sock|http://localhost/a'"},
        {"http:localhost", "write 'unix:/x.sock|http://localhost'"},
        {"http:", "write 'unix:/x.sock|http://localhost/'"},
        {"http", "write 'unix:/x.sock|http://localhost/'"},
        {"fcgi", "write 'unix:/x.sock|fcgi://localhost/'"},
        {"fcgi:localhost", "write 'unix:/x.sock|fcgi://localhost'"},
        {"FCGI:/localhost/srv", "write 'unix:/x.sock|fcgi://localhost/srv'"},
        {"uwsgi//localhost", "write 'unix:/x.sock|uwsgi://localhost'"},
        {"scgi/", "write 'unix:/x.sock|scgi://localhost/'"},
        {"fcgi.example.org/", "write 'unix:/x.sock|http://fcgi.example.org/'"},
        {"://localhost/", "has no scheme"},
        {"localhost/a://b", "write 'unix:/x.sock|http://localhost/a://b'"},
        {"ftp://localhost/",
         "'unix:/x.sock|ftp://localhost/' has the unknown scheme 'ftp': write one of: http, ws, fcgi, scgi, uwsgi"},
        {"https://localhost/", "has the unknown scheme 'https': write one of: http, ws, fcgi, scgi, uwsgi (there is no "
                               "TLS on a Unix socket)"},
        {"wss://localhost/", "(there is no TLS on a Unix socket)"},
        {"htt://localhost/", "has the unknown scheme 'htt'"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        assert_refused(apr_pstrcat(pool, "unix:/x.sock|", rows[i].url, NULL), rows[i].part);
    }
}

static void refuses_bad_hosts_and_ports(void **state)
{
    static const struct {
        const char *url;
        const char *part;
    } rows[] = {
        {"http://", "has no host: write one for the Host field, such as 'unix:/x.sock|http://localhost/'"},
        {"http:///path", "has no host"},
        {"http://:8000/", "has no host"},
        {"http://user@host/p", "contains user information before an '@': write 'unix:/x.sock|http://host/p'"},
        {"http://user:pass@host/", "contains user information"},
        {"http://a%20b/", "'a%20b' is no host"},
        {"http://h\xc3\xb6st/", "is no host"},
        {"http://a\"b/", "is no host"},
        {"http://a\\b/", "is no host"},
        {"http://[::1/", "is no host"},
        {"http://[::1]x/", "is no host"},
        {"http://[]/", "is no host"},
        {"http://[::g]/", "is no host"},
        {"http://[fe80::1%eth0]/", "is no host"},
        {"http://[127.0.0.1]/", "is no host"},
        {"http://::1/", "has no host"},
        {"http://$1/", "contains a '$' in host or port"},
        {"http://localhost$1", "only the path may hold $1 or ${NAME}, behind its first '/'"},
        {"http://localhost:$1/", "contains a '$' in host or port"},
        {"http://localhost:0/", "the port '0' is out of range: 1 to 65535"},
        {"http://localhost:65536/", "the port '65536' is out of range: 1 to 65535"},
        {"http://localhost:/", "the port '' is not a number"},
        {"http://localhost:http/", "the port 'http' is not a number"},
        {"http://localhost:-1/", "the port '-1' is out of range"},
        {"http://[::1]:99999/", "the port '99999' is out of range"},
        {"http://a:1:2/", "the port '1:2' is not a number"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        assert_refused(apr_pstrcat(pool, "unix:/x.sock|", rows[i].url, NULL), rows[i].part);
    }
}

static void refuses_query_fragment_spaces_and_control_characters(void **state)
{
    (void)state;
    assert_refused("unix:/x.sock|http://h/p?q=1", "contains a '?': a target has neither query nor fragment");
    assert_refused("unix:/x.sock|http://h?q", "contains a '?'");
    assert_refused("unix:/x.sock|http://h/p#f", "contains a '#'");
    assert_refused("unix:/x.sock|http://h/a b", "contains a space or a control character");
    assert_refused("unix:/x.sock|http://h/ timeout=30", "parameters stand behind the target, outside of its quotes");
    assert_refused("unix:/x.sock|http://h/a\tb", "'unix:/x.sock|http://h/a\\x09b' contains a space or a control");
    assert_refused("unix:/x.sock|http://h/\x7f", "contains a space or a control character");
}

/* --- balancers --- */

static const udr_target_t *parse_balancer(const char *text)
{
    const udr_target_t *target = NULL;
    const char *error = udr_target_parse_balancer(&target, text, pool);

    if (error) {
        fail_msg("%s", error);
    }
    return target;
}

static void tells_balancers_from_sockets(void **state)
{
    (void)state;
    assert_true(udr_target_is_balancer("balancer://app"));
    assert_true(udr_target_is_balancer("Balancer://"));
    assert_false(udr_target_is_balancer("balancer:/app"));
    assert_false(udr_target_is_balancer("unix:/x.sock|http://localhost/"));
    assert_false(udr_target_is_balancer("unix:/x.sock|balancer://app"));
    assert_null(parse("unix:/x.sock|http://localhost/")->balancer);
    assert_refused("balancer://app/", "'balancer://app/' is a balancer, where a socket is due: write one, as 'unix:");
}

static void reads_the_name_and_path_of_a_balancer(void **state)
{
    static const char *const rows[][4] = {
        {"balancer://app", "app", "", "balancer://app"},
        {"balancer://app/", "app", "/", "balancer://app/"},
        {"BALANCER://App-1.b_c~/Base/x", "app-1.b_c~", "/Base/x", "balancer://app-1.b_c~/Base/x"},
        {"balancer://app/$1/%20", "app", "/$1/%20", "balancer://app/$1/%20"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const udr_target_t *target = parse_balancer(rows[i][0]);

        assert_string_equal(target->balancer, rows[i][1]);
        assert_string_equal(target->path, rows[i][2]);
        assert_string_equal(target->text, rows[i][3]);
        assert_null(target->address);
        assert_null(target->scheme);
        assert_null(target->authority);
    }
}

static void refuses_what_is_no_balancer(void **state)
{
    static const char *const rows[][2] = {
        {"balancer://", "'balancer://' names no balancer: write 'balancer://app' for <UDSBalancer app>"},
        {"balancer:///x", "names no balancer"},
        {"balancer://a b", "'a b' is no name for a balancer: write letters, digits, '-', '.' and '_'"},
        {"balancer://app:80/", "'app:80' is no name"},
        {"balancer://a@b", "is no name"},
        {"balancer://$1", "is no name"},
        {"balancer://\xc3\xa4", "is no name"},
        {"balancer://app?x", "is no name"},
        {"balancer://app/?x", "contains a '?': a target has neither query nor fragment"},
        {"balancer://app/#x", "contains a '#'"},
        {"balancer://app/a b", "contains a space or a control character: write a space as %20"},
        {"balancer://app/\x01", "contains a space or a control character"},
    };
    static const udr_target_t untouched;

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const udr_target_t *target = &untouched;
        const char *error = udr_target_parse_balancer(&target, rows[i][0], pool);

        if (!error || !strstr(error, rows[i][1])) {
            fail_msg("%s: %s", rows[i][0], error ? error : "accepted");
        }
        assert_ptr_equal(target, &untouched);
    }
}

static void reads_the_name_where_a_balancer_is_defined(void **state)
{
    static const char *const good[][2] = {
        {"app", "app"}, {"App", "app"}, {"balancer://App", "app"}, {"balancer://app/", "app"}, {"balancer", "balancer"},
    };
    static const char *const bad[] = {"", "balancer://", "balancer:///", "app/", "balancer://app/x", "app//", "a b",
                                      "!"};
    const char *name = NULL;

    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++) {
        assert_null(udr_target_parse_balancer_name(&name, good[i][0], pool));
        assert_string_equal(name, good[i][1]);
    }
    for (size_t i = 0; i < LENGTH(bad); i++) {
        if (!udr_target_parse_balancer_name(&name, bad[i], pool)) {
            fail_msg("'%s' is accepted as %s", bad[i], name);
        }
    }
    assert_string_equal(name, "balancer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_host_port_and_path),
        cmocka_unit_test(knows_the_schemes_by_their_ports),
        cmocka_unit_test(writes_the_whole_in_canonical_form),
        cmocka_unit_test(keeps_nothing_of_the_callers_memory),
        cmocka_unit_test(reads_patterns_where_they_may_be),
        cmocka_unit_test(differs_by_its_address_alone),
        cmocka_unit_test(refuses_targets_without_a_bar_with_a_full_example),
        cmocka_unit_test(refuses_what_the_address_refuses),
        cmocka_unit_test(refuses_a_missing_or_unknown_scheme),
        cmocka_unit_test(refuses_bad_hosts_and_ports),
        cmocka_unit_test(refuses_query_fragment_spaces_and_control_characters),
        cmocka_unit_test(tells_balancers_from_sockets),
        cmocka_unit_test(reads_the_name_and_path_of_a_balancer),
        cmocka_unit_test(refuses_what_is_no_balancer),
        cmocka_unit_test(reads_the_name_where_a_balancer_is_defined),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_target", tests, make_pool, drop_pool);
}
