/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_check_request.h"
#include "mod_udsroute/udr_protocol.h"

#include <apr_strings.h>

#include <string.h>

#define USER_AGENT "mod_udsroute (health check)"

/* What a request substitutes in the member's path ($1, ${NAME}) a check can't: there hcuri stands alone. */
static const char *path_of(const udr_member_t *member)
{
    return strchr(member->target->path, '$') ? "" : member->target->path;
}

/* hcuri behind the member's path, with one slash between. */
static const char *target_of(const udr_member_t *member, const char *verb, apr_pool_t *p)
{
    const char *path = path_of(member);
    const char *uri = member->settings.check.uri;
    apr_size_t len = strlen(path);
    if (!uri) {
        /* RFC 9110, 9.3.7: of the server as a whole. */
        return strcmp(verb, "OPTIONS") == 0 && !member->target->scheme->protocol->is_cgi ? "*" : (*path ? path : "/");
    }
    if (*uri == '?') {
        return apr_pstrcat(p, *path ? path : "/", uri, NULL);
    }
    len -= len > 0 && path[len - 1] == '/';
    return apr_psprintf(p, "%.*s%s%s", (int)len, path, *uri == '/' ? "" : "/", uri);
}

static const char *without_query(const char *uri, apr_pool_t *p)
{
    return apr_pstrmemdup(p, uri, strcspn(uri, "?"));
}

/* RFC 3875, 4.1. The member's path is where scripts are, hcuri what of them a client would ask for: PHP-FPM answers its
 * ping.path by SCRIPT_NAME. */
static const apr_table_t *make_params(const udr_request_t *request, const udr_member_t *member, apr_pool_t *p)
{
    const udr_target_t *target = member->target;
    const char *uri = member->settings.check.uri;
    const char *query = strchr(request->target, '?');
    apr_table_t *params = apr_table_make(p, 16);
    uri = !uri || *uri == '?' ? apr_pstrcat(p, "/", uri, NULL) : uri;
    uri = *uri == '/' ? uri : apr_pstrcat(p, "/", uri, NULL);
    apr_table_setn(params, "GATEWAY_INTERFACE", "CGI/1.1");
    apr_table_setn(params, "SERVER_SOFTWARE", "mod_udsroute");
    apr_table_setn(params, "SERVER_PROTOCOL", request->is_http10 ? "HTTP/1.0" : "HTTP/1.1");
    apr_table_setn(params, "SERVER_NAME", target->host);
    apr_table_setn(params, "SERVER_PORT", "80");
    apr_table_setn(params, "REMOTE_ADDR", "127.0.0.1");
    apr_table_setn(params, "REQUEST_METHOD", request->method);
    apr_table_setn(params, "REQUEST_URI", uri);
    apr_table_setn(params, "QUERY_STRING", query ? query + 1 : "");
    apr_table_setn(params, "HTTP_HOST", request->host);
    apr_table_setn(params, "HTTP_USER_AGENT", USER_AGENT);
    if (target->scheme->protocol->names_script) {
        apr_table_setn(params, "SCRIPT_NAME", without_query(uri, p));
        apr_table_setn(params, "SCRIPT_FILENAME", without_query(request->target, p));
    } else {
        apr_table_setn(params, "SCRIPT_NAME", "");
        apr_table_setn(params, "PATH_INFO", without_query(request->target, p));
    }
    return params;
}

bool udr_check_request_fill(udr_request_t *request, const udr_member_t *member, apr_pool_t *p)
{
    int method = member->settings.check.method;
    const char *verb = udr_check_method_verb(method);
    if (!verb) {
        return false;
    }
    apr_table_t *fields = apr_table_make(p, 1);
    apr_table_setn(fields, "User-Agent", USER_AGENT);
    *request = (udr_request_t){.method = verb,
                               .target = target_of(member, verb, p),
                               .host = member->target->authority,
                               .fields = fields,
                               .is_http10 = !udr_check_method_is_11(method)};
    if (member->target->scheme->protocol->is_cgi) {
        request->params = make_params(request, member, p);
    }
    return true;
}
