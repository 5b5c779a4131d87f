/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_socket.h"
#include "backend/udsb_lock.h"
#include "backend/udsb_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_TIMEOUT_MS = 10000 };

/* A path as the directory and the name in it. */
typedef struct {
    char directory[UDSB_ADDRESS_MAXIMUM + 1];
    char name[UDSB_ADDRESS_MAXIMUM + 1];
    char temporary[UDSB_ADDRESS_MAXIMUM + 8]; /* where the socket is made */
    char lock[UDSB_ADDRESS_MAXIMUM + 8];
} place_t;

static void split(place_t *place, const char *path)
{
    const char *const slash = strrchr(path, '/');
    const char *const name = slash ? slash + 1 : path;

    if (!slash)
        snprintf(place->directory, sizeof place->directory, ".");
    else
        snprintf(place->directory, sizeof place->directory, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    snprintf(place->name, sizeof place->name, "%s", name);
    snprintf(place->temporary, sizeof place->temporary, "%s.new", name);
    snprintf(place->lock, sizeof place->lock, "%s.lock", name);
}

udsb_socket_state_t udsb_socket_examine(const udsb_address_t *address, char *who, size_t size)
{
    udsb_socket_state_t state = UDSB_SOCKET_UNCLEAR;
    struct stat status;
    udsb_peer_t peer;

    who[0] = '\0';
    if (!address->is_abstract && !lstat(address->text, &status) && !S_ISSOCK(status.st_mode)) {
        snprintf(who, size, "%s",
                 S_ISDIR(status.st_mode)   ? "a directory"
                 : S_ISREG(status.st_mode) ? "a regular file"
                 : S_ISLNK(status.st_mode) ? "a symbolic link"
                                           : "not a socket");
        return UDSB_SOCKET_FOREIGN;
    }

    const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        snprintf(who, size, "%s", strerror(errno));
        return UDSB_SOCKET_UNCLEAR;
    }
    if (!connect(descriptor, (const struct sockaddr *)&address->socket, address->length)) {
        state = UDSB_SOCKET_LIVE;
        if (udsb_peer_of(&peer, descriptor))
            udsb_peer_describe(&peer, who, size);
    } else if (errno == EAGAIN) {
        /* Only a listener has a backlog that can be full. (Over TCP a full backlog may refuse; here it never does.) */
        state = UDSB_SOCKET_LIVE;
        snprintf(who, size, "a process whose backlog is full");
    } else if (errno == ENOENT) {
        state = UDSB_SOCKET_ABSENT;
    } else if (errno == ECONNREFUSED) {
        /* For an abstract name this also means "there is none": names vanish with their socket. */
        state = address->is_abstract ? UDSB_SOCKET_ABSENT : UDSB_SOCKET_STALE;
    } else if (errno == EPROTOTYPE) {
        state = UDSB_SOCKET_FOREIGN;
        snprintf(who, size, "a socket of another type than stream");
    } else {
        snprintf(who, size, "%s", strerror(errno));
    }
    close(descriptor);
    return state;
}

/* Is the way clear, if need be by unlinking a stale file? Under the lock. */
static udsb_result_t clear_the_way(int directory, const place_t *place, const udsb_address_t *address,
                                   udsb_error_t *error)
{
    char who[192];

    switch (udsb_socket_examine(address, who, sizeof who)) {
    case UDSB_SOCKET_ABSENT:
        break;
    case UDSB_SOCKET_STALE:
        if (unlinkat(directory, place->name, 0) && errno != ENOENT)
            return udsb_error_system(error, "cannot unlink the stale socket %s", address->text);
        break;
    case UDSB_SOCKET_LIVE:
        return udsb_error_set(error, UDSB_IN_USE, "a live server listens on %s: %s", address->text,
                              who[0] ? who : "unknown");
    case UDSB_SOCKET_FOREIGN:
        return udsb_error_set(error, UDSB_IN_USE, "%s exists and is %s; it is left alone", address->text, who);
    case UDSB_SOCKET_UNCLEAR:
        return udsb_error_set(error, UDSB_SYSTEM, "cannot tell whether a server listens on %s: %s", address->text, who);
    }
    return UDSB_OK;
}

