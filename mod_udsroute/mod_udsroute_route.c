/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/mod_udsroute_sethandler.h"
#include "mod_udsroute/udr_fields.h"
#include "mod_udsroute/udr_path.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_main.h>
#include <http_protocol.h>

#include <string.h>

/* With slashes that httpd did not decode left as they are. */
const char *udr_route_encode(request_rec *r, const char *path)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    return udr_path_encode(path, core->allow_encoded_slashes && !core->decode_encoded_slashes, r->pool);
}

const char *udr_route_with_query(request_rec *r, const char *path)
{
    return r->args ? apr_pstrcat(r->pool, path, "?", udr_path_protect(r->args, r->pool), NULL) : path;
}

/* What a regular expression has found, and in what. */
typedef struct found_t {
    const char *subject; /* NULL: there is no regular expression */
    bool is_raw;         /* the subject is percent-encoded still */
    ap_regmatch_t groups[AP_MAX_REG_MATCH];
} found_t;

static const char *group(request_rec *r, const found_t *found, int number)
{
    const ap_regmatch_t *match = &found->groups[number];
    if (!found->subject || match->rm_so < 0) {
        return "";
    }
    const char *text =
        apr_pstrmemdup(r->pool, found->subject + match->rm_so, (apr_size_t)(match->rm_eo - match->rm_so));
    return found->is_raw ? udr_path_protect(text, r->pool) : udr_route_encode(r, text);
}

/* The path; NULL, logged, if it leads out of the target's. */
static const char *within(request_rec *r, const udr_route_t *route, const char *path)
{
    if (udr_path_climbs(path)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            UDRNO(0017) "route '%s': what the request puts into '%s' gives '%s', whose '..' leads out of it: refused",
            route->path, route->target->path, path);
        return NULL;
    }
    return path;
}

/* The target's path with $1 … $9 and, for `interpolate`, ${NAME} from the request's environment put in; NULL, logged,
 * when one of those may not be. What is put in is encoded: it can't leave the path. What the configuration says is sent
 * as it is written there. */
static const char *resolve(request_rec *r, const udr_route_t *route, const found_t *found)
{
    const char *path = route->target->path;
    const char *result = "";
    for (const char *dollar; (dollar = strchr(path, '$')) != NULL;) {
        const char *end = dollar + 1;
        const char *put = "$";
        if (*end >= '0' && *end <= '9') {
            put = group(r, found, *end++ - '0');
        } else if (*end == '{' && strchr(end, '}') && route->is_interpolated) {
            const char *close = strchr(end, '}');
            const char *value =
                apr_table_get(r->subprocess_env, apr_pstrmemdup(r->pool, end + 1, (apr_size_t)(close - end - 1)));
            put = value ? udr_path_encode(value, false, r->pool) : "";
            end = close + 1;
        }
        result = apr_pstrcat(r->pool, result, apr_pstrmemdup(r->pool, path, (apr_size_t)(dollar - path)), put, NULL);
        path = end;
    }
    if (!*result) {
        return udr_path_protect(path, r->pool);
    }
    result = within(r, route, apr_pstrcat(r->pool, result, path, NULL));
    return result ? udr_path_protect(result, r->pool) : NULL;
}

/* The same path but for repeated slashes. */
static bool is_same_path(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++) {
        while (*a == '/' && a[1] == '/') {
            a++;
        }
        while (*b == '/' && b[1] == '/') {
            b++;
        }
    }
    return *a == *b;
}

/* nocanon may send the path as it came only where that is the path which httpd has checked and routed: not after a
 * RewriteRule with [PT], and not with dot segments. */
static bool is_raw_path_good(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    char *path = apr_pstrmemdup(r->pool, r->unparsed_uri, strcspn(r->unparsed_uri, "?"));
    if (path[0] != '/' || udr_path_climbs(path)) {
        return false;
    }
    int rc = core->allow_encoded_slashes ? ap_unescape_url_keep2f(path, core->decode_encoded_slashes)
                                         : ap_unescape_url(path);
    return rc == OK && is_same_path(path, r->uri);
}

/* The target's path, and behind it what follows the prefix: raw and with its query (nocanon), or decoded and encoded
 * anew. */
