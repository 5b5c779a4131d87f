/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_settings.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define SECOND        APR_USEC_PER_SEC
#define DAY           (24 * 3600 * SECOND)

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
        {"maxconn", settings->maxconn},
        {"queue", settings->queue},
        {"hold", settings->hold},
        {"retry", settings->retry},
        {"slowstart", settings->slow_start},
        {"loadfactor", settings->load_factor},
        {"lbset", settings->lbset},
        {"status", settings->status},
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
        {"maxconn", "0", 0},
        {"maxconn", "1000000", 1000000},
        {"queue", "0", 0},
        {"queue", "5", 5 * SECOND},
        {"queue", "24h", DAY},
        {"hold", "0", 0},
        {"hold", "3", 3 * SECOND},
        {"hold", "1h", 3600 * SECOND},
        {"retry", "0", 0},
        {"retry", "500ms", SECOND / 2},
        {"retry", "60", 60 * SECOND},
        {"slowstart", "0", 0},
        {"slowstart", "30", 30 * SECOND},
        {"loadfactor", "1", 100},
        {"loadfactor", "1.5", 150},
        {"loadfactor", "2.25", 225},
        {"loadfactor", "100", 10000},
        {"lbset", "0", 0},
        {"lbset", "99", 99},
        {"status", "+D", UDR_STATUS_DISABLED},
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
        {"maxconn", "-1", "maxconn: '-1' is out of range: 0 to 1000000"},
        {"maxconn", "1000001", "maxconn: '1000001' is out of range: 0 to 1000000"},
        {"queue", "25h", "queue: '25h' is out of range: 0 to 24h"},
        {"hold", "3601", "hold: '3601' is out of range: 0 to 1h"},
        {"retry", "25h", "retry: '25h' is out of range: 0 to 24h"},
        {"slowstart", "25h", "slowstart: '25h' is out of range: 0 to 24h"},
        {"loadfactor", "0.99", "loadfactor: '0.99' is out of range: 1 to 100"},
        {"loadfactor", "100.01", "loadfactor: '100.01' is out of range: 1 to 100"},
        {"loadfactor", "x", "loadfactor: 'x' is not a number: write one from 1 to 100, with at most two decimals"},
        {"lbset", "-1", "lbset: '-1' is out of range: 0 to 99"},
        {"lbset", "100", "lbset: '100' is out of range: 0 to 99"},
        {"hcinterval", "99ms", "hcinterval: '99ms' is out of range: 100ms to 24h"},
        {"hcinterval", "25h", "hcinterval: '25h' is out of range: 100ms to 24h"},
        {"hctimeout", "0", "hctimeout: '0' is out of range: 1ms to 24h"},
        {"hcpasses", "0", "hcpasses: '0' is out of range: 1 to 1000"},
        {"hcfails", "1001", "hcfails: '1001' is out of range: 1 to 1000"},
        {"hcexpr", "", "hcexpr: '' is no name"},
        {"hctemplate", "", "hctemplate: '' is no name"},
        {"hcagent", "1", "hcagent: '1' is neither On nor Off"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        assert_string_equal(refusal(rows[i].key, rows[i].value), rows[i].sentence);
    }
}

static void tells_which_unit_a_bare_number_has(void **state)
{
    static const char *const in_milliseconds[] = {"acquire", "flushwait"};
    static const char *const in_seconds[] = {"ttl",   "connectiontimeout", "timeout",    "queue",    "hold",
                                             "retry", "slowstart",         "hcinterval", "hctimeout"};

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
        "upgrade, maxconn, queue, hold, retry, slowstart, loadfactor, lbset, route, redirect, status, hcmethod, hcuri, "
        "hcinterval, hctimeout, hcpasses, hcfails, hcexpr, hctemplate, hcagent, addressttl, "
        "keepalive, ping, secret, mapping");
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
        {"holds", "hold"},
        {"load_factor", "loadfactor"},
        {"hcurl", "hcuri"},
        {"flavour", NULL},
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

/* --- protocols to upgrade to --- */

