/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_balancer_check.h"
#include "tests/unit/fixture_settings.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>

static udr_source_t at(const char *directive, int line)
{
    return (udr_source_t){.directive = directive, .file = "app.conf", .line = line};
}

/* A member, or with a star in front a glob, for each set of words "key=value key=value" up to NULL, on lines 2, 3, … */
static udr_balancer_t *balancer_of(const char *const members[])
{
    const udr_source_t source = at("<UDSBalancer>", 1);
    udr_balancer_t *balancer = udr_balancer_create("app", &source, pool);

    for (int i = 0; members[i]; i++) {
        const udr_source_t line = at("UDSMember", i + 2);
        const udr_target_t *target = NULL;
        bool is_glob = members[i][0] == '*';
        udr_settings_t settings = settings_of(members[i] + is_glob, pool);

        assert_null(udr_target_parse_pattern(
            &target, apr_psprintf(pool, "unix:/run/%d.sock%s|http://localhost/", i, is_glob ? "*" : ""), "/run", pool));
        assert_null(is_glob ? udr_balancer_add_glob(balancer, target, &settings, &line, pool)
                            : udr_balancer_add(balancer, target, &settings, &line, pool));
    }
    udr_balancer_resolve(balancer, APR_USEC_PER_SEC);
    return balancer;
}

#define BALANCER(...) balancer_of((const char *const[]){__VA_ARGS__, NULL})

static void assert_no_doubt(const udr_balancer_t *balancer)
{
    const udr_source_t *where = NULL;

    assert_null(udr_balancer_check_routes(balancer, &where, pool));
    assert_null(udr_balancer_check_session(balancer, &where, pool));
    assert_null(udr_balancer_check_redirects(balancer, &where, pool));
    assert_null(udr_balancer_check_spares(balancer, &where, pool));
    assert_null(where);
}

static void has_no_doubt_about_what_may_be_meant(void **state)
{
    udr_balancer_t *sticky = BALANCER("route=a redirect=b", "route=b status=+R", "");

    (void)state;
    assert_null(udr_balancer_settings_set(&sticky->settings, "stickysession", "ID", pool));
    assert_no_doubt(sticky);
    assert_no_doubt(BALANCER(""));
    assert_no_doubt(BALANCER("route=a", "route=A"));
    assert_no_doubt(BALANCER("route=a redirect=a"));
    assert_no_doubt(BALANCER("status=+D", "status=+H"));
    assert_no_doubt(balancer_of((const char *const[]){NULL}));
}

/* Its members have routes of their own, and may be anybody. */
static void has_few_doubts_about_globs(void **state)
{
    udr_balancer_t *balancer = BALANCER("redirect=nobody", "*");
    const char *note;
    const udr_source_t *where = NULL;

    (void)state;
    assert_null(udr_balancer_set(balancer, "stickysession", "ID", &note, pool));
    assert_no_doubt(balancer);
    assert_no_doubt(BALANCER("status=+R", "*"));
    assert_non_null(udr_balancer_check_spares(BALANCER("status=+R", "*status=+H"), &where, pool));
}

static void sees_routes_that_are_said_twice(void **state)
{
    const udr_source_t *where = NULL;
    const char *doubt = udr_balancer_check_routes(BALANCER("route=a", "", "route=b", "route=a"), &where, pool);

    (void)state;
    assert_string_equal(doubt,
                        "route=a is that of the member on line 2 of app.conf, too, which gets the sessions of both "
                        "as long as it can: give each a route of its own");
    assert_int_equal(where->line, 5);
}

static void sees_sticky_sessions_that_stick_to_nobody(void **state)
{
    udr_balancer_t *balancer = BALANCER("", "loadfactor=2");
    const udr_source_t *where = NULL;

    (void)state;
    assert_null(udr_balancer_check_session(balancer, &where, pool));
    assert_null(udr_balancer_settings_set(&balancer->settings, "stickysession", "ID|id", pool));
    assert_string_equal(
        udr_balancer_check_session(balancer, &where, pool),
        "balancer 'app' has stickysession=ID, but none of its members has a route, so sessions stay with "
        "nobody: write route= in each UDSMember");
    assert_int_equal(where->line, 1);
}

static void sees_redirects_to_nobody(void **state)
{
    const udr_source_t *where = NULL;

    (void)state;
    assert_string_equal(udr_balancer_check_redirects(BALANCER("route=a", "redirect=a", "redirect=b"), &where, pool),
                        "redirect=b is no member's route in balancer 'app': write one that is");
    assert_int_equal(where->line, 4);
}

static void sees_stand_ins_for_nobody(void **state)
{
    const udr_source_t *where = NULL;

    (void)state;
    assert_string_equal(udr_balancer_check_spares(BALANCER("status=+R", "status=+HN"), &where, pool),
                        "every member of balancer 'app' is a spare (+R) or a hot standby (+H), and there is none to "
                        "stand in for: leave that out where a member is to serve");
    assert_int_equal(where->line, 1);
    assert_null(udr_balancer_check_spares(BALANCER("status=+R", "status=+H", ""), &where, pool));
}

static void sees_routes_that_differ_in_maxconn(void **state)
{
    const udr_source_t *where = NULL;

    (void)state;
    assert_string_equal(udr_balancer_check_maxconn(BALANCER("maxconn=5"), BALANCER("maxconn=3"), &where, pool),
                        "maxconn=3 of the route on line 1 of app.conf is in effect for this one, too, which says 5: "
                        "requests in flight are counted over both, so write the same, or a <UDSBalancer> for one of "
                        "them");
    assert_int_equal(where->line, 1);
    assert_null(udr_balancer_check_maxconn(BALANCER("maxconn=3 max=1"), BALANCER("maxconn=3"), &where, pool));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_no_doubt_about_what_may_be_meant),
        cmocka_unit_test(has_few_doubts_about_globs),
        cmocka_unit_test(sees_routes_that_are_said_twice),
        cmocka_unit_test(sees_sticky_sessions_that_stick_to_nobody),
        cmocka_unit_test(sees_redirects_to_nobody),
        cmocka_unit_test(sees_stand_ins_for_nobody),
        cmocka_unit_test(sees_routes_that_differ_in_maxconn),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_balancer_check", tests, make_pool, drop_pool);
}