/* Binds the socket under its temporary name. That is a little longer than the final one: where it does not fit, it is a
 * short one, and the descriptor names the directory. (Not always: ss(8) shows the name that was bound.) */
static int bind_temporary(int descriptor, int directory, place_t *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(place->directory) + 1 + strlen(place->temporary) <= UDSB_ADDRESS_MAXIMUM) {
        stpcpy(stpcpy(stpcpy(address.sun_path, place->directory), "/"), place->temporary);
    } else {
        snprintf(place->temporary, sizeof place->temporary, ".new");
        snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, place->temporary);
    }
    return bind(descriptor, (const struct sockaddr *)&address, sizeof address);
}

/* The file gets its name when all about it is final and it listens: no client ever meets it too early, and who watches
 * the directory sees it appear once, ready. */
static udsb_result_t make_file(udsb_socket_t *result, place_t *place, const udsb_socket_options_t *options,
                               udsb_error_t *error)
{
    const char *const path = result->address.text;
    struct stat status;

    bool bound = !bind_temporary(result->descriptor, result->directory, place);
    if (!bound && errno == EADDRINUSE && !fstatat(result->directory, place->temporary, &status, AT_SYMLINK_NOFOLLOW) &&
        S_ISSOCK(status.st_mode)) {
        /* Left by a crash: nobody else makes one under the lock. */
        unlinkat(result->directory, place->temporary, 0);
        bound = !bind_temporary(result->descriptor, result->directory, place);
    }
    if (!bound)
        return udsb_error_system(error, "cannot make the socket %s (as %s in its directory)", path, place->temporary);
    if ((options->owner != (uid_t)-1 || options->group != (gid_t)-1) &&
        fchownat(result->directory, place->temporary, options->owner, options->group, AT_SYMLINK_NOFOLLOW))
        udsb_error_system(error, "cannot change owner or group of %s", path);
    else if (fchmodat(result->directory, place->temporary, options->mode, AT_SYMLINK_NOFOLLOW))
        udsb_error_system(error, "cannot set the mode of %s to %04o", path, options->mode);
    else if (fstatat(result->directory, place->temporary, &status, AT_SYMLINK_NOFOLLOW))
        udsb_error_system(error, "cannot look at %s", path);
    else if (listen(result->descriptor, options->backlog))
        udsb_error_system(error, "cannot listen on %s", path);
    else if (renameat2(result->directory, place->temporary, result->directory, place->name, RENAME_NOREPLACE) &&
             /* Some file systems know no flags; the lock still keeps other servers out. */
             ((errno != EINVAL && errno != ENOSYS) ||
              renameat(result->directory, place->temporary, result->directory, place->name)))
        udsb_error_system(error, "cannot give %s its name", path);
    else {
        result->device = status.st_dev;
        result->inode = status.st_ino;
        return UDSB_OK;
    }
    unlinkat(result->directory, place->temporary, 0);
    return UDSB_SYSTEM;
}

static udsb_result_t open_path(udsb_socket_t *result, const udsb_socket_options_t *options, udsb_error_t *error)
{
    udsb_result_t outcome;
    place_t place;

    split(&place, result->address.text);
    result->directory = open(place.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (result->directory < 0)
        return udsb_error_system(error, "cannot open %s, the directory of the socket", place.directory);
    const int lock = udsb_lock_take(result->directory, place.lock, LOCK_TIMEOUT_MS);
    if (lock < 0)
        return errno == ETIMEDOUT ? udsb_error_set(error, UDSB_SYSTEM,
                                                   "another process has held %s.lock for 10 seconds: is a server "
                                                   "stuck while starting or stopping?",
                                                   result->address.text)
                                  : udsb_error_system(error, "cannot take the lock %s.lock", result->address.text);
    outcome = clear_the_way(result->directory, &place, &result->address, error);
    if (!outcome)
        outcome = make_file(result, &place, options, error);
    udsb_lock_release(lock, result->directory, place.lock);
    return outcome;
}

static udsb_result_t open_abstract(udsb_socket_t *result, const udsb_socket_options_t *options, udsb_error_t *error)
{
    char who[192];

    if (bind(result->descriptor, (const struct sockaddr *)&result->address.socket, result->address.length)) {
        if (errno != EADDRINUSE)
            return udsb_error_system(error, "cannot bind %s", result->address.text);
        if (udsb_socket_examine(&result->address, who, sizeof who) == UDSB_SOCKET_LIVE)
            return udsb_error_set(error, UDSB_IN_USE, "a live server listens on %s: %s", result->address.text, who);
        return udsb_error_set(error, UDSB_IN_USE, "%s is taken by a socket that does not listen", result->address.text);
    }
    if (listen(result->descriptor, options->backlog))
        return udsb_error_system(error, "cannot listen on %s", result->address.text);
    return UDSB_OK;
}

udsb_result_t udsb_socket_open(udsb_socket_t *result, const udsb_address_t *address,
                               const udsb_socket_options_t *options, udsb_error_t *error)
{
    udsb_socket_t made = {.address = *address, .directory = -1, .is_ours = true};
    udsb_result_t outcome;

    made.descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made.descriptor < 0)
        return udsb_error_system(error, "cannot create a socket");
    outcome = address->is_abstract ? open_abstract(&made, options, error) : open_path(&made, options, error);
    if (outcome)
        udsb_socket_close(&made);
    else
        *result = made;
    return outcome;
}