static const char *prefix_target(request_rec *r, const udr_route_t *route, apr_size_t taken)
{
    static const found_t nothing;
    const char *base = resolve(r, route, &nothing);
    if (!base) {
        return NULL;
    }
    if (route->is_raw) {
        apr_size_t raw_taken = route->regex ? 0 : udr_path_match(r->unparsed_uri, route->path);
        if ((raw_taken || route->regex) && is_raw_path_good(r)) {
            return udr_path_join(base, udr_path_protect(r->unparsed_uri + raw_taken, r->pool), r->pool);
        }
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      "nocanon: '%s' is not as it stands what was routed by '%s', '%s' is sent encoded anew",
                      r->unparsed_uri, route->path, r->uri);
    }
    /* A RewriteRule with [PT] may have put such together (/app/$1, of /x../y), and httpd does not look again. */
    const char *rest = within(r, route, udr_route_encode(r, r->uri + taken));
    return rest ? udr_route_with_query(r, udr_path_join(base, rest, r->pool)) : NULL;
}

static const char *regex_target(request_rec *r, const udr_route_t *route, found_t *found)
{
    if (!strchr(route->target->path, '$')) {
        /* As ProxyPassMatch: without a substitution the whole path follows. */
        return prefix_target(r, route, 0);
    }
    if (route->is_raw && is_raw_path_good(r)) {
        found_t raw = {.is_raw = true};
        raw.subject = apr_pstrmemdup(r->pool, r->unparsed_uri, strcspn(r->unparsed_uri, "?"));
        if (ap_regexec(route->regex, raw.subject, AP_MAX_REG_MATCH, raw.groups, 0) == 0) {
            *found = raw;
        }
    }
    const char *path = resolve(r, route, found);
    return path ? udr_route_with_query(r, udr_path_join("", path, r->pool)) : NULL;
}

static char *name_of(const char *target, apr_pool_t *p)
{
    apr_size_t len = strlen(target) + 1;
    char *name = apr_palloc(p, sizeof UDR_HANDLER + len);
    memcpy(name, UDR_HANDLER ":", sizeof UDR_HANDLER);
    memcpy(name + sizeof UDR_HANDLER, target, len);
    return name;
}

static void set_match(request_rec *r, const udr_route_t *route, const char *target)
{
    udr_match_t *match = apr_palloc(r->pool, sizeof *match);
    match->route = route;
    match->balancer = route->balancer;
    match->member = route->member;
    match->host = route->target->authority;
    match->target = target;
    match->script = NULL;
    ap_set_module_config(r->request_config, &udsroute_module, match);
    /* For logs and for modules that want a name. Ours look only whether it is still the same. */
    r->filename = name_of(target, r->pool);
    match->filename = name_of(target, r->pool);
    /* mod_dir takes DirectoryIndex for a resource that is there only under this name. Our handler goes by the match. */
    r->handler = "proxy-server";
    r->proxyreq = PROXYREQ_REVERSE;
}

const char *udr_route_target(const udr_match_t *match, const udr_member_t *member, apr_pool_t *p)
{
    const char *path = member->target->path;
    apr_size_t len = strlen(path);
    /* What follows begins with a slash. */
    if (len && path[len - 1] == '/') {
        len--;
    }
    return match->member || !len
               ? match->target
               : apr_pstrcat(p, udr_path_protect(apr_pstrmemdup(p, path, len), p), match->target, NULL);
}

const char *udr_route_host(const udr_match_t *match, const udr_member_t *member)
{
    return match->host ? match->host : member->target->authority;
}

/* DECLINED: another route may match. DONE: none may. */
static int try_route(request_rec *r, const udr_route_t *route)
{
    found_t found = {.subject = r->uri};
    apr_size_t taken = 0;
    if (route->regex) {
        if (ap_regexec(route->regex, r->uri, AP_MAX_REG_MATCH, found.groups, 0) != 0) {
            return DECLINED;
        }
    } else if ((taken = udr_path_match(r->uri, route->path)) == 0) {
        return DECLINED;
    }
    if (route->is_excluded) {
        ap_log_rerror(APLOG_MARK, APLOG_TRACE5, 0, r, "route: '%s' excludes '%s'", route->path, r->uri);
        return DONE;
    }
    const char *target = route->regex ? regex_target(r, route, &found) : prefix_target(r, route, taken);
    if (!target) {
        return HTTP_BAD_REQUEST;
    }
    set_match(r, route, target);
    ap_log_rerror(APLOG_MARK, APLOG_TRACE5, 0, r, "route: '%s' takes '%s' to %s%s as '%s'", route->path, r->uri,
                  route->member ? "member " : "", route->target->text, target);
    return OK;
}

