/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "mod_udsroute/udr_dirwatch.h"

#ifdef HAVE_SYS_INOTIFY_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same for all: an inode has one mask, by whatever path it is watched. That a directory ends, the events of its
 * name in the one above tell, even while somebody stands in it, which keeps IN_DELETE_SELF and IN_IGNORED back;
 * IN_IGNORED, which comes unasked, and IN_MOVE_SELF are for where the one above can't be read. */
#define EVENTS (IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVE_SELF | IN_ONLYDIR)

#define BUFFER_SIZE 16384

/* A directory that is watched, or waited for by those above it. From the heap: they come and go with their watchers. */
typedef struct udr_directory_t {
    struct udr_directory_t *parent;   /* NULL: the root */
    struct udr_directory_t *children; /* those on the way to somebody's socket */
    struct udr_directory_t *next;     /* of the same parent */
    udr_watcher_t *watchers;          /* of files in it */
    int wd;                           /* inotify's; -1: not watched */
    int error;                        /* errno of the try to watch it; 0: it is */
    const char *name;                 /* the last part of path */
    char path[UDR_ADDRESS_MAX + 1];
} udr_directory_t;

struct udr_dirwatch_t {
    int fd;
    udr_directory_t root;
    udr_watcher_t *pending;
    udr_watcher_t **last_pending;
};

/* --- who has to be told --- */

static void tell_later(udr_dirwatch_t *dirwatch, udr_watcher_t *watcher)
{
    if (!watcher->is_pending) {
        watcher->is_pending = true;
        watcher->pending = NULL;
        *dirwatch->last_pending = watcher;
        dirwatch->last_pending = &watcher->pending;
    }
}

static void tell_all_later(udr_dirwatch_t *dirwatch, udr_directory_t *directory)
{
    for (udr_watcher_t *watcher = directory->watchers; watcher; watcher = watcher->next) {
        tell_later(dirwatch, watcher);
    }
}

static void tell_no_more(udr_dirwatch_t *dirwatch, udr_watcher_t *watcher)
{
    if (!watcher->is_pending) {
        return;
    }
    udr_watcher_t **at = &dirwatch->pending;
    while (*at != watcher) {
        at = &(*at)->pending;
    }
    *at = watcher->pending;
    if (!*at) {
        dirwatch->last_pending = at;
    }
    watcher->is_pending = false;
}

/* --- directories --- */