udsb_result_t udsb_socket_adopt(udsb_socket_t *result, int descriptor, udsb_error_t *error)
{
    udsb_socket_t adopted = {.descriptor = descriptor, .directory = -1};
    int type = 0, listens = 0;
    socklen_t length = sizeof type;
    const char *name;

    adopted.address.length = sizeof adopted.address.socket;
    if (getsockname(descriptor, (struct sockaddr *)&adopted.address.socket, &adopted.address.length) ||
        getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) ||
        getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length))
        return udsb_error_set(error, UDSB_INVALID, "descriptor %d is not a socket: %s", descriptor, strerror(errno));
    if (adopted.address.socket.sun_family != AF_UNIX || type != SOCK_STREAM || !listens)
        return udsb_error_set(error, UDSB_INVALID, "descriptor %d is not a listening Unix stream socket", descriptor);

    name = adopted.address.socket.sun_path;
    length = adopted.address.length - (socklen_t)offsetof(struct sockaddr_un, sun_path);
    adopted.address.is_abstract = length > 0 && !name[0];
    if (adopted.address.is_abstract)
        snprintf(adopted.address.text, sizeof adopted.address.text, "@%.*s", (int)length - 1, name + 1);
    else
        snprintf(adopted.address.text, sizeof adopted.address.text, "%.*s", (int)length, name);
    if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) || fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK))
        return udsb_error_system(error, "cannot make descriptor %d non-blocking", descriptor);
    *result = adopted;
    return UDSB_OK;
}

void udsb_socket_refuse(udsb_socket_t *socket)
{
    /* The kernel refuses to connect to a listener that is shut down for reading (unix_stream_connect()); accept(2) goes
     * on until nothing is queued. */
    if (socket->is_ours)
        shutdown(socket->descriptor, SHUT_RD);
}

udsb_result_t udsb_socket_unlink(udsb_socket_t *socket, udsb_error_t *error)
{
    udsb_result_t outcome = UDSB_OK;
    struct stat status;
    place_t place;

    if (socket->directory < 0)
        return UDSB_OK;
    split(&place, socket->address.text);
    const int lock = udsb_lock_take(socket->directory, place.lock, LOCK_TIMEOUT_MS);
    if (lock < 0)
        return udsb_error_system(error, "cannot take the lock %s.lock; the socket file stays", socket->address.text);
    if (!fstatat(socket->directory, place.name, &status, AT_SYMLINK_NOFOLLOW) && status.st_dev == socket->device &&
        status.st_ino == socket->inode && unlinkat(socket->directory, place.name, 0) && errno != ENOENT)
        outcome = udsb_error_system(error, "cannot unlink %s", socket->address.text);
    udsb_lock_release(lock, socket->directory, place.lock);
    close(socket->directory);
    socket->directory = -1;
    return outcome;
}

void udsb_socket_close(udsb_socket_t *socket)
{
    if (socket->descriptor >= 0)
        close(socket->descriptor);
    if (socket->directory >= 0)
        close(socket->directory);
    socket->descriptor = socket->directory = -1;
}
