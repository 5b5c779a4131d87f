/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_cgi.h"
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/udr_path.h"
#include "mod_udsroute/udr_protocol.h"

#include <apr_file_info.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_request.h>
#include <util_script.h>

#include <string.h>
#include <strings.h>

/* What of the request's path is the script, and what comes behind it. */
typedef struct script_t {
    const char *filename;  /* NULL: none is named */
    const char *name;      /* SCRIPT_NAME */
    const char *path_info; /* "": none */
} script_t;

/* --- a script in a file, by a route ----------------------------------------------------------------------------------
 */

/* The path, decoded: scripts are opened by their names. A slash that httpd has left encoded (AllowEncodedSlashes
 * NoDecode) is no part of a name, and stays so. */
static char *decode_path(const char *target, apr_pool_t *p)
{
    apr_size_t len = strcspn(target, "?");
    char *path = apr_pstrmemdup(p, target, len);
    if (ap_unescape_url_keep2f(path, 0) != OK) {
        return apr_pstrmemdup(p, target, len); /* what somebody has written so in the configuration */
    }
    return path;
}

/* APR_NOFILE: nothing is there, or it can't be seen from here. */
static apr_filetype_e type_of(const char *name, apr_pool_t *p)
{
    apr_finfo_t info;
    return apr_stat(&info, name, APR_FINFO_TYPE, p) == APR_SUCCESS ? info.filetype : APR_NOFILE;
}

/* How many bytes of the path name a file that is there; 0: no beginning of it does, as far as can be seen from here. A
 * path has as many segments as the client likes: they are gone through from the front, no further than there are
 * directories. */
static apr_size_t find_file(const char *path, apr_pool_t *p)
{
    if (type_of(path, p) == APR_REG) {
        return strlen(path);
    }
    char *name = apr_pstrdup(p, path);
    for (char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        if (slash == name || slash[-1] == '/') {
            continue;
        }
        *slash = '\0';
        apr_filetype_e type = type_of(name, p);
        if (type != APR_DIR) {
            return type == APR_REG ? (apr_size_t)(slash - name) : 0;
        }
        *slash = '/';
    }
    return 0;
}

/* How much of the path the configuration has said, whatever is requested. */
static apr_size_t configured_length(const udr_match_t *match, const udr_member_t *member, apr_pool_t *p)
{
    const char *path = match->route->target->path;
    udr_match_t bare = *match;
    bare.target = udr_path_protect(udr_path_join("", apr_pstrmemdup(p, path, strcspn(path, "$")), p), p);
    return strlen(decode_path(udr_route_target(&bare, member, p), p));
}

/* Whether the first len bytes of the path may be taken for the script, as there is such a file. Which file a path leads
 * through is the client's choice, and an expression such as \.php$ has looked at what comes behind:
 * /uploads/picture.jpg/x.php is not to run a picture. What is not called .php has to be what the configuration names,
 * or what the same route takes with nothing behind it. */
static bool is_meant(request_rec *r, const udr_match_t *match, const udr_member_t *member, const char *path,
                     apr_size_t len)
{
    const char *path_info = path + len;
    apr_size_t uri_len = strlen(r->uri);
    apr_size_t behind = strlen(path_info);
    if (!behind || !match->route || !match->route->regex || udr_path_ends_in(path, len, ".php") ||
        len <= configured_length(match, member, r->pool)) {
        return true;
    }
    return udr_path_ends_in(r->uri, uri_len, path_info) &&
           ap_regexec(match->route->regex, apr_pstrmemdup(r->pool, r->uri, uri_len - behind), 0, NULL, 0) == 0;
}

/* Up to the slash that follows the first or last of these in the path; 0: there is none. */
static apr_size_t find_slash_behind(const char *path, const char *found)
{
    const char *slash = found ? strchr(found, '/') : NULL;
    return slash ? (apr_size_t)(slash - path) : 0;
}

/* Where the script's name ends. An application may live in another root directory or container: then its files can't be
 * seen from here, and a name goes by its suffix. */
static apr_size_t script_length(request_rec *r, const udr_match_t *match, const udr_member_t *member, const char *path)
{
    const char *way = apr_table_get(r->subprocess_env, "proxy-fcgi-pathinfo");
    apr_size_t len = 0;
    if (way && strcasecmp(way, "first-dot") == 0) {
        len = find_slash_behind(path, strchr(path, '.'));
    } else if (way && strcasecmp(way, "last-dot") == 0) {
        len = find_slash_behind(path, strrchr(path, '.'));
    } else if ((len = find_file(path, r->pool)) == 0 || !is_meant(r, match, member, path, len)) {
        const char *suffix = strstr(path, ".php/");
        len = suffix ? (apr_size_t)(suffix - path) + 4 : 0;
    }
    return len ? len : strlen(path);
}

/* The request's path without what comes behind the script. */
static const char *name_of_script(const request_rec *r, const char *path_info)
{
    return *path_info ? apr_pstrmemdup(r->pool, r->uri, (apr_size_t)ap_find_path_info(r->uri, path_info)) : r->uri;
}

/* proxy-fcgi-pathinfo=1, say: as for mod_proxy_fcgi, all of the path is PATH_INFO. For FastCGI applications that are no
 * scripts, but one program. */
static bool is_application(const request_rec *r, const udr_protocol_t *protocol)
{
    const char *way = apr_table_get(r->subprocess_env, "proxy-fcgi-pathinfo");
    return !protocol->names_script || (way && strcasecmp(way, "full") != 0 && strcasecmp(way, "first-dot") != 0 &&
                                       strcasecmp(way, "last-dot") != 0);
}

