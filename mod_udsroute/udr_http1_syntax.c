/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_http1_syntax.h"

#include <stdint.h>
#include <string.h>

/* Short, for the table. */
#define TEXT  UDR_HTTP1_TEXT
#define TOKEN UDR_HTTP1_TOKEN
#define BOTH  (TEXT | TOKEN)

const unsigned char udr_http1_classes[256] = {
    ['\t'] = TEXT,        [' '] = TEXT,         ['!'] = BOTH,         ['"'] = TEXT,         ['#' ... '\''] = BOTH,
    ['(' ... ')'] = TEXT, ['*' ... '+'] = BOTH, [','] = TEXT,         ['-' ... '.'] = BOTH, ['/'] = TEXT,
    ['0' ... '9'] = BOTH, [':' ... '@'] = TEXT, ['A' ... 'Z'] = BOTH, ['[' ... ']'] = TEXT, ['^' ... 'z'] = BOTH,
    ['{'] = TEXT,         ['|'] = BOTH,         ['}'] = TEXT,         ['~'] = BOTH,         [0x80 ... 0xff] = TEXT,
};

bool udr_http1_list_next(udr_slice_t *list, udr_slice_t *element)
{
    if (!list->ptr) {
        return false;
    }
    const char *end = list->ptr + list->len;
    const char *comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
    *element = udr_http1_trimmed(list->ptr, comma ? comma : end);
    list->ptr = comma ? comma + 1 : NULL;
    list->len = comma ? (apr_size_t)(end - list->ptr) : 0;
    return true;
}

const char *udr_http1_why_not_text(char byte)
{
    switch (byte) {
    case '\0':
        return "a NUL in a line";
    case '\r':
        return "a bare CR in a line";
    default:
        return "a control character in a line";
    }
}

const char *udr_http1_why_not_name(udr_slice_t line, apr_size_t good)
{
    if (udr_http1_is_space(line.ptr[0])) {
        return "a folded field line (obs-fold)"; /* RFC 9112, 5.2 */
    }
    if (good < line.len && !udr_http1_is(line.ptr[good], TEXT)) {
        return udr_http1_why_not_text(line.ptr[good]);
    }
    if (!memchr(line.ptr, ':', line.len)) {
        return "a field line without a colon";
    }
    if (line.ptr[good] == ':') {
        return "a field without a name";
    }
    if (udr_http1_is_space(line.ptr[good])) {
        return "white space in a field name or before its colon"; /* RFC 9112, 5.1 */
    }
    return "an illegal character in a field name";
}

const char *udr_http1_parse_length(udr_slice_t text, apr_uint64_t *length)
{
    apr_uint64_t value = 0;
    if (text.len == 0) {
        return "an empty Content-Length";
    }
    for (apr_size_t i = 0; i < text.len; i++) {
        if (!udr_http1_is_digit(text.ptr[i])) {
            return "a Content-Length that is no number";
        }
        const apr_uint64_t digit = (apr_uint64_t)(text.ptr[i] - '0');
        if (value > (INT64_MAX - digit) / 10) {
            return "a Content-Length beyond 2^63-1";
        }
        value = value * 10 + digit;
    }
    *length = value;
    return NULL;
}
