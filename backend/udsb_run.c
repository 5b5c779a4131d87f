/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_run.h"
#include "backend/udsb_address.h"
#include "backend/udsb_log.h"
#include "backend/udsb_loop.h"
#include "backend/udsb_systemd.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static const udsb_log_t log_to_stderr = {.verbosity = UDSB_LOG_INFO};

void udsb_run_block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* stderr may be a pipe whose reader is gone */
}

/* --- set-up ---------------------------------------------------------------------------------------------------------
 */

/* Is this the name of a socket that was passed? Then it is served by that. */
static bool is_passed(const char *name, unsigned passed)
{
    udsb_address_t address;

    if (udsb_address_parse(&address, name))
        return false;
    for (unsigned i = 0; i < passed; i++) {
        struct sockaddr_un other;
        socklen_t length = sizeof other;

        if (!getsockname((int)(UDSB_SYSTEMD_FIRST + i), (struct sockaddr *)&other, &length) &&
            length == address.length && !memcmp(&other, &address.socket, length))
            return true;
    }
    return false;
}

static udsb_result_t listen_on_all(udsb_server_t *server, const udsb_options_t *options, unsigned instance,
                                   unsigned passed)
{
    udsb_result_t result = UDSB_OK;

    for (unsigned i = 0; !result && i < passed; i++)
        result = udsb_server_listen_fd(server, (int)(UDSB_SYSTEMD_FIRST + i));
    for (size_t i = 0; !result && i < options->sockets.count; i++) {
        char numbered[UDSB_ADDRESS_MAXIMUM + 16];
        const char *address = options->sockets.items[i];

        if (instance && udsb_address_instance(numbered, sizeof numbered, address, instance))
            address = numbered;
        if (is_passed(address, passed))
            continue;
        if (address[0] == '@' && (options->mode || options->owner || options->group))
            udsb_log_event(&log_to_stderr, UDSB_LOG_WARNING,
                           "%s is no file: mode, owner and group do not apply, everybody can connect (--allow-peer)",
                           address);
        result = udsb_server_listen(server, &(udsb_listener_options_t){.address = address,
                                                                       .mode = options->mode,
                                                                       .owner = options->owner,
                                                                       .group = options->group,
                                                                       .backlog = options->backlog});
    }
    return result;
}

static udsb_result_t map_all(udsb_server_t *server, const udsb_options_t *options)
{
    udsb_result_t result = UDSB_OK;

    /* The user's own first: they go before built-in ones of the same path. */
    for (size_t i = 0; !result && i < options->map_count; i++)
        result = udsb_server_map_text(server, options->maps[i].method, options->maps[i].path, options->maps[i].text);
    if (!result)
        result = udsb_server_map_builtin(server);
    if (!result && options->root)
        result = udsb_server_map_files(server, "/", options->root);
    return result;
}

static udsb_result_t set_up(udsb_server_t *server, const udsb_options_t *options, unsigned instance, unsigned passed)
{
    udsb_result_t result = map_all(server, options);

    for (size_t i = 0; !result && i < options->allowed_peers.count; i++)
        result = udsb_server_allow_peer(server, options->allowed_peers.items[i]);
    /* Last, so that nobody connects to a server that then fails to start. */
    if (!result)
        result = listen_on_all(server, options, instance, passed);
    return result ? result : udsb_server_start(server);
}

/* --- drain and stop -------------------------------------------------------------------------------------------------
 */

/* Waits for a signal; false: the time was over first. */
static bool wait_for_signal(const sigset_t *signals, uint64_t milliseconds)
{
    const uint64_t end = udsb_loop_now() + milliseconds;
    uint64_t now;

    while ((now = udsb_loop_now()) < end) {
        const struct timespec left = {.tv_sec = (time_t)((end - now) / 1000),
                                      .tv_nsec = (long)((end - now) % 1000) * 1000000};

        if (sigtimedwait(signals, NULL, &left) > 0)
            return true;
    }
    return false;
}

typedef struct {
    udsb_server_t *server;
    sigset_t signals;
    atomic_bool is_stopped;
} hurry_t;

/* A further signal while the server stops. */
static void *watch_for_hurry(void *context)
{
    hurry_t *const hurry = context;
    int number;

    while (!atomic_load(&hurry->is_stopped)) {
        if (!sigwait(&hurry->signals, &number) && !atomic_load(&hurry->is_stopped))
            udsb_server_hurry(hurry->server);
    }
    return NULL;
}

static void stop(udsb_server_t *server, const sigset_t *signals)
{
    hurry_t hurry = {.server = server, .signals = *signals};
    pthread_t watcher;
    const bool is_watched = !pthread_create(&watcher, NULL, watch_for_hurry, &hurry);

    udsb_server_stop(server);
    atomic_store(&hurry.is_stopped, true);
    if (is_watched) {
        pthread_kill(watcher, SIGTERM);
        pthread_join(watcher, NULL);
    }
}

int udsb_run(const udsb_options_t *options, unsigned instance, unsigned passed, const sigset_t *signals,
             udsb_run_ready_t *ready, void *context)
{
    udsb_server_t *const server = udsb_server_create(&(udsb_server_options_t){.threads = options->threads});
    int number;

    if (!server || set_up(server, options, instance, passed)) {
        udsb_log_event(&log_to_stderr, UDSB_LOG_ERROR, "%s", udsb_server_error(server));
        udsb_server_destroy(server);
        return UDSB_EXIT_FAILED;
    }
    ready(context);
    while (sigwait(signals, &number))
        ;
    udsb_log_event(&log_to_stderr, UDSB_LOG_INFO, "told to stop by %s", strsignal(number));
    udsb_systemd_notify("STOPPING=1");
    udsb_server_drain(server);
    if (wait_for_signal(signals, options->drain_ms))
        udsb_log_event(&log_to_stderr, UDSB_LOG_INFO, "told again: the drain ends early");
    stop(server, signals);
    udsb_server_destroy(server);
    return UDSB_EXIT_STOPPED;
}
