/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_accept.h"

#include <apr_lib.h>

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define BEST 1000

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t");
}

/* The end of what begins there: the separator, or the end of all. Quoted strings may hold separators. */
static const char *find_end(const char *at, const char *separators)
{
    bool is_quoted = false;
    for (; *at && (is_quoted || !strchr(separators, *at)); at++) {
        if (*at == '"') {
            is_quoted = !is_quoted;
        } else if (*at == '\\' && is_quoted && at[1]) {
            at++;
        }
    }
    return at;
}

/* "0.75": three decimals at most (RFC 9110, 12.4.2). -1: it is none. */
static int read_quality(const char *from, const char *end)
{
    int quality = BEST * (*from == '1');
    int digit = BEST / 10;
    const char *at = from + 1;
    if (from == end || (*from != '0' && *from != '1')) {
        return -1;
    }
    if (at < end && *at == '.') {
        for (at++; at < end && apr_isdigit(*at) && digit > 0; at++, digit /= 10) {
            quality += digit * (*at - '0');
        }
    }
    return at == end && quality <= BEST ? quality : -1;
}

/* The quality among the parameters of a range. */
static int find_quality(const char *at, const char *end)
{
    while (at < end) {
        const char *parameter = skip_space(at + 1);
        const char *last = at = find_end(at + 1, ";,");
        if (last - parameter >= 2 && strncasecmp(parameter, "q=", 2) == 0) {
            while (last > parameter && strchr(" \t", last[-1])) {
                last--;
            }
            return read_quality(parameter + 2, last);
        }
    }
    return BEST;
}

/* How well the range fits: 3 by name, 2 by its first half, 1 with all, 0 not at all. */
static int fit(const char *range, size_t len, const char *type)
{
    size_t half = strcspn(type, "/") + 1;
    if (len == strlen(type) && strncasecmp(range, type, len) == 0) {
        return 3;
    }
    if (len == half + 1 && range[half] == '*' && strncasecmp(range, type, half) == 0) {
        return 2;
    }
    return len == 3 && memcmp(range, "*/*", 3) == 0;
}

int udr_accept_quality(const char *accept, const char *type)
{
    int best_fit = 0;
    int best = accept ? 0 : BEST;
    for (const char *at = accept; at && *at; at = *at ? at + 1 : at) {
        const char *range = skip_space(at);
        size_t len = strcspn(range, " \t;,");
        int fits = fit(range, len, type);
        const char *parameters = skip_space(range + len);
        at = find_end(range + len, ",");
        int quality = find_quality(parameters, at);
        if (quality < 0 || fits == 0 || fits < best_fit) {
            continue;
        }
        best = fits > best_fit || quality > best ? quality : best;
        best_fit = fits;
    }
    return best;
}
