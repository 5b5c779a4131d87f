/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/udsb_message.h"

#include <stdio.h>
#include <string.h>

/* Bytes of a client's frames, taken apart by wslay as in the server, a few bytes at a time. */
typedef struct {
    const uint8_t *data;
    size_t length, position, piece;
} bytes_t;

static ssize_t give(uint8_t *buffer, size_t size, int flags, void *context)
{
    bytes_t *const bytes = context;
    size_t length = bytes->length - bytes->position;

    (void)flags;
    if (length > bytes->piece)
        length = bytes->piece;
    if (length > size)
        length = size;
    memcpy(buffer, bytes->data + bytes->position, length);
    bytes->position += length;
    return length ? (ssize_t)length : -1;
}

/* Takes all frames; writes each event as a letter, with what belongs to it. -1 of wslay is "wslay". */
static void take_all(char *result, size_t size, const uint8_t *data, size_t length, size_t piece, size_t limit)
{
    const struct wslay_frame_callbacks callbacks = {.recv_callback = give};
    bytes_t bytes = {.data = data, .length = length, .piece = piece};
    udsb_message_t message = {.limit = limit};
    wslay_frame_context_ptr context;
    size_t used = 0;

    assert_int_equal(wslay_frame_context_init(&context, &callbacks, &bytes), 0);
    result[0] = '\0';
    for (;;) {
        struct wslay_frame_iocb frame = {0};
        const ssize_t outcome = wslay_frame_recv(context, &frame);
        udsb_message_event_t event;

        if (outcome == WSLAY_ERR_WANT_READ && bytes.position < bytes.length)
            continue; /* as after a further event of epoll */
        if (outcome == WSLAY_ERR_WANT_READ)
            break;
        if (outcome < 0) {
            used += (size_t)snprintf(result + used, size - used, "wslay;");
            break;
        }
        event = udsb_message_take(&message, &frame);
        if (event == UDSB_MESSAGE_DATA)
            used += (size_t)snprintf(result + used, size - used, "%s:%.*s;",
                                     message.opcode == WSLAY_TEXT_FRAME ? "text" : "binary", (int)message.length,
                                     message.length ? message.data : "");
        else if (event == UDSB_MESSAGE_PING)
            used += (size_t)snprintf(result + used, size - used, "ping:%.*s;", (int)message.length, message.data);
        else if (event == UDSB_MESSAGE_PONG)
            used += (size_t)snprintf(result + used, size - used, "pong;");
        else if (event == UDSB_MESSAGE_CLOSE)
            used += (size_t)snprintf(result + used, size - used, "close:%u;", message.code);
        else if (event == UDSB_MESSAGE_WRONG)
            used += (size_t)snprintf(result + used, size - used, "wrong:%u;", message.code);
        if (event == UDSB_MESSAGE_CLOSE || event == UDSB_MESSAGE_WRONG)
            break;
    }
    wslay_frame_context_free(context);
    udsb_message_clear(&message);
}

/* A mask of zeros leaves the payload legible. */
#define MASK                          "\0\0\0\0"
#define FRAME(first, length, payload) first length MASK payload

typedef struct {
    const char *data;
    size_t length;
    const char *expected;
} case_t;

#define CASE(expected, ...)                                                                                            \
    {                                                                                                                  \
        __VA_ARGS__, sizeof(__VA_ARGS__) - 1, expected                                                                 \
    }

static void assert_cases(const case_t *cases, size_t count)
{
    static const size_t pieces[] = {1, 2, 3, 5, 4096};
    char result[512];

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sizeof pieces / sizeof pieces[0]; j++) {
            take_all(result, sizeof result, (const uint8_t *)cases[i].data, cases[i].length, pieces[j], 100);
            assert_string_equal(result, cases[i].expected);
        }
    }
}

static void what_is_right(void **state)
{
    static const case_t cases[] = {
        CASE("text:hello;", FRAME("\x81", "\x85", "hello")),
        CASE("binary:a\xff"
             "b;",
             FRAME("\x82", "\x83",
                   "a\xff"
                   "b")),
        CASE("text:;", FRAME("\x81", "\x80", "")),
        CASE("text:ab;text:c;", FRAME("\x81", "\x82", "ab") FRAME("\x81", "\x81", "c")),
        CASE("text:abc;", FRAME("\x01", "\x81", "a") FRAME("\x00", "\x81", "b") FRAME("\x80", "\x81", "c")),
        CASE("text:;", FRAME("\x01", "\x80", "") FRAME("\x80", "\x80", "")),
        CASE("ping:p;text:ab;", FRAME("\x01", "\x81", "a") FRAME("\x89", "\x81", "p") FRAME("\x80", "\x81", "b")),
        CASE("text:\xc3\xa4;", FRAME("\x01", "\x81", "\xc3") FRAME("\x80", "\x81", "\xa4")),
        CASE("ping:;pong;", FRAME("\x89", "\x80", "") FRAME("\x8a", "\x81", "x")),
        CASE("close:0;", FRAME("\x88", "\x80", "")),
        CASE("close:1000;", FRAME("\x88", "\x82", "\x03\xe8")),
        CASE("close:4999;", FRAME("\x88", "\x85",
                                  "\x13\x87"
                                  "bye")),
        CASE("close:3000;", FRAME("\x88", "\x84", "\x0b\xb8\xc3\xa4")),
    };

    (void)state;
    assert_cases(cases, sizeof cases / sizeof cases[0]);
}

