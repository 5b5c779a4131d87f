/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_worker.h"
#include "backend/udsb_request.h"
#include "backend/udsb_server.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* libmicrohttpd's memory for one connection: head of the request, read buffer, head of the answer. */
enum { CONNECTION_MEMORY = 32 * 1024 };

typedef struct udsb_connection {
    struct udsb_connection *next, *previous; /* needs the worker's mutex */
    udsb_worker_t *worker;
    int descriptor;
    atomic_bool is_busy; /* has a request */
    udsb_request_t request;
} connection_t;

struct udsb_worker {
    udsb_server_t *server;
    struct MHD_Daemon *daemon;
    atomic_uint connections; /* given to libmicrohttpd and not ended */
    udsb_worker_metrics_t metrics;

    struct { /* needs the mutex */
        pthread_mutex_t mutex;
        connection_t *first;
    } open;
};

/* --- connections ---------------------------------------------------------------------------------------------------- */

/* Makes libmicrohttpd read an end of file and close. What is in the socket's buffer is still read before; a peer that
 * writes later gets EPIPE, and so knows that not one byte of its request was seen. */
static void close_when_idle(connection_t *connection)
{
    int unread = 0;

    if (!ioctl(connection->descriptor, FIONREAD, &unread) && !unread)
        shutdown(connection->descriptor, SHUT_RD);
}

static void connection_started(udsb_worker_t *worker, struct MHD_Connection *mhd, void **context)
{
    connection_t *const connection = calloc(1, sizeof *connection);

    *context = connection;
    if (!connection)
        return; /* its requests are refused in note_target() */
    connection->worker = worker;
    connection->descriptor = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    connection->request.server = worker->server;
    connection->request.metrics = &worker->metrics;
    connection->request.mhd = mhd;
    connection->request.descriptor = connection->descriptor;
    pthread_mutex_lock(&worker->open.mutex);
    connection->next = worker->open.first;
    if (connection->next)
        connection->next->previous = connection;
    worker->open.first = connection;
    pthread_mutex_unlock(&worker->open.mutex);
    if (atomic_load(&worker->server->stopping))
        close_when_idle(connection);
}

/* Before libmicrohttpd closes the descriptor: nobody else finds it in the list any more. */
static void connection_ended(udsb_worker_t *worker, connection_t *connection)
{
    if (connection) {
        pthread_mutex_lock(&worker->open.mutex);
        if (connection->previous)
            connection->previous->next = connection->next;
        else
            worker->open.first = connection->next;
        if (connection->next)
            connection->next->previous = connection->previous;
        pthread_mutex_unlock(&worker->open.mutex);
        free(connection);
    }
    atomic_fetch_sub(&worker->connections, 1);
    udsb_server_connection_ended(worker->server);
}

static void notify_connection(void *context, struct MHD_Connection *mhd, void **connection,
                              enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_started(context, mhd, connection);
    else
        connection_ended(context, *connection);
}

static connection_t *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* --- requests ------------------------------------------------------------------------------------------------------- */

/* First sign of a request: its target, before libmicrohttpd cuts it up. What this returns is the request's context. */
static void *note_target(void *context, const char *target, struct MHD_Connection *mhd)
{
    connection_t *const connection = connection_of(mhd);

    (void)context;
    if (!connection)
        return NULL;
    atomic_store(&connection->is_busy, true);
    udsb_metrics_add_own(&connection->worker->metrics.started, 1);
    return udsb_request_begin(&connection->request, target) ? &connection->request : NULL;
}

static void finish_request(void *context, struct MHD_Connection *mhd, void **request_context,
                           enum MHD_RequestTerminationCode code)
{
    udsb_worker_t *const worker = context;
    connection_t *const connection = connection_of(mhd);

    (void)request_context;
    if (!connection || !atomic_load_explicit(&connection->is_busy, memory_order_relaxed))
        return;

    udsb_request_t *const request = &connection->request;
    const bool is_complete = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;

    udsb_metrics_add_own(&worker->metrics.requests[is_complete ? request->status / 100 : 0], 1);
    if (is_complete)
        udsb_metrics_add_own(&worker->metrics.bytes_out, request->body_length);
    udsb_request_end(request);
    atomic_store(&connection->is_busy, false);
    if (atomic_load(&worker->server->stopping))
        close_when_idle(connection);
}

/* Calls the handler and does what it asked for. */
static enum MHD_Result run_handler(udsb_request_t *request)
{
    const udsb_mapping_t *const mapping = request->mapping;

    if (request->refusal)
        udsb_request_refuse(request);
    else
        mapping->handler(request, mapping->context);
    if (!request->is_answered && request->wait.is_wanted) {
        udsb_wait_begin(request);
        return MHD_YES;
    }
    if (!request->is_answered)
        udsb_request_answer_text(request, 500, "the handler gave no answer");
    return request->status ? MHD_YES : MHD_NO; /* MHD_NO closes the connection */
}

