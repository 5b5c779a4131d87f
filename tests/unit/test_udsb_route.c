/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_route.h"

#include <string.h>

static void handler(udsb_request_t *request, void *context)
{
    (void)request, (void)context;
}

static void add(udsb_routes_t *routes, const char *methods, const char *path)
{
    udsb_error_t error;

    /* The context tells which mapping was found. */
    assert_int_equal(
        udsb_routes_add(
            routes,
            &(udsb_route_t){.methods = methods, .path = path, .handler = handler, .context = (void *)(uintptr_t)path},
            NULL, &error),
        UDSB_OK);
}

static const char *find(const udsb_routes_t *routes, const char *method, const char *path)
{
    const udsb_mapping_t *mapping;
    const char *rest;

    switch (udsb_routes_find(routes, method, path, &mapping, &rest)) {
    case UDSB_ROUTE_FOUND:
        return mapping->context;
    case UDSB_ROUTE_OTHER_METHOD:
        return "405";
    default:
        return "404";
    }
}

static void exact_then_longest_then_earliest(void **state)
{
    udsb_routes_t routes = {0};

    (void)state;
    add(&routes, "GET", "/*");
    add(&routes, "GET", "/bytes/*");
    add(&routes, "GET POST", "/a");
    add(&routes, "*", "/any");
    add(&routes, "PUT", "/bytes/exact");
    assert_string_equal(find(&routes, "GET", "/a"), "/a");
    assert_string_equal(find(&routes, "POST", "/a"), "/a");
    assert_string_equal(find(&routes, "HEAD", "/a"), "/a");
    assert_string_equal(find(&routes, "GET", "/a/"), "/*");
    assert_string_equal(find(&routes, "GET", "/ab"), "/*");
    assert_string_equal(find(&routes, "GET", "/bytes/1"), "/bytes/*");
    assert_string_equal(find(&routes, "GET", "/bytes/"), "/bytes/*");
    assert_string_equal(find(&routes, "GET", "/bytes"), "/*");
    assert_string_equal(find(&routes, "BREW", "/any"), "/any");
    assert_string_equal(find(&routes, "PUT", "/bytes/exact"), "/bytes/exact");
    udsb_routes_clear(&routes);
}

static void a_wrong_method_does_not_fall_through_to_a_wider_route(void **state)
{
    udsb_routes_t routes = {0};
    char allow[64];

    (void)state;
    add(&routes, "GET", "/*");
    add(&routes, "POST PUT", "/upload");
    add(&routes, "DELETE", "/upload");
    assert_string_equal(find(&routes, "GET", "/upload"), "405");
    assert_string_equal(find(&routes, "DELETE", "/upload"), "/upload");
    assert_string_equal(find(&routes, "HEAD", "/upload"), "405");
    assert_string_equal(find(&routes, "GE", "/x"), "405");
    assert_string_equal(find(&routes, "get", "/x"), "405");
    udsb_routes_allow(&routes, "/upload", allow, sizeof allow);
    assert_string_equal(allow, "POST, PUT, DELETE, OPTIONS");
    udsb_routes_allow(&routes, "/x", allow, sizeof allow);
    assert_string_equal(allow, "GET, HEAD, OPTIONS");
    udsb_routes_clear(&routes);
    assert_string_equal(find(&routes, "GET", "/"), "404");
}

static void the_rest_is_what_the_star_stands_for(void **state)
{
    const udsb_mapping_t *mapping;
    udsb_routes_t routes = {0};
    const char *rest;

    (void)state;
    add(&routes, "GET", "/bytes/*");
    add(&routes, "GET", "/a");
    assert_int_equal(udsb_routes_find(&routes, "GET", "/bytes/12/3", &mapping, &rest), UDSB_ROUTE_FOUND);
    assert_string_equal(rest, "12/3");
    assert_int_equal(udsb_routes_find(&routes, "GET", "/a", &mapping, &rest), UDSB_ROUTE_FOUND);
    assert_string_equal(rest, "");
    udsb_routes_clear(&routes);
}

static unsigned destroyed;

static void count_destroyed(void *context)
{
    (void)context;
    destroyed++;
}

static void what_is_wrong_is_refused_and_destroyed(void **state)
{
    static const udsb_route_t wrong[] = {
        {.methods = "GET", .path = "/a"},
        {.methods = "", .path = "/a", .handler = handler},
        {.methods = NULL, .path = "/a", .handler = handler},
        {.methods = "GET  POST", .path = "/a", .handler = handler},
        {.methods = "GET ", .path = "/a", .handler = handler},
        {.methods = "G\tT", .path = "/a", .handler = handler},
        {.methods = "GET", .path = "a", .handler = handler},
        {.methods = "GET", .path = NULL, .handler = handler},
        {.methods = "GET", .path = "/a*", .handler = handler},
        {.methods = "GET", .path = "/*/a", .handler = handler},
    };
    udsb_routes_t routes = {0};
    udsb_error_t error;

    (void)state;
    destroyed = 0;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        error.text[0] = '\0';
        assert_int_equal(udsb_routes_add(&routes, &wrong[i], count_destroyed, &error), UDSB_INVALID);
        assert_true(error.text[0] != '\0');
        assert_int_equal(destroyed, i + 1);
    }
    assert_int_equal(routes.count, 0);
    assert_int_equal(udsb_routes_add(&routes, &(udsb_route_t){.methods = "GET", .path = "/a", .handler = handler},
                                     count_destroyed, &error),
                     UDSB_OK);
    destroyed = 0;
    udsb_routes_clear(&routes);
    assert_int_equal(destroyed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_then_longest_then_earliest),
        cmocka_unit_test(a_wrong_method_does_not_fall_through_to_a_wider_route),
        cmocka_unit_test(the_rest_is_what_the_star_stands_for),
        cmocka_unit_test(what_is_wrong_is_refused_and_destroyed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
