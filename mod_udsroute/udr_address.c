/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_address.h"

#include "mod_udsroute/udr_value.h"

#include <apr_fnmatch.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define PREFIX    "unix:"
#define WILDCARDS "*?["

/* Bytes that have no place in an address, and what to tell who wrote one. */
static const struct {
    const char *bytes;
    const char *sentence;
} refused[] = {
    {.bytes = "%",
     .sentence =
         "contains a '%': socket paths are not percent-decoded, write the path as ls shows it (one that holds a "
         "'%' cannot be used)"},
    {.bytes = "$",
     .sentence = "contains a '$': a socket comes from the configuration only, nothing in a request may choose it; "
                 "write a route for each socket, with its path in full"},
};

static const char *check_bytes(const char *text, apr_pool_t *p)
{
    for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++) {
        if (*byte < 0x20 || *byte == 0x7f) {
            return apr_psprintf(p, "%s contains the control character \\x%02x: write the path without it",
                                udr_value_quote(text, p), *byte);
        }
    }
    for (apr_size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (strpbrk(text, refused[i].bytes)) {
            return apr_psprintf(p, "%s %s", udr_value_quote(text, p), refused[i].sentence);
        }
    }
    return NULL;
}

static const char *last_part(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* POSIX, 2.13.1: a ']' that stands first (behind the '!') is one of the characters. Elsewhere a '[' alone would be an
 * ordinary character: hardly what is meant. */
static bool closes_brackets(const char *pattern)
{
    const char *open = pattern;
    while (open && (open = strchr(open, '['))) {
        open += 1 + (open[1] == '!' || open[1] == '^');
        open = *open ? strchr(open + 1, ']') : NULL;
        if (!open) {
            return false;
        }
    }
    return true;
}

/* Of a path that is in its canonical form already. */
static const char *check_pattern(const udr_address_t *address, const char *text, apr_pool_t *p)
{
    const char *pattern = last_part(address->name);
    const char *directory = apr_pstrmemdup(p, address->name, (apr_size_t)(pattern - address->name));

    if (strpbrk(directory, WILDCARDS)) {
        return apr_psprintf(
            p,
            "%s has a '*', '?' or '[' in the name of a directory: only the last part of the path may be "
            "a pattern, write a line for each directory",
            udr_value_quote(text, p));
    }
    if (!closes_brackets(pattern)) {
        return apr_psprintf(p, "%s has a '[' without its ']': write a pattern as for a shell, such as app-[0-9].sock",
                            udr_value_quote(text, p));
    }
    if (strlen(directory) >= UDR_ADDRESS_MAX) {
        return apr_psprintf(p,
                            "%s: the directory %s has %lu bytes, and the kernel takes at most %d for a whole path: use "
                            "a shorter one near the root, such as /run/app",
                            udr_value_quote(text, p), directory, (unsigned long)strlen(directory), UDR_ADDRESS_MAX);
    }
    return NULL;
}

/* The next segment of a path, between slashes; empty at its end. */
static apr_size_t next_segment(const char **path)
{
    *path += strspn(*path, "/");
    return strcspn(*path, "/");
}

static bool is_segment(const char *segment, apr_size_t len, const char *name)
{
    return len == strlen(name) && !strncmp(segment, name, len);
}

static bool has_segment(const char *path, const char *name)
{
    for (apr_size_t len; (len = next_segment(&path)) > 0; path += len) {
        if (is_segment(path, len, name)) {
            return true;
        }
    }
    return false;
}

/* What stands behind the last slash, the end counting as a segment. */
static bool ends_in_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;

    return !*last || !strcmp(last, ".");
}

/* "//" and "/./" say nothing: without them one socket has one name. ".." stays out of it, it needs the file system. */
static const char *collapse(const char *path, apr_pool_t *p)
{
    char *result = apr_palloc(p, strlen(path) + 1);
    char *end = result;

    for (apr_size_t len; (len = next_segment(&path)) > 0; path += len) {
        if (!is_segment(path, len, ".")) {
            *end++ = '/';
            memcpy(end, path, len);
            end += len;
        }
    }
    *end = '\0';
    return result;
}

