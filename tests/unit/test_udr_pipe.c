/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_pipe.h"
#include "tests/unit/fixture_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the system calls are made to say; 0: what they say themselves. */
static struct {
    int splice_error;
    int interruptions;       /* EINTR so many times, then the call itself */
    int pipe_size;           /* of F_GETPIPE_SZ */
    const char *congestion;  /* of TCP_CONGESTION; NULL: an error */
    apr_size_t splice_limit; /* the most that one call moves */
} fake;

ssize_t __real_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags);
ssize_t __wrap_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, long argument);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);

ssize_t __wrap_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags)
{
    assert_true(flags & SPLICE_F_NONBLOCK);
    if (fake.interruptions > 0) {
        fake.interruptions--;
        errno = EINTR;
        return -1;
    }
    if (fake.splice_error) {
        errno = fake.splice_error;
        return -1;
    }
    return __real_splice(from, from_at, to, to_at,
                         fake.splice_limit && fake.splice_limit < len ? fake.splice_limit : len, flags);
}

int __wrap_fcntl(int fd, int command, long argument)
{
    return command == F_GETPIPE_SZ && fake.pipe_size ? fake.pipe_size : __real_fcntl(fd, command, argument);
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
    (void)fd;
    (void)level;
    (void)option;
    if (!fake.congestion) {
        errno = EOPNOTSUPP;
        return -1;
    }
    assert_true(strlen(fake.congestion) < *len);
    strcpy(value, fake.congestion);
    *len = 16; /* as the kernel says */
    return 0;
}

typedef struct ends_t {
    int descriptors;
    int member[2]; /* [0] is read from */
    int client[2]; /* [0] is written to */
    udr_pipes_t pipes;
    udr_pipe_t *pipe;
} ends_t;

static int set_up(void **state)
{
    ends_t *ends = calloc(1, sizeof *ends);
    memset(&fake, 0, sizeof fake);
    ends->descriptors = count_descriptors();
    *state = ends;
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends->member) ||
           socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends->client) ||
           udr_pipe_borrow(&ends->pipes, &ends->pipe) != APR_SUCCESS;
}

static int tear_down(void **state)
{
    ends_t *ends = *state;
    if (ends->pipe) {
        udr_pipe_close(ends->pipe);
    }
    udr_pipes_close(&ends->pipes);
    for (int i = 0; i < 2; i++) {
        close(ends->member[i]);
        close(ends->client[i]);
    }
    int left = count_descriptors() - ends->descriptors;
    free(ends);
    return left;
}

static void write_all(int fd, const char *bytes, apr_size_t len)
{
    assert_int_equal(write(fd, bytes, len), len);
}

static void assert_read(int fd, const char *bytes, apr_size_t len)
{
    char *got = malloc(len + 1);
    assert_int_equal(read(fd, got, len + 1), len);
    assert_memory_equal(got, bytes, len);
    free(got);
}

static void moves_bytes_as_they_are(void **state)
{
    ends_t *ends = *state;
    apr_size_t moved = 0;
    write_all(ends->member[1], "hello, world", 12);
    assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 5, &moved), APR_SUCCESS);
    assert_int_equal(moved, 5);
    assert_int_equal(ends->pipe->held, 5);
    assert_int_equal(udr_pipe_drain(ends->pipe, ends->client[0], &moved), APR_SUCCESS);
    assert_int_equal(moved, 5);
    assert_int_equal(ends->pipe->held, 0);
    assert_read(ends->client[1], "hello", 5);
    /* What was not asked for is still where it was. */
    assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 100, &moved), APR_SUCCESS);
    assert_int_equal(moved, 7);
    assert_int_equal(udr_pipe_drain(ends->pipe, ends->client[0], &moved), APR_SUCCESS);
    assert_read(ends->client[1], ", world", 7);
}

static void tells_silence_from_the_end(void **state)
{
    ends_t *ends = *state;
    apr_size_t moved = 77;
    assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 10, &moved), EAGAIN);
    write_all(ends->member[1], "last", 4);
    assert_int_equal(shutdown(ends->member[1], SHUT_WR), 0);
    assert_int_equal(moved, 77);
    assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 10, &moved), APR_SUCCESS);
    assert_int_equal(udr_pipe_drain(ends->pipe, ends->client[0], &moved), APR_SUCCESS);
    assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 10, &moved), APR_EOF);
    assert_int_equal(ends->pipe->held, 0);
}

/* As much as the receiver takes; the rest stays, in order. */
static void keeps_what_the_receiver_does_not_take(void **state)
{
    ends_t *ends = *state;
    char *bytes = malloc(100000);
    char *got = malloc(100000);
    apr_size_t moved = 0, taken = 0;
    for (int i = 0; i < 100000; i++) {
        bytes[i] = (char)(i % 251);
    }
    write_all(ends->member[1], bytes, 100000);
    assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 100000, &moved), APR_SUCCESS);
    assert_int_equal(moved, 100000);
    fake.splice_limit = 30000;
    assert_int_equal(udr_pipe_drain(ends->pipe, ends->client[0], &moved), APR_SUCCESS);
    assert_int_equal(moved, 30000);
    assert_int_equal(ends->pipe->held, 70000);
    assert_int_equal(udr_pipe_read(ends->pipe, got, 45000, &taken), APR_SUCCESS);
    assert_int_equal(taken, 45000);
    assert_memory_equal(got, bytes + 30000, 45000);
    fake.splice_limit = 0;
    assert_int_equal(udr_pipe_drain(ends->pipe, ends->client[0], &moved), APR_SUCCESS);
    assert_int_equal(moved, 25000);
    assert_int_equal(ends->pipe->held, 0);
    assert_int_equal(read(ends->client[1], got, 100000), 55000);
    assert_memory_equal(got, bytes, 30000);
    assert_memory_equal(got + 30000, bytes + 75000, 25000);
    free(bytes);
    free(got);
}

