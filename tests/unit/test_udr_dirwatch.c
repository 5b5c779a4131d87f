/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_dirwatch.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* What the next watch of this directory fails with. */
static const char *refused_path;
static int refused_errno;

int __real_inotify_add_watch(int fd, const char *path, uint32_t mask);
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask);

int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    if (refused_path && !strcmp(path, refused_path)) {
        errno = refused_errno;
        return -1;
    }
    return __real_inotify_add_watch(fd, path, mask);
}

/* Somebody makes another event after each read. */
static int noise_fd = -1;
static int reads;

ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
    ssize_t n = __real_read(fd, buffer, size);
    reads++;
    if (noise_fd >= 0 && reads < 1000) {
        (void)fchmod(noise_fd, reads % 2 ? 0600 : 0400);
    }
    return n;
}

/* --- a directory to make a mess in --- */

typedef struct fixture_t {
    apr_pool_t *pool;
    char root[32];
    udr_dirwatch_t *dirwatch;
} fixture_t;

/* A watcher and what it was told. */
typedef struct witness_t {
    udr_watcher_t watcher;
    fixture_t *f;
    const char *path;
    int calls;
    udr_sighting_t last;
    struct witness_t *removes; /* when it is told anything */
    struct witness_t *adds;
} witness_t;

static int set_up(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    apr_pool_create(&f->pool, NULL);
    strcpy(f->root, "/tmp/udr-dirwatch-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    assert_int_equal(udr_dirwatch_create(&f->dirwatch, f->pool), APR_SUCCESS);
    refused_path = NULL;
    *state = f;
    return 0;
}

static int drop(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void drop_tree(const char *path)
{
    (void)nftw(path, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static int tear_down(void **state)
{
    fixture_t *f = *state;
    apr_pool_destroy(f->pool);
    drop_tree(f->root);
    free(f);
    return 0;
}

static const char *path_of(fixture_t *f, const char *name)
{
    return apr_pstrcat(f->pool, f->root, "/", name, NULL);
}

static void make_file(fixture_t *f, const char *name)
{
    int fd = open(path_of(f, name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void make_directory(fixture_t *f, const char *name)
{
    assert_int_equal(mkdir(path_of(f, name), 0700), 0);
}

static void rename_to(fixture_t *f, const char *from, const char *to)
{
    assert_int_equal(rename(path_of(f, from), path_of(f, to)), 0);
}

static void unlink_file(fixture_t *f, const char *name)
{
    assert_int_equal(unlink(path_of(f, name)), 0);
}

static void remove_directory(fixture_t *f, const char *name)
{
    assert_int_equal(rmdir(path_of(f, name)), 0);
}

static void make_link(fixture_t *f, const char *to, const char *name)
{
    assert_int_equal(symlink(to, path_of(f, name)), 0);
}

/* --- witnesses --- */

static apr_status_t try_to_add(witness_t *witness)
{
    const udr_address_t *address;
    assert_null(udr_address_parse_pattern(&address, apr_pstrcat(witness->f->pool, "unix:", witness->path, NULL), "/run",
                                          witness->f->pool));
    return udr_dirwatch_add(witness->f->dirwatch, &witness->watcher, address);
}

static void hear(udr_watcher_t *watcher, udr_sighting_t sighting)
{
    witness_t *witness = watcher->baton;
    witness->calls++;
    witness->last = sighting;
    if (witness->removes) {
        udr_dirwatch_remove(witness->f->dirwatch, &witness->removes->watcher);
    }
    if (witness->adds) {
        assert_int_equal(try_to_add(witness->adds), APR_SUCCESS);
        witness->adds = NULL;
    }
}

static witness_t *witness_of(fixture_t *f, const char *name)
{
    witness_t *witness = apr_pcalloc(f->pool, sizeof *witness);
    witness->watcher.seen = hear;
    witness->watcher.baton = witness;
    witness->f = f;
    witness->path = path_of(f, name);
    return witness;
}

static witness_t *watch(fixture_t *f, const char *name)
{
    witness_t *witness = witness_of(f, name);
    assert_int_equal(try_to_add(witness), APR_SUCCESS);
    return witness;
}

/* inotify(7): what has been done is in the queue when the system call that did it returns. */
static void assert_told(witness_t *witness, udr_sighting_t sighting)
{
    witness->calls = 0;
    udr_dirwatch_read(witness->f->dirwatch);
    assert_int_equal(witness->calls, 1);
    assert_int_equal(witness->last, sighting);
}

static void assert_not_told(witness_t *witness)
{
    witness->calls = 0;
    udr_dirwatch_read(witness->f->dirwatch);
    assert_int_equal(witness->calls, 0);
}

/* proc(5): a line of fdinfo for each watch. */
static int count_watches(const fixture_t *f)
{
    char line[512];
    int count = 0;
    (void)snprintf(line, sizeof line, "/proc/self/fdinfo/%d", udr_dirwatch_fd(f->dirwatch));
    FILE *file = fopen(line, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        count += strncmp(line, "inotify ", 8) == 0;
    }
    (void)fclose(file);
    return count;
}

/* --- files --- */

static void tells_of_a_file_that_appears_and_goes(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = watch(f, "s");
    assert_not_told(witness);
    make_file(f, "s");
    assert_told(witness, UDR_SIGHTING_THERE);
    assert_not_told(witness);
    unlink_file(f, "s");
    assert_told(witness, UDR_SIGHTING_GONE);
}

static void tells_of_a_file_that_is_moved(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = watch(f, "s");
    make_file(f, "new");
    assert_not_told(witness);
    rename_to(f, "new", "s");
    assert_told(witness, UDR_SIGHTING_THERE);
    make_file(f, "new");
    rename_to(f, "new", "s");
    assert_told(witness, UDR_SIGHTING_THERE);
    rename_to(f, "s", "old");
    assert_told(witness, UDR_SIGHTING_GONE);
}

static void tells_of_another_mode(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = watch(f, "s");
    make_file(f, "s");
    assert_told(witness, UDR_SIGHTING_THERE);
    assert_int_equal(chmod(path_of(f, "s"), 0666), 0);
    assert_told(witness, UDR_SIGHTING_THERE);
    assert_int_equal(chmod(f->root, 0755), 0);
    assert_told(witness, UDR_SIGHTING_THERE);
}

static void tells_nothing_of_other_files(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = watch(f, "s");
    make_file(f, "s1");
    make_file(f, "xs");
    make_file(f, "S");
    make_directory(f, "d");
    make_file(f, "d/s");
    unlink_file(f, "s1");
    assert_not_told(witness);
}

/* --- patterns --- */

static void tells_of_files_that_match(void **state)
{
    fixture_t *f = *state;
    witness_t *all = watch(f, "*.sock");
    witness_t *some = watch(f, "a?.sock");
    assert_int_equal(count_watches(f), 3);
    make_file(f, "a.sock");
    make_file(f, "b.sock");
    assert_told(all, UDR_SIGHTING_THERE);
    assert_not_told(some);
    make_file(f, "a1.sock");
    some->calls = 0;
    assert_told(all, UDR_SIGHTING_THERE);
    assert_int_equal(some->calls, 1);
    assert_int_equal(some->last, UDR_SIGHTING_THERE);
    make_file(f, "x");
    make_file(f, ".x.sock");
    assert_not_told(all);
    rename_to(f, "x", "x.sock");
    assert_told(all, UDR_SIGHTING_THERE);
    unlink_file(f, "x.sock");
    assert_told(all, UDR_SIGHTING_THERE); /* never gone: there may be others */
}

static void tells_of_matches_in_a_directory_that_is_made_anew(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "d");
    witness_t *witness = watch(f, "d/*");
    make_file(f, "d/a");
    assert_told(witness, UDR_SIGHTING_THERE);
    drop_tree(path_of(f, "d"));
    assert_told(witness, UDR_SIGHTING_THERE);
    assert_not_told(witness);
    make_directory(f, "d");
    assert_told(witness, UDR_SIGHTING_THERE);
    make_file(f, "d/b");
    assert_told(witness, UDR_SIGHTING_THERE);
    udr_dirwatch_remove(f->dirwatch, &witness->watcher);
    make_file(f, "d/c");
    assert_not_told(witness);
}

static void says_when_matches_cannot_be_seen(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "d");
    witness_t *witness = watch(f, "d/*");
    refused_path = path_of(f, "d");
    refused_errno = EACCES;
    assert_int_equal(chmod(path_of(f, "d"), 0711), 0);
    assert_told(witness, UDR_SIGHTING_BLIND);
    refused_path = NULL;
    assert_int_equal(chmod(path_of(f, "d"), 0755), 0);
    assert_told(witness, UDR_SIGHTING_THERE);
}

static void tells_once_of_many_events(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = watch(f, "s");
    make_file(f, "s");
    unlink_file(f, "s");
    make_file(f, "s");
    assert_int_equal(chmod(path_of(f, "s"), 0666), 0);
    assert_told(witness, UDR_SIGHTING_THERE);
    unlink_file(f, "s");
    make_file(f, "s");
    unlink_file(f, "s");
    assert_told(witness, UDR_SIGHTING_GONE);
}

/* A loop that reads this has more to do. */
static void is_not_kept_by_who_never_stops(void **state)
{
    fixture_t *f = *state;
    struct pollfd descriptor = {.fd = udr_dirwatch_fd(f->dirwatch), .events = POLLIN};
    witness_t *witness = watch(f, "s");
    make_file(f, "noise");
    make_file(f, "s");
    noise_fd = open(path_of(f, "noise"), O_RDONLY | O_CLOEXEC);
    reads = 0;
    assert_told(witness, UDR_SIGHTING_THERE);
    assert_int_equal(reads, 1);
    assert_int_equal(poll(&descriptor, 1, 0), 1);
    unlink_file(f, "s");
    assert_told(witness, UDR_SIGHTING_GONE);
    close(noise_fd);
    noise_fd = -1;
    assert_not_told(witness);
    assert_int_equal(poll(&descriptor, 1, 0), 0);
}

static void does_not_tell_what_is_the_case_already(void **state)
{
    fixture_t *f = *state;
    make_file(f, "s");
    witness_t *witness = watch(f, "s");
    assert_not_told(witness);
}

static void several_may_watch_one_file(void **state)
{
    fixture_t *f = *state;
    witness_t *a = watch(f, "s"), *b = watch(f, "s");
    make_file(f, "s");
    udr_dirwatch_read(f->dirwatch);
    assert_int_equal(a->calls, 1);
    assert_int_equal(b->calls, 1);
    udr_dirwatch_remove(f->dirwatch, &a->watcher);
    unlink_file(f, "s");
    assert_told(b, UDR_SIGHTING_GONE);
    assert_int_equal(a->calls, 1);
}

static void a_thousand_files_share_a_watch(void **state)
{
    fixture_t *f = *state;
    witness_t *witnesses[1000];
    for (size_t i = 0; i < COUNT(witnesses); i++) {
        witnesses[i] = watch(f, apr_psprintf(f->pool, "%lu", (unsigned long)i));
    }
    /* This directory, /tmp and the root. */
    assert_int_equal(count_watches(f), 3);
    for (size_t i = 0; i < COUNT(witnesses); i += 2) {
        make_file(f, apr_psprintf(f->pool, "%lu", (unsigned long)i));
    }
    udr_dirwatch_read(f->dirwatch);
    for (size_t i = 0; i < COUNT(witnesses); i++) {
        assert_int_equal(witnesses[i]->calls, i % 2 == 0);
        udr_dirwatch_remove(f->dirwatch, &witnesses[i]->watcher);
    }
    assert_int_equal(count_watches(f), 1);
}

/* --- directories --- */

static void sees_it_in_a_directory_that_is_made_anew(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "d");
    witness_t *witness = watch(f, "d/s");
    make_file(f, "d/s");
    assert_told(witness, UDR_SIGHTING_THERE);
    for (int i = 0; i < 3; i++) {
        unlink_file(f, "d/s");
        remove_directory(f, "d");
        assert_told(witness, UDR_SIGHTING_GONE);
        make_directory(f, "d");
        assert_told(witness, UDR_SIGHTING_GONE);
        make_file(f, "d/s");
        assert_told(witness, UDR_SIGHTING_THERE);
        assert_int_equal(count_watches(f), 4);
    }
}

static void sees_it_when_all_was_made_anew_meanwhile(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "d");
    witness_t *witness = watch(f, "d/s");
    make_file(f, "d/s");
    unlink_file(f, "d/s");
    remove_directory(f, "d");
    make_directory(f, "d");
    make_file(f, "d/s");
    assert_told(witness, UDR_SIGHTING_THERE);
    unlink_file(f, "d/s");
    assert_told(witness, UDR_SIGHTING_GONE);
}

static void sees_it_when_more_than_the_directory_went(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = watch(f, "a/b/c/s");
    for (int i = 0; i < 3; i++) {
        make_directory(f, "a");
        make_directory(f, "a/b");
        make_directory(f, "a/b/c");
        udr_dirwatch_read(f->dirwatch);
        make_file(f, "a/b/c/s");
        assert_told(witness, UDR_SIGHTING_THERE);
        assert_int_equal(count_watches(f), 6);
        drop_tree(path_of(f, "a"));
        assert_told(witness, UDR_SIGHTING_GONE);
        assert_int_equal(count_watches(f), 3);
    }
}

/* mv app app.old; mv app.new app */
static void sees_it_when_a_directory_above_is_exchanged(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "app");
    make_directory(f, "app/run");
    make_file(f, "app/run/s");
    make_directory(f, "app.new");
    make_directory(f, "app.new/run");
    witness_t *witness = watch(f, "app/run/s");
    rename_to(f, "app", "app.old");
    assert_told(witness, UDR_SIGHTING_GONE);
    rename_to(f, "app.new", "app");
    assert_told(witness, UDR_SIGHTING_GONE);
    make_file(f, "app.old/run/s2");
    unlink_file(f, "app.old/run/s");
    assert_not_told(witness);
    make_file(f, "app/run/s");
    assert_told(witness, UDR_SIGHTING_THERE);
}

/* The kernel keeps IN_DELETE_SELF back as long as anybody stands in the directory. */
static void sees_it_though_somebody_stands_in_the_old_directory(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "d");
    witness_t *witness = watch(f, "d/s");
    int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(path_of(f, "d")), 0);
    remove_directory(f, "d");
    assert_told(witness, UDR_SIGHTING_GONE);
    make_directory(f, "d");
    udr_dirwatch_read(f->dirwatch);
    make_file(f, "d/s");
    assert_told(witness, UDR_SIGHTING_THERE);
    assert_int_equal(fchdir(back), 0);
    close(back);
}

