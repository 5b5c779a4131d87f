/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 9110, 5.6.2: what a method consists of. */
static bool is_token_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* One or more tokens with single spaces between them. */
static bool are_methods(const char *text)
{
    bool within = false;

    for (; *text; text++) {
        if (*text == ' ') {
            if (!within)
                return false;
            within = false;
        } else if (!is_token_byte(*text)) {
            return false;
        } else {
            within = true;
        }
    }
    return within;
}

/* Is the method one of the words in methods? */
static bool has_method(const char *methods, const char *method, size_t length)
{
    while (*methods) {
        const size_t word = strcspn(methods, " ");

        if (word == length && !memcmp(methods, method, length))
            return true;
        methods += word;
        methods += *methods == ' ';
    }
    return false;
}

static bool allows(const udsb_mapping_t *mapping, const char *method)
{
    if (!strcmp(mapping->methods, "*"))
        return true;
    return has_method(mapping->methods, method, strlen(method)) ||
           (!strcmp(method, "HEAD") && has_method(mapping->methods, "GET", 3));
}

static bool covers(const udsb_mapping_t *mapping, const char *path, size_t length)
{
    if (length < mapping->path_length || (!mapping->is_prefix && length > mapping->path_length))
        return false;
    return !memcmp(path, mapping->path, mapping->path_length);
}

static void free_mapping(udsb_mapping_t *mapping)
{
    if (!mapping)
        return;
    if (mapping->destroy)
        mapping->destroy(mapping->context);
    free(mapping->methods);
    free(mapping->path);
    free(mapping);
}

/* Does a go before b? Equal ones stay in the order they came. */
static bool goes_before(const udsb_mapping_t *a, const udsb_mapping_t *b)
{
    if (a->is_prefix != b->is_prefix)
        return !a->is_prefix;
    return a->is_prefix && a->path_length > b->path_length;
}

static udsb_result_t insert(udsb_routes_t *routes, udsb_mapping_t *mapping)
{
    udsb_mapping_t **const mappings = realloc(routes->mappings, (routes->count + 1) * sizeof *mappings);
    size_t place = routes->count;

    if (!mappings)
        return UDSB_NO_MEMORY;
    routes->mappings = mappings;
    while (place > 0 && goes_before(mapping, mappings[place - 1])) {
        mappings[place] = mappings[place - 1];
        place--;
    }
    mappings[place] = mapping;
    routes->count++;
    return UDSB_OK;
}

udsb_result_t udsb_routes_add(udsb_routes_t *routes, const udsb_route_t *route, void (*destroy)(void *context),
                              udsb_error_t *error)
{
    const char *wrong = NULL;
    udsb_mapping_t *mapping;

    if (!route->handler)
        wrong = "a route needs a handler";
    else if (!route->methods || !are_methods(route->methods))
        wrong = "the methods of a route are words with single spaces between them, or *";
    else if (!route->path || route->path[0] != '/')
        wrong = "the path of a route begins with /";
    else if (strchr(route->path, '*') && (strchr(route->path, '*')[1] || strchr(route->path, '*')[-1] != '/'))
        wrong = "the * of a route stands at its end, after a /";
    if (wrong) {
        if (destroy)
            destroy(route->context);
        return udsb_error_set(error, UDSB_INVALID, "%s (methods \"%s\", path \"%s\")", wrong,
                              route->methods ? route->methods : "", route->path ? route->path : "");
    }

    mapping = calloc(1, sizeof *mapping);
    if (mapping) {
        mapping->methods = strdup(route->methods);
        mapping->path = strdup(route->path);
        mapping->handler = route->handler;
        mapping->body = route->body;
        mapping->body_limit = route->body_limit ? route->body_limit : (size_t)16 << 20;
        mapping->context = route->context;
        mapping->destroy = destroy;
    } else if (destroy) {
        destroy(route->context);
    }
    if (mapping && mapping->methods && mapping->path) {
        mapping->path_length = strcspn(mapping->path, "*");
        mapping->is_prefix = mapping->path[mapping->path_length] == '*';
        mapping->path[mapping->path_length] = '\0';
        if (insert(routes, mapping) == UDSB_OK)
            return UDSB_OK;
    }
    free_mapping(mapping);
    return udsb_error_set(error, UDSB_NO_MEMORY, "out of memory");
}

/* The first mapping of the path decides which ones can have it: a file below "/" does not stand in for "/upload" when
 * that has another method. */
static bool is_alternative(const udsb_mapping_t *first, const udsb_mapping_t *mapping)
{
    return first->is_prefix == mapping->is_prefix && first->path_length == mapping->path_length;
}

udsb_route_match_t udsb_routes_find(const udsb_routes_t *routes, const char *method, const char *path,
                                    const udsb_mapping_t **mapping, const char **rest)
{
    const size_t length = strlen(path);
    const udsb_mapping_t *first = NULL;

    for (size_t i = 0; i < routes->count; i++) {
        const udsb_mapping_t *const candidate = routes->mappings[i];

        if (!covers(candidate, path, length))
            continue;
        if (first && !is_alternative(first, candidate))
            break;
        first = candidate;
        if (allows(candidate, method)) {
            *mapping = candidate;
            *rest = path + candidate->path_length;
            return UDSB_ROUTE_FOUND;
        }
    }
    return first ? UDSB_ROUTE_OTHER_METHOD : UDSB_ROUTE_NONE;
}

/* Adds a method to a list "GET, HEAD" unless it is there. */
static void add_method(char *text, size_t size, const char *method, size_t length)
{
    const size_t used = strlen(text);

    for (const char *found = text; (found = strstr(found, method)) != NULL; found++) {
        if ((found == text || found[-1] == ' ') && (found[length] == ',' || !found[length]))
            return;
    }
    snprintf(text + used, size - used, "%s%.*s", used ? ", " : "", (int)length, method);
}

void udsb_routes_allow(const udsb_routes_t *routes, const char *path, char *text, size_t size)
{
    const size_t length = strlen(path);
    const udsb_mapping_t *first = NULL;

    text[0] = '\0';
    for (size_t i = 0; i < routes->count; i++) {
        const udsb_mapping_t *const mapping = routes->mappings[i];

        if (!covers(mapping, path, length))
            continue;
        if (first && !is_alternative(first, mapping))
            break;
        first = mapping;
        for (const char *word = mapping->methods; *word; word += *word == ' ') {
            const size_t word_length = strcspn(word, " ");
            char method[32];

            snprintf(method, sizeof method, "%.*s", (int)word_length, word);
            add_method(text, size, method, strlen(method));
            if (!strcmp(method, "GET"))
                add_method(text, size, "HEAD", 4);
            word += word_length;
        }
    }
    add_method(text, size, "OPTIONS", 7);
}

void udsb_routes_clear(udsb_routes_t *routes)
{
    for (size_t i = 0; i < routes->count; i++)
        free_mapping(routes->mappings[i]);
    free(routes->mappings);
    *routes = (udsb_routes_t){0};
}
