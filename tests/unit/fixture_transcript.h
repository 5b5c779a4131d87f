/* SPDX-License-Identifier: Apache-2.0 */
/* What a reader of responses said, written down: "head 200 [A=b]; body hi; end". And in what pieces a response comes.
 */
#ifndef FIXTURE_TRANSCRIPT_H
#define FIXTURE_TRANSCRIPT_H

#include "mod_udsroute/udr_http1.h"

#define TRANSCRIPT_MAX (1 << 18)

typedef struct transcript_t {
    char text[TRANSCRIPT_MAX];
    size_t len;
    udr_codec_status_t run; /* DATA, NOTE: of what the last bytes are a run */
} transcript_t;

/* How a response arrives: a first piece, then pieces of one size. */
typedef struct pieces_t {
    size_t first;
    size_t then;
} pieces_t;

/* Begins anew. */
void clear(transcript_t *transcript);

__attribute__((format(printf, 2, 3))) void say(transcript_t *transcript, const char *format, ...);
void say_slice(transcript_t *transcript, udr_slice_t slice);

/* " [A=b, C=d]" */
void say_fields(transcript_t *transcript, udr_slice_t section);

/* What follows is another thing: "; ", but before the first. */
void say_next(transcript_t *transcript);

/* A run of DATA or NOTE: "body hi", however many pieces it comes in. */
void say_run(transcript_t *transcript, udr_codec_status_t status, udr_slice_t data);

bool is_final(udr_codec_status_t status);

#endif
