/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_hash.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* What the reference implementation (libxxhash 0.8) says of them; each length goes another way through the end. */
static void agrees_with_the_reference(void **state)
{
    static const struct {
        const char *text;
        apr_uint64_t hash;
    } rows[] = {
        {"", APR_UINT64_C(0xef46db3751d8e999)},
        {"a", APR_UINT64_C(0xd24ec4f1a98c6e5b)},
        {"abc", APR_UINT64_C(0x44bc2cf5ad770999)},
        {"10.1", APR_UINT64_C(0xfba3aa6a6850ca3f)},
        {"192.0.2", APR_UINT64_C(0x8c7f1d7238b829a8)},
        {"10.0.0.1", APR_UINT64_C(0xed16cb68c786e3d7)},
        {"192.0.2.1:80", APR_UINT64_C(0x2575fee6cd5551a8)},
        {"2001:db8::1 42", APR_UINT64_C(0xd87e90599b32449d)},
        {"0123456789abcdef0123456789abcde", APR_UINT64_C(0x1fdfc63febacfde7)},
        {"0123456789abcdef0123456789abcdef", APR_UINT64_C(0x642a94958e71e6c5)},
        {"0123456789abcdef0123456789abcdef0", APR_UINT64_C(0xe87684f08d6d0816)},
        {"/catalogue/search?q=socket&page=2&sort=price&order=descending&n=50", APR_UINT64_C(0xf19d0abae787a1d2)},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(udr_hash_bytes(rows[i].text, strlen(rows[i].text)), rows[i].hash);
    }
}

static void reads_bytes_as_such(void **state)
{
    unsigned char bytes[256];
    (void)state;
    for (size_t i = 0; i < COUNT(bytes); i++) {
        bytes[i] = (unsigned char)i;
    }
    assert_int_equal(udr_hash_bytes(bytes, COUNT(bytes)), APR_UINT64_C(0x1facbe8406cd904b));
}

/* Where it lies in memory makes no difference. */
static void reads_from_any_address(void **state)
{
    char room[80];
    const char *text = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
    apr_uint64_t expected = udr_hash_bytes(text, strlen(text));
    (void)state;
    for (size_t shift = 1; shift < 16; shift++) {
        memcpy(room + shift, text, strlen(text));
        assert_int_equal(udr_hash_bytes(room + shift, strlen(text)), expected);
    }
}

/* Numbers that differ in one bit come out different in about half of the bits. */
static void mixes_each_bit_into_all(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        int differing = 0;
        for (apr_uint64_t number = 0; number < 1000; number++) {
            differing += __builtin_popcountll(udr_hash_mix(number) ^ udr_hash_mix(number ^ ((apr_uint64_t)1 << bit)));
        }
        assert_in_range(differing, 31000, 33000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference),
        cmocka_unit_test(reads_bytes_as_such),
        cmocka_unit_test(reads_from_any_address),
        cmocka_unit_test(mixes_each_bit_into_all),
    };
    return cmocka_run_group_tests_name("udr_hash", tests, NULL, NULL);
}
