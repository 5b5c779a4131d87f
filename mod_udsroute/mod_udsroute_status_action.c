/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_action.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/mod_udsroute_status_nonce.h"
#include "mod_udsroute/mod_udsroute_status_view.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_script.h>

#include <strings.h>

/* More than any form of the page has. */
#define FIELDS_MAX 16
#define BYTES_MAX  4096

#define NOBODY "there is no such member, or no longer: load the page again"

#define FORM "application/x-www-form-urlencoded"

/* NULL: it was not sent. */
typedef struct form_t {
    const char *nonce;
    const char *member;
    const char *action;
    const char *weight;
} form_t;

static const struct {
    const char *name;
    udr_operation_t operation;
} actions[] = {
    {"enable", UDR_OPERATION_ENABLE},
    {"drain", UDR_OPERATION_DRAIN},
    {"disable", UDR_OPERATION_DISABLE},
    {"stop", UDR_OPERATION_STOP},
};
#define ACTIONS (sizeof actions / sizeof *actions)

/* For the log. */
static const char *who(const request_rec *r)
{
    return r->user ? apr_psprintf(r->pool, "%s, from %s", r->user, r->useragent_ip) : r->useragent_ip;
}

static int refuse(request_rec *r, int status, const char *why)
{
    r->status = status;
    ap_set_content_type(r, "text/plain; charset=utf-8");
    ap_rvputs(r, why, "\n", NULL);
    return OK;
}

/* --- the form --- */

static const char *read_value(const ap_form_pair_t *pair, apr_pool_t *p)
{
    char *value = NULL;
    apr_size_t len = 0;
    if (apr_brigade_pflatten(pair->value, &value, &len, p) != APR_SUCCESS) {
        return "";
    }
    return apr_pstrmemdup(p, value, len);
}

/* OK, or a status. */
static int read_form(request_rec *r, form_t *form)
{
    const struct {
        const char *name;
        const char **value;
    } fields[] = {
        {"nonce", &form->nonce}, {"member", &form->member}, {"action", &form->action}, {"weight", &form->weight}};
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    apr_array_header_t *pairs = NULL;
    if (!type || strncasecmp(type, FORM, sizeof FORM - 1) != 0) {
        return HTTP_UNSUPPORTED_MEDIA_TYPE;
    }
    int status = ap_parse_form_data(r, NULL, &pairs, FIELDS_MAX, BYTES_MAX);
    for (int i = 0; status == OK && pairs && i < pairs->nelts; i++) {
        const ap_form_pair_t *pair = &APR_ARRAY_IDX(pairs, i, const ap_form_pair_t);
        for (size_t j = 0; j < sizeof fields / sizeof *fields; j++) {
            if (strcmp(pair->name, fields[j].name) == 0) {
                *fields[j].value = read_value(pair, r->pool);
            }
        }
    }
    return status;
}

/* Browsers say where a request comes from. The nonce is what counts; this tells who has stolen it. */
static bool is_from_elsewhere(const request_rec *r)
{
    const char *site = apr_table_get(r->headers_in, "Sec-Fetch-Site");
    return site && strcasecmp(site, "same-origin") != 0 && strcasecmp(site, "none") != 0;
}

/* --- what it does --- */

/* NULL: done; else what is wrong. */
static const char *weigh(const udr_view_balancer_t *balancer, const udr_view_member_t *told, const char *text,
                         request_rec *r)
{
    udr_settings_t settings = {.load_factor = 0};
    const char *note;
    if (!text) {
        return "weight: not sent";
    }
    const char *error = *text ? udr_settings_set(&settings, "loadfactor", text, &note, r->pool) : NULL;
    if (error) {
        return error;
    }
    if (!udr_share_weigh(told->member, (apr_uint32_t)settings.load_factor)) {
        return NOBODY;
    }
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, "%s: weight of member %s of balancer %s is %s", who(r), told->name,
                  balancer->unique, *text ? text : "what the configuration says");
    return NULL;
}

static const char *act(const form_t *form, request_rec *r)
{
    udr_view_t view;
    const udr_view_balancer_t *balancer = NULL;
    if (!form->member || !form->action) {
        return "member and action must be sent";
    }
    udr_view_make(&view, 0, r->pool);
    const udr_view_member_t *told = udr_view_find(&view, form->member, &balancer);
    if (!told) {
        return NOBODY;
    }
    if (strcmp(form->action, "weight") == 0) {
        return weigh(balancer, told, form->weight, r);
    }
    for (size_t i = 0; i < ACTIONS; i++) {
        if (strcmp(form->action, actions[i].name) == 0) {
            if (!udr_share_operate(told->member, actions[i].operation)) {
                return NOBODY;
            }
            ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, "%s: %s member %s of balancer %s", who(r), form->action,
                          told->name, balancer->unique);
            return NULL;
        }
    }
    return "unknown action: enable, drain, disable, stop or weight";
}

int udr_status_action(request_rec *r)
{
    form_t form = {.nonce = NULL};
    int status = read_form(r, &form);
    if (status != OK) {
        return status;
    }
    if (!udr_status_nonce_is(form.nonce) || is_from_elsewhere(r)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      UDRNO(0048) "%s: refused to change a member: the form is not from this server's status page",
                      who(r));
        return refuse(r, HTTP_FORBIDDEN,
                      "This form is not from this server's status page, or from an earlier start of the server: load "
                      "the page again.");
    }
    const char *error = act(&form, r);
    if (error) {
        return refuse(r, HTTP_BAD_REQUEST, error);
    }
    /* Relative: to the same page, whatever path a proxy in front shows it under. */
    apr_table_setn(r->headers_out, "Location", "?");
    return HTTP_SEE_OTHER;
}
