/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_lock.h"
#include "backend/udsb_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 10 };

/* Who waited may have locked a file that its holder has just unlinked, while a third made a new one: only the file that
 * is still there under the name counts. */
static int is_current(int lock, int directory, const char *name)
{
    struct stat locked, named;

    return !fstat(lock, &locked) && !fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) &&
           locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

int udsb_lock_take(int directory, const char *name, uint64_t timeout_ms)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    const uint64_t end = udsb_loop_now() + timeout_ms;

    for (;;) {
        /* O_NOFOLLOW: in a directory like /tmp somebody else may have laid a link. */
        const int lock = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

        if (lock < 0)
            return -1;
        if (!flock(lock, LOCK_EX | LOCK_NB)) {
            if (is_current(lock, directory, name))
                return lock;
            close(lock);
            continue;
        }

        const int cause = errno;
        close(lock);
        if (cause != EWOULDBLOCK && cause != EINTR) {
            errno = cause;
            return -1;
        }
        /* flock(2) itself has no timeout; a holder is through within microseconds unless it is stopped. */
        if (udsb_loop_now() >= end) {
            errno = ETIMEDOUT;
            return -1;
        }
        nanosleep(&pause, NULL);
    }
}

void udsb_lock_release(int lock, int directory, const char *name)
{
    unlinkat(directory, name, 0);
    close(lock);
}
