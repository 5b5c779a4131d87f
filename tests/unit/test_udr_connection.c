/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets are real. The linker puts the three system calls below between the code and the kernel (--wrap): what
 * happens by chance only, a signal or a socket file that is replaced meanwhile, happens here when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_socket.h"

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static apr_pool_t *pool;
static place_t place;
static int interruptions;                                    /* so many system calls fail with EINTR first */
static void (*before_connect)(void), (*after_connect)(void); /* what others do at that moment */

/* --- between the code and the kernel --- */

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
ssize_t __wrap_recv(int fd, void *buffer, size_t len, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
ssize_t __real_recv(int fd, void *buffer, size_t len, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);

static bool is_interrupted(void)
{
    if (interruptions == 0) {
        return false;
    }
    interruptions--;
    errno = EINTR;
    return true;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    if (is_interrupted()) {
        return -1;
    }
    if (before_connect) {
        before_connect();
    }
    int rc = __real_connect(fd, address, len);
    if (after_connect) {
        after_connect();
    }
    return rc;
}

ssize_t __wrap_recv(int fd, void *buffer, size_t len, int flags)
{
    return is_interrupted() ? -1 : __real_recv(fd, buffer, len, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return is_interrupted() ? -1 : __real_sendmsg(fd, message, flags);
}

/* --- the scenery --- */

static int set_up(void **state)
{
    (void)state;
    interruptions = 0;
    before_connect = after_connect = NULL;
    return apr_pool_create(&pool, NULL) != APR_SUCCESS || !place_make(&place, pool);
}

static int tear_down(void **state)
{
    (void)state;
    bool dropped = place_drop(&place);
    apr_pool_destroy(pool);
    return dropped ? 0 : -1;
}

static apr_status_t connect_to(const udr_address_t *address)
{
    udr_connection_t *connection = NULL;
    assert_int_equal(udr_connection_create(&connection), APR_SUCCESS);
    apr_status_t rv = udr_connection_connect(connection, address);
    udr_connection_close(connection);
    return rv;
}

/* A connection and the member's end of it. */
static udr_connection_t *connect_pair(int *member)
{
    place_listen(&place, 5);
    udr_connection_t *connection = place_connect(&place);
    *member = place_accept(&place);
    return connection;
}

static apr_status_t send_text(udr_connection_t *connection, const char *text, apr_size_t *sent)
{
    const struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    return udr_connection_send(connection, &part, 1, sent);
}

/* --- making --- */

static void makes_sockets_that_neither_block_nor_outlive_exec(void **state)
{
    udr_connection_t *connection = NULL;
    (void)state;
    assert_int_equal(udr_connection_create(&connection), APR_SUCCESS);
    assert_true(fcntl(connection->fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(connection->fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(connection->requests, 0);
    assert_false(connection->file_is_known);
    udr_connection_close(connection);
}

static void tells_that_descriptors_are_used_up(void **state)
{
    struct rlimit before;
    udr_connection_t untouched;
    udr_connection_t *connection = &untouched;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    apr_status_t rv = udr_connection_create(&connection);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rv, EMFILE);
    assert_ptr_equal(connection, &untouched);
}

/* --- connecting --- */

static void connects_to_a_listener(void **state)
{
    struct stat file;
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    assert_int_equal(stat(place.path, &file), 0);
    assert_true(connection->file_is_known);
    assert_int_equal(connection->file.device, file.st_dev);
    assert_int_equal(connection->file.inode, file.st_ino);
    udr_connection_close(connection);
    close(member);
}

static void tells_why_it_can_not_connect(void **state)
{
    const char *file = apr_pstrcat(pool, place.directory, "/file", NULL);
    (void)state;
    assert_int_equal(connect_to(place.address), ENOENT);
    place_listen(&place, 5);
    place_abandon(&place);
    assert_int_equal(connect_to(place.address), ECONNREFUSED);
    int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(connect_to(place_address(&place, apr_pstrcat(pool, "unix:", file, NULL))), ECONNREFUSED);
    unlink(file);
}

static void waits_for_room_in_the_backlog_with_the_same_socket(void **state)
{
    udr_connection_t *connection = NULL;
    (void)state;
    place_listen(&place, 0);
    place_crowd_backlog(&place);
    assert_int_equal(udr_connection_create(&connection), APR_SUCCESS);
    assert_int_equal(udr_connection_connect(connection, place.address), EAGAIN);
    assert_int_equal(udr_connection_connect(connection, place.address), EAGAIN);
    assert_false(connection->file_is_known);
    place_make_room(&place);
    assert_int_equal(udr_connection_connect(connection, place.address), APR_SUCCESS);
    assert_true(connection->file_is_known);
    udr_connection_close(connection);
}

static void connects_to_an_abstract_name(void **state)
{
    const char *name = apr_psprintf(pool, "unix:@udr-unit-%ld", (long)getpid());
    const udr_address_t *address = place_address(&place, name);
    struct sockaddr_un sa;
    socklen_t len = udr_address_sockaddr(address, &sa);
    udr_connection_t *connection = NULL;
    (void)state;
    assert_int_equal(connect_to(address), ECONNREFUSED);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(udr_connection_create(&connection), APR_SUCCESS);
    assert_int_equal(udr_connection_connect(connection, address), APR_SUCCESS);
    assert_true(connection->file_is_known);
    assert_int_equal(connection->file.device, 0);
    assert_int_equal(connection->file.inode, 0);
    udr_connection_close(connection);
    close(listener);
}

static int old_listener;

/* A member that is started anew. The old socket stays open: the kernel would give its inode to the new file. */
static void replace_file(void)
{
    before_connect = after_connect = NULL;
    old_listener = place.listener;
    place.listener = -1;
    place_listen(&place, 5);
}

static void remove_socket_file(void)
{
    unlink(place.path);
}

static void start_listening(void)
{
    before_connect = NULL;
    place_listen(&place, 5);
}

static void does_not_guess_which_file_it_went_to(void **state)
{
    static void (*const events[])(void) = {replace_file, remove_socket_file};
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(events); i++) {
        old_listener = -1;
        place_listen(&place, 5);
        *(i & 1 ? &before_connect : &after_connect) = events[i / 2];
        udr_connection_t *connection = NULL;
        assert_int_equal(udr_connection_create(&connection), APR_SUCCESS);
        apr_status_t rv = udr_connection_connect(connection, place.address);
        before_connect = after_connect = NULL;
        /* Removed before, there is nothing to connect to. */
        assert_int_equal(rv, events[i / 2] == remove_socket_file && i & 1 ? ENOENT : APR_SUCCESS);
        assert_false(connection->file_is_known);
        udr_connection_close(connection);
        if (old_listener >= 0) {
            close(old_listener);
        }
    }
}

static void knows_no_file_that_was_not_there_before(void **state)
{
    udr_connection_t *connection = NULL;
    (void)state;
    before_connect = start_listening;
    assert_int_equal(udr_connection_create(&connection), APR_SUCCESS);
    assert_int_equal(udr_connection_connect(connection, place.address), APR_SUCCESS);
    assert_false(connection->file_is_known);
    udr_connection_close(connection);
}

static void lets_no_signal_interrupt_it(void **state)
{
    char buffer[8];
    apr_size_t count = 0;
    int member;
    (void)state;
    interruptions = 2;
    udr_connection_t *connection = connect_pair(&member);
    interruptions = 2;
    assert_false(udr_connection_is_stale(connection));
    interruptions = 2;
    assert_int_equal(send_text(connection, "ping", &count), APR_SUCCESS);
    assert_int_equal(count, 4);
    assert_int_equal(write(member, "pong!", 5), 5);
    interruptions = 2;
    assert_int_equal(udr_connection_receive(connection, buffer, sizeof buffer, &count), APR_SUCCESS);
    assert_int_equal(count, 5);
    assert_int_equal(interruptions, 0);
    udr_connection_close(connection);
    close(member);
}

/* --- the file and the peer --- */

static void tells_which_file_is_there(void **state)
{
    udr_socket_file_t first = {1, 1}, second;
    (void)state;
    assert_false(udr_socket_file_get(&first, place.address));
    place_listen(&place, 5);
    assert_true(udr_socket_file_get(&first, place.address));
    replace_file();
    assert_true(udr_socket_file_get(&second, place.address));
    assert_true(first.inode != second.inode);
    close(old_listener);
    assert_true(udr_socket_file_get(&first, place_address(&place, "unix:@no-file")));
    assert_int_equal(first.device, 0);
    assert_int_equal(first.inode, 0);
}

static void knows_who_listens(void **state)
{
    const udr_peer_t rows[] = {
        {.check_user = true, .user = geteuid(), .text = "user"},
        {.check_group = true, .group = getegid(), .text = "group"},
        {.check_user = true, .check_group = true, .user = geteuid(), .group = getegid(), .text = "both"},
        {.user = geteuid() + 1, .group = getegid() + 1, .text = "neither is asked for"},
        {.check_user = true, .user = geteuid(), .group = getegid() + 1, .text = "the group is not asked for"},
    };
    static const char untouched[] = "untouched";
    const char *who = untouched;
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!udr_connection_check_peer(connection, &rows[i], &who, pool)) {
            fail_msg("%s: %s", rows[i].text, who);
        }
    }
    assert_ptr_equal(who, untouched);
    udr_connection_close(connection);
    close(member);
}

static void says_who_listens_instead(void **state)
{
    const udr_peer_t rows[] = {
        {.check_user = true, .user = geteuid() + 1},
        {.check_group = true, .group = getegid() + 1},
        {.check_user = true, .check_group = true, .user = geteuid() + 1, .group = getegid()},
        {.check_user = true, .check_group = true, .user = geteuid(), .group = getegid() + 1},
    };
    const char *expected = place_describe_peer(&place);
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *who = NULL;
        assert_false(udr_connection_check_peer(connection, &rows[i], &who, pool));
        assert_string_equal(who, expected);
    }
    udr_connection_close(connection);
    close(member);
}

