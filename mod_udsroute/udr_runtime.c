/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "mod_udsroute/udr_runtime.h"

#include "mod_udsroute/udr_protocol.h"

#include <apr_strings.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* TASK_COMM_LEN, less its NUL. */
#define COMM_MAX 15

/* They close a connection without a word, or wait for more, when they are asked in another protocol. */
static const struct {
    const char *begin; /* of the process's name: "php-fpm8.2" */
    const udr_protocol_t *protocol;
    const char *scheme;
    const char *doubt; /* " unless …", behind the protocol's name */
} runtimes[] = {
    {"php-fpm", &udr_protocol_fcgi, "fcgi", ""},
    {"php-cgi", &udr_protocol_fcgi, "fcgi", ""},
    {"fcgiwrap", &udr_protocol_fcgi, "fcgi", ""},
    /* Of Python, each under the name of its script. The first has learned uwsgi in later versions. */
    {"gunicorn", &udr_protocol_http1, "http", " unless told otherwise"},
    {"uvicorn", &udr_protocol_http1, "http", ""},
    {"hypercorn", &udr_protocol_http1, "http", ""},
    {"daphne", &udr_protocol_http1, "http", ""},
    {"waitress-serve", &udr_protocol_http1, "http", ""},
};

/* What uWSGI speaks depends on its configuration, and it closes without a word for another reason, too: an exception of
 * the application's. */
static const char *suspect_uwsgi(const udr_scheme_t *scheme, apr_pool_t *p)
{
    const char *option = "http-socket";
    if (scheme->protocol == &udr_protocol_fcgi) {
        option = "fastcgi-socket";
    } else if (scheme->protocol == &udr_protocol_scgi) {
        option = "scgi-socket";
    }
    return apr_psprintf(p,
                        "see the log of uWSGI, which listens there, for why; or, if it does so by socket =, write "
                        "uwsgi://, or give it %s = for %s://",
                        option, scheme->name);
}

const char *udr_runtime_suspect_name(const char *name, const udr_scheme_t *scheme, apr_pool_t *p)
{
    if (strcmp(name, "uwsgi") == 0 || strncmp(name, "uwsgi-", 6) == 0) {
        return scheme->protocol == &udr_protocol_uwsgi ? NULL : suspect_uwsgi(scheme, p);
    }
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
        if (strncmp(name, runtimes[i].begin, strlen(runtimes[i].begin)) == 0 &&
            runtimes[i].protocol != scheme->protocol) {
            return apr_psprintf(p,
                                "the process that listens there is %s, which speaks %s%s, and the target says %s://: "
                                "write %s://",
                                name, runtimes[i].protocol->name, runtimes[i].doubt, scheme->name, runtimes[i].scheme);
        }
    }
    return NULL;
}

/* Returns whether there is such a process to be seen. */
static bool read_name(pid_t pid, char name[COMM_MAX + 2])
{
    char path[32];
    apr_snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
    FILE *file = fopen(path, "re");
    bool is_read = file && fgets(name, COMM_MAX + 2, file);
    if (file) {
        (void)fclose(file);
    }
    if (is_read) {
        name[strcspn(name, "\n")] = '\0';
    }
    return is_read;
}

const char *udr_runtime_suspect(pid_t process, const udr_scheme_t *scheme, apr_pool_t *p)
{
    char name[COMM_MAX + 2];
    return process > 0 && read_name(process, name) ? udr_runtime_suspect_name(name, scheme, p) : NULL;
}

#if HAVE_DECL_SO_PEERCRED
pid_t udr_runtime_process(int fd)
{
    struct ucred credentials;
    socklen_t len = sizeof credentials;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == 0 ? credentials.pid : 0;
}
#else
pid_t udr_runtime_process(int fd)
{
    (void)fd;
    return 0;
}
#endif
