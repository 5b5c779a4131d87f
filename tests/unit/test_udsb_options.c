/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_check.h"
#include "backend/udsb_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static udsb_options_t options;
static udsb_error_t error;

static int clear(void **state)
{
    (void)state;
    udsb_options_clear(&options);
    return 0;
}

#define READ(...) read_arguments((const char *const[]){"udsbackend", __VA_ARGS__, NULL})

static udsb_result_t read_arguments(const char *const *arguments)
{
    int count = 0;

    while (arguments[count])
        count++;
    udsb_options_clear(&options);
    error.text[0] = '\0';
    return udsb_options_read(&options, count, (char *const *)(uintptr_t)arguments, &error);
}

static void all_options(void **state)
{
    (void)state;
    assert_int_equal(READ("--socket", "/run/a.sock", "--socket=@b", "--mode", "0666", "--owner", "root", "--group=0",
                          "--backlog", "128", "--threads", "3", "--instances", "4", "--map", "GET /a b=text:c = d",
                          "--map", "POST /e=text:", "--root", "/srv", "--allow-peer", "root", "--allow-peer", "33",
                          "--drain", "500ms", "--check"),
                     UDSB_OK);
    assert_int_equal(options.sockets.count, 2);
    assert_string_equal(options.sockets.items[0], "/run/a.sock");
    assert_string_equal(options.sockets.items[1], "@b");
    assert_int_equal(options.mode, 0666);
    assert_string_equal(options.owner, "root");
    assert_string_equal(options.group, "0");
    assert_int_equal(options.backlog, 128);
    assert_int_equal(options.threads, 3);
    assert_int_equal(options.instances, 4);
    assert_int_equal(options.map_count, 2);
    assert_string_equal(options.maps[0].method, "GET");
    assert_string_equal(options.maps[0].path, "/a b");
    assert_string_equal(options.maps[0].text, "c = d");
    assert_string_equal(options.maps[1].text, "");
    assert_string_equal(options.root, "/srv");
    assert_int_equal(options.allowed_peers.count, 2);
    assert_int_equal(options.drain_ms, 500);
    assert_true(options.check);
    assert_false(options.help);
}

static void every_error_names_option_value_and_range(void **state)
{
    static const struct {
        const char *arguments[2];
        const char *expected;
    } cases[] = {
        {{"--mode", "0999"}, "--mode \"0999\" is not an octal mode from 1 to 0777"},
        {{"--mode", "1777"}, "--mode \"1777\" is not an octal mode from 1 to 0777"},
        {{"--owner", "no-such-user"}, "--owner \"no-such-user\" is not a user"},
        {{"--group", "no-such-group"}, "--group \"no-such-group\" is not a group"},
        {{"--backlog", "0"}, "--backlog \"0\" is not a number from 1 to 65535"},
        {{"--backlog", "65536"}, "--backlog \"65536\" is not a number from 1 to 65535"},
        {{"--threads", "257"}, "--threads \"257\" is not a number from 1 to 256"},
        {{"--threads", "two"}, "--threads \"two\" is not a number from 1 to 256"},
        {{"--instances", "-1"}, "--instances \"-1\" is not a number from 1 to 1000"},
        {{"--map", "GET/a=text:b"},
         "--map \"GET/a=text:b\" is not a method, a space, a path that begins with /, then =text: and the text"},
        {{"--map", "GET /a=file:b"},
         "--map \"GET /a=file:b\" is not a method, a space, a path that begins with /, then =text: and the text"},
        {{"--allow-peer", "no-such-user"}, "--allow-peer \"no-such-user\" is not a user"},
        {{"--drain", "5m"},
         "--drain \"5m\" is not a time from 0 to 24h (a number with ms, s, min or h; without a unit: seconds)"},
        {{"--drain", "25h"},
         "--drain \"25h\" is not a time from 0 to 24h (a number with ms, s, min or h; without a unit: seconds)"},
        {{"--socket", "@"}, "--socket \"@\" has no name after the @"},
        {{"--socket", "/run/"}, "--socket \"/run/\" names a directory, not a socket"},
        {{"--socket", ""}, "--socket \"\" is empty"},
        {{"--socket"}, "--socket needs a value: PATH|@NAME"},
        {{"--socket", "--check"}, "--socket needs a value: PATH|@NAME"},
        {{"--check=yes"}, "--check takes no value, but \"yes\" was given"},
        {{"--sockets", "/a"}, "there is no option --sockets"},
        {{"-s", "/a"}, "\"-s\" is not an option; options begin with --"},
        {{"/run/a.sock"}, "\"/run/a.sock\" is not an option; options begin with --"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const arguments[] = {"udsbackend", cases[i].arguments[0], cases[i].arguments[1], NULL};

        assert_int_equal(read_arguments(arguments), UDSB_INVALID);
        assert_string_equal(error.text, cases[i].expected);
    }
    assert_int_equal(READ("--socket", "/a", "--socket", "/a"), UDSB_INVALID);
    assert_non_null(strstr(error.text, "is not a new socket path"));
}

static char file[64];

static void write_file(const char *text, size_t length)
{
    int descriptor;

    strcpy(file, "/tmp/udsb-options-XXXXXX");
    descriptor = mkstemp(file);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, length), length);
    close(descriptor);
}