static void a_file_in_the_way_of_the_directory_may_go(void **state)
{
    fixture_t *f = *state;
    make_file(f, "d");
    witness_t *witness = watch(f, "d/s");
    assert_int_equal(count_watches(f), 3);
    unlink_file(f, "d");
    make_directory(f, "d");
    make_file(f, "d/s");
    assert_told(witness, UDR_SIGHTING_THERE);
}

static void watches_in_the_root_directory(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = witness_of(f, "");
    witness->path = "/udr-dirwatch-that-nobody-makes.sock";
    assert_int_equal(try_to_add(witness), APR_SUCCESS);
    assert_int_equal(count_watches(f), 1);
    assert_not_told(witness);
}

/* --- links --- */

static void follows_a_link_that_leads_elsewhere_from_now_on(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "one");
    make_directory(f, "two");
    make_directory(f, "two/run");
    make_link(f, "one", "current");
    witness_t *witness = watch(f, "current/run/s");
    make_directory(f, "one/run");
    assert_told(witness, UDR_SIGHTING_GONE);
    make_link(f, "two", "next");
    rename_to(f, "next", "current");
    assert_told(witness, UDR_SIGHTING_GONE);
    make_file(f, "one/run/s");
    assert_not_told(witness);
    make_file(f, "two/run/s");
    assert_told(witness, UDR_SIGHTING_THERE);
}

