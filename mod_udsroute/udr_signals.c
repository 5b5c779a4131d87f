/* SPDX-License-Identifier: Apache-2.0 */
/* The eventfds are never read: one that several children listen to would be emptied by the first of them, and the
 * others not be woken. They count up instead, and edge-triggered epoll(7) tells each listener of each write. */
#include "mod_udsroute/udr_signals.h"

#include <apr_portable.h>

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct udr_signals_t {
    apr_uint32_t count;
    int descriptors[]; /* the same numbers in all processes */
};

/* p closes it. */
static apr_status_t leave_to_pool(apr_os_file_t fd, apr_pool_t *p)
{
    apr_file_t *file;
    if (fd < 0) {
        return errno;
    }
    apr_status_t rv = apr_os_pipe_put_ex(&file, &fd, 1, p);
    if (rv != APR_SUCCESS) {
        close(fd);
    }
    return rv;
}

apr_status_t udr_signals_create(udr_signals_t **signals, apr_uint32_t rows, apr_pool_t *p)
{
    apr_uint32_t count = rows < UDR_SIGNALS_MAX ? rows : UDR_SIGNALS_MAX;
    udr_signals_t *made = apr_palloc(p, sizeof *made + count * sizeof made->descriptors[0]);
    made->count = count;
    for (apr_uint32_t i = 0; i < count; i++) {
        made->descriptors[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        apr_status_t rv = leave_to_pool(made->descriptors[i], p);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    *signals = made;
    return APR_SUCCESS;
}

void udr_signals_give(const udr_signals_t *signals, apr_uint32_t row)
{
    apr_uint64_t one = 1;
    /* Can't fail but by EAGAIN at 2^64 - 1. */
    ssize_t ignored = write(signals->descriptors[row % signals->count], &one, sizeof one);
    (void)ignored;
}

apr_status_t udr_signals_listen(int *fd, const udr_signals_t *signals, apr_uint32_t row, apr_pool_t *p)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int made = epoll_create1(EPOLL_CLOEXEC);
    apr_status_t rv = leave_to_pool(made, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (epoll_ctl(made, EPOLL_CTL_ADD, signals->descriptors[row % signals->count], &event) != 0) {
        return errno;
    }
    udr_signals_clear(made); /* of all that was before */
    *fd = made;
    return APR_SUCCESS;
}

void udr_signals_clear(int fd)
{
    struct epoll_event event;
    (void)epoll_wait(fd, &event, 1, 0);
}