static void a_file_has_one_option_a_line(void **state)
{
    static const char text[] = "# a comment\n"
                               "\n"
                               "  # another one\n"
                               "socket /run/a.sock\n"
                               "--socket=@b\n"
                               "mode = 0666   \r\n"
                               "\tmap GET /a=text:x = y # z\n"
                               "drain   2min";

    (void)state;
    write_file(text, sizeof text - 1);
    assert_int_equal(READ("--threads", "2", "--config", file), UDSB_OK);
    unlink(file);
    assert_int_equal(options.sockets.count, 2);
    assert_string_equal(options.sockets.items[1], "@b");
    assert_int_equal(options.mode, 0666);
    assert_string_equal(options.maps[0].text, "x = y # z");
    assert_int_equal(options.drain_ms, 120000);
    assert_int_equal(options.threads, 2);
}

static void the_command_line_has_the_last_word(void **state)
{
    static const char text[] = "mode 0600\nthreads 5\nsocket /run/a.sock\n";

    (void)state;
    write_file(text, sizeof text - 1);
    assert_int_equal(READ("--mode", "0666", "--config", file, "--socket", "/run/b.sock"), UDSB_OK);
    unlink(file);
    assert_int_equal(options.mode, 0666);
    assert_int_equal(options.threads, 5);
    assert_int_equal(options.sockets.count, 2);
}

static void errors_of_a_file_have_its_line(void **state)
{
    static const struct {
        const char *text;
        size_t length;
        const char *expected;
    } cases[] = {
#define TEXT(text) text, sizeof text - 1
        {TEXT("mode 9\n"), ":1: mode \"9\" is not an octal mode from 1 to 0777"},
        {TEXT("\n#\nnonsense 1\n"), ":3: there is no option \"nonsense\""},
        {TEXT("socket\n"), ":1: socket needs a value: PATH|@NAME"},
        {TEXT("socket =\n"), ":1: socket needs a value: PATH|@NAME"},
        {TEXT("check\n"), ":1: check belongs on the command line"},
        {TEXT("mode 0600\nconfig other\n"), ":2: config belongs on the command line"},
        {TEXT("mode 06\0000\n"), ":1: there is a NUL byte in this line"},
        {TEXT("= 1\n"), ":1: there is no option \"\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[256];

        write_file(cases[i].text, cases[i].length);
        assert_int_equal(READ("--config", file), UDSB_INVALID);
        unlink(file);
        snprintf(expected, sizeof expected, "%s%s", file, cases[i].expected);
        assert_string_equal(error.text, expected);
    }
    assert_int_equal(READ("--config", "/nonexistent/file"), UDSB_SYSTEM);
    assert_non_null(strstr(error.text, "/nonexistent/file"));
    assert_int_equal(READ("--config", "/tmp"), UDSB_SYSTEM);
}

static void options_must_go_together(void **state)
{
    char path[128];

    (void)state;
    assert_int_equal(READ("--mode", "0600"), UDSB_OK);
    assert_int_equal(udsb_check_usage(&options, 0, &error), UDSB_INVALID);
    assert_non_null(strstr(error.text, "--socket"));
    assert_int_equal(udsb_check_usage(&options, 1, &error), UDSB_OK);
    assert_int_equal(READ("--socket", "/a", "--instances", "2"), UDSB_OK);
    assert_int_equal(udsb_check_usage(&options, 0, &error), UDSB_OK);
    assert_int_equal(udsb_check_usage(&options, 1, &error), UDSB_INVALID);
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[105] = '\0';
    assert_int_equal(READ("--socket", path, "--instances", "9"), UDSB_OK);
    assert_int_equal(udsb_check_usage(&options, 0, &error), UDSB_OK);
    assert_int_equal(READ("--socket", path, "--instances", "10"), UDSB_OK);
    assert_int_equal(udsb_check_usage(&options, 0, &error), UDSB_INVALID);
    assert_non_null(strstr(error.text, "107"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(all_options, clear),
        cmocka_unit_test_teardown(every_error_names_option_value_and_range, clear),
        cmocka_unit_test_teardown(a_file_has_one_option_a_line, clear),
        cmocka_unit_test_teardown(the_command_line_has_the_last_word, clear),
        cmocka_unit_test_teardown(errors_of_a_file_have_its_line, clear),
        cmocka_unit_test_teardown(options_must_go_together, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
