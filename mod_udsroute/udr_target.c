/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_target.h"

#include "mod_udsroute/udr_protocol.h"
#include "mod_udsroute/udr_value.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static const udr_scheme_t schemes[] = {
    {.name = "http", .default_port = 80, .protocol = &udr_protocol_http1},
    {.name = "ws", .default_port = 80, .protocol = &udr_protocol_http1},
    {.name = "fcgi", .default_port = 8000, .protocol = &udr_protocol_fcgi},
    {.name = "scgi", .default_port = 4000, .protocol = &udr_protocol_scgi},
    {.name = "uwsgi", .default_port = 3031, .protocol = &udr_protocol_uwsgi},
};
#define SCHEME_COUNT (sizeof(schemes) / sizeof(schemes[0]))

#define BALANCER_PREFIX "balancer://"

/* Behind an example with http://. */
#define SCHEMES_BESIDES ", or fcgi:// (PHP-FPM), uwsgi:// or scgi:// where that is spoken"

/* The target being read, cut into pieces. */
typedef struct parser_t {
    const char *text; /* the whole, for sentences */
    const char *url;  /* behind the bar */
    udr_target_t *target;
    apr_pool_t *p;
} parser_t;

/* The socket's part of a target, for the examples in sentences. */
static const char *socket_part(const parser_t *parser)
{
    return apr_pstrmemdup(parser->p, parser->text, strcspn(parser->text, "|"));
}

static const char *quote(const parser_t *parser)
{
    return udr_value_quote(parser->text, parser->p);
}

static const char *list_schemes(apr_pool_t *p)
{
    const char *list = schemes[0].name;

    for (apr_size_t i = 1; i < SCHEME_COUNT; i++) {
        list = apr_pstrcat(p, list, ", ", schemes[i].name, NULL);
    }
    return list;
}

static const char *check_bytes(const parser_t *parser)
{
    for (const char *byte = parser->url; *byte; byte++) {
        if (*byte == ' ' || apr_iscntrl(*byte)) {
            return apr_psprintf(parser->p,
                                "%s contains a space or a control character%s: write a space as %%20; parameters "
                                "stand behind the target, outside of its quotes",
                                quote(parser), parser->target->balancer ? "" : " behind the bar");
        }
        if (*byte == '?' || *byte == '#') {
            return apr_psprintf(parser->p,
                                "%s contains a '%c': a target has neither query nor fragment, leave it out (the "
                                "request's own query is passed on)",
                                quote(parser), *byte);
        }
    }
    return NULL;
}

