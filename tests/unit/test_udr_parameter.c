/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_parameter.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

/* One place of each kind. */
typedef struct sample_t {
    int number;
    int hundredths;
    int on;
    apr_interval_time_t time;
    apr_size_t size;
    const char *word;
} sample_t;

static const char *read_word(void *place, const char *text, apr_pool_t *p)
{
    if (!*text) {
        return "'' is no word";
    }
    *(const char **)place = apr_pstrdup(p, text);
    return NULL;
}

static const udr_parameter_t rows[] = {
    {.key = "number", .kind = UDR_PARAMETER_INT, .offset = offsetof(sample_t, number), .max = 9},
    {.key = "hundredths",
     .kind = UDR_PARAMETER_HUNDREDTHS,
     .offset = offsetof(sample_t, hundredths),
     .min = 100,
     .max = 10000},
    {.key = "on", .kind = UDR_PARAMETER_SWITCH, .offset = offsetof(sample_t, on)},
    {.key = "off", .kind = UDR_PARAMETER_OPPOSITE, .offset = offsetof(sample_t, on)},
    {.key = "time",
     .kind = UDR_PARAMETER_TIME,
     .offset = offsetof(sample_t, time),
     .max = APR_INT64_C(60000000),
     .unit = 1000},
    {.key = "size", .kind = UDR_PARAMETER_SIZE, .offset = offsetof(sample_t, size), .min = 1, .max = 4096},
    {.key = "word", .kind = UDR_PARAMETER_POINTER, .offset = offsetof(sample_t, word), .read = read_word},
    {.key = "nothing", .kind = UDR_PARAMETER_VOID, .why = "there is none"},
};
static const udr_parameter_table_t table = {.rows = rows, .count = LENGTH(rows)};

static const udr_parameter_t other_rows[] = {
    {.key = "numbers", .kind = UDR_PARAMETER_VOID, .why = "x"},
    {.key = "time", .kind = UDR_PARAMETER_VOID, .why = "x"},
};
static const udr_parameter_table_t other_table = {.rows = other_rows, .count = LENGTH(other_rows)};

static const sample_t unset = {.number = -1, .hundredths = -1, .on = -1, .time = -1};

/* (Not by memory: that has holes.) */
static void assert_same(const sample_t *a, const sample_t *b)
{
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->hundredths, b->hundredths);
    assert_int_equal(a->on, b->on);
    assert_int_equal(a->time, b->time);
    assert_int_equal(a->size, b->size);
    assert_ptr_equal(a->word, b->word);
}

static const char *set(sample_t *sample, const char *key, const char *value, const char **note)
{
    const udr_parameter_t *parameter = udr_parameter_find(&table, key);

    assert_non_null(parameter);
    return udr_parameter_read(parameter, sample, value, note, pool);
}

static void finds_keys_in_any_case(void **state)
{
    (void)state;
    assert_ptr_equal(udr_parameter_find(&table, "number"), &rows[0]);
    assert_ptr_equal(udr_parameter_find(&table, "NOTHING"), &rows[LENGTH(rows) - 1]);
    assert_null(udr_parameter_find(&table, "numbers"));
    assert_null(udr_parameter_find(&table, "numbe"));
    assert_null(udr_parameter_find(&table, ""));
}

static void reads_each_kind_into_its_place(void **state)
{
    sample_t sample = unset;
    const char *note = "untouched";

    (void)state;
    assert_null(set(&sample, "number", "7", &note));
    assert_null(note);
    assert_null(set(&sample, "hundredths", "1.5", &note));
    assert_null(set(&sample, "on", "On", &note));
    assert_null(set(&sample, "time", "5", &note));
    assert_null(set(&sample, "size", "1K", &note));
    assert_null(set(&sample, "word", "some", &note));
    assert_int_equal(sample.number, 7);
    assert_int_equal(sample.hundredths, 150);
    assert_int_equal(sample.on, 1);
    assert_int_equal(sample.time, 5000);
    assert_int_equal(sample.size, 1024);
    assert_string_equal(sample.word, "some");
    assert_null(set(&sample, "off", "On", &note));
    assert_int_equal(sample.on, 0);
}

