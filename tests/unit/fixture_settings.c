/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fixture_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <apr_strings.h>

#include <string.h>

void settings_read(const char *words, const char *(*set)(void *baton, const char *key, const char *value), void *baton,
                   apr_pool_t *p)
{
    char *rest = NULL;
    for (char *word = apr_strtok(apr_pstrdup(p, words), " ", &rest); word; word = apr_strtok(NULL, " ", &rest)) {
        char *value = strchr(word, '=');
        assert_non_null(value);
        *value++ = '\0';
        const char *error = set(baton, word, value);
        if (error) {
            fail_msg("%s", error);
        }
    }
}

typedef struct reading_t {
    udr_settings_t settings;
    apr_pool_t *p;
} reading_t;

static const char *set_one(void *baton, const char *key, const char *value)
{
    reading_t *reading = baton;
    const char *note;
    return udr_settings_set(&reading->settings, key, value, &note, reading->p);
}

udr_settings_t settings_of(const char *words, apr_pool_t *p)
{
    reading_t reading = {.p = p};
    udr_settings_init(&reading.settings);
    settings_read(words, set_one, &reading, p);
    return reading.settings;
}
