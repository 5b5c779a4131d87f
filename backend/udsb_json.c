/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_json.h"
#include "backend/udsb_utf8.h"

#include <gnutls/gnutls.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(udsb_text_t *text, size_t length)
{
    size_t capacity = text->capacity ? text->capacity : 1024;
    char *data;

    if (text->has_failed)
        return false;
    if (text->length + length <= text->capacity)
        return true;
    while (capacity < text->length + length)
        capacity *= 2;
    data = realloc(text->data, capacity);
    if (!data) {
        text->has_failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void udsb_text_add(udsb_text_t *text, const void *data, size_t length)
{
    if (!length || !make_room(text, length))
        return;
    memcpy(text->data + text->length, data, length);
    text->length += length;
}

void udsb_text_format(udsb_text_t *text, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    const int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof line)
        text->has_failed = true;
    else
        udsb_text_add(text, line, (size_t)length);
}

void udsb_text_clear(udsb_text_t *text)
{
    free(text->data);
    *text = (udsb_text_t){0};
}

/* The length of the UTF-8 character at data, 0 if there is none. */
static size_t character_length(const unsigned char *data, size_t length)
{
    const size_t size = *data < 0x80 ? 1 : *data < 0xe0 ? 2 : *data < 0xf0 ? 3 : 4;

    return size <= length && udsb_utf8_is_valid(data, size) ? size : 0;
}

void udsb_json_string(udsb_text_t *text, const char *data, size_t length)
{
    const unsigned char *c = (const unsigned char *)data;
    const unsigned char *const end = c + length;

    udsb_text_add(text, "\"", 1);
    while (c < end) {
        const size_t size = character_length(c, (size_t)(end - c));

        if (size == 0)
            udsb_text_add(text, "\xef\xbf\xbd", 3);
        else if (*c == '"' || *c == '\\')
            udsb_text_format(text, "\\%c", *c);
        else if (*c < ' ' || *c == 0x7f)
            udsb_text_format(text, "\\u%04x", (unsigned)*c);
        else
            udsb_text_add(text, c, size);
        c += size ? size : 1;
    }
    udsb_text_add(text, "\"", 1);
}

void udsb_json_base64(udsb_text_t *text, const void *data, size_t length)
{
    const gnutls_datum_t bytes = {.data = (unsigned char *)(uintptr_t)data, .size = (unsigned)length};
    gnutls_datum_t encoded;

    udsb_text_add(text, "\"", 1);
    if (length) {
        if (gnutls_base64_encode2(&bytes, &encoded) == GNUTLS_E_SUCCESS) {
            udsb_text_add(text, encoded.data, encoded.size);
            gnutls_free(encoded.data);
        } else {
            text->has_failed = true;
        }
    }
    udsb_text_add(text, "\"", 1);
}
