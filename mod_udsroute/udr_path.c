/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_path.h"

#include <apr_strings.h>

#include <string.h>

static const char hex[] = "0123456789ABCDEF";

/* RFC 3986, 3.3: pchar = unreserved / pct-encoded / sub-delims / ":" / "@"; and the '/' between segments. */
static const bool is_path_char[256] = {
    ['!'] = true,         ['$'] = true, ['&' ... ';'] = true, ['='] = true,
    ['@' ... 'Z'] = true, ['_'] = true, ['a' ... 'z'] = true, ['~'] = true,
};

static bool is_encoded_slash(const char *s)
{
    return s[0] == '%' && s[1] == '2' && (s[2] == 'F' || s[2] == 'f');
}

static bool is_safe_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

static char *put_encoded(char *out, unsigned char c)
{
    *out++ = '%';
    *out++ = hex[c >> 4];
    *out++ = hex[c & 15];
    return out;
}

const char *udr_path_encode(const char *path, bool keep_encoded_slash, apr_pool_t *p)
{
    char *result = apr_palloc(p, 3 * strlen(path) + 1);
    char *out = result;
    for (const char *s = path; *s; s++) {
        if (is_path_char[(unsigned char)*s] || (keep_encoded_slash && is_encoded_slash(s))) {
            *out++ = *s;
        } else {
            out = put_encoded(out, (unsigned char)*s);
        }
    }
    *out = '\0';
    return result;
}

const char *udr_path_protect(const char *text, apr_pool_t *p)
{
    const char *s = text;
    while (*s && is_safe_char((unsigned char)*s)) {
        s++;
    }
    if (!*s) {
        return text;
    }
    char *result = apr_palloc(p, 3 * strlen(text) + 1);
    char *out = result;
    for (s = text; *s; s++) {
        if (is_safe_char((unsigned char)*s)) {
            *out++ = *s;
        } else {
            out = put_encoded(out, (unsigned char)*s);
        }
    }
    *out = '\0';
    return result;
}

/* A dot, plain or encoded; returns its length, 0 for anything else. */
static apr_size_t dot_length(const char *s)
{
    if (*s == '.') {
        return 1;
    }
    return s[0] == '%' && s[1] == '2' && (s[2] == 'E' || s[2] == 'e') ? 3 : 0;
}

bool udr_path_climbs(const char *path)
{
    for (const char *segment = path; segment; segment = strchr(segment, '/')) {
        segment += *segment == '/';
        apr_size_t first = dot_length(segment);
        apr_size_t second = first ? dot_length(segment + first) : 0;
        if (second && (segment[first + second] == '/' || segment[first + second] == '\0')) {
            return true;
        }
    }
    return false;
}

bool udr_path_ends_in(const char *path, apr_size_t len, const char *end)
{
    apr_size_t end_len = strlen(end);
    return len >= end_len && memcmp(path + len - end_len, end, end_len) == 0;
}

const char *udr_path_join(const char *base, const char *rest, apr_pool_t *p)
{
    apr_size_t base_len = strlen(base);
    if (base_len && base[base_len - 1] == '/' && *rest == '/') {
        base_len--; /* the slash of rest */
    }
    if (base_len == 0 && *rest == '/') {
        return rest;
    }
    apr_size_t rest_len = strlen(rest);
    char *joined = apr_palloc(p, base_len + rest_len + 2);
    char *end = joined;
    if ((base_len ? *base : *rest) != '/') {
        *end++ = '/';
    }
    memcpy(end, base, base_len);
    memcpy(end + base_len, rest, rest_len + 1);
    return joined;
}

apr_size_t udr_path_match(const char *uri, const char *prefix)
{
    const char *u = uri;
    while (*prefix) {
        if (*prefix == '/') {
            if (*u != '/') {
                return 0;
            }
            while (*prefix == '/') {
                prefix++;
            }
            while (*u == '/') {
                u++;
            }
        } else if (*prefix++ != *u++) {
            return 0;
        }
    }
    /* A prefix that ends in a slash has matched up to the end of a segment already. */
    if (u > uri && u[-1] != '/' && *u != '\0' && *u != '/') {
        return 0;
    }
    return (apr_size_t)(u - uri);
}
