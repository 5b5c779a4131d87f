/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_sticky.h"

#include <string.h>
#include <strings.h>

typedef struct piece_t {
    const char *ptr;
    apr_size_t len;
} piece_t;

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static piece_t trim(piece_t piece)
{
    while (piece.len && is_space(*piece.ptr)) {
        piece.ptr++;
        piece.len--;
    }
    while (piece.len && is_space(piece.ptr[piece.len - 1])) {
        piece.len--;
    }
    return piece;
}

/* RFC 6265, 4.1.1: a value may stand in quotes, which are no part of it here. */
static piece_t unquote(piece_t piece)
{
    if (piece.len >= 2 && piece.ptr[0] == '"' && piece.ptr[piece.len - 1] == '"') {
        return (piece_t){piece.ptr + 1, piece.len - 2};
    }
    return piece;
}

static bool is_named(piece_t piece, const char *name)
{
    return strlen(name) == piece.len && !memcmp(piece.ptr, name, piece.len);
}

static piece_t find_parameter(const char *uri, const udr_sticky_t *sticky)
{
    apr_size_t len = strlen(sticky->parameter);
    bool in_query = false;
    for (const char *at = strpbrk(uri, ";?&"); at; at = strpbrk(at, ";?&")) {
        in_query |= *at++ == '?';
        if (strncmp(at, sticky->parameter, len) || at[len] != '=') {
            continue;
        }
        const char *value = at + len + 1;
        const char *ends = sticky->ends_at_semicolon ? (in_query ? ";?&" : ";?&/") : (in_query ? "?&" : "?&/");
        apr_size_t value_len = strcspn(value, ends);
        if (value_len) {
            return (piece_t){value, value_len};
        }
    }
    return (piece_t){NULL, 0};
}

static piece_t find_cookie(const char *cookies, const char *name)
{
    while (*cookies) {
        piece_t pair = {cookies, strcspn(cookies, ";,")};
        const char *equals = memchr(pair.ptr, '=', pair.len);
        if (equals && is_named(trim((piece_t){pair.ptr, (apr_size_t)(equals - pair.ptr)}), name)) {
            const char *end = pair.ptr + pair.len;
            piece_t value = unquote(trim((piece_t){equals + 1, (apr_size_t)(end - equals - 1)}));
            if (value.len) {
                return value;
            }
        }
        cookies += pair.len + (cookies[pair.len] != '\0');
    }
    return (piece_t){NULL, 0};
}

static piece_t route_of(piece_t value, char separator)
{
    if (!separator) {
        return value;
    }
    const char *at = memchr(value.ptr, separator, value.len);
    apr_size_t before = at ? (apr_size_t)(at - value.ptr) + 1 : value.len;
    return before < value.len ? (piece_t){value.ptr + before, value.len - before} : (piece_t){NULL, 0};
}

bool udr_sticky_find(udr_session_t *session, const udr_sticky_t *sticky, const char *uri, const char *cookies)
{
    *session = (udr_session_t){.source = UDR_STICKY_NONE};
    if (!sticky->cookie) {
        return false;
    }
    piece_t value = find_parameter(uri, sticky);
    if (value.ptr) {
        session->source = UDR_STICKY_URL;
        session->name = sticky->parameter;
    } else if (cookies && (value = find_cookie(cookies, sticky->cookie)).ptr) {
        session->source = UDR_STICKY_COOKIE;
        session->name = sticky->cookie;
    } else {
        return false;
    }
    piece_t route = route_of(value, sticky->separator);
    session->value = value.ptr;
    session->value_len = value.len;
    session->route = route.ptr;
    session->route_len = route.len;
    return true;
}

bool udr_sticky_is_route(const char *member_route, const char *route, apr_size_t len)
{
    return len && member_route && strlen(member_route) == len && !memcmp(member_route, route, len);
}