static void reads_protocols_to_upgrade_to(void **state)
{
    static const struct {
        const char *value;
        const char *read;
    } rows[] = {
        {"websocket", "websocket"},
        {"WebSocket", "WebSocket"},
        {"websocket,h2c", "websocket,h2c"},
        {"TLS/1.2,websocket", "TLS/1.2,websocket"},
        {"~!#$%&'*+-.^_`|", "~!#$%&'*+-.^_`|"},
        {"ANY", UDR_UPGRADE_ANY},
        {"any", UDR_UPGRADE_ANY},
        {"NONE", UDR_UPGRADE_NONE},
        {"none", UDR_UPGRADE_NONE},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        udr_settings_t settings;
        char value[32];

        udr_settings_init(&settings);
        assert_null(settings.upgrade);
        apr_cpystrn(value, rows[i].value, sizeof value);
        set(&settings, "upgrade", value);
        memset(value, '#', sizeof value); /* it is its own */
        assert_string_equal(settings.upgrade, rows[i].read);
        udr_settings_resolve(&settings, SECOND, false);
        assert_string_equal(settings.upgrade, rows[i].read);
    }
}

static void refuses_what_is_no_list_of_protocols(void **state)
{
    static const char *const values[] = {
        "",    ",",    "/",   "a/",      "/1",  "a/b/c",         "web socket",     "websocket, h2c",
        "a;b", "a,b/", "(a)", "a,\"b\"", "a=b", "any,websocket", "websocket,NONE",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(values); i++) {
        const char *sentence = refusal("upgrade", values[i]);
        assert_says(sentence, "upgrade: '");
        assert_says(sentence, values[i]);
        assert_says(sentence, "is no list of protocols: write websocket, ANY, NONE, or names with commas between them");
    }
}

/* Names of protocols are: case makes no difference to what may be upgraded to. */
static void compares_protocols_without_regard_to_case(void **state)
{
    udr_settings_t a;
    udr_settings_t b;

    (void)state;
    udr_settings_init(&a);
    udr_settings_init(&b);
    set(&a, "upgrade", "WebSocket");
    assert_false(udr_settings_equal(&a, &b));
    assert_false(udr_settings_equal(&b, &a));
    set(&b, "upgrade", "websocket");
    assert_true(udr_settings_equal(&a, &b));
}

/* --- routes of sessions --- */

static void reads_routes_of_sessions(void **state)
{
    static const char *const values[] = {
        "a",
        "node1",
        "host-1.node_2",
        "worker:8009",
        "a=b|c/d~e%41",
        "!",
        "123456789012345678901234567890123456789012345678901234567890123",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(values); i++) {
        udr_settings_t settings;
        char value[80];

        udr_settings_init(&settings);
        assert_null(settings.route);
        assert_null(settings.redirect);
        apr_cpystrn(value, values[i], sizeof value);
        set(&settings, "route", value);
        assert_null(settings.redirect);
        set(&settings, "redirect", value);
        memset(value, '#', sizeof value); /* it is its own */
        assert_string_equal(settings.route, values[i]);
        assert_string_equal(settings.redirect, values[i]);
    }
}

/* Each of these would end a cookie's value or a parameter in the URL, and the route with it. */
static void refuses_routes_that_would_not_come_back(void **state)
{
    static const char *const values[] = {
        "",
        "a b",
        "a;b",
        "a,b",
        "a\"b",
        "a\\b",
        "a?b",
        "a&b",
        "a#b",
        "a\tb",
        "a\x7f",
        "\xc3\xa4",
        "1234567890123456789012345678901234567890123456789012345678901234",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(values); i++) {
        assert_says(refusal("route", values[i]), "is no route: write 1 to 63 letters");
        assert_says(refusal("redirect", values[i]), "redirect: '");
    }
}

/* --- status --- */

static void reads_status_as_mod_proxy_does(void **state)
{
    static const struct {
        const char *value;
        int status;
    } rows[] = {
        {"D", UDR_STATUS_DISABLED},
        {"+D", UDR_STATUS_DISABLED},
        {"+d", UDR_STATUS_DISABLED},
        {"+S", UDR_STATUS_STOPPED},
        {"+I", UDR_STATUS_IGNORE_ERRORS},
        {"+R", UDR_STATUS_SPARE},
        {"+H", UDR_STATUS_STANDBY},
        {"+E", UDR_STATUS_ERROR},
        {"+N", UDR_STATUS_DRAINING},
        {"-D", 0},
        {"+DS", UDR_STATUS_DISABLED | UDR_STATUS_STOPPED},
        {"+D+S", UDR_STATUS_DISABLED | UDR_STATUS_STOPPED},
        {"+DS-D", UDR_STATUS_STOPPED},
        {"+DSI-DS+H", UDR_STATUS_IGNORE_ERRORS | UDR_STATUS_STANDBY},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        udr_settings_t settings;

        udr_settings_init(&settings);
        set(&settings, "status", rows[i].value);
        assert_int_equal(settings.status, rows[i].status);
    }
}

