/* SPDX-License-Identifier: Apache-2.0 */
/* What the exchange asks of a protocol: how a request is written and a response read. A protocol is one codec and one
 * such table, named by its row in the table of schemes (udr_target.c); nothing else knows it. Layer: core. Implemented
 * by the codecs, used by the exchange and the health checks. */
#ifndef UDR_PROTOCOL_H
#define UDR_PROTOCOL_H

#include "mod_udsroute/udr_fcgi.h"
#include "mod_udsroute/udr_http1.h"
#include "mod_udsroute/udr_http1_request.h"

/* Bytes that a protocol puts around a run of body bytes. */
#define UDR_PROTOCOL_FRAME 20

typedef struct udr_reader_t {
    const udr_http1_head_t *head; /* after INTERIM and HEAD; status, framing and persistent stay valid */
    udr_slice_t trailers;         /* after END */
    const char *why;              /* after BAD: a static sentence */
    bool is_busy;                 /* after BAD: the member has not begun with the request, as it has too many */
    union {
        udr_http1_reader_t http1;
        udr_fcgi_reader_t fcgi;
    } state;
} udr_reader_t;

typedef struct udr_protocol_t {
    const char *name; /* for the log: "HTTP" */

    /* It is written from udr_request_t's params, and the length of a body has to be known before: to members of this
     * kind none is sent in pieces of unknown number, and no upgrade, Expect or trailers. */
    bool is_cgi;

    /* Of these: it says which script is to be run, by SCRIPT_FILENAME, and what stands behind it in the path by
     * PATH_INFO. Not: all is one application's, PATH_INFO says what is asked of it. */
    bool names_script;

    /* A runtime's process serves one connection, also while that is idle. */
    bool is_exclusive;

    /* A connection serves several requests, one after the other. */
    bool has_keepalive;

    /* Where a response ends is said by frames around it, whatever its head says. */
    bool is_framed;

    /* The longest run of body bytes within one frame; 0: any. */
    apr_size_t frame_max;

    /* What a member that is still at it is told when nobody wants the response any more, at the end of a frame; empty:
     * nothing but that the connection is closed. */
    udr_slice_t abort;

    /* How much room the bytes that begin the request take at most; 0: it holds something that may not or can't be sent,
     * as *why says, a static sentence. */
    apr_size_t (*head_room)(const udr_request_t *request, const char **why);

    /* Writes them there; returns how many they are. persistent: the connection is to stay open. */
    apr_size_t (*write_head)(const udr_request_t *request, bool persistent, char *room);

    /* What goes before (into prefix; its length is returned) and after a run of len (1 to frame_max) body bytes.
     * is_last: with it a body of known length is complete; write_end() is not called for one. */
    apr_size_t (*write_frame)(const udr_request_t *request, apr_size_t len, bool is_last,
                              char prefix[UDR_PROTOCOL_FRAME], udr_slice_t *suffix);

    /* The bytes that end a body of unknown length; trailers may be NULL. From p. */
    udr_slice_t (*write_end)(const udr_request_t *request, const apr_table_t *trailers, apr_pool_t *p);

    void (*reader_init)(udr_reader_t *reader, const udr_request_t *request, const udr_http1_limits_t *limits);

    /* As udr_http1_reader_feed(), but that what precedes the bytes it has not consumed may be overwritten: a head that
     * comes in several frames has to be joined. */
    udr_codec_status_t (*reader_feed)(udr_reader_t *reader, char *data, apr_size_t len, udr_codec_step_t *step);

    /* As the functions of the same name in udr_http1.h. */
    udr_codec_status_t (*reader_eof)(udr_reader_t *reader, apr_size_t pending);
    /* NULL, both: what this protocol sends has to be read. */
    apr_uint64_t (*reader_verbatim)(const udr_reader_t *reader);
    void (*reader_skip)(udr_reader_t *reader, apr_size_t len);

    /* What the first bytes of an answer look like when it is none in this protocol: the name of another one, or NULL.
     */
    const char *(*recognize)(const char *data, apr_size_t len);
} udr_protocol_t;

/* An idle connection to such a member keeps one of its processes from others. */
static inline bool udr_protocol_keeps_process(const udr_protocol_t *protocol)
{
    return protocol->is_exclusive && protocol->has_keepalive;
}

extern const udr_protocol_t udr_protocol_http1;
extern const udr_protocol_t udr_protocol_fcgi;
extern const udr_protocol_t udr_protocol_scgi;
extern const udr_protocol_t udr_protocol_uwsgi;

#endif
