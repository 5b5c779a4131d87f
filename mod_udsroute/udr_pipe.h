/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe, through which bytes go from one socket to another by splice(2): the pages that one side has written are those
 * that the other is sent, and none of them is seen by us.
 * Layer: core. A runner keeps a few empty ones and lends them to the exchanges that it runs; no locking. */
#ifndef UDR_PIPE_H
#define UDR_PIPE_H

#include <apr_errno.h>

#include <stdbool.h>

/* The most that is in a pipe. A Unix socket of the usual size holds 214 KiB: that is one move. */
#define UDR_PIPE_SIZE (256 * 1024)

typedef struct udr_pipe_t {
    int in; /* where bytes go in; both ends O_NONBLOCK, FD_CLOEXEC */
    int out;
    apr_size_t size;         /* the most there may be in it */
    apr_size_t held;         /* how much there is */
    struct udr_pipe_t *next; /* of those that are kept */
} udr_pipe_t;

/* What a runner keeps; all 0 at first. */
typedef struct udr_pipes_t {
    udr_pipe_t *first;
    int count;
} udr_pipes_t;

/* Does splice(2) into this socket cost less than reading and writing? */
bool udr_pipe_suits(int fd);

/* An empty pipe, kept or new; from the heap. An errno of pipe2(2); ENOBUFS: this process has enough, or the kernel
 * gives this user only small pipes any more (pipe(7), pipe-user-pages-soft); APR_ENOMEM; APR_ENOTIMPL: this system has
 * no splice(2). */
apr_status_t udr_pipe_borrow(udr_pipes_t *pipes, udr_pipe_t **pipe);

/* Keeps it, or closes it: when there are enough, or bytes in it. */
void udr_pipe_return(udr_pipes_t *pipes, udr_pipe_t *pipe);

/* What is in it is lost. */
void udr_pipe_close(udr_pipe_t *pipe);

/* Closes those that are kept. */
void udr_pipes_close(udr_pipes_t *pipes);

/* From a stream socket into an empty pipe: at most len bytes (over 0), and at most its size; *moved counts them. A
 * short count does not say that there is no more: slots that hold few bytes fill a pipe, too. EAGAIN: nothing there
 * now; APR_EOF: closed in order; EINVAL, ENOSYS: splice(2) can't do this with this descriptor, or not here; else an
 * error of the socket. */
apr_status_t udr_pipe_fill(udr_pipe_t *pipe, int fd, apr_size_t len, apr_size_t *moved);

/* From the pipe, which is not empty, into a socket that is O_NONBLOCK (SPLICE_F_NONBLOCK is about the pipe only);
 * *moved counts what it took. EAGAIN: it takes no more now; EINVAL, ENOSYS as above; else an error of the socket.
 * SIGPIPE must be ignored: splice(2) has no MSG_NOSIGNAL. */
apr_status_t udr_pipe_drain(udr_pipe_t *pipe, int fd, apr_size_t *moved);

/* From the pipe, which is not empty, into memory; size over 0. */
apr_status_t udr_pipe_read(udr_pipe_t *pipe, char *buffer, apr_size_t size, apr_size_t *received);

#endif