/* Nobody looks where it will come about. */
static void says_so_where_a_link_leads_nowhere(void **state)
{
    fixture_t *f = *state;
    make_link(f, "one", "current");
    witness_t *witness = witness_of(f, "current/s");
    assert_int_equal(try_to_add(witness), ENOLINK);
    make_directory(f, "one");
    assert_int_equal(try_to_add(witness), APR_SUCCESS);
    remove_directory(f, "one");
    assert_told(witness, UDR_SIGHTING_BLIND);
    unlink_file(f, "current");
    assert_told(witness, UDR_SIGHTING_GONE);
    make_directory(f, "current");
    make_file(f, "current/s");
    assert_told(witness, UDR_SIGHTING_THERE);
}

static void two_paths_may_lead_to_one_directory(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "d");
    make_link(f, "d", "l");
    witness_t *a = watch(f, "d/s"), *b = watch(f, "l/s");
    assert_int_equal(count_watches(f), 4);
    make_file(f, "d/s");
    udr_dirwatch_read(f->dirwatch);
    assert_int_equal(a->calls, 1);
    assert_int_equal(b->calls, 1);
    udr_dirwatch_remove(f->dirwatch, &a->watcher);
    assert_int_equal(count_watches(f), 4);
    unlink_file(f, "d/s");
    assert_told(b, UDR_SIGHTING_GONE);
    udr_dirwatch_remove(f->dirwatch, &b->watcher);
    assert_int_equal(count_watches(f), 1);
}

