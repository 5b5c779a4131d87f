/* SPDX-License-Identifier: Apache-2.0 */
/* The udsbackend program: a small HTTP server on Unix domain sockets, built on libudsbackend. */
#include "backend/udsb_check.h"
#include "backend/udsb_instances.h"
#include "backend/udsb_log.h"
#include "backend/udsb_options.h"
#include "backend/udsb_run.h"
#include "backend/udsb_systemd.h"

#include <stdio.h>
#include <sys/resource.h>

static const udsb_log_t log_to_stderr = {.verbosity = UDSB_LOG_INFO};

/* A connection is a descriptor. systemd and shells set the soft limit low for the sake of select(2), and leave the hard
 * one high for those who ask. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        udsb_log_event(&log_to_stderr, UDSB_LOG_WARNING, "cannot raise the limit of open files");
}

static int usage(const udsb_error_t *error)
{
    fprintf(stderr, "udsbackend: %s\nudsbackend --help shows all options\n", error->text);
    return UDSB_EXIT_USAGE;
}

static void tell_ready(void *context)
{
    (void)context;
    udsb_systemd_notify("READY=1");
}

static int serve(const udsb_options_t *options, unsigned passed)
{
    sigset_t signals;

    raise_descriptor_limit();
    udsb_run_block_signals(&signals);
    return options->instances ? udsb_instances_run(options, &signals)
                              : udsb_run(options, 0, passed, &signals, tell_ready, NULL);
}

int main(int count, char **arguments)
{
    udsb_options_t options = {0};
    udsb_error_t error;
    unsigned passed = 0;
    int status;

    if (udsb_options_read(&options, count, arguments, &error)) {
        status = usage(&error);
    } else if (options.help) {
        udsb_options_help();
        status = UDSB_EXIT_STOPPED;
    } else if (options.version) {
        printf("udsbackend %s\n", udsb_version());
        status = UDSB_EXIT_STOPPED;
    } else if (udsb_systemd_listeners(&passed, &error) || udsb_check_usage(&options, passed, &error)) {
        status = usage(&error);
    } else {
        status = options.check ? udsb_check(&options, passed) : serve(&options, passed);
    }
    udsb_options_clear(&options);
    return status;
}
