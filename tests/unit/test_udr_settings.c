/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_settings.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <strings.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define SECOND        APR_USEC_PER_SEC
#define DAY           (24 * 3600 * SECOND)

static apr_pool_t *pool;

static int make_pool(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL) != APR_SUCCESS;
}

static int drop_pool(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static void set(udr_settings_t *settings, const char *key, const char *value)
{
    const char *note = "untouched";
    const char *error = udr_settings_set(settings, key, value, &note, pool);

    if (error) {
        fail_msg("%s=%s: %s", key, value, error);
    }
    assert_null(note);
}

/* The sentence with which key=value is refused; nothing may have changed. */
static const char *refusal(const char *key, const char *value)
{
    udr_settings_t settings;
    udr_settings_t unset;
    const char *note = "untouched";
    const char *error;

    udr_settings_init(&settings);
    udr_settings_init(&unset);
    error = udr_settings_set(&settings, key, value, &note, pool);
    if (!error) {
        fail_msg("%s=%s is accepted", key, value);
    }
    assert_true(udr_settings_equal(&settings, &unset));
    assert_null(note);
    return error;
}

static void assert_says(const char *sentence, const char *part)
{
    if (!strstr(sentence, part)) {
        fail_msg("\"%s\" does not say \"%s\"", sentence, part);
    }
}

/* --- the table of keys --- */

/* The value of a member, whatever its type: so that one table tests all. */
static apr_int64_t value_of(const udr_settings_t *settings, const char *key)
{
    const struct {
        const char *key;
        apr_int64_t value;
    } places[] = {
        {"min", settings->min},
        {"max", settings->max},
        {"smax", settings->smax},
        {"ttl", settings->ttl},
        {"acquire", settings->acquire},
        {"connectiontimeout", settings->connect_timeout},
        {"timeout", settings->timeout},
        {"enablereuse", settings->reuse},
        {"disablereuse", settings->reuse},
        {"flushpackets", settings->flush},
        {"flushwait", settings->flush_wait},
        {"iobuffersize", (apr_int64_t)settings->buffer_size},
        {"responsefieldsize", (apr_int64_t)settings->field_size},
    };

    for (size_t i = 0; i < LENGTH(places); i++) {
        if (!strcasecmp(places[i].key, key)) {
            return places[i].value;
        }
    }
    fail_msg("no place for %s", key);
    return 0;
}

static void sets_one_member_for_each_key(void **state)
{
    static const struct {
        const char *key;
        const char *value;
        apr_int64_t expected;
    } rows[] = {
        {"min", "0", 0},
        {"min", "10000", 10000},
        {"max", "0", 0},
        {"max", "1000000", 1000000},
        {"smax", "0", 0},
        {"smax", "1000000", 1000000},
        {"ttl", "0", 0},
        {"ttl", "90", 90 * SECOND},
        {"ttl", "24h", DAY},
        {"acquire", "1", 1000},
        {"acquire", "3000", 3 * SECOND},
        {"acquire", "24h", DAY},
        {"connectiontimeout", "5", 5 * SECOND},
        {"connectiontimeout", "1ms", 1000},
        {"timeout", "30", 30 * SECOND},
        {"timeout", "1ms", 1000},
        {"timeout", "86400", DAY},
        {"Timeout", "2min", 120 * SECOND},
        {"enablereuse", "On", 1},
        {"enablereuse", "off", 0},
        {"disablereuse", "on", 0},
        {"disablereuse", "OFF", 1},
        {"flushpackets", "auto", UDR_FLUSH_AUTO},
        {"flushpackets", "On", UDR_FLUSH_ON},
        {"flushpackets", "off", UDR_FLUSH_OFF},
        {"flushwait", "1", 1000},
        {"flushwait", "50", 50 * 1000},
        {"flushwait", "10s", 10 * SECOND},
        {"iobuffersize", "4096", 4096},
        {"iobuffersize", "16M", 16 << 20},
        {"responsefieldsize", "64", 64},
        {"responsefieldsize", "1m", 1 << 20},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        udr_settings_t settings;
        udr_settings_t unset;

        udr_settings_init(&settings);
        udr_settings_init(&unset);
        set(&settings, rows[i].key, rows[i].value);
        assert_int_equal(value_of(&settings, rows[i].key), rows[i].expected);
        assert_false(udr_settings_equal(&settings, &unset));
    }
}

static void refuses_bad_values_naming_key_value_and_range(void **state)
{
    static const struct {
        const char *key;
        const char *value;
        const char *sentence;
    } rows[] = {
        {"min", "-1", "min: '-1' is out of range: 0 to 10000"},
        {"min", "10001", "min: '10001' is out of range: 0 to 10000"},
        {"MAX", "1000001", "max: '1000001' is out of range: 0 to 1000000"},
        {"max", "many", "max: 'many' is not a number: write a whole number from 0 to 1000000"},
        {"smax", "1000001", "smax: '1000001' is out of range: 0 to 1000000"},
        {"ttl", "25h", "ttl: '25h' is out of range: 0 to 24h"},
        {"acquire", "0", "acquire: '0' is out of range: 1ms to 24h"},
        {"acquire", "86400001", "acquire: '86400001' is out of range: 1ms to 24h"},
        {"connectiontimeout", "0", "connectiontimeout: '0' is out of range: 1ms to 24h"},
        {"connectiontimeout", "25h", "connectiontimeout: '25h' is out of range: 1ms to 24h"},
        {"timeout", "0", "timeout: '0' is out of range: 1ms to 24h"},
        {"timeout", "86401", "timeout: '86401' is out of range: 1ms to 24h"},
        {"enablereuse", "1", "enablereuse: '1' is neither On nor Off"},
        {"disablereuse", "", "disablereuse: '' is neither On nor Off"},
        {"flushpackets", "1", "flushpackets: '1' is none of auto, on, off"},
        {"flushwait", "0", "flushwait: '0' is out of range: 1ms to 10s"},
        {"flushwait", "10001", "flushwait: '10001' is out of range: 1ms to 10s"},
        {"iobuffersize", "4095", "iobuffersize: '4095' is out of range: 4K to 16M"},
        {"iobuffersize", "17M", "iobuffersize: '17M' is out of range: 4K to 16M"},
        {"responsefieldsize", "63", "responsefieldsize: '63' is out of range: 64 to 1M"},
        {"responsefieldsize", "1025K", "responsefieldsize: '1025K' is out of range: 64 to 1M"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        assert_string_equal(refusal(rows[i].key, rows[i].value), rows[i].sentence);
    }
}

static void tells_which_unit_a_bare_number_has(void **state)
{
    static const char *const in_milliseconds[] = {"acquire", "flushwait"};
    static const char *const in_seconds[] = {"ttl", "connectiontimeout", "timeout"};

    (void)state;
    for (size_t i = 0; i < LENGTH(in_milliseconds); i++) {
        assert_says(refusal(in_milliseconds[i], "x"), "(a bare number counts milliseconds)");
    }
    for (size_t i = 0; i < LENGTH(in_seconds); i++) {
        assert_says(refusal(in_seconds[i], "x"), "(a bare number counts seconds)");
    }
}

static void lets_the_later_of_two_opposites_count(void **state)
{
    udr_settings_t settings;

    (void)state;
    udr_settings_init(&settings);
    set(&settings, "enablereuse", "on");
    set(&settings, "disablereuse", "on");
    assert_int_equal(settings.reuse, 0);
    set(&settings, "enablereuse", "on");
    assert_int_equal(settings.reuse, 1);
}

static void notes_keys_without_a_meaning(void **state)
{
    static const char *const keys[] = {"addressttl", "keepalive", "ping", "secret", "mapping"};

    (void)state;
    for (size_t i = 0; i < LENGTH(keys); i++) {
        udr_settings_t settings;
        udr_settings_t unset;
        const char *note = NULL;

        udr_settings_init(&settings);
        udr_settings_init(&unset);
        assert_null(udr_settings_set(&settings, keys[i], "whatever", &note, pool));
        assert_non_null(note);
        assert_says(note, apr_pstrcat(pool, keys[i], " has no meaning over a Unix socket and is ignored: ", NULL));
        assert_true(udr_settings_equal(&settings, &unset));
    }
}

/* --- unknown keys --- */

static void lists_the_known_keys_to_who_writes_an_unknown_one(void **state)
{
    (void)state;
    assert_string_equal(
        refusal("colour", "green"),
        "'colour' is no parameter; there are: min, max, smax, ttl, acquire, connectiontimeout, timeout, "
        "enablereuse, disablereuse, flushpackets, flushwait, iobuffersize, responsefieldsize, peer, "
        "addressttl, keepalive, ping, secret, mapping");
    assert_says(refusal("", "1"), "'' is no parameter; there are");
}

static void proposes_the_nearest_key(void **state)
{
    static const struct {
        const char *key;
        const char *meant; /* NULL: none is near */
    } rows[] = {
        {"timout", "timeout"},
        {"tiemout", "timeout"},
        {"timeouts", "timeout"},
        {"TIMOUT", "timeout"},
        {"connecttimeout", NULL},
        {"conectiontimeout", "connectiontimeout"},
        {"maxx", "max"},
        {"mx", "max"},
        {"tt", "ttl"},
        {"smaxx", "smax"},
        {"enable_reuse", "enablereuse"},
        {"flush-packets", "flushpackets"},
        {"x", NULL},
        {"hold", NULL},
        {"loadfactor", NULL},
        {"connectiontimeoutconnectiontimeoutconnectiontimeout", NULL},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const char *sentence = refusal(rows[i].key, "1");

        if (rows[i].meant) {
            assert_says(sentence, apr_psprintf(pool, "'%s' is no parameter, probably meant: %s; there are", rows[i].key,
                                               rows[i].meant));
        } else {
            assert_says(sentence, apr_psprintf(pool, "'%s' is no parameter; there are", rows[i].key));
        }
    }
}

/* --- peer --- */

static const udr_peer_t *peer(const char *value)
{
    udr_settings_t settings;

    udr_settings_init(&settings);
    set(&settings, "peer", value);
    return settings.peer;
}

static void reads_peers_by_number(void **state)
{
    (void)state;
    assert_true(peer("1000")->check_user);
    assert_int_equal(peer("1000")->user, 1000);
    assert_false(peer("1000")->check_group);
    assert_true(peer("0:4294967294")->check_user);
    assert_int_equal(peer("0:4294967294")->user, 0);
    assert_true(peer("0:4294967294")->check_group);
    assert_int_equal(peer("0:4294967294")->group, 4294967294U);
    assert_string_equal(peer("0:12")->text, "0:12");
}

/* Whoever is in the system's database: not root, whose ids would be right by accident. */
static void reads_peers_by_name(void **state)
{
    const struct passwd *user = getpwnam("nobody");
    const struct group *group = getgrnam("mail");
    const udr_peer_t *result = peer("nobody:mail");

    (void)state;
    assert_non_null(user);
    assert_non_null(group);
    assert_true(result->check_user);
    assert_true(result->check_group);
    assert_int_equal(result->user, user->pw_uid);
    assert_int_equal(result->group, group->gr_gid);
    assert_string_equal(result->text, "nobody:mail");
}

static void refuses_unknown_and_malformed_peers(void **state)
{
    (void)state;
    assert_string_equal(refusal("peer", "no-such-user"),
                        "peer: there is no user 'no-such-user': write a name from getent, or a number");
    assert_string_equal(refusal("peer", "nobody:no-such-group"),
                        "peer: there is no group 'no-such-group': write a name from getent, or a number");
    assert_says(refusal("peer", ""), "peer: '' is incomplete: write user or user:group");
    assert_says(refusal("peer", ":mail"), "':mail' is incomplete");
    assert_says(refusal("peer", "nobody:"), "'nobody:' is incomplete");
    assert_string_equal(refusal("peer", "4294967295"), "peer: '4294967295' is out of range: 0 to 4294967294");
    assert_says(refusal("peer", "0:4294967296"), "'4294967296' is out of range");
    assert_says(refusal("peer", "18446744073709551616"), "is out of range");
    assert_says(refusal("peer", "-1"), "there is no user '-1'");
    assert_says(refusal("peer", "1:2:3"), "there is no group '2:3'");
}

/* --- the whole --- */

static void resolves_every_default(void **state)
{
    udr_settings_t settings;

    (void)state;
    udr_settings_init(&settings);
    udr_settings_resolve(&settings, 300 * SECOND);
    assert_int_equal(settings.min, 0);
    assert_int_equal(settings.max, 0);
    assert_int_equal(settings.smax, 0);
    assert_int_equal(settings.ttl, 60 * SECOND);
    assert_int_equal(settings.acquire, 300 * SECOND);
    assert_int_equal(settings.connect_timeout, 5 * SECOND);
    assert_int_equal(settings.timeout, 300 * SECOND);
    assert_int_equal(settings.reuse, 1);
    assert_int_equal(settings.flush, UDR_FLUSH_AUTO);
    assert_int_equal(settings.flush_wait, 10 * 1000);
    assert_int_equal(settings.buffer_size, 64 * 1024);
    assert_int_equal(settings.field_size, 16 * 1024);
    assert_null(settings.peer);
}

static void resolves_dependent_defaults_from_what_is_set(void **state)
{
    udr_settings_t settings;

    (void)state;
    udr_settings_init(&settings);
    set(&settings, "max", "20");
    set(&settings, "timeout", "7");
    udr_settings_resolve(&settings, 300 * SECOND);
    assert_int_equal(settings.smax, 20);
    assert_int_equal(settings.timeout, 7 * SECOND);
    assert_int_equal(settings.acquire, 7 * SECOND);
}

static void keeps_what_is_set_zero_included(void **state)
{
    static const char *const values[][2] = {
        {"min", "3"},
        {"max", "30"},
        {"smax", "0"},
        {"ttl", "0"},
        {"acquire", "5"},
        {"timeout", "6"},
        {"connectiontimeout", "7"},
        {"enablereuse", "off"},
        {"flushpackets", "on"},
        {"flushwait", "8"},
        {"iobuffersize", "8K"},
        {"responsefieldsize", "1K"},
        {"peer", "0"},
    };
    udr_settings_t settings;
    udr_settings_t resolved;

    (void)state;
    udr_settings_init(&settings);
    for (size_t i = 0; i < LENGTH(values); i++) {
        set(&settings, values[i][0], values[i][1]);
    }
    resolved = settings;
    udr_settings_resolve(&resolved, 300 * SECOND);
    assert_true(udr_settings_equal(&settings, &resolved));
}

static void checks_that_min_and_smax_fit_under_max(void **state)
{
    udr_settings_t settings;

    (void)state;
    udr_settings_init(&settings);
    assert_null(udr_settings_check(&settings, pool));
    set(&settings, "min", "5");
    set(&settings, "smax", "6");
    assert_null(udr_settings_check(&settings, pool));
    set(&settings, "max", "0");
    assert_null(udr_settings_check(&settings, pool));
    set(&settings, "max", "6");
    assert_null(udr_settings_check(&settings, pool));
    set(&settings, "max", "5");
    assert_string_equal(udr_settings_check(&settings, pool),
                        "smax=6 is more than max=5: lower the one or raise the other");
    set(&settings, "smax", "5");
    assert_null(udr_settings_check(&settings, pool));
    set(&settings, "max", "4");
    set(&settings, "smax", "4");
    assert_string_equal(udr_settings_check(&settings, pool),
                        "min=5 is more than max=4: lower the one or raise the other");
}

/* Each member counts; sets_one_member_for_each_key() shows the same against "unset". */
static void compares_every_member(void **state)
{
    static const char *const values[][3] = {
        {"min", "1", "2"},       {"max", "1", "2"},
        {"smax", "1", "2"},      {"ttl", "1", "2"},
        {"acquire", "1", "2"},   {"connectiontimeout", "1", "2"},
        {"timeout", "1", "2"},   {"enablereuse", "on", "off"},
        {"flushwait", "1", "2"}, {"flushpackets", "on", "off"},
        {"peer", "1", "2"},      {"peer", "1:1", "1:2"},
        {"peer", "1", "1:1"},    {"iobuffersize", "4K", "8K"},
        {"peer", "0", "root"},   {"responsefieldsize", "4K", "8K"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(values); i++) {
        udr_settings_t a;
        udr_settings_t same;
        udr_settings_t other;

        udr_settings_init(&a);
        udr_settings_init(&same);
        udr_settings_init(&other);
        set(&a, values[i][0], values[i][1]);
        set(&same, values[i][0], values[i][1]);
        set(&other, values[i][0], values[i][2]);
        assert_true(udr_settings_equal(&a, &same));
        assert_false(udr_settings_equal(&a, &other));
    }
}

/* One text may mean other ids, when the system's database has changed between two readings. */
static void compares_peers_by_ids_too(void **state)
{
    static const udr_peer_t peers[] = {
        {.text = "app", .check_user = true, .user = 1},
        {.text = "app", .check_user = true, .user = 2},
        {.text = "app", .check_user = true, .user = 1, .check_group = true},
        {.text = "app", .check_user = true, .user = 1, .check_group = true, .group = 1},
        {.text = "app", .user = 1},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(peers); i++) {
        for (size_t j = 0; j < LENGTH(peers); j++) {
            udr_settings_t a;
            udr_settings_t b;

            udr_settings_init(&a);
            udr_settings_init(&b);
            a.peer = &peers[i];
            b.peer = &peers[j];
            assert_int_equal(udr_settings_equal(&a, &b), i == j);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_one_member_for_each_key),
        cmocka_unit_test(refuses_bad_values_naming_key_value_and_range),
        cmocka_unit_test(tells_which_unit_a_bare_number_has),
        cmocka_unit_test(lets_the_later_of_two_opposites_count),
        cmocka_unit_test(notes_keys_without_a_meaning),
        cmocka_unit_test(lists_the_known_keys_to_who_writes_an_unknown_one),
        cmocka_unit_test(proposes_the_nearest_key),
        cmocka_unit_test(reads_peers_by_number),
        cmocka_unit_test(reads_peers_by_name),
        cmocka_unit_test(refuses_unknown_and_malformed_peers),
        cmocka_unit_test(resolves_every_default),
        cmocka_unit_test(resolves_dependent_defaults_from_what_is_set),
        cmocka_unit_test(keeps_what_is_set_zero_included),
        cmocka_unit_test(checks_that_min_and_smax_fit_under_max),
        cmocka_unit_test(compares_every_member),
        cmocka_unit_test(compares_peers_by_ids_too),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_settings", tests, make_pool, drop_pool);
}
