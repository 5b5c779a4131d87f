/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_roster.h"
#include "mod_udsroute/udr_verdict.h"

#include <apr_time.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define NOW apr_time_from_sec(1000)
#define MAX 256

static apr_time_t at(int ms)
{
    return NOW + apr_time_from_msec(ms);
}

/* A balancer in a word for each member: its letter, its lbset, then what is the case: D S I R H N as in status=, x: out
 * until NOW + 1 s, c: down by its checks, d: it says that it drains, 0 weight: z, t: tried by this
 * request, a: away. */
typedef struct group_t {
    udr_candidates_t candidates;
    udr_candidate_t members[MAX];
    udr_hot_t hot[MAX];
    udr_slot_t slots[MAX];
    udr_seat_t seats[MAX];
    apr_uint64_t excluded[MAX / 64];
    udr_roster_t roster;
} group_t;

static void is(group_t *group, int i, char what)
{
    static const char letters[] = "DSIRHN";
    static const apr_uint32_t flags[] = {UDR_SLOT_DISABLED, UDR_SLOT_STOPPED,     UDR_SLOT_IGNORES_ERRORS,
                                         UDR_SLOT_SPARE,    UDR_SLOT_HOT_STANDBY, UDR_SLOT_DRAINS};
    const char *letter = strchr(letters, what);
    if (letter) {
        group->hot[i].flags |= flags[letter - letters];
    } else if (what == 'x') {
        group->slots[i].out_until = at(1000);
    } else if (what == 'a') {
        group->members[i].is_away = true;
    } else if (what == 'c') {
        (void)udr_health_failed(&group->slots[i].health, 1);
    } else if (what == 'd') {
        group->slots[i].agent = udr_slot_agent(UDR_AGENT_DRAIN, 100);
    } else if (what == 'z') {
        group->slots[i].agent = udr_slot_agent(UDR_AGENT_UP, 0);
    } else {
        assert_int_equal(what, 't');
        group->excluded[i / 64] |= (apr_uint64_t)1 << i % 64;
    }
}

static group_t *group_of(const char *text)
{
    group_t *group = aligned_alloc(64, (sizeof *group + 63) / 64 * 64);
    assert_non_null(group);
    memset(group, 0, sizeof *group);
    for (; *text; text += strspn(text, " ")) {
        int i = group->candidates.count++;
        group->members[i] = (udr_candidate_t){.hot = &group->hot[i],
                                              .slot = &group->slots[i],
                                              .identity = (apr_uint64_t)*text,
                                              .weight = 100,
                                              .lbset = text[1] - '0'};
        for (text += 2; *text && *text != ' '; text++) {
            is(group, i, *text);
        }
    }
    group->candidates.members = group->members;
    group->candidates.excluded = group->excluded;
    group->candidates.excluded_words = MAX / 64;
    group->roster.seats = group->seats;
    return group;
}

/* The letters of those who have a seat; "!" before them if all are out. */
static const char *draw(group_t *group, bool force_recovery, apr_time_t now)
{
    static char text[MAX + 2];
    char *end = text;
    udr_roster_draw(&group->roster, &group->candidates, force_recovery, now);
    if (group->roster.all_out) {
        *end++ = '!';
    }
    for (int i = 0; i < group->roster.count; i++) {
        const udr_seat_t *seat = &group->seats[i];
        assert_ptr_equal(seat->hot, &group->hot[seat->member]);
        *end++ = (char)seat->identity;
    }
    *end = '\0';
    return text;
}

/* --- who may be picked --- */