/* "unix:///abs" is a URL without a host, as curl and others write it. With something between the second slash and the
 * third, other servers take that for a host and lose it without a word (bugzilla 57978). */
static const char *check_slashes(const char *text, const char *rest, const char *runtime_dir, apr_pool_t *p)
{
    if (strncmp(rest, "//", 2) || rest[2] == '/' || !rest[2]) {
        return NULL;
    }
    return apr_psprintf(p,
                        "%s is not clear, since a name behind '//' would be a host: write '" PREFIX "/%s' for the path "
                        "/%s, or '" PREFIX "%s' for one relative to %s",
                        udr_value_quote(text, p), rest + 2, rest + 2, rest + 2, runtime_dir);
}

static const char *check_length(const udr_address_t *address, const char *text, apr_pool_t *p)
{
    if (address->len <= UDR_ADDRESS_MAX) {
        return NULL;
    }
    if (address->kind == UDR_ADDRESS_ABSTRACT) {
        return apr_psprintf(p, "%s: the name has %lu bytes, the kernel takes at most %d: write a shorter one",
                            udr_value_quote(text, p), (unsigned long)address->len, UDR_ADDRESS_MAX);
    }
    return apr_psprintf(p,
                        "%s: the path %s has %lu bytes, the kernel takes at most %d: use a shorter one near the root, "
                        "such as /run/app.sock",
                        udr_value_quote(text, p), address->name, (unsigned long)address->len, UDR_ADDRESS_MAX);
}

static const char *read_path(udr_address_t *address, const char *text, const char *rest, const char *runtime_dir,
                             apr_pool_t *p)
{
    const char *error = check_slashes(text, rest, runtime_dir, p);

    if (error) {
        return error;
    }
    if (has_segment(rest, "..")) {
        return apr_psprintf(p, "%s contains a '..': write the path without it", udr_value_quote(text, p));
    }
    if (ends_in_directory(rest)) {
        return apr_psprintf(p, "%s ends in a directory: write the path of the socket itself", udr_value_quote(text, p));
    }
    address->kind = UDR_ADDRESS_PATH;
    address->name = collapse(*rest == '/' ? rest : apr_pstrcat(p, runtime_dir, "/", rest, NULL), p);
    return NULL;
}

static const char *read_abstract(udr_address_t *address, const char *text, const char *rest, apr_pool_t *p)
{
#ifdef __linux__
    if (!rest[1]) {
        return apr_psprintf(p, "%s has no name behind the '@': write one, such as '" PREFIX "@app'",
                            udr_value_quote(text, p));
    }
    address->kind = UDR_ADDRESS_ABSTRACT;
    address->name = apr_pstrdup(p, rest + 1);
    return NULL;
#else
    return apr_psprintf(p, "%s: only Linux has abstract socket names, write a path", udr_value_quote(text, p));
#endif
}

static bool has_wildcards(const char *text)
{
    return strpbrk(text, WILDCARDS) != NULL;
}