static void says_when_the_receiver_is_full_or_gone(void **state)
{
    ends_t *ends = *state;
    static char much[400000];
    apr_size_t moved = 0;
    while (write(ends->client[0], much, sizeof much) > 0) {
    }
    write_all(ends->member[1], "x", 1);
    assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 1, &moved), APR_SUCCESS);
    assert_int_equal(udr_pipe_drain(ends->pipe, ends->client[0], &moved), EAGAIN);
    assert_int_equal(ends->pipe->held, 1);
    close(ends->client[1]);
    ends->client[1] = -1;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(udr_pipe_drain(ends->pipe, ends->client[0], &moved), EPIPE);
    assert_int_equal(ends->pipe->held, 1);
}

static void passes_errors_on_and_forgets_interruptions(void **state)
{
    static const int errors[] = {EINVAL, ENOSYS, ECONNRESET};
    ends_t *ends = *state;
    apr_size_t moved = 0;
    write_all(ends->member[1], "abc", 3);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        fake.splice_error = errors[i];
        assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 3, &moved), errors[i]);
        assert_int_equal(ends->pipe->held, 0);
    }
    fake.splice_error = 0;
    fake.interruptions = 3;
    assert_int_equal(udr_pipe_fill(ends->pipe, ends->member[0], 3, &moved), APR_SUCCESS);
    fake.interruptions = 3;
    assert_int_equal(udr_pipe_drain(ends->pipe, ends->client[0], &moved), APR_SUCCESS);
    assert_read(ends->client[1], "abc", 3);
    assert_int_equal(fake.interruptions, 0);
}

static void keeps_a_few_empty_ones(void **state)
{
    ends_t *ends = *state;
    udr_pipe_t *lent[10];
    apr_size_t moved = 0;
    int before = count_descriptors();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(udr_pipe_borrow(&ends->pipes, &lent[i]), APR_SUCCESS);
        assert_int_equal(lent[i]->held, 0);
        assert_int_equal(fcntl(lent[i]->in, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(lent[i]->out, F_GETFD), FD_CLOEXEC);
    }
    assert_int_equal(count_descriptors(), before + 20);
    /* One with bytes in it would give them to somebody else. */
    write_all(ends->member[1], "abc", 3);
    assert_int_equal(udr_pipe_fill(lent[0], ends->member[0], 3, &moved), APR_SUCCESS);
    udr_pipe_return(&ends->pipes, lent[0]);
    assert_int_equal(ends->pipes.count, 0);
    for (int i = 1; i < 10; i++) {
        udr_pipe_return(&ends->pipes, lent[i]);
    }
    assert_int_equal(ends->pipes.count, 4);
    assert_int_equal(count_descriptors(), before + 8);
    assert_int_equal(udr_pipe_borrow(&ends->pipes, &lent[0]), APR_SUCCESS);
    assert_int_equal(ends->pipes.count, 3);
    assert_int_equal(count_descriptors(), before + 8);
    udr_pipe_return(&ends->pipes, lent[0]);
    udr_pipes_close(&ends->pipes);
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(ends->pipes.count, 0);
    assert_null(ends->pipes.first);
}

static void wants_none_that_is_too_small(void **state)
{
    ends_t *ends = *state;
    udr_pipe_t *pipe = NULL;
    int before = count_descriptors();
    fake.pipe_size = 8192; /* what the kernel gives to users who have many */
    assert_int_equal(udr_pipe_borrow(&ends->pipes, &pipe), ENOBUFS);
    assert_null(pipe);
    assert_int_equal(count_descriptors(), before);
    fake.pipe_size = 65536;
    assert_int_equal(udr_pipe_borrow(&ends->pipes, &pipe), APR_SUCCESS);
    assert_int_equal(pipe->size, 65536);
    udr_pipe_close(pipe);
    fake.pipe_size = 1 << 20;
    assert_int_equal(udr_pipe_borrow(&ends->pipes, &pipe), APR_SUCCESS);
    assert_int_equal(pipe->size, UDR_PIPE_SIZE);
    udr_pipe_close(pipe);
}

static void suits_no_socket_that_paces_itself(void **state)
{
    static const struct {
        const char *congestion;
        bool suits;
    } rows[] = {{"cubic", true}, {"reno", true}, {"bbr", false}, {"bbr2", false}, {"dctcp", true}, {NULL, false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fake.congestion = rows[i].congestion;
        assert_int_equal(udr_pipe_suits(0), rows[i].suits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(moves_bytes_as_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_silence_from_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_what_the_receiver_does_not_take, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_when_the_receiver_is_full_or_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(passes_errors_on_and_forgets_interruptions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_a_few_empty_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wants_none_that_is_too_small, set_up, tear_down),
        cmocka_unit_test_setup_teardown(suits_no_socket_that_paces_itself, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
