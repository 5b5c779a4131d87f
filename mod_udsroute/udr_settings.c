/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_settings.h"

#include <apr_strings.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MILLISECOND APR_INT64_C(1000)
#define SECOND      APR_USEC_PER_SEC
#define HOUR        (3600 * SECOND)

typedef enum kind_t {
    KIND_INT,
    KIND_TIME,
    KIND_SIZE,
    KIND_SWITCH,   /* On sets 1 */
    KIND_OPPOSITE, /* On sets 0 */
    KIND_FLUSH,
    KIND_PEER,
    KIND_VOID /* accepted; what it is for does not exist over a Unix socket */
} kind_t;

/* All there is to know of a key but its default, which stands in udr_settings_resolve(). */
typedef struct parameter_t {
    const char *key;
    kind_t kind;
    apr_size_t offset; /* of its place in udr_settings_t */
    apr_int64_t min;   /* of a time in microseconds, of a size in bytes */
    apr_int64_t max;
    apr_int64_t unit; /* KIND_TIME: what a bare number counts, in microseconds */
    const char *why;  /* KIND_VOID: for the note */
} parameter_t;

#define PLACE(member) .offset = offsetof(udr_settings_t, member)

/* clang-format off */
static const parameter_t parameters[] = {
    {.key = "min", .kind = KIND_INT, PLACE(min), .max = 10000},
    {.key = "max", .kind = KIND_INT, PLACE(max), .max = 1000000},
    {.key = "smax", .kind = KIND_INT, PLACE(smax), .max = 1000000},
    {.key = "ttl", .kind = KIND_TIME, PLACE(ttl), .max = 24 * HOUR, .unit = SECOND},
    {.key = "acquire", .kind = KIND_TIME, PLACE(acquire), .min = MILLISECOND, .max = 24 * HOUR, .unit = MILLISECOND},
    {.key = "connectiontimeout", .kind = KIND_TIME, PLACE(connect_timeout), .min = MILLISECOND, .max = 24 * HOUR,
     .unit = SECOND},
    {.key = "timeout", .kind = KIND_TIME, PLACE(timeout), .min = MILLISECOND, .max = 24 * HOUR, .unit = SECOND},
    {.key = "enablereuse", .kind = KIND_SWITCH, PLACE(reuse)},
    {.key = "disablereuse", .kind = KIND_OPPOSITE, PLACE(reuse)},
    {.key = "flushpackets", .kind = KIND_FLUSH, PLACE(flush)},
    {.key = "flushwait", .kind = KIND_TIME, PLACE(flush_wait), .min = MILLISECOND, .max = 10 * SECOND,
     .unit = MILLISECOND},
    {.key = "iobuffersize", .kind = KIND_SIZE, PLACE(buffer_size), .min = 4 * 1024, .max = 16 * 1024 * 1024},
    {.key = "responsefieldsize", .kind = KIND_SIZE, PLACE(field_size), .min = 64, .max = 1024 * 1024},
    {.key = "peer", .kind = KIND_PEER, PLACE(peer)},
    {.key = "addressttl", .kind = KIND_VOID, .why = "no address is looked up"},
    {.key = "keepalive", .kind = KIND_VOID, .why = "the kernel knows when the other end is gone, no probes are sent"},
    {.key = "ping", .kind = KIND_VOID, .why = "a connection is examined before each use anyway"},
    {.key = "secret", .kind = KIND_VOID, .why = "it belongs to AJP; 'peer' and the socket's mode say who may speak"},
    {.key = "mapping", .kind = KIND_VOID, .why = "it belongs to servlet containers"},
};
/* clang-format on */
#define PARAMETER_COUNT (sizeof(parameters) / sizeof(parameters[0]))

static void *place_in(udr_settings_t *settings, const parameter_t *parameter)
{
    return (char *)settings + parameter->offset;
}

/* --- unknown keys ----------------------------------------------------------------------------------------------------
 */

/* Keys longer than this get no proposal. */
#define LONGEST_TYPO  31
#define FARTHEST_TYPO 2

static apr_size_t least(apr_size_t a, apr_size_t b)
{
    return a < b ? a : b;
}

