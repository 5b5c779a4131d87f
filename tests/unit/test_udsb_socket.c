/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_lock.h"
#include "backend/udsb_peer.h"
#include "backend/udsb_socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const udsb_socket_options_t options = {.mode = 0600, .owner = (uid_t)-1, .group = (gid_t)-1, .backlog = 1};

static char directory[64], path[96];

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/udsb-socket-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/a.sock", directory);
    return 0;
}

static unsigned entries(void)
{
    DIR *const stream = opendir(directory);
    unsigned count = 0;

    while (readdir(stream))
        count++;
    closedir(stream);
    return count - 2; /* . and .. */
}

/* Every test leaves the directory empty: no lock, no temporary name, no socket. */
static int tear_down(void **state)
{
    (void)state;
    return entries() == 0 && !rmdir(directory) ? 0 : -1;
}

static udsb_address_t address_of(const char *text)
{
    udsb_address_t address;

    assert_null(udsb_address_parse(&address, text));
    return address;
}

static udsb_result_t try_open(udsb_socket_t *socket, const char *text, udsb_error_t *error)
{
    const udsb_address_t address = address_of(text);

    return udsb_socket_open(socket, &address, &options, error);
}

static udsb_socket_t open_socket(const char *text)
{
    udsb_error_t error = {""};
    udsb_socket_t socket;

    assert_int_equal(try_open(&socket, text, &error), UDSB_OK);
    return socket;
}

static udsb_socket_state_t examine(const char *text, char *who, size_t size)
{
    const udsb_address_t address = address_of(text);

    return udsb_socket_examine(&address, who, size);
}

static int connect_to(const char *text)
{
    const udsb_address_t address = address_of(text);
    const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (connect(descriptor, (const struct sockaddr *)&address.socket, address.length)) {
        const int cause = errno;

        close(descriptor);
        errno = cause;
        return -1;
    }
    return descriptor;
}

static void end(udsb_socket_t *socket)
{
    assert_int_equal(udsb_socket_unlink(socket, NULL), UDSB_OK);
    udsb_socket_close(socket);
}