/* What may come about in the directory above. */
static bool is_absence(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

/* Is this directory watched, or the nearest one above it that exists? *error says why not. */
static bool sees(const udr_directory_t *directory, int *error)
{
    while (is_absence(directory->error) && directory->parent) {
        directory = directory->parent;
    }
    *error = directory->error;
    return directory->error == 0;
}

static bool has_wd(const udr_directory_t *directory, int wd)
{
    bool found = directory->wd == wd;
    for (const udr_directory_t *child = directory->children; child && !found; child = child->next) {
        found = has_wd(child, wd);
    }
    return found;
}

/* Two paths may lead to one directory, which has one watch then. The kernel may have dropped it already (EINVAL). */
static void drop(udr_dirwatch_t *dirwatch, int wd)
{
    if (wd >= 0 && !has_wd(&dirwatch->root, wd)) {
        (void)inotify_rm_watch(dirwatch->fd, wd);
    }
}

static int try_to_watch(const udr_dirwatch_t *dirwatch, udr_directory_t *directory)
{
    struct stat info;
    directory->wd = inotify_add_watch(dirwatch->fd, directory->path, EVENTS);
    if (directory->wd >= 0) {
        return 0;
    }
    int error = errno;
    /* What a link leads to may come about where nobody looks. */
    bool is_link = is_absence(error) && lstat(directory->path, &info) == 0 && S_ISLNK(info.st_mode);
    return is_link ? ENOLINK : error;
}

/* Watches what the path leads to now, from here down: each before those in it, so that what is made meanwhile is either
 * found or told of. */
static void settle(udr_dirwatch_t *dirwatch, udr_directory_t *directory)
{
    int before = directory->wd;
    directory->error = try_to_watch(dirwatch, directory);
    drop(dirwatch, before);
    for (udr_directory_t *child = directory->children; child; child = child->next) {
        settle(dirwatch, child);
    }
    tell_all_later(dirwatch, directory);
}

/* From the root down: what is not watched yet, or could not be. */
static void settle_missing(udr_dirwatch_t *dirwatch, udr_directory_t *directory)
{
    if (directory->parent) {
        settle_missing(dirwatch, directory->parent);
    }
    if (directory->error) {
        settle(dirwatch, directory);
    }
}

static udr_directory_t *child_of(udr_directory_t *parent, const char *path, apr_size_t len)
{
    udr_directory_t *child = parent->children;
    while (child && (strlen(child->path) != len || memcmp(child->path, path, len) != 0)) {
        child = child->next;
    }
    if (child || !(child = calloc(1, sizeof *child))) {
        return child;
    }
    memcpy(child->path, path, len);
    child->name = strrchr(child->path, '/') + 1;
    child->wd = -1;
    child->error = ENOENT;
    child->parent = parent;
    child->next = parent->children;
    parent->children = child;
    return child;
}

/* Frees it, and those above it, as far as nobody needs them any more. */
static void prune(udr_dirwatch_t *dirwatch, udr_directory_t *directory)
{
    while (directory->parent && !directory->watchers && !directory->children) {
        udr_directory_t *parent = directory->parent;
        udr_directory_t **at = &parent->children;
        while (*at != directory) {
            at = &(*at)->next;
        }
        *at = directory->next;
        drop(dirwatch, directory->wd);
        free(directory);
        directory = parent;
    }
}

/* NULL: out of memory. */
static udr_directory_t *directory_of(udr_dirwatch_t *dirwatch, const char *path)
{
    udr_directory_t *directory = &dirwatch->root;
    for (const char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
        udr_directory_t *child = child_of(directory, path, (apr_size_t)(end - path));
        if (!child) {
            prune(dirwatch, directory);
            return NULL;
        }
        directory = child;
    }
    return directory;
}

static void free_below(udr_directory_t *directory)
{
    while (directory->children) {
        udr_directory_t *child = directory->children;
        directory->children = child->next;
        free_below(child);
        free(child);
    }
}

/* --- events --- */

static bool concerns(const udr_watcher_t *watcher, const char *name)
{
    return watcher->address->kind == UDR_ADDRESS_PATTERN ? udr_address_matches(watcher->address, name)
                                                         : !strcmp(watcher->name, name);
}

static void heed_name(udr_dirwatch_t *dirwatch, udr_directory_t *directory, const char *name)
{
    for (udr_directory_t *child = directory->children; child; child = child->next) {
        if (!strcmp(child->name, name)) {
            settle(dirwatch, child);
        }
    }
    for (udr_watcher_t *watcher = directory->watchers; watcher; watcher = watcher->next) {
        if (concerns(watcher, name)) {
            tell_later(dirwatch, watcher);
        }
    }
}

/* An event without a name is of the directory itself: it has gone or moved, or its mode has changed. One whose wd
 * nobody has is left over from a watch that was dropped. */
static void heed(udr_dirwatch_t *dirwatch, udr_directory_t *directory, const struct inotify_event *event)
{
    if (directory->wd == event->wd) {
        if (event->len) {
            heed_name(dirwatch, directory, event->name);
        } else {
            settle(dirwatch, directory);
        }
    }
    for (udr_directory_t *child = directory->children; child; child = child->next) {
        heed(dirwatch, child, event);
    }
}

static void heed_all(udr_dirwatch_t *dirwatch, const char *bytes, apr_size_t len)
{
    for (apr_size_t at = 0; at < len;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(bytes + at);
        if (event->mask & IN_Q_OVERFLOW) {
            settle(dirwatch, &dirwatch->root);
        } else {
            heed(dirwatch, &dirwatch->root, event);
        }
        at += sizeof *event + event->len;
    }
}

static udr_sighting_t look(const udr_watcher_t *watcher)
{
    struct stat info;
    int error;
    if (!sees(watcher->directory, &error)) {
        return UDR_SIGHTING_BLIND;
    }
    if (watcher->address->kind == UDR_ADDRESS_PATTERN || stat(watcher->address->name, &info) == 0) {
        return UDR_SIGHTING_THERE;
    }
    /* What else is wrong with the path (permissions) a connect says best. */
    return is_absence(errno) ? UDR_SIGHTING_GONE : UDR_SIGHTING_THERE;
}

void udr_dirwatch_read(udr_dirwatch_t *dirwatch)
{
    _Alignas(struct inotify_event) char buffer[BUFFER_SIZE];
    int left = 0;
    ssize_t len;
    /* What is there now: who makes and removes files without end (in /tmp anybody may) is not to keep this thread. */
    (void)ioctl(dirwatch->fd, FIONREAD, &left);
    while (left > 0 && ((len = read(dirwatch->fd, buffer, sizeof buffer)) > 0 || (len < 0 && errno == EINTR))) {
        heed_all(dirwatch, buffer, len > 0 ? (apr_size_t)len : 0);
        left -= len > 0 ? (int)len : 0;
    }
    /* Not before that has been read: watchers may remove each other, and the last event is the one that counts. */
    while (dirwatch->pending) {
        udr_watcher_t *watcher = dirwatch->pending;
        tell_no_more(dirwatch, watcher);
        watcher->seen(watcher, look(watcher));
    }
}

/* --- watchers --- */

apr_status_t udr_dirwatch_add(udr_dirwatch_t *dirwatch, udr_watcher_t *watcher, const udr_address_t *address)
{
    int error;
    if (address->kind == UDR_ADDRESS_ABSTRACT) {
        return APR_ENOTIMPL;
    }
    udr_directory_t *directory = directory_of(dirwatch, address->name);
    if (!directory) {
        return APR_ENOMEM;
    }
    settle_missing(dirwatch, directory);
    if (!sees(directory, &error)) {
        prune(dirwatch, directory);
        return error;
    }
    watcher->address = address;
    watcher->name = strrchr(address->name, '/') + 1;
    watcher->directory = directory;
    watcher->next = directory->watchers;
    directory->watchers = watcher;
    return APR_SUCCESS;
}

void udr_dirwatch_remove(udr_dirwatch_t *dirwatch, udr_watcher_t *watcher)
{
    udr_directory_t *directory = watcher->directory;
    if (!directory) {
        return;
    }
    udr_watcher_t **at = &directory->watchers;
    while (*at != watcher) {
        at = &(*at)->next;
    }
    *at = watcher->next;
    tell_no_more(dirwatch, watcher);
    watcher->directory = NULL;
    prune(dirwatch, directory);
}

int udr_dirwatch_fd(const udr_dirwatch_t *dirwatch)
{
    return dirwatch->fd;
}

static apr_status_t destroy(void *baton)
{
    udr_dirwatch_t *dirwatch = baton;
    free_below(&dirwatch->root);
    close(dirwatch->fd);
    return APR_SUCCESS;
}

apr_status_t udr_dirwatch_create(udr_dirwatch_t **dirwatch, apr_pool_t *p)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    udr_dirwatch_t *made = apr_pcalloc(p, sizeof *made);
    made->fd = fd;
    made->root = (udr_directory_t){.wd = -1, .error = ENOENT, .path = "/"};
    made->root.name = made->root.path + 1;
    made->last_pending = &made->pending;
    apr_pool_cleanup_register(p, made, destroy, apr_pool_cleanup_null);
    *dirwatch = made;
    return APR_SUCCESS;
}

#else

apr_status_t udr_dirwatch_create(udr_dirwatch_t **dirwatch, apr_pool_t *p)
{
    (void)dirwatch;
    (void)p;
    return APR_ENOTIMPL;
}

/* Nobody has one to call these with. */
int udr_dirwatch_fd(const udr_dirwatch_t *dirwatch)
{
    (void)dirwatch;
    return -1;
}

apr_status_t udr_dirwatch_add(udr_dirwatch_t *dirwatch, udr_watcher_t *watcher, const udr_address_t *address)
{
    (void)dirwatch;
    (void)watcher;
    (void)address;
    return APR_ENOTIMPL;
}

void udr_dirwatch_remove(udr_dirwatch_t *dirwatch, udr_watcher_t *watcher)
{
    (void)dirwatch;
    (void)watcher;
}

void udr_dirwatch_read(udr_dirwatch_t *dirwatch)
{
    (void)dirwatch;
}

#endif