static void trusts_nobody_whom_it_can_not_ask(void **state)
{
    const udr_connection_t broken = {.fd = -1};
    const udr_peer_t peer = {.text = "anybody"};
    const char *who = NULL;
    (void)state;
    assert_false(udr_connection_check_peer(&broken, &peer, &who, pool));
    assert_string_equal(who, "unknown (SO_PEERCRED: Bad file descriptor)");
}

/* --- idle --- */

static void finds_a_silent_connection_good(void **state)
{
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    assert_false(udr_connection_is_stale(connection));
    /* What we have sent and the member has not read is no matter of ours. */
    apr_size_t sent;
    assert_int_equal(send_text(connection, "x", &sent), APR_SUCCESS);
    assert_false(udr_connection_is_stale(connection));
    udr_connection_close(connection);
    close(member);
}

static void finds_a_closed_connection_stale(void **state)
{
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    close(member);
    assert_true(udr_connection_is_stale(connection));
    udr_connection_close(connection);

    connection = connect_pair(&member);
    assert_int_equal(shutdown(member, SHUT_WR), 0);
    assert_true(udr_connection_is_stale(connection));
    udr_connection_close(connection);
    close(member);
}

static void finds_a_reset_connection_stale(void **state)
{
    apr_size_t sent;
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    assert_int_equal(send_text(connection, "unread", &sent), APR_SUCCESS);
    close(member);
    assert_true(udr_connection_is_stale(connection));
    udr_connection_close(connection);
}

