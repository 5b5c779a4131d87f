/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_peer.h"

#include "mod_udsroute/udr_value.h"

#include <apr_strings.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

static bool is_number(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

/* Numbers are not looked up: an id need not have a name. (uid_t)-1 means "no user" to the kernel. */
static const char *read_id(apr_uint32_t *id, const char *text, apr_pool_t *p)
{
    unsigned long long number;

    errno = 0;
    number = strtoull(text, NULL, 10);
    if (errno || number >= APR_UINT32_MAX) {
        return apr_psprintf(p, "%s is out of range: 0 to 4294967294", udr_value_quote(text, p));
    }
    *id = (apr_uint32_t)number;
    return NULL;
}

static const char *not_found(const char *what, const char *name, int error, apr_pool_t *p)
{
    if (error) {
        return apr_psprintf(p, "%s %s cannot be looked up: %s", what, udr_value_quote(name, p), strerror(error));
    }
    return apr_psprintf(p, "there is no %s %s: write a name from getent, or a number", what, udr_value_quote(name, p));
}

/* apr_uid_get() and apr_gid_get() give up on entries over a fixed size; a group of a thousand users is larger. */
static const char *find_user(uid_t *user, const char *name, apr_pool_t *p)
{
    struct passwd entry;
    struct passwd *found = NULL;
    int error = ERANGE;

    if (is_number(name)) {
        return read_id(user, name, p);
    }
    for (apr_size_t size = 1024; error == ERANGE && size <= 1024 * 1024; size *= 4) {
        error = getpwnam_r(name, &entry, apr_palloc(p, size), size, &found);
    }
    if (!found) {
        return not_found("user", name, error, p);
    }
    *user = found->pw_uid;
    return NULL;
}

static const char *find_group(gid_t *group, const char *name, apr_pool_t *p)
{
    struct group entry;
    struct group *found = NULL;
    int error = ERANGE;

    if (is_number(name)) {
        return read_id(group, name, p);
    }
    for (apr_size_t size = 1024; error == ERANGE && size <= 1024 * 1024; size *= 4) {
        error = getgrnam_r(name, &entry, apr_palloc(p, size), size, &found);
    }
    if (!found) {
        return not_found("group", name, error, p);
    }
    *group = found->gr_gid;
    return NULL;
}

const char *udr_peer_parse(const udr_peer_t **peer, const char *text, apr_pool_t *p)
{
    udr_peer_t *result = apr_pcalloc(p, sizeof(*result));
    const char *colon = strchr(text, ':');
    const char *user = colon ? apr_pstrmemdup(p, text, (apr_size_t)(colon - text)) : text;
    const char *error;

    if (!*user || (colon && !colon[1])) {
        return apr_psprintf(p, "%s is incomplete: write user or user:group, names or numbers",
                            udr_value_quote(text, p));
    }
    result->text = apr_pstrdup(p, text);
    result->check_user = true;
    if ((error = find_user(&result->user, user, p))) {
        return error;
    }
    result->check_group = colon != NULL;
    if (colon && (error = find_group(&result->group, colon + 1, p))) {
        return error;
    }
    *peer = result;
    return NULL;
}

bool udr_peer_equal(const udr_peer_t *a, const udr_peer_t *b)
{
    if (!a || !b) {
        return a == b;
    }
    return a->check_user == b->check_user && a->check_group == b->check_group && a->user == b->user &&
           a->group == b->group && !strcmp(a->text, b->text);
}
