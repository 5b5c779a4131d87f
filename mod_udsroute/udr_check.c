/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_check.h"
#include "mod_udsroute/udr_agent.h"
#include "mod_udsroute/udr_check_request.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_connection.h"
#include "mod_udsroute/udr_hunger.h"
#include "mod_udsroute/udr_protocol.h"
#include "mod_udsroute/udr_random.h"
#include "mod_udsroute/udr_runtime.h"

#include <apr_strings.h>

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* A full backlog is asked again after 1 ms, then after ever longer pauses up to this one. */
#define CONNECT_PAUSE_FIRST apr_time_from_msec(1)
#define CONNECT_PAUSE_MAX   apr_time_from_msec(50)

/* Of an answer, beside its head: far more than the 64 KiB of a body that are read, with their chunks and whatever 1xx
 * comes before. */
#define RECEIVED_MAX ((apr_size_t)1 << 20)

/* What is read at first; most answers fit. */
#define ROOM_FIRST 2048

/* So little of a timeout may be missing at its end. */
#define SLACK_PART 50

typedef enum state_t { IDLE, CONNECT, SEND, RECEIVE } state_t;

struct udr_check_t {
    const udr_member_t *member;
    udr_loop_t *loop;
    const udr_check_client_t *client;
    void *baton;
    apr_pool_t *pool;      /* of one check: cleared after each */
    udr_request_t request; /* the same each time, as what is sent */
    udr_slice_t asked;     /* empty: nothing is */
    bool wants_body;
    /* of the check that runs */
    state_t state;
    bool only_connects;
    apr_time_t begun;
    udr_timer_t deadline;
    udr_timer_t again; /* the backlog was full */
    udr_timer_t look;  /* when it is hungry: see udr_hunger */
    udr_hunger_t hunger;
    apr_interval_time_t pause;
    apr_uint64_t random;
    udr_connection_t *connection; /* NULL: none */
    apr_size_t sent;
    udr_reader_t reader;
    char *room;            /* received, and not understood yet */
    apr_size_t size, held; /* of it */
    apr_size_t received;   /* of all kinds; 0: not one byte */
    udr_answer_t answer;   /* status 0: no head yet */
    apr_size_t read;       /* body bytes */
    char *body;            /* answer.body, writable */
    apr_size_t body_size;
    const char *why; /* for the log */
    pid_t silent;    /* the process that has said nothing; 0: unknown, or it isn't to blame */
};

/* --- what is asked ---------------------------------------------------------------------------------------------------
 */

static apr_status_t prepare(udr_check_t *check, apr_pool_t *p)
{
    const udr_protocol_t *protocol = check->member->target->scheme->protocol;
    const char *why = NULL;
    if (!udr_check_request_fill(&check->request, check->member, p)) {
        return APR_SUCCESS;
    }
    apr_size_t room = protocol->head_room(&check->request, &why);
    if (room == 0) {
        return APR_EINVAL; /* was checked when it was read */
    }
    char *head = apr_palloc(p, room);
    check->asked = (udr_slice_t){head, protocol->write_head(&check->request, false, head)};
    check->wants_body = strcmp(check->request.method, "GET") == 0 && check->member->settings.check.expr;
    return APR_SUCCESS;
}

/* --- the end ---------------------------------------------------------------------------------------------------------
 */

static void end_hunger(udr_check_t *check)
{
    udr_loop_clear_timer(check->loop, &check->look);
    udr_hunger_end(&check->hunger);
}

static void stop(udr_check_t *check)
{
    udr_loop_clear_timer(check->loop, &check->deadline);
    udr_loop_clear_timer(check->loop, &check->again);
    end_hunger(check);
    if (check->connection) {
        udr_connection_close(check->connection);
        check->connection = NULL;
    }
    check->state = IDLE;
}

static void finish(udr_check_t *check, udr_cause_t cause, int detail, apr_uint32_t agent)
{
    const udr_finding_t finding = {.cause = cause, .detail = detail, .agent = agent, .begun = check->begun};
    stop(check);
    check->client->done(check->baton, &finding);
}

static void fail(udr_check_t *check, udr_cause_t cause, int detail)
{
    finish(check, cause, detail, 0);
}

