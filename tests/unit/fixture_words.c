/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fixture_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

apr_pool_t *pool;

int make_pool(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL) != APR_SUCCESS;
}

int drop_pool(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

void check_says(const char *sentence, const char *part, const char *file, int line)
{
    if (!strstr(sentence, part)) {
        print_error("\"%s\" does not say \"%s\"\n", sentence, part);
        _fail(file, line);
    }
}