static void says_the_key_with_each_error(void **state)
{
    static const char *const bad[][3] = {
        {"Number", "10", "number: '10' is out of range: 0 to 9"},
        {"hundredths", "x", "hundredths: 'x' is not a number: write one from 1 to 100, with at most two decimals"},
        {"on", "1", "on: '1' is neither On nor Off"},
        {"off", "1", "off: '1' is neither On nor Off"},
        {"time", "2min", "time: '2min' is out of range: 0 to 1min"},
        {"size", "5K", "size: '5K' is out of range: 1 to 4K"},
        {"word", "", "word: '' is no word"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        sample_t sample = unset;
        const char *note = "untouched";

        assert_string_equal(set(&sample, bad[i][0], bad[i][1], &note), bad[i][2]);
        assert_null(note);
        assert_same(&sample, &unset);
    }
}

static void notes_what_has_no_place(void **state)
{
    sample_t sample = unset;
    const char *note = NULL;

    (void)state;
    assert_null(set(&sample, "nothing", "whatever", &note));
    assert_string_equal(note, "nothing has no meaning over a Unix socket and is ignored: there is none");
    assert_same(&sample, &unset);
}

static void reads_numbers_with_two_decimals(void **state)
{
    static const struct {
        const char *text;
        int value;
    } good[] = {
        {"1", 100},    {"1.0", 100},   {"1.00", 100},  {"1.01", 101},     {"1.1", 110},
        {"9.99", 999}, {"10.5", 1050}, {"100", 10000}, {"100.00", 10000}, {"007.50", 750},
    };
    static const char *const far[] = {"0", "0.99", "100.01", "101", "10001", "99999999999999999999", "00.99", "1000.5"};
    static const char *const none[] = {"",   ".",  "1.", ".5",  "1.001", "1,5", "-1",
                                       "+1", " 1", "1 ", "1e2", "1.5.5", "0x1"};

    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++) {
        sample_t sample = unset;
        const char *note;
        const char *error = set(&sample, "hundredths", good[i].text, &note);

        if (error) {
            fail_msg("%s: %s", good[i].text, error);
        }
        assert_int_equal(sample.hundredths, good[i].value);
    }
    for (size_t i = 0; i < LENGTH(far); i++) {
        sample_t sample = unset;
        const char *note;

        assert_string_equal(set(&sample, "hundredths", far[i], &note),
                            apr_psprintf(pool, "hundredths: '%s' is out of range: 1 to 100", far[i]));
    }
    for (size_t i = 0; i < LENGTH(none); i++) {
        sample_t sample = unset;
        const char *note;
        const char *error = set(&sample, "hundredths", none[i], &note);

        if (!error || !strstr(error, "is not a number")) {
            fail_msg("'%s': %s", none[i], error ? error : "accepted");
        }
    }
}

static void inherits_what_is_unset(void **state)
{
    const sample_t from = {.number = 1, .hundredths = 200, .on = 0, .time = 3, .size = 4, .word = "from"};
    const sample_t set_already = {.number = 0, .hundredths = 100, .on = 1, .time = 0, .size = 1, .word = "into"};
    sample_t into = unset;

    (void)state;
    udr_parameter_inherit(&table, &into, &from);
    assert_same(&into, &from);
    into = set_already;
    udr_parameter_inherit(&table, &into, &from);
    assert_same(&into, &set_already);
    into = set_already;
    udr_parameter_inherit(&table, &into, &unset);
    assert_same(&into, &set_already);
}

static void proposes_of_two_tables_the_nearest_key(void **state)
{
    (void)state;
    assert_string_equal(
        udr_parameter_unknown("numbr", &table, NULL, pool),
        "'numbr' is no parameter, probably meant: number; there are: number, hundredths, on, off, time, "
        "size, word, nothing");
    assert_string_equal(udr_parameter_unknown("numberss", &table, &other_table, pool),
                        "'numberss' is no parameter, probably meant: numbers; there are: number, hundredths, on, off, "
                        "time, size, word, nothing, numbers");
    assert_string_equal(udr_parameter_unknown("colour", &other_table, NULL, pool),
                        "'colour' is no parameter; there are: numbers, time");
    /* Too far from any. */
    assert_string_equal(udr_parameter_unknown("timesxx", &other_table, NULL, pool),
                        "'timesxx' is no parameter; there are: numbers, time");
    assert_non_null(strstr(udr_parameter_unknown("tim", &table, &other_table, pool), "probably meant: time;"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_keys_in_any_case),
        cmocka_unit_test(reads_each_kind_into_its_place),
        cmocka_unit_test(says_the_key_with_each_error),
        cmocka_unit_test(notes_what_has_no_place),
        cmocka_unit_test(reads_numbers_with_two_decimals),
        cmocka_unit_test(inherits_what_is_unset),
        cmocka_unit_test(proposes_of_two_tables_the_nearest_key),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_parameter", tests, make_pool, drop_pool);
}
