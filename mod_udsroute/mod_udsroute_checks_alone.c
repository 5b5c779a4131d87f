/* SPDX-License-Identifier: Apache-2.0 */
/* Health checks under prefork, whose children have no thread to spare: one of its own for each (mod_udsroute_alone), of
 * which one makes the checks and the others wait. It does not touch the members' idle connections, which are the main
 * thread's; those notice what has become of their socket when they are used. */
#include "mod_udsroute/mod_udsroute_checks.h"
#include "mod_udsroute/mod_udsroute_alone.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/mod_udsroute_watch.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_leader.h"
#include "mod_udsroute/udr_verdict.h"

#define ATTEND_INTERVAL apr_time_from_msec(250)

static struct {
    server_rec *main_server;
    apr_pool_t *p;
    udr_loop_t *loop;
    udr_timer_t timer;
    udr_watch_t files;
    bool watches;
} alone;

static void files_have_changed(udr_watch_t *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    udr_watch_read();
}

/* One child does it for all: a user has so many instances of inotify(7) and no more, fewer than prefork has children.
 */
static void watch_files(void)
{
    alone.watches = true;
    udr_watch_start(alone.main_server, false, alone.p);
    if (udr_watch_descriptor() >= 0) {
        alone.files.ready = files_have_changed;
        (void)udr_loop_watch(alone.loop, &alone.files, udr_watch_descriptor());
    }
}

static void attend(udr_timer_t *timer)
{
    apr_time_t now = udr_loop_now(alone.loop);
    if (udr_checks_attend(now) && !alone.watches) {
        watch_files();
    }
    udr_watch_attend(now);
    udr_loop_set_timer(alone.loop, timer, now + ATTEND_INTERVAL);
}

static void *run(void *data)
{
    (void)data;
    udr_loop_set_timer(alone.loop, &alone.timer, udr_clock_now());
    udr_loop_run(alone.loop);
    return NULL;
}

apr_status_t udr_checks_start_alone(server_rec *main_server)
{
    apr_status_t rv = udr_alone_create_pool(&alone.p);
    if (rv == APR_SUCCESS) {
        rv = udr_loop_create(&alone.loop, alone.p);
    }
    if (rv == APR_SUCCESS) {
        alone.main_server = main_server;
        alone.watches = false;
        alone.timer = (udr_timer_t){.expired = attend};
        udr_checks_init(main_server, alone.loop, alone.p);
        rv = udr_alone_start(run);
    }
    return rv;
}

/* --- without checks --------------------------------------------------------------------------------------------------
 */

static bool remembers(apr_uint32_t slot)
{
    return slot != UDR_SHARED_NONE && udr_verdict_remembers(udr_shared_slot(udr_share_get(), slot));
}

static void forget(apr_uint32_t slot)
{
    if (remembers(slot)) {
        (void)udr_verdict_forget(udr_shared_slot(udr_share_get(), slot), udr_clock_now());
        udr_shared_bump_epoch(udr_share_access());
    }
}

static bool any_remembers(const apr_array_header_t *members, const apr_array_header_t *globs)
{
    bool any = false;
    for (int i = 0; !any && i < members->nelts; i++) {
        any = remembers(APR_ARRAY_IDX(members, i, const udr_member_t *)->slot);
    }
    for (int i = 0; !any && i < globs->nelts; i++) {
        const udr_glob_t *glob = APR_ARRAY_IDX(globs, i, const udr_glob_t *);
        for (int k = 0; !any && k < glob->growth; k++) {
            any = remembers(glob->berths[k]);
        }
    }
    return any;
}

static void forget_all(const apr_array_header_t *members, const apr_array_header_t *globs)
{
    for (int i = 0; i < members->nelts; i++) {
        forget(APR_ARRAY_IDX(members, i, const udr_member_t *)->slot);
    }
    for (int i = 0; i < globs->nelts; i++) {
        const udr_glob_t *glob = APR_ARRAY_IDX(globs, i, const udr_glob_t *);
        for (int k = 0; k < glob->growth; k++) {
            forget(glob->berths[k]);
        }
    }
}

/* As one that leads, for this moment: whoever has made checks so far could find another one bad right behind this. */
void udr_checks_forget_alone(const server_rec *main_server)
{
    for (const server_rec *s = main_server; s; s = s->next) {
        const udr_server_config_t *config = udr_server_config(s);
        udr_leader_t leader = {.leads = false};
        if (any_remembers(config->members, config->globs) &&
            udr_leader_attend(&leader, udr_share_get(), udr_clock_now())) {
            forget_all(config->members, config->globs);
            udr_leader_leave(&leader, udr_share_get());
        }
    }
}
