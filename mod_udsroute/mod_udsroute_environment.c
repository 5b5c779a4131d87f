/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_environment.h"

#include <apr_strings.h>

/* Each request has these set, and once only: no search for an older value. */
static void set_text(const udr_client_t *client, const char *name, const char *value)
{
    apr_table_addn(client->r->subprocess_env, name, value);
}

/* Numbers as text, at the end of their places; APR's way costs three times as much, and each request has five. */
enum { NUMBERS = 5, NUMBER_SIZE = sizeof "9223372036854775807" };

typedef struct numbers_t {
    char text[NUMBERS][NUMBER_SIZE];
    int count;
} numbers_t;

/* number: not negative. */
static void set_number(const udr_client_t *client, numbers_t *numbers, const char *name, apr_int64_t number)
{
    char *at = &numbers->text[numbers->count++][NUMBER_SIZE - 1];
    apr_uint64_t rest = (apr_uint64_t)number;
    *at = '\0';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    set_text(client, name, at);
}

/* A member from a directory may have gone before the request is logged. */
static const char *outlive(const udr_client_t *client, const char *text)
{
    return client->member->tenant ? apr_pstrdup(client->r->pool, text) : text;
}

static void tell_session(const udr_client_t *client)
{
    const udr_session_t *session = &client->session;
    const udr_member_t *member = client->member;
    if (session->name) {
        set_text(client, "BALANCER_SESSION_STICKY", session->name);
    }
    if (session->route) {
        set_text(client, "BALANCER_SESSION_ROUTE", apr_pstrmemdup(client->r->pool, session->route, session->route_len));
    }
    if (client->match->balancer->settings.session && member &&
        !udr_sticky_is_route(member->settings.route, session->route, session->route_len)) {
        set_text(client, "BALANCER_ROUTE_CHANGED", "1");
    }
}

void udr_environment_tell_member(udr_client_t *client)
{
    const udr_balancer_t *balancer = client->match->balancer;
    const udr_member_t *member = client->member;
    if (client->has_told) {
        return;
    }
    client->has_told = true;
    if (balancer->name) {
        set_text(client, "BALANCER_NAME", apr_pstrcat(client->r->pool, "balancer://", balancer->name, NULL));
    }
    if (member) {
        const char *name = outlive(client, member->target->text);
        set_text(client, "UDSROUTE_MEMBER", name);
        set_text(client, "BALANCER_WORKER_NAME", name);
        if (member->settings.route) {
            set_text(client, "BALANCER_WORKER_ROUTE", outlive(client, member->settings.route));
        }
    }
    tell_session(client);
}

static apr_int64_t span(apr_time_t from, apr_time_t to)
{
    return from && to > from ? to - from : 0;
}

void udr_environment_tell(udr_client_t *client)
{
    const udr_exchange_t *exchange = client->exchange;
    const udr_times_t *times = udr_exchange_times(exchange);
    numbers_t *numbers = apr_palloc(client->r->pool, sizeof *numbers);
    numbers->count = 0;
    udr_environment_tell_member(client);
    set_number(client, numbers, "UDSROUTE_ATTEMPTS", udr_exchange_attempts(exchange));
    set_number(client, numbers, "UDSROUTE_QUEUE_US", span(times->begun, times->turn ? times->turn : times->ended));
    set_number(client, numbers, "UDSROUTE_CONNECT_US", span(times->connecting, times->connected));
    set_number(client, numbers, "UDSROUTE_TTFB_US", span(times->begun, times->first_byte));
    set_number(client, numbers, "UDSROUTE_TOTAL_US", span(times->begun, times->ended));
    set_text(client, "UDSROUTE_PARKED", client->is_parked ? "1" : "0");
}
