/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "mod_udsroute/udr_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* So many a runner keeps: it lends one at a time, but gets back those that slow clients have emptied, too. */
#define KEPT_MAX 4

/* Users with many pipes get some of two pages from the kernel; reading and writing is better than those. */
#define SIZE_MIN (64 * 1024)

/* About so many a process has: slow clients keep theirs, and all pipes of a user share what the kernel grants it
 * (pipe(7), pipe-user-pages-soft). */
#define MADE_MAX 64

static _Atomic int made_count;

#ifdef HAVE_SPLICE

/* A socket that paces itself (BBR, where no fq queue does it) has the kernel set a timer for each segment that is
 * handed over before its time; splice(2) is so fast that this is nearly each. Measured on the loopback interface of a
 * virtual machine (Linux 6.18), processor time for 1 MiB: with BBR 440 us, where reading and writing takes 220; with
 * Reno 162 instead of 219. */
bool udr_pipe_suits(int fd)
{
    char name[32] = "";
    socklen_t len = sizeof name - 1;
    return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0 && strncmp(name, "bbr", 3) != 0;
}

static apr_status_t make(udr_pipe_t **pipe)
{
    int ends[2];
    if (atomic_load(&made_count) >= MADE_MAX) {
        return ENOBUFS;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return errno;
    }
    /* Refused where the user has many already: then it stays as it is. */
    (void)fcntl(ends[1], F_SETPIPE_SZ, UDR_PIPE_SIZE);
    int size = fcntl(ends[1], F_GETPIPE_SZ);
    udr_pipe_t *made = size >= SIZE_MIN ? calloc(1, sizeof *made) : NULL;
    if (!made) {
        close(ends[0]);
        close(ends[1]);
        return size >= SIZE_MIN ? APR_ENOMEM : ENOBUFS;
    }
    atomic_fetch_add(&made_count, 1);
    made->out = ends[0];
    made->in = ends[1];
    made->size = size < UDR_PIPE_SIZE ? (apr_size_t)size : UDR_PIPE_SIZE;
    *pipe = made;
    return APR_SUCCESS;
}

static ssize_t move(int from, int to, apr_size_t len)
{
    ssize_t n;
    do {
        n = splice(from, NULL, to, NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    } while (n < 0 && errno == EINTR);
    return n;
}

#else

bool udr_pipe_suits(int fd)
{
    (void)fd;
    return false;
}

static apr_status_t make(udr_pipe_t **pipe)
{
    (void)pipe;
    return APR_ENOTIMPL;
}

static ssize_t move(int from, int to, apr_size_t len)
{
    (void)from;
    (void)to;
    (void)len;
    errno = ENOSYS;
    return -1;
}

#endif

apr_status_t udr_pipe_borrow(udr_pipes_t *pipes, udr_pipe_t **pipe)
{
    if (!pipes->first) {
        return make(pipe);
    }
    *pipe = pipes->first;
    pipes->first = (*pipe)->next;
    pipes->count--;
    return APR_SUCCESS;
}

void udr_pipe_return(udr_pipes_t *pipes, udr_pipe_t *pipe)
{
    if (pipe->held || pipes->count == KEPT_MAX) {
        udr_pipe_close(pipe);
        return;
    }
    pipe->next = pipes->first;
    pipes->first = pipe;
    pipes->count++;
}

void udr_pipe_close(udr_pipe_t *pipe)
{
    atomic_fetch_sub(&made_count, 1);
    close(pipe->in);
    close(pipe->out);
    free(pipe);
}

void udr_pipes_close(udr_pipes_t *pipes)
{
    while (pipes->first) {
        udr_pipe_t *pipe = pipes->first;
        pipes->first = pipe->next;
        udr_pipe_close(pipe);
    }
    pipes->count = 0;
}

apr_status_t udr_pipe_fill(udr_pipe_t *pipe, int fd, apr_size_t len, apr_size_t *moved)
{
    ssize_t n = move(fd, pipe->in, len < pipe->size ? len : pipe->size);
    if (n < 0) {
        return errno; /* EAGAIN would be a full pipe, too; but it was empty */
    }
    if (n == 0) {
        return APR_EOF;
    }
    pipe->held = (apr_size_t)n;
    *moved = (apr_size_t)n;
    return APR_SUCCESS;
}

apr_status_t udr_pipe_drain(udr_pipe_t *pipe, int fd, apr_size_t *moved)
{
    ssize_t n = move(pipe->out, fd, pipe->held);
    if (n < 0) {
        return errno;
    }
    pipe->held -= (apr_size_t)n;
    *moved = (apr_size_t)n;
    return APR_SUCCESS;
}

apr_status_t udr_pipe_read(udr_pipe_t *pipe, char *buffer, apr_size_t size, apr_size_t *received)
{
    ssize_t n;
    do {
        n = read(pipe->out, buffer, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno;
    }
    pipe->held -= (apr_size_t)n;
    *received = (apr_size_t)n;
    return APR_SUCCESS;
}
