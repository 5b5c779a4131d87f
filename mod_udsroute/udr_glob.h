/* SPDX-License-Identifier: Apache-2.0 */
/* A UDSMember whose socket is a pattern ("unix:/run/app/?.sock|http://localhost"): every socket in the directory that
 * matches is a member, as they come and go. This is what the configuration says of it, and how its directory is read;
 * who is a member now is udr_berth's. Layer: core. Made while the configuration is read; any thread may list. */
#ifndef UDR_GLOB_H
#define UDR_GLOB_H

#include "mod_udsroute/udr_settings.h"
#include "mod_udsroute/udr_source.h"
#include "mod_udsroute/udr_target.h"

#include <apr_tables.h>

/* `growth` is 1 to so many. */
#define UDR_GLOB_GROWTH_MAX 1024

typedef struct udr_glob_t {
    const udr_target_t *target; /* its address is of kind UDR_ADDRESS_PATTERN */
    udr_settings_t settings; /* its members'; unset values are filled in once the whole configuration has been read */
    udr_source_t source;
    apr_array_header_t *others; /* const udr_target_t *: of its balancer's single members, and of the globs before it;
                                   what is theirs is not its own, too */
    const struct udr_condition_t *condition; /* as in udr_member_t */
    bool needs_check;                        /* its members get no request before a check has found them good */
    int growth;                              /* how many members at most */
    int first;                               /* the index in the balancer of its first berth; the others follow */
    apr_uint32_t slot;                       /* its own, as the next set with the configuration */
    apr_uint32_t *berths;                    /* `growth` slots, one for each member; room for the most there can be */
} udr_glob_t;

/* From p; settings are copied. */
udr_glob_t *udr_glob_create(const udr_target_t *target, const udr_settings_t *settings, const udr_source_t *source,
                            apr_pool_t *p);

/* Is a socket of that name a member by this line? Its name matches, and it isn't one by another line. */
bool udr_glob_takes(const udr_glob_t *glob, const char *name);

/* The `route` of a member: its name without the suffix, from p. NULL: that can't be one (a space, more than 63 bytes):
 * sessions don't stay with it. */
const char *udr_glob_route(const char *name, apr_pool_t *p);

typedef struct udr_sighted_t {
    const char *name;
    apr_uint64_t file; /* a hash of device, inode and the time when the inode last changed (its mode, say) */
} udr_sighted_t;

/* What is in the directory at one time. */
typedef struct udr_listing_t {
    apr_array_header_t *sockets; /* udr_sighted_t, by name */
    const char *unusable; /* one that matches but can't be an address: too long, or control characters; or NULL */
} udr_listing_t;

/* Reads the directory. A missing one is empty. Another errno (EACCES, EMFILE …): it can't be read, and *listing is
 * untouched. From p. Takes a system call for each name that matches. */
apr_status_t udr_glob_list(udr_listing_t *listing, const udr_glob_t *glob, apr_pool_t *p);

#endif
