/* SPDX-License-Identifier: Apache-2.0 */
/* Reads FastCGI 1.0 responses (the specification, sections 3, 5 and 6; role: responder): a CGI response (udr_http1.h)
 * in records, beside a stream for the error log. Layer: core; pure: bytes in, status and bytes consumed out, no
 * allocation, no I/O. Used by the protocol table. */
#ifndef UDR_FCGI_H
#define UDR_FCGI_H

#include "mod_udsroute/udr_http1.h"

/* A connection serves one request at a time: always this one. */
#define UDR_FCGI_REQUEST_ID 1

/* The longest content of a record (section 3.3). */
#define UDR_FCGI_CONTENT_MAX 65535

#define UDR_FCGI_HEADER 8

typedef enum udr_fcgi_type_t {
    UDR_FCGI_BEGIN_REQUEST = 1,
    UDR_FCGI_ABORT_REQUEST = 2,
    UDR_FCGI_END_REQUEST = 3,
    UDR_FCGI_PARAMS = 4,
    UDR_FCGI_STDIN = 5,
    UDR_FCGI_STDOUT = 6,
    UDR_FCGI_STDERR = 7,
    UDR_FCGI_UNKNOWN_TYPE = 11
} udr_fcgi_type_t;

/* One response being read. Opaque to callers but for the members under "results". */
typedef struct udr_fcgi_reader_t {
    /* results */
    udr_http1_reader_t cgi; /* its head after HEAD. Persistent: always, it is the record at the end that says so */
    const char *why;        /* after BAD: a static sentence for the log */
    bool is_busy;           /* after BAD: END_REQUEST says OVERLOADED or CANT_MPX_CONN: the request was not begun */

    /* the reader's own */
    int state;          /* a row of the table of states in udr_fcgi.c */
    int type;           /* of the record that is being read, or was last; 0: there has been none */
    bool has_head;      /* it was handed out */
    bool has_ended;     /* an empty record has said that this was STDOUT, or END_REQUEST that this was all */
    apr_size_t left;    /* bytes of the record's content that have not been seen */
    apr_size_t padding; /* that follow it */
    apr_size_t kept;    /* bytes of the head at the front of the input, that have been joined already */
    apr_size_t cut;     /* bytes behind these that are done with and are to be taken out of the way */
    apr_size_t moved;   /* bytes moved so far to join the head */
} udr_fcgi_reader_t;

/* Begins to read a response. head_request: it has no body. limits are copied. */
void udr_fcgi_reader_init(udr_fcgi_reader_t *reader, bool head_request, const udr_http1_limits_t *limits);

/* Reads on, as udr_http1_reader_feed(), with these differences:
 *
 * - What precedes the bytes that were not consumed may have been overwritten: where the head comes in several records
 *   their contents are joined in place.
 * - MORE: what is not consumed is fewer than limits.head bytes of a head, and behind them what is left of one record
 *   and of the next one's header.
 * - NOTE: what the member has for the error log. Within the head it is not consumed, but the next call leaves it out.
 * - INTERIM is never answered: a CGI response has none before it, and is none.
 * - END: the record END_REQUEST has come, its padding with it. Body bytes beyond a Content-Length were left out, fewer
 *   are BAD. */
udr_codec_status_t udr_fcgi_reader_feed(udr_fcgi_reader_t *reader, char *data, apr_size_t len, udr_codec_step_t *step);

/* The member has closed; pending: bytes that were not consumed. END when the body is known to be complete, if only
 * END_REQUEST has not come; then the head no longer says persistent. BAD otherwise, with a reason. */
udr_codec_status_t udr_fcgi_reader_eof(udr_fcgi_reader_t *reader, apr_size_t pending);

/* Writes a record's header where there are UDR_FCGI_HEADER bytes of room. */
void udr_fcgi_write_header(char *room, udr_fcgi_type_t type, apr_size_t content);

#endif
