/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_glob.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static apr_pool_t *pool;
static char root[32];

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/udr-glob-XXXXXX");
    return apr_pool_create(&pool, NULL) != APR_SUCCESS || !mkdtemp(root);
}

static int drop(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    (void)nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
    apr_pool_destroy(pool);
    return 0;
}

static const char *path_of(const char *name)
{
    return apr_pstrcat(pool, root, "/", name, NULL);
}

/* By a relative path, so that its own may be too long. */
static void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0 && here >= 0);
    assert_int_equal(chdir(root), 0);
    strcpy(address.sun_path, name);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fchdir(here), 0);
    close(here);
    close(fd);
}

static void make_file(const char *name)
{
    int fd = open(path_of(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static udr_glob_t *glob_of(const char *pattern)
{
    return glob_make(path_of(pattern), 4, pool);
}

static udr_listing_t list(const udr_glob_t *glob)
{
    udr_listing_t listing;
    assert_int_equal(udr_glob_list(&listing, glob, pool), APR_SUCCESS);
    return listing;
}

static const char *names_in(const udr_glob_t *glob)
{
    const udr_listing_t listing = list(glob);
    const char *names = "";
    for (int i = 0; i < listing.sockets->nelts; i++) {
        names =
            apr_pstrcat(pool, names, *names ? " " : "", APR_ARRAY_IDX(listing.sockets, i, udr_sighted_t).name, NULL);
    }
    return names;
}

/* --- whose a name is --- */

static void takes_what_matches(void **state)
{
    const udr_glob_t *glob = glob_make("/run/app/a*.sock", 4, pool);
    (void)state;
    assert_true(udr_glob_takes(glob, "a.sock"));
    assert_true(udr_glob_takes(glob, "a*.sock"));
    assert_false(udr_glob_takes(glob, "b.sock"));
    assert_false(udr_glob_takes(glob, "a.sock2"));
    assert_false(udr_glob_takes(glob, "A.sock"));
    assert_false(udr_glob_takes(glob_make("/run/app/*", 4, pool), ".a.sock"));
}

static void leaves_what_is_another_ones(void **state)
{
    udr_glob_t *glob = glob_make("/run/app/*.sock", 4, pool);
    (void)state;
    static const char *const others[] = {"/run/app/a.sock", "/run/other/b.sock", "/run/app/c?.sock", "@d.sock",
                                         "/run/app.sock"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        APR_ARRAY_PUSH(glob->others, const udr_target_t *) = glob_target(others[i], pool);
    }
    assert_false(udr_glob_takes(glob, "a.sock"));
    assert_true(udr_glob_takes(glob, "b.sock"));
    assert_true(udr_glob_takes(glob, "c.sock"));
    assert_false(udr_glob_takes(glob, "c1.sock"));
    assert_true(udr_glob_takes(glob, "d.sock"));
}

static void makes_routes_of_names(void **state)
{
    (void)state;
    assert_string_equal(udr_glob_route("app-1.sock", pool), "app-1");
    assert_string_equal(udr_glob_route("a.b.sock", pool), "a.b");
    assert_string_equal(udr_glob_route("app", pool), "app");
    assert_string_equal(udr_glob_route(".sock", pool), ".sock");
    assert_null(udr_glob_route("a; Path=/.sock", pool));
    assert_null(udr_glob_route("a b.sock", pool));
}

/* --- what is in a directory --- */

static void lists_sockets_by_name(void **state)
{
    (void)state;
    make_socket("c.sock");
    make_socket("a.sock");
    make_socket("b.sock");
    make_socket("x.other");
    make_socket(".h.sock");
    make_file("f.sock");
    assert_int_equal(mkdir(path_of("d.sock"), 0700), 0);
    assert_string_equal(names_in(glob_of("*.sock")), "a.sock b.sock c.sock");
    assert_string_equal(names_in(glob_of("[!a].sock")), "b.sock c.sock");
    assert_null(list(glob_of("*")).unusable);
}

static void follows_links_to_sockets(void **state)
{
    (void)state;
    make_socket("real");
    assert_int_equal(symlink("real", path_of("a.sock")), 0);
    assert_int_equal(symlink("nothing", path_of("b.sock")), 0);
    assert_string_equal(names_in(glob_of("*.sock")), "a.sock");
}

static void tells_files_apart(void **state)
{
    const udr_glob_t *glob = glob_of("*");
    (void)state;
    make_socket("a");
    apr_uint64_t first = APR_ARRAY_IDX(list(glob).sockets, 0, udr_sighted_t).file;
    assert_true(APR_ARRAY_IDX(list(glob).sockets, 0, udr_sighted_t).file == first);
    assert_int_equal(rename(path_of("a"), path_of(".old")), 0); /* its inode is not free to be taken again */
    make_socket("a");
    apr_uint64_t second = APR_ARRAY_IDX(list(glob).sockets, 0, udr_sighted_t).file;
    assert_true(second != first);
}

static void leaves_out_what_cannot_be_connected_to(void **state)
{
    char longest[UDR_ADDRESS_MAX + 1] = "";
    (void)state;
    memset(longest, 'x', UDR_ADDRESS_MAX - strlen(root) - 1);
    make_socket(longest);
    assert_null(list(glob_of("*")).unusable);
    assert_string_equal(names_in(glob_of("*")), longest);
    make_socket(strcat(longest, "y"));
    assert_string_equal(list(glob_of("*")).unusable, longest);
    assert_int_equal(list(glob_of("*")).sockets->nelts, 1);
    assert_int_equal(unlink(path_of(longest)), 0);
    make_socket("a\nb");
    assert_string_equal(list(glob_of("*")).unusable, "a\nb");
    assert_string_equal(names_in(glob_of("a*")), "");
}

static void missing_directory_is_empty(void **state)
{
    (void)state;
    assert_string_equal(names_in(glob_of("nowhere/*")), "");
}

static void says_why_it_cannot_be_read(void **state)
{
    udr_listing_t listing = {.unusable = "untouched"};
    (void)state;
    make_file("file");
    assert_int_equal(udr_glob_list(&listing, glob_of("file/*"), pool), ENOTDIR);
    assert_string_equal(listing.unusable, "untouched");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_what_matches),
        TEST(leaves_what_is_another_ones),
        TEST(makes_routes_of_names),
        TEST(lists_sockets_by_name),
        TEST(follows_links_to_sockets),
        TEST(tells_files_apart),
        TEST(leaves_out_what_cannot_be_connected_to),
        TEST(missing_directory_is_empty),
        TEST(says_why_it_cannot_be_read),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_glob", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