static void refuses_what_is_no_status(void **state)
{
    static const char *const values[] = {"", "+", "-", "+X", "D+", "+D-", "++D", "+D S", "C", "drain", "+D,S"};

    (void)state;
    for (size_t i = 0; i < LENGTH(values); i++) {
        assert_says(refusal("status", values[i]),
                    "is no status: write letters with '+' or '-' before them, such as +D");
    }
}

/* --- the whole --- */

static void resolves_every_default(void **state)
{
    udr_settings_t settings;

    (void)state;
    udr_settings_init(&settings);
    udr_settings_resolve(&settings, 300 * SECOND, false);
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
    assert_string_equal(settings.upgrade, "websocket");
    assert_int_equal(settings.maxconn, 0);
    assert_int_equal(settings.queue, 300 * SECOND);
    assert_int_equal(settings.hold, 2 * SECOND);
    assert_int_equal(settings.retry, SECOND);
    assert_int_equal(settings.slow_start, 0);
    assert_int_equal(settings.load_factor, 100);
    assert_int_equal(settings.lbset, 0);
    assert_int_equal(settings.status, 0);
    assert_null(settings.route);
    assert_null(settings.redirect);
}

static void resolves_dependent_defaults_from_what_is_set(void **state)
{
    udr_settings_t settings;

    (void)state;
    udr_settings_init(&settings);
    set(&settings, "max", "20");
    set(&settings, "timeout", "7");
    udr_settings_resolve(&settings, 300 * SECOND, false);
    assert_int_equal(settings.smax, 20);
    assert_int_equal(settings.timeout, 7 * SECOND);
    assert_int_equal(settings.acquire, 7 * SECOND);
    assert_int_equal(settings.queue, 7 * SECOND);
}

/* Of FastCGI, say. */
static void keeps_connections_for_less_long_where_each_has_a_process(void **state)
{
    udr_settings_t settings;

    (void)state;
    udr_settings_init(&settings);
    udr_settings_resolve(&settings, 300 * SECOND, true);
    assert_int_equal(settings.ttl, 5 * SECOND);
    udr_settings_init(&settings);
    set(&settings, "ttl", "7");
    udr_settings_resolve(&settings, 300 * SECOND, true);
    assert_int_equal(settings.ttl, 7 * SECOND);
}

/* What stands in the line of a member goes before what is said for all of them. */
static void inherits_what_is_unset(void **state)
{
    udr_settings_t settings;
    udr_settings_t defaults;

    (void)state;
    udr_settings_init(&settings);
    udr_settings_init(&defaults);
    set(&settings, "max", "0");
    set(&settings, "hold", "0");
    set(&settings, "upgrade", "NONE");
    set(&settings, "enablereuse", "off");
    set(&defaults, "max", "5");
    set(&defaults, "min", "2");
    set(&defaults, "hold", "9");
    set(&defaults, "retry", "8");
    set(&defaults, "upgrade", "ANY");
    set(&defaults, "disablereuse", "off");
    set(&defaults, "iobuffersize", "8K");
    set(&defaults, "peer", "7");
    udr_settings_inherit(&settings, &defaults);
    assert_int_equal(settings.max, 0);
    assert_int_equal(settings.min, 2);
    assert_int_equal(settings.hold, 0);
    assert_int_equal(settings.retry, 8 * SECOND);
    assert_string_equal(settings.upgrade, "NONE");
    assert_int_equal(settings.reuse, 0);
    assert_int_equal(settings.buffer_size, 8192);
    assert_ptr_equal(settings.peer, defaults.peer);
    assert_int_equal(settings.smax, -1);
    assert_int_equal(settings.field_size, 0);
    assert_null(settings.route);
}