static void expired(udr_timer_t *timer)
{
    udr_check_t *check = timer->baton;
    if (check->state != CONNECT && !check->received) {
        check->silent = udr_runtime_process(check->connection->fd);
    }
    fail(check, check->state == CONNECT ? UDR_CAUSE_CHECK_BACKLOG : UDR_CAUSE_CHECK_TIMEOUT, 0);
}

/* --- the answer ------------------------------------------------------------------------------------------------------
 */

static void judge(udr_check_t *check)
{
    const udr_check_settings_t *settings = &check->member->settings.check;
    int status = check->answer.status;
    apr_uint32_t agent = settings->agent ? udr_agent_read(check->answer.fields, check->pool) : 0;
    if (udr_slot_agent_state(agent) == UDR_AGENT_DOWN) {
        fail(check, UDR_CAUSE_CHECK_AGENT, 0);
    } else if (udr_slot_agent_state(agent) == UDR_AGENT_DRAIN) {
        /* It is well, whatever status it has for those who know no other way to tell. */
        finish(check, UDR_CAUSE_NONE, 0, agent);
    } else if (settings->expr
                   ? check->client->accepts(check->baton, check->member, &check->answer, &check->why, check->pool)
                   : status >= 200 && status < 400) {
        finish(check, UDR_CAUSE_NONE, 0, agent);
    } else {
        fail(check, settings->expr ? UDR_CAUSE_CHECK_ANSWER : UDR_CAUSE_CHECK_STATUS, status);
    }
}

static void take_head(udr_check_t *check)
{
    const udr_http1_head_t *head = check->reader.head;
    check->answer.status = head->status;
    check->answer.fields =
        (udr_slice_t){apr_pstrmemdup(check->pool, head->fields.ptr, head->fields.len), head->fields.len};
}

/* At least twice what there is: what is given up is never more than what is in use. */
static char *enlarge(const udr_check_t *check, const char *bytes, apr_size_t len, apr_size_t *size, apr_size_t needed)
{
    apr_size_t larger = *size ? 2 * *size : ROOM_FIRST;
    *size = larger > needed ? larger : needed;
    char *room = apr_palloc(check->pool, *size);
    if (len > 0) {
        memcpy(room, bytes, len);
    }
    return room;
}

/* Returns whether that is enough. */
static bool take_data(udr_check_t *check, udr_slice_t data)
{
    apr_size_t left = UDR_CHECK_BODY_MAX - check->read;
    apr_size_t len = data.len < left ? data.len : left;
    if (check->wants_body) {
        if (check->read + len > check->body_size) {
            check->body = enlarge(check, check->body, check->read, &check->body_size, check->read + len);
        }
        memcpy(check->body + check->read, data.ptr, len);
        check->answer.body = (udr_slice_t){check->body, check->read + len};
    }
    check->read += len;
    return len == left;
}

/* The reader refuses at the first byte that is wrong. */
static void refuse(udr_check_t *check)
{
    const char *protocol =
        check->answer.status ? NULL : check->member->target->scheme->protocol->recognize(check->room, check->held);
    check->why = check->reader.why;
    if (protocol) {
        fail(check, UDR_CAUSE_CHECK_PROTOCOL, udr_verdict_protocol(protocol));
    } else {
        fail(check, UDR_CAUSE_RESPONSE, 0);
    }
}

/* Returns false when the check has ended. */
static bool understand(udr_check_t *check)
{
    apr_size_t used = 0;
    for (;;) {
        udr_codec_step_t step = {0, {NULL, 0}};
        udr_codec_status_t status = check->member->target->scheme->protocol->reader_feed(
            &check->reader, check->room + used, check->held - used, &step);
        bool is_enough = false;
        switch (status) {
        case UDR_CODEC_HEAD:
            take_head(check);
            is_enough = check->answer.status == 101; /* nothing that follows is an answer */
            break;
        case UDR_CODEC_DATA:
            is_enough = take_data(check, step.data);
            break;
        case UDR_CODEC_END:
            is_enough = true;
            break;
        case UDR_CODEC_BAD:
            refuse(check);
            return false;
        case UDR_CODEC_MORE:
        case UDR_CODEC_INTERIM:
        case UDR_CODEC_NOTE:
            break;
        }
        if (is_enough) {
            judge(check);
            return false;
        }
        used += step.consumed;
        if (status == UDR_CODEC_MORE) {
            check->held -= used;
            memmove(check->room, check->room + used, check->held);
            return true;
        }
    }
}

