/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_utf8.h"

#include <stdbool.h>

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

apr_size_t udr_utf8_length(const char *text_)
{
    const unsigned char *text = (const unsigned char *)text_;
    /* By the first byte, what the second may be. */
    static const struct {
        unsigned char from, to, second_from, second_to;
        apr_size_t length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        apr_size_t length = forms[i].length;
        if (*text < forms[i].from || *text > forms[i].to) {
            continue;
        }
        if (length > 1 && (text[1] < forms[i].second_from || text[1] > forms[i].second_to)) {
            return 0;
        }
        for (apr_size_t at = 2; at < length; at++) {
            if (!is_continuation(text[at])) {
                return 0;
            }
        }
        return length;
    }
    return 0;
}
