/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_instances.h"
#include "backend/udsb_log.h"
#include "backend/udsb_loop.h"
#include "backend/udsb_run.h"
#include "backend/udsb_systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_PAUSE_MS = 100, LAST_PAUSE_MS = 10000, HEALTHY_MS = 10000 };

static const udsb_log_t log_to_stderr = {.verbosity = UDSB_LOG_INFO};

typedef struct {
    pid_t pid;           /* 0: not running */
    bool was_ready;      /* ever */
    uint64_t started_ms; /* udsb_loop_now() */
    uint64_t pause_ms;   /* before the last start, 0: none */
    uint64_t restart_ms; /* when it is due again, while it is not running */
} instance_t;

typedef struct {
    const udsb_options_t *options;
    instance_t *instances;
    unsigned ready_count;
    int ready_pipe[2]; /* instances write their number into it */
    int signal_descriptor;
    bool is_stopping, has_failed;
} supervisor_t;

uint64_t udsb_instances_pause(uint64_t pause_ms, uint64_t lived_ms)
{
    if (!pause_ms || lived_ms >= HEALTHY_MS)
        return FIRST_PAUSE_MS;
    return pause_ms < LAST_PAUSE_MS / 2 ? 2 * pause_ms : LAST_PAUSE_MS;
}

/* --- the instance's side --------------------------------------------------------------------------------------------
 */

typedef struct {
    int pipe;
    unsigned number;
} ready_t;

static void tell_parent(void *context)
{
    const ready_t *const ready = context;

    if (write(ready->pipe, &ready->number, sizeof ready->number) < 0) /* less than PIPE_BUF: whole or not at all */
        udsb_log_event(&log_to_stderr, UDSB_LOG_WARNING, "cannot tell that instance %u is ready", ready->number);
    close(ready->pipe);
}

/* The CPUs shared out, unless the user has said how many threads he wants. */
static unsigned threads_of_each(unsigned instances)
{
    cpu_set_t cpus;
    const unsigned count = sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : (unsigned)CPU_COUNT(&cpus);

    return count > instances ? count / instances : 1;
}

/* The parent passes SIGTERM on. What a terminal sends to the whole process group must not count twice: SIGINT and
 * SIGHUP stay blocked, and nobody waits for them. */
static void listen_to_the_parent_only(sigset_t *signals)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_UNBLOCK, &child, NULL);
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
}

static _Noreturn void be_instance(const supervisor_t *supervisor, unsigned number, pid_t parent)
{
    udsb_options_t options = *supervisor->options; /* its strings are borrowed: the process ends here */
    ready_t ready = {.pipe = supervisor->ready_pipe[1], .number = number};
    sigset_t signals;

    close(supervisor->ready_pipe[0]);
    close(supervisor->signal_descriptor);
    listen_to_the_parent_only(&signals);
    /* A parent that is killed cannot end its children; the kernel does, unless it was killed before it was asked to. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(UDSB_EXIT_FAILED);
    udsb_systemd_forget();
    if (!options.threads)
        options.threads = threads_of_each(options.instances);
    _exit(udsb_run(&options, number, 0, &signals, tell_parent, &ready));
}

/* --- the parent's side ----------------------------------------------------------------------------------------------
 */

static void start_instance(supervisor_t *supervisor, unsigned number)
{
    instance_t *const instance = &supervisor->instances[number - 1];
    const pid_t parent = getpid();
    const pid_t pid = fork();

    if (pid == 0)
        be_instance(supervisor, number, parent);
    instance->started_ms = udsb_loop_now();
    if (pid > 0) {
        instance->pid = pid;
        return;
    }
    udsb_log_event(&log_to_stderr, UDSB_LOG_ERROR, "cannot start instance %u: %s", number, strerror(errno));
    instance->pause_ms = udsb_instances_pause(instance->pause_ms, 0);
    instance->restart_ms = instance->started_ms + instance->pause_ms;
}

static void pass_on(const supervisor_t *supervisor, int number)
{
    for (unsigned i = 0; i < supervisor->options->instances; i++) {
        if (supervisor->instances[i].pid)
            kill(supervisor->instances[i].pid, number);
    }
}

static void describe_end(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
}

static void instance_ended(supervisor_t *supervisor, unsigned number, int status)
{
    instance_t *const instance = &supervisor->instances[number - 1];
    const uint64_t now = udsb_loop_now();
    char how[96];

    instance->pid = 0;
    describe_end(status, how, sizeof how);
    if (supervisor->is_stopping) {
        if (status) {
            udsb_log_event(&log_to_stderr, UDSB_LOG_WARNING, "instance %u %s while stopping", number, how);
            supervisor->has_failed = true;
        }
        return;
    }
    if (!instance->was_ready && !instance->pause_ms) {
        /* The first time, and it said why: this will not get better by trying. */
        udsb_log_event(&log_to_stderr, UDSB_LOG_ERROR, "instance %u %s before it was ready: stopping all", number, how);
        supervisor->has_failed = supervisor->is_stopping = true;
        pass_on(supervisor, SIGTERM);
        return;
    }
    instance->pause_ms = udsb_instances_pause(instance->pause_ms, now - instance->started_ms);
    instance->restart_ms = now + instance->pause_ms;
    udsb_log_event(&log_to_stderr, UDSB_LOG_WARNING, "instance %u %s; it is started again in %llu ms", number, how,
                   (unsigned long long)instance->pause_ms);
}

static void reap(supervisor_t *supervisor)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < supervisor->options->instances; i++) {
            if (supervisor->instances[i].pid == pid)
                instance_ended(supervisor, i + 1, status);
        }
    }
}