/* How many bytes have to be inserted, removed or replaced to make b of a (Levenshtein), row by row. */
static apr_size_t edit_distance(const char *a, const char *b)
{
    apr_size_t row[LONGEST_TYPO + 1];
    apr_size_t columns = strlen(b);

    for (apr_size_t j = 0; j <= columns; j++) {
        row[j] = j;
    }
    for (apr_size_t i = 1; i <= strlen(a); i++) {
        apr_size_t diagonal = row[0];

        row[0] = i;
        for (apr_size_t j = 1; j <= columns; j++) {
            apr_size_t replaced = diagonal + (strncasecmp(&a[i - 1], &b[j - 1], 1) != 0);

            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[columns];
}

/* The key that was probably meant, or NULL. At least half of what was written has to be right: else "x" would be "min".
 */
static const char *nearest_key(const char *key)
{
    apr_size_t nearest = least(FARTHEST_TYPO, strlen(key) / 2) + 1;
    const char *result = NULL;

    for (apr_size_t i = 0; i < PARAMETER_COUNT && strlen(key) <= LONGEST_TYPO; i++) {
        apr_size_t distance = edit_distance(parameters[i].key, key);

        if (distance < nearest) {
            nearest = distance;
            result = parameters[i].key;
        }
    }
    return result;
}

static const char *unknown_key(const char *key, apr_pool_t *p)
{
    const char *meant = nearest_key(key);
    const char *known = parameters[0].key;

    for (apr_size_t i = 1; i < PARAMETER_COUNT; i++) {
        known = apr_pstrcat(p, known, ", ", parameters[i].key, NULL);
    }
    return apr_psprintf(p, "%s is no parameter%s%s; there are: %s", udr_value_quote(key, p),
                        meant ? ", probably meant: " : "", meant ? meant : "", known);
}

/* --- peer=user[:group] -----------------------------------------------------------------------------------------------
 */

static bool is_number(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

/* Numbers are not looked up: an id need not have a name. (uid_t)-1 means "no user" to the kernel. */
static const char *read_id(apr_uint32_t *id, const char *text, apr_pool_t *p)
{
    unsigned long long number;

    errno = 0;
    number = strtoull(text, NULL, 10);
    if (errno || number >= APR_UINT32_MAX) {
        return apr_psprintf(p, "%s is out of range: 0 to 4294967294", udr_value_quote(text, p));
    }
    *id = (apr_uint32_t)number;
    return NULL;
}

static const char *not_found(const char *what, const char *name, int error, apr_pool_t *p)
{
    if (error) {
        return apr_psprintf(p, "%s %s cannot be looked up: %s", what, udr_value_quote(name, p), strerror(error));
    }
    return apr_psprintf(p, "there is no %s %s: write a name from getent, or a number", what, udr_value_quote(name, p));
}

/* apr_uid_get() and apr_gid_get() give up on entries over a fixed size; a group of a thousand users is larger. */
static const char *find_user(uid_t *user, const char *name, apr_pool_t *p)
{
    struct passwd entry;
    struct passwd *found = NULL;
    int error = ERANGE;

    if (is_number(name)) {
        return read_id(user, name, p);
    }
    for (apr_size_t size = 1024; error == ERANGE && size <= 1024 * 1024; size *= 4) {
        error = getpwnam_r(name, &entry, apr_palloc(p, size), size, &found);
    }
    if (!found) {
        return not_found("user", name, error, p);
    }
    *user = found->pw_uid;
    return NULL;
}

static const char *find_group(gid_t *group, const char *name, apr_pool_t *p)
{
    struct group entry;
    struct group *found = NULL;
    int error = ERANGE;

    if (is_number(name)) {
        return read_id(group, name, p);
    }
    for (apr_size_t size = 1024; error == ERANGE && size <= 1024 * 1024; size *= 4) {
        error = getgrnam_r(name, &entry, apr_palloc(p, size), size, &found);
    }
    if (!found) {
        return not_found("group", name, error, p);
    }
    *group = found->gr_gid;
    return NULL;
}

static const char *read_peer(const udr_peer_t **result, const char *text, apr_pool_t *p)
{
    udr_peer_t *peer = apr_pcalloc(p, sizeof(*peer));
    const char *colon = strchr(text, ':');
    const char *user = colon ? apr_pstrmemdup(p, text, (apr_size_t)(colon - text)) : text;
    const char *error;

    if (!*user || (colon && !colon[1])) {
        return apr_psprintf(p, "%s is incomplete: write user or user:group, names or numbers",
                            udr_value_quote(text, p));
    }
    peer->text = apr_pstrdup(p, text);
    peer->check_user = true;
    if ((error = find_user(&peer->user, user, p))) {
        return error;
    }
    peer->check_group = colon != NULL;
    if (colon && (error = find_group(&peer->group, colon + 1, p))) {
        return error;
    }
    *result = peer;
    return NULL;
}

/* --- values ----------------------------------------------------------------------------------------------------------
 */

static const char *read_flush(int *result, const char *text, apr_pool_t *p)
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
            *result = (int)words[i].flush;
            return NULL;
        }
    }
    return apr_psprintf(p, "%s is none of auto, on, off", udr_value_quote(text, p));
}

