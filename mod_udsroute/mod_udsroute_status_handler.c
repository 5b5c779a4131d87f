/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_handler.h"
#include "mod_udsroute/mod_udsroute_status_action.h"
#include "mod_udsroute/mod_udsroute_status_json.h"
#include "mod_udsroute/mod_udsroute_status_metrics.h"
#include "mod_udsroute/mod_udsroute_status_page.h"
#include "mod_udsroute/udr_accept.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_core.h>

#include <string.h>

typedef struct format_t {
    const char *name;                                      /* ?format=... */
    const char *accepts[2];                                /* the types that Accept may name */
    const char *type;                                      /* what is sent */
    unsigned int parts;                                    /* of the view */
    void (*write)(request_rec *r, const udr_view_t *view); /* fields of the response's head, too */
} format_t;

/* The first goes before where several are wanted alike. Prometheus asks for OpenMetrics first, and takes its own older
 * format as well: it goes by what the answer says. */
static const format_t formats[] = {
    {"html", {"text/html"}, "text/html; charset=utf-8", UDR_STATUS_PAGE_PARTS, udr_status_page_write},
    {"json", {"application/json"}, "application/json", UDR_STATUS_JSON_PARTS, udr_status_json_write},
    {"prometheus",
     {"text/plain", "application/openmetrics-text"},
     "text/plain; version=0.0.4; charset=utf-8",
     UDR_STATUS_METRICS_PARTS,
     udr_status_metrics_write},
};
#define FORMATS (sizeof formats / sizeof *formats)

/* The value of `format` in the query; "": there is none. */
static const char *asked_for(const request_rec *r)
{
    static const char key[] = "format=";
    const char *at = r->args;
    while (at && strncmp(at, key, sizeof key - 1) != 0) {
        at = strchr(at, '&');
        at = at ? at + 1 : NULL;
    }
    return at ? apr_pstrmemdup(r->pool, at + sizeof key - 1, strcspn(at + sizeof key - 1, "&")) : "";
}

/* Where nothing is acceptable a page is still better than an error. */
static const format_t *preferred(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    const format_t *best = formats;
    int best_quality = 0;
    apr_table_mergen(r->headers_out, "Vary", "Accept");
    for (size_t i = 0; i < FORMATS; i++) {
        for (size_t j = 0; j < 2 && formats[i].accepts[j]; j++) {
            int quality = udr_accept_quality(accept, formats[i].accepts[j]);
            if (quality > best_quality) {
                best_quality = quality;
                best = &formats[i];
            }
        }
    }
    return best;
}

/* NULL: there is no such format. */
static const format_t *choose(request_rec *r)
{
    const char *name = asked_for(r);
    if (!*name) {
        return preferred(r);
    }
    for (size_t i = 0; i < FORMATS; i++) {
        if (strcmp(name, formats[i].name) == 0) {
            return &formats[i];
        }
    }
    return NULL;
}

static void guard_response(request_rec *r)
{
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Referrer-Policy", "no-referrer");
}

int udr_status_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, UDR_STATUS_HANDLER) != 0) {
        return DECLINED;
    }
    udr_view_t view;
    bool may_act = udr_dir_config(r)->status_actions == 1;
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, M_OPTIONS, may_act ? M_POST : -1, -1);
    guard_response(r);
    if (r->method_number == M_OPTIONS) {
        return ap_send_http_options(r); /* not DECLINED: httpd's own handler would add POST */
    }
    if (r->method_number == M_POST && may_act) {
        return udr_status_action(r);
    }
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    const format_t *format = choose(r);
    if (!format) {
        r->status = HTTP_BAD_REQUEST;
        ap_set_content_type(r, "text/plain; charset=utf-8");
        ap_rputs("format: html, json or prometheus\n", r);
        return OK;
    }
    udr_view_make(&view, format->parts, r->pool);
    ap_set_content_type(r, format->type);
    format->write(r, &view); /* httpd drops the body where the method is HEAD */
    return OK;
}
