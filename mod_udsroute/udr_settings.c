/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_settings.h"

#include "mod_udsroute/udr_fields.h"
#include "mod_udsroute/udr_health.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define MILLISECOND APR_INT64_C(1000)
#define SECOND      APR_USEC_PER_SEC
#define HOUR        (3600 * SECOND)

/* As mod_proxy has it, less the NUL. */
#define LONGEST_ROUTE 63

/* --- values ----------------------------------------------------------------------------------------------------------
 */

static const char *read_flush(void *place, const char *text, apr_pool_t *p)
{
    static const struct {
        const char *word;
        udr_flush_t flush;
    } words[] = {
        {.word = "auto", .flush = UDR_FLUSH_AUTO},
        {.word = "on", .flush = UDR_FLUSH_ON},
        {.word = "off", .flush = UDR_FLUSH_OFF},
    };

    for (apr_size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcasecmp(text, words[i].word)) {
            *(int *)place = (int)words[i].flush;
            return NULL;
        }
    }
    return apr_psprintf(p, "%s is none of auto, on, off", udr_value_quote(text, p));
}

/* RFC 9110, 7.8: protocol-name ["/" protocol-version], each a token. */
static bool is_protocol(const char *text, apr_pool_t *p)
{
    const char *slash = strchr(text, '/');
    const char *name = slash ? apr_pstrmemdup(p, text, (apr_size_t)(slash - text)) : text;
    return udr_fields_is_token(name) && (!slash || udr_fields_is_token(slash + 1));
}

static const char *read_upgrade(void *place, const char *text, apr_pool_t *p)
{
    const char **result = place;
    char *rest = NULL;
    if (!strcasecmp(text, UDR_UPGRADE_ANY) || !strcasecmp(text, UDR_UPGRADE_NONE)) {
        *result = strcasecmp(text, UDR_UPGRADE_ANY) ? UDR_UPGRADE_NONE : UDR_UPGRADE_ANY;
        return NULL;
    }
    const char *word = apr_strtok(apr_pstrdup(p, text), ",", &rest);
    const char *known = word;
    for (; word; word = apr_strtok(NULL, ",", &rest)) {
        if (!is_protocol(word, p) || !strcasecmp(word, UDR_UPGRADE_ANY) || !strcasecmp(word, UDR_UPGRADE_NONE) ||
            !strcasecmp(word, "On") || !strcasecmp(word, "Off")) {
            known = NULL;
            break;
        }
    }
    if (!known) {
        return apr_psprintf(p,
                            "%s is no list of protocols: write websocket, ANY, NONE, or names with commas between them",
                            udr_value_quote(text, p));
    }
    *result = apr_pstrdup(p, text);
    return NULL;
}

static const char *read_peer(void *place, const char *text, apr_pool_t *p)
{
    const udr_peer_t **result = place;
    return udr_peer_parse(result, text, p);
}

/* A session's route comes back in a cookie or in the URL: RFC 6265, 4.1.1, less what ends a parameter there. */
static bool is_route_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && !strchr("\",;\\?&#", c);
}

static const char *read_route(void *place, const char *text, apr_pool_t *p)
{
    apr_size_t len = 0;

    while (is_route_char((unsigned char)text[len])) {
        len++;
    }
    if (!len || text[len] || len > LONGEST_ROUTE) {
        return apr_psprintf(p,
                            "%s is no route: write 1 to %d letters, digits and signs such as '-', '.' and '_', but no "
                            "space and none of \" , ; \\ ? & #",
                            udr_value_quote(text, p), LONGEST_ROUTE);
    }
    *(const char **)place = apr_pstrdup(p, text);
    return NULL;
}

static int status_bit(char letter)
{
    static const struct {
        char letter;
        int bit;
    } letters[] = {
        {.letter = 'D', .bit = UDR_STATUS_DISABLED},      {.letter = 'S', .bit = UDR_STATUS_STOPPED},
        {.letter = 'I', .bit = UDR_STATUS_IGNORE_ERRORS}, {.letter = 'R', .bit = UDR_STATUS_SPARE},
        {.letter = 'H', .bit = UDR_STATUS_STANDBY},       {.letter = 'E', .bit = UDR_STATUS_ERROR},
        {.letter = 'N', .bit = UDR_STATUS_DRAINING},
    };

    for (apr_size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if (apr_toupper(letter) == letters[i].letter) {
            return letters[i].bit;
        }
    }
    return 0;
}