static void knows_what_is_one_members_alone(void **state)
{
    (void)state;
    assert_true(udr_settings_is_individual("route"));
    assert_true(udr_settings_is_individual("Redirect"));
    assert_true(udr_settings_is_individual("status"));
    assert_false(udr_settings_is_individual("max"));
    assert_false(udr_settings_is_individual("loadfactor"));
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
        {"upgrade", "h2c"},
        {"maxconn", "9"},
        {"queue", "0"},
        {"hold", "0"},
        {"retry", "0"},
        {"slowstart", "10"},
        {"loadfactor", "11"},
        {"lbset", "12"},
        {"status", "-D"},
        {"route", "r"},
        {"redirect", "s"},
        {"hcmethod", "GET"},
        {"hcuri", "/healthz"},
        {"hcinterval", "13"},
        {"hctimeout", "12"},
        {"hcpasses", "14"},
        {"hcfails", "15"},
        {"hcexpr", "e"},
        {"hctemplate", "t"},
        {"hcagent", "on"},
    };
    udr_settings_t settings;
    udr_settings_t resolved;

    (void)state;
    udr_settings_init(&settings);
    for (size_t i = 0; i < LENGTH(values); i++) {
        set(&settings, values[i][0], values[i][1]);
    }
    resolved = settings;
    udr_settings_resolve(&resolved, 300 * SECOND, false);
    assert_true(udr_settings_equal(&settings, &resolved));
}

static void checks_that_a_check_ends_before_the_next(void **state)
{
    udr_settings_t settings;

    (void)state;
    udr_settings_init(&settings);
    set(&settings, "hcinterval", "2");
    set(&settings, "hctimeout", "3");
    assert_says(udr_settings_check(&settings, pool), "hctimeout=3000ms is more than hcinterval=2000ms");
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
        {"min", "1", "2"},
        {"max", "1", "2"},
        {"smax", "1", "2"},
        {"ttl", "1", "2"},
        {"acquire", "1", "2"},
        {"connectiontimeout", "1", "2"},
        {"timeout", "1", "2"},
        {"enablereuse", "on", "off"},
        {"flushwait", "1", "2"},
        {"flushpackets", "on", "off"},
        {"peer", "1", "2"},
        {"peer", "1:1", "1:2"},
        {"peer", "1", "1:1"},
        {"iobuffersize", "4K", "8K"},
        {"peer", "0", "root"},
        {"responsefieldsize", "4K", "8K"},
        {"upgrade", "a", "b"},
        {"upgrade", "ANY", "NONE"},
        {"maxconn", "1", "2"},
        {"queue", "1", "2"},
        {"hold", "1", "2"},
        {"retry", "1", "2"},
        {"slowstart", "1", "2"},
        {"loadfactor", "1", "1.01"},
        {"lbset", "1", "2"},
        {"status", "+D", "+S"},
        {"route", "a", "A"},
        {"redirect", "a", "b"},
        {"hcmethod", "GET", "GET11"},
        {"hcuri", "/a", "/A"},
        {"hcinterval", "1", "2"},
        {"hctimeout", "1", "2"},
        {"hcpasses", "1", "2"},
        {"hcfails", "1", "2"},
        {"hcexpr", "a", "b"},
        {"hctemplate", "a", "b"},
        {"hcagent", "on", "off"},
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
        cmocka_unit_test(reads_protocols_to_upgrade_to),
        cmocka_unit_test(refuses_what_is_no_list_of_protocols),
        cmocka_unit_test(compares_protocols_without_regard_to_case),
        cmocka_unit_test(reads_routes_of_sessions),
        cmocka_unit_test(refuses_routes_that_would_not_come_back),
        cmocka_unit_test(reads_status_as_mod_proxy_does),
        cmocka_unit_test(refuses_what_is_no_status),
        cmocka_unit_test(resolves_every_default),
        cmocka_unit_test(resolves_dependent_defaults_from_what_is_set),
        cmocka_unit_test(keeps_connections_for_less_long_where_each_has_a_process),
        cmocka_unit_test(inherits_what_is_unset),
        cmocka_unit_test(knows_what_is_one_members_alone),
        cmocka_unit_test(keeps_what_is_set_zero_included),
        cmocka_unit_test(checks_that_min_and_smax_fit_under_max),
        cmocka_unit_test(checks_that_a_check_ends_before_the_next),
        cmocka_unit_test(compares_every_member),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_settings", tests, make_pool, drop_pool);
}