static void take_signals(supervisor_t *supervisor)
{
    struct signalfd_siginfo info;

    while (read(supervisor->signal_descriptor, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            reap(supervisor);
            continue;
        }
        udsb_log_event(&log_to_stderr, UDSB_LOG_INFO, "told to stop by %s", strsignal((int)info.ssi_signo));
        if (!supervisor->is_stopping)
            udsb_systemd_notify("STOPPING=1");
        supervisor->is_stopping = true;
        pass_on(supervisor, SIGTERM);
    }
}

static void take_ready(supervisor_t *supervisor)
{
    unsigned number;

    while (read(supervisor->ready_pipe[0], &number, sizeof number) == sizeof number) {
        instance_t *const instance = &supervisor->instances[number - 1];

        if (!instance->was_ready && ++supervisor->ready_count == supervisor->options->instances) {
            udsb_log_event(&log_to_stderr, UDSB_LOG_INFO, "all %u instances are ready", supervisor->ready_count);
            udsb_systemd_notify("READY=1");
        }
        instance->was_ready = true;
    }
}

/* Starts those that are due; returns milliseconds until the next is, or -1. */
static int start_due(supervisor_t *supervisor)
{
    const uint64_t now = udsb_loop_now();
    int timeout = -1;

    for (unsigned i = 0; i < supervisor->options->instances; i++) {
        instance_t *const instance = &supervisor->instances[i];

        if (!instance->pid && instance->restart_ms <= now)
            start_instance(supervisor, i + 1);
        if (!instance->pid && (timeout < 0 || instance->restart_ms < now + (uint64_t)timeout))
            timeout = instance->restart_ms > now ? (int)(instance->restart_ms - now) : 0;
    }
    return timeout;
}

static bool is_any_running(const supervisor_t *supervisor)
{
    for (unsigned i = 0; i < supervisor->options->instances; i++) {
        if (supervisor->instances[i].pid)
            return true;
    }
    return false;
}

static void supervise(supervisor_t *supervisor)
{
    struct pollfd descriptors[] = {{.fd = supervisor->signal_descriptor, .events = POLLIN},
                                   {.fd = supervisor->ready_pipe[0], .events = POLLIN}};

    while (!supervisor->is_stopping || is_any_running(supervisor)) {
        const int timeout = supervisor->is_stopping ? -1 : start_due(supervisor);

        poll(descriptors, 2, timeout);
        take_ready(supervisor);
        take_signals(supervisor);
    }
}

int udsb_instances_run(const udsb_options_t *options, const sigset_t *signals)
{
    supervisor_t supervisor = {.options = options};
    sigset_t all = *signals;

    sigaddset(&all, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    supervisor.instances = calloc(options->instances, sizeof *supervisor.instances);
    supervisor.signal_descriptor = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (!supervisor.instances || supervisor.signal_descriptor < 0 ||
        pipe2(supervisor.ready_pipe, O_CLOEXEC | O_NONBLOCK)) {
        udsb_log_event(&log_to_stderr, UDSB_LOG_ERROR, "cannot start instances: %s", strerror(errno));
        free(supervisor.instances);
        return UDSB_EXIT_FAILED;
    }
    supervise(&supervisor);
    close(supervisor.ready_pipe[0]);
    close(supervisor.ready_pipe[1]);
    close(supervisor.signal_descriptor);
    free(supervisor.instances);
    return supervisor.has_failed ? UDSB_EXIT_FAILED : UDSB_EXIT_STOPPED;
}