/* All that it sent has been understood. error: APR_EOF, or an errno. */
static void closed(udr_check_t *check, apr_status_t error)
{
    const udr_protocol_t *protocol = check->member->target->scheme->protocol;
    if (!check->received) {
        check->silent = udr_runtime_process(check->connection->fd);
        fail(check, UDR_CAUSE_UNANSWERED, APR_STATUS_IS_EOF(error) ? 0 : error);
    } else if (APR_STATUS_IS_EOF(error) && protocol->reader_eof(&check->reader, check->held) == UDR_CODEC_END) {
        judge(check);
    } else {
        fail(check, UDR_CAUSE_BROKEN_OFF, APR_STATUS_IS_EOF(error) ? 0 : error);
    }
}

static void receive(udr_check_t *check)
{
    for (;;) {
        apr_size_t received = 0;
        if (check->held == check->size) {
            check->room = enlarge(check, check->room, check->held, &check->size, check->held + 1);
        }
        apr_status_t rv =
            udr_connection_receive(check->connection, check->room + check->held, check->size - check->held, &received);
        if (rv == EAGAIN) {
            return;
        }
        if (rv != APR_SUCCESS) {
            closed(check, rv);
            return;
        }
        if (!check->received) {
            end_hunger(check);
        }
        check->received += received;
        check->held += received;
        /* It has to be seen here: for as long as bytes come, the loop's timers wait. */
        if (check->received > RECEIVED_MAX + 8 * check->member->settings.field_size) {
            check->why = "an answer without end";
            fail(check, UDR_CAUSE_RESPONSE, 0);
            return;
        }
        if (!understand(check)) {
            return;
        }
    }
}

/* --- the way there ---------------------------------------------------------------------------------------------------
 */

static void send_on(udr_check_t *check)
{
    while (check->sent < check->asked.len) {
        const struct iovec rest = {.iov_base = (void *)(uintptr_t)(check->asked.ptr + check->sent),
                                   .iov_len = check->asked.len - check->sent};
        apr_size_t sent = 0;
        apr_status_t rv = udr_connection_send(check->connection, &rest, 1, &sent);
        if (rv == EAGAIN) {
            udr_loop_watch_out(check->loop, check->connection->watch, true);
            return;
        }
        if (rv != APR_SUCCESS) {
            break; /* it may have answered before it closed: reading tells */
        }
        check->sent += sent;
    }
    check->state = RECEIVE;
}

static void ready(udr_watch_t *watch, uint32_t events)
{
    udr_check_t *check = watch->baton;
    (void)events;
    if (check->state == SEND) {
        send_on(check);
    }
    if (check->state == RECEIVE) {
        receive(check);
    }
}

static void look_for_process(udr_timer_t *timer)
{
    udr_check_t *check = timer->baton;
    udr_hunger_look(&check->hunger, check->state == CONNECT ? -1 : check->connection->fd, udr_clock_now());
    if (check->hunger.yield) {
        udr_loop_set_timer(check->loop, timer, check->hunger.look_at);
    }
}

/* As a request: idle connections are not to keep the member's processes from answering. */
static void begin_hunger(udr_check_t *check)
{
    const udr_member_t *member = check->member;
    if (check->client->yield && udr_protocol_keeps_process(member->target->scheme->protocol) && !check->hunger.yield) {
        udr_hunger_begin(&check->hunger, check->client->yield, udr_member_calls_at(member), udr_clock_now());
        udr_loop_set_timer(check->loop, &check->look, check->hunger.look_at);
    }
}

static void ask(udr_check_t *check)
{
    const udr_settings_t *settings = &check->member->settings;
    const udr_http1_limits_t limits = {.line = settings->field_size, .head = 8 * settings->field_size};
    apr_status_t rv = udr_connection_watch(check->connection, check->loop, ready);
    if (rv != APR_SUCCESS) {
        fail(check, UDR_CAUSE_OURS, rv);
        return;
    }
    check->connection->watch->baton = check;
    check->member->target->scheme->protocol->reader_init(&check->reader, &check->request, &limits);
    check->state = SEND;
    begin_hunger(check);
    send_on(check);
}

