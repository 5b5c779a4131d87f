/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
    TRIES = 16 /* openat2 gives EAGAIN when something is renamed meanwhile */
};

bool udsb_path_clean(char *path, size_t size, const char *from)
{
    size_t used = 0;

    while (*from) {
        from += strspn(from, "/");
        const size_t length = strcspn(from, "/");

        if (length == 2 && from[0] == '.' && from[1] == '.')
            return false;
        if (!length)
            break;
        if (used + 1 + length >= size)
            return false;
        if (used)
            path[used++] = '/';
        memcpy(path + used, from, length);
        used += length;
        from += length;
    }
    if (!used)
        path[used++] = '.';
    path[used] = '\0';
    return true;
}

int udsb_path_open_by_steps(int directory, const char *path)
{
    int current = directory;

    for (;;) {
        const size_t length = strcspn(path, "/");
        const bool is_last = !path[length];
        char name[256];
        int next;

        if (length >= sizeof name) {
            errno = ENAMETOOLONG;
            next = -1;
        } else {
            memcpy(name, path, length);
            name[length] = '\0';
            /* O_PATH needs no more than search permission; O_NOFOLLOW makes a link fail, as O_DIRECTORY demands more.
             */
            next = openat(current, name,
                          is_last ? OPEN_FLAGS | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (current != directory) {
            const int cause = errno;

            close(current);
            errno = cause;
        }
        if (next < 0 || is_last)
            return next;
        current = next;
        path += length + 1;
    }
}

int udsb_path_open(int directory, const char *path)
{
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};

    for (int i = 0; i < TRIES; i++) {
        const long descriptor = syscall(SYS_openat2, directory, path, &how, sizeof how);

        if (descriptor >= 0)
            return (int)descriptor;
        if (errno == ENOSYS || errno == EPERM) /* EPERM: what old sandboxes say to calls they do not know */
            return udsb_path_open_by_steps(directory, path);
        if (errno != EAGAIN && errno != EINTR)
            return -1;
    }
    return -1;
}