static void opened_refused_unlinked(void **state)
{
    udsb_socket_t socket = open_socket(path);
    struct stat status;
    int early, accepted;

    (void)state;
    assert_int_equal(entries(), 1);
    assert_int_equal(lstat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFSOCK | 0600);
    assert_int_equal(status.st_ino, socket.inode);
    early = connect_to(path);
    assert_true(early >= 0);

    udsb_socket_refuse(&socket);
    assert_int_equal(connect_to(path), -1);
    assert_int_equal(errno, ECONNREFUSED);
    accepted = accept(socket.descriptor, NULL, NULL); /* who came before is not lost */
    assert_true(accepted >= 0);
    assert_int_equal(accept(socket.descriptor, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    close(early);
    close(accepted);

    end(&socket);
    assert_int_equal(entries(), 0);
}

static void a_live_server_is_left_alone_and_named(void **state)
{
    udsb_socket_t socket = open_socket(path), other;
    udsb_error_t error = {""};
    char who[192], expected[32];
    int clients[8];
    unsigned count = 0;

    (void)state;
    snprintf(expected, sizeof expected, "process %d ", (int)getpid());
    assert_int_equal(try_open(&other, path, &error), UDSB_IN_USE);
    assert_non_null(strstr(error.text, expected));
    assert_non_null(strstr(error.text, path));
    /* A full backlog does not make it dead. */
    while (count < 8 && (clients[count] = connect_to(path)) >= 0)
        count++;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(examine(path, who, sizeof who), UDSB_SOCKET_LIVE);
    assert_non_null(strstr(who, "backlog"));
    assert_int_equal(try_open(&other, path, &error), UDSB_IN_USE);
    while (count)
        close(clients[--count]);
    end(&socket);
}

static void a_stale_file_is_replaced(void **state)
{
    udsb_socket_t dead = open_socket(path), socket;
    char who[192];

    (void)state;
    close(dead.descriptor); /* as a crash would */
    close(dead.directory);
    assert_int_equal(examine(path, who, sizeof who), UDSB_SOCKET_STALE);
    socket = open_socket(path);
    assert_int_equal(examine(path, who, sizeof who), UDSB_SOCKET_LIVE);
    assert_int_equal(entries(), 1);
    end(&socket);
    assert_int_equal(examine(path, who, sizeof who), UDSB_SOCKET_ABSENT);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    udsb_error_t error = {""};
    udsb_socket_t socket;
    struct stat status;
    const int file = open(path, O_WRONLY | O_CREAT, 0644);

    (void)state;
    close(file);
    assert_int_equal(try_open(&socket, path, &error), UDSB_IN_USE);
    assert_non_null(strstr(error.text, "regular file"));
    assert_int_equal(stat(path, &status), 0);
    unlink(path);
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_int_equal(try_open(&socket, path, &error), UDSB_IN_USE);
    assert_non_null(strstr(error.text, "symbolic link"));
    unlink(path);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(try_open(&socket, path, &error), UDSB_IN_USE);
    assert_non_null(strstr(error.text, "directory"));
    rmdir(path);
}

static void a_socket_of_another_type_is_left_alone(void **state)
{
    const udsb_address_t address = address_of(path);
    const int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    udsb_error_t error = {""};
    udsb_socket_t socket;

    (void)state;
    assert_int_equal(bind(datagram, (const struct sockaddr *)&address.socket, address.length), 0);
    assert_int_equal(try_open(&socket, path, &error), UDSB_IN_USE);
    assert_non_null(strstr(error.text, "another type"));
    close(datagram);
    unlink(path);
}

static void only_the_own_file_is_unlinked(void **state)
{
    udsb_socket_t first = open_socket(path), second;
    char who[192];

    (void)state;
    assert_int_equal(unlink(path), 0);
    second = open_socket(path);
    assert_int_not_equal(first.inode, second.inode);
    end(&first);
    assert_int_equal(examine(path, who, sizeof who), UDSB_SOCKET_LIVE);
    end(&second);
}

static void what_a_crash_left_is_cleared_away(void **state)
{
    char temporary[112], lock[112];
    udsb_socket_t dead, socket;

    (void)state;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    snprintf(lock, sizeof lock, "%s.lock", path);
    dead = open_socket(temporary);
    close(dead.descriptor);
    close(dead.directory);
    close(open(lock, O_WRONLY | O_CREAT, 0600)); /* not locked: its holder is gone */
    socket = open_socket(path);
    assert_int_equal(entries(), 1);
    end(&socket);
}

static void a_path_of_107_bytes(void **state)
{
    char text[108];
    udsb_socket_t socket;
    int client;

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, directory, strlen(directory));
    text[strlen(directory)] = '/';
    text[107] = '\0';
    socket = open_socket(text);
    assert_int_equal(entries(), 1);
    client = connect_to(text);
    assert_true(client >= 0);
    close(client);
    end(&socket);
}

static void abstract_names(void **state)
{
    udsb_error_t error = {""};
    udsb_socket_t socket, other;
    char name[64], who[192];

    (void)state;
    snprintf(name, sizeof name, "@udsb-test-%d", (int)getpid());
    assert_int_equal(examine(name, who, sizeof who), UDSB_SOCKET_ABSENT);
    socket = open_socket(name);
    assert_int_equal(examine(name, who, sizeof who), UDSB_SOCKET_LIVE);
    assert_int_equal(try_open(&other, name, &error), UDSB_IN_USE);
    assert_non_null(strstr(error.text, "process"));
    udsb_socket_refuse(&socket);
    assert_int_equal(connect_to(name), -1);
    end(&socket);
    assert_int_equal(examine(name, who, sizeof who), UDSB_SOCKET_ABSENT);
}

static void an_adopted_socket_keeps_its_file(void **state)
{
    udsb_socket_t made = open_socket(path), adopted;
    udsb_error_t error = {""};
    char who[192];
    int pair[2];

    (void)state;
    assert_int_equal(udsb_socket_adopt(&adopted, dup(made.descriptor), &error), UDSB_OK);
    assert_non_null(strstr(adopted.address.text, "a.sock"));
    udsb_socket_refuse(&adopted);
    assert_int_equal(udsb_socket_unlink(&adopted, &error), UDSB_OK);
    udsb_socket_close(&adopted);
    assert_int_equal(examine(path, who, sizeof who), UDSB_SOCKET_LIVE);
    end(&made);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(udsb_socket_adopt(&adopted, pair[0], &error), UDSB_INVALID);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(udsb_socket_adopt(&adopted, -1, &error), UDSB_INVALID);
}

static void errors_name_the_path(void **state)
{
    udsb_error_t error = {""};
    udsb_socket_t socket;
    char text[112];

    (void)state;
    snprintf(text, sizeof text, "%s/none/a.sock", directory);
    assert_int_equal(try_open(&socket, text, &error), UDSB_SYSTEM);
    assert_non_null(strstr(error.text, "/none"));
    assert_non_null(strstr(error.text, strerror(ENOENT)));
}

static void a_lock_is_held_by_one(void **state)
{
    const int where = open(directory, O_PATH | O_DIRECTORY);
    const int first = udsb_lock_take(where, "lock", 1000);
    int second;

    (void)state;
    assert_true(first >= 0);
    assert_int_equal(udsb_lock_take(where, "lock", 30), -1);
    assert_int_equal(errno, ETIMEDOUT);
    udsb_lock_release(first, where, "lock");
    assert_int_equal(entries(), 0);
    second = udsb_lock_take(where, "lock", 0);
    assert_true(second >= 0);
    udsb_lock_release(second, where, "lock");
    close(where);
}

static void a_lock_is_not_taken_through_a_link(void **state)
{
    const int where = open(directory, O_PATH | O_DIRECTORY);

    (void)state;
    assert_int_equal(symlinkat("/tmp/elsewhere", where, "lock"), 0);
    assert_int_equal(udsb_lock_take(where, "lock", 30), -1);
    assert_int_equal(errno, ELOOP);
    unlinkat(where, "lock", 0);
    close(where);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(opened_refused_unlinked),
        TEST(a_live_server_is_left_alone_and_named),
        TEST(a_stale_file_is_replaced),
        TEST(what_is_no_socket_is_left_alone),
        TEST(a_socket_of_another_type_is_left_alone),
        TEST(only_the_own_file_is_unlinked),
        TEST(what_a_crash_left_is_cleared_away),
        TEST(a_path_of_107_bytes),
        TEST(abstract_names),
        TEST(an_adopted_socket_keeps_its_file),
        TEST(errors_name_the_path),
        TEST(a_lock_is_held_by_one),
        TEST(a_lock_is_not_taken_through_a_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
