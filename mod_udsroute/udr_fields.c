/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_fields.h"
#include "mod_udsroute/udr_http1_syntax.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

/* Asked for each field of each message: the length and the first letter rule out nearly all. */
#define IS(text) ((name[0] | 0x20) == (text[0] | 0x20) && strncasecmp(text, name, sizeof(text) - 1) == 0)

bool udr_fields_is_hop_by_hop(const char *name, apr_size_t len)
{
    switch (len) {
    case 2:
        return IS("TE");
    case 7:
        return IS("Upgrade");
    case 10:
        return IS("Connection") || IS("Keep-Alive");
    case 16:
        return IS("Proxy-Connection");
    case 17:
        return IS("Transfer-Encoding");
    default:
        return false;
    }
}

bool udr_fields_is_framing(const char *name, apr_size_t len)
{
    switch (len) {
    case 4:
        return IS("Host");
    case 14:
        return IS("Content-Length");
    case 17:
        return IS("Transfer-Encoding");
    default:
        return false;
    }
}

/* Takes the next token from a comma-separated list; false at its end. */
static bool next_token(const char **list, const char **token, apr_size_t *len)
{
    const char *s = *list;
    while (*s == ',' || *s == ' ' || *s == '\t') {
        s++;
    }
    if (!*s) {
        return false;
    }
    *token = s;
    s += strcspn(s, ",");
    *list = s;
    while (s > *token && (s[-1] == ' ' || s[-1] == '\t')) {
        s--;
    }
    *len = (apr_size_t)(s - *token);
    return true;
}

bool udr_fields_list_has(const char *list, const char *name, apr_size_t len)
{
    const char *token;
    apr_size_t token_len;
    while (list && next_token(&list, &token, &token_len)) {
        if (token_len == len && strncasecmp(token, name, len) == 0) {
            return true;
        }
    }
    return false;
}

bool udr_fields_list_within(const char *list, const char *allowed)
{
    const char *token;
    apr_size_t len;
    bool is_within = false;
    while (next_token(&list, &token, &len)) {
        is_within = udr_fields_list_has(allowed, token, len);
        if (!is_within) {
            return false;
        }
    }
    return is_within;
}

const char *udr_fields_list_filter(const char *list, udr_fields_keeps_t *keeps, void *baton, apr_pool_t *p)
{
    const char *kept = NULL;
    const char *token;
    apr_size_t len;
    while (next_token(&list, &token, &len)) {
        const char *name = apr_pstrmemdup(p, token, len);
        /* Two words without a comma are none, and nobody knows what others make of them. */
        if (!strpbrk(name, " \t") && keeps(name, baton)) {
            kept = kept ? apr_pstrcat(p, kept, ", ", name, NULL) : name;
        }
    }
    return kept;
}

static bool is_in_list(const char *token, void *list)
{
    return udr_fields_list_has(list, token, strlen(token));
}

const char *udr_fields_list_common(const char *list, const char *allowed, apr_pool_t *p)
{
    return udr_fields_list_filter(list, is_in_list, (char *)(uintptr_t)allowed, p);
}

void udr_fields_drop_listed(apr_table_t *fields, const char *list, apr_pool_t *p)
{
    const char *token;
    apr_size_t len;
    while (list && next_token(&list, &token, &len)) {
        /* Those that concern the connection are not copied anyway, but httpd itself has to see them; and a Host or a
         * length that is gone would change what the message means. */
        if (!udr_fields_is_framing(token, len) && !udr_fields_is_hop_by_hop(token, len)) {
            apr_table_unset(fields, apr_pstrmemdup(p, token, len));
        }
    }
}

void udr_fields_drop_named(apr_table_t *fields, apr_pool_t *p)
{
    if (!apr_table_get(fields, "Connection")) {
        return;
    }
    /* The values of all Connection fields in one list, and a copy: it must not go with a field that it names. */
    udr_fields_drop_listed(fields, apr_table_getm(p, fields, "Connection"), p);
}

bool udr_fields_is_token(const char *text)
{
    if (!*text) {
        return false;
    }
    for (; *text; text++) {
        if (!udr_http1_is(*text, UDR_HTTP1_TOKEN)) {
            return false;
        }
    }
    return true;
}

bool udr_fields_is_value(const char *text)
{
    const udr_slice_t whole = {text, strlen(text)};
    return udr_http1_span_text(whole) == whole.len;
}
