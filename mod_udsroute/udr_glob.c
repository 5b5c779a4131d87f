/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_glob.h"

#include "mod_udsroute/udr_hash.h"

#include <apr_errno.h>
#include <apr_strings.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

udr_glob_t *udr_glob_create(const udr_target_t *target, const udr_settings_t *settings, const udr_source_t *source,
                            apr_pool_t *p)
{
    udr_glob_t *glob = apr_pcalloc(p, sizeof *glob);
    glob->target = target;
    glob->settings = *settings;
    glob->source = *source;
    glob->others = apr_array_make(p, 4, sizeof(udr_target_t *));
    glob->berths = apr_pcalloc(p, UDR_GLOB_GROWTH_MAX * sizeof *glob->berths);
    return glob;
}

/* With its slash. */
static apr_size_t directory_length(const udr_address_t *address)
{
    return (apr_size_t)(strrchr(address->name, '/') + 1 - address->name);
}

/* Does the socket, or the pattern, have this name in the glob's directory? */
static bool has(const udr_address_t *other, const udr_address_t *pattern, const char *name)
{
    apr_size_t len = directory_length(pattern);
    if (other->kind == UDR_ADDRESS_ABSTRACT || directory_length(other) != len ||
        memcmp(other->name, pattern->name, len) != 0) {
        return false;
    }
    return other->kind == UDR_ADDRESS_PATTERN ? udr_address_matches(other, name) : !strcmp(other->name + len, name);
}

bool udr_glob_takes(const udr_glob_t *glob, const char *name)
{
    bool takes = udr_address_matches(glob->target->address, name);
    for (int i = 0; takes && i < glob->others->nelts; i++) {
        takes = !has(APR_ARRAY_IDX(glob->others, i, const udr_target_t *)->address, glob->target->address, name);
    }
    return takes;
}

const char *udr_glob_route(const char *name, apr_pool_t *p)
{
    const char *dot = strrchr(name, '.');
    const char *stem = dot && dot > name ? apr_pstrmemdup(p, name, (apr_size_t)(dot - name)) : name;
    udr_settings_t settings;
    const char *note;
    udr_settings_init(&settings);
    return udr_settings_set(&settings, "route", stem, &note, p) ? NULL : settings.route;
}

/* --- the directory --- */

static apr_uint64_t identify(const struct stat *info)
{
    const apr_uint64_t parts[] = {(apr_uint64_t)info->st_dev, (apr_uint64_t)info->st_ino,
                                  (apr_uint64_t)info->st_ctim.tv_sec, (apr_uint64_t)info->st_ctim.tv_nsec};
    return udr_hash_bytes((const char *)parts, sizeof parts);
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const udr_sighted_t *)a)->name, ((const udr_sighted_t *)b)->name);
}

/* A name that leads to a socket, be it by a symbolic link. */
static void note(udr_listing_t *listing, const udr_glob_t *glob, int directory, const char *name, apr_pool_t *p)
{
    struct stat info;
    if (!udr_glob_takes(glob, name) || fstatat(directory, name, &info, 0) != 0 || !S_ISSOCK(info.st_mode)) {
        return;
    }
    if (!udr_address_fits(glob->target->address, name)) {
        listing->unusable = listing->unusable ? listing->unusable : apr_pstrdup(p, name);
        return;
    }
    APR_ARRAY_PUSH(listing->sockets, udr_sighted_t) =
        (udr_sighted_t){.name = apr_pstrdup(p, name), .file = identify(&info)};
}

/* Returns errno: half of what is there would send the other half away. */
static int read_all(udr_listing_t *listing, const udr_glob_t *glob, DIR *directory, apr_pool_t *p)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry) {
            return errno;
        }
        note(listing, glob, dirfd(directory), entry->d_name, p);
    }
}

apr_status_t udr_glob_list(udr_listing_t *listing, const udr_glob_t *glob, apr_pool_t *p)
{
    const udr_address_t *address = glob->target->address;
    udr_listing_t read = {.sockets = apr_array_make(p, 16, sizeof(udr_sighted_t))};
    int fd = open(apr_pstrmemdup(p, address->name, directory_length(address)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        return errno;
    }
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && !directory) {
        int error = errno;
        close(fd);
        return error;
    }
    int error = directory ? read_all(&read, glob, directory, p) : 0;
    if (directory) {
        closedir(directory);
    }
    if (error) {
        return error;
    }
    qsort(read.sockets->elts, (size_t)read.sockets->nelts, sizeof(udr_sighted_t), compare);
    *listing = read;
    return APR_SUCCESS;
}
