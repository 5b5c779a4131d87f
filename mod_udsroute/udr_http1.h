/* SPDX-License-Identifier: Apache-2.0 */
/* Reads HTTP/1.x responses (RFC 9110, RFC 9112), strictly: what could be read two ways is refused with a reason; and
 * those of CGI programs (RFC 3875), whose head is much the same.
 * Layer: core; pure: bytes in, status and bytes consumed out, no allocation, no I/O. Used by the protocol table. */
#ifndef UDR_HTTP1_H
#define UDR_HTTP1_H

#include "mod_udsroute/udr_codec.h"

#include <apr_pools.h>
#include <stdbool.h>

/* How much of a head a member may send. A limit that is passed is noticed then, not when the line or the head ends. */
typedef struct udr_http1_limits_t {
    apr_size_t line; /* bytes of the longest line (status line, field, trailer) without its end; 64 to 1M. A chunk-size
                        line with its extensions may have as many, but never more than 4096 */
    apr_size_t head; /* bytes of a whole head, and of a whole trailer section, line ends and the empty line included */
} udr_http1_limits_t;

typedef enum udr_http1_framing_t {
    UDR_HTTP1_NO_BODY, /* HEAD, 1xx, 204, 304 (RFC 9112, 6.3, rules 1 and 2): whatever the fields say */
    UDR_HTTP1_LENGTH,  /* Content-Length */
    UDR_HTTP1_CHUNKED, /* Transfer-Encoding: chunked, and nothing but chunked */
    UDR_HTTP1_TO_CLOSE /* until the member closes */
} udr_http1_framing_t;

/* The head that was read last. Slices point into the input of the call that answered INTERIM or HEAD. */
typedef struct udr_http1_head_t {
    bool is_cgi;                 /* it is a CGI response: its field Status has been used and is not to be passed on */
    int minor;                   /* HTTP/1.minor: 0 or 1 (a higher minor version counts as 1) */
    int status;                  /* 100 to 599 */
    udr_slice_t reason;          /* may be empty */
    udr_http1_framing_t framing; /* of the body that follows */
    bool names_fields;           /* Connection names more than close and keep-alive: fields that end here */
    bool has_length;             /* a Content-Length is there, as in an answer to HEAD without a body; never in a 1xx or
                                    204, where members may only say 0 and nobody may pass it on (RFC 9110, 8.6) */
    apr_uint64_t length;         /* its value, to 2^63-1. Pass this on, not the field: that may say "5, 5" */
    bool persistent;             /* the connection may serve another request after this response (RFC 9112, 9.3) */
    udr_slice_t fields;          /* the field section, for udr_http1_field_next(): syntactically good throughout */
} udr_http1_head_t;

/* One response being read. Opaque to callers but for the members under "results". */
typedef struct udr_http1_reader_t {
    /* results */
    udr_http1_head_t head; /* after INTERIM and HEAD; framing, status, persistent stay valid until the next init */
    udr_slice_t trailers;  /* after END: the trailer section, for udr_http1_field_next(); empty if there was none */
    const char *why;       /* after BAD: a static sentence for the log, as "differing Content-Lengths" */

    /* the reader's own */
    udr_http1_limits_t limits;
    int state;               /* a row of the table of states in udr_http1.c */
    bool head_request;       /* the answer has no body */
    bool chunked;            /* the head has said Transfer-Encoding: chunked … */
    bool close;              /* … Connection: close … */
    bool keep_alive;         /* … Connection: keep-alive */
    apr_size_t scanned;      /* bytes of the section (head, trailers) searched for line ends; of the chunk-size line */
    apr_size_t line_start;   /* where in the section the line being searched begins; those before are good */
    apr_size_t fields_start; /* where in the head the field section begins */
    apr_size_t reason_start; /* a CGI response: where in the head the reason begins */
    int cgi_status;          /* … the code that has been read; 0: none yet */
    bool has_status_line;    /* … it came with one */
    bool has_location;       /* … a Location has been read */
    apr_uint64_t left;       /* body bytes due: of the message, or of the chunk */
} udr_http1_reader_t;

/* Gets a reader ready for the response to one request.
 * head_request: the request's method was HEAD. limits are copied. Any thread, no locking. */
void udr_http1_reader_init(udr_http1_reader_t *reader, bool head_request, const udr_http1_limits_t *limits);

/* Gets a reader ready for a CGI response (RFC 3875, 6): a field section, with Status in it or a status line before it.
 * The line wins where there are both; without either the status is 200, or 302 where there is a Location. minor is 1,
 * persistent false: where such a connection serves several requests, something around the response says so.
 * Transfer-Encoding is ignored. */
void udr_http1_reader_init_cgi(udr_http1_reader_t *reader, bool head_request, const udr_http1_limits_t *limits);

/* Reads on. `data` begins with whatever an earlier call did not consume, unchanged (it may lie elsewhere), and more
 * behind it; it may be NULL where len is 0. The caller drops the consumed bytes and calls again after INTERIM, HEAD and
 * DATA:
 *
 * - MORE: all that could be dealt with is consumed. What is not is the beginning of a head or of trailers, fewer than
 *   limits.head bytes: a caller with room for limits.head bytes can always go on.
 * - INTERIM: pass it on or drop it; the next call reads the next head. How many are too many is the caller's to say.
 * - HEAD: a body follows as head.framing says. With NO_BODY, or a length of 0, the next call answers END and consumes
 *   nothing. 101 is answered so, with NO_BODY and persistent == false: the bytes behind it are no longer HTTP.
 * - DATA: at least one byte of the body, the longest run there is in this input.
 * - END: what does not belong to the response is left unconsumed; the caller must then not reuse the connection.
 * - BAD: the connection is to be closed; reader->why goes to the log.
 *
 * END and BAD are final: further calls answer the same and consume nothing. */
udr_codec_status_t udr_http1_reader_feed(udr_http1_reader_t *reader, const char *data, apr_size_t len,
                                         udr_codec_step_t *step);

/* The member has closed, and all it sent has been fed; `pending` is how many bytes of that were not consumed. END when
 * the response is complete, if only by the close; BAD otherwise, with why: "closed before any byte of the response"
 * (then and only then nothing at all was received), "closed within the head", … */
udr_codec_status_t udr_http1_reader_eof(udr_http1_reader_t *reader, apr_size_t pending);

/* How many of the bytes that come next (behind those consumed) are the body's, as they are: so many may pass the reader
 * by. 0: what comes next is to be read; UINT64_MAX: all, until the member closes. */
apr_uint64_t udr_http1_reader_verbatim(const udr_http1_reader_t *reader);

/* So many of them have passed it by. At the end of the body, the next feed answers END. */
void udr_http1_reader_skip(udr_http1_reader_t *reader, apr_size_t len);

/* Takes the next field from a section that the reader has found good. Returns false at its end. */
bool udr_http1_field_next(udr_slice_t *section, udr_field_t *field);

/* The values of all fields of that name in a section, as one list with commas (RFC 9110, 5.3), from p; NULL: none. */
const char *udr_http1_field_list(udr_slice_t section, const char *name, apr_pool_t *p);

/* Whether `data` looks like the beginning of a reply in another protocol that people mix up with HTTP.
 * Returns "FastCGI", "TLS", "HTTP/2" or NULL. Only for the log. */
const char *udr_http1_other_protocol(const char *data, apr_size_t len);

#endif
