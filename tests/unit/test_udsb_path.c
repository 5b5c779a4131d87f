/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char base[64];
    int root;
} fixture_t;

static void write_file(int directory, const char *name, const char *text)
{
    const int descriptor = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
    close(descriptor);
}

/* base/secret, and base/root with file, sub/file, links in and out, a FIFO. */
static int set_up(void **state)
{
    fixture_t *const fixture = calloc(1, sizeof *fixture);
    char absolute[96];
    int base;

    strcpy(fixture->base, "/tmp/udsb-path-XXXXXX");
    assert_non_null(mkdtemp(fixture->base));
    base = open(fixture->base, O_RDONLY | O_DIRECTORY);
    write_file(base, "secret", "secret");
    assert_int_equal(mkdirat(base, "root", 0755), 0);
    fixture->root = openat(base, "root", O_RDONLY | O_DIRECTORY);
    write_file(fixture->root, "file", "inside");
    assert_int_equal(mkdirat(fixture->root, "sub", 0755), 0);
    write_file(fixture->root, "sub/file", "deeper");
    assert_int_equal(symlinkat("file", fixture->root, "link-in"), 0);
    assert_int_equal(symlinkat("../file", fixture->root, "sub/link-up"), 0);
    assert_int_equal(symlinkat("../secret", fixture->root, "link-out"), 0);
    assert_int_equal(symlinkat("..", fixture->root, "directory-out"), 0);
    assert_int_equal(symlinkat("loop", fixture->root, "loop"), 0);
    snprintf(absolute, sizeof absolute, "%s/secret", fixture->base);
    assert_int_equal(symlinkat(absolute, fixture->root, "link-absolute"), 0);
    assert_int_equal(mkfifoat(fixture->root, "fifo", 0644), 0);
    close(base);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *const fixture = *state;
    char command[96];

    close(fixture->root);
    snprintf(command, sizeof command, "rm -rf %s", fixture->base);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

typedef int open_function_t(int directory, const char *path);

static void assert_reads(open_function_t *function, int root, const char *path, const char *expected)
{
    char text[16] = "";
    const int descriptor = function(root, path);

    assert_true(descriptor >= 0);
    assert_int_equal(read(descriptor, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    close(descriptor);
}

static void assert_fails(open_function_t *function, int root, const char *path, int expected)
{
    errno = 0;
    assert_int_equal(function(root, path), -1);
    assert_int_equal(errno, expected);
}

static void links_are_followed_inside_only(void **state)
{
    const fixture_t *const fixture = *state;

    assert_reads(udsb_path_open, fixture->root, "file", "inside");
    assert_reads(udsb_path_open, fixture->root, "sub/file", "deeper");
    assert_reads(udsb_path_open, fixture->root, "link-in", "inside");
    assert_reads(udsb_path_open, fixture->root, "sub/link-up", "inside");
    assert_fails(udsb_path_open, fixture->root, "link-out", EXDEV);
    assert_fails(udsb_path_open, fixture->root, "link-absolute", EXDEV);
    assert_fails(udsb_path_open, fixture->root, "directory-out/secret", EXDEV);
    assert_fails(udsb_path_open, fixture->root, "../secret", EXDEV);
    assert_fails(udsb_path_open, fixture->root, "loop", ELOOP);
    assert_fails(udsb_path_open, fixture->root, "nothing", ENOENT);
    assert_fails(udsb_path_open, fixture->root, "file/x", ENOTDIR);
}

static void by_steps_no_link_is_followed(void **state)
{
    const fixture_t *const fixture = *state;
    char long_name[300];

    assert_reads(udsb_path_open_by_steps, fixture->root, "file", "inside");
    assert_reads(udsb_path_open_by_steps, fixture->root, "sub/file", "deeper");
    assert_fails(udsb_path_open_by_steps, fixture->root, "link-in", ELOOP);
    assert_fails(udsb_path_open_by_steps, fixture->root, "link-out", ELOOP);
    assert_fails(udsb_path_open_by_steps, fixture->root, "link-absolute", ELOOP);
    assert_fails(udsb_path_open_by_steps, fixture->root, "directory-out/secret", ENOTDIR);
    assert_fails(udsb_path_open_by_steps, fixture->root, "nothing/x", ENOENT);
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_fails(udsb_path_open_by_steps, fixture->root, long_name, ENAMETOOLONG);
}

static void a_fifo_does_not_block(void **state)
{
    const fixture_t *const fixture = *state;
    const int first = udsb_path_open(fixture->root, "fifo");
    const int second = udsb_path_open_by_steps(fixture->root, "fifo");

    assert_true(first >= 0);
    assert_true(second >= 0);
    close(first);
    close(second);
}

static void cleaning(void **state)
{
    static const struct {
        const char *from, *expected;
    } cases[] = {{"", "."},
                 {"/", "."},
                 {"//", "."},
                 {"a", "a"},
                 {"/a//b/", "a/b"},
                 {"a/./b", "a/./b"},
                 {"..a/b..", "..a/b.."},
                 {"...", "..."}};
    static const char *const wrong[] = {"..", "/..", "a/..", "a/../b", "../a", "a/../../b"};
    char path[32];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(udsb_path_clean(path, sizeof path, cases[i].from));
        assert_string_equal(path, cases[i].expected);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(udsb_path_clean(path, sizeof path, wrong[i]));
    assert_true(udsb_path_clean(path, 6, "ab/c"));
    assert_false(udsb_path_clean(path, 5, "ab/cd"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(links_are_followed_inside_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(by_steps_no_link_is_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fifo_does_not_block, set_up, tear_down),
        cmocka_unit_test(cleaning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
