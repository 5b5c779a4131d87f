/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_utf8.h"

#include <string.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

static void knows_characters_of_each_length(void **state)
{
    /* The first and last of each length, and what lies beside the surrogates. */
    static const char *const characters[] = {
        "\x01",         "\x7f",         "\xc2\x80",     "\xdf\xbf",         "\xe0\xa0\x80",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    (void)state;
    for (size_t i = 0; i < LENGTH(characters); i++) {
        char text[8];
        strcpy(text, characters[i]);
        strcat(text, "x");
        assert_int_equal(udr_utf8_length(text), strlen(characters[i]));
    }
}

static void refuses_what_is_none(void **state)
{
    static const char *const texts[] = {
        "",                 /* nothing */
        "\x80",             /* continues nothing */
        "\xc0\x80",         /* longer than need be */
        "\xc1\xbf",         /* likewise */
        "\xe0\x9f\xbf",     /* likewise */
        "\xf0\x8f\xbf\xbf", /* likewise */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf5\x80\x80\x80", /* likewise */
        "\xff",             /* nothing begins so */
        "\xc3",             /* broken off */
        "\xe2\x82",         /* likewise */
        "\xf0\x9f\x90",     /* likewise */
        "\xe2\x82x",        /* broken off by another */
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        assert_int_equal(udr_utf8_length(texts[i]), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_characters_of_each_length),
        cmocka_unit_test(refuses_what_is_none),
    };
    return cmocka_run_group_tests_name("udr_utf8", tests, NULL, NULL);
}
