/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of HTTP/1 responses. Every shape is fed whole, byte by byte and split in two at every offset: what came of
 * it, written down as a transcript, must be the same. */
#include "mod_udsroute/udr_http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fixture_reading.h"

#include <apr_general.h>

#define TEXT(literal)      literal, sizeof(literal) - 1
#define COUNT(array)       (sizeof(array) / sizeof(*(array)))
#define OK                 "HTTP/1.1 200 OK\r\n"
#define CHUNKED            OK "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_TRANSCRIPT "head 1.1 200 'OK' chunked persistent [Transfer-Encoding=chunked]"

static const udr_http1_limits_t usual = {16384, 131072};

static udr_http1_reader_t reader_for(bool head_request, const udr_http1_limits_t *limits)
{
    udr_http1_reader_t reader;
    memset(&reader, 0xa5, sizeof(reader));
    udr_http1_reader_init(&reader, head_request, limits);
    return reader;
}

/* Runs a response and, if it is not over then, closes. */
static const char *transcribe(const char *response, size_t len, bool head_request, const udr_http1_limits_t *limits,
                              pieces_t pieces)
{
    const udr_http1_reader_t fresh = reader_for(head_request, limits);
    return transcribe_reading(&fresh, response, len, pieces);
}

/* However the response arrives, the transcript is the expected one. */
static void check(const char *response, size_t len, bool head_request, const udr_http1_limits_t *limits,
                  const char *expected)
{
    const udr_http1_reader_t fresh = reader_for(head_request, limits);
    check_reading(&fresh, response, len, expected);
}

/* --- good shapes --- */

typedef struct good_t {
    const char *response;
    size_t len;
    bool head_request;
    const char *transcript;
} good_t;