/* --- what can't be watched --- */

static void refuses_names_without_a_file(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = witness_of(f, "");
    witness->path = "@name";
    assert_int_equal(try_to_add(witness), APR_ENOTIMPL);
    assert_null(witness->watcher.directory);
    udr_dirwatch_remove(f->dirwatch, &witness->watcher);
}

static void says_what_keeps_it_from_watching(void **state)
{
    static const int errors[] = {ENOSPC, EACCES, ENOMEM};
    fixture_t *f = *state;
    make_directory(f, "d");
    for (size_t i = 0; i < COUNT(errors); i++) {
        witness_t *witness = witness_of(f, "d/s");
        refused_path = path_of(f, "d");
        refused_errno = errors[i];
        assert_int_equal(try_to_add(witness), errors[i]);
        assert_int_equal(count_watches(f), 1);
        refused_path = NULL;
        assert_int_equal(try_to_add(witness), APR_SUCCESS);
        udr_dirwatch_remove(f->dirwatch, &witness->watcher);
    }
}

/* What is above it matters only if it is not there. */
static void needs_not_read_the_directories_above(void **state)
{
    fixture_t *f = *state;
    refused_path = f->root;
    refused_errno = EACCES;
    make_directory(f, "d");
    witness_t *witness = watch(f, "d/s");
    make_file(f, "d/s");
    assert_told(witness, UDR_SIGHTING_THERE);
    rename_to(f, "d", "e");
    assert_told(witness, UDR_SIGHTING_BLIND);
    witness_t *other = watch(f, "e/s");
    unlink_file(f, "e/s");
    assert_told(other, UDR_SIGHTING_GONE);
    remove_directory(f, "e");
    assert_told(other, UDR_SIGHTING_BLIND);
    assert_int_equal(try_to_add(witness_of(f, "d/s")), EACCES);
}

