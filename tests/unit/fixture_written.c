/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fixture_written.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

char written[4096];
static apr_size_t written_len;

void forget_written(void)
{
    written_len = 0;
    written[0] = '\0';
}

void keep_written(void *baton, const char *text, apr_size_t len)
{
    assert_ptr_equal(baton, written);
    assert_int_not_equal(len, 0);
    assert_true(written_len + len < sizeof written);
    memcpy(written + written_len, text, len);
    written_len += len;
    written[written_len] = '\0';
}
