/* SPDX-License-Identifier: Apache-2.0 */
/* What HTTP/1 messages are made of (RFC 9110, 5 and 8.6; RFC 9112, 5): characters, lists, numbers, field lines.
 * Layer: core; pure: looks at the bytes given, keeps nothing. Used by the reader of responses (udr_http1*.c) and
 * udr_fields.c. What is called for each byte or each field is defined here, to be inlined. */
#ifndef UDR_HTTP1_SYNTAX_H
#define UDR_HTTP1_SYNTAX_H

#include "mod_udsroute/udr_codec.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Classes of characters; a byte may be of both. */
enum {
    UDR_HTTP1_TEXT = 1, /* in a field value or a reason: HTAB, SP, VCHAR, obs-text (RFC 9110, 5.5; RFC 9112, 4) */
    UDR_HTTP1_TOKEN = 2 /* in a field name (RFC 9110, 5.6.2) */
};

/* The classes of each byte, or-ed together. */
extern const unsigned char udr_http1_classes[256];

static inline bool udr_http1_is(char byte, int class)
{
    return (udr_http1_classes[(unsigned char)byte] & class) != 0;
}

static inline bool udr_http1_is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

static inline bool udr_http1_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* 0 to 15, or -1 for what is not a hexadecimal digit. */
static inline int udr_http1_hex_value(char byte)
{
    if (udr_http1_is_digit(byte)) {
        return byte - '0';
    }
    const int letter = byte | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* The bytes from start to before end, without the white space around them. */
static inline udr_slice_t udr_http1_trimmed(const char *start, const char *end)
{
    while (start < end && udr_http1_is_space(*start)) {
        start++;
    }
    while (end > start && udr_http1_is_space(end[-1])) {
        end--;
    }
    return (udr_slice_t){start, (apr_size_t)(end - start)};
}

/* Whether text is `lower`, which consists of small letters and '-', in any case. In text that was found good, setting
 * that bit makes nothing a letter or a '-' that is none. (strncasecmp(3) would ask the locale.) */
static inline bool udr_http1_equals(udr_slice_t text, const char *lower, apr_size_t len)
{
    if (text.len != len) {
        return false;
    }
    for (apr_size_t i = 0; i < len; i++) {
        if ((text.ptr[i] | 0x20) != lower[i]) {
            return false;
        }
    }
    return true;
}

#define UDR_HTTP1_EQUALS(text, literal) udr_http1_equals((text), (literal), sizeof(literal) - 1)

/* How many bytes at the start are of the class. */
static inline apr_size_t udr_http1_span(udr_slice_t text, int class)
{
    apr_size_t count = 0;
    while (count < text.len && udr_http1_is(text.ptr[count], class)) {
        count++;
    }
    return count;
}

/* Whether none of eight bytes is a control character: from 0x20 on, and not DEL. (A tab is text, too; it is looked at
 * by itself.) Subtracting n from each byte sets its high bit where it was below n, or high before. */
static inline bool udr_http1_are_plain(const char bytes[8])
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = ones * 0x80;
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    const uint64_t del = word ^ (ones * 0x7f); /* 0 where it is one */
    return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & highs) == 0;
}

/* How many bytes at the start are UDR_HTTP1_TEXT. */
static inline apr_size_t udr_http1_span_text(udr_slice_t text)
{
    apr_size_t count = 0;
    while (text.len - count >= 8 && udr_http1_are_plain(text.ptr + count)) {
        count += 8;
    }
    while (count < text.len && udr_http1_is(text.ptr[count], UDR_HTTP1_TEXT)) {
        count++;
    }
    return count;
}

/* Takes the next element of a comma-separated list (RFC 9110, 5.6.1), without the white space around it; it may be
 * empty. Returns false when there was none left. A list whose ptr is NULL has none. */
bool udr_http1_list_next(udr_slice_t *list, udr_slice_t *element);

/* The functions below return NULL, or a static sentence that says what is wrong; then their result is not written. */

/* Says what is wrong with a byte that is not text. */
__attribute__((returns_nonnull)) const char *udr_http1_why_not_text(char byte);

/* Says what is wrong with a line that is no field: not empty; it begins with `good` token characters, and either they
 * are none or no colon follows. */
__attribute__((returns_nonnull)) const char *udr_http1_why_not_name(udr_slice_t line, apr_size_t good);

/* Checks that all of it may stand in a field value or a reason. */
static inline const char *udr_http1_check_text(udr_slice_t text)
{
    const apr_size_t good = udr_http1_span_text(text);
    return good < text.len ? udr_http1_why_not_text(text.ptr[good]) : NULL;
}

/* Takes a field line apart. line: without its end, and not empty. */
static inline const char *udr_http1_parse_field(udr_slice_t line, udr_field_t *field)
{
    const apr_size_t name = udr_http1_span(line, UDR_HTTP1_TOKEN);
    if (name == 0 || name == line.len || line.ptr[name] != ':') {
        return udr_http1_why_not_name(line, name);
    }
    const udr_slice_t value = {line.ptr + name + 1, line.len - name - 1};
    const char *why = udr_http1_check_text(value);
    if (why) {
        return why;
    }
    field->name = (udr_slice_t){line.ptr, name};
    field->value = udr_http1_trimmed(value.ptr, value.ptr + value.len);
    return NULL;
}

/* Reads one element of a Content-Length: 1*DIGIT (RFC 9110, 8.6), to 2^63-1. */
const char *udr_http1_parse_length(udr_slice_t text, apr_uint64_t *length);

#endif