static void sees_again_when_it_may(void **state)
{
    fixture_t *f = *state;
    make_directory(f, "d");
    witness_t *witness = watch(f, "d/s");
    remove_directory(f, "d");
    assert_told(witness, UDR_SIGHTING_GONE);
    refused_path = path_of(f, "d");
    refused_errno = EACCES;
    make_directory(f, "d");
    assert_told(witness, UDR_SIGHTING_BLIND);
    refused_path = NULL;
    make_file(f, "d/s");
    assert_int_equal(chmod(path_of(f, "d"), 0755), 0);
    assert_told(witness, UDR_SIGHTING_THERE);
}

/* More events than the kernel keeps: the last ones are lost, what they were about is not. */
static void finds_out_what_was_lost(void **state)
{
    fixture_t *f = *state;
    int limit = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &limit), 1);
    (void)fclose(file);
    make_directory(f, "d");
    witness_t *there = watch(f, "d/s"), *gone = watch(f, "d/t");
    make_file(f, "d/t");
    assert_told(gone, UDR_SIGHTING_THERE);
    for (int i = 0; i < limit; i += 2) {
        make_directory(f, "x");
        remove_directory(f, "x");
    }
    make_file(f, "d/s");
    unlink_file(f, "d/t");
    gone->calls = 0;
    assert_told(there, UDR_SIGHTING_THERE);
    assert_int_equal(gone->calls, 1);
    assert_int_equal(gone->last, UDR_SIGHTING_GONE);
    unlink_file(f, "d/s");
    assert_told(there, UDR_SIGHTING_GONE);
}

