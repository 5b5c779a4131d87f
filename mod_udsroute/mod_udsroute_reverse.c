/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_reverse.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>

#include <string.h>
#include <strings.h>

static const char *check_path(const char *path, const cmd_parms *cmd)
{
    if (path[0] == '/' || ap_is_url(path)) {
        return NULL;
    }
    return apr_psprintf(cmd->pool, "%s: the path '%s' does not begin with '/'", cmd->cmd->name, path);
}

const char *udr_reverse_add_url(apr_array_header_t *urls, const char *path, const char *url, const cmd_parms *cmd)
{
    const char *bar = strncasecmp(url, "unix:", 5) == 0 ? strchr(url, '|') : NULL;
    if (bar) {
        url = bar + 1;
    }
    if (url[0] != '/' && !ap_is_url(url)) {
        return apr_psprintf(cmd->pool, "%s: '%s' is neither a URL, as in \"http://localhost/\", nor a path",
                            cmd->cmd->name, url);
    }
    const char *error = check_path(path, cmd);
    if (!error) {
        APR_ARRAY_PUSH(urls, udr_rewrite_t) = (udr_rewrite_t){.from = url, .to = path};
    }
    return error;
}

const char *udr_reverse_add_balancer(apr_array_header_t *urls, const char *path, const char *url,
                                     apr_array_header_t *reverses, const udr_source_t *source, const cmd_parms *cmd)
{
    udr_reverse_t *reverse = apr_pcalloc(cmd->pool, sizeof *reverse);
    const char *error = udr_target_parse_balancer(&reverse->target, url, cmd->pool);
    if (error) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", error, NULL);
    }
    if ((error = check_path(path, cmd))) {
        return error;
    }
    reverse->urls = apr_array_make(cmd->pool, 1, sizeof(const char *));
    reverse->source = *source;
    APR_ARRAY_PUSH(reverses, udr_reverse_t *) = reverse;
    APR_ARRAY_PUSH(urls, udr_rewrite_t) = (udr_rewrite_t){.to = path, .members = reverse};
    return NULL;
}

static bool has_url(const apr_array_header_t *urls, const char *url)
{
    for (int i = 0; i < urls->nelts; i++) {
        if (strcasecmp(APR_ARRAY_IDX(urls, i, const char *), url) == 0) {
            return true;
        }
    }
    return false;
}

static void bind_target(udr_reverse_t *reverse, const udr_target_t *member, apr_pool_t *p)
{
    const char *path = reverse->target->path;
    apr_size_t len = strlen(member->path);
    /* As in requests: one slash between what the member's line says and what the route's does. */
    if (path[0] && len && member->path[len - 1] == '/') {
        len--;
    }
    /* Behind "ws://", too, the application speaks of itself as http. */
    const char *url = apr_pstrcat(p, "http://", member->authority, apr_pstrmemdup(p, member->path, len), path, NULL);
    if (!has_url(reverse->urls, url)) {
        APR_ARRAY_PUSH(reverse->urls, const char *) = url;
    }
}

void udr_reverse_bind(udr_reverse_t *reverse, const udr_balancer_t *balancer, apr_pool_t *p)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        bind_target(reverse, APR_ARRAY_IDX(balancer->members, i, const udr_member_t *)->target, p);
    }
    for (int i = 0; i < balancer->globs->nelts; i++) {
        bind_target(reverse, APR_ARRAY_IDX(balancer->globs, i, const udr_glob_t *)->target, p);
    }
}

/* The path of a URL, or the URL itself when it is none or has none. */
static const char *path_of(const char *url)
{
    const char *slashes = strstr(url, "://");
    const char *path = slashes ? strchr(slashes + 3, '/') : NULL;
    return path ? path : url;
}

/* `from` without its last slash matches only at the end of a segment: /app must not take /apple. */
static bool begins_with(const char *url, const char *from, apr_size_t len)
{
    if (strncasecmp(url, from, len) != 0) {
        return false;
    }
    return (len && from[len - 1] == '/') || url[len] == '\0' || strchr("/?#", url[len]);
}

