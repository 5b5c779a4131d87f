/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_balancer_settings.h"

#include "mod_udsroute/udr_fields.h"
#include "mod_udsroute/udr_glob.h"
#include "mod_udsroute/udr_method.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define DAY (24 * 3600 * APR_USEC_PER_SEC)

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

/* --- lbmethod --------------------------------------------------------------------------------------------------------
 */

static const char *read_method(void *place, const char *text, apr_pool_t *p)
{
    const udr_method_t *method;
    udr_key_t key;
    const char *error = udr_method_parse(&method, &key, text, p);

    if (!error) {
        *(const char **)place = apr_pstrdup(p, text);
    }
    return error;
}

/* --- sessions --------------------------------------------------------------------------------------------------------
 */

/* As mod_proxy: "NAME", or "cookie|parameter". (A token may hold a '|' itself: the first one parts, others are
 * refused.)
 */
static const char *read_session(void *place, const char *text, apr_pool_t *p)
{
    const char *bar = strchr(text, '|');
    udr_session_name_t *name = apr_palloc(p, sizeof *name);

    name->cookie = bar ? apr_pstrmemdup(p, text, (apr_size_t)(bar - text)) : apr_pstrdup(p, text);
    name->parameter = bar ? apr_pstrdup(p, bar + 1) : name->cookie;
    /* Of a token's bytes '&' and '#' mean something else in a URL. */
    if (!udr_fields_is_token(name->cookie) || !udr_fields_is_token(name->parameter) ||
        strpbrk(name->parameter, "|&#")) {
        return apr_psprintf(
            p,
            "%s is no name of a session: write that of a cookie, such as JSESSIONID, or of a cookie and "
            "of a parameter of the URL, such as 'JSESSIONID|jsessionid'",
            udr_value_quote(text, p));
    }
    *(const udr_session_name_t **)place = name;
    return NULL;
}

/* RFC 6265, 4.1.1: what may be in a cookie's value. */
static bool is_cookie_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && !strchr("\",;\\", c);
}

static const char *read_separator(void *place, const char *text, apr_pool_t *p)
{
    bool is_off = !strcasecmp(text, "Off");

    if (!is_off && (!is_cookie_char((unsigned char)text[0]) || text[1])) {
        return apr_psprintf(p,
                            "%s is no separator: write a single character such as '.' (no space, and none of \" , ; "
                            "\\), or Off",
                            udr_value_quote(text, p));
    }
    *(int *)place = is_off ? UDR_SEPARATOR_NONE : text[0];
    return NULL;
}

/* --- failures, and what is left over ---------------------------------------------------------------------------------
 */

/* As mod_proxy: codes with commas or, in quotes, spaces between them. */
static const char *read_codes(void *place, const char *text, apr_pool_t *p)
{
    apr_array_header_t *codes = apr_array_make(p, 4, sizeof(int));
    char *rest = NULL;

    for (const char *word = apr_strtok(apr_pstrdup(p, text), ", ", &rest); word; word = apr_strtok(NULL, ", ", &rest)) {
        const char *error = udr_value_int(&APR_ARRAY_PUSH(codes, int), word, 400, 599, p);

        if (error) {
            return error;
        }
    }
    if (!codes->nelts) {
        return apr_psprintf(p,
                            "%s has no status: write codes from 400 to 599 with commas between them, such as 500,503",
                            udr_value_quote(text, p));
    }
    *(const apr_array_header_t **)place = codes;
    return NULL;
}

/* What mod_proxy and its companions send requests to. */
static bool is_proxy_scheme(const char *text, apr_size_t len)
{
    static const char *const schemes[] = {"http", "https", "h2",    "h2c", "ws",      "wss",
                                          "fcgi", "scgi",  "uwsgi", "ajp", "balancer"};

    for (apr_size_t i = 0; i < LENGTH(schemes); i++) {
        if (strlen(schemes[i]) == len && !strncasecmp(text, schemes[i], len)) {
            return true;
        }
    }
    return false;
}

