/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_capacity.h"
#include "mod_udsroute/udr_linger.h"

#include <ap_mpm.h>
#include <util_cfgtree.h>

#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>

/* httpd's default of AsyncRequestWorkerFactor; event does not export what it has. */
#define FACTOR_DEFAULT 2

/* A parked request has its client's connection and its member's; so has a tunnel. */
#define DESCRIPTORS_EACH 2

/* For what httpd itself has open: logs, listening sockets, pipes, files being served. */
#define DESCRIPTORS_OF_HTTPD 64

/* So many sockets of a loop may wait for clients to close at any rate. */
#define LINGERING_LEAST 8

#define LIMIT_MAX 1000000000L

/* As the MPM reads it: whole numbers, one at least; the last line counts. It stands outside of all sections, and what
 * <IfModule> and the like enclose httpd has put in their place. */
static void read_factor(udr_capacity_t *capacity)
{
    capacity->factor = FACTOR_DEFAULT;
    for (const ap_directive_t *line = ap_conftree; line; line = line->next) {
        if (strcasecmp(line->directive, "AsyncRequestWorkerFactor") == 0) {
            const char *number = line->args + (line->args[0] == '"' || line->args[0] == '\'');
            double factor = strtod(number, NULL);
            capacity->factor = factor < 1 ? 1 : (int)(factor < LIMIT_MAX ? factor : LIMIT_MAX);
            capacity->is_factor_set = true;
        }
    }
}

static void read_file_limit(udr_capacity_t *capacity)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > LIMIT_MAX) {
        return;
    }
    capacity->has_file_limit = true;
    capacity->descriptors = (long)limit.rlim_cur;
    if (capacity->descriptors > DESCRIPTORS_OF_HTTPD) {
        capacity->parked = (capacity->descriptors - DESCRIPTORS_OF_HTTPD) / DESCRIPTORS_EACH;
    }
}

/* They may have what is left when all requests that a child can hold are parked: clients that do not close are to take
 * no descriptor from those that wait. */
static unsigned int count_lingering(const udr_capacity_t *capacity, int loops)
{
    long left = capacity->descriptors - DESCRIPTORS_OF_HTTPD - capacity->connections * DESCRIPTORS_EACH;
    if (!capacity->has_file_limit || left / loops > UDR_LINGER_MAX) {
        return UDR_LINGER_MAX;
    }
    return left / loops < LINGERING_LEAST ? LINGERING_LEAST : (unsigned int)(left / loops);
}

bool udr_capacity_get(udr_capacity_t *capacity, const server_rec *s)
{
    const udr_server_config_t *config = udr_server_config(s);
    int is_async = 0;
    if (ap_mpm_query(AP_MPMQ_IS_ASYNC, &is_async) != APR_SUCCESS || !is_async || config->loops == 0 ||
        !config->is_used) {
        return false;
    }
    *capacity = (udr_capacity_t){0};
    (void)ap_mpm_query(AP_MPMQ_MAX_THREADS, &capacity->threads);
    read_factor(capacity);
    read_file_limit(capacity);
    capacity->connections = capacity->threads * (1L + capacity->factor);
    /* The listener counts the threads that are idle when it is about to accept. In a burst one at least is busy with
     * the connection before; and when it has stopped for that, it goes on only if there is room without one of the idle
     * ones (connections_above_limit() in event.c). */
    capacity->at_once = capacity->connections - capacity->factor;
    capacity->lingering = count_lingering(capacity, config->loops);
    return true;
}

static bool are_descriptors_short(const udr_capacity_t *capacity)
{
    return capacity->has_file_limit && capacity->parked < capacity->connections;
}

void udr_capacity_log(const server_rec *s)
{
    udr_capacity_t capacity;
    if (!udr_capacity_get(&capacity, s)) {
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s,
                 "a child takes up to %ld connections (ThreadsPerChild %d + idle threads x AsyncRequestWorkerFactor "
                 "%d), %ld when they come all at once, those that wait on its loops included",
                 capacity.connections, capacity.threads, capacity.factor, capacity.at_once);
    if (are_descriptors_short(&capacity)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     UDRNO(0021) "a child takes up to %ld connections (ThreadsPerChild %d, AsyncRequestWorkerFactor "
                                 "%d), but its %ld descriptors allow %ld parked requests, which have two each: raise "
                                 "the limit of open files to %ld (Debian: APACHE_ULIMIT_MAX_FILES in envvars; else "
                                 "LimitNOFILE= of httpd's unit, ulimit -n), or lower "
                                 "AsyncRequestWorkerFactor",
                     capacity.connections, capacity.threads, capacity.factor, capacity.descriptors, capacity.parked,
                     capacity.connections * DESCRIPTORS_EACH + DESCRIPTORS_OF_HTTPD);
    }
    if (!capacity.is_factor_set) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "AsyncRequestWorkerFactor is httpd's default, made for connections that each need a thread soon: "
                     "those that wait hold none; say AsyncRequestWorkerFactor 64, as udsroute.conf does");
    }
}