static const struct {
    const char *members;
    const char *seats;
    const char *recovered; /* with forcerecovery; NULL: the same */
} situations[] = {
    {"", "", NULL},
    {"A0 B0 C0", "ABC", NULL},
    /* status= */
    {"A0D B0 C0", "BC", NULL},
    {"A0S B0 C0", "BC", NULL},
    {"A0N B0 C0", "BC", NULL},
    {"A0x B0 C0", "BC", NULL},
    {"A0xI B0 C0", "ABC", NULL},
    {"A0DI B0SI C0NI D0", "D", NULL},
    {"A0t B0 C0", "BC", NULL},
    {"A0D B0S C0N", "", NULL},
    {"A0t B0t", "", NULL},
    /* away: as if it were not a member at all */
    {"A0a B0 C0R", "B", NULL},
    {"A0a B0a C0R", "", NULL},
    {"A0a B0a C0H", "C", NULL},
    {"A0ax B0x C1a", "!", "!B"},
    {"A0aI B0ax", "", NULL},
    /* lbset */
    {"A1 B0 C2 D0", "BD", NULL},
    {"A1 B0x C2 D0D", "A", NULL},
    {"A9 B0x C5x D0D", "A", NULL},
    {"A0t B1", "B", NULL},
    /* spares: one for each that can't */
    {"A0 B0 C0R", "AB", NULL},
    {"A0 B0x C0R D0R", "AC", NULL},
    {"A0x B0 C0D D0R E0R F0R", "BDE", NULL},
    {"A0x B0x C0R", "C", NULL},
    {"A0N B0 C0R", "BC", NULL},
    {"A0S B0 C0R", "BC", NULL},
    {"A0t B0 C0R", "BC", NULL},
    {"A0x B0 C0Rx D0R", "BD", NULL},
    {"A0x B0 C0RD D0RN E0R", "BE", NULL},
    {"A0x B0 C1R", "B", NULL},
    {"A0x B1 C0R", "C", NULL},
    {"A0R", "", NULL},
    {"A0Rx B0", "B", NULL},
    {"A0RN B0R C0", "C", NULL},
    /* hot standby: when nobody else in its set can */
    {"A0 B0H", "A", NULL},
    {"A0x B0H", "B", NULL},
    {"A0x B0H C0R", "C", NULL},
    {"A0x B0H C0Rx", "B", NULL},
    {"A0x B0H C0H", "BC", NULL},
    {"A0x B0Hx C1", "C", NULL},
    {"A0x B0H C1", "B", NULL},
    {"A0x B1H C1", "C", NULL},
    {"A0R B0H", "B", NULL},
    {"A0H", "A", NULL},
    {"A0RH B0 C0x", "AB", NULL},
    /* all out */
    {"A0x B0x", "!", "!AB"},
    {"A0x B0D C0N", "!", "!A"},
    {"A0x B0t", "!", "!A"},
    {"A0xt B0", "B", NULL},
    {"A0xt", "", NULL},
    {"A0xD B0xS C0xN", "", NULL},
    {"A1x B0x C0x", "!", "!BC"},
    {"A0x B0xR C0xH", "!", "!A"},
    {"A0D B0xR C0xH", "!", "!B"},
    {"A0D B0xH", "!", "!B"},
};

static void seats_those_who_can(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(situations); i++) {
        group_t *group = group_of(situations[i].members);
        const char *recovered = situations[i].recovered ? situations[i].recovered : situations[i].seats;
        if (strcmp(draw(group, false, NOW), situations[i].seats) != 0) {
            fail_msg("%s: %s", situations[i].members, draw(group, false, NOW));
        }
        if (strcmp(draw(group, true, NOW), recovered) != 0) {
            fail_msg("%s, forcerecovery: %s", situations[i].members, draw(group, true, NOW));
        }
        free(group);
    }
}

static void nobody_is_excluded_without_a_set(void **state)
{
    group_t *group = group_of("A0t B0");
    (void)state;
    group->candidates.excluded = NULL;
    group->candidates.excluded_words = 0;
    assert_string_equal(draw(group, true, NOW), "AB");
    free(group);
}

static void takes_every_member_of_a_large_balancer(void **state)
{
    group_t *group = group_of("");
    (void)state;
    for (int i = 0; i < MAX; i++) {
        group->members[i] = (udr_candidate_t){.hot = &group->hot[i],
                                              .slot = &group->slots[i],
                                              .identity = 'a',
                                              .weight = 100,
                                              .lbset = UDR_ROSTER_SETS - 1};
    }
    group->candidates.count = MAX;
    group->excluded[2] = 1;
    draw(group, true, NOW);
    assert_int_equal(group->roster.count, MAX - 1);
    assert_int_equal(group->seats[127].member, 127);
    assert_int_equal(group->seats[128].member, 129);
    free(group);
}

