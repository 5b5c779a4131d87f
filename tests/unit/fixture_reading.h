/* SPDX-License-Identifier: Apache-2.0 */
/* A response read by udr_http1.h's reader, in pieces of any size, and what came of it, written down as a transcript:
 * "head 1.1 200 'OK' length 2 persistent [Content-Length=2]; body hi; end". */
#ifndef FIXTURE_READING_H
#define FIXTURE_READING_H

#include "tests/unit/fixture_transcript.h"

/* A response on its way through a reader, as a caller with a buffer would do it. */
typedef struct run_t {
    udr_http1_reader_t reader;
    udr_codec_status_t status;
    size_t consumed; /* of the whole response */
} run_t;

/* Writes down one answer. */
void say_answer(transcript_t *transcript, const udr_http1_reader_t *reader, udr_codec_status_t status,
                udr_slice_t data);

/* One call, on a copy of exactly the bytes that may be looked at: a sanitizer notices every other. Returns what was
 * consumed. transcript may be NULL. */
size_t feed_once(run_t *run, const char *bytes, size_t len, transcript_t *transcript);

/* Runs a response through a reader that is as `fresh` and, if it is not over then, closes. Good until the next call. */
const char *transcribe_reading(const udr_http1_reader_t *fresh, const char *response, size_t len, pieces_t pieces);

/* However the response arrives (whole, byte by byte, split in two at every offset), the transcript is this. */
void check_reading(const udr_http1_reader_t *fresh, const char *response, size_t len, const char *expected);

#endif
