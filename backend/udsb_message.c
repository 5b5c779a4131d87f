/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_message.h"

#include <stdlib.h>
#include <string.h>

/* A buffer that a large message left is given back; small ones are kept for the next message. */
enum { KEEP_CAPACITY = 64 * 1024 };

static udsb_message_event_t wrong(udsb_message_t *message, uint16_t code)
{
    message->code = code;
    return UDSB_MESSAGE_WRONG;
}

/* RFC 6455, 7.4: codes an endpoint may put into a Close. */
static bool is_sendable_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* What the first piece of a frame shows already. */
static uint16_t check_frame(udsb_message_t *message, const struct wslay_frame_iocb *frame)
{
    if (!frame->mask || frame->rsv)
        return WSLAY_CODE_PROTOCOL_ERROR; /* 5.1: a client masks; 5.2: no extension was negotiated */
    switch (frame->opcode) {
    case WSLAY_CONTINUATION_FRAME:
        if (!message->is_fragmented)
            return WSLAY_CODE_PROTOCOL_ERROR;
        break;
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
        if (message->is_fragmented)
            return WSLAY_CODE_PROTOCOL_ERROR;
        break;
    case WSLAY_PING:
    case WSLAY_PONG:
    case WSLAY_CONNECTION_CLOSE:
        return 0; /* wslay itself sees to FIN and the 125 bytes */
    default:
        return WSLAY_CODE_PROTOCOL_ERROR;
    }
    if (frame->payload_length > message->limit - message->used)
        return WSLAY_CODE_MESSAGE_TOO_BIG;
    return 0;
}

static bool append(udsb_message_t *message, const struct wslay_frame_iocb *frame)
{
    const size_t needed = message->used + frame->data_length;
    size_t capacity = message->capacity ? message->capacity : 1024;
    char *buffer;

    if (needed > message->capacity) {
        while (capacity < needed)
            capacity *= 2;
        buffer = realloc(message->buffer, capacity);
        if (!buffer)
            return false;
        message->buffer = buffer;
        message->capacity = capacity;
    }
    if (frame->data_length)
        memcpy(message->buffer + message->used, frame->data, frame->data_length);
    message->used = needed;
    return true;
}

static udsb_message_event_t take_data(udsb_message_t *message, const struct wslay_frame_iocb *frame, bool is_end)
{
    if (frame->opcode != WSLAY_CONTINUATION_FRAME)
        message->opcode = frame->opcode;
    if (!append(message, frame))
        return wrong(message, WSLAY_CODE_INTERNAL_SERVER_ERROR);
    /* At once, not at the end: an invalid text is not to be waited for. */
    if (message->opcode == WSLAY_TEXT_FRAME && !udsb_utf8_take(&message->utf8, frame->data, frame->data_length))
        return wrong(message, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA);
    if (!is_end)
        return UDSB_MESSAGE_MORE;
    message->is_fragmented = !frame->fin;
    if (message->is_fragmented)
        return UDSB_MESSAGE_MORE;
    if (message->utf8.missing)
        return wrong(message, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA);
    message->data = message->buffer;
    message->length = message->used;
    message->used = 0;
    message->utf8 = (udsb_utf8_t){0};
    return UDSB_MESSAGE_DATA;
}

static udsb_message_event_t take_close(udsb_message_t *message)
{
    const unsigned char *const payload = (const unsigned char *)message->control;

    if (message->control_used == 0) {
        message->code = 0;
        return UDSB_MESSAGE_CLOSE;
    }
    if (message->control_used == 1 || !is_sendable_code((unsigned)(payload[0] << 8 | payload[1])))
        return wrong(message, WSLAY_CODE_PROTOCOL_ERROR);
    if (!udsb_utf8_is_valid(payload + 2, message->control_used - 2))
        return wrong(message, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA);
    message->code = (uint16_t)(payload[0] << 8 | payload[1]);
    return UDSB_MESSAGE_CLOSE;
}

static udsb_message_event_t take_control(udsb_message_t *message, const struct wslay_frame_iocb *frame, bool is_end)
{
    if (frame->data_length)
        memcpy(message->control + message->control_used, frame->data, frame->data_length);
    message->control_used += frame->data_length;
    if (!is_end)
        return UDSB_MESSAGE_MORE;
    if (frame->opcode == WSLAY_CONNECTION_CLOSE)
        return take_close(message);
    message->data = message->control;
    message->length = message->control_used;
    return frame->opcode == WSLAY_PING ? UDSB_MESSAGE_PING : UDSB_MESSAGE_PONG;
}

udsb_message_event_t udsb_message_take(udsb_message_t *message, const struct wslay_frame_iocb *frame)
{
    if (!message->frame_position) {
        const uint16_t code = check_frame(message, frame);

        if (code)
            return wrong(message, code);
        if (wslay_is_ctrl_frame(frame->opcode))
            message->control_used = 0;
        else if (!message->used && message->capacity > KEEP_CAPACITY)
            udsb_message_clear(message);
    }
    message->frame_position += frame->data_length;

    const bool is_end = message->frame_position == frame->payload_length;
    if (is_end)
        message->frame_position = 0;
    return wslay_is_ctrl_frame(frame->opcode) ? take_control(message, frame, is_end)
                                              : take_data(message, frame, is_end);
}

void udsb_message_clear(udsb_message_t *message)
{
    free(message->buffer);
    message->buffer = NULL;
    message->used = message->capacity = 0;
}