/* +E is a verdict: out for one pause. */
static void one_that_is_marked_comes_after_a_pause(void **state)
{
    group_t *group = group_of("A0 B0");
    const udr_report_t report = {.outcome = UDR_OUTCOME_MARKED};
    (void)state;
    udr_verdict_report(&group->slots[0], &report, apr_time_from_sec(1), NOW);
    assert_string_equal(draw(group, true, at(999)), "B");
    assert_string_equal(draw(group, true, at(1000)), "AB");
    free(group);
}

/* --- until when --- */

static void holds_until_the_first_pause_ends(void **state)
{
    group_t *group = group_of("A0x B0x C0 D1x E0x");
    (void)state;
    group->slots[1].out_until = at(300);
    group->slots[3].out_until = at(200);
    assert_string_equal(draw(group, true, NOW), "C");
    assert_int_equal(group->roster.until, at(200));
    assert_string_equal(draw(group, true, at(200)), "C");
    assert_int_equal(group->roster.until, at(300));
    assert_string_equal(draw(group, true, at(300)), "BC");
    assert_int_equal(group->roster.until, at(1000));
    assert_string_equal(draw(group, true, at(1000)), "ABCE");
    assert_int_equal(group->roster.until, 0);
    free(group);
}

/* Nobody waits for those whose time changes nothing. */
static void holds_forever_where_no_time_matters(void **state)
{
    group_t *group = group_of("A0 B0xD C0xS D0xN E0xI");
    (void)state;
    assert_string_equal(draw(group, true, NOW), "AE");
    assert_int_equal(group->roster.until, 0);
    free(group);
}

static void knows_when_all_that_are_out_are_back(void **state)
{
    group_t *group = group_of("A0x B0x");
    (void)state;
    group->slots[1].out_until = at(300);
    assert_string_equal(draw(group, true, NOW), "!AB");
    assert_int_equal(group->roster.until, at(300));
    assert_string_equal(draw(group, false, NOW), "!");
    assert_int_equal(group->roster.until, at(300));
    free(group);
}

/* --- what checks have found --- */

static void leaves_out_who_is_down_by_checks(void **state)
{
    group_t *group = group_of("A0c B0 C0cI D0cx");
    (void)state;
    assert_string_equal(draw(group, true, NOW), "BC");
    assert_int_equal(group->roster.until, 0); /* no time brings them back */
    assert_string_equal(draw(group, true, at(5000)), "BC");
    (void)udr_health_passed(&group->slots[0].health, 1);
    assert_string_equal(draw(group, true, NOW), "ABC");
    free(group);
}

static void recovers_who_is_down_by_checks(void **state)
{
    group_t *group = group_of("A0c B0c");
    (void)state;
    assert_string_equal(draw(group, true, NOW), "!AB");
    assert_string_equal(draw(group, false, NOW), "!");
    free(group);
}

static void lets_members_drain_themselves(void **state)
{
    group_t *group = group_of("A0d B0 C0z D0dI");
    (void)state;
    assert_string_equal(draw(group, true, NOW), "B");
    assert_false(group->roster.all_out);
    free(group);
}

/* --- weights --- */

static apr_uint32_t weight_at(group_t *group, apr_time_t now)
{
    draw(group, true, now);
    return group->seats[0].weight;
}

static void the_operators_weight_replaces_the_configured_one(void **state)
{
    group_t *group = group_of("A0");
    (void)state;
    group->members[0].weight = 250;
    assert_int_equal(weight_at(group, NOW), 250);
    group->hot[0].weight = 1;
    assert_int_equal(weight_at(group, NOW), 1);
    free(group);
}

static void grows_in_steps_to_its_weight(void **state)
{
    static const struct {
        int ms;
        apr_uint32_t weight;
        int until; /* 0: for good */
    } steps[] = {
        {-150, 1, 100},    {-5, 1, 100},   {0, 1, 100},     {99, 1, 100},     {100, 40, 200},
        {199, 40, 200},    {200, 80, 300}, {500, 200, 600}, {999, 360, 1000}, {1000, 400, 1050},
        {1049, 400, 1050}, {1050, 420, 0}, {9999, 420, 0},
    };
    group_t *group = group_of("A0");
    (void)state;
    group->members[0].weight = 420;
    group->members[0].slowstart = apr_time_from_msec(1050);
    group->slots[0].up_since = NOW;
    for (size_t i = 0; i < COUNT(steps); i++) {
        assert_int_equal(weight_at(group, at(steps[i].ms)), steps[i].weight);
        assert_int_equal(group->roster.until, steps[i].until ? at(steps[i].until) : 0);
    }
    free(group);
}

