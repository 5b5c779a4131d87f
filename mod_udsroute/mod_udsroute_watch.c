/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_watch.h"
#include "mod_udsroute/mod_udsroute_checks.h"
#include "mod_udsroute/mod_udsroute_globs.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_connection.h"
#include "mod_udsroute/udr_dirwatch.h"
#include "mod_udsroute/udr_pool.h"

#include <http_main.h>

/* What can't be watched is looked at so often. */
#define LOOK_INTERVAL apr_time_from_sec(1)

/* A member's socket file. */
typedef struct file_t {
    udr_watcher_t watcher;
    udr_member_t *member;
    bool is_blind; /* it isn't watched: the next two hold what was seen last */
    bool is_there;
    udr_socket_file_t seen;
} file_t;

static struct {
    udr_dirwatch_t *dirwatch; /* NULL: none */
    apr_array_header_t *files;
    apr_time_t looked_at;
    bool is_childs; /* this thread may touch the child's own: idle connections, requests that wait */
} watch;            /* this child's */

static void tell(const file_t *file, bool is_there)
{
    const udr_member_t *member = file->member;
    int closed = watch.is_childs ? udr_pool_close_outdated(member->pool) : 0;
    if (closed > 0) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, ap_server_conf,
                     "the socket of member %s has been replaced or removed: %d idle connections closed",
                     member->target->text, closed);
    }
    if (is_there) {
        udr_share_file_appeared(member, udr_clock_now());
        if (watch.is_childs) {
            udr_share_wake_held(member);
        }
        udr_checks_look(member);
    } else {
        udr_share_file_gone(member, udr_clock_now());
    }
}

static void seen(udr_watcher_t *watcher, udr_sighting_t sighting)
{
    file_t *file = watcher->baton;
    file->is_blind = sighting == UDR_SIGHTING_BLIND;
    if (file->is_blind) {
        file->is_there = udr_socket_file_get(&file->seen, file->member->target->address);
    } else {
        tell(file, sighting == UDR_SIGHTING_THERE);
    }
}

static bool is_same(const udr_socket_file_t *a, const udr_socket_file_t *b)
{
    return a->device == b->device && a->inode == b->inode;
}

static void look(file_t *file)
{
    udr_socket_file_t now = {.inode = 0};
    bool is_there = udr_socket_file_get(&now, file->member->target->address);
    bool has_changed = is_there != file->is_there || (is_there && !is_same(&now, &file->seen));
    file->is_there = is_there;
    file->seen = now;
    if (has_changed) {
        tell(file, is_there);
    }
}

void udr_watch_attend(apr_time_t now)
{
    if (!watch.files || now - watch.looked_at < LOOK_INTERVAL) {
        return;
    }
    watch.looked_at = now;
    for (int i = 0; i < watch.files->nelts; i++) {
        file_t *file = APR_ARRAY_IDX(watch.files, i, file_t *);
        if (file->is_blind) {
            look(file);
        }
    }
}

static void add(udr_member_t *member, apr_pool_t *p)
{
    const udr_address_t *address = member->target->address;
    file_t *file = apr_pcalloc(p, sizeof *file);
    file->member = member;
    file->watcher.seen = seen;
    file->watcher.baton = file;
    apr_status_t rv = watch.dirwatch ? udr_dirwatch_add(watch.dirwatch, &file->watcher, address) : APR_ENOTIMPL;
    if (rv != APR_SUCCESS) {
        file->is_blind = true;
        file->is_there = udr_socket_file_get(&file->seen, address);
        ap_log_error(APLOG_MARK, APLOG_DEBUG, rv, ap_server_conf,
                     "the directory of member %s can't be watched: its socket is looked at each second",
                     member->target->text);
    }
    APR_ARRAY_PUSH(watch.files, file_t *) = file;
}

void udr_watch_start(server_rec *main_server, bool is_childs, apr_pool_t *p)
{
    watch.is_childs = is_childs;
    watch.looked_at = 0;
    watch.files = apr_array_make(p, 16, sizeof(file_t *));
    if (udr_dirwatch_create(&watch.dirwatch, p) != APR_SUCCESS) {
        watch.dirwatch = NULL;
    }
    for (const server_rec *s = main_server; s; s = s->next) {
        const apr_array_header_t *members = udr_server_config(s)->members;
        for (int i = 0; udr_server_has_own_config(s, main_server) && i < members->nelts; i++) {
            udr_member_t *member = APR_ARRAY_IDX(members, i, udr_member_t *);
            if (member->target->address->kind == UDR_ADDRESS_PATH) {
                add(member, p);
            }
        }
    }
    if (watch.dirwatch && is_childs) {
        udr_globs_watch(watch.dirwatch);
    }
}

int udr_watch_descriptor(void)
{
    return watch.dirwatch ? udr_dirwatch_fd(watch.dirwatch) : -1;
}

void udr_watch_read(void)
{
    udr_dirwatch_read(watch.dirwatch);
}