static const char *read_spill(void *place, const char *text, apr_pool_t *p)
{
    const char *slashes = strstr(text, "://");

    if (!strncasecmp(text, "unix:", 5)) {
        return apr_psprintf(p,
                            "%s is a Unix socket, which is not for mod_proxy: write it as a UDSMember (status=+H: for "
                            "when no other can take a request)",
                            udr_value_quote(text, p));
    }
    if (!slashes || !is_proxy_scheme(text, (apr_size_t)(slashes - text)) || !slashes[3] || slashes[3] == '/') {
        return apr_psprintf(p,
                            "%s is no URL that mod_proxy serves: write one, such as http://other.example:8080 or "
                            "balancer://others",
                            udr_value_quote(text, p));
    }
    for (const char *byte = text; *byte; byte++) {
        if (*byte == ' ' || apr_iscntrl(*byte) || strchr("?#$", *byte)) {
            return apr_psprintf(p,
                                "%s contains a space, '?', '#', '$' or a control character: write the URL without it",
                                udr_value_quote(text, p));
        }
    }
    *(const char **)place = apr_pstrdup(p, text);
    return NULL;
}

/* --- the table -------------------------------------------------------------------------------------------------------
 */

#define PLACE(member) .offset = offsetof(udr_balancer_settings_t, member)

/* All there is to know of a key but its default, which stands in udr_balancer_settings_resolve(). */
/* clang-format off */
static const udr_parameter_t parameters[] = {
    {.key = "lbmethod", .kind = UDR_PARAMETER_POINTER, PLACE(method), .read = read_method},
    {.key = "maxattempts", .kind = UDR_PARAMETER_INT, PLACE(max_attempts), .max = 1000},
    {.key = "nofailover", .kind = UDR_PARAMETER_SWITCH, PLACE(no_failover)},
    {.key = "stickysession", .kind = UDR_PARAMETER_POINTER, PLACE(session), .read = read_session},
    {.key = "stickysessionsep", .kind = UDR_PARAMETER_INT, PLACE(separator), .read = read_separator},
    {.key = "scolonpathdelim", .kind = UDR_PARAMETER_SWITCH, PLACE(semicolon_delimits)},
    {.key = "failonstatus", .kind = UDR_PARAMETER_POINTER, PLACE(failed_status), .read = read_codes},
    {.key = "failontimeout", .kind = UDR_PARAMETER_SWITCH, PLACE(fail_on_timeout)},
    {.key = "forcerecovery", .kind = UDR_PARAMETER_SWITCH, PLACE(force_recovery)},
    {.key = "timeout", .kind = UDR_PARAMETER_TIME, PLACE(timeout), .max = DAY, .unit = APR_USEC_PER_SEC},
    {.key = "growth", .kind = UDR_PARAMETER_INT, PLACE(growth), .min = 1, .max = UDR_GLOB_GROWTH_MAX},
    {.key = "spill", .kind = UDR_PARAMETER_POINTER, PLACE(spill), .read = read_spill},
};
/* clang-format on */

const udr_parameter_table_t udr_balancer_settings_table = {
    .rows = parameters,
    .count = LENGTH(parameters),
};

const char *udr_balancer_settings_set(udr_balancer_settings_t *settings, const char *key, const char *value,
                                      apr_pool_t *p)
{
    const udr_parameter_t *parameter = udr_parameter_find(&udr_balancer_settings_table, key);
    const char *note; /* these keys all mean something */

    return parameter ? udr_parameter_read(parameter, settings, value, &note, p)
                     : udr_parameter_unknown(key, &udr_balancer_settings_table, NULL, p);
}

/* --- the whole -------------------------------------------------------------------------------------------------------
 */

void udr_balancer_settings_init(udr_balancer_settings_t *settings)
{
    *settings = (udr_balancer_settings_t){
        .max_attempts = -1,
        .no_failover = -1,
        .separator = -1,
        .semicolon_delimits = -1,
        .fail_on_timeout = -1,
        .force_recovery = -1,
        .timeout = -1,
        .growth = -1,
    };
}

void udr_balancer_settings_inherit(udr_balancer_settings_t *settings, const udr_balancer_settings_t *defaults)
{
    udr_parameter_inherit(&udr_balancer_settings_table, settings, defaults);
}

static void default_int(int *value, int fallback)
{
    if (*value < 0) {
        *value = fallback;
    }
}

/* The defaults; they stand nowhere else (but in docs/balancers.md). */
void udr_balancer_settings_resolve(udr_balancer_settings_t *settings, int members, int globs)
{
    default_int(&settings->growth, 64);
    members += globs * settings->growth;
    if (!settings->method) {
        settings->method = "byrequests";
    }
    default_int(&settings->max_attempts, members > 1 ? members - 1 : 0);
    default_int(&settings->no_failover, 0);
    default_int(&settings->separator, '.');
    default_int(&settings->semicolon_delimits, 0);
    default_int(&settings->fail_on_timeout, 0);
    default_int(&settings->force_recovery, 1);
    if (settings->timeout < 0) {
        settings->timeout = 0;
    }
}
