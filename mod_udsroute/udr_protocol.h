/* SPDX-License-Identifier: Apache-2.0 */
/* What the exchange asks of a protocol: how a request is written and a response read. A protocol is one codec and one
 * such table, named by its row in the table of schemes (udr_target.c); nothing else knows it. Layer: core. Implemented
 * by the codecs, used by the exchange. */
#ifndef UDR_PROTOCOL_H
#define UDR_PROTOCOL_H

#include "mod_udsroute/udr_http1.h"
#include "mod_udsroute/udr_http1_request.h"

/* Bytes that a protocol puts around a run of body bytes. */
#define UDR_PROTOCOL_FRAME 20

typedef struct udr_reader_t {
    const udr_http1_head_t *head; /* after INTERIM and HEAD; status, framing and persistent stay valid */
    udr_slice_t trailers;         /* after END */
    const char *why;              /* after BAD: a static sentence */
    union {
        udr_http1_reader_t http1;
    } state;
} udr_reader_t;

typedef struct udr_protocol_t {
    const char *name; /* for the log: "HTTP" */

    /* How much room the bytes that begin the request take at most; 0: it holds something that may not be sent. */
    apr_size_t (*head_room)(const udr_request_t *request);

    /* Writes them there; returns how many they are. persistent: the connection is to stay open. */
    apr_size_t (*write_head)(const udr_request_t *request, bool persistent, char *room);

    /* What goes before (into prefix; its length is returned) and after a run of len body bytes. */
    apr_size_t (*write_frame)(const udr_request_t *request, apr_size_t len, char prefix[UDR_PROTOCOL_FRAME],
                              udr_slice_t *suffix);

    /* The bytes that end a request whose body has been sent; trailers may be NULL. From p. */
    udr_slice_t (*write_end)(const udr_request_t *request, const apr_table_t *trailers, apr_pool_t *p);

    /* As the functions of the same name in udr_http1.h. */
    void (*reader_init)(udr_reader_t *reader, const udr_request_t *request, const udr_http1_limits_t *limits);
    udr_codec_status_t (*reader_feed)(udr_reader_t *reader, const char *data, apr_size_t len, udr_codec_step_t *step);
    udr_codec_status_t (*reader_eof)(udr_reader_t *reader, apr_size_t pending);
    /* NULL, both: what this protocol sends has to be read. */
    apr_uint64_t (*reader_verbatim)(const udr_reader_t *reader);
    void (*reader_skip)(udr_reader_t *reader, apr_size_t len);
} udr_protocol_t;

extern const udr_protocol_t udr_protocol_http1;

#endif
