/* SPDX-License-Identifier: Apache-2.0 */
/* What every protocol's response reader answers, and how it hands out what it found.
 * Layer: core. Used by the codecs and the exchange. */
#ifndef UDR_CODEC_H
#define UDR_CODEC_H

#include <apr.h>

/* Bytes that belong to somebody else; not terminated. */
typedef struct udr_slice_t {
    const char *ptr;
    apr_size_t len;
} udr_slice_t;

/* One header or trailer field; the value without the white space around it. */
typedef struct udr_field_t {
    udr_slice_t name;
    udr_slice_t value;
} udr_field_t;

typedef enum udr_codec_status_t {
    UDR_CODEC_MORE, /* nothing further in these bytes. What was not consumed has to come again, with more behind it */
    UDR_CODEC_INTERIM, /* a whole 1xx response; 101 is not interim but UDR_CODEC_HEAD */
    UDR_CODEC_HEAD,    /* the whole head of the final response */
    UDR_CODEC_DATA,    /* a run of body bytes, in place */
    UDR_CODEC_NOTE,    /* a run of bytes for the error log (the stream that FastCGI calls stderr), in place */
    UDR_CODEC_END,     /* the response is complete, its trailers with it */
    UDR_CODEC_BAD      /* not a response that may be passed on; final. The reader says why */
} udr_codec_status_t;

/* What one step of a reader has to say beside its status. */
typedef struct udr_codec_step_t {
    apr_size_t consumed; /* bytes of the input that are done with; the caller drops them once it has used `data` and the
                            fields */
    udr_slice_t data;    /* UDR_CODEC_DATA, UDR_CODEC_NOTE: bytes within the input, good until the next call */
} udr_codec_step_t;

#endif
