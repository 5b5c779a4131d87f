/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_walk.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define MOST_LINKS 40 /* as the kernel's own limit, path_resolution(7) */

/* connect(2) gives one errno for the whole path. So the path is taken apart by hand, symbolic links included: a fault
 * behind a link lies in a directory that the configured path does not even name. */
typedef struct walker_t {
    udr_walk_t *walk;
    const char *path; /* resolved so far, free of links; "" is the root */
    const char *rest; /* still to be walked, no slash at its beginning */
    int links;        /* followed so far */
    apr_pool_t *p;
} walker_t;

static const char *parent_of(const char *path, apr_pool_t *p)
{
    const char *slash = strrchr(path, '/');

    return slash ? apr_pstrmemdup(p, path, (apr_size_t)(slash - path)) : "";
}

/* Takes the first component off the rest. */
static const char *next_component(walker_t *walker)
{
    apr_size_t len = strcspn(walker->rest, "/");
    const char *component = apr_pstrmemdup(walker->p, walker->rest, len);

    walker->rest += len;
    walker->rest += strspn(walker->rest, "/");
    return component;
}

/* Puts the link's target before the rest. */
static udr_finding_t follow_link(walker_t *walker)
{
    char target[4096];
    ssize_t len = readlink(walker->path, target, sizeof(target) - 1);

    if (len < 0) {
        walker->walk->error = errno;
        return UDR_FINDING_UNREADABLE;
    }
    if (++walker->links > MOST_LINKS) {
        return UDR_FINDING_LOOP;
    }
    target[len] = '\0';
    walker->walk->link = apr_psprintf(walker->p, " (by way of the symbolic link %s to %s)", walker->path, target);
    walker->path = *target == '/' ? "" : parent_of(walker->path, walker->p);
    walker->rest = apr_pstrcat(walker->p, target + strspn(target, "/"), *walker->rest ? "/" : "", walker->rest, NULL);
    return UDR_FINDING_NONE;
}

/* AT_EACCESS: what counts are the effective ids, and with faccessat2(2) access control lists and capabilities too. */
static udr_finding_t enter_directory(const char *path)
{
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) ? UDR_FINDING_NOT_SEARCHABLE : UDR_FINDING_NONE;
}

static udr_finding_t examine_socket(const walker_t *walker)
{
    if (!S_ISSOCK(walker->walk->info.st_mode)) {
        return UDR_FINDING_NOT_A_SOCKET;
    }
    return faccessat(AT_FDCWD, walker->path, W_OK, AT_EACCESS) ? UDR_FINDING_NOT_WRITABLE : UDR_FINDING_NONE;
}

static udr_finding_t examine_missing(walker_t *walker)
{
    walker->walk->error = errno;
    if (errno != ENOENT) {
        return UDR_FINDING_UNREADABLE;
    }
    return *walker->rest ? UDR_FINDING_NO_DIRECTORY : UDR_FINDING_NO_SOCKET;
}

static udr_finding_t take_step(walker_t *walker)
{
    const char *component = next_component(walker);
    mode_t mode;

    if (!strcmp(component, ".")) {
        return UDR_FINDING_NONE;
    }
    if (!strcmp(component, "..")) {
        walker->path = parent_of(walker->path, walker->p);
        return UDR_FINDING_NONE;
    }
    walker->path = apr_pstrcat(walker->p, walker->path, "/", component, NULL);
    if (lstat(walker->path, &walker->walk->info)) {
        return examine_missing(walker);
    }
    mode = walker->walk->info.st_mode;
    if (S_ISLNK(mode)) {
        return follow_link(walker);
    }
    if (!*walker->rest) {
        return examine_socket(walker);
    }
    return S_ISDIR(mode) ? enter_directory(walker->path) : UDR_FINDING_NOT_A_DIRECTORY;
}

udr_finding_t udr_walk(udr_walk_t *walk, const char *path, apr_pool_t *p)
{
    walker_t walker = {.walk = walk, .path = "", .rest = path + strspn(path, "/"), .p = p};
    udr_finding_t finding = UDR_FINDING_NONE;

    *walk = (udr_walk_t){.path = "/", .link = ""};
    if (!stat("/", &walk->info)) {
        finding = enter_directory("/");
    }
    while (finding == UDR_FINDING_NONE && *walker.rest) {
        finding = take_step(&walker);
    }
    if (*walker.path) {
        walk->path = walker.path;
    }
    /* A link may lead to "/" or "..": then the path ends in a directory that no step has taken for the last. */
    if (finding == UDR_FINDING_NONE && !S_ISSOCK(walk->info.st_mode) && !stat(walk->path, &walk->info)) {
        finding = UDR_FINDING_NOT_A_SOCKET;
    }
    return finding;
}
