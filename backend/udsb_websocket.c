/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_websocket.h"
#include "backend/udsb_message.h"
#include "backend/udsb_request.h"
#include "backend/udsb_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OUTPUT_HIGH = 1024 * 1024, /* bytes; no reading while more wait to be sent */
    INPUT_TURN = 1024 * 1024,  /* bytes; then it is the next WebSocket's turn */
    OUTPUT_KEEP = 64 * 1024,   /* a larger buffer is given back once it is empty */
    GOODBYE_MS = 2000          /* how long the peer's Close, or its end of file, is waited for */
};

/* One way only. */
typedef enum {
    OPEN,
    SAYING_GOODBYE, /* our Close is on its way, the peer's has not come */
    FINISHED        /* no more frames either way: flush, close our side, wait for the end of file */
} step_t;

struct udsb_websocket {
    udsb_server_t *server;
    udsb_worker_t *worker;
    const udsb_websocket_route_t *route;
    struct MHD_UpgradeResponseHandle *handle; /* libmicrohttpd closes the descriptor when it is told through this */
    udsb_websocket_t *next, *previous;
    udsb_task_t task;
    udsb_watch_t watch;
    udsb_timer_t goodbye;

    step_t step;
    wslay_frame_context_ptr frames;
    udsb_message_t message;
    char *extra; /* bytes that came along with the handshake */
    size_t extra_used, extra_length;
    size_t turn;         /* bytes read in this turn */
    bool is_input_ended; /* end of file, or an error */
    bool has_failed;     /* the connection, or memory */
    bool is_shut;        /* our side is */

    char *output;
    size_t output_start, output_end, output_capacity;
};

/* --- bytes in and out -----------------------------------------------------------------------------------------------
 */

static size_t output_pending(const udsb_websocket_t *websocket)
{
    return websocket->output_end - websocket->output_start;
}

/* Makes room for length bytes after what waits to be sent. */
static bool make_output_room(udsb_websocket_t *websocket, size_t length)
{
    size_t capacity = websocket->output_capacity ? websocket->output_capacity : 1024;
    char *output;

    if (websocket->output_end + length <= websocket->output_capacity)
        return true;
    /* What is sent goes first: a peer that is always a little behind must not make the buffer longer and longer. */
    if (websocket->output_start) {
        memmove(websocket->output, websocket->output + websocket->output_start, output_pending(websocket));
        websocket->output_end -= websocket->output_start;
        websocket->output_start = 0;
    }
    while (capacity < websocket->output_end + length)
        capacity *= 2;
    if (capacity == websocket->output_capacity)
        return true;
    output = realloc(websocket->output, capacity);
    if (!output)
        return false;
    websocket->output = output;
    websocket->output_capacity = capacity;
    return true;
}

/* wslay's: takes bytes of a frame to be sent. Always all of them: what the socket does not take waits in the buffer. */
static ssize_t take_output(const uint8_t *data, size_t length, int flags, void *context)
{
    udsb_websocket_t *const websocket = context;

    (void)flags;
    if (!make_output_room(websocket, length)) {
        websocket->has_failed = true;
        return -1;
    }
    memcpy(websocket->output + websocket->output_end, data, length);
    websocket->output_end += length;
    return (ssize_t)length;
}

static void flush(udsb_websocket_t *websocket)
{
    while (output_pending(websocket)) {
        const ssize_t sent = send(websocket->watch.descriptor, websocket->output + websocket->output_start,
                                  output_pending(websocket), MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            websocket->has_failed |= errno != EAGAIN;
            return;
        }
        websocket->output_start += (size_t)sent;
    }
    websocket->output_start = websocket->output_end = 0;
    if (websocket->output_capacity > OUTPUT_KEEP) {
        free(websocket->output);
        websocket->output = NULL;
        websocket->output_capacity = 0;
    }
}

/* wslay's: gives bytes of frames. */
static ssize_t give_input(uint8_t *data, size_t size, int flags, void *context)
{
    udsb_websocket_t *const websocket = context;
    const size_t extra = websocket->extra_length - websocket->extra_used;
    ssize_t length;

    (void)flags;
    if (extra) {
        const size_t taken = extra < size ? extra : size;

        memcpy(data, websocket->extra + websocket->extra_used, taken);
        websocket->extra_used += taken;
        return (ssize_t)taken;
    }
    if (websocket->turn >= INPUT_TURN)
        return -1;
    do
        length = recv(websocket->watch.descriptor, data, size, 0);
    while (length < 0 && errno == EINTR);
    if (length == 0 || (length < 0 && errno != EAGAIN))
        websocket->is_input_ended = true;
    if (length > 0)
        websocket->turn += (size_t)length;
    return length;
}