/* As mod_proxy: a sign counts for the letters behind it up to the next, and before the first it is '+'. */
static const char *read_status(void *place, const char *text, apr_pool_t *p)
{
    bool is_set = true;
    int status = 0;

    for (const char *s = text; *s || s == text; s++) {
        if (*s == '+' || *s == '-') {
            is_set = *s++ == '+';
        }
        int bit = status_bit(*s);

        if (!bit) {
            return apr_psprintf(p,
                                "%s is no status: write letters with '+' or '-' before them, such as +D; D disabled, S "
                                "stopped, I ignore errors, R spare, H hot standby, E error, N drain",
                                udr_value_quote(text, p));
        }
        status = is_set ? status | bit : status & ~bit;
    }
    *(int *)place = status;
    return NULL;
}

/* --- the table -------------------------------------------------------------------------------------------------------
 */

#define PLACE(member) .offset = offsetof(udr_settings_t, member)

/* All there is to know of a key but its default, which stands in udr_settings_resolve(). */
/* clang-format off */
static const udr_parameter_t parameters[] = {
    {.key = "min", .kind = UDR_PARAMETER_INT, PLACE(min), .max = 10000},
    {.key = "max", .kind = UDR_PARAMETER_INT, PLACE(max), .max = 1000000},
    {.key = "smax", .kind = UDR_PARAMETER_INT, PLACE(smax), .max = 1000000},
    {.key = "ttl", .kind = UDR_PARAMETER_TIME, PLACE(ttl), .max = 24 * HOUR, .unit = SECOND},
    {.key = "acquire", .kind = UDR_PARAMETER_TIME, PLACE(acquire), .min = MILLISECOND, .max = 24 * HOUR,
     .unit = MILLISECOND},
    {.key = "connectiontimeout", .kind = UDR_PARAMETER_TIME, PLACE(connect_timeout), .min = MILLISECOND,
     .max = 24 * HOUR, .unit = SECOND},
    {.key = "timeout", .kind = UDR_PARAMETER_TIME, PLACE(timeout), .min = MILLISECOND, .max = 24 * HOUR,
     .unit = SECOND},
    {.key = "enablereuse", .kind = UDR_PARAMETER_SWITCH, PLACE(reuse)},
    {.key = "disablereuse", .kind = UDR_PARAMETER_OPPOSITE, PLACE(reuse)},
    {.key = "flushpackets", .kind = UDR_PARAMETER_INT, PLACE(flush), .read = read_flush},
    {.key = "flushwait", .kind = UDR_PARAMETER_TIME, PLACE(flush_wait), .min = MILLISECOND, .max = 10 * SECOND,
     .unit = MILLISECOND},
    {.key = "iobuffersize", .kind = UDR_PARAMETER_SIZE, PLACE(buffer_size), .min = 4 * 1024, .max = 16 * 1024 * 1024},
    {.key = "responsefieldsize", .kind = UDR_PARAMETER_SIZE, PLACE(field_size), .min = 64, .max = 1024 * 1024},
    {.key = "peer", .kind = UDR_PARAMETER_POINTER, PLACE(peer), .read = read_peer},
    {.key = "upgrade", .kind = UDR_PARAMETER_POINTER, PLACE(upgrade), .read = read_upgrade},
    {.key = "maxconn", .kind = UDR_PARAMETER_INT, PLACE(maxconn), .max = 1000000},
    {.key = "queue", .kind = UDR_PARAMETER_TIME, PLACE(queue), .max = 24 * HOUR, .unit = SECOND},
    {.key = "hold", .kind = UDR_PARAMETER_TIME, PLACE(hold), .max = HOUR, .unit = SECOND},
    {.key = "retry", .kind = UDR_PARAMETER_TIME, PLACE(retry), .max = 24 * HOUR, .unit = SECOND},
    {.key = "slowstart", .kind = UDR_PARAMETER_TIME, PLACE(slow_start), .max = 24 * HOUR, .unit = SECOND},
    {.key = "loadfactor", .kind = UDR_PARAMETER_HUNDREDTHS, PLACE(load_factor), .min = 100, .max = 10000},
    {.key = "lbset", .kind = UDR_PARAMETER_INT, PLACE(lbset), .max = 99},
    {.key = "route", .kind = UDR_PARAMETER_POINTER, PLACE(route), .read = read_route},
    {.key = "redirect", .kind = UDR_PARAMETER_POINTER, PLACE(redirect), .read = read_route},
    {.key = "status", .kind = UDR_PARAMETER_INT, PLACE(status), .read = read_status},
    {.key = "hcmethod", .kind = UDR_PARAMETER_INT, PLACE(check.method), .read = udr_check_settings_read_method},
    {.key = "hcuri", .kind = UDR_PARAMETER_POINTER, PLACE(check.uri), .read = udr_check_settings_read_uri},
    {.key = "hcinterval", .kind = UDR_PARAMETER_TIME, PLACE(check.interval), .min = 100 * MILLISECOND,
     .max = 24 * HOUR, .unit = SECOND},
    {.key = "hctimeout", .kind = UDR_PARAMETER_TIME, PLACE(check.timeout), .min = MILLISECOND, .max = 24 * HOUR,
     .unit = SECOND},
    {.key = "hcpasses", .kind = UDR_PARAMETER_INT, PLACE(check.passes), .min = 1, .max = UDR_HEALTH_COUNT_MAX},
    {.key = "hcfails", .kind = UDR_PARAMETER_INT, PLACE(check.fails), .min = 1, .max = UDR_HEALTH_COUNT_MAX},
    {.key = "hcexpr", .kind = UDR_PARAMETER_POINTER, PLACE(check.expr), .read = udr_check_settings_read_name},
    {.key = "hctemplate", .kind = UDR_PARAMETER_POINTER, PLACE(check.template), .read = udr_check_settings_read_name},
    {.key = "hcagent", .kind = UDR_PARAMETER_SWITCH, PLACE(check.agent)},
    {.key = "addressttl", .kind = UDR_PARAMETER_VOID, .why = "no address is looked up"},
    {.key = "keepalive", .kind = UDR_PARAMETER_VOID,
     .why = "the kernel knows when the other end is gone, no probes are sent"},
    {.key = "ping", .kind = UDR_PARAMETER_VOID, .why = "a connection is examined before each use anyway"},
    {.key = "secret", .kind = UDR_PARAMETER_VOID,
     .why = "it belongs to AJP; 'peer' and the socket's mode say who may speak"},
    {.key = "mapping", .kind = UDR_PARAMETER_VOID, .why = "it belongs to servlet containers"},
};
/* clang-format on */