int udr_route_translate(request_rec *r)
{
    const udr_dir_config_t *dir = udr_dir_config(r);
    const udr_server_config_t *config = udr_server_config(r->server);
    /* CONNECT asks for a tunnel, which is not a route's to give: httpd answers 405. */
    if (r->proxyreq || r->method_number == M_CONNECT || !r->uri || r->uri[0] != '/') {
        return DECLINED;
    }
    int rc = dir->route ? try_route(r, dir->route) : DECLINED;
    for (int i = 0; rc == DECLINED && i < config->routes->nelts; i++) {
        rc = try_route(r, APR_ARRAY_IDX(config->routes, i, const udr_route_t *));
    }
    return rc == DONE ? DECLINED : rc;
}

const udr_match_t *udr_route_match_again(request_rec *r)
{
    const char *filename = r->filename;
    if (!filename || strncmp(filename, UDR_HANDLER ":", sizeof(UDR_HANDLER)) != 0) {
        return NULL;
    }
    r->proxyreq = PROXYREQ_NONE;
    (void)udr_route_translate(r);
    const udr_match_t *match = udr_match_get(r);
    r->filename = (char *)(uintptr_t)filename;
    return match && strcmp(match->filename, filename) == 0 ? match : NULL;
}

static bool is_not_ours(const char *protocol, void *r_)
{
    request_rec *r = r_;
    return strncasecmp(protocol, "TLS/", 4) != 0 && !ap_is_allowed_protocol(r->connection, r, r->server, protocol);
}

/* On an adopted connection httpd itself must not go on with another protocol: an HTTP/2 session would run in the loop's
 * thread, or in that of a guest. What it would take is not offered to it; a server may ignore an offer (RFC 9110, 7.8).
 */
static void drop_own_protocols(request_rec *r)
{
    if (!apr_table_get(r->headers_in, "Upgrade")) {
        return;
    }
    const char *list = apr_table_getm(r->pool, r->headers_in, "Upgrade");
    const char *others = udr_fields_list_filter(list, is_not_ours, r, r->pool);
    apr_table_unset(r->headers_in, "Upgrade");
    if (others) {
        apr_table_setn(r->headers_in, "Upgrade", others);
    }
}

int udr_route_post_read_request(request_rec *r)
{
    if (udr_conn_get(r->connection)->adopted) {
        drop_own_protocols(r);
    }
    if (udr_server_config(ap_server_conf)->is_used) {
        udr_fields_drop_named(r->headers_in, r->pool);
        udr_conn_get(r->connection)->proto_set = NULL;
    }
    return DECLINED;
}

int udr_route_map_to_storage(request_rec *r)
{
    if (!udr_match_get(r)) {
        return DECLINED;
    }
    if (r->method_number == M_TRACE) {
        const core_server_config *core = ap_get_core_module_config(r->server->module_config);
        if (core->trace_enable == AP_TRACE_DISABLE) {
            apr_table_setn(r->notes, "error-notes", "TRACE forbidden by server configuration");
            return HTTP_METHOD_NOT_ALLOWED;
        }
    }
    return OK;
}

int udr_route_fixups(request_rec *r)
{
    if (!udr_match_get(r) && !udr_sethandler_is_ours(r)) {
        return DECLINED;
    }
    /* A CGI program knows REMOTE_ADDR and HTTPS. */
    if (udr_dir_config(r)->add_headers != 0 && !udr_sethandler_leads_to_cgi(r)) {
        apr_table_setn(r->headers_in, "X-Forwarded-Proto", ap_http_scheme(r));
        udr_conn_get(r->connection)->proto_set = r;
    }
    return OK;
}