/* Half of a pause is fixed and half chance, as with requests that wait for the same backlog. */
static void wait_for_backlog(udr_check_t *check)
{
    begin_hunger(check);
    apr_interval_time_t half = check->pause / 2;
    apr_interval_time_t chance = (apr_interval_time_t)(udr_random_next(&check->random) % (apr_uint64_t)(half + 1));
    udr_loop_set_timer(check->loop, &check->again, udr_clock_now() + half + chance);
    check->pause = 2 * check->pause < CONNECT_PAUSE_MAX ? 2 * check->pause : CONNECT_PAUSE_MAX;
}

static void try_to_connect(udr_check_t *check)
{
    const udr_peer_t *peer = check->member->settings.peer;
    apr_status_t rv = udr_connection_reach(check->connection, check->member->target->address);
    if (rv == EAGAIN) {
        wait_for_backlog(check);
    } else if (rv != APR_SUCCESS) {
        fail(check, udr_verdict_cause_of(rv), rv);
    } else if (peer && !udr_connection_check_peer(check->connection, peer, &check->why, check->pool)) {
        fail(check, UDR_CAUSE_OPERATOR, 0);
    } else if (check->only_connects || check->asked.len == 0) {
        finish(check, UDR_CAUSE_NONE, 0, 0);
    } else {
        ask(check);
    }
}

static void connect_again(udr_timer_t *timer)
{
    try_to_connect(timer->baton);
}

/* Where `hctimeout` is as long as `hcinterval`, as it is by default up to 5 s, a check begins late by as much as the
 * loop does, and would end so, too: the loop would wake up twice, for the next one and for the end of this, and the
 * checks of a member that hangs would come later and later. */
static apr_time_t deadline(const udr_check_t *check, apr_time_t next)
{
    apr_interval_time_t timeout = check->member->settings.check.timeout;
    apr_time_t end = check->begun + timeout;
    apr_time_t earliest = end - timeout / SLACK_PART;
    if (!next || end <= next) {
        return end;
    }
    return earliest > next ? earliest : next;
}

void udr_check_begin(udr_check_t *check, bool only_connects, apr_time_t next)
{
    apr_pool_clear(check->pool);
    check->room = NULL;
    check->body = NULL;
    check->size = check->held = check->sent = check->read = check->body_size = 0;
    check->answer = (udr_answer_t){.status = 0, .fields = {"", 0}, .body = {"", 0}};
    check->received = 0;
    check->why = NULL;
    check->silent = 0;
    check->only_connects = only_connects;
    check->begun = udr_clock_now();
    check->pause = CONNECT_PAUSE_FIRST;
    check->state = CONNECT;
    apr_status_t rv = udr_connection_create(&check->connection);
    if (rv != APR_SUCCESS) {
        fail(check, UDR_CAUSE_OURS, rv);
        return;
    }
    udr_loop_set_timer(check->loop, &check->deadline, deadline(check, next));
    try_to_connect(check);
}

bool udr_check_is_running(const udr_check_t *check)
{
    return check->state != IDLE;
}

const char *udr_check_explain(const udr_check_t *check)
{
    return check->why ? check->why : udr_runtime_suspect(check->silent, check->member->target->scheme, check->pool);
}

void udr_check_cancel(udr_check_t *check)
{
    stop(check);
}

static apr_status_t cancel(void *check)
{
    udr_check_cancel(check);
    return APR_SUCCESS;
}

apr_status_t udr_check_create(udr_check_t **check, const udr_member_t *member, udr_loop_t *loop,
                              const udr_check_client_t *client, void *baton, apr_pool_t *p)
{
    udr_check_t *made = apr_pcalloc(p, sizeof *made);
    made->member = member;
    made->loop = loop;
    made->client = client;
    made->baton = baton;
    made->random = (apr_uint64_t)udr_clock_now() ^ (apr_uint64_t)(uintptr_t)made;
    made->deadline = (udr_timer_t){.expired = expired, .baton = made};
    made->again = (udr_timer_t){.expired = connect_again, .baton = made};
    made->look = (udr_timer_t){.expired = look_for_process, .baton = made};
    apr_status_t rv = apr_pool_create(&made->pool, p);
    if (rv == APR_SUCCESS) {
        rv = prepare(made, p);
    }
    if (rv == APR_SUCCESS) {
        apr_pool_cleanup_register(p, made, cancel, apr_pool_cleanup_null);
        *check = made;
    }
    return rv;
}
