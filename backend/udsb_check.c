/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_check.h"
#include "backend/udsb_address.h"
#include "backend/udsb_run.h"
#include "backend/udsb_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

udsb_result_t udsb_check_usage(const udsb_options_t *options, unsigned passed, udsb_error_t *error)
{
    char numbered[UDSB_ADDRESS_MAXIMUM + 16];
    udsb_address_t address;

    if (!options->sockets.count && !passed)
        return udsb_error_set(error, UDSB_INVALID, "there is no --socket to listen on");
    if (options->instances && passed)
        return udsb_error_set(error, UDSB_INVALID, "--instances makes its own sockets, but %u were passed (LISTEN_FDS)",
                              passed);
    for (size_t i = 0; options->instances && i < options->sockets.count; i++) {
        if (!udsb_address_instance(numbered, sizeof numbered, options->sockets.items[i], options->instances) ||
            udsb_address_parse(&address, numbered))
            return udsb_error_set(error, UDSB_INVALID,
                                  "--socket \"%s\" has no room for \"-%u\": the kernel allows 107 bytes",
                                  options->sockets.items[i], options->instances);
    }
    return UDSB_OK;
}

typedef struct {
    bool has_failed;
} report_t;

__attribute__((format(printf, 3, 4))) static void report(report_t *report, bool is_failure, const char *format, ...)
{
    va_list arguments;

    report->has_failed |= is_failure;
    fputs(is_failure ? "error: " : "ok: ", stdout);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

/* May we make and remove files in the directory of the path? */
static void check_directory(report_t *results, const char *path)
{
    char directory[UDSB_ADDRESS_MAXIMUM + 1];
    const char *const slash = strrchr(path, '/');
    struct stat status;

    if (!slash)
        snprintf(directory, sizeof directory, ".");
    else
        snprintf(directory, sizeof directory, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (stat(directory, &status))
        report(results, true, "%s: its directory %s: %s", path, directory, strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        report(results, true, "%s: %s is not a directory", path, directory);
    else if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS))
        report(results, true, "%s: this user cannot make files in %s: %s", path, directory, strerror(errno));
}

static void check_socket(report_t *results, const char *text)
{
    udsb_address_t address;
    char who[192];

    if (udsb_address_parse(&address, text)) /* udsb_options_read() has refused it */
        return;
    if (!address.is_abstract)
        check_directory(results, text);
    switch (udsb_socket_examine(&address, who, sizeof who)) {
    case UDSB_SOCKET_ABSENT:
        report(results, false, "%s: free", text);
        break;
    case UDSB_SOCKET_STALE:
        report(results, false, "%s: a stale socket, which will be replaced", text);
        break;
    case UDSB_SOCKET_LIVE:
        report(results, true, "%s: a live server listens: %s", text, who);
        break;
    case UDSB_SOCKET_FOREIGN:
        report(results, true, "%s: exists and is %s", text, who);
        break;
    case UDSB_SOCKET_UNCLEAR:
        if (address.is_abstract || !faccessat(AT_FDCWD, text, F_OK, AT_EACCESS))
            report(results, true, "%s: cannot tell whether a server listens: %s", text, who);
        break;
    }
}

static void check_root(report_t *results, const char *root)
{
    struct stat status;

    if (stat(root, &status))
        report(results, true, "--root %s: %s", root, strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        report(results, true, "--root %s: is not a directory", root);
    else if (faccessat(AT_FDCWD, root, R_OK | X_OK, AT_EACCESS))
        report(results, true, "--root %s: this user cannot read it: %s", root, strerror(errno));
    else
        report(results, false, "--root %s", root);
}

/* The kernel cuts the backlog silently. */
static void check_backlog(report_t *results, int backlog)
{
    FILE *const file = fopen("/proc/sys/net/core/somaxconn", "re");
    int maximum;

    if (!file)
        return;
    if (fscanf(file, "%d", &maximum) == 1 && backlog > maximum)
        report(results, false, "--backlog %d: the kernel cuts it to %d (net.core.somaxconn)", backlog, maximum);
    fclose(file);
}

int udsb_check(const udsb_options_t *options, unsigned passed)
{
    report_t results = {0};

    for (size_t i = 0; i < options->sockets.count; i++) {
        if (!options->instances)
            check_socket(&results, options->sockets.items[i]);
        for (unsigned instance = 1; instance <= options->instances; instance++) {
            char numbered[UDSB_ADDRESS_MAXIMUM + 16];

            if (udsb_address_instance(numbered, sizeof numbered, options->sockets.items[i], instance))
                check_socket(&results, numbered);
        }
    }
    if (passed)
        report(&results, false, "%u sockets were passed by the service manager", passed);
    if (options->root)
        check_root(&results, options->root);
    if (options->backlog)
        check_backlog(&results, options->backlog);
    return results.has_failed ? UDSB_EXIT_FAILED : UDSB_EXIT_STOPPED;
}
