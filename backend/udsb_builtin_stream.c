/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_builtin.h"
#include "backend/udsb_value.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    LINE = 16,          /* bytes of a line of /bytes/N */
    PREPARED = 4 << 20, /* bytes that are made once and sent straight from memory */
    CHUNKS_MAXIMUM = 1000000000,
    INTERVAL_MS = 1000, /* between events */
    INTERVAL_MAXIMUM_MS = 3600000
};

/* --- /bytes/N -------------------------------------------------------------------------------------------------------
 */

static void fill_line(char *line, uint64_t offset)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = LINE - 2; i >= 0; i--) {
        line[i] = digits[offset & 15];
        offset >>= 4;
    }
    line[LINE - 1] = '\n';
}

void udsb_builtin_fill(char *buffer, uint64_t position, size_t size)
{
    char line[LINE];

    while (size) {
        const size_t within = position % LINE;
        const size_t length = size < LINE - within ? size : LINE - within;

        if (length == LINE) {
            fill_line(buffer, position);
        } else {
            fill_line(line, position - within);
            memcpy(buffer, line + within, length);
        }
        buffer += length;
        position += length;
        size -= length;
    }
}

static char *prepared; /* NULL: no memory for it */

static void prepare(void)
{
    prepared = mmap(NULL, PREPARED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (prepared == MAP_FAILED)
        prepared = NULL;
    else
        udsb_builtin_fill(prepared, 0, PREPARED);
}

static ssize_t generate(void *state, uint64_t position, char *buffer, size_t size)
{
    (void)state;
    udsb_builtin_fill(buffer, position, size);
    return (ssize_t)size;
}

void udsb_builtin_bytes(udsb_request_t *request, void *context)
{
    static const uint64_t maximum = (uint64_t)1 << 50;
    static const char type[] = "application/octet-stream";
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t length;

    (void)context;
    if (!udsb_value_number(&length, udsb_request_rest(request), 0, maximum)) {
        udsb_request_answer_text(request, 400, "/bytes/N takes a length from 0 to %llu", (unsigned long long)maximum);
        return;
    }
    pthread_once(&once, prepare);
    if (prepared && length <= PREPARED)
        udsb_request_answer(request, 200, udsb_response_borrow(type, prepared, (size_t)length));
    else
        udsb_request_answer(request, 200, udsb_response_stream(request, type, length, generate, NULL, NULL));
}

/* --- /chunked/N -----------------------------------------------------------------------------------------------------
 */

typedef struct {
    uint64_t sent, count;
} chunks_t;

static ssize_t next_chunk(void *state, uint64_t position, char *buffer, size_t size)
{
    chunks_t *const chunks = state;

    (void)position;
    if (chunks->sent == chunks->count)
        return UDSB_SOURCE_END;
    return snprintf(buffer, size, "chunk %llu\n", (unsigned long long)++chunks->sent);
}

void udsb_builtin_chunked(udsb_request_t *request, void *context)
{
    udsb_response_t *response;
    char text[24];
    uint64_t count;
    chunks_t *chunks;

    (void)context;
    if (!udsb_value_number(&count, udsb_request_rest(request), 0, CHUNKS_MAXIMUM)) {
        udsb_request_answer_text(request, 400, "/chunked/N takes a number from 0 to %d", CHUNKS_MAXIMUM);
        return;
    }
    chunks = calloc(1, sizeof *chunks);
    if (!chunks) {
        udsb_request_answer(request, 500, NULL);
        return;
    }
    chunks->count = count;
    response = udsb_response_stream(request, "text/plain", UDSB_LENGTH_UNKNOWN, next_chunk, chunks, free);
    snprintf(text, sizeof text, "%llu", (unsigned long long)count);
    udsb_response_header(response, "Trailer", "X-Chunks");
    udsb_response_trailer(response, "X-Chunks", text);
    udsb_request_answer(request, 200, response);
}

/* --- /sse -----------------------------------------------------------------------------------------------------------
 */

typedef struct {
    udsb_request_t *request;
    uint64_t sent, count, interval_ms;
    bool has_waited;
} events_t;

static ssize_t next_event(void *state, uint64_t position, char *buffer, size_t size)
{
    events_t *const events = state;
    struct timespec now;

    (void)position;
    if (events->sent == events->count || udsb_server_is_stopping(udsb_request_server(events->request)))
        return UDSB_SOURCE_END;
    if (events->sent && !events->has_waited) {
        events->has_waited = true;
        udsb_request_wait(events->request, events->interval_ms, true);
        return UDSB_SOURCE_WAIT;
    }
    events->has_waited = false;
    events->sent++;
    /* The time lets a client see how long an event was on its way. */
    clock_gettime(CLOCK_REALTIME, &now);
    return snprintf(buffer, size, "id: %llu\ndata: {\"number\":%llu,\"time_ms\":%lld}\n\n",
                    (unsigned long long)events->sent, (unsigned long long)events->sent,
                    (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

void udsb_builtin_events(udsb_request_t *request, void *context)
{
    udsb_response_t *response;
    events_t *events;
    uint64_t interval_ms = INTERVAL_MS, count = UINT64_MAX;
    bool answered;

    (void)context;
    udsb_request_number(request, "interval", 0, INTERVAL_MAXIMUM_MS, &interval_ms, &answered);
    if (!answered)
        udsb_request_number(request, "count", 1, UINT64_MAX, &count, &answered);
    if (answered)
        return;
    events = calloc(1, sizeof *events);
    if (!events) {
        udsb_request_answer(request, 500, NULL);
        return;
    }
    *events = (events_t){.request = request, .count = count, .interval_ms = interval_ms};
    response = udsb_response_stream(request, "text/event-stream", UDSB_LENGTH_UNKNOWN, next_event, events, free);
    udsb_response_header(response, "Cache-Control", "no-cache");
    udsb_request_answer(request, 200, response);
}
