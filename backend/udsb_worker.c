/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_worker.h"
#include "backend/udsb_request.h"
#include "backend/udsb_server.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* libmicrohttpd's memory for one connection: head of the request, read buffer, head of the answer. */
enum { CONNECTION_MEMORY = 32 * 1024 };

typedef struct udsb_connection {
    struct udsb_connection *next, *previous;
    udsb_worker_t *worker;
    int descriptor;
    bool is_busy; /* has a request */
    udsb_request_t request;
} connection_t;

/* --- connections ----------------------------------------------------------------------------------------------------
 */

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
    connection->request.worker = worker;
    connection->request.mhd = mhd;
    connection->request.descriptor = connection->descriptor;
    connection->next = worker->first;
    if (connection->next)
        connection->next->previous = connection;
    worker->first = connection;
    if (atomic_load(&worker->server->stopping))
        close_when_idle(connection);
}

static void connection_ended(udsb_worker_t *worker, connection_t *connection)
{
    if (connection) {
        if (connection->previous)
            connection->previous->next = connection->next;
        else
            worker->first = connection->next;
        if (connection->next)
            connection->next->previous = connection->previous;
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

/* --- requests -------------------------------------------------------------------------------------------------------
 */

/* First sign of a request: its target, before libmicrohttpd cuts it up. What this returns is the request's context. */
static void *note_target(void *context, const char *target, struct MHD_Connection *mhd)
{
    connection_t *const connection = connection_of(mhd);

    (void)context;
    if (!connection)
        return NULL;
    connection->is_busy = true;
    udsb_metrics_add_own(&connection->worker->metrics.started, 1);
    return udsb_request_begin(&connection->request, target ? target : "") ? &connection->request : NULL;
}

static void finish_request(void *context, struct MHD_Connection *mhd, void **request_context,
                           enum MHD_RequestTerminationCode code)
{
    udsb_worker_t *const worker = context;
    connection_t *const connection = connection_of(mhd);

    (void)request_context;
    if (!connection || !connection->is_busy)
        return;

    udsb_request_t *const request = &connection->request;
    const bool is_complete = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;

    udsb_metrics_add_own(&worker->metrics.requests[is_complete ? request->status / 100 : 0], 1);
    if (is_complete)
        udsb_metrics_add_own(&worker->metrics.bytes_out, request->body_length);
    udsb_request_end(request);
    connection->is_busy = false;
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

/* libmicrohttpd calls it with the head, then with each piece of the body, then to have an answer, and again after a
 * wait. */
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
        /* Now an answer also closes the connection; on a later call it does not. */
        return udsb_request_must_be_refused_now(request) ? run_handler(request) : MHD_YES;
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

__attribute__((format(printf, 2, 0))) static void log_message(void *context, const char *format, va_list arguments)
{
    const udsb_worker_t *const worker = context;
    char line[512];

    if (worker->server->log.verbosity < UDSB_LOG_DEBUG)
        return;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    udsb_log_event(&worker->server->log, UDSB_LOG_DEBUG, "libmicrohttpd: %s", line);
}

/* --- the loop -------------------------------------------------------------------------------------------------------
 */

static void note_events(udsb_watch_t *watch, uint32_t events)
{
    udsb_worker_t *const worker = (udsb_worker_t *)((char *)watch - offsetof(udsb_worker_t, watch));

    (void)events;
    worker->has_events = true;
}

/* libmicrohttpd has something to do for its own part: answers that go on, connections to be freed. */
static bool has_pending_work(const udsb_worker_t *worker)
{
    MHD_UNSIGNED_LONG_LONG timeout;

    return MHD_get_timeout(worker->daemon, &timeout) == MHD_YES && timeout == 0;
}

/* Why not libmicrohttpd's own threads: when epoll gives one of them exactly 128 events, version 0.9.75 asks for more
 * before it looks at them (MHD_epoll), and 128 clients wait for ever. Asked not to wait, it does no harm. */
static bool turn(void *context)
{
    udsb_worker_t *const worker = context;

    if (worker->has_events || has_pending_work(worker)) {
        worker->has_events = false;
        MHD_run_wait(worker->daemon, 0);
    }
    return worker->has_events || has_pending_work(worker); /* a handler may have resumed something meanwhile */
}

/* --- life -----------------------------------------------------------------------------------------------------------
 */

static struct MHD_Daemon *start_daemon(udsb_worker_t *worker)
{
    /* The limit of connections is the acceptor's business. Signals are blocked on our threads, SIGPIPE with them, which
     * sendfile(2) has no flag to avoid. */
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, access_handler, worker, MHD_OPTION_EXTERNAL_LOGGER, log_message, worker,
        MHD_OPTION_NOTIFY_CONNECTION, notify_connection, worker, MHD_OPTION_NOTIFY_COMPLETED, finish_request, worker,
        MHD_OPTION_URI_LOG_CALLBACK, note_target, worker, MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_CONNECTION_LIMIT, (unsigned)INT_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
}

static void watch_daemon(void *context)
{
    udsb_worker_t *const worker = context;

    udsb_loop_watch(worker->loop, &worker->watch, EPOLLIN);
}

udsb_worker_t *udsb_worker_create(udsb_server_t *server, unsigned number)
{
    udsb_worker_t *worker;
    char name[16];

    if (posix_memalign((void **)&worker, _Alignof(udsb_worker_t), sizeof *worker))
        return NULL;
    memset(worker, 0, sizeof *worker);
    worker->server = server;
    worker->number = number;
    snprintf(name, sizeof name, "udsb-worker-%u", number % 1000);
    worker->daemon = start_daemon(worker);
    worker->loop = worker->daemon ? udsb_loop_create(name, turn, worker) : NULL;
    if (!worker->loop) {
        const int cause = errno;

        if (worker->daemon)
            MHD_stop_daemon(worker->daemon);
        free(worker);
        errno = cause;
        return NULL;
    }
    worker->watch.ready = note_events;
    worker->watch.descriptor = MHD_get_daemon_info(worker->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    udsb_loop_call(worker->loop, watch_daemon, worker);
    return worker;
}

void udsb_worker_destroy(udsb_worker_t *worker)
{
    udsb_loop_destroy(worker->loop);
    MHD_stop_daemon(worker->daemon);
    free(worker);
}

/* --- giving and taking connections ----------------------------------------------------------------------------------
 */

static void take(udsb_worker_t *worker, int descriptor)
{
    const struct sockaddr_un nobody = {.sun_family = AF_UNIX};

    if (MHD_add_connection(worker->daemon, descriptor, (const struct sockaddr *)&nobody, sizeof nobody.sun_family) ==
        MHD_YES)
        return;
    /* It has closed the descriptor. */
    udsb_log_event(&worker->server->log, UDSB_LOG_WARNING, "a connection was dropped: %s", strerror(errno));
    atomic_fetch_sub(&worker->connections, 1);
    udsb_server_connection_ended(worker->server);
}

typedef struct {
    udsb_task_t task;
    udsb_worker_t *worker;
    int descriptor;
} gift_t;

static void take_gift(udsb_task_t *task)
{
    gift_t *const gift = (gift_t *)task;

    take(gift->worker, gift->descriptor);
    free(gift);
}

void udsb_worker_give(udsb_server_t *server, udsb_worker_t *current, int descriptor)
{
    udsb_worker_t *worker = current ? current : server->workers[0];
    gift_t *gift;

    for (unsigned i = 0; i < server->worker_count; i++) {
        if (atomic_load(&server->workers[i]->connections) < atomic_load(&worker->connections))
            worker = server->workers[i];
    }
    atomic_fetch_add(&worker->connections, 1);
    udsb_metrics_add(&server->metrics.connections_open, 1);
    udsb_metrics_add(&server->metrics.connections_total, 1);
    if (worker == current) {
        take(worker, descriptor);
        return;
    }
    gift = malloc(sizeof *gift);
    if (!gift) {
        close(descriptor);
        atomic_fetch_sub(&worker->connections, 1);
        udsb_server_connection_ended(server);
        return;
    }
    *gift = (gift_t){.task = {.run = take_gift}, .worker = worker, .descriptor = descriptor};
    udsb_loop_post(worker->loop, &gift->task);
}

void udsb_worker_stop(udsb_worker_t *worker)
{
    udsb_wait_flush(&worker->waits, false);
    udsb_websocket_stop_all(&worker->websockets);
    for (connection_t *connection = worker->first; connection; connection = connection->next) {
        if (!connection->is_busy)
            close_when_idle(connection);
    }
}

uint64_t udsb_worker_count_busy(const udsb_worker_t *worker)
{
    uint64_t busy = udsb_metrics_get(&worker->server->metrics.websockets_open);

    for (const connection_t *connection = worker->first; connection; connection = connection->next)
        busy += connection->is_busy;
    return busy;
}

void udsb_worker_cut(udsb_worker_t *worker)
{
    udsb_wait_flush(&worker->waits, true);
    udsb_websocket_cut_all(&worker->websockets);
    for (connection_t *connection = worker->first; connection; connection = connection->next)
        shutdown(connection->descriptor, SHUT_RDWR);
}