/* A path, a name or a pattern. */
static const char *parse(const udr_address_t **address, const char *text, const char *runtime_dir, apr_pool_t *p)
{
    udr_address_t *result = apr_pcalloc(p, sizeof(*result));
    bool is_pattern = has_wildcards(text);
    const char *rest;
    const char *error;

    /* mod_proxy compares the prefix without regard to case. */
    if (strncasecmp(text, PREFIX, strlen(PREFIX))) {
        const char *meant = *text == '/' || *text == '@' ? text : "/run/app.sock";

        return apr_psprintf(p, "%s does not begin with '" PREFIX "': write %s", udr_value_quote(text, p),
                            udr_value_quote(apr_pstrcat(p, PREFIX, meant, NULL), p));
    }
    rest = text + strlen(PREFIX);
    if (!*rest || !strcmp(rest, "//")) {
        return apr_psprintf(p,
                            "%s names no socket: write '" PREFIX "/run/app.sock' for a path, or '" PREFIX "@app' for "
                            "an abstract name",
                            udr_value_quote(text, p));
    }
    if ((error = check_bytes(text, p))) {
        return error;
    }
    if (is_pattern && *rest == '@') {
        return apr_psprintf(p,
                            "%s has a '*', '?' or '[' in an abstract name: no directory lists these, so there are no "
                            "patterns of them, write each name",
                            udr_value_quote(text, p));
    }
    error = *rest == '@' ? read_abstract(result, text, rest, p) : read_path(result, text, rest, runtime_dir, p);
    if (error) {
        return error;
    }
    result->len = strlen(result->name);
    error = is_pattern ? check_pattern(result, text, p) : check_length(result, text, p);
    if (error) {
        return error;
    }
    result->kind = is_pattern ? UDR_ADDRESS_PATTERN : result->kind;
    result->text = apr_pstrcat(p, PREFIX, result->kind == UDR_ADDRESS_ABSTRACT ? "@" : "", result->name, NULL);
    *address = result;
    return NULL;
}

const char *udr_address_parse(const udr_address_t **address, const char *text, const char *runtime_dir, apr_pool_t *p)
{
    if (has_wildcards(text)) {
        return apr_psprintf(p,
                            "%s contains '*', '?' or '[': a pattern is no address, write the path of one socket (a "
                            "UDSMember in a <UDSBalancer> may be a pattern)",
                            udr_value_quote(text, p));
    }
    return parse(address, text, runtime_dir, p);
}

const char *udr_address_parse_pattern(const udr_address_t **address, const char *text, const char *runtime_dir,
                                      apr_pool_t *p)
{
    return parse(address, text, runtime_dir, p);
}

bool udr_address_matches(const udr_address_t *pattern, const char *name)
{
    /* (fnmatch(3) would ask the locale.) */
    return apr_fnmatch(last_part(pattern->name), name, APR_FNM_PERIOD | APR_FNM_NOESCAPE) == APR_SUCCESS;
}

/* With its slash. */
static apr_size_t directory_length(const udr_address_t *pattern)
{
    return (apr_size_t)(last_part(pattern->name) - pattern->name);
}

bool udr_address_fits(const udr_address_t *pattern, const char *name)
{
    if (directory_length(pattern) + strlen(name) > UDR_ADDRESS_MAX) {
        return false;
    }
    for (const char *byte = name; *byte; byte++) {
        if (apr_iscntrl(*byte)) {
            return false;
        }
    }
    return true;
}

const udr_address_t *udr_address_in_directory(const udr_address_t *pattern, const char *name, apr_pool_t *p)
{
    apr_size_t before = directory_length(pattern);
    udr_address_t *made;

    if (!udr_address_fits(pattern, name)) {
        return NULL;
    }
    made = apr_pcalloc(p, sizeof(*made));
    made->kind = UDR_ADDRESS_PATH;
    made->name = apr_pstrcat(p, apr_pstrmemdup(p, pattern->name, before), name, NULL);
    made->len = before + strlen(name);
    made->text = apr_pstrcat(p, PREFIX, made->name, NULL);
    return made;
}

socklen_t udr_address_sockaddr(const udr_address_t *address, struct sockaddr_un *sa)
{
    /* An abstract name begins with a NUL and has none at its end; for a path it is the other way round. */
    apr_size_t before = address->kind == UDR_ADDRESS_ABSTRACT;

    memset(sa, 0, sizeof(*sa));
    sa->sun_family = AF_UNIX;
    memcpy(sa->sun_path + before, address->name, address->len);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + address->len + 1);
}

bool udr_address_equal(const udr_address_t *a, const udr_address_t *b)
{
    return a->kind == b->kind && a->len == b->len && !memcmp(a->name, b->name, a->len);
}