/* --- calls from within, and the end --- */

static void those_who_are_told_may_remove_and_add(void **state)
{
    fixture_t *f = *state;
    witness_t *a = watch(f, "d/a"), *b = watch(f, "d/b"), *c = witness_of(f, "e/c");
    make_directory(f, "d");
    make_file(f, "d/a");
    make_file(f, "d/b");
    /* Whoever comes first takes the other away. */
    a->removes = b;
    b->removes = a;
    a->adds = c;
    b->adds = c;
    udr_dirwatch_read(f->dirwatch);
    assert_int_equal(a->calls + b->calls, 1);
    make_directory(f, "e");
    make_file(f, "e/c");
    assert_told(c, UDR_SIGHTING_THERE);
    a->removes = a;
    b->removes = b;
    unlink_file(f, "d/a");
    unlink_file(f, "d/b");
    udr_dirwatch_read(f->dirwatch);
    assert_int_equal(a->calls + b->calls, 2);
    assert_null(a->watcher.directory);
    assert_null(b->watcher.directory);
    udr_dirwatch_remove(f->dirwatch, &c->watcher);
    assert_int_equal(count_watches(f), 1);
}

static void what_was_removed_is_not_told_of_what_came_before(void **state)
{
    fixture_t *f = *state;
    witness_t *witness = watch(f, "s");
    make_file(f, "s");
    udr_dirwatch_remove(f->dirwatch, &witness->watcher);
    assert_not_told(witness);
    assert_int_equal(try_to_add(witness), APR_SUCCESS);
    unlink_file(f, "s");
    assert_told(witness, UDR_SIGHTING_GONE);
}

