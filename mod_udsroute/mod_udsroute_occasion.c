/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_occasion.h"

static const char *find_cookie(request_rec *r, const char *name, apr_size_t *len)
{
    const udr_sticky_t sticky = {.cookie = name, .parameter = name}; /* there is no URL to look in */
    udr_session_t found;
    const char *cookies = apr_table_getm(r->pool, r->headers_in, "Cookie");
    *len = 0;
    if (!cookies || !udr_sticky_find(&found, &sticky, "", cookies)) {
        return NULL;
    }
    *len = found.value_len;
    return found.value;
}

static const char *find_key(request_rec *r, const udr_key_t *key, apr_size_t *len)
{
    const char *text = NULL;
    switch (key->kind) {
    case UDR_KEY_NONE:
        break;
    case UDR_KEY_IP:
        text = r->useragent_ip;
        break;
    case UDR_KEY_URI:
        text = r->unparsed_uri;
        break;
    case UDR_KEY_HEADER:
        text = apr_table_get(r->headers_in, key->name);
        break;
    case UDR_KEY_COOKIE:
        return find_cookie(r, key->name, len);
    case UDR_KEY_ENV:
        text = apr_table_get(r->subprocess_env, key->name);
        break;
    }
    *len = text ? strlen(text) : 0;
    return text;
}

static void find_session(udr_session_t *session, request_rec *r, const udr_balancer_settings_t *settings)
{
    const udr_sticky_t sticky = {
        .cookie = settings->session->cookie,
        .parameter = settings->session->parameter,
        .separator = (char)settings->separator,
        .ends_at_semicolon = settings->semicolon_delimits > 0,
    };
    (void)udr_sticky_find(session, &sticky, r->unparsed_uri, apr_table_getm(r->pool, r->headers_in, "Cookie"));
}

void udr_occasion_fill(udr_occasion_t *occasion, udr_session_t *session, request_rec *r, const udr_picker_t *picker)
{
    const udr_balancer_settings_t *settings = &udr_picker_balancer(picker)->settings;
    memset(occasion, 0, sizeof *occasion);
    memset(session, 0, sizeof *session);
    if (settings->session) {
        find_session(session, r, settings);
        occasion->route = session->route;
        occasion->route_len = session->route_len;
    }
    occasion->key = find_key(r, udr_picker_key(picker), &occasion->key_len);
}
