/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_close.h"
#include "mod_udsroute/mod_udsroute_filters.h"
#include "mod_udsroute/mod_udsroute_loops.h"

#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* As long as the event MPM (server/connection.c). */
#define LINGER apr_time_from_sec(30)

/* In the event MPM a client that is not quick enough costs a second worker: the socket is polled for by the listener,
 * and whoever gets it from there closes it. To wait on a loop it needs neither its filters nor its memory, which the
 * MPM can use again at once. (What ends in a loop's hands: mod_udsroute_adopted_end.c.) */
static bool is_ours_to_close(conn_rec *c)
{
    const udr_conn_t *conn = ap_get_module_config(c->conn_config, &udsroute_module);
    return conn && conn->routed > 0 && !conn->adopted && !c->master && !c->aborted && udr_loops_count() > 0 &&
           !udr_filters_keep_back(c);
}

bool udr_close_leave_to_loop(const conn_rec *c, int fd, udr_home_t *home)
{
    apr_interval_time_t limit = apr_table_get(c->notes, "short-lingering-close") ? UDR_CLOSE_SHORT : LINGER;
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (other < 0) {
        return false;
    }
    if (udr_linger_add(home->linger, other, limit) != APR_SUCCESS) {
        close(other);
        return false;
    }
    return true;
}

int udr_close_begin(conn_rec *c)
{
    char byte;
    apr_os_sock_t fd;
    if (!is_ours_to_close(c) || apr_os_sock_get(&fd, ap_get_conn_socket(c)) != APR_SUCCESS) {
        return DECLINED;
    }
    ap_flush_conn(c);
    if (c->aborted || c->data_in_output_filters || shutdown(fd, SHUT_WR) != 0) {
        return DECLINED; /* httpd finds the same */
    }
    ssize_t n = recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0) {
        c->aborted = 1; /* nothing to wait for */
    } else if (n < 0 && errno == EAGAIN) {
        /* The MPM closes its own descriptor at once; else it waits for the client itself. */
        c->aborted = udr_close_leave_to_loop(c, fd, udr_loops_choose());
    }
    return OK; /* a client that still sends is the MPM's */
}