static const good_t good[] = {
    /* status lines */
    {TEXT(OK "Content-Length: 0\r\n\r\n"), false, "head 1.1 200 'OK' length 0 persistent [Content-Length=0]; end"},
    {TEXT("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 200 '' length 0 persistent [Content-Length=0]; end"},
    {TEXT("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 200 '' length 0 persistent [Content-Length=0]; end"},
    {TEXT("HTTP/1.1 200\n\n"), false, "head 1.1 200 '' to-close []; more 0; end"},
    {TEXT("HTTP/1.1 200 \n\n"), false, "head 1.1 200 '' to-close []; more 0; end"},
    {TEXT("HTTP/1.1 404 Not\tFound, d\xe9sol\xe9 \r\n\r\n"), false,
     "head 1.1 404 'Not<09>Found, d<e9>sol<e9> ' to-close []; more 0; end"},
    {TEXT("HTTP/1.9 599 x\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 599 'x' length 0 persistent [Content-Length=0]; end"},
    /* fields */
    {TEXT(OK "A:\r\nB: \t \r\nc:d\r\nE: \t f g\t\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 200 'OK' length 0 persistent [A=, B=, c=d, E=f g, Content-Length=0]; end"},
    {TEXT(OK "!#$%&'*+-.^_`|~09AZaz: :\x80\xff\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 200 'OK' length 0 persistent [!#$%&'*+-.^_`|~09AZaz=:<80><ff>, Content-Length=0]; end"},
    {TEXT("HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\nhi"), false,
     "head 1.1 200 'OK' length 2 persistent [A=b, Content-Length=2]; body hi; end"},
    {TEXT("HTTP/1.1 200 OK\r\nA: b\nContent-Length: 2\r\n\nhi"), false,
     "head 1.1 200 'OK' length 2 persistent [A=b, Content-Length=2]; body hi; end"},
    {TEXT(OK "Content-Lengt: 7\r\nContent-Length_: 8\r\nTransfer_Encoding: gzip\r\n\r\nabc"), false,
     "head 1.1 200 'OK' to-close [Content-Lengt=7, Content-Length_=8, Transfer_Encoding=gzip]; body abc; more 0; end"},
    /* lengths */
    {TEXT(OK "content-LENGTH: 5\r\n\r\nhello"), false,
     "head 1.1 200 'OK' length 5 persistent [content-LENGTH=5]; body hello; end"},
    {TEXT(OK "Content-Length: 005\r\n\r\nhello"), false,
     "head 1.1 200 'OK' length 5 persistent [Content-Length=005]; body hello; end"},
    {TEXT(OK "Content-Length: 5, 5\t,5\r\n\r\nhello"), false,
     "head 1.1 200 'OK' length 5 persistent [Content-Length=5, 5<09>,5]; body hello; end"},
    {TEXT(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), false,
     "head 1.1 200 'OK' length 5 persistent [Content-Length=5, Content-Length=5]; body hello; end"},
    {TEXT(OK "Content-Length: 5\r\n\r\nhello\r\n"), false,
     "head 1.1 200 'OK' length 5 persistent [Content-Length=5]; body hello; end left 2"},
    {TEXT(OK "Content-Length: 9223372036854775807\r\n\r\nabc"), false,
     "head 1.1 200 'OK' length 9223372036854775807 persistent [Content-Length=9223372036854775807]; body abc; more 0; "
     "bad: closed within the body: fewer bytes than Content-Length said"},
    {TEXT(OK "Content-Length: 3\r\n\r\n\0\r\n"), false,
     "head 1.1 200 'OK' length 3 persistent [Content-Length=3]; body <00><0d><0a>; end"},
    {TEXT("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 205 'Reset' length 0 persistent [Content-Length=0]; end"},
    /* no body, whatever the fields say */
    {TEXT(OK "Content-Length: 5\r\n\r\n"), true, "head 1.1 200 'OK' bodiless 5 persistent [Content-Length=5]; end"},
    {TEXT(OK "Content-Length: 5\r\n\r\nhello"), true,
     "head 1.1 200 'OK' bodiless 5 persistent [Content-Length=5]; end left 5"},
    {TEXT(OK "Transfer-Encoding: chunked\r\n\r\n"), true,
     "head 1.1 200 'OK' bodiless persistent [Transfer-Encoding=chunked]; end"},
    {TEXT(OK "\r\n"), true, "head 1.1 200 'OK' bodiless persistent []; end"},
    {TEXT("HTTP/1.1 304 Not Modified\r\nContent-Length: 70000\r\nETag: \"x\"\r\n\r\n"), false,
     "head 1.1 304 'Not Modified' bodiless 70000 persistent [Content-Length=70000, ETag=\"x\"]; end"},
    {TEXT("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"), false,
     "head 1.1 304 'Not Modified' bodiless persistent [Transfer-Encoding=chunked]; end"},
    {TEXT("HTTP/1.1 204 No Content\r\n\r\n"), false, "head 1.1 204 'No Content' bodiless persistent []; end"},
    {TEXT("HTTP/1.1 204 No Content\r\nContent-Length: 0, 00\r\n\r\nx"), false,
     "head 1.1 204 'No Content' bodiless persistent [Content-Length=0, 00]; end left 1"},
    /* interim responses */
    {TEXT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK
          "Content-Length: 1\r\n\r\nx"),
     false,
     "interim 1.1 100 'Continue' bodiless persistent []; interim 1.1 103 'Early Hints' bodiless persistent "
     "[Link=</a>]; head 1.1 200 'OK' length 1 persistent [Content-Length=1]; body x; end"},
    {TEXT("HTTP/1.1 102 Processing\r\nContent-Length: 0\r\nConnection: close\r\n\r\nHTTP/1.1 204\r\n\r\n"), false,
     "interim 1.1 102 'Processing' bodiless [Content-Length=0, Connection=close]; "
     "head 1.1 204 '' bodiless persistent []; end"},
    {TEXT("HTTP/1.1 100 Continue\r\n\r\n"), false,
     "interim 1.1 100 'Continue' bodiless persistent []; more 0; "
     "bad: closed after an interim response, before the final one"},
    {TEXT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x01x"), false,
     "head 1.1 101 'Switching Protocols' bodiless [Upgrade=websocket, Connection=Upgrade]; end left 3"},
    /* until the member closes */
    {TEXT(OK "\r\n"), false, "head 1.1 200 'OK' to-close []; more 0; end"},
    {TEXT(OK "A: b\r\n\r\n\r\n\0 all of it"), false,
     "head 1.1 200 'OK' to-close [A=b]; body <0d><0a><00> all of it; more 0; end"},
    /* which connections persist */
    {TEXT("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"), false,
     "head 1.0 200 'OK' length 1 [Content-Length=1]; body x; end"},
    {TEXT("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx"), false,
     "head 1.0 200 'OK' length 1 persistent [Connection=Keep-Alive, Content-Length=1]; body x; end"},
    {TEXT("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx"), false,
     "head 1.0 200 'OK' to-close [Connection=keep-alive]; body x; more 0; end"},
    {TEXT("HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.0 200 'OK' length 0 [Connection=keep-alive, close, Content-Length=0]; end"},
    {TEXT(OK "Connection: CLOSE\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 200 'OK' length 0 [Connection=CLOSE, Content-Length=0]; end"},
    {TEXT(OK "Connection: x, ,\tclose ,y\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 200 'OK' length 0 [Connection=x, ,<09>close ,y, Content-Length=0]; end"},
    {TEXT(OK "Connection: x\r\nConnection:\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 200 'OK' length 0 [Connection=x, Connection=, Connection=close, Content-Length=0]; end"},
    {TEXT(OK "Connection: closed, not-close, close=1, clos\r\nConnectio: close\r\nContent-Length: 0\r\n\r\n"), false,
     "head 1.1 200 'OK' length 0 persistent [Connection=closed, not-close, close=1, clos, Connectio=close, "
     "Content-Length=0]; end"},
    /* chunks */
    {TEXT(CHUNKED "5\r\nhello\r\n0\r\n\r\n"), false, CHUNKED_TRANSCRIPT "; body hello; end"},
    {TEXT(OK "TRANSFER-ENCODING:CHUNKED\r\n\r\n0\r\n\r\n"), false,
     "head 1.1 200 'OK' chunked persistent [TRANSFER-ENCODING=CHUNKED]; end"},
    {TEXT(CHUNKED "000000000000000A\r\n0123456789\r\na\r\nabcdefghij\r\n0000000000000000\r\n\r\nx"), false,
     CHUNKED_TRANSCRIPT "; body 0123456789abcdefghij; end left 1"},
    {TEXT(CHUNKED "1;a\r\nx\r\n2 \t;b=\"c;\xff\t\"\r\n\r\n\r\n0 ;z\r\n\r\n"), false,
     CHUNKED_TRANSCRIPT "; body x<0d><0a>; end"},
    {TEXT(CHUNKED "1\r\nx\r\n0\r\nA: b \r\nContent-Length: 7\r\nC:\r\n\r\n\r\n"), false,
     CHUNKED_TRANSCRIPT "; body x; end [A=b, Content-Length=7, C=] left 2"},
    {TEXT(CHUNKED "7fffffffffffffff\r\nabc"), false,
     CHUNKED_TRANSCRIPT "; body abc; more 0; bad: closed within a chunked body"},
};

static void test_good_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        check(good[i].response, good[i].len, good[i].head_request, &usual, good[i].transcript);
    }
}

/* --- bad shapes --- */

typedef struct bad_t {
    const char *response;
    size_t len;
    const char *why;
} bad_t;

#define NO_STATUS_LINE "a status line that is none"
#define BAD_CODE       "a status line with a code outside 100 to 599"
#define NO_COLON       "a field line without a colon"
#define NO_NAME        "a field without a name"
#define BAD_NAME       "an illegal character in a field name"
#define NAME_SPACE     "white space in a field name or before its colon"
#define FOLDED         "a folded field line (obs-fold)"
#define NUL            "a NUL in a line"
#define BARE_CR        "a bare CR in a line"
#define CONTROL        "a control character in a line"
#define NO_NUMBER      "a Content-Length that is no number"
#define EMPTY_LENGTH   "an empty Content-Length"
#define HUGE_LENGTH    "a Content-Length beyond 2^63-1"
#define DIFFERING      "differing Content-Lengths"
#define BARE_LENGTH    "a Content-Length in a 1xx or 204 response"
#define BOTH           "both Transfer-Encoding and Content-Length"
#define CODING         "an unsupported transfer coding"
#define TWICE          "Transfer-Encoding twice"
#define OLD_CODING     "Transfer-Encoding in an HTTP/1.0 response"
#define BARE_CODING    "Transfer-Encoding in a 1xx or 204 response"
#define CHUNK_SIZE     "a bad chunk size"
#define HUGE_CHUNK     "a chunk size of more than 16 digits or beyond 2^63-1"
#define CHUNK_LINE     "a chunk-size line that does not end in CRLF"
#define CHUNK_CONTROL  "a control character in a chunk extension"
#define CHUNK_END      "chunk data without CRLF behind it"
#define TRAILER_LF     "a bare LF in the trailer section"

static const bad_t bad[] = {
    /* status lines */
    {TEXT("\r\n" OK "\r\n"), NO_STATUS_LINE},
    {TEXT("\n" OK "\r\n"), NO_STATUS_LINE},
    {TEXT(" " OK "\r\n"), NO_STATUS_LINE},
    {TEXT("<html>hello</html>"), NO_STATUS_LINE},
    {TEXT("http/1.1 200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/0.9 200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/2 200\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/2.0 200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1,1 200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.10 200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.x 200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1. 200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/01.1 200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 \r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 20\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 20 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 2000 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 0200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 +20 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 2x0 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 200OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 200\tOK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1  200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1\t200 OK\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 200\r\r\n\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 099 Low\r\n\r\n"), BAD_CODE},
    {TEXT("HTTP/1.1 600 High\r\n\r\n"), BAD_CODE},
    {TEXT("HTTP/1.1 000 Zero\r\n\r\n"), BAD_CODE},
    {TEXT("HTTP/1.1 200 O\0K\r\n\r\n"), NUL},
    {TEXT("HTTP/1.1 200 O\rK\r\n\r\n"), BARE_CR},
    {TEXT("HTTP/1.1 200 OK\r\r\n\r\n"), BARE_CR},
    {TEXT("HTTP/1.1 200 O\x7fK\r\n\r\n"), CONTROL},
    {TEXT("HTTP/1.1 200 O\x1bK\r\n\r\n"), CONTROL},
    {TEXT("HTTP/1.1 100 Continue\r\n\r\n\r\n" OK "\r\n"), NO_STATUS_LINE},
    {TEXT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 600\r\n\r\n"), BAD_CODE},
    /* field lines */
    {TEXT(OK "no colon at all\r\n\r\n"), NO_COLON},
    {TEXT(OK "token\r\n\r\n"), NO_COLON},
    {TEXT(OK "A: b\r\nHTTP/1.1 200 OK\r\n\r\n"), NO_COLON},
    {TEXT(OK ": value\r\n\r\n"), NO_NAME},
    {TEXT(OK ":\r\n\r\n"), NO_NAME},
    {TEXT(OK "A : b\r\n\r\n"), NAME_SPACE},
    {TEXT(OK "A\t: b\r\n\r\n"), NAME_SPACE},
    {TEXT(OK "A b: c\r\n\r\n"), NAME_SPACE},
    {TEXT(OK "Content-Length : 5\r\n\r\nhello"), NAME_SPACE},
    {TEXT(OK "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), NAME_SPACE},
    {TEXT(OK "(A): b\r\n\r\n"), BAD_NAME},
    {TEXT(OK "A/b: c\r\n\r\n"), BAD_NAME},
    {TEXT(OK "\"A\": b\r\n\r\n"), BAD_NAME},
    {TEXT(OK "\xc3\x84: b\r\n\r\n"), BAD_NAME},
    {TEXT(OK "{\"a\": 1}\r\n\r\n"), BAD_NAME},
    {TEXT(OK "A: b\r\n c: d\r\n\r\n"), FOLDED},
    {TEXT(OK "A: b\r\n\tc\r\n\r\n"), FOLDED},
    {TEXT(OK " A: b\r\n\r\n"), FOLDED},
    {TEXT(OK "A: b\r\n \r\n\r\n"), FOLDED},
    {TEXT(OK "A: b\r\n\0: c\r\n\r\n"), NUL},
    {TEXT(OK "A\0: b\r\n\r\n"), NUL},
    {TEXT(OK "A: b\0c\r\n\r\n"), NUL},
    {TEXT(OK "A: b\0\r\n\r\n"), NUL},
    {TEXT(OK "A: b\rC: d\r\n\r\n"), BARE_CR},
    {TEXT(OK "A: b\r\r\n\r\n"), BARE_CR},
    {TEXT(OK "A\r: b\r\n\r\n"), BARE_CR},
    {TEXT(OK "A: b\r\n\r\r\n\r\n"), BARE_CR},
    {TEXT(OK "A: \x01\r\n\r\n"), CONTROL},
    {TEXT(OK "A: b\x0b\r\n\r\n"), CONTROL},
    {TEXT(OK "A: b\x7f\r\n\r\n"), CONTROL},
    {TEXT(OK "A\x08: b\r\n\r\n"), CONTROL},
    {TEXT("HTTP/1.1 103 Early Hints\r\nLink </a>\r\n\r\n" OK "\r\n"), NO_COLON},
    /* Content-Length */
    {TEXT(OK "Content-Length:\r\n\r\n"), EMPTY_LENGTH},
    {TEXT(OK "Content-Length: ,5\r\n\r\nhello"), EMPTY_LENGTH},
    {TEXT(OK "Content-Length: 5,\r\n\r\nhello"), EMPTY_LENGTH},
    {TEXT(OK "Content-Length: 5, ,5\r\n\r\nhello"), EMPTY_LENGTH},
    {TEXT(OK "Content-Length: +5\r\n\r\nhello"), NO_NUMBER},
    {TEXT(OK "Content-Length: -5\r\n\r\nhello"), NO_NUMBER},
    {TEXT(OK "Content-Length: -0\r\n\r\n"), NO_NUMBER},
    {TEXT(OK "Content-Length: 0x5\r\n\r\nhello"), NO_NUMBER},
    {TEXT(OK "Content-Length: 5.0\r\n\r\nhello"), NO_NUMBER},
    {TEXT(OK "Content-Length: 5 5\r\n\r\nhello"), NO_NUMBER},
    {TEXT(OK "Content-Length: 5;5\r\n\r\nhello"), NO_NUMBER},
    {TEXT(OK "Content-Length: five\r\n\r\nhello"), NO_NUMBER},
    {TEXT(OK "Content-Length: \"5\"\r\n\r\nhello"), NO_NUMBER},
    {TEXT(OK "Content-Length: \xb2\r\n\r\nhi"), NO_NUMBER},
    {TEXT(OK "Content-Length: 9223372036854775808\r\n\r\n"), HUGE_LENGTH},
    {TEXT(OK "Content-Length: 18446744073709551615\r\n\r\n"), HUGE_LENGTH},
    {TEXT(OK "Content-Length: 18446744073709551621\r\n\r\nhello"), HUGE_LENGTH},
    {TEXT(OK "Content-Length: 100000000000000000000000000000005\r\n\r\nhello"), HUGE_LENGTH},
    {TEXT(OK "Content-Length: 5, 6\r\n\r\nhello"), DIFFERING},
    {TEXT(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), DIFFERING},
    {TEXT(OK "Content-Length: 5\r\nA: b\r\ncontent-length: 0\r\n\r\nhello"), DIFFERING},
    {TEXT(OK "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello"), DIFFERING},
    {TEXT(OK "Content-Length: 5\r\nContent-Length: x\r\n\r\nhello"), NO_NUMBER},
    {TEXT("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"), BARE_LENGTH},
    {TEXT("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello"), BARE_LENGTH},
    {TEXT("HTTP/1.1 101 Switching Protocols\r\nContent-Length: 1\r\n\r\n"), BARE_LENGTH},
    /* Transfer-Encoding */
    {TEXT(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), BOTH},
    {TEXT(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), BOTH},
    {TEXT(OK "Content-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n"), BOTH},
    {TEXT("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), BOTH},
    {TEXT(OK "Transfer-Encoding:\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: gzip\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: identity\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: chunked, chunked\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: chunked, identity\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: chunked,\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: ,chunked\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: chunked;q=1\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: \"chunked\"\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: xchunked\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: chunke\r\n\r\n"), CODING},
    {TEXT(OK "Transfer-Encoding: chunked\x0b\r\n\r\n"), CONTROL},
    {TEXT(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), TWICE},
    {TEXT(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"), TWICE},
    {TEXT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), OLD_CODING},
    {TEXT("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), BARE_CODING},
    {TEXT("HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n"), BARE_CODING},
    {TEXT("HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n\r\n"), BARE_CODING},
    /* chunk sizes */
    {TEXT(CHUNKED "\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "g\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "5g\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "0x5\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "+5\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "-5\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "-0\r\n\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED " 5\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "5 \r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "5\t\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "5 5;a\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "5,a\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED ";a\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "5\0\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "\n5\r\nhello\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "1\r\nx\r\n\r\n"), CHUNK_SIZE},
    {TEXT(CHUNKED "8000000000000000\r\n"), HUGE_CHUNK},
    {TEXT(CHUNKED "ffffffffffffffff\r\n"), HUGE_CHUNK},
    {TEXT(CHUNKED "10000000000000005\r\nhello\r\n"), HUGE_CHUNK},
    {TEXT(CHUNKED "00000000000000005\r\nhello\r\n"), HUGE_CHUNK},
    {TEXT(CHUNKED "5\nhello\r\n0\r\n\r\n"), CHUNK_LINE},
    {TEXT(CHUNKED "5 \nhello\r\n0\r\n\r\n"), CHUNK_LINE},
    {TEXT(CHUNKED "5;a\nhello\r\n0\r\n\r\n"), CHUNK_LINE},
    {TEXT(CHUNKED "5\rhello\r\n0\r\n\r\n"), CHUNK_LINE},
    {TEXT(CHUNKED "5\r\r\nhello\r\n0\r\n\r\n"), CHUNK_LINE},
    {TEXT(CHUNKED "5;a\rb\r\nhello\r\n0\r\n\r\n"), CHUNK_LINE},
    {TEXT(CHUNKED "5;a\0\r\nhello\r\n"), CHUNK_CONTROL},
    {TEXT(CHUNKED "5;a\x7f\r\nhello\r\n"), CHUNK_CONTROL},
    {TEXT(CHUNKED "5;\x0b\r\nhello\r\n"), CHUNK_CONTROL},
    /* ends of chunks */
    {TEXT(CHUNKED "5\r\nhello0\r\n\r\n"), CHUNK_END},
    {TEXT(CHUNKED "5\r\nhello!\r\n0\r\n\r\n"), CHUNK_END},
    {TEXT(CHUNKED "5\r\nhello\n0\r\n\r\n"), CHUNK_END},
    {TEXT(CHUNKED "5\r\nhello\r0\r\n\r\n"), CHUNK_END},
    {TEXT(CHUNKED "5\r\nhello\r\r\n0\r\n\r\n"), CHUNK_END},
    /* trailers */
    {TEXT(CHUNKED "0\r\n\n"), TRAILER_LF},
    {TEXT(CHUNKED "0\r\nA: b\n\r\n"), TRAILER_LF},
    {TEXT(CHUNKED "0\r\nA: b\r\n\n"), TRAILER_LF},
    {TEXT(CHUNKED "0\r\nno colon\r\n\r\n"), NO_COLON},
    {TEXT(CHUNKED "0\r\nHTTP/1.1 200 OK\r\n\r\n"), NO_COLON},
    {TEXT(CHUNKED "0\r\nA : b\r\n\r\n"), NAME_SPACE},
    {TEXT(CHUNKED "0\r\n: b\r\n\r\n"), NO_NAME},
    {TEXT(CHUNKED "0\r\nA@: b\r\n\r\n"), BAD_NAME},
    {TEXT(CHUNKED "0\r\nA: b\r\n c\r\n\r\n"), FOLDED},
    {TEXT(CHUNKED "0\r\nA: b\rc\r\n\r\n"), BARE_CR},
    {TEXT(CHUNKED "0\r\n\r\r\n"), BARE_CR},
    {TEXT(CHUNKED "0\r\nA: \0\r\n\r\n"), NUL},
    {TEXT(CHUNKED "0\r\nA: \x1f\r\n\r\n"), CONTROL},
};

/* The expected transcript of a bad response: what was said of it before must not depend on how it arrives, and the last
 * word is the reason. */
static void test_bad_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char expected[TRANSCRIPT_MAX];
        snprintf(expected, sizeof(expected), "%s",
                 transcribe(bad[i].response, bad[i].len, false, &usual, (pieces_t){bad[i].len, 1}));
        const char *last = strstr(expected, "bad: ");
        assert_non_null(last);
        assert_string_equal(last + strlen("bad: "), bad[i].why);
        check(bad[i].response, bad[i].len, false, &usual, expected);
    }
}

/* That a HEAD request's answer has no body is no reason to take a head that could be read two ways. */
static void test_head_request_is_no_excuse(void **state)
{
    (void)state;
    check(TEXT(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), true, &usual, "bad: " BOTH);
    check(TEXT(OK "Content-Length: 5, 6\r\n\r\n"), true, &usual, "bad: " DIFFERING);
}

/* Members that speak something else may send little and wait: they are found out by their first bytes. */
static void test_another_protocol_is_bad_at_once(void **state)
{
    (void)state;
    check(TEXT("\x15\x03\x01"), false, &usual, "bad: " NO_STATUS_LINE);
    check(TEXT("H\x01"), false, &usual, "bad: " NO_STATUS_LINE);
    check(TEXT("HTTP/2"), false, &usual, "bad: " NO_STATUS_LINE);
    check(TEXT("HTTP/1"), false, &usual, "more 6; bad: closed within the head");
}

/* --- every byte, every code --- */

static bool is_token_byte(int byte)
{
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    return byte && strchr(tokens, byte);
}

static bool is_text_byte(int byte)
{
    return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

/* Puts byte in place of the '@' of a template; whether the response is then taken. */
static bool is_taken(const char *template, int byte)
{
    char response[256];
    const size_t len = strlen(template);
    memcpy(response, template, len);
    *(char *)memchr(response, '@', len) = (char)byte;
    const char *transcript = transcribe(response, len, false, &usual, (pieces_t){len, 1});
    assert_true(strstr(transcript, "bad: ") || strstr(transcript, "end"));
    return !strstr(transcript, "bad: ");
}

static void test_every_byte(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        assert_int_equal(is_taken(OK "Content-Length: 0\r\na@b: c\r\n\r\n", byte), is_token_byte(byte) || byte == ':');
        if (byte != '\n') {
            assert_int_equal(is_taken(OK "Content-Length: 0\r\na: b@c\r\n\r\n", byte), is_text_byte(byte));
            assert_int_equal(is_taken("HTTP/1.1 204 N@o\r\n\r\n", byte), is_text_byte(byte));
        }
        assert_int_equal(is_taken(CHUNKED "0;a@b\r\n\r\n", byte), is_text_byte(byte));
        assert_int_equal(is_taken(CHUNKED "0\r\na@b: c\r\n\r\n", byte), is_token_byte(byte) || byte == ':');
        assert_int_equal(is_taken(CHUNKED "0\r\na: b@c\r\n\r\n", byte), is_text_byte(byte));
    }
}

static void test_every_code(void **state)
{
    (void)state;
    for (int code = 0; code <= 999; code++) {
        char response[64];
        char expected[128];
        snprintf(response, sizeof(response), "HTTP/1.1 %03d x\r\nA: b\r\n\r\n", code);
        if (code < 100 || code > 599) {
            snprintf(expected, sizeof(expected), "bad: " BAD_CODE);
        } else if (code == 101) {
            snprintf(expected, sizeof(expected), "head 1.1 101 'x' bodiless [A=b]; end");
        } else if (code < 200) {
            snprintf(expected, sizeof(expected),
                     "interim 1.1 %d 'x' bodiless persistent [A=b]; more 0; "
                     "bad: closed after an interim response, before the final one",
                     code);
        } else if (code == 204 || code == 304) {
            snprintf(expected, sizeof(expected), "head 1.1 %d 'x' bodiless persistent [A=b]; end", code);
        } else {
            snprintf(expected, sizeof(expected), "head 1.1 %d 'x' to-close [A=b]; more 0; end", code);
        }
        assert_string_equal(transcribe(response, strlen(response), false, &usual, (pieces_t){strlen(response), 1}),
                            expected);
    }
}

/* --- limits --- */

#define LINE_TOO_LONG "bad: a line longer than responsefieldsize"
#define HEAD_TOO_LONG "bad: a head or trailer section longer than 8 times responsefieldsize"

/* Builds before, `count` times 'x', after. The caller frees it. */
static char *stretched(const char *before, size_t count, const char *after)
{
    char *response = calloc(1, strlen(before) + count + strlen(after) + 1);
    assert_non_null(response);
    strcpy(response, before);
    memset(response + strlen(before), 'x', count);
    strcpy(response + strlen(before) + count, after);
    return response;
}

/* The last word of the transcript, the same however the response arrives. */
static void check_stretched(const char *before, size_t count, const char *after, const udr_http1_limits_t *limits,
                            const char *last)
{
    char *response = stretched(before, count, after);
    const size_t len = strlen(response);
    char expected[TRANSCRIPT_MAX];
    snprintf(expected, sizeof(expected), "%s", transcribe(response, len, false, limits, (pieces_t){len, 1}));
    assert_true(strlen(expected) >= strlen(last));
    assert_string_equal(expected + strlen(expected) - strlen(last), last);
    check(response, len, false, limits, expected);
    free(response);
}

/* It is complete, however it arrives. */
static void check_fits(const char *before, size_t count, const char *after, const udr_http1_limits_t *limits)
{
    char *response = stretched(before, count, after);
    const size_t len = strlen(response);
    char expected[TRANSCRIPT_MAX];
    snprintf(expected, sizeof(expected), "%s", transcribe(response, len, false, limits, (pieces_t){len, 1}));
    assert_non_null(strstr(expected, "; end"));
    check(response, len, false, limits, expected);
    free(response);
}

static void test_line_limit(void **state)
{
    (void)state;
    static const udr_http1_limits_t limits = {64, 512};
    static const struct {
        const char *before;
        const char *after;
        size_t fits; /* so many bytes between make a line of 64 */
    } lines[] = {
        {"HTTP/1.1 204 ", "\r\n\r\n", 51},        {"HTTP/1.1 204 ", "\n\n", 51},
        {"HTTP/1.1 204\r\nA: ", "\r\n\r\n", 61},  {"HTTP/1.1 204\r\nA: ", "\n\r\n", 61},
        {CHUNKED "1;", "\r\nx\r\n0\r\n\r\n", 62}, {CHUNKED "0 ;", "\r\n\r\n", 61},
        {CHUNKED "0\r\nA: ", "\r\n\r\n", 61},     {CHUNKED "0\r\nB: c\r\nA: ", "\r\n\r\n", 61},
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        check_fits(lines[i].before, lines[i].fits, lines[i].after, &limits);
        check_stretched(lines[i].before, lines[i].fits + 1, lines[i].after, &limits, LINE_TOO_LONG);
        /* Noticed when it is passed, not when the line ends: the line's last byte may still be a CR. */
        check_stretched(lines[i].before, lines[i].fits + 2, "", &limits, LINE_TOO_LONG);
    }
    static const char name[] = "HTTP/1.1 204\r\nB: c\r\nA";
    check_fits(name, 62, ":\r\n\r\n", &limits);
    check_stretched(name, 63, ":\r\n\r\n", &limits, LINE_TOO_LONG);
    /* White space before an extension counts: 61 bytes of it fit behind "0" and before "x;". */
    static const char space[] = CHUNKED "0                                                             ";
    check_fits(space, 0, ";x\r\n\r\n", &limits);
    check_stretched(space, 0, "   ", &limits, LINE_TOO_LONG);
}

/* However long field lines may be, chunk extensions may not. */
static void test_chunk_line_limit(void **state)
{
    (void)state;
    char *response = stretched(CHUNKED "0;", 4094, "\r\n\r\n");
    assert_string_equal(transcribe(response, strlen(response), false, &usual, (pieces_t){0, 1}),
                        CHUNKED_TRANSCRIPT "; end");
    free(response);
    response = stretched(CHUNKED "0;", 4095, "");
    assert_string_equal(transcribe(response, strlen(response), false, &usual, (pieces_t){0, 1}),
                        CHUNKED_TRANSCRIPT "; " LINE_TOO_LONG);
    free(response);
}

static void test_head_limit(void **state)
{
    (void)state;
    static const char before[] = "HTTP/1.1 204\r\nA: ";
    static const char trailer[] = CHUNKED "0\r\nA: ";
    for (size_t filler = 20; filler < 40; filler++) {
        const udr_http1_limits_t head = {64, sizeof(before) - 1 + filler + 4};
        const udr_http1_limits_t tight = {64, head.head - 1};
        check_fits(before, filler, "\r\n\r\n", &head);
        check_stretched(before, filler, "\r\n\r\n", &tight, HEAD_TOO_LONG);
        check_fits(before, filler, "\r\n\n", &tight);
    }
    /* A line that just fits, in a head that it makes a byte too long. */
    const udr_http1_limits_t byte_short = {64, sizeof("HTTP/1.1 204\r\n") - 1 + 64 + 1};
    check_stretched(before, 61, "\r\n\r\n", &byte_short, HEAD_TOO_LONG);
    /* A trailer section has the same limit again. */
    const udr_http1_limits_t limits = {64, 3 + 50 + 4};
    check_fits(trailer, 50, "\r\n\r\n", &limits);
    check_stretched(trailer, 51, "\r\n\r\n", &limits, HEAD_TOO_LONG);
    check_stretched(trailer, 20, "\r\nB: 567890\r\nC: 567890\r\nD: 567890\r\n", &limits, HEAD_TOO_LONG);
    /* Every head has it anew, and the body has none. */
    check_stretched("HTTP/1.1 103\r\nA: 123456789012345678901234567890\r\n\r\n" OK "\r\n", 200, "", &limits,
                    "x; more 0; end");
}

/* --- what is read once --- */

/* Found good is found good: lines are not read again when more arrives, and of the last one only what is new is
 * searched. */
static void test_bytes_are_searched_once(void **state)
{
    (void)state;
    run_t run;
    transcript_t *transcript = calloc(1, sizeof(*transcript));
    assert_non_null(transcript);
    udr_http1_reader_init(&run.reader, true, &usual);
    assert_int_equal(feed_once(&run, TEXT("HTTP/1.1 200 OK\r\nA: b\r\nC: d"), transcript), 0);
    assert_int_equal(run.status, UDR_CODEC_MORE);
    assert_int_equal(feed_once(&run, TEXT("HTTP/1.1 200 OK\r\n:(:)\r\nC\n:d"), transcript), 0);
    assert_int_equal(run.status, UDR_CODEC_MORE);
    assert_int_equal(feed_once(&run, TEXT("HTTP/1.1 200 OK\r\nA: b\r\nC: de\r\n\r\n"), transcript), 32);
    assert_string_equal(transcript->text, "head 1.1 200 'OK' bodiless persistent [A=b, C=de]");
    free(transcript);
}

/* A whole body is handed out in one run, and whatever of a body arrives is consumed. */
static void test_runs_are_as_long_as_they_can_be(void **state)
{
    (void)state;
    static const char length[] = OK "Content-Length: 7\r\n\r\n";
    run_t run;
    udr_http1_reader_init(&run.reader, false, &usual);
    assert_int_equal(feed_once(&run, TEXT(OK "Content-Length: 7\r\n\r\nabcdefgh"), NULL), sizeof(length) - 1);
    assert_int_equal(feed_once(&run, TEXT("abc"), NULL), 3);
    assert_int_equal(run.status, UDR_CODEC_DATA);
    assert_int_equal(feed_once(&run, TEXT("defgh"), NULL), 4);
    assert_int_equal(run.status, UDR_CODEC_DATA);
    assert_int_equal(feed_once(&run, TEXT("h"), NULL), 0);
    assert_int_equal(run.status, UDR_CODEC_END);

    udr_http1_reader_init(&run.reader, false, &usual);
    assert_int_equal(feed_once(&run, TEXT(CHUNKED), NULL), sizeof(CHUNKED) - 1);
    assert_int_equal(feed_once(&run, TEXT("6;x\r\nabcdef\r\n4"), NULL), 11);
    assert_int_equal(feed_once(&run, TEXT("\r\n4"), NULL), 3);
    assert_int_equal(run.status, UDR_CODEC_MORE);

    udr_http1_reader_init(&run.reader, false, &usual);
    assert_int_equal(feed_once(&run, TEXT(OK "\r\n"), NULL), sizeof(OK "\r\n") - 1);
    assert_int_equal(feed_once(&run, TEXT("abc"), NULL), 3);
    assert_int_equal(run.status, UDR_CODEC_DATA);
    /* Once closed, complete: nothing is added. */
    assert_int_equal(udr_http1_reader_eof(&run.reader, 0), UDR_CODEC_END);
    assert_int_equal(feed_once(&run, TEXT("def"), NULL), 0);
    assert_int_equal(run.status, UDR_CODEC_END);
}

/* --- the member closes --- */

static void test_closed(void **state)
{
    (void)state;
    static const struct {
        const char *response;
        const char *last;
    } cut[] = {
        {"", "more 0; bad: closed before any byte of the response"},
        {"H", "more 1; bad: closed within the head"},
        {OK, "more 17; bad: closed within the head"},
        {OK "A: b\r\n\r", "more 24; bad: closed within the head"},
        {"HTTP/1.1 100\r\n\r\nHTTP", "more 4; bad: closed within the head"},
        {OK "Content-Length: 5\r\n\r\n", "more 0; bad: closed within the body: fewer bytes than Content-Length said"},
        {OK "Content-Length: 5\r\n\r\nhell",
         "more 0; bad: closed within the body: fewer bytes than Content-Length said"},
        {CHUNKED, "more 0; bad: closed within a chunked body"},
        {CHUNKED "5", "more 0; bad: closed within a chunked body"},
        {CHUNKED "5 ", "more 0; bad: closed within a chunked body"},
        {CHUNKED "5;a", "more 0; bad: closed within a chunked body"},
        {CHUNKED "5\r", "more 0; bad: closed within a chunked body"},
        {CHUNKED "5\r\nhel", "more 0; bad: closed within a chunked body"},
        {CHUNKED "5\r\nhello", "more 0; bad: closed within a chunked body"},
        {CHUNKED "5\r\nhello\r", "more 0; bad: closed within a chunked body"},
        {CHUNKED "5\r\nhello\r\n", "more 0; bad: closed within a chunked body"},
        {CHUNKED "0\r\n", "more 0; bad: closed within the trailers of a chunked body"},
        {CHUNKED "0\r\nA: b\r\n\r", "more 7; bad: closed within the trailers of a chunked body"},
        {OK "\r\nall", "body all; more 0; end"},
        {OK "\r\n", "to-close []; more 0; end"},
    };
    for (size_t i = 0; i < COUNT(cut); i++) {
        check_stretched(cut[i].response, 0, "", &usual, cut[i].last);
    }
}

/* Cut off anywhere, a response that says where it ends is never taken for complete. */
static void test_cut_off_anywhere(void **state)
{
    (void)state;
    size_t complete = 0;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (strstr(good[i].transcript, "; more") || strstr(good[i].transcript, " left ")) {
            continue;
        }
        for (size_t len = 0; len < good[i].len; len++) {
            const char *transcript =
                transcribe(good[i].response, len, good[i].head_request, &usual, (pieces_t){len, 1});
            assert_non_null(strstr(transcript, "bad: closed "));
        }
        complete++;
    }
    assert_true(complete > 20);
}

/* A caller may close as soon as it has the last byte, without asking for END first. */
static void test_closed_after_the_last_byte(void **state)
{
    (void)state;
    run_t run;
    udr_http1_reader_init(&run.reader, false, &usual);
    assert_int_equal(feed_once(&run, TEXT("HTTP/1.1 204\r\n\r\n"), NULL), 16);
    assert_int_equal(run.status, UDR_CODEC_HEAD);
    assert_int_equal(udr_http1_reader_eof(&run.reader, 0), UDR_CODEC_END);
    assert_int_equal(feed_once(&run, TEXT("HTTP/1.1 204\r\n\r\n"), NULL), 0);
    assert_int_equal(run.status, UDR_CODEC_END);
    /* And once it has been told that the response is cut off, nothing completes it. */
    udr_http1_reader_init(&run.reader, false, &usual);
    assert_int_equal(feed_once(&run, TEXT("HTTP/1.1 204\r\n"), NULL), 0);
    assert_int_equal(udr_http1_reader_eof(&run.reader, 14), UDR_CODEC_BAD);
    assert_int_equal(feed_once(&run, TEXT("HTTP/1.1 204\r\n\r\n"), NULL), 0);
    assert_int_equal(run.status, UDR_CODEC_BAD);
}

/* --- other protocols --- */

static void test_other_protocols(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        size_t len;
        const char *protocol;
    } replies[] = {
        {TEXT("\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0"), "FastCGI"},
        {TEXT("\x01\x0b\0\0\0\x08\0\0"), "FastCGI"},
        {TEXT("\x01\x06\0\x01\0\x1f\x01\0Status: 200 OK"), "FastCGI"},
        {TEXT("\x01\x01\0\x01\0\0\0\0"), "FastCGI"},
        {TEXT("\x01\x0b\0\0\0\x08\0"), NULL},
        {TEXT("\x01\x00\0\0\0\x08\0\0"), NULL},
        {TEXT("\x01\x0c\0\0\0\x08\0\0"), NULL},
        {TEXT("\x02\x06\0\x01\0\x1f\x01\0"), NULL},
        {TEXT("\x01\x06\0\x01\0\x1f\x01\x01"), NULL},
        {TEXT("\x15\x03\x01\0\x02\x02\x46"), "TLS"},
        {TEXT("\x15\x03\x03"), "TLS"},
        {TEXT("\x16\x03\x04\0\x7a"), "TLS"},
        {TEXT("\x16\x03"), NULL},
        {TEXT("\x16\x03\x05"), NULL},
        {TEXT("\x16\x02\x01"), NULL},
        {TEXT("\x17\x03\x03"), NULL},
        {TEXT("\0\0\0\x04\0\0\0\0\0"), "HTTP/2"},
        {TEXT("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64"), "HTTP/2"},
        {TEXT("\0\0\x12\x04\0\0\0\0"), NULL},
        {TEXT("\0\0\x11\x04\0\0\0\0\0"), NULL},
        {TEXT("\0\x01\x12\x04\0\0\0\0\0"), NULL},
        {TEXT("\x01\0\x12\x04\0\0\0\0\x01"), NULL},
        {TEXT("\0\0\x12\x07\0\0\0\0\0"), NULL},
        {TEXT("\0\0\x12\x04\x01\0\0\0\0"), NULL},
        {TEXT("\0\0\x12\x04\0\0\0\0\x01"), NULL},
        {TEXT("HTTP/1.1 200 OK\r\n\r\n"), NULL},
        {TEXT("\0"), NULL},
        {TEXT(""), NULL},
    };
    for (size_t i = 0; i < COUNT(replies); i++) {
        char *copy = malloc(replies[i].len + !replies[i].len);
        assert_non_null(copy);
        memcpy(copy, replies[i].reply, replies[i].len);
        const char *protocol = udr_http1_other_protocol(copy, replies[i].len);
        if (replies[i].protocol) {
            assert_non_null(protocol);
            assert_string_equal(protocol, replies[i].protocol);
        } else {
            assert_null(protocol);
        }
        free(copy);
    }
    assert_null(udr_http1_other_protocol(NULL, 0));
}

/* Who passes the head on has to look for the fields that Connection names only if it names any. */
static void test_fields_named_by_connection(void **state)
{
    static const struct {
        const char *fields;
        bool names_fields;
    } rows[] = {
        {"", false},
        {"Connection: close\r\n", false},
        {"Connection: Keep-Alive, CLOSE\r\n", false},
        {"Connection: close\r\nConnection: keep-alive\r\n", false},
        {"Connections: x\r\n", false},
        {"X: Connection\r\n", false},
        {"Connection: x\r\n", true},
        {"Connection: close, x\r\n", true},
        {"connection: x,close\r\n", true},
        {"Connection: close\r\nA: b\r\nConnection: Keep-Alives\r\n", true},
        {"Connection: clos\r\n", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* An interim response before it says nothing about it. */
        for (int interim = 0; interim < 2; interim++) {
            char text[512];
            snprintf(text, sizeof text, "%sHTTP/1.1 200 OK\r\n%s\r\n",
                     interim ? "HTTP/1.1 103 Early Hints\r\nConnection: x\r\n\r\n" : "", rows[i].fields);
            udr_http1_reader_t reader;
            udr_http1_reader_init(&reader, false, &(udr_http1_limits_t){256, 2048});
            udr_codec_step_t step = {0, {NULL, 0}};
            const char *rest = text;
            for (int heads = 0; heads <= interim; heads++) {
                udr_codec_status_t status = udr_http1_reader_feed(&reader, rest, strlen(rest), &step);
                assert_int_equal(status, heads < interim ? UDR_CODEC_INTERIM : UDR_CODEC_HEAD);
                rest += step.consumed;
            }
            if (reader.head.names_fields != rows[i].names_fields) {
                fail_msg("row %zu, %d interim", i, interim);
            }
        }
    }
}

/* RFC 9110, 5.3: several fields of one name are one list. */
static void test_lists_of_fields(void **state)
{
    static const char section[] = "A: 1\r\nUpgrade: x\r\nUpgrades: no\r\nUpgrad: no\r\nupgrade:  y, z \r\nB:\r\n"
                                  "UPGRADE:\r\n";
    static const struct {
        const char *name;
        const char *list;
    } rows[] = {{"Upgrade", "x, y, z, "}, {"a", "1"}, {"B", ""}, {"C", NULL}, {"", NULL}};
    const udr_slice_t fields = {section, sizeof section - 1};
    apr_pool_t *pool = NULL;
    (void)state;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *list = udr_http1_field_list(fields, rows[i].name, pool);
        if (!list != !rows[i].list || (list && strcmp(list, rows[i].list) != 0)) {
            fail_msg("row %zu: '%s'", i, list ? list : "(null)");
        }
    }
    assert_null(udr_http1_field_list((udr_slice_t){NULL, 0}, "A", pool));
    apr_pool_destroy(pool);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_shapes),
        cmocka_unit_test(test_bad_shapes),
        cmocka_unit_test(test_head_request_is_no_excuse),
        cmocka_unit_test(test_another_protocol_is_bad_at_once),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_fields_named_by_connection),
        cmocka_unit_test(test_lists_of_fields),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_chunk_line_limit),
        cmocka_unit_test(test_head_limit),
        cmocka_unit_test(test_bytes_are_searched_once),
        cmocka_unit_test(test_runs_are_as_long_as_they_can_be),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_cut_off_anywhere),
        cmocka_unit_test(test_closed_after_the_last_byte),
        cmocka_unit_test(test_other_protocols),
    };
    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