/* libmicrohttpd calls it with the head, then with each piece of the body, then to have an answer, and again after a wait. */
static enum MHD_Result access_handler(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                      const char *version, const char *data, size_t *length, void **request_context)
{
    udsb_request_t *const request = *request_context;

    (void)context, (void)mhd, (void)url;
    if (!request || request->wait.is_gone)
        return MHD_NO;
    if (!request->is_begun) {
        request->is_begun = true;
        request->method = method;
        request->version = version;
        udsb_request_route(request);
        /* Answering now closes the connection: right before a body that would be for nothing, wrong otherwise. */
        if (request->refusal && udsb_request_has_body(request))
            return run_handler(request);
        return MHD_YES;
    }
    if (*length) {
        udsb_request_take_body(request, data, *length);
        *length = 0;
        return MHD_YES;
    }
    return run_handler(request);
}

/* libmicrohttpd would decode the target in place, where %00 could end it early; udsb_request_begin() does it right. */
static size_t leave_escapes(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context, (void)mhd;
    return strlen(text);
}

static void log_message(void *context, const char *format, va_list arguments)
{
    const udsb_worker_t *const worker = context;
    char line[512];

    if (worker->server->log.verbosity < UDSB_LOG_DEBUG)
        return;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    udsb_log_event(&worker->server->log, UDSB_LOG_DEBUG, "libmicrohttpd: %s", line);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

udsb_worker_t *udsb_worker_create(udsb_server_t *server)
{
    udsb_worker_t *worker;

    if (posix_memalign((void **)&worker, _Alignof(udsb_worker_t), sizeof *worker))
        return NULL;
    memset(worker, 0, sizeof *worker);
    worker->server = server;
    pthread_mutex_init(&worker->open.mutex, NULL);
    /* The limit is the acceptors' business. libmicrohttpd 0.9.75 must never reach its own: it would then leave a mutex
     * locked (new_connection_process_) and hang. */
    worker->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME |
            MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG,
        0, NULL, NULL, access_handler, worker, MHD_OPTION_EXTERNAL_LOGGER, log_message, worker,
        MHD_OPTION_NOTIFY_CONNECTION, notify_connection, worker, MHD_OPTION_NOTIFY_COMPLETED, finish_request, worker,
        MHD_OPTION_URI_LOG_CALLBACK, note_target, worker, MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_LIMIT, (unsigned)INT_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    if (!worker->daemon) {
        const int cause = errno;

        pthread_mutex_destroy(&worker->open.mutex);
        free(worker);
        errno = cause;
        return NULL;
    }
    return worker;
}

void udsb_worker_destroy(udsb_worker_t *worker)
{
    MHD_stop_daemon(worker->daemon);
    pthread_mutex_destroy(&worker->open.mutex);
    free(worker);
}

const udsb_worker_metrics_t *udsb_worker_metrics(const udsb_worker_t *worker)
{
    return &worker->metrics;
}

void udsb_worker_add_connection(udsb_server_t *server, int descriptor)
{
    const struct sockaddr_un nobody = {.sun_family = AF_UNIX};
    udsb_worker_t *worker = server->workers[0];

    for (unsigned i = 1; i < server->worker_count; i++) {
        if (atomic_load(&server->workers[i]->connections) < atomic_load(&worker->connections))
            worker = server->workers[i];
    }
    atomic_fetch_add(&worker->connections, 1);
    udsb_metrics_add(&server->metrics.connections_open, 1);
    if (MHD_add_connection(worker->daemon, descriptor, (const struct sockaddr *)&nobody, sizeof nobody.sun_family) !=
        MHD_YES) { /* it has closed the descriptor */
        udsb_log_event(&server->log, UDSB_LOG_WARNING, "a connection was dropped: %s", strerror(errno));
        atomic_fetch_sub(&worker->connections, 1);
        udsb_server_connection_ended(server);
    }
}

void udsb_worker_close_idle(udsb_worker_t *worker)
{
    pthread_mutex_lock(&worker->open.mutex);
    for (connection_t *connection = worker->open.first; connection; connection = connection->next) {
        if (!atomic_load(&connection->is_busy))
            close_when_idle(connection);
    }
    pthread_mutex_unlock(&worker->open.mutex);
}

void udsb_worker_cut(udsb_worker_t *worker)
{
    pthread_mutex_lock(&worker->open.mutex);
    for (connection_t *connection = worker->open.first; connection; connection = connection->next)
        shutdown(connection->descriptor, SHUT_RDWR);
    pthread_mutex_unlock(&worker->open.mutex);
}