static void what_is_wrong(void **state)
{
    static const case_t cases[] = {
        CASE("wrong:1002;", "\x81\x01"
                            "a"),                                                   /* not masked */
        CASE("wrong:1002;", FRAME("\xc1", "\x81", "a")),                            /* RSV1 */
        CASE("wrong:1002;", FRAME("\x83", "\x81", "a")),                            /* reserved opcode */
        CASE("wrong:1002;", FRAME("\x8b", "\x81", "a")),                            /* reserved control opcode */
        CASE("wrong:1002;", FRAME("\x80", "\x81", "a")),                            /* continues nothing */
        CASE("wrong:1002;", FRAME("\x01", "\x81", "a") FRAME("\x81", "\x81", "b")), /* interrupts a message */
        CASE("wrong:1002;", FRAME("\x01", "\x81", "a") FRAME("\x82", "\x81", "b")),
        CASE("wslay;", FRAME("\x09", "\x81", "a")),         /* fragmented control frame */
        CASE("wslay;", FRAME("\x89", "\xfe\x00\x7e", "a")), /* 126 bytes of control frame */
        CASE("wslay;", FRAME("\x81", "\xfe\x00\x01", "a")), /* a length not in its shortest form */
        CASE("wrong:1007;", FRAME("\x81", "\x82", "a\xff")),
        CASE("wrong:1007;", FRAME("\x81", "\x81", "\xc3")), /* ends within a character */
        CASE("wrong:1007;", FRAME("\x01", "\x81", "\xff")), /* at once, not at the end */
        CASE("wrong:1007;", FRAME("\x01", "\x81", "\xc3") FRAME("\x80", "\x81", "a")),
        CASE("wrong:1002;", FRAME("\x88", "\x81", "\x03")),     /* half a code */
        CASE("wrong:1002;", FRAME("\x88", "\x82", "\x03\xe7")), /* 999 */
        CASE("wrong:1002;", FRAME("\x88", "\x82", "\x03\xec")), /* 1004 */
        CASE("wrong:1002;", FRAME("\x88", "\x82", "\x03\xed")), /* 1005 */
        CASE("wrong:1002;", FRAME("\x88", "\x82", "\x03\xee")), /* 1006 */
        CASE("wrong:1002;", FRAME("\x88", "\x82", "\x03\xf7")), /* 1015 */
        CASE("wrong:1002;", FRAME("\x88", "\x82", "\x0b\xb7")), /* 2999 */
        CASE("wrong:1002;", FRAME("\x88", "\x82", "\x13\x88")), /* 5000 */
        CASE("wrong:1007;", FRAME("\x88", "\x83", "\x03\xe8\xff")),
    };

    (void)state;
    assert_cases(cases, sizeof cases / sizeof cases[0]);
}

static void the_limit_counts_all_fragments(void **state)
{
    static const char whole[] = FRAME("\x82", "\x8a", "0123456789");
    static const char fragments[] = FRAME("\x02", "\x86", "012345") FRAME("\x80", "\x84", "6789");
    static const char announced[] = "\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00" MASK "x"; /* 4 GiB: refused unseen */
    char result[64];

    (void)state;
    take_all(result, sizeof result, (const uint8_t *)whole, sizeof whole - 1, 4096, 10);
    assert_string_equal(result, "binary:0123456789;");
    take_all(result, sizeof result, (const uint8_t *)whole, sizeof whole - 1, 4096, 9);
    assert_string_equal(result, "wrong:1009;");
    take_all(result, sizeof result, (const uint8_t *)fragments, sizeof fragments - 1, 4096, 10);
    assert_string_equal(result, "binary:0123456789;");
    take_all(result, sizeof result, (const uint8_t *)fragments, sizeof fragments - 1, 4096, 9);
    assert_string_equal(result, "wrong:1009;");
    take_all(result, sizeof result, (const uint8_t *)announced, sizeof announced - 1, 4096, 1 << 20);
    assert_string_equal(result, "wrong:1009;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right),
        cmocka_unit_test(what_is_wrong),
        cmocka_unit_test(the_limit_counts_all_fragments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
