/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_server.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MAXIMUM = 256,
    FINISH_MS = 60000,
    SLICE_MS = 1000, /* between two looks at who still has a request */
    CUT_MS = 5000,   /* connections that were cut end on their threads within microseconds */
    BACKLOG = 4096,  /* net.core.somaxconn since Linux 5.4 */
    MODE = 0660,
    RESERVED_DESCRIPTORS = 64 /* for files, loops, the program */
};

const char *udsb_version(void)
{
    return UDSB_VERSION;
}

/* --- create ---------------------------------------------------------------------------------------------------------
 */

static unsigned cpu_count(void)
{
    cpu_set_t cpus;

    if (sched_getaffinity(0, sizeof cpus, &cpus))
        return 1;
    const int count = CPU_COUNT(&cpus);
    return count < 1 ? 1 : count > THREADS_MAXIMUM ? THREADS_MAXIMUM : (unsigned)count;
}

static unsigned connection_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 1000000)
        return 1000000;
    return limit.rlim_cur > 2 * RESERVED_DESCRIPTORS ? (unsigned)limit.rlim_cur - RESERVED_DESCRIPTORS
                                                     : (unsigned)limit.rlim_cur / 2;
}

udsb_server_t *udsb_server_create(const udsb_server_options_t *options)
{
    udsb_server_t *server;
    pthread_condattr_t attributes;

    if (posix_memalign((void **)&server, _Alignof(udsb_server_t), sizeof *server))
        return NULL;
    memset(server, 0, sizeof *server);
    if (options)
        server->options = *options;
    if (!server->options.threads)
        server->options.threads = cpu_count();
    if (server->options.threads > THREADS_MAXIMUM)
        server->options.threads = THREADS_MAXIMUM;
    if (!server->options.max_connections)
        server->options.max_connections = connection_limit();
    if (!server->options.finish_ms)
        server->options.finish_ms = FINISH_MS;
    server->log = (udsb_log_t){.function = server->options.log,
                               .context = server->options.log_context,
                               .verbosity = server->options.verbosity ? server->options.verbosity : UDSB_LOG_INFO};
    pthread_mutex_init(&server->finish.mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->finish.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return server;
}

const char *udsb_server_error(const udsb_server_t *server)
{
    return server ? server->error.text : "out of memory";
}

/* --- listeners ------------------------------------------------------------------------------------------------------
 */

static udsb_result_t wrong_step(udsb_server_t *server, const char *what)
{
    return udsb_error_set(&server->error, UDSB_BAD_STATE, "%s belongs before udsb_server_start", what);
}

/* Takes over the socket, also on failure. */
static udsb_result_t add_acceptor(udsb_server_t *server, udsb_socket_t *socket)
{
    udsb_acceptor_t **const acceptors =
        realloc(server->acceptors, (server->acceptor_count + 1) * sizeof *server->acceptors);

    if (acceptors)
        server->acceptors = acceptors;
    udsb_acceptor_t *const acceptor = acceptors ? udsb_acceptor_create(server, socket) : NULL;
    if (!acceptor) {
        udsb_socket_unlink(socket, NULL);
        udsb_socket_close(socket);
        return udsb_error_set(&server->error, UDSB_NO_MEMORY, "out of memory");
    }
    server->acceptors[server->acceptor_count++] = acceptor;
    return UDSB_OK;
}

udsb_result_t udsb_server_listen(udsb_server_t *server, const udsb_listener_options_t *options)
{
    udsb_socket_options_t socket_options = {.mode = options->mode ? options->mode : MODE,
                                            .owner = (uid_t)-1,
                                            .group = (gid_t)-1,
                                            .backlog = options->backlog ? options->backlog : BACKLOG};
    udsb_error_t *const error = &server->error;
    udsb_address_t address;
    udsb_socket_t socket;
    const char *wrong;
    udsb_result_t result;

    if (server->step != UDSB_SERVER_NEW)
        return wrong_step(server, "udsb_server_listen");
    wrong = options->address ? udsb_address_parse(&address, options->address) : "is missing";
    if (wrong)
        return udsb_error_set(error, UDSB_INVALID, "socket \"%s\" %s", options->address ? options->address : "", wrong);
    if (options->mode > 0777)
        return udsb_error_set(error, UDSB_INVALID, "mode %o is not from 1 to 0777", options->mode);
    if (options->backlog < 0 || options->backlog > 65535)
        return udsb_error_set(error, UDSB_INVALID, "backlog %d is not from 1 to 65535", options->backlog);
    if (options->owner && !udsb_peer_find_user(&socket_options.owner, options->owner))
        return udsb_error_set(error, UDSB_INVALID, "owner \"%s\" is not a user", options->owner);
    if (options->group && !udsb_peer_find_group(&socket_options.group, options->group))
        return udsb_error_set(error, UDSB_INVALID, "group \"%s\" is not a group", options->group);

    result = udsb_socket_open(&socket, &address, &socket_options, error);
    return result ? result : add_acceptor(server, &socket);
}

udsb_result_t udsb_server_listen_fd(udsb_server_t *server, int descriptor)
{
    udsb_socket_t socket;
    udsb_result_t result;

    if (server->step != UDSB_SERVER_NEW)
        return wrong_step(server, "udsb_server_listen_fd");
    result = udsb_socket_adopt(&socket, descriptor, &server->error);
    return result ? result : add_acceptor(server, &socket);
}

udsb_result_t udsb_server_allow_peer(udsb_server_t *server, const char *user)
{
    uid_t uid;

    if (server->step != UDSB_SERVER_NEW)
        return wrong_step(server, "udsb_server_allow_peer");
    if (!udsb_peer_find_user(&uid, user))
        return udsb_error_set(&server->error, UDSB_INVALID, "\"%s\" is not a user", user);
    if (!udsb_peer_list_add(&server->peers, uid))
        return udsb_error_set(&server->error, UDSB_NO_MEMORY, "out of memory");
    return UDSB_OK;
}

/* --- routes ---------------------------------------------------------------------------------------------------------
 */

udsb_result_t udsb_server_map_owned(udsb_server_t *server, const udsb_route_t *route, void (*destroy)(void *context))
{
    if (server->step != UDSB_SERVER_NEW) {
        if (destroy)
            destroy(route->context);
        return wrong_step(server, "mapping a route");
    }
    return udsb_routes_add(&server->routes, route, destroy, &server->error);
}

udsb_result_t udsb_server_map(udsb_server_t *server, const udsb_route_t *route)
{
    return udsb_server_map_owned(server, route, NULL);
}

static void answer_fixed_text(udsb_request_t *request, void *context)
{
    udsb_request_answer_shared(request, 200, context);
}

static void free_response(void *context)
{
    udsb_response_free(context);
}

udsb_result_t udsb_server_map_text(udsb_server_t *server, const char *methods, const char *path, const char *text)
{
    udsb_response_t *const response = udsb_response_copy("text/plain", text, strlen(text));

    if (!response)
        return udsb_error_set(&server->error, UDSB_NO_MEMORY, "out of memory");
    return udsb_server_map_owned(
        server, &(udsb_route_t){.methods = methods, .path = path, .handler = answer_fixed_text, .context = response},
        free_response);
}

/* --- start ----------------------------------------------------------------------------------------------------------
 */

static udsb_result_t start_workers(udsb_server_t *server)
{
    server->workers = calloc(server->options.threads, sizeof(udsb_worker_t *));
    if (!server->workers)
        return udsb_error_set(&server->error, UDSB_NO_MEMORY, "out of memory");
    while (server->worker_count < server->options.threads) {
        udsb_worker_t *const worker = udsb_worker_create(server, server->worker_count);

        if (!worker)
            return udsb_error_system(&server->error, "cannot start thread %u", server->worker_count + 1);
        server->workers[server->worker_count++] = worker;
    }
    return UDSB_OK;
}

static void stop_workers(udsb_server_t *server)
{
    while (server->worker_count)
        udsb_worker_destroy(server->workers[--server->worker_count]);
    free(server->workers);
    server->workers = NULL;
}

/* Runs a function on each worker's thread, one after the other. */
static void for_each_worker(udsb_server_t *server, void (*function)(void *worker))
{
    for (unsigned i = 0; i < server->worker_count; i++)
        udsb_loop_call(server->workers[i]->loop, function, server->workers[i]);
}

static void start_accepting(void *context)
{
    udsb_worker_t *const worker = context;
    const udsb_server_t *const server = worker->server;

    for (size_t i = 0; i < server->acceptor_count; i++) {
        const int error = udsb_acceptor_start(server->acceptors[i], worker);

        if (error)
            udsb_log_event(&server->log, UDSB_LOG_ERROR, "cannot accept on %s: %s",
                           server->acceptors[i]->socket.address.text, strerror(error));
    }
}

udsb_result_t udsb_server_start(udsb_server_t *server)
{
    if (server->step != UDSB_SERVER_NEW)
        return udsb_error_set(&server->error, UDSB_BAD_STATE, "a server starts once");
    if (!server->acceptor_count)
        return udsb_error_set(&server->error, UDSB_BAD_STATE, "a server needs a listener to start");
    server->started_ms = udsb_loop_now();
    const udsb_result_t result = start_workers(server);
    if (result) {
        stop_workers(server);
        return result;
    }
    server->step = UDSB_SERVER_RUNNING;
    for_each_worker(server, start_accepting);
    for (size_t i = 0; i < server->acceptor_count; i++)
        udsb_log_event(&server->log, UDSB_LOG_INFO, "listening on %s", server->acceptors[i]->socket.address.text);
    return UDSB_OK;
}

/* --- drain and stop -------------------------------------------------------------------------------------------------
 */

void udsb_server_drain(udsb_server_t *server)
{
    if (!atomic_exchange(&server->draining, true))
        udsb_log_event(&server->log, UDSB_LOG_INFO, "draining");
}

bool udsb_server_is_draining(const udsb_server_t *server)
{
    return atomic_load(&server->draining);
}

bool udsb_server_is_stopping(const udsb_server_t *server)
{
    return atomic_load(&server->stopping);
}

void udsb_server_hurry(udsb_server_t *server)
{
    pthread_mutex_lock(&server->finish.mutex);
    atomic_store(&server->hurrying, true);
    pthread_cond_broadcast(&server->finish.changed);
    pthread_mutex_unlock(&server->finish.mutex);
}

void udsb_server_connection_ended(udsb_server_t *server)
{
    /* The count goes down under the mutex: once the stopping thread sees 0, nobody comes here any more. */
    pthread_mutex_lock(&server->finish.mutex);
    atomic_fetch_sub(&server->metrics.connections_open, 1);
    if (atomic_load(&server->stopping))
        pthread_cond_broadcast(&server->finish.changed);
    pthread_mutex_unlock(&server->finish.mutex);
}

/* Waits until no connection is left; at most milliseconds, or (unless in_any_case) until hurrying. Returns how many
 * are. */
static uint64_t wait_for_connections(udsb_server_t *server, uint64_t milliseconds, bool in_any_case)
{
    const uint64_t end_ms = udsb_loop_now() + milliseconds;
    const struct timespec end = {.tv_sec = (time_t)(end_ms / 1000), .tv_nsec = (long)(end_ms % 1000) * 1000000};
    uint64_t left;

    pthread_mutex_lock(&server->finish.mutex);
    while ((left = atomic_load(&server->metrics.connections_open)) > 0 &&
           (in_any_case || !atomic_load(&server->hurrying))) {
        if (pthread_cond_timedwait(&server->finish.changed, &server->finish.mutex, &end))
            break;
    }
    pthread_mutex_unlock(&server->finish.mutex);
    return left;
}

static void stop_accepting(void *context)
{
    udsb_worker_t *const worker = context;

    for (size_t i = 0; i < worker->server->acceptor_count; i++)
        udsb_acceptor_stop(worker->server->acceptors[i], worker);
}

static void stop_worker(void *context)
{
    udsb_worker_stop(context);
}

static void cut_worker(void *context)
{
    udsb_worker_cut(context);
}

static void count_busy(void *context)
{
    const udsb_worker_t *const worker = context;

    atomic_fetch_add(&worker->server->finish.busy, udsb_worker_count_busy(worker));
}

/* Waits until all connections have ended, or those that are left have nothing to finish: libmicrohttpd 0.9.75 may miss
 * that the client of an idle connection has gone, when that happens just as its last answer stops waiting; such a one
 * ends with the daemon. Returns how many are left that do matter. */
static uint64_t wait_for_requests(udsb_server_t *server)
{
    const uint64_t end_ms = udsb_loop_now() + server->options.finish_ms;
    uint64_t left, now_ms = udsb_loop_now();

    do {
        const uint64_t rest_ms = end_ms - now_ms;

        left = wait_for_connections(server, rest_ms < SLICE_MS ? rest_ms : SLICE_MS, false);
        atomic_store(&server->finish.busy, 0);
        for_each_worker(server, count_busy);
        if (!atomic_load(&server->finish.busy))
            return 0;
        now_ms = udsb_loop_now();
    } while (left && now_ms < end_ms && !atomic_load(&server->hurrying));
    return left;
}

static void finish_requests(udsb_server_t *server)
{
    uint64_t left;

    for_each_worker(server, stop_accepting);
    atomic_store(&server->stopping, true);
    for (size_t i = 0; i < server->acceptor_count; i++)
        udsb_acceptor_accept_rest(server->acceptors[i]);
    for_each_worker(server, stop_worker);
    left = wait_for_requests(server);
    if (!left)
        return;
    udsb_log_event(&server->log, UDSB_LOG_WARNING, "cutting off %llu connections that have not finished",
                   (unsigned long long)left);
    atomic_store(&server->hurrying, true);
    for_each_worker(server, cut_worker);
    left = wait_for_connections(server, CUT_MS, true);
    if (left)
        udsb_log_event(&server->log, UDSB_LOG_ERROR, "%llu connections did not end: a handler blocks",
                       (unsigned long long)left);
}

udsb_result_t udsb_server_stop(udsb_server_t *server)
{
    if (server->step == UDSB_SERVER_STOPPED)
        return UDSB_OK;
    if (server->step == UDSB_SERVER_RUNNING) {
        udsb_server_drain(server);
        udsb_log_event(&server->log, UDSB_LOG_INFO, "finishing %llu connections",
                       (unsigned long long)udsb_metrics_get(&server->metrics.connections_open));
        finish_requests(server);
        stop_workers(server);
    }
    while (server->acceptor_count)
        udsb_acceptor_destroy(server->acceptors[--server->acceptor_count]);
    if (server->step == UDSB_SERVER_RUNNING)
        udsb_log_event(&server->log, UDSB_LOG_INFO, "stopped");
    server->step = UDSB_SERVER_STOPPED;
    return UDSB_OK;
}

void udsb_server_destroy(udsb_server_t *server)
{
    if (!server)
        return;
    udsb_server_stop(server);
    free(server->acceptors);
    udsb_routes_clear(&server->routes);
    udsb_peer_list_clear(&server->peers);
    pthread_cond_destroy(&server->finish.changed);
    pthread_mutex_destroy(&server->finish.mutex);
    free(server);
}
