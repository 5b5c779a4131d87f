/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_json.h"
#include "mod_udsroute/udr_utf8.h"

#include <apr_strings.h>

#include <string.h>

static void put(udr_json_t *json, const char *text)
{
    json->write(json->baton, text, strlen(text));
}

/* --- texts --- */

static bool is_plain(const char *text, apr_size_t length)
{
    return length > 1 || (length == 1 && (unsigned char)*text >= 0x20 && *text != '"' && *text != '\\');
}

static void put_special(udr_json_t *json, unsigned char byte, apr_size_t length)
{
    char escaped[8];
    if (length == 0) {
        put(json, UDR_UTF8_REPLACEMENT);
    } else if (byte == '"' || byte == '\\') {
        const char pair[] = {'\\', (char)byte, '\0'};
        put(json, pair);
    } else {
        apr_snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        put(json, escaped);
    }
}

static void put_text(udr_json_t *json, const char *text)
{
    const char *from = text;
    const char *at = from;
    put(json, "\"");
    for (;;) {
        apr_size_t length = *at ? udr_utf8_length(at) : 0;
        if (is_plain(at, length)) {
            at += length;
            continue;
        }
        if (at > from) {
            json->write(json->baton, from, (apr_size_t)(at - from));
        }
        if (!*at) {
            break;
        }
        put_special(json, (unsigned char)*at, length);
        from = ++at;
    }
    put(json, "\"");
}

/* --- values --- */

static void begin(udr_json_t *json, const char *key)
{
    if (json->needs_comma) {
        put(json, ",");
    }
    if (key) {
        put_text(json, key);
        put(json, ":");
    }
    json->needs_comma = true;
}

static void open_bracket(udr_json_t *json, const char *key, const char *bracket)
{
    begin(json, key);
    put(json, bracket);
    json->needs_comma = false;
}

static void close_bracket(udr_json_t *json, const char *bracket)
{
    put(json, bracket);
    json->needs_comma = true;
}

void udr_json_open_object(udr_json_t *json, const char *key)
{
    open_bracket(json, key, "{");
}

void udr_json_close_object(udr_json_t *json)
{
    close_bracket(json, "}");
}

void udr_json_open_array(udr_json_t *json, const char *key)
{
    open_bracket(json, key, "[");
}

void udr_json_close_array(udr_json_t *json)
{
    close_bracket(json, "]");
}

void udr_json_null(udr_json_t *json, const char *key)
{
    begin(json, key);
    put(json, "null");
}

void udr_json_string(udr_json_t *json, const char *key, const char *text)
{
    if (!text) {
        udr_json_null(json, key);
        return;
    }
    begin(json, key);
    put_text(json, text);
}

void udr_json_number(udr_json_t *json, const char *key, apr_uint64_t number)
{
    char digits[24];
    begin(json, key);
    apr_snprintf(digits, sizeof digits, "%" APR_UINT64_T_FMT, number);
    put(json, digits);
}

void udr_json_hundredths(udr_json_t *json, const char *key, apr_uint64_t number)
{
    char digits[24];
    unsigned int rest = (unsigned int)(number % 100);
    udr_json_number(json, key, number / 100);
    if (rest) {
        apr_snprintf(digits, sizeof digits, rest % 10 ? ".%02u" : ".%u", rest % 10 ? rest : rest / 10);
        put(json, digits);
    }
}