/* What comes after the last frame is of no interest, but unread it would make the kernel reset the connection. */
static void drop_input(udsb_websocket_t *websocket)
{
    uint8_t dropped[4096];

    websocket->turn = 0;
    while (!websocket->is_input_ended && give_input(dropped, sizeof dropped, 0, websocket) > 0)
        ;
}

/* --- frames ---------------------------------------------------------------------------------------------------------
 */

static bool send_frame(udsb_websocket_t *websocket, uint8_t opcode, const void *data, size_t length)
{
    struct wslay_frame_iocb frame = {
        .fin = 1, .opcode = opcode, .payload_length = length, .data = data, .data_length = length};

    return wslay_frame_send(websocket->frames, &frame) >= 0 && !websocket->has_failed;
}

static void send_close(udsb_websocket_t *websocket, uint16_t code)
{
    const uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)(code & 0xff)};

    send_frame(websocket, WSLAY_CONNECTION_CLOSE, payload, code ? sizeof payload : 0);
}

static void take_frame(udsb_websocket_t *websocket, const struct wslay_frame_iocb *frame)
{
    udsb_message_t *const message = &websocket->message;

    switch (udsb_message_take(message, frame)) {
    case UDSB_MESSAGE_MORE:
    case UDSB_MESSAGE_PONG:
        break;
    case UDSB_MESSAGE_DATA:
        if (websocket->step != OPEN) /* we have said goodbye */
            break;
        udsb_metrics_add(&websocket->server->metrics.websocket_messages, 1);
        websocket->route->function(websocket, (udsb_websocket_kind_t)message->opcode, message->data, message->length,
                                   websocket->route->context);
        break;
    case UDSB_MESSAGE_PING:
        if (websocket->step == OPEN)
            send_frame(websocket, WSLAY_PONG, message->data, message->length);
        break;
    case UDSB_MESSAGE_CLOSE:
    case UDSB_MESSAGE_WRONG:
        if (websocket->step == OPEN)
            send_close(websocket, message->code);
        websocket->step = FINISHED;
        break;
    }
}

/* False: it stopped because of what waits to be sent; there may be frames in wslay's buffer that epoll knows nothing
 * of. */
static bool take_input(udsb_websocket_t *websocket)
{
    struct wslay_frame_iocb frame;

    websocket->turn = 0;
    while (websocket->step != FINISHED && !websocket->has_failed) {
        if (output_pending(websocket) > OUTPUT_HIGH)
            return false;
        memset(&frame, 0, sizeof frame);
        const ssize_t result = wslay_frame_recv(websocket->frames, &frame);

        if (result == WSLAY_ERR_WANT_READ)
            break;
        if (result >= 0) {
            take_frame(websocket, &frame);
            continue;
        }
        if (websocket->step == OPEN)
            send_close(websocket, WSLAY_CODE_PROTOCOL_ERROR);
        websocket->step = FINISHED;
    }
    return true;
}

bool udsb_websocket_send(udsb_websocket_t *websocket, udsb_websocket_kind_t kind, const void *data, size_t length)
{
    return websocket->step == OPEN && send_frame(websocket, (uint8_t)kind, data, length);
}

/* --- life -----------------------------------------------------------------------------------------------------------
 */

static void free_websocket(udsb_websocket_t *websocket)
{
    struct MHD_UpgradeResponseHandle *const handle = websocket->handle;
    udsb_worker_t *const worker = websocket->worker;

    if (websocket->frames)
        wslay_frame_context_free(websocket->frames);
    udsb_message_clear(&websocket->message);
    free(websocket->extra);
    free(websocket->output);
    free(websocket);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
    worker->has_events = true;
}

static void end(udsb_websocket_t *websocket)
{
    udsb_worker_t *const worker = websocket->worker;

    udsb_loop_unwatch(worker->loop, &websocket->watch);
    udsb_loop_clear_timer(worker->loop, &websocket->goodbye);
    if (websocket->previous)
        websocket->previous->next = websocket->next;
    else
        worker->websockets.first = websocket->next;
    if (websocket->next)
        websocket->next->previous = websocket->previous;
    udsb_metrics_add(&websocket->server->metrics.websockets_open, (uint64_t)-1);
    free_websocket(websocket);
}

