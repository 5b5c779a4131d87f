/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_request.h"
#include "mod_udsroute/mod_udsroute_cgi.h"
#include "mod_udsroute/mod_udsroute_route.h"
#include "mod_udsroute/udr_fields.h"
#include "mod_udsroute/udr_protocol.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* LimitRequestBody, where somebody has set it: its default (1 GiB) is httpd's care for files, not for what is passed
 * on. */
static bool is_over_limit(const request_rec *r, apr_off_t length)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    return core->limit_req_body > 0 && length > core->limit_req_body;
}

static int fill_body(udr_request_t *request, request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    const char *coding = apr_table_get(r->headers_in, "Transfer-Encoding");
    request->body = UDR_BODY_NONE;
    /* A subrequest has none of its own; a request for an error page is a GET with the fields of the one that failed. */
    if (r->main || (r->prev && ap_is_HTTP_ERROR(r->prev->status))) {
        return OK;
    }
    if (coding) {
        request->body = UDR_BODY_CHUNKED;
    } else if (length) {
        apr_off_t bytes;
        if (!ap_parse_strict_length(&bytes, length)) {
            return HTTP_BAD_REQUEST;
        }
        if (is_over_limit(r, bytes)) {
            return HTTP_REQUEST_ENTITY_TOO_LARGE;
        }
        request->body = UDR_BODY_LENGTH;
        request->length = (apr_uint64_t)bytes;
        /* A filter (mod_deflate's INFLATE, say) may make it another length. */
        if (bytes > 0 && r->input_filters != r->proto_input_filters) {
            request->body = UDR_BODY_CHUNKED;
        }
    }
    request->expect_continue = r->expecting_100 && r->proto_num >= HTTP_VERSION(1, 1) &&
                               (request->body == UDR_BODY_CHUNKED || request->length > 0);
    return OK;
}

/* ANY is any other protocol: requests in HTTP/2 or in another TLS within the tunnel would go past httpd's routes and
 * access rules. Whoever wants that names it. */
static bool is_no_http(const char *protocol, void *nothing)
{
    (void)nothing;
    return strcasecmp(protocol, "h2c") != 0 && strncasecmp(protocol, "HTTP/", 5) != 0 &&
           strncasecmp(protocol, "TLS/", 4) != 0;
}

/* RFC 9110, 7.8. What the client offers to go on with, and the member may be asked for. A page within a page, an HTTP/2
 * stream and a request for an error page can't go on with anything else. */
static const char *offered_protocols(request_rec *r, const char *allowed)
{
    const char *connection = apr_table_getm(r->pool, r->headers_in, "Connection");
    const char *upgrade = apr_table_getm(r->pool, r->headers_in, "Upgrade");
    if (!upgrade || !connection || !udr_fields_list_has(connection, "Upgrade", 7) ||
        r->proto_num < HTTP_VERSION(1, 1) || r->main || r->prev || r->connection->master ||
        strcmp(allowed, UDR_UPGRADE_NONE) == 0) {
        return NULL;
    }
    return strcmp(allowed, UDR_UPGRADE_ANY) == 0 ? udr_fields_list_filter(upgrade, is_no_http, NULL, r->pool)
                                                 : udr_fields_list_common(upgrade, allowed, r->pool);
}

static bool is_dropped(const request_rec *r, const char *name)
{
    if ((*name | 0x20) == 'p') {
        /* CVE-2016-5385: CGI programs would take it for the variable HTTP_PROXY. */
        if (strcasecmp(name, "Proxy") == 0) {
            return true;
        }
        /* Used up here. */
        if (r->user && strcasecmp(name, "Proxy-Authorization") == 0) {
            return true;
        }
    }
    /* A subrequest wants the whole thing, whatever the client has. */
    return r->main && (strncasecmp(name, "If-", 3) == 0 || strcasecmp(name, "Range") == 0);
}