static void ends_with_its_pool(void **state)
{
    fixture_t *f = *state;
    udr_dirwatch_t *other;
    apr_pool_t *p;
    apr_pool_create(&p, f->pool);
    assert_int_equal(udr_dirwatch_create(&other, p), APR_SUCCESS);
    int fd = udr_dirwatch_fd(other);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    apr_pool_destroy(p);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* --- any mess --- */

static unsigned int dice = 1;

static unsigned int throw_dice(unsigned int sides)
{
    dice = dice * 1103515245U + 12345U;
    return (dice >> 16) % sides;
}

static void make_a_mess(fixture_t *f, const char *const *names, unsigned int count)
{
    const char *path = path_of(f, names[throw_dice(count)]);
    const char *other = path_of(f, names[throw_dice(count)]);
    int fd;
    switch (throw_dice(6)) {
    case 0:
    case 1:
        (void)mkdir(path, 0700);
        break;
    case 2:
    case 3:
        if ((fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) >= 0) {
            close(fd);
        }
        break;
    case 4:
        (void)rename(path, other);
        break;
    default:
        (void)nftw(path, drop, 8, FTW_DEPTH | FTW_PHYS);
    }
}

static udr_sighting_t truth_of(const witness_t *witness)
{
    struct stat info;
    return stat(witness->path, &info) == 0 ? UDR_SIGHTING_THERE : UDR_SIGHTING_GONE;
}

/* Whatever happens between two reads, each was told of the last change of what is there. */
static void knows_the_truth_after_any_mess(void **state)
{
    static const char *const names[] = {"a",     "a/b", "a/b/s", "a/s",   "a/c", "a/c/s",
                                        "a/b/t", "b",   "b/b",   "b/b/s", "b/c", "s"};
    fixture_t *f = *state;
    witness_t *witnesses[COUNT(names)];
    int told = 0;
    for (size_t i = 0; i < COUNT(names); i++) {
        witnesses[i] = watch(f, names[i]);
        witnesses[i]->last = UDR_SIGHTING_GONE;
    }
    for (int round = 0; round < 5000; round++) {
        for (unsigned int i = throw_dice(5) + 1; i > 0; i--) {
            make_a_mess(f, names, COUNT(names));
        }
        udr_dirwatch_read(f->dirwatch);
        for (size_t i = 0; i < COUNT(names); i++) {
            assert_int_equal(witnesses[i]->last, truth_of(witnesses[i]));
            told += witnesses[i]->calls;
            witnesses[i]->calls = 0;
        }
    }
    assert_true(told > 5000);
    for (size_t i = 0; i < COUNT(names); i++) {
        udr_dirwatch_remove(f->dirwatch, &witnesses[i]->watcher);
    }
    assert_int_equal(count_watches(f), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_of_a_file_that_appears_and_goes),
        TEST(tells_of_a_file_that_is_moved),
        TEST(tells_of_another_mode),
        TEST(tells_nothing_of_other_files),
        TEST(tells_of_files_that_match),
        TEST(tells_of_matches_in_a_directory_that_is_made_anew),
        TEST(says_when_matches_cannot_be_seen),
        TEST(tells_once_of_many_events),
        TEST(is_not_kept_by_who_never_stops),
        TEST(does_not_tell_what_is_the_case_already),
        TEST(several_may_watch_one_file),
        TEST(a_thousand_files_share_a_watch),
        TEST(sees_it_in_a_directory_that_is_made_anew),
        TEST(sees_it_when_all_was_made_anew_meanwhile),
        TEST(sees_it_when_more_than_the_directory_went),
        TEST(sees_it_when_a_directory_above_is_exchanged),
        TEST(sees_it_though_somebody_stands_in_the_old_directory),
        TEST(a_file_in_the_way_of_the_directory_may_go),
        TEST(watches_in_the_root_directory),
        TEST(follows_a_link_that_leads_elsewhere_from_now_on),
        TEST(says_so_where_a_link_leads_nowhere),
        TEST(two_paths_may_lead_to_one_directory),
        TEST(refuses_names_without_a_file),
        TEST(says_what_keeps_it_from_watching),
        TEST(needs_not_read_the_directories_above),
        TEST(sees_again_when_it_may),
        TEST(finds_out_what_was_lost),
        TEST(those_who_are_told_may_remove_and_add),
        TEST(what_was_removed_is_not_told_of_what_came_before),
        TEST(ends_with_its_pool),
        TEST(knows_the_truth_after_any_mess),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_dirwatch", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
