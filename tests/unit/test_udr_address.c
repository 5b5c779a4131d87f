/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_address.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define RUNTIME_DIR   "/var/run/apache2"

static const udr_address_t *parse(const char *text)
{
    const udr_address_t *address = NULL;
    const char *error = udr_address_parse(&address, text, RUNTIME_DIR, pool);

    if (error) {
        fail_msg("%s", error);
    }
    return address;
}

/* The sentence with which a text is refused. */
static const char *refusal(const char *text)
{
    static const udr_address_t untouched;
    const udr_address_t *address = &untouched;
    const char *error = udr_address_parse(&address, text, RUNTIME_DIR, pool);

    if (!error) {
        fail_msg("'%s' is accepted as %s", text, address->text);
    }
    assert_ptr_equal(address, &untouched);
    return error;
}

static const char *repeat(char c, int count)
{
    char *text = apr_palloc(pool, (apr_size_t)count + 1);

    memset(text, c, (apr_size_t)count);
    text[count] = '\0';
    return text;
}

/* --- accepted --- */

static void reads_addresses_into_their_canonical_form(void **state)
{
    static const struct {
        const char *text;
        udr_address_kind_t kind;
        const char *name;
        const char *canonical;
    } rows[] = {
        {"unix:/run/app.sock", UDR_ADDRESS_PATH, "/run/app.sock", "unix:/run/app.sock"},
        {"unix:/a", UDR_ADDRESS_PATH, "/a", "unix:/a"},
        {"unix:///run/a.sock", UDR_ADDRESS_PATH, "/run/a.sock", "unix:/run/a.sock"},
        {"unix:////run/a.sock", UDR_ADDRESS_PATH, "/run/a.sock", "unix:/run/a.sock"},
        {"unix:/run//app///a.sock", UDR_ADDRESS_PATH, "/run/app/a.sock", "unix:/run/app/a.sock"},
        {"unix:/run/./app/././a.sock", UDR_ADDRESS_PATH, "/run/app/a.sock", "unix:/run/app/a.sock"},
        {"unix:a.sock", UDR_ADDRESS_PATH, RUNTIME_DIR "/a.sock", "unix:" RUNTIME_DIR "/a.sock"},
        {"unix:app/a.sock", UDR_ADDRESS_PATH, RUNTIME_DIR "/app/a.sock", "unix:" RUNTIME_DIR "/app/a.sock"},
        {"unix:./a.sock", UDR_ADDRESS_PATH, RUNTIME_DIR "/a.sock", "unix:" RUNTIME_DIR "/a.sock"},
        {"UNIX:/Run/App.Sock", UDR_ADDRESS_PATH, "/Run/App.Sock", "unix:/Run/App.Sock"},
        {"unix:/run/my app.sock", UDR_ADDRESS_PATH, "/run/my app.sock", "unix:/run/my app.sock"},
        {"unix:/run/.hidden/..a/a..", UDR_ADDRESS_PATH, "/run/.hidden/..a/a..", "unix:/run/.hidden/..a/a.."},
        {"unix:/run/a@b", UDR_ADDRESS_PATH, "/run/a@b", "unix:/run/a@b"},
        {"unix:@app", UDR_ADDRESS_ABSTRACT, "app", "unix:@app"},
        /* Abstract names are bytes, not paths: nothing is collapsed, and ".." goes nowhere. */
        {"unix:@/run//app/../x/", UDR_ADDRESS_ABSTRACT, "/run//app/../x/", "unix:@/run//app/../x/"},
        {"unix:@@", UDR_ADDRESS_ABSTRACT, "@", "unix:@@"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const udr_address_t *address = parse(rows[i].text);

        assert_int_equal(address->kind, rows[i].kind);
        assert_string_equal(address->name, rows[i].name);
        assert_int_equal(address->len, strlen(rows[i].name));
        assert_string_equal(address->text, rows[i].canonical);
    }
}

static void keeps_nothing_of_the_callers_memory(void **state)
{
    char path[] = "unix:/run/a.sock";
    char name[] = "unix:@name";
    const udr_address_t *by_path = parse(path);
    const udr_address_t *by_name = parse(name);

    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    memset(name, 'x', sizeof(name) - 1);
    assert_string_equal(by_path->name, "/run/a.sock");
    assert_string_equal(by_name->name, "name");
}

/* --- refused --- */

static void refuses_each_mistake_with_its_remedy(void **state)
{
    static const struct {
        const char *text;
        const char *part;
    } rows[] = {
        {"", "'' does not begin with 'unix:': write 'unix:/run/app.sock'"},
        {"/run/x.sock", "'/run/x.sock' does not begin with 'unix:': write 'unix:/run/x.sock'"},
        {"@x", "'@x' does not begin with 'unix:': write 'unix:@x'"},
        {"http://localhost/", "does not begin with 'unix:': write 'unix:/run/app.sock'"},
        {"unix", "does not begin with 'unix:'"},
        {"unix:", "'unix:' names no socket: write 'unix:/run/app.sock' for a path, or 'unix:@app'"},
        {"unix://", "names no socket"},
        {"unix:@", "'unix:@' has no name behind the '@': write one, such as 'unix:@app'"},
        {"unix:/", "ends in a directory: write the path of the socket itself"},
        {"unix:///", "ends in a directory"},
        {"unix:/run/", "'unix:/run/' ends in a directory"},
        {"unix:/run/.", "ends in a directory"},
        {"unix:.", "ends in a directory"},
        {"unix:run/", "ends in a directory"},
        {"unix:/run/../a.sock", "'unix:/run/../a.sock' contains a '..': write the path without it"},
        {"unix:../a.sock", "contains a '..'"},
        {"unix:/run/..", "contains a '..'"},
        {"unix:..", "contains a '..'"},
        {"unix:/run/a%20b.sock", "contains a '%': socket paths are not percent-decoded"},
        {"unix:@a%00", "contains a '%'"},
        {"unix:/run/$1.sock", "contains a '$': a socket comes from the configuration only"},
        {"unix:/run/${X}.sock", "contains a '$'"},
        {"unix:@$1", "contains a '$'"},
        {"unix:/run/*.sock", "a pattern is no address"},
        {"unix:/run/a?.sock", "a pattern is no address"},
        {"unix:/run/[ab].sock", "a pattern is no address"},
        {"unix:/run/a\tb", "'unix:/run/a\\x09b' contains the control character \\x09"},
        {"unix:/run/a\x1b", "contains the control character \\x1b"},
        {"unix:@a\x7f", "contains the control character \\x7f"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        assert_says(refusal(rows[i].text), rows[i].part);
    }
}

static void names_both_readings_of_two_slashes(void **state)
{
    (void)state;
    assert_string_equal(refusal("unix://run/a.sock"),
                        "'unix://run/a.sock' is not clear, since a name behind '//' would be a host: write "
                        "'unix:/run/a.sock' for the path /run/a.sock, or 'unix:run/a.sock' for one relative to "
                        "/var/run/apache2");
    assert_says(refusal("unix://a.sock"), "write 'unix:/a.sock' for the path /a.sock, or 'unix:a.sock' for one");
}

/* --- patterns --- */

static const udr_address_t *pattern_of(const char *text)
{
    const udr_address_t *address = NULL;
    const char *error = udr_address_parse_pattern(&address, text, RUNTIME_DIR, pool);

    if (error) {
        fail_msg("%s", error);
    }
    return address;
}

static void reads_patterns_of_sockets(void **state)
{
    const udr_address_t *pattern = pattern_of("unix:///run//app/./a-*.sock");

    (void)state;
    assert_int_equal(pattern->kind, UDR_ADDRESS_PATTERN);
    assert_string_equal(pattern->name, "/run/app/a-*.sock");
    assert_string_equal(pattern->text, "unix:/run/app/a-*.sock");
    assert_string_equal(pattern_of("unix:a?.sock")->name, RUNTIME_DIR "/a?.sock");
    assert_string_equal(pattern_of("unix:/?")->name, "/?");
    /* What is none is read as ever. */
    assert_int_equal(pattern_of("unix:/run/a.sock")->kind, UDR_ADDRESS_PATH);
    assert_int_equal(pattern_of("unix:@a")->kind, UDR_ADDRESS_ABSTRACT);
}

static void refuses_what_is_no_pattern(void **state)
{
    static const struct {
        const char *text;
        const char *part;
    } rows[] = {
        {"unix:/run/*/a.sock", "in the name of a directory: only the last part"},
        {"unix:/run/a[12]/*.sock", "in the name of a directory"},
        {"unix:/run/*/", "ends in a directory"},
        {"unix:@app-*", "abstract name: no directory lists these"},
        {"unix:/run/[ab", "has a '[' without its ']'"},
        {"unix:/run/[]a", "has a '[' without its ']'"},
        {"unix:/run/[!]a", "has a '[' without its ']'"},
        {"unix:/run/[a][b", "has a '[' without its ']'"},
        {"unix:/run/../*", "contains a '..'"},
        {"unix:/run/*%20", "contains a '%'"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const udr_address_t *address = NULL;
        const char *error = udr_address_parse_pattern(&address, rows[i].text, RUNTIME_DIR, pool);

        if (!error) {
            fail_msg("'%s' is accepted", rows[i].text);
        }
        assert_says(error, rows[i].part);
        assert_null(address);
    }
    assert_non_null(pattern_of("unix:/run/[]a]"));
    assert_non_null(pattern_of("unix:/run/[!]]b*"));
}

static void leaves_room_for_a_name(void **state)
{
    const udr_address_t *address = NULL;

    (void)state;
    (void)pattern_of(apr_pstrcat(pool, "unix:/", repeat('d', 104), "/a-long-pattern-*", NULL));
    assert_says(udr_address_parse_pattern(&address, apr_pstrcat(pool, "unix:/", repeat('d', 105), "/*", NULL),
                                          RUNTIME_DIR, pool),
                "has 107 bytes, and the kernel takes at most 107 for a whole path");
}

static void matches_names_as_a_shell_does(void **state)
{
    static const struct {
        const char *pattern;
        const char *name;
        bool matches;
    } rows[] = {
        {"*.sock", "a.sock", true},
        {"*.sock", ".sock", false},
        {"*", ".a", false},
        {".*", ".a", true},
        {"a?.sock", "ab.sock", true},
        {"a?.sock", "a.sock", false},
        {"a[0-9].sock", "a7.sock", true},
        {"a[!0-9]", "ab", true},
        {"a[!0-9]", "a7", false},
        {"*.sock", "A.SOCK", false},
        {"a\\*", "a\\b", true},
        {"a\\*", "a*", false},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const udr_address_t *pattern = pattern_of(apr_pstrcat(pool, "unix:/run/app/", rows[i].pattern, NULL));

        if (udr_address_matches(pattern, rows[i].name) != rows[i].matches) {
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].name);
        }
    }
}

static void makes_addresses_of_names(void **state)
{
    const udr_address_t *pattern = pattern_of("unix:/run/app/*");
    const udr_address_t *address = udr_address_in_directory(pattern, "a%b.sock", pool);

    (void)state;
    assert_int_equal(address->kind, UDR_ADDRESS_PATH);
    assert_string_equal(address->name, "/run/app/a%b.sock");
    assert_int_equal(address->len, strlen("/run/app/a%b.sock"));
    assert_string_equal(address->text, "unix:/run/app/a%b.sock");
    assert_string_equal(udr_address_in_directory(pattern_of("unix:/*"), "a", pool)->name, "/a");
    assert_non_null(udr_address_in_directory(pattern, repeat('x', 98), pool));
    assert_null(udr_address_in_directory(pattern, repeat('x', 99), pool));
    assert_null(udr_address_in_directory(pattern, "a\nb", pool));
    assert_true(udr_address_fits(pattern, repeat('x', 98)));
    assert_false(udr_address_fits(pattern, repeat('x', 99)));
    assert_false(udr_address_fits(pattern, "a\177"));
}

/* --- length --- */

static void takes_names_of_107_bytes_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(parse(apr_pstrcat(pool, "unix:/", repeat('p', 106), NULL))->len, 107);
    assert_string_equal(
        refusal(apr_pstrcat(pool, "unix:/", repeat('p', 107), NULL)),
        apr_pstrcat(pool, "'unix:/", repeat('p', 107), "': the path /", repeat('p', 107),
                    " has 108 bytes, the kernel takes at most 107: use a shorter one near the root, such "
                    "as /run/app.sock",
                    NULL));
    assert_int_equal(parse(apr_pstrcat(pool, "unix:@", repeat('n', 107), NULL))->len, 107);
    assert_says(refusal(apr_pstrcat(pool, "unix:@", repeat('n', 108), NULL)),
                "the name has 108 bytes, the kernel takes at most 107");
}