const char *udr_request_via(request_rec *r, int major, int minor)
{
    udr_via_t via = udr_server_config(r->server)->via;
    if (via != UDR_VIA_ON && via != UDR_VIA_FULL) {
        return NULL;
    }
    const char *name = ap_get_server_name(r);
    /* What the client calls us is no name of ours. */
    if (name == r->hostname) {
        name = r->server->server_hostname;
    }
    return apr_psprintf(r->pool, "%d.%d %s%s%s%s", major, minor, name, via == UDR_VIA_FULL ? " (" : "",
                        via == UDR_VIA_FULL ? ap_get_server_banner() : "", via == UDR_VIA_FULL ? ")" : "");
}

/* may_have: whether such fields may be there. */
static void add_forwarded(apr_table_t *fields, request_rec *r, bool may_have)
{
    void (*add)(apr_table_t *, const char *, const char *) = may_have ? apr_table_mergen : apr_table_addn;
    const char *host = apr_table_get(r->headers_in, "Host");
    add(fields, "X-Forwarded-For", r->useragent_ip);
    if (host) {
        add(fields, "X-Forwarded-Host", host);
    }
    add(fields, "X-Forwarded-Server", r->server->server_hostname);
}

/* In what the member gets only: who else may serve it (`spill`) counts, too. It is a number above 0. */
static void count_hop(apr_table_t *fields, request_rec *r)
{
    const char *hops = apr_table_get(fields, "Max-Forwards");
    if (hops && (r->method_number == M_TRACE || r->method_number == M_OPTIONS)) {
        apr_table_setn(fields, "Max-Forwards", apr_itoa(r->pool, atoi(hops) - 1));
    }
}

static apr_table_t *make_fields(request_rec *r)
{
    const apr_array_header_t *array = apr_table_elts(r->headers_in);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)array->elts;
    apr_table_t *fields = apr_table_make(r->pool, array->nelts + 4);
    bool drops_via = udr_server_config(r->server)->via == UDR_VIA_BLOCK;
    bool has_forwarded = false; /* perhaps: X-… other than what our own hook has set */
    for (int i = 0; i < array->nelts; i++) {
        has_forwarded |= (*entries[i].key | 0x20) == 'x' && strcasecmp(entries[i].key, "X-Forwarded-Proto") != 0;
        if (!is_dropped(r, entries[i].key) && !(drops_via && strcasecmp(entries[i].key, "Via") == 0)) {
            apr_table_addn(fields, entries[i].key, entries[i].val);
        }
    }
    count_hop(fields, r);
    const char *via = udr_request_via(r, HTTP_VERSION_MAJOR(r->proto_num), HTTP_VERSION_MINOR(r->proto_num));
    if (via) {
        apr_table_mergen(fields, "Via", via);
    }
    if (udr_dir_config(r)->add_headers != 0) {
        /* A request that became ours only after fixups (DirectoryIndex, FallbackResource) has the client's own still.
         */
        if (udr_conn_get(r->connection)->proto_set != r) {
            apr_table_setn(fields, "X-Forwarded-Proto", ap_http_scheme(r));
        }
        add_forwarded(fields, r, has_forwarded);
    }
    return fields;
}

void udr_request_address(udr_request_t *request, request_rec *r, const udr_match_t *match, const udr_member_t *member)
{
    const char *host = NULL;
    request->target = udr_route_target(match, member, r->pool);
    if (udr_dir_config(r)->preserve_host > 0) {
        host = apr_table_get(r->headers_in, "Host");
        if (!host) {
            host = r->server->server_hostname; /* HTTP/1.0 may come without */
        }
    }
    request->host = host ? host : udr_route_host(match, member);
    if (member->target->scheme->protocol->is_cgi) {
        udr_cgi_fill(request, r, match, member);
    } else {
        request->upgrade = offered_protocols(r, member->settings.upgrade);
    }
}

int udr_request_fill(udr_request_t *request, request_rec *r, bool is_cgi)
{
    memset(request, 0, sizeof *request);
    request->method = r->method;
    const char *te = apr_table_get(r->headers_in, "TE");
    request->accepts_trailers = te && udr_fields_list_has(te, "trailers", 8);
    /* mod_proxy's own variable. */
    request->is_lone = apr_table_get(r->subprocess_env, "proxy-nokeepalive") != NULL;
    int rc = fill_body(request, r);
    if (rc == OK) {
        request->fields = is_cgi ? apr_table_make(r->pool, 1) : make_fields(r);
    }
    return rc;
}