static const char *read_switch(int *result, const char *text, bool opposite, apr_pool_t *p)
{
    bool on;
    const char *error = udr_value_switch(&on, text, p);

    if (!error) {
        *result = on != opposite;
    }
    return error;
}

static const char *read_value(void *place, const parameter_t *parameter, const char *value, apr_pool_t *p)
{
    switch (parameter->kind) {
    case KIND_INT:
        return udr_value_int(place, value, (int)parameter->min, (int)parameter->max, p);
    case KIND_TIME:
        return udr_value_time(place, value, parameter->unit, parameter->min, parameter->max, p);
    case KIND_SIZE:
        return udr_value_size(place, value, (apr_size_t)parameter->min, (apr_size_t)parameter->max, p);
    case KIND_SWITCH:
        return read_switch(place, value, false, p);
    case KIND_OPPOSITE:
        return read_switch(place, value, true, p);
    case KIND_FLUSH:
        return read_flush(place, value, p);
    case KIND_PEER:
        return read_peer(place, value, p);
    case KIND_VOID:
        break;
    }
    return NULL;
}

const char *udr_settings_set(udr_settings_t *settings, const char *key, const char *value, const char **note,
                             apr_pool_t *p)
{
    *note = NULL;
    for (apr_size_t i = 0; i < PARAMETER_COUNT; i++) {
        const parameter_t *parameter = &parameters[i];

        if (!strcasecmp(key, parameter->key)) {
            const char *error = read_value(place_in(settings, parameter), parameter, value, p);

            if (parameter->kind == KIND_VOID) {
                *note = apr_psprintf(p, "%s has no meaning over a Unix socket and is ignored: %s", parameter->key,
                                     parameter->why);
            }
            return error ? apr_psprintf(p, "%s: %s", parameter->key, error) : NULL;
        }
    }
    return unknown_key(key, p);
}

const char *udr_settings_check(const udr_settings_t *settings, apr_pool_t *p)
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
    };
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
void udr_settings_resolve(udr_settings_t *settings, apr_interval_time_t timeout)
{
    default_int(&settings->min, 0);
    default_int(&settings->max, 0);
    /* Without max every idle connection is over smax: ttl alone says how long it stays. */
    default_int(&settings->smax, settings->max);
    default_time(&settings->ttl, 60 * SECOND);
    default_time(&settings->timeout, timeout);
    default_time(&settings->acquire, settings->timeout);
    default_time(&settings->connect_timeout, 5 * SECOND);
    default_int(&settings->reuse, 1);
    default_int(&settings->flush, UDR_FLUSH_AUTO);
    default_time(&settings->flush_wait, 10 * MILLISECOND);
    default_size(&settings->buffer_size, 64 * 1024);
    default_size(&settings->field_size, 16 * 1024);
}

static bool peer_equal(const udr_peer_t *a, const udr_peer_t *b)
{
    if (!a || !b) {
        return a == b;
    }
    return a->check_user == b->check_user && a->check_group == b->check_group && a->user == b->user &&
           a->group == b->group && !strcmp(a->text, b->text);
}

bool udr_settings_equal(const udr_settings_t *a, const udr_settings_t *b)
{
    return a->min == b->min && a->max == b->max && a->smax == b->smax && a->ttl == b->ttl && a->acquire == b->acquire &&
           a->connect_timeout == b->connect_timeout && a->timeout == b->timeout && a->reuse == b->reuse &&
           a->flush == b->flush && a->flush_wait == b->flush_wait && a->buffer_size == b->buffer_size &&
           a->field_size == b->field_size && peer_equal(a->peer, b->peer);
}
