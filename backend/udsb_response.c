/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_response.h"
#include "backend/udsb_request.h"
#include "backend/udsb_server.h"
#include "backend/udsb_worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a stream's source is asked for at once, where the length is known: large enough to fill a socket's buffer. */
enum { STREAM_BLOCK = 256 * 1024 };

typedef struct {
    udsb_request_t *request;
    udsb_source_t *source;
    void *state;
    void (*destroy)(void *state);
} stream_t;

/* --- making ---------------------------------------------------------------------------------------------------------
 */

udsb_response_t *udsb_response_wrap(struct MHD_Response *mhd, uint64_t length)
{
    udsb_response_t *const response = mhd ? malloc(sizeof *response) : NULL;

    if (!response) {
        if (mhd)
            MHD_destroy_response(mhd);
        return NULL;
    }
    response->mhd = mhd;
    response->length = length;
    response->is_endless = false;
    return response;
}

static udsb_response_t *with_type(udsb_response_t *response, const char *type)
{
    if (response && type && !udsb_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type)) {
        udsb_response_free(response);
        return NULL;
    }
    return response;
}

static udsb_response_t *from_buffer(const char *type, const void *data, size_t length, enum MHD_ResponseMemoryMode mode)
{
    /* The library's prototype lacks a const; it does not write. */
    return with_type(udsb_response_wrap(MHD_create_response_from_buffer(length, (void *)(uintptr_t)data, mode), length),
                     type);
}

udsb_response_t *udsb_response_copy(const char *type, const void *data, size_t length)
{
    return from_buffer(type, data, length, MHD_RESPMEM_MUST_COPY);
}

udsb_response_t *udsb_response_borrow(const char *type, const void *data, size_t length)
{
    return from_buffer(type, data, length, MHD_RESPMEM_PERSISTENT);
}

udsb_response_t *udsb_response_file(const char *type, int descriptor, uint64_t offset, uint64_t length)
{
    struct MHD_Response *mhd;

    if (!length) { /* nothing for sendfile(2) to do */
        close(descriptor);
        return udsb_response_borrow(type, "", 0);
    }
    mhd = MHD_create_response_from_fd_at_offset64(length, descriptor, offset);
    if (!mhd)
        close(descriptor);
    return with_type(udsb_response_wrap(mhd, length), type);
}

/* Ends an answer that can't go on, so that the client sees it cut. libmicrohttpd 0.9.75 loses sight of a connection
 * whose source reports an error (MHD_epoll takes it off its list before it is cleaned up; it then stays open for ever),
 * but not of one that it can't write to. */
static ssize_t break_off(const udsb_request_t *request, char *buffer)
{
    shutdown(request->descriptor, SHUT_RDWR);
    buffer[0] = '\0';
    return 1;
}

static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t size)
{
    stream_t *const stream = context;
    udsb_request_t *const request = stream->request;
    ssize_t length;

    if (request->wait.is_gone) /* while it waited */
        return break_off(request, buffer);
    length = stream->source(stream->state, position, buffer, size);
    if (length > 0) {
        udsb_metrics_add_own(&request->worker->metrics.bytes_out, (uint64_t)length);
        return length;
    }
    if (length == UDSB_SOURCE_WAIT && request->wait.is_wanted) {
        udsb_wait_begin(request);
        return 0;
    }
    return length == UDSB_SOURCE_END ? MHD_CONTENT_READER_END_OF_STREAM : break_off(request, buffer);
}

static void free_stream(void *context)
{
    stream_t *const stream = context;

    if (stream->destroy)
        stream->destroy(stream->state);
    free(stream);
}

udsb_response_t *udsb_response_stream(udsb_request_t *request, const char *type, uint64_t length, udsb_source_t *source,
                                      void *state, void (*destroy)(void *state))
{
    stream_t *const stream = malloc(sizeof *stream);
    udsb_response_t *response;
    struct MHD_Response *mhd;

    if (!stream) {
        if (destroy)
            destroy(state);
        return NULL;
    }
    *stream = (stream_t){.request = request, .source = source, .state = state, .destroy = destroy};
    mhd = MHD_create_response_from_callback(length == UDSB_LENGTH_UNKNOWN ? MHD_SIZE_UNKNOWN : length, STREAM_BLOCK,
                                            read_stream, stream, free_stream);
    if (!mhd)
        free_stream(stream);
    response = udsb_response_wrap(mhd, 0);
    if (response)
        response->is_endless = length == UDSB_LENGTH_UNKNOWN;
    return with_type(response, type);
}

bool udsb_response_header(udsb_response_t *response, const char *name, const char *value)
{
    return response && MHD_add_response_header(response->mhd, name, value) == MHD_YES;
}

bool udsb_response_trailer(udsb_response_t *response, const char *name, const char *value)
{
    return response && MHD_add_response_footer(response->mhd, name, value) == MHD_YES;
}

void udsb_response_free(udsb_response_t *response)
{
    if (!response)
        return;
    MHD_destroy_response(response->mhd);
    free(response);
}

/* --- answering ------------------------------------------------------------------------------------------------------
 */

void udsb_request_answer_shared(udsb_request_t *request, unsigned status, udsb_response_t *response)
{
    if (request->is_answered)
        return;
    /* Without a response the connection is closed by udsb_worker.c: there is no memory for a better answer. */
    request->is_answered = true;
    if (!response)
        return;
    const bool has_body = strcmp(request->method, MHD_HTTP_METHOD_HEAD) != 0;
    /* To a HEAD, libmicrohttpd 0.9.75 sends the last chunk of a body that must not be there. It does not for an old
     * client, whose bodies end with the connection. */
    if (!has_body && response->is_endless)
        MHD_set_response_options(response->mhd, MHD_RF_HTTP_1_0_SERVER, MHD_RO_END);
    if (MHD_queue_response(request->mhd, status, response->mhd) != MHD_YES)
        return;
    request->status = status;
    request->body_length = has_body ? response->length : 0;
}

void udsb_request_answer(udsb_request_t *request, unsigned status, udsb_response_t *response)
{
    /* Told beforehand, a client does not try the connection again. (Shared responses can't be told apart; their
     * connections are closed all the same.) */
    if (atomic_load_explicit(&request->server->stopping, memory_order_relaxed))
        udsb_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    udsb_request_answer_shared(request, status, response);
    udsb_response_free(response);
}

void udsb_request_answer_text(udsb_request_t *request, unsigned status, const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    const int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    const size_t used = length < 0 ? 0 : (size_t)length < sizeof line - 2 ? (size_t)length : sizeof line - 2;
    line[used] = '\n';
    udsb_request_answer(request, status, udsb_response_copy("text/plain", line, used + 1));
}