static void measures_a_relative_path_after_resolution(void **state)
{
    int left = UDR_ADDRESS_MAX - (int)strlen(RUNTIME_DIR "/");

    (void)state;
    assert_int_equal(parse(apr_pstrcat(pool, "unix:", repeat('r', left), NULL))->len, UDR_ADDRESS_MAX);
    assert_says(refusal(apr_pstrcat(pool, "unix:", repeat('r', left + 1), NULL)), "has 108 bytes");
    assert_says(refusal(apr_pstrcat(pool, "unix:", repeat('r', left + 1), NULL)), "the path " RUNTIME_DIR "/rrr");
}

static void measures_the_canonical_path_not_the_written_one(void **state)
{
    (void)state;
    assert_int_equal(parse(apr_pstrcat(pool, "unix:", repeat('/', 200), "a", NULL))->len, 2);
}

/* --- for the kernel --- */

static const char *temporary_directory(void)
{
    char *directory = apr_pstrdup(pool, "/tmp/udr-address-XXXXXX");

    assert_non_null(mkdtemp(directory));
    return directory;
}

/* The kernel is asked: what was bound under the one spelling is reached under the other. */
static void assert_connects(const udr_address_t *server, const udr_address_t *client)
{
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa;
    socklen_t len;

    len = udr_address_sockaddr(server, &sa);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    len = udr_address_sockaddr(client, &sa);
    assert_int_equal(connect(connection, (struct sockaddr *)&sa, len), 0);
    close(connection);
    close(listener);
}