static const udr_scheme_t *find_scheme(const char *name, apr_size_t len)
{
    for (apr_size_t i = 0; i < SCHEME_COUNT; i++) {
        if (strlen(schemes[i].name) == len && strncasecmp(name, schemes[i].name, len) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

/* "fcgi", "http:/localhost" and "fcgi//localhost" are most likely short of a sign, "localhost:80" is not. */
static const char *without_scheme(const parser_t *parser)
{
    apr_size_t len = strcspn(parser->url, ":/");
    const udr_scheme_t *half = find_scheme(parser->url, len);
    const char *host = half ? parser->url + len : parser->url;

    host += strspn(host, ":/");
    return apr_psprintf(parser->p, "%s has no scheme behind the bar: write '%s|%s://%s'%s", quote(parser),
                        socket_part(parser), half ? half->name : "http", *host ? host : "localhost/",
                        half ? "" : SCHEMES_BESIDES);
}

/* What is spoken, where another sign stands in the place of the bar: "unix:/run/app.sock fcgi://localhost". NULL: it
 * does not look like that. */
static const char *find_url(const char *text)
{
    const char *sign = text + strcspn(text, " ,;");
    const char *url = sign + strspn(sign, " ,;");
    apr_size_t len = strcspn(url, ":");

    return find_scheme(url, len) && strncmp(url + len, "://", 3) == 0 ? url : NULL;
}

/* Reads "scheme://". Returns what is behind it in *rest. */
static const char *read_scheme(parser_t *parser, const char **rest)
{
    apr_size_t len = strcspn(parser->url, ":/");
    const char *name = apr_pstrmemdup(parser->p, parser->url, len);

    if (!len || strncmp(parser->url + len, "://", 3)) {
        return without_scheme(parser);
    }
    parser->target->scheme = find_scheme(name, len);
    if (!parser->target->scheme) {
        bool is_tls = strcasecmp(name, "https") == 0 || strcasecmp(name, "wss") == 0;

        return apr_psprintf(parser->p, "%s has the unknown scheme %s: write one of: %s%s", quote(parser),
                            udr_value_quote(name, parser->p), list_schemes(parser->p),
                            is_tls ? " (there is no TLS on a Unix socket)" : "");
    }
    *rest = parser->url + len + 3;
    return NULL;
}

/* RFC 3986, 3.2.2: a reg-name, without percent-encoding and without the '$' of sub-delims (see read_authority). */
static bool is_reg_name(const char *host)
{
    for (; *host; host++) {
        if (!apr_isascii(*host) || (!apr_isalnum(*host) && !strchr("-._~!&'()*+,;=", *host))) {
            return false;
        }
    }
    return true;
}

static bool is_ipv6_literal(const char *host, apr_pool_t *p)
{
    apr_size_t len = strlen(host);
    struct in6_addr address;

    return len > 2 && host[len - 1] == ']' && inet_pton(AF_INET6, apr_pstrmemdup(p, host + 1, len - 2), &address) == 1;
}

static const char *read_port(parser_t *parser, const char *text)
{
    const char *error = udr_value_int(&parser->target->port, text, 1, 65535, parser->p);

    return error ? apr_psprintf(parser->p, "%s: the port %s", quote(parser), error) : NULL;
}

static const char *read_host(parser_t *parser, const char *host)
{
    if (!*host) {
        return apr_psprintf(parser->p, "%s has no host: write one for the Host field, such as '%s|%s://localhost/'",
                            quote(parser), socket_part(parser), parser->target->scheme->name);
    }
    if (*host == '[' ? !is_ipv6_literal(host, parser->p) : !is_reg_name(host)) {
        return apr_psprintf(parser->p,
                            "%s: %s is no host: write a name of letters, digits, '-', '.' and '_', or an address (IPv6 "
                            "in brackets)",
                            quote(parser), udr_value_quote(host, parser->p));
    }
    parser->target->host = host;
    return NULL;
}

/* Reads "host[:port]", without regard to case. */
static const char *read_authority(parser_t *parser, char *authority)
{
    const udr_scheme_t *scheme = parser->target->scheme;
    udr_target_t *target = parser->target;
    const char *error = NULL;
    char *port;

    if (strchr(authority, '@')) {
        return apr_psprintf(parser->p, "%s contains user information before an '@': write '%s|%s://%s%s'",
                            quote(parser), socket_part(parser), scheme->name, strrchr(authority, '@') + 1,
                            target->path);
    }
    /* A request must not choose the Host field either: applications build links and pick tenants by it. */
    if (strchr(authority, '$')) {
        return apr_psprintf(parser->p,
                            "%s contains a '$' in host or port, which are fixed: only the path may hold $1 "
                            "or ${NAME}, behind its first '/'",
                            quote(parser));
    }
    port = strchr(*authority == '[' ? authority + strcspn(authority, "]") : authority, ':');
    if (port) {
        *port++ = '\0';
    }
    for (char *byte = authority; *byte; byte++) {
        *byte = (char)apr_tolower(*byte);
    }
    if ((error = read_host(parser, authority)) || (port && (error = read_port(parser, port)))) {
        return error;
    }
    target->authority = target->port && target->port != scheme->default_port
                            ? apr_psprintf(parser->p, "%s:%d", target->host, target->port)
                            : target->host;
    return NULL;
}

typedef const char *(*read_address_t)(const udr_address_t **address, const char *text, const char *runtime_dir,
                                      apr_pool_t *p);

static const char *print(const udr_target_t *target, apr_pool_t *p)
{
    return apr_pstrcat(p, target->address->text, "|", target->scheme->name, "://", target->authority, target->path,
                       NULL);
}

/* What stands in another order, as a target: nginx's http://unix:/run/app.sock:/uri, and http://h/|unix:/run/app.sock.
 * NULL: it is neither. */
static const char *reorder(const char *text, apr_pool_t *p)
{
    const char *end = strstr(text, "://");
    const char *bar = strchr(text, '|');

    if (bar && !strncasecmp(bar + 1, "unix:", 5) && strncasecmp(text, "unix:", 5)) {
        return apr_pstrcat(p, bar + 1, "|", apr_pstrmemdup(p, text, (apr_size_t)(bar - text)), NULL);
    }
    if (!bar && end && !strncasecmp(end + 3, "unix:/", 6)) {
        const char *path = end + 8;
        apr_size_t len = strcspn(path, ":");

        return apr_pstrcat(p, "unix:", apr_pstrmemdup(p, path, len), "|",
                           apr_pstrmemdup(p, text, (apr_size_t)(end - text)), "://localhost",
                           path[len] && path[len + 1] ? path + len + 1 : "/", NULL);
    }
    return NULL;
}

static const char *parse(const udr_target_t **target, const char *text, const char *runtime_dir,
                         read_address_t read_address, apr_pool_t *p)
{
    udr_target_t *result = apr_pcalloc(p, sizeof(*result));
    parser_t parser = {.text = text, .target = result, .p = p};
    const char *bar = strchr(text, '|');
    const char *authority = "";
    const char *error;

    if (udr_target_is_balancer(text)) {
        return apr_psprintf(
            p, "%s is a balancer, where a socket is due: write one, as 'unix:/run/app.sock|http://localhost/'",
            udr_value_quote(text, p));
    }
    if ((error = reorder(text, p))) {
        return apr_psprintf(p, "%s does not begin with 'unix:': write %s", udr_value_quote(text, p),
                            udr_value_quote(error, p));
    }
    if (!bar && strstr(text, "://") && strncasecmp(text, "unix:", 5)) {
        return apr_psprintf(p, "%s names no Unix socket: write %s (routes over TCP are mod_proxy's)",
                            udr_value_quote(text, p),
                            udr_value_quote(apr_pstrcat(p, "unix:/run/app.sock|", text, NULL), p));
    }
    if (!bar && (parser.url = find_url(text))) {
        return apr_psprintf(p, "%s has no bar before what is spoken: write '%s|%s'", udr_value_quote(text, p),
                            apr_pstrmemdup(p, text, strcspn(text, " ,;")), parser.url);
    }
    if ((error = read_address(&result->address, socket_part(&parser), runtime_dir, p))) {
        return error;
    }
    if (!bar || !bar[1]) {
        return apr_psprintf(
            p, "%s does not say what is spoken over the socket: write '%s|http://localhost/'" SCHEMES_BESIDES,
            udr_value_quote(text, p), socket_part(&parser));
    }
    parser.url = bar + 1;
    if ((error = check_bytes(&parser)) || (error = read_scheme(&parser, &authority))) {
        return error;
    }
    result->path = apr_pstrdup(p, authority + strcspn(authority, "/"));
    if ((error = read_authority(&parser, apr_pstrmemdup(p, authority, strcspn(authority, "/"))))) {
        return error;
    }
    result->text = print(result, p);
    *target = result;
    return NULL;
}

const char *udr_target_parse(const udr_target_t **target, const char *text, const char *runtime_dir, apr_pool_t *p)
{
    return parse(target, text, runtime_dir, udr_address_parse, p);
}

const char *udr_target_parse_pattern(const udr_target_t **target, const char *text, const char *runtime_dir,
                                     apr_pool_t *p)
{
    return parse(target, text, runtime_dir, udr_address_parse_pattern, p);
}

const udr_target_t *udr_target_at(const udr_target_t *target, const udr_address_t *address, apr_pool_t *p)
{
    udr_target_t *made = apr_pmemdup(p, target, sizeof(*made));

    made->address = address;
    made->text = print(made, p);
    return made;
}

/* --- balancers -------------------------------------------------------------------------------------------------------
 */

bool udr_target_is_balancer(const char *text)
{
    return !strncasecmp(text, BALANCER_PREFIX, strlen(BALANCER_PREFIX));
}

/* Reads a name of len bytes; text: the whole, for the sentence. */
static const char *read_balancer_name(const char **result, const char *name, apr_size_t len, const char *text,
                                      apr_pool_t *p)
{
    char *lower = apr_pstrmemdup(p, name, len);

    if (!*lower) {
        return apr_psprintf(p, "%s names no balancer: write '" BALANCER_PREFIX "app' for <UDSBalancer app>",
                            udr_value_quote(text, p));
    }
    for (char *byte = lower; *byte; byte++) {
        if (!apr_isascii(*byte) || (!apr_isalnum(*byte) && !strchr("-._~", *byte))) {
            return apr_psprintf(p,
                                "%s: %s is no name for a balancer: write letters, digits, '-', '.' and '_', as in "
                                "'" BALANCER_PREFIX "app'",
                                udr_value_quote(text, p), udr_value_quote(lower, p));
        }
        *byte = (char)apr_tolower(*byte);
    }
    *result = lower;
    return NULL;
}

const char *udr_target_parse_balancer(const udr_target_t **target, const char *text, apr_pool_t *p)
{
    udr_target_t *result = apr_pcalloc(p, sizeof(*result));
    const char *name = text + strlen(BALANCER_PREFIX);
    parser_t parser = {.text = text, .url = name, .target = result, .p = p};
    apr_size_t len = strcspn(name, "/");
    const char *error = read_balancer_name(&result->balancer, name, len, text, p);

    if (error || (error = check_bytes(&parser))) {
        return error;
    }
    result->path = apr_pstrdup(p, name + len);
    result->text = apr_pstrcat(p, BALANCER_PREFIX, result->balancer, result->path, NULL);
    *target = result;
    return NULL;
}

const char *udr_target_parse_balancer_name(const char **name, const char *text, apr_pool_t *p)
{
    bool is_url = udr_target_is_balancer(text);
    const char *begin = is_url ? text + strlen(BALANCER_PREFIX) : text;
    apr_size_t len = strlen(begin);

    return read_balancer_name(name, begin, is_url && len && begin[len - 1] == '/' ? len - 1 : len, text, p);
}
