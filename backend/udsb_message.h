/* SPDX-License-Identifier: Apache-2.0 */
/* From WebSocket frames to messages (RFC 6455, 5.4 to 7.4): fragments, control frames in between, what is forbidden.
 * Layer: bottom; no I/O. wslay takes the bytes apart into frames; used by udsb_websocket.c.
 *
 * Why not wslay's own event layer: it lets a Close overtake answers that are queued, takes a Close with half a code,
 * and reserves what a frame announces before the bytes are there. */
#ifndef UDSB_MESSAGE_H
#define UDSB_MESSAGE_H

#include "backend/udsb_utf8.h"

#include <stddef.h>
#include <stdint.h>

#include <wslay/wslay.h>

typedef enum {
    UDSB_MESSAGE_MORE,  /* nothing is complete yet */
    UDSB_MESSAGE_DATA,  /* opcode, data, length: a whole message, text is valid UTF-8 */
    UDSB_MESSAGE_PING,  /* data, length: to be sent back in a Pong */
    UDSB_MESSAGE_PONG,  /* nothing to do */
    UDSB_MESSAGE_CLOSE, /* code to be sent back: the peer's, 0: it gave none */
    UDSB_MESSAGE_WRONG  /* code: the connection is to be closed with it */
} udsb_message_event_t;

typedef struct {
    size_t limit; /* bytes of a message; set by the user */

    /* results of the last udsb_message_take, until the next */
    uint8_t opcode; /* of a DATA: WSLAY_TEXT_FRAME or WSLAY_BINARY_FRAME */
    const char *data;
    size_t length;
    uint16_t code;

    /* its own */
    bool is_fragmented;      /* a message has begun and its last frame has not come */
    char *buffer;            /* of the message */
    size_t used, capacity;   /* of buffer */
    udsb_utf8_t utf8;        /* of a text message */
    uint64_t frame_position; /* bytes of the current frame so far */
    char control[125];       /* payload of a control frame */
    size_t control_used;
} udsb_message_t;

/* Takes a piece of a frame as wslay_frame_recv gave it. After WRONG or CLOSE no more are to be given. */
udsb_message_event_t udsb_message_take(udsb_message_t *message, const struct wslay_frame_iocb *frame);

/* Frees the buffer. */
void udsb_message_clear(udsb_message_t *message);

#endif