static script_t find_script(request_rec *r, const udr_match_t *match, const udr_member_t *member, const char *path)
{
    apr_size_t len = script_length(r, match, member, path);
    const char *path_info = apr_pstrdup(r->pool, path + len);
    return (script_t){
        .filename = apr_pstrmemdup(r->pool, path, len),
        .name = name_of_script(r, path_info),
        .path_info = path_info,
    };
}

/* --- an application, which is all that the route leads to ------------------------------------------------------------
 */

static const char *without_slash(const char *path, apr_pool_t *p)
{
    apr_size_t len = strlen(path);
    return len && path[len - 1] == '/' ? apr_pstrmemdup(p, path, len - 1) : path;
}

/* As PEP 3333 has it, and those who speak uwsgi and SCGI expect: SCRIPT_NAME is where the application begins, PATH_INFO
 * all that comes behind, and both together the request's path. */
static script_t find_application(request_rec *r, const char *path)
{
    apr_size_t uri_len = strlen(r->uri);
    apr_size_t len = strlen(path);
    const char *name = r->uri;
    if (len <= uri_len && strcmp(r->uri + uri_len - len, path) == 0) {
        name = apr_pstrmemdup(r->pool, r->uri, uri_len - len);
    } else if (strcmp(path, "/") != 0) {
        name = apr_pstrmemdup(r->pool, r->uri, (apr_size_t)ap_find_path_info(r->uri, path));
    }
    return (script_t){.name = without_slash(name, r->pool), .path_info = path};
}

/* --- the variables ---------------------------------------------------------------------------------------------------
 */

static void set_or_unset(apr_table_t *table, const char *name, const char *value)
{
    if (value && *value) {
        apr_table_setn(table, name, value);
    } else {
        apr_table_unset(table, name);
    }
}

/* PATH_TRANSLATED: what the path behind the script would be as a file of this site. (httpd's own way, a subrequest, is
 * in nobody's place: it would ask the routes, say where they lead, and check passwords for whatever path a client puts
 * there, on a loop perhaps.) */
static const char *translate(request_rec *r, const char *path_info)
{
    return *path_info ? apr_pstrcat(r->pool, ap_document_root(r), path_info, NULL) : NULL;
}

static void fill(request_rec *r, const script_t *script)
{
    char *filename = r->filename;
    char *path_info = r->path_info;
    /* What ap_add_cgi_vars() would make a subrequest of. */
    r->filename = apr_pstrdup(r->pool, script->filename ? script->filename : "");
    r->path_info = NULL;
    ap_add_common_vars(r);
    ap_add_cgi_vars(r);
    r->filename = filename;
    r->path_info = path_info;
    apr_table_setn(r->subprocess_env, "SCRIPT_NAME", script->name);
    set_or_unset(r->subprocess_env, "SCRIPT_FILENAME", script->filename);
    set_or_unset(r->subprocess_env, "PATH_INFO", script->path_info);
    set_or_unset(r->subprocess_env, "PATH_TRANSLATED", translate(r, script->path_info));
}

/* httpd has found the file. */
static script_t found_script(const request_rec *r, const char *filename)
{
    const char *path_info = r->path_info ? r->path_info : "";
    return (script_t){.filename = filename, .name = name_of_script(r, path_info), .path_info = path_info};
}

/* Where REDIRECT_URL is set PHP takes PATH_TRANSLATED for the script, and without that forgets PATH_INFO
 * (sapi/fpm/fpm/fpm_main.c: as if SCRIPT_FILENAME were php-cgi's, of an Action). That would be every RewriteRule of a
 * directory to index.php/$1. Who sends "proxy:fcgi://…" as SCRIPT_FILENAME is spared that, but then '?' and '%' in
 * names of files mean something else. REQUEST_URI says the same as REDIRECT_URL. */
static void drop_misunderstood(apr_table_t *env)
{
    if (apr_table_get(env, "PATH_INFO")) {
        apr_table_unset(env, "REDIRECT_URL");
    }
}

/* What says how a body came is no longer true of it: it has been read, or is sent as it comes. */
static void drop_framing(apr_table_t *env)
{
    apr_table_unset(env, "HTTP_TRANSFER_ENCODING");
    apr_table_unset(env, "CONTENT_LENGTH"); /* the protocol's own matter */
}

void udr_cgi_fill(udr_request_t *request, request_rec *r, const udr_match_t *match, const udr_member_t *member)
{
    const udr_protocol_t *protocol = member->target->scheme->protocol;
    script_t script;
    if (match->script) {
        script = found_script(r, match->script);
    } else {
        const char *path = decode_path(udr_route_target(match, member, r->pool), r->pool);
        script = is_application(r, protocol) ? find_application(r, path) : find_script(r, match, member, path);
    }
    fill(r, &script);
    if (protocol->names_script) {
        drop_misunderstood(r->subprocess_env);
    } else {
        /* As mod_proxy_uwsgi: these applications do their own authentication. PHP gets it by CGIPassAuth. */
        const char *authorization = r->user ? NULL : apr_table_get(r->headers_in, "Authorization");
        if (authorization) {
            apr_table_setn(r->subprocess_env, "HTTP_AUTHORIZATION", authorization);
        }
    }
    drop_framing(r->subprocess_env);
    request->params = r->subprocess_env;
}
