/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/fixture_transcript.h"

void clear(transcript_t *transcript)
{
    transcript->text[0] = '\0';
    transcript->len = 0;
    transcript->run = UDR_CODEC_MORE;
}

void say(transcript_t *transcript, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int len = vsnprintf(transcript->text + transcript->len, TRANSCRIPT_MAX - transcript->len, format, arguments);
    va_end(arguments);
    assert_in_range(len, 0, TRANSCRIPT_MAX - transcript->len - 1);
    transcript->len += (size_t)len;
}

void say_slice(transcript_t *transcript, udr_slice_t slice)
{
    for (size_t i = 0; i < slice.len; i++) {
        const unsigned char byte = (unsigned char)slice.ptr[i];
        say(transcript, byte >= ' ' && byte < 0x7f ? "%c" : "<%02x>", byte);
    }
}

void say_fields(transcript_t *transcript, udr_slice_t section)
{
    const char *separator = "";
    udr_field_t field;
    say(transcript, " [");
    while (udr_http1_field_next(&section, &field)) {
        say(transcript, "%s", separator);
        say_slice(transcript, field.name);
        say(transcript, "=");
        say_slice(transcript, field.value);
        separator = ", ";
    }
    say(transcript, "]");
}

void say_next(transcript_t *transcript)
{
    say(transcript, "%s", transcript->len ? "; " : "");
    transcript->run = UDR_CODEC_MORE;
}

void say_run(transcript_t *transcript, udr_codec_status_t status, udr_slice_t data)
{
    if (transcript->run != status) {
        say_next(transcript);
        say(transcript, "%s ", status == UDR_CODEC_DATA ? "body" : "note");
        transcript->run = status;
    }
    say_slice(transcript, data);
}

bool is_final(udr_codec_status_t status)
{
    return status == UDR_CODEC_END || status == UDR_CODEC_BAD;
}
