/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_builtin.h"

#include <stdlib.h>
#include <string.h>

static void each_line_holds_its_offset(void **state)
{
    char text[65] = "";

    (void)state;
    udsb_builtin_fill(text, 0, 64);
    assert_string_equal(text, "000000000000000\n000000000000010\n000000000000020\n000000000000030\n");
    udsb_builtin_fill(text, 0xabcdef0123450, 16);
    assert_memory_equal(text, "00abcdef0123450\n", 16);
}

static void any_piece_is_a_piece_of_the_whole(void **state)
{
    enum { SIZE = 4096 };
    char *const whole = malloc(SIZE), *const piece = malloc(SIZE);

    (void)state;
    udsb_builtin_fill(whole, 0, SIZE);
    for (size_t position = 0; position < 40; position++) {
        for (size_t size = 0; size < 70; size++) {
            memset(piece, 'x', size + 1);
            udsb_builtin_fill(piece, position, size);
            assert_memory_equal(piece, whole + position, size);
            assert_int_equal(piece[size], 'x');
        }
    }
    free(whole);
    free(piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_line_holds_its_offset),
                                       cmocka_unit_test(any_piece_is_a_piece_of_the_whole)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