static void grows_to_the_operators_weight(void **state)
{
    group_t *group = group_of("A0");
    (void)state;
    group->members[0].slowstart = apr_time_from_sec(10);
    group->slots[0].up_since = NOW;
    group->hot[0].weight = 10000;
    assert_int_equal(weight_at(group, at(5000)), 5000);
    free(group);
}

/* The longest and heaviest that can be configured do not overflow. */
static void grows_over_a_day(void **state)
{
    group_t *group = group_of("A0");
    (void)state;
    group->members[0].weight = 10000;
    group->members[0].slowstart = apr_time_from_sec(24 * 3600);
    group->slots[0].up_since = NOW;
    assert_int_equal(weight_at(group, NOW + apr_time_from_sec(12 * 3600)), 5000);
    assert_int_equal(weight_at(group, NOW + apr_time_from_sec(24 * 3600) - 1), 9999);
    free(group);
}

static void starts_at_once_without_slowstart(void **state)
{
    group_t *group = group_of("A0");
    (void)state;
    group->slots[0].up_since = NOW;
    assert_int_equal(weight_at(group, NOW), 100);
    assert_int_equal(weight_at(group, NOW - 1), 100);
    free(group);
}

static void one_that_always_was_up_has_its_weight(void **state)
{
    group_t *group = group_of("A0");
    (void)state;
    group->members[0].slowstart = apr_time_from_sec(3600);
    assert_int_equal(weight_at(group, apr_time_from_sec(1)), 100);
    assert_int_equal(group->roster.until, 0);
    free(group);
}

static void who_has_no_seat_need_not_grow(void **state)
{
    group_t *group = group_of("A0 B1 C0R D0H");
    (void)state;
    for (int i = 1; i < 4; i++) {
        group->members[i].slowstart = apr_time_from_sec(10);
        group->slots[i].up_since = NOW;
    }
    assert_string_equal(draw(group, true, at(1)), "A");
    assert_int_equal(group->roster.until, 0);
    free(group);
}

/* --- sticky sessions: every member's route is its letter in lower case --- */

static const struct {
    const char *members;
    char route;
    const char *redirects; /* "ab": A redirects to b */
    int found;
    bool recovers;
} sessions[] = {
    {"A0 B0", 'a', "", 0, false},     {"A0 B0", 'b', "", 1, false},           {"A0 B0", 'c', "", -1, false},
    {"A0 B0N", 'b', "", 1, false},    {"A0 B0D", 'b', "", -1, false},         {"A0 B0S", 'b', "", -1, false},
    {"A0 B0ND", 'b', "", -1, false},  {"A0 B0x", 'b', "", -1, false},         {"A0 B0x", 'b', "", 1, true},
    {"A0 B0xD", 'b', "", -1, true},   {"A0 B0xI", 'b', "", 1, false},         {"A0 B0t", 'b', "", -1, false},
    {"A0 B0t", 'b', "", -1, true},    {"A0 B7", 'b', "", 1, false},           {"A0 B0R", 'b', "", 1, false},
    {"A0 B0H", 'b', "", 1, false},    {"A0H B0 A0", 'a', "", 2, false},       {"A0H B0 A0x", 'a', "", 0, false},
    {"A0x B0 A0", 'a', "", 2, false}, {"A0x B0", 'a', "ab", 1, false},        {"A0 B0", 'a', "ab", 0, false},
    {"A0D B0N", 'a', "ab", 1, false}, {"A0x B0x C0", 'a', "ab bc", 2, false}, {"A0x B0x", 'a', "ab ba", -1, false},
    {"A0x", 'a', "aa", -1, false},    {"A0x B0x", 'a', "ac", -1, false},      {"A0x B0 A0x", 'a', "ab", 1, false},
};

