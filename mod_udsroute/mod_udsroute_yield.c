/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_yield.h"
#include "mod_udsroute/mod_udsroute_alone.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_protocol.h"

#include <poll.h>

/* How soon to try again when the main thread has a pool's mutex, which it does for microseconds. */
#define AGAIN_MS 1

/* How often to look for connections that are older than `ttl`: the main thread waits for clients. */
#define TIDY_MS 1000

static struct {
    udr_yield_t *yield;
    int descriptor;
} alone;

static bool has_exclusive(const udr_server_config_t *config)
{
    for (int i = 0; i < config->members->nelts; i++) {
        if (udr_protocol_keeps_process(
                APR_ARRAY_IDX(config->members, i, const udr_member_t *)->target->scheme->protocol)) {
            return true;
        }
    }
    for (int i = 0; i < config->globs->nelts; i++) {
        if (udr_protocol_keeps_process(APR_ARRAY_IDX(config->globs, i, const udr_glob_t *)->target->scheme->protocol)) {
            return true;
        }
    }
    return false;
}

bool udr_yield_is_wanted(const server_rec *main_server)
{
    for (const server_rec *s = main_server; s; s = s->next) {
        if (has_exclusive(udr_server_config(s))) {
            return true;
        }
    }
    return false;
}

static void *run(void *nothing)
{
    (void)nothing;
    for (bool is_through = true;;) {
        struct pollfd signals = {.fd = alone.descriptor, .events = POLLIN};
        (void)poll(&signals, 1, is_through ? TIDY_MS : AGAIN_MS);
        udr_signals_clear(alone.descriptor);
        is_through = udr_yield_run(alone.yield, false, udr_clock_now());
    }
    return NULL;
}

apr_status_t udr_yield_start_alone(void)
{
    apr_pool_t *p = NULL;
    apr_status_t rv = udr_alone_create_pool(&p);
    alone.yield = udr_share_yield();
    if (rv == APR_SUCCESS) {
        rv = udr_share_listen(&alone.descriptor, p);
    }
    return rv == APR_SUCCESS ? udr_alone_start(run) : rv;
}