const udr_parameter_table_t udr_settings_table = {
    .rows = parameters,
    .count = sizeof(parameters) / sizeof(parameters[0]),
};

const char *udr_settings_set(udr_settings_t *settings, const char *key, const char *value, const char **note,
                             apr_pool_t *p)
{
    const udr_parameter_t *parameter = udr_parameter_find(&udr_settings_table, key);

    *note = NULL;
    return parameter ? udr_parameter_read(parameter, settings, value, note, p)
                     : udr_parameter_unknown(key, &udr_settings_table, NULL, p);
}

bool udr_settings_is_individual(const char *key)
{
    return !strcasecmp(key, "route") || !strcasecmp(key, "redirect") || !strcasecmp(key, "status");
}

static const char *check_connections(const udr_settings_t *settings, apr_pool_t *p)
{
    /* max=0 and no max: there is no limit to be over. */
    if (settings->max <= 0) {
        return NULL;
    }
    if (settings->min > settings->max) {
        return apr_psprintf(p, "min=%d is more than max=%d: lower the one or raise the other", settings->min,
                            settings->max);
    }
    if (settings->smax > settings->max) {
        return apr_psprintf(p, "smax=%d is more than max=%d: lower the one or raise the other", settings->smax,
                            settings->max);
    }
    return NULL;
}