static void finds_the_member_of_a_session(void **state)
{
    static const char *const routes[] = {"a", "b", "c"};
    (void)state;
    for (size_t i = 0; i < COUNT(sessions); i++) {
        group_t *group = group_of(sessions[i].members);
        for (int m = 0; m < group->candidates.count; m++) {
            char route = (char)(group->members[m].identity - 'A' + 'a');
            const char *redirect = strchr(sessions[i].redirects, route);
            while (redirect && redirect != sessions[i].redirects && redirect[-1] != ' ') {
                redirect = strchr(redirect + 1, route);
            }
            group->members[m].route = routes[route - 'a'];
            group->members[m].redirect = redirect ? routes[redirect[1] - 'a'] : NULL;
        }
        int found = udr_roster_find(&group->candidates, &sessions[i].route, 1, sessions[i].recovers, NOW);
        if (found != sessions[i].found) {
            fail_msg("%s, route %c: %d", sessions[i].members, sessions[i].route, found);
        }
        free(group);
    }
}

static void compares_routes_whole(void **state)
{
    group_t *group = group_of("A0 B0 C0");
    (void)state;
    group->members[0].route = "node";
    group->members[1].route = "";
    assert_int_equal(udr_roster_find(&group->candidates, "node1", 4, false, NOW), 0);
    assert_int_equal(udr_roster_find(&group->candidates, "node1", 5, false, NOW), -1);
    assert_int_equal(udr_roster_find(&group->candidates, "nod", 3, false, NOW), -1);
    assert_int_equal(udr_roster_find(&group->candidates, "Node", 4, false, NOW), -1);
    assert_int_equal(udr_roster_find(&group->candidates, "", 0, false, NOW), -1);
    assert_true(udr_roster_has_route(&group->candidates, "node1", 4));
    assert_false(udr_roster_has_route(&group->candidates, "node1", 5));
    assert_false(udr_roster_has_route(&group->candidates, "", 0));
    free(group);
}

static void the_first_redirect_of_a_route_counts(void **state)
{
    group_t *group = group_of("A0x A0x B0 C0");
    static const char *const routes[] = {"a", "a", "b", "c"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        group->members[i].route = routes[i];
    }
    group->members[0].redirect = "b";
    group->members[1].redirect = "c";
    assert_int_equal(udr_roster_find(&group->candidates, "a", 1, false, NOW), 2);
    free(group);
}

static void nobody_is_at_the_route_of_one_that_is_away(void **state)
{
    group_t *group = group_of("A0a B0");
    group->members[0].route = "a";
    group->members[1].route = "b";
    (void)state;
    assert_int_equal(udr_roster_find(&group->candidates, "a", 1, true, NOW), -1);
    assert_false(udr_roster_has_route(&group->candidates, "a", 1));
    assert_true(udr_roster_has_route(&group->candidates, "b", 1));
    free(group);
}

static void a_route_is_known_though_its_member_is_stopped(void **state)
{
    group_t *group = group_of("A0S");
    (void)state;
    group->members[0].route = "a";
    assert_true(udr_roster_has_route(&group->candidates, "a", 1));
    free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seats_those_who_can),
        cmocka_unit_test(nobody_is_excluded_without_a_set),
        cmocka_unit_test(takes_every_member_of_a_large_balancer),
        cmocka_unit_test(one_that_is_marked_comes_after_a_pause),
        cmocka_unit_test(holds_until_the_first_pause_ends),
        cmocka_unit_test(holds_forever_where_no_time_matters),
        cmocka_unit_test(knows_when_all_that_are_out_are_back),
        cmocka_unit_test(leaves_out_who_is_down_by_checks),
        cmocka_unit_test(recovers_who_is_down_by_checks),
        cmocka_unit_test(lets_members_drain_themselves),
        cmocka_unit_test(the_operators_weight_replaces_the_configured_one),
        cmocka_unit_test(grows_in_steps_to_its_weight),
        cmocka_unit_test(grows_to_the_operators_weight),
        cmocka_unit_test(grows_over_a_day),
        cmocka_unit_test(starts_at_once_without_slowstart),
        cmocka_unit_test(one_that_always_was_up_has_its_weight),
        cmocka_unit_test(who_has_no_seat_need_not_grow),
        cmocka_unit_test(finds_the_member_of_a_session),
        cmocka_unit_test(compares_routes_whole),
        cmocka_unit_test(the_first_redirect_of_a_route_counts),
        cmocka_unit_test(nobody_is_at_the_route_of_one_that_is_away),
        cmocka_unit_test(a_route_is_known_though_its_member_is_stopped),
    };
    return cmocka_run_group_tests_name("udr_roster", tests, NULL, NULL);
}
