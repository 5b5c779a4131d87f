/* SPDX-License-Identifier: Apache-2.0 */
/* What one run moves at most: an exchange whose sides never let it wait leaves off all the same, for the others of its
 * runner. The linker puts recv(2) and sendmsg(2) below into our hands (--wrap): a member that is never done, which no
 * socket buffer could be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUDGET = 512 * 1024, PIECE = 100000, PIECES = 20 };

static bool is_endless; /* the member: says "x" for ever, and takes all */
static apr_size_t said, taken;
static apr_size_t takes_at_once; /* 0: whatever there is */
static text_t *took;             /* what it took; or NULL */

ssize_t __wrap_recv(int fd, void *buffer, size_t len, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recv(int fd, void *buffer, size_t len, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_recv(int fd, void *buffer, size_t len, int flags)
{
    if (!is_endless) {
        return __real_recv(fd, buffer, len, flags);
    }
    memset(buffer, 'x', len);
    said += len;
    return (ssize_t)len;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (!is_endless) {
        return __real_sendmsg(fd, message, flags);
    }
    apr_size_t len = 0;
    for (size_t i = 0; i < message->msg_iovlen && (!takes_at_once || len < takes_at_once); i++) {
        const struct iovec *part = &message->msg_iov[i];
        apr_size_t room = takes_at_once ? takes_at_once - len : part->iov_len;
        apr_size_t more = part->iov_len < room ? part->iov_len : room;
        if (took) {
            text_add(took, part->iov_base, more);
        }
        len += more;
    }
    taken += len;
    return (ssize_t)len;
}

static int set_up(void **state)
{
    is_endless = false;
    said = taken = takes_at_once = 0;
    took = NULL;
    return scene_set_up(state);
}

static int tear_down(void **state)
{
    is_endless = false;
    return scene_tear_down(state);
}

static void client_sends_much(scene_t *scene)
{
    static const char bytes[PIECE];
    for (int i = 0; i < PIECES; i++) {
        client_sends_bytes(&scene->client, bytes, PIECE);
    }
    scene->client.behind = APR_EAGAIN;
}

/* One run has left off, and the next, which nothing but the time brings about, moves as much again. One step more than
 * the budget may have been begun. */
static void expect_two_runs(scene_t *scene, const apr_size_t *moved, apr_size_t step)
{
    assert_in_range(*moved, BUDGET, BUDGET + step);
    apr_time_t until = udr_exchange_wait(scene->exchange)->until;
    assert_int_equal(until, scene->now + 1);
    scene->now = until;
    apr_size_t before = *moved;
    assert_true(scene_run(scene, 0));
    assert_in_range(*moved - before, BUDGET, BUDGET + step);
    assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + 1);
}

static void leaves_off_relaying(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_RELAY);
    is_endless = true;
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    expect_two_runs(scene, &said, udr_exchange_scratch_size(scene->exchange));
    assert_int_equal(scene->client.body.len, said);
    close(fd);
}

static void leaves_off_sending(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_post(scene);
    client_sends_much(scene);
    is_endless = true;
    assert_true(scene_run(scene, UDR_READY_CLIENT_IN));
    assert_state(scene, UDR_EXCHANGE_SEND);
    expect_two_runs(scene, &taken, PIECE + UDR_PROTOCOL_FRAME);
    assert_in_range(scene->client.consumed, 2 * BUDGET - 20 * UDR_PROTOCOL_FRAME, PIECE * PIECES);
    is_endless = false;
    client_drop_body(&scene->client);
    close(fd);
}

/* The head lies in the runner's scratch, which is somebody else's between two runs. */
static void keeps_what_is_left_of_a_head(void **state)
{
    scene_t *scene = *state;
    text_t got = {NULL, 0, 0};
    char *value = apr_palloc(scene->pool, 2 * BUDGET);
    for (int i = 0; i < 2 * BUDGET; i++) {
        value[i] = (char)('a' + (i / 7 + i / 1000) % 26);
    }
    value[2 * BUDGET - 1] = '\0';
    apr_table_t *fields = apr_table_make(scene->pool, 1);
    apr_table_setn(fields, "A", value);
    scene->request.fields = fields;
    scene->scratch_size = 3 * BUDGET;
    is_endless = true;
    took = &got;
    takes_at_once = 300000;
    scene_begin(scene);
    assert_true(scene_run(scene, 0));
    assert_int_equal(taken, 600000);
    assert_waits(scene, UDR_EXCHANGE_SEND, POLLIN, 0);
    scene_pass_time(scene, 1);
    assert_true(scene_run(scene, 0));
    is_endless = false;
    assert_string_equal(got.ptr, apr_pstrcat(scene->pool, "GET / HTTP/1.1\r\nHost: h\r\nA: ", value, "\r\n\r\n", NULL));
    text_clear(&got);
    close(member_accepts(scene));
}

static int open_tunnel(scene_t *scene)
{
    scene->request.upgrade = "x";
    scene->client.behind = APR_EAGAIN;
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_true(scene_settle(scene));
    assert_state(scene, UDR_EXCHANGE_TUNNEL);
    return fd;
}

static void leaves_off_tunnelling_down(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    is_endless = true;
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    expect_two_runs(scene, &said, udr_exchange_scratch_size(scene->exchange));
    close(fd);
}

static void leaves_off_tunnelling_up(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    client_sends_much(scene);
    is_endless = true;
    assert_true(scene_run(scene, UDR_READY_CLIENT_IN));
    expect_two_runs(scene, &taken, PIECE);
    assert_int_equal(scene->client.consumed, taken);
    client_drop_body(&scene->client);
    close(fd);
}

/* Neither direction uses it up alone. */
static void shares_between_both_directions(void **state)
{
    scene_t *scene = *state;
    int fd = open_tunnel(scene);
    client_sends_much(scene);
    is_endless = true;
    assert_true(scene_run(scene, UDR_READY_CLIENT_IN | UDR_READY_MEMBER_IN));
    assert_true(said > BUDGET / 4);
    assert_true(taken > BUDGET / 4);
    assert_in_range(said + taken, BUDGET, BUDGET + PIECE + udr_exchange_scratch_size(scene->exchange));
    client_drop_body(&scene->client);
    close(fd);
}

#define in_scene(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_scene(leaves_off_relaying),          in_scene(leaves_off_sending),
        in_scene(keeps_what_is_left_of_a_head), in_scene(leaves_off_tunnelling_down),
        in_scene(leaves_off_tunnelling_up),     in_scene(shares_between_both_directions),
    };
    apr_initialize();
    return cmocka_run_group_tests_name("udr_exchange_budget", tests, NULL, NULL);
}
