/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_condition.h"
#include "mod_udsroute/udr_http1.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_main.h>
#include <http_protocol.h>

#include <strings.h>

/* Where hc('body') finds it: in the notes of the request that stands for the answer. */
#define BODY_NOTE "udsroute-check-body"

/* hc() is known in our own lines only: mod_proxy_hcheck has a function of that name, too. The configuration is read by
 * one thread. */
static udr_condition_t *being_parsed;

static const char *hc_function(ap_expr_eval_ctx_t *context, const void *data, const char *argument)
{
    const char *body = NULL;
    (void)data;
    if (context->r && strcasecmp(argument, "body") == 0) {
        body = apr_table_get(context->r->notes, BODY_NOTE);
    }
    return body ? body : "";
}

static int lookup(ap_expr_lookup_parms *parms)
{
    if (!being_parsed || parms->type != AP_EXPR_FUNC_STRING || strcasecmp(parms->name, "hc") != 0) {
        return DECLINED;
    }
    being_parsed->reads_body = true;
    *parms->func = hc_function;
    *parms->data = NULL;
    return OK;
}

void udr_condition_register(void)
{
    ap_hook_expr_lookup(lookup, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

const char *udr_condition_parse(udr_condition_t *condition, const cmd_parms *cmd, const char *text)
{
    const char *error = NULL;
    being_parsed = condition;
    condition->expression = ap_expr_parse_cmd(cmd, text, 0, &error, NULL);
    being_parsed = NULL;
    return error;
}

/* --- the answer as a request -----------------------------------------------------------------------------------------
 */

/* What expressions may ask of a connection; there is none of httpd's. */
static conn_rec *make_connection(apr_pool_t *p)
{
    conn_rec *c = apr_pcalloc(p, sizeof *c);
    c->pool = p;
    c->base_server = ap_server_conf;
    c->conn_config = ap_create_conn_config(p);
    c->notes = apr_table_make(p, 1);
    c->client_ip = apr_pstrdup(p, "127.0.0.1");
    c->local_ip = c->client_ip;
    /* Neither name nor number is looked up. */
    (void)apr_sockaddr_info_get(&c->client_addr, "127.0.0.1", APR_INET, 0, 0, p);
    c->local_addr = c->client_addr;
    c->local_host = c->client_ip;
    return c;
}

static request_rec *make_request(const udr_member_t *member, apr_pool_t *p)
{
    request_rec *r = apr_pcalloc(p, sizeof *r);
    r->pool = p;
    r->server = ap_server_conf;
    r->connection = make_connection(p);
    r->useragent_addr = r->connection->client_addr;
    r->useragent_ip = r->connection->client_ip;
    r->per_dir_config = r->server->lookup_defaults;
    r->request_config = ap_create_request_config(p);
    ap_set_core_module_config(r->request_config, apr_pcalloc(p, sizeof(core_request_config)));
    r->proxyreq = PROXYREQ_RESPONSE;
    r->headers_in = apr_table_make(p, 1);
    r->headers_out = apr_table_make(p, 12);
    r->err_headers_out = apr_table_make(p, 1);
    r->trailers_in = apr_table_make(p, 1);
    r->trailers_out = apr_table_make(p, 1);
    r->subprocess_env = apr_table_make(p, 1);
    r->notes = apr_table_make(p, 2);
    r->method = udr_check_method_verb(member->settings.check.method);
    r->method_number = ap_method_number_of(r->method);
    r->protocol = apr_pstrdup(p, udr_check_method_is_11(member->settings.check.method) ? "HTTP/1.1" : "HTTP/1.0");
    r->proto_num = udr_check_method_is_11(member->settings.check.method) ? HTTP_VERSION(1, 1) : HTTP_VERSION(1, 0);
    r->hostname = member->target->host;
    r->uri = apr_pstrdup(p, member->settings.check.uri ? member->settings.check.uri : "/");
    r->unparsed_uri = r->uri;
    r->the_request = apr_psprintf(p, "%s %s %s", r->method, r->uri, r->protocol);
    r->request_time = apr_time_now();
    return r;
}

static void take_answer(request_rec *r, const udr_answer_t *answer)
{
    udr_slice_t rest = answer->fields;
    udr_field_t field;
    r->status = answer->status;
    r->status_line = apr_psprintf(r->pool, "%d", answer->status);
    while (udr_http1_field_next(&rest, &field)) {
        apr_table_addn(r->headers_out, apr_pstrmemdup(r->pool, field.name.ptr, field.name.len),
                       apr_pstrmemdup(r->pool, field.value.ptr, field.value.len));
    }
    r->content_type = apr_table_get(r->headers_out, "Content-Type");
    if (answer->body.len > 0) {
        apr_table_setn(r->notes, BODY_NOTE, apr_pstrmemdup(r->pool, answer->body.ptr, answer->body.len));
    }
}

bool udr_condition_accepts(const udr_member_t *member, const udr_answer_t *answer, const char **why, apr_pool_t *p)
{
    request_rec *r = make_request(member, p);
    const char *error = NULL;
    take_answer(r, answer);
    int met = ap_expr_exec(r, member->condition->expression, &error);
    if (met < 0 || error) {
        *why = apr_psprintf(p, "UDSHealthExpr %s can't be evaluated: %s", member->condition->name,
                            error ? error : "no reason given");
        return false;
    }
    return met > 0;
}