static void finds_a_connection_with_unasked_bytes_stale(void **state)
{
    char buffer[8];
    apr_size_t received;
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    assert_int_equal(write(member, "x", 1), 1);
    assert_true(udr_connection_is_stale(connection));
    /* It has only been looked at. */
    assert_int_equal(udr_connection_receive(connection, buffer, sizeof buffer, &received), APR_SUCCESS);
    assert_int_equal(received, 1);
    assert_false(udr_connection_is_stale(connection));
    udr_connection_close(connection);
    close(member);
}

/* --- bytes --- */

static void sends_parts_in_order(void **state)
{
    const struct iovec parts[] = {{.iov_base = (void *)(uintptr_t) "head ", .iov_len = 5},
                                  {.iov_base = (void *)(uintptr_t) "", .iov_len = 0},
                                  {.iov_base = (void *)(uintptr_t) "body", .iov_len = 4}};
    char buffer[16];
    apr_size_t sent = 0;
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    assert_int_equal(udr_connection_send(connection, parts, 3, &sent), APR_SUCCESS);
    assert_int_equal(sent, 9);
    assert_int_equal(read(member, buffer, sizeof buffer), 9);
    assert_memory_equal(buffer, "head body", 9);
    udr_connection_close(connection);
    close(member);
}

static void sends_what_the_socket_takes(void **state)
{
    enum { SIZE = 4 << 20 };
    char *bytes = apr_pcalloc(pool, SIZE);
    const struct iovec part = {.iov_base = bytes, .iov_len = SIZE};
    apr_size_t sent = 0, total = 0;
    apr_status_t rv;
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    while ((rv = udr_connection_send(connection, &part, 1, &sent)) == APR_SUCCESS) {
        assert_in_range(sent, 1, SIZE - 1);
        total += sent;
        sent = 0;
    }
    assert_int_equal(rv, EAGAIN);
    assert_int_equal(sent, 0);
    /* All that was counted is there. */
    apr_size_t arrived = 0;
    ssize_t n;
    while ((n = read(member, bytes, SIZE)) > 0) {
        arrived += (apr_size_t)n;
    }
    assert_int_equal(arrived, total);
    udr_connection_close(connection);
    close(member);
}