/* `from` at the beginning of a URL, or of its path, replaced. NULL: it does not begin so. */
static const char *replace(request_rec *r, const char *url, const char *from, const char *to)
{
    const char *part = from[0] == '/' ? path_of(url) : url;
    apr_size_t len = strlen(from);
    if (!begins_with(part, from, len)) {
        return NULL;
    }
    const char *rest = part + len;
    /* "/" for "http://localhost": one slash between them is enough. */
    if (*rest == '/' && to[strlen(to) - 1] == '/') {
        rest++;
    }
    const char *mapped = apr_pstrcat(r->pool, to, rest, NULL);
    return ap_is_url(mapped) ? mapped : ap_construct_url(r->pool, mapped, r);
}

static const char *apply(request_rec *r, const char *url, const udr_rewrite_t *line)
{
    if (!line->members) {
        return replace(r, url, line->from, line->to);
    }
    const char *mapped = NULL;
    const apr_array_header_t *urls = line->members->urls;
    for (int i = 0; i < urls->nelts && !mapped; i++) {
        mapped = replace(r, url, APR_ARRAY_IDX(urls, i, const char *), line->to);
    }
    return mapped;
}

const char *udr_reverse_url(request_rec *r, const char *url)
{
    const udr_dir_config_t *dir = udr_dir_config(r);
    for (int i = 0; i < dir->urls->nelts; i++) {
        const char *mapped = apply(r, url, &APR_ARRAY_IDX(dir->urls, i, udr_rewrite_t));
        if (mapped) {
            return mapped;
        }
    }
    return url;
}

const char *udr_reverse_refresh(request_rec *r, const char *value)
{
    const char *s = strchr(value, ';');
    if (!s) {
        return value;
    }
    s += strspn(s, "; \t");
    if (strncasecmp(s, "url", 3) != 0) {
        return value;
    }
    s += 3 + strspn(s + 3, " \t");
    if (*s != '=') {
        return value;
    }
    s += 1 + strspn(s + 1, " \t'\"");
    apr_size_t len = strcspn(s, "'\"");
    const char *url = apr_pstrmemdup(r->pool, s, len);
    return apr_pstrcat(r->pool, apr_pstrmemdup(r->pool, value, (apr_size_t)(s - value)), udr_reverse_url(r, url),
                       s + len, NULL);
}

/* One attribute's value, its beginning replaced. exact: the whole of it, in any case (a domain). */
static const char *rewrite_attribute(request_rec *r, const apr_array_header_t *lines, const char *value, bool exact)
{
    for (int i = 0; i < lines->nelts; i++) {
        const udr_rewrite_t *line = &APR_ARRAY_IDX(lines, i, udr_rewrite_t);
        apr_size_t len = strlen(line->from);
        if (exact ? strcasecmp(value, line->from) == 0 : strncmp(value, line->from, len) == 0) {
            return exact ? line->to : apr_pstrcat(r->pool, line->to, value + len, NULL);
        }
    }
    return value;
}

const char *udr_reverse_cookie(request_rec *r, const char *value)
{
    const udr_dir_config_t *dir = udr_dir_config(r);
    if (!dir->cookie_domains->nelts && !dir->cookie_paths->nelts) {
        return value;
    }
    /* RFC 6265, 4.1.1: attributes are parted by ';'; the first part is the cookie itself and not looked at. */
    const char *result = NULL;
    bool is_first = true;
    char *last;
    char *copy = apr_pstrdup(r->pool, value);
    for (char *part = apr_strtok(copy, ";", &last); part; part = apr_strtok(NULL, ";", &last)) {
        const char *text = part + strspn(part, " \t");
        if (!is_first && strncasecmp(text, "path=", 5) == 0) {
            text = apr_pstrcat(r->pool, apr_pstrmemdup(r->pool, text, 5),
                               rewrite_attribute(r, dir->cookie_paths, text + 5, false), NULL);
        } else if (!is_first && strncasecmp(text, "domain=", 7) == 0) {
            text = apr_pstrcat(r->pool, apr_pstrmemdup(r->pool, text, 7),
                               rewrite_attribute(r, dir->cookie_domains, text + 7, true), NULL);
        }
        result = result ? apr_pstrcat(r->pool, result, "; ", text, NULL) : text;
        is_first = false;
    }
    return result ? result : value;
}
