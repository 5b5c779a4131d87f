/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_check_settings.h"

#include <apr_strings.h>

#include <string.h>
#include <strings.h>

#define LENGTH(array) (sizeof(array) / sizeof(array[0]))

#define TIMEOUT_MAX apr_time_from_sec(5)

static const struct {
    const char *name;
    const char *verb;
    bool is_11;
} methods[UDR_CHECK_METHODS] = {
    [UDR_CHECK_NONE] = {.name = "NONE"},
    [UDR_CHECK_CONNECT] = {.name = "CONNECT"},
    [UDR_CHECK_OPTIONS] = {.name = "OPTIONS", .verb = "OPTIONS"},
    [UDR_CHECK_HEAD] = {.name = "HEAD", .verb = "HEAD"},
    [UDR_CHECK_GET] = {.name = "GET", .verb = "GET"},
    [UDR_CHECK_OPTIONS11] = {.name = "OPTIONS11", .verb = "OPTIONS", .is_11 = true},
    [UDR_CHECK_HEAD11] = {.name = "HEAD11", .verb = "HEAD", .is_11 = true},
    [UDR_CHECK_GET11] = {.name = "GET11", .verb = "GET", .is_11 = true},
};

/* --- values ----------------------------------------------------------------------------------------------------------
 */

const char *udr_check_settings_read_method(void *place, const char *text, apr_pool_t *p)
{
    /* mod_proxy's word: there is no TCP here. */
    const char *word = strcasecmp(text, "TCP") ? text : "CONNECT";

    for (int i = 0; i < UDR_CHECK_METHODS; i++) {
        if (!strcasecmp(word, methods[i].name)) {
            *(int *)place = i;
            return NULL;
        }
    }
    return apr_psprintf(p,
                        "%s is none of NONE, CONNECT (or TCP: the socket is connected to), OPTIONS, HEAD, GET, "
                        "OPTIONS11, HEAD11, GET11",
                        udr_value_quote(text, p));
}

const char *udr_check_settings_read_uri(void *place, const char *text, apr_pool_t *p)
{
    apr_size_t len = 0;

    while ((unsigned char)text[len] > 0x20 && (unsigned char)text[len] < 0x7f && text[len] != '#') {
        len++;
    }
    if (!len || text[len]) {
        return apr_psprintf(p,
                            "%s is nothing to ask for: write a path, and a query if you like, such as /healthz, with "
                            "no space and no '#'; other than ASCII is written with %%",
                            udr_value_quote(text, p));
    }
    *(const char **)place = apr_pstrdup(p, text);
    return NULL;
}

const char *udr_check_settings_read_name(void *place, const char *text, apr_pool_t *p)
{
    if (!*text) {
        return apr_psprintf(p, "%s is no name", udr_value_quote(text, p));
    }
    *(const char **)place = apr_pstrdup(p, text);
    return NULL;
}

static bool is_method(int method)
{
    return method >= 0 && method < UDR_CHECK_METHODS;
}

const char *udr_check_method_name(int method)
{
    return is_method(method) ? methods[method].name : "NONE";
}

const char *udr_check_method_verb(int method)
{
    return is_method(method) ? methods[method].verb : NULL;
}

bool udr_check_method_is_11(int method)
{
    return is_method(method) && methods[method].is_11;
}

bool udr_check_settings_is_key(const char *key)
{
    static const char *const keys[] = {"hcmethod", "hcuri",   "hcinterval", "hctimeout",
                                       "hcpasses", "hcfails", "hcexpr",     "hcagent"};

    for (apr_size_t i = 0; i < LENGTH(keys); i++) {
        if (!strcasecmp(key, keys[i])) {
            return true;
        }
    }
    return false;
}

/* --- the whole -------------------------------------------------------------------------------------------------------
 */

void udr_check_settings_init(udr_check_settings_t *settings)
{
    *settings =
        (udr_check_settings_t){.method = -1, .interval = -1, .timeout = -1, .passes = -1, .fails = -1, .agent = -1};
}

const char *udr_check_settings_check(const udr_check_settings_t *settings, apr_pool_t *p)
{
    if (settings->interval >= 0 && settings->timeout > settings->interval) {
        return apr_psprintf(p,
                            "hctimeout=%" APR_TIME_T_FMT "ms is more than hcinterval=%" APR_TIME_T_FMT
                            "ms: a check has to end before the next one begins; lower the one or raise the other",
                            apr_time_as_msec(settings->timeout), apr_time_as_msec(settings->interval));
    }
    if (settings->method == UDR_CHECK_CONNECT && (settings->expr || settings->agent == 1)) {
        return apr_psprintf(p,
                            "%s looks at an answer, and hcmethod=CONNECT asks for none: write hcmethod=GET, or leave "
                            "it out",
                            settings->expr ? "hcexpr" : "hcagent");
    }
    return NULL;
}

bool udr_check_settings_lack_method(const udr_check_settings_t *settings)
{
    return settings->method < 0 &&
           (settings->uri || settings->interval >= 0 || settings->timeout >= 0 || settings->passes >= 0 ||
            settings->fails >= 0 || settings->expr || settings->template || settings->agent >= 0);
}

static void default_int(int *value, int fallback)
{
    if (*value < 0) {
        *value = fallback;
    }
}

/* The defaults; they stand nowhere else (but in docs/health.md). */
void udr_check_settings_resolve(udr_check_settings_t *settings)
{
    default_int(&settings->method, UDR_CHECK_NONE);
    if (settings->interval < 0) {
        settings->interval = apr_time_from_sec(30);
    }
    if (settings->timeout < 0) {
        settings->timeout = settings->interval < TIMEOUT_MAX ? settings->interval : TIMEOUT_MAX;
    }
    default_int(&settings->passes, 1);
    default_int(&settings->fails, 1);
    default_int(&settings->agent, 0);
}

static bool word_equal(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

bool udr_check_settings_equal(const udr_check_settings_t *a, const udr_check_settings_t *b)
{
    return a->method == b->method && word_equal(a->uri, b->uri) && a->interval == b->interval &&
           a->timeout == b->timeout && a->passes == b->passes && a->fails == b->fails && word_equal(a->expr, b->expr) &&
           word_equal(a->template, b->template) && a->agent == b->agent;
}