/* The last frame is sent: now the peer is to close, but not to be waited for without end. */
static void finish(udsb_websocket_t *websocket)
{
    if (!websocket->is_shut && !output_pending(websocket)) {
        shutdown(websocket->watch.descriptor, SHUT_WR);
        websocket->is_shut = true;
    }
    if (!websocket->goodbye.place)
        websocket->has_failed |= !udsb_loop_set_timer(websocket->worker->loop, &websocket->goodbye, GOODBYE_MS);
    drop_input(websocket);
}

/* Does all there is to do; the websocket may be gone afterwards. */
static void work(udsb_websocket_t *websocket)
{
    uint32_t events = 0;
    bool is_through;

    do {
        is_through = take_input(websocket);
        flush(websocket);
    } while (!is_through && !websocket->has_failed && output_pending(websocket) <= OUTPUT_HIGH);
    if (websocket->step == FINISHED && !websocket->has_failed)
        finish(websocket);
    if (websocket->has_failed || websocket->is_input_ended) {
        end(websocket);
        return;
    }
    if (output_pending(websocket))
        events |= EPOLLOUT;
    if (output_pending(websocket) <= OUTPUT_HIGH)
        events |= EPOLLIN;
    if (udsb_loop_watch(websocket->worker->loop, &websocket->watch, events))
        end(websocket);
}

static void ready(udsb_watch_t *watch, uint32_t events)
{
    udsb_websocket_t *const websocket = (udsb_websocket_t *)((char *)watch - offsetof(udsb_websocket_t, watch));

    if (events & (EPOLLERR | EPOLLHUP)) /* nobody is there to be answered */
        end(websocket);
    else
        work(websocket);
}

static void goodbye_timed_out(udsb_timer_t *timer)
{
    end((udsb_websocket_t *)((char *)timer - offsetof(udsb_websocket_t, goodbye)));
}

static void say_goodbye(udsb_websocket_t *websocket)
{
    if (websocket->step == OPEN) {
        send_close(websocket, WSLAY_CODE_GOING_AWAY);
        websocket->step = SAYING_GOODBYE;
        websocket->has_failed |= !udsb_loop_set_timer(websocket->worker->loop, &websocket->goodbye, GOODBYE_MS);
    }
    work(websocket);
}

static void begin(udsb_task_t *task)
{
    udsb_websocket_t *const websocket = (udsb_websocket_t *)((char *)task - offsetof(udsb_websocket_t, task));
    udsb_server_t *const server = websocket->server;
    udsb_websocket_list_t *const list = &websocket->worker->websockets;

    websocket->next = list->first;
    if (websocket->next)
        websocket->next->previous = websocket;
    list->first = websocket;
    udsb_metrics_add(&server->metrics.websockets_open, 1);
    if (atomic_load(&server->hurrying))
        end(websocket);
    else if (atomic_load(&server->stopping))
        say_goodbye(websocket);
    else
        work(websocket);
}

void udsb_websocket_upgraded(void *context, struct MHD_Connection *mhd, void *request_context, const char *extra,
                             size_t extra_length, MHD_socket descriptor, struct MHD_UpgradeResponseHandle *handle)
{
    const struct wslay_frame_callbacks callbacks = {.send_callback = take_output, .recv_callback = give_input};
    const udsb_websocket_route_t *const route = context;
    udsb_websocket_t *const websocket = calloc(1, sizeof *websocket);

    const udsb_request_t *const request = request_context;

    (void)mhd;
    if (!websocket) {
        MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
        return;
    }
    websocket->server = request->server;
    websocket->worker = request->worker;
    websocket->route = route;
    websocket->handle = handle;
    websocket->message.limit = route->message_limit;
    websocket->watch.descriptor = descriptor;
    websocket->watch.ready = ready;
    websocket->goodbye.fired = goodbye_timed_out;
    websocket->task.run = begin;
    websocket->extra = extra_length ? malloc(extra_length) : NULL;
    if (wslay_frame_context_init(&websocket->frames, &callbacks, websocket) || (extra_length && !websocket->extra)) {
        free_websocket(websocket);
        return;
    }
    if (extra_length)
        memcpy(websocket->extra, extra, extra_length);
    websocket->extra_length = extra_length;
    /* Later: libmicrohttpd is not to be told that it may close the connection before this function has returned. */
    udsb_loop_post(websocket->worker->loop, &websocket->task);
}

void udsb_websocket_stop_all(udsb_websocket_list_t *websockets)
{
    udsb_websocket_t *next;

    for (udsb_websocket_t *websocket = websockets->first; websocket; websocket = next) {
        next = websocket->next;
        say_goodbye(websocket);
    }
}

void udsb_websocket_cut_all(udsb_websocket_list_t *websockets)
{
    while (websockets->first)
        end(websockets->first);
}