const char *udr_settings_check(const udr_settings_t *settings, apr_pool_t *p)
{
    const char *error = check_connections(settings, p);

    return error ? error : udr_check_settings_check(&settings->check, p);
}

/* --- the whole -------------------------------------------------------------------------------------------------------
 */

void udr_settings_init(udr_settings_t *settings)
{
    *settings = (udr_settings_t){
        .min = -1,
        .max = -1,
        .smax = -1,
        .ttl = -1,
        .acquire = -1,
        .connect_timeout = -1,
        .timeout = -1,
        .reuse = -1,
        .flush = -1,
        .flush_wait = -1,
        .maxconn = -1,
        .queue = -1,
        .hold = -1,
        .retry = -1,
        .slow_start = -1,
        .load_factor = -1,
        .lbset = -1,
        .status = -1,
    };
    udr_check_settings_init(&settings->check);
}

void udr_settings_inherit(udr_settings_t *settings, const udr_settings_t *defaults)
{
    udr_parameter_inherit(&udr_settings_table, settings, defaults);
}

static void default_int(int *value, int fallback)
{
    if (*value < 0) {
        *value = fallback;
    }
}

static void default_time(apr_interval_time_t *value, apr_interval_time_t fallback)
{
    if (*value < 0) {
        *value = fallback;
    }
}

static void default_size(apr_size_t *value, apr_size_t fallback)
{
    if (*value == 0) {
        *value = fallback;
    }
}

/* The defaults; they stand nowhere else (but in docs/targets.md). */
void udr_settings_resolve(udr_settings_t *settings, apr_interval_time_t timeout, bool is_exclusive)
{
    default_int(&settings->min, 0);
    default_int(&settings->max, 0);
    /* Without max every idle connection is over smax: ttl alone says how long it stays. */
    default_int(&settings->smax, settings->max);
    default_time(&settings->ttl, (is_exclusive ? 5 : 60) * SECOND);
    default_time(&settings->timeout, timeout);
    default_time(&settings->acquire, settings->timeout);
    default_time(&settings->connect_timeout, 5 * SECOND);
    default_int(&settings->reuse, 1);
    default_int(&settings->flush, UDR_FLUSH_AUTO);
    default_time(&settings->flush_wait, 10 * MILLISECOND);
    if (!settings->upgrade) {
        settings->upgrade = "websocket";
    }
    default_size(&settings->buffer_size, 64 * 1024);
    default_size(&settings->field_size, 16 * 1024);
    default_int(&settings->maxconn, 0);
    default_time(&settings->queue, settings->timeout);
    default_time(&settings->hold, 2 * SECOND);
    default_time(&settings->retry, SECOND);
    default_time(&settings->slow_start, 0);
    default_int(&settings->load_factor, 100);
    default_int(&settings->lbset, 0);
    default_int(&settings->status, 0);
    udr_check_settings_resolve(&settings->check);
}

/* Names of protocols: case makes no difference. */
static bool upgrade_equal(const char *a, const char *b)
{
    return a && b ? !strcasecmp(a, b) : a == b;
}

static bool word_equal(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool place_equal(const udr_settings_t *a, const udr_settings_t *b)
{
    return a->load_factor == b->load_factor && a->lbset == b->lbset && a->status == b->status &&
           a->slow_start == b->slow_start && word_equal(a->route, b->route) && word_equal(a->redirect, b->redirect);
}

bool udr_settings_equal(const udr_settings_t *a, const udr_settings_t *b)
{
    return a->min == b->min && a->max == b->max && a->smax == b->smax && a->ttl == b->ttl && a->acquire == b->acquire &&
           a->connect_timeout == b->connect_timeout && a->timeout == b->timeout && a->reuse == b->reuse &&
           a->flush == b->flush && a->flush_wait == b->flush_wait && a->buffer_size == b->buffer_size &&
           a->field_size == b->field_size && a->maxconn == b->maxconn && a->queue == b->queue && a->hold == b->hold &&
           a->retry == b->retry && upgrade_equal(a->upgrade, b->upgrade) && udr_peer_equal(a->peer, b->peer) &&
           place_equal(a, b) && udr_check_settings_equal(&a->check, &b->check);
}