static void makes_a_sockaddr_for_a_path(void **state)
{
    const char *directory = temporary_directory();
    const udr_address_t *address = parse(apr_pstrcat(pool, "unix:", directory, "/a.sock", NULL));

    (void)state;
    assert_connects(address, parse(apr_pstrcat(pool, "unix://", directory, "//./a.sock", NULL)));
    assert_int_equal(access(address->name, F_OK), 0);
    assert_int_equal(unlink(address->name), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void makes_a_sockaddr_for_the_longest_path(void **state)
{
    const char *directory = temporary_directory();
    const char *name = repeat('l', UDR_ADDRESS_MAX - (int)strlen(directory) - 1);
    const udr_address_t *address = parse(apr_pstrcat(pool, "unix:", directory, "/", name, NULL));

    (void)state;
    assert_connects(address, address);
    assert_int_equal(unlink(address->name), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void makes_a_sockaddr_for_an_abstract_name(void **state)
{
    const char *text = apr_psprintf(pool, "unix:@udr-address-%ld", (long)getpid());
    const char *longest = apr_pstrcat(pool, text, repeat('l', UDR_ADDRESS_MAX + 6 - (int)strlen(text)), NULL);
    struct sockaddr_un sa;

    (void)state;
    assert_connects(parse(text), parse(text));
    assert_int_equal(parse(longest)->len, UDR_ADDRESS_MAX);
    assert_connects(parse(longest), parse(longest));
    /* Never a file called "@name". */
    assert_int_equal(access(text + strlen("unix:"), F_OK), -1);
    assert_int_equal(udr_address_sockaddr(parse("unix:@ab"), &sa), offsetof(struct sockaddr_un, sun_path) + 3);
    assert_memory_equal(sa.sun_path, "\0ab", 3);
}

/* --- identity --- */

static void compares_kind_and_name(void **state)
{
    (void)state;
    assert_true(udr_address_equal(parse("unix:/run/a"), parse("UNIX:///run/./a")));
    assert_true(udr_address_equal(parse("unix:a"), parse("unix:" RUNTIME_DIR "/a")));
    assert_true(udr_address_equal(parse("unix:@a"), parse("unix:@a")));
    assert_false(udr_address_equal(parse("unix:/run/a"), parse("unix:/run/b")));
    assert_false(udr_address_equal(parse("unix:/run/a"), parse("unix:/run/ab")));
    assert_false(udr_address_equal(parse("unix:/run/a"), parse("unix:/run/A")));
    assert_false(udr_address_equal(parse("unix:/run/a"), parse("unix:@/run/a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses_into_their_canonical_form),
        cmocka_unit_test(keeps_nothing_of_the_callers_memory),
        cmocka_unit_test(refuses_each_mistake_with_its_remedy),
        cmocka_unit_test(names_both_readings_of_two_slashes),
        cmocka_unit_test(reads_patterns_of_sockets),
        cmocka_unit_test(refuses_what_is_no_pattern),
        cmocka_unit_test(leaves_room_for_a_name),
        cmocka_unit_test(matches_names_as_a_shell_does),
        cmocka_unit_test(makes_addresses_of_names),
        cmocka_unit_test(takes_names_of_107_bytes_and_no_more),
        cmocka_unit_test(measures_a_relative_path_after_resolution),
        cmocka_unit_test(measures_the_canonical_path_not_the_written_one),
        cmocka_unit_test(makes_a_sockaddr_for_a_path),
        cmocka_unit_test(makes_a_sockaddr_for_the_longest_path),
        cmocka_unit_test(makes_a_sockaddr_for_an_abstract_name),
        cmocka_unit_test(compares_kind_and_name),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_address", tests, make_pool, drop_pool);
}