static void sends_to_a_closed_member_without_a_signal(void **state)
{
    apr_size_t sent = 77;
    int member;
    (void)state;
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    udr_connection_t *connection = connect_pair(&member);
    close(member);
    assert_int_equal(send_text(connection, "x", &sent), EPIPE);
    assert_int_equal(sent, 77);
    udr_connection_close(connection);
}

static void receives_what_is_there(void **state)
{
    char buffer[8] = "........";
    apr_size_t received = 77;
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    assert_int_equal(udr_connection_receive(connection, buffer, sizeof buffer, &received), EAGAIN);
    assert_int_equal(received, 77);
    assert_int_equal(write(member, "0123456789", 10), 10);
    assert_int_equal(udr_connection_receive(connection, buffer, 6, &received), APR_SUCCESS);
    assert_int_equal(received, 6);
    assert_memory_equal(buffer, "012345..", 8);
    assert_int_equal(udr_connection_receive(connection, buffer, sizeof buffer, &received), APR_SUCCESS);
    assert_int_equal(received, 4);
    assert_memory_equal(buffer, "6789", 4);
    close(member);
    received = 77;
    assert_int_equal(udr_connection_receive(connection, buffer, sizeof buffer, &received), APR_EOF);
    assert_int_equal(received, 77);
    udr_connection_close(connection);
}

static void receives_what_was_sent_before_a_reset(void **state)
{
    char buffer[8];
    apr_size_t count;
    int member;
    (void)state;
    udr_connection_t *connection = connect_pair(&member);
    assert_int_equal(send_text(connection, "unread", &count), APR_SUCCESS);
    assert_int_equal(write(member, "413", 3), 3);
    close(member);
    assert_int_equal(udr_connection_receive(connection, buffer, sizeof buffer, &count), APR_SUCCESS);
    assert_int_equal(count, 3);
    assert_int_equal(udr_connection_receive(connection, buffer, sizeof buffer, &count), ECONNRESET);
    udr_connection_close(connection);
}

#define in_place(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_place(makes_sockets_that_neither_block_nor_outlive_exec),
        in_place(tells_that_descriptors_are_used_up),
        in_place(connects_to_a_listener),
        in_place(tells_why_it_can_not_connect),
        in_place(waits_for_room_in_the_backlog_with_the_same_socket),
        in_place(connects_to_an_abstract_name),
        in_place(does_not_guess_which_file_it_went_to),
        in_place(knows_no_file_that_was_not_there_before),
        in_place(lets_no_signal_interrupt_it),
        in_place(tells_which_file_is_there),
        in_place(knows_who_listens),
        in_place(says_who_listens_instead),
        in_place(trusts_nobody_whom_it_can_not_ask),
        in_place(finds_a_silent_connection_good),
        in_place(finds_a_closed_connection_stale),
        in_place(finds_a_reset_connection_stale),
        in_place(finds_a_connection_with_unasked_bytes_stale),
        in_place(sends_parts_in_order),
        in_place(sends_what_the_socket_takes),
        in_place(sends_to_a_closed_member_without_a_signal),
        in_place(receives_what_is_there),
        in_place(receives_what_was_sent_before_a_reset),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_connection", tests, NULL, NULL);
}
