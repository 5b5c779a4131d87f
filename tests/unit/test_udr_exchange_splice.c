/* SPDX-License-Identifier: Apache-2.0 */
/* Large bodies past the client's filters: when, how much, and every way in which it may end. The client's socket is a
 * Unix socket that the test reads; splice(2) does what the test says where chance would have to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_exchange.h"

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* More than any threshold; what is left behind the first read is spliced. */
#define LARGE 1000003

static struct {
    int refills;   /* the member's end: it has sent more, and the client read all, before each splice(2); 0: no */
    int in_error;  /* of splice(2) from a socket */
    int out_error; /* of splice(2) to one */
    bool is_paced; /* the client's socket */
    apr_size_t out_limit; /* the most that one call moves to it; 0: what it takes */
} fake;

/* The client's side, beside what fake_client_t notes. */
static struct {
    apr_status_t answer;
    int asked;
    int ends[2];         /* [0]: what the exchange writes to */
    apr_size_t bypassed; /* as it was told */
    udr_pipes_t pipes;
    char *body; /* what the member sends */
    text_t got; /* by filters and socket, in the order in which it came */
    scene_t *scene;
    bool is_mixed; /* what the filters have is written to the socket, too, as httpd's do it: see write_filtered() */
} site;

ssize_t __real_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags);
ssize_t __wrap_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags);
int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);

ssize_t __wrap_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned int flags)
{
    int error = to == site.ends[0] ? fake.out_error : fake.in_error;
    if (error) {
        errno = error;
        return -1;
    }
    if (fake.refills) {
        static char read_bytes[1 << 20];
        (void)send(fake.refills, site.body, 200000, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)read(site.ends[1], read_bytes, sizeof read_bytes);
    }
    if (to == site.ends[0] && fake.out_limit && fake.out_limit < len) {
        len = fake.out_limit;
    }
    return __real_splice(from, from_at, to, to_at, len, flags);
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
    if (fd != site.ends[0]) {
        return __real_getsockopt(fd, level, option, value, len);
    }
    strcpy(value, fake.is_paced ? "bbr" : "cubic");
    return 0;
}

/* What the filters have goes to the socket, as far as that takes it. APR_EAGAIN: some of it is left. */
static apr_status_t write_filtered(void)
{
    text_t *body = &site.scene->client.body;
    ssize_t n = body->len ? send(site.ends[0], body->ptr, body->len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n > 0) {
        memmove(body->ptr, body->ptr + n, body->len - (apr_size_t)n);
        body->len -= (apr_size_t)n;
    }
    return body->len ? APR_EAGAIN : APR_SUCCESS;
}

static apr_status_t push_mixed(void *client, bool flush)
{
    apr_status_t rv = fake_client_ops.push(client, flush);
    return rv == APR_SUCCESS ? write_filtered() : rv;
}

static apr_status_t drain_mixed(void *client)
{
    (void)client;
    return write_filtered();
}

/* For tests in which bytes go to the filters behind others that have gone past them. */
static void mix(scene_t *scene)
{
    site.is_mixed = true;
    scene->ops.push = push_mixed;
    scene->ops.drain = drain_mixed;
}

/* What the client's socket has. Not before what went through the filters: that is written first. */
static apr_size_t read_socket(scene_t *scene)
{
    static char buffer[1 << 20];
    ssize_t n;
    apr_size_t total = 0;
    if (scene->client.body.len && !site.is_mixed) {
        text_add(&site.got, scene->client.body.ptr, scene->client.body.len);
        text_clear(&scene->client.body);
    }
    while (site.ends[1] >= 0 && (n = read(site.ends[1], buffer, sizeof buffer)) > 0) {
        text_add(&site.got, buffer, (apr_size_t)n);
        total += (apr_size_t)n;
    }
    return total;
}

static apr_status_t bypass(void *client, int *fd)
{
    (void)client;
    site.asked++;
    if (site.answer != APR_SUCCESS) {
        return site.answer;
    }
    *fd = site.ends[0];
    return site.is_mixed ? write_filtered() : APR_SUCCESS;
}

static void bypassed(void *client, apr_size_t len)
{
    (void)client;
    site.bypassed += len;
}

static int set_up(void **state)
{
    memset(&fake, 0, sizeof fake);
    memset(&site, 0, sizeof site);
    (void)signal(SIGPIPE, SIG_IGN);
    site.ends[0] = -1;
    int rc = scene_set_up(state);
    scene_t *scene = *state;
    site.scene = scene;
    scene->ops.bypass = bypass;
    scene->ops.bypassed = bypassed;
    scene->plan.pass_limit = 63487;
    scene->pipes = &site.pipes;
    site.body = malloc(LARGE);
    for (int i = 0; i < LARGE; i++) {
        site.body[i] = (char)(i % 251);
    }
    return rc || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, site.ends);
}

static int set_up_paced(void **state)
{
    int rc = set_up(state);
    fake.is_paced = true;
    mix(*state);
    return rc;
}

static int tear_down(void **state)
{
    udr_pipes_close(&site.pipes);
    close(site.ends[0]);
    if (site.ends[1] >= 0) {
        close(site.ends[1]);
    }
    free(site.body);
    text_clear(&site.got);
    return scene_tear_down(state);
}

/* Runs on until there is nothing more to do; the client takes all that it is sent. */
static void settle(scene_t *scene)
{
    scene->client.is_writable = false;
    while (scene_settle(scene) && (udr_exchange_wait(scene->exchange)->client & POLLOUT)) {
        assert_true(read_socket(scene) > 0);
        if (!scene_run(scene, UDR_READY_CLIENT_OUT)) {
            break;
        }
    }
    (void)read_socket(scene);
}

/* The member sends the body's bytes from `from` to `to`, as they are taken. */
static void member_sends(scene_t *scene, int fd, apr_size_t from, apr_size_t to)
{
    while (from < to && udr_exchange_fd(scene->exchange) >= 0) {
        ssize_t n = send(fd, site.body + from, to - from, MSG_NOSIGNAL);
        if (n > 0) {
            from += (apr_size_t)n;
        }
        settle(scene);
    }
}

/* The same, but the client does not read. Returns how far it got when nothing moves any more. */
static apr_size_t member_sends_in_vain(scene_t *scene, int fd, apr_size_t from, apr_size_t to)
{
    scene->client.is_writable = false;
    while (from < to) {
        ssize_t n = send(fd, site.body + from, to - from, MSG_NOSIGNAL);
        if (n < 0) {
            break;
        }
        from += (apr_size_t)n;
        if (!scene_settle(scene)) {
            break;
        }
    }
    return from;
}

static int begin(scene_t *scene, apr_size_t length)
{
    int fd = scene_start_and_read(scene);
    member_says(
        fd, apr_psprintf(scene->request_pool, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", (unsigned long)length));
    return fd;
}

#define assert_got(len) check_got(len, __LINE__)

static void check_got(apr_size_t len, int line)
{
    if (site.got.len != len || memcmp(site.got.ptr, site.body, len) != 0) {
        fail_msg("line %d: %lu bytes, or other ones, not %lu", line, (unsigned long)site.got.len, (unsigned long)len);
    }
}

/* --- when --- */

static void splices_what_follows_the_first_read(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, LARGE);
    member_sends(scene, fd, 0, LARGE);
    assert_done(scene);
    assert_got(LARGE);
    assert_int_equal(site.asked, 1);
    assert_in_range(site.bypassed, LARGE - 65536, LARGE - 1);
    assert_int_equal(udr_exchange_moved(scene->exchange), LARGE);
    assert_counts(scene, 1, 0);
    assert_int_equal(site.pipes.count, 1);
    close(fd);
}

static void copies_what_is_not_to_be_spliced(void **state)
{
    static const struct {
        apr_status_t answer;
        int in_error;
        bool without_pipes;
        int asked;
    } rows[] = {
        {APR_ENOTIMPL, 0, false, 1},
        {APR_SUCCESS, EINVAL, false, 1},
        {APR_SUCCESS, ENOSYS, false, 1},
        {APR_SUCCESS, 0, true, 0},
    };
    scene_t *scene = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        site.answer = rows[i].answer;
        site.asked = 0;
        fake.in_error = rows[i].in_error;
        scene->pipes = rows[i].without_pipes ? NULL : &site.pipes;
        text_clear(&site.got);
        int fd = begin(scene, LARGE);
        member_sends(scene, fd, 0, LARGE);
        assert_done(scene);
        assert_got(LARGE);
        assert_int_equal(site.bypassed, 0);
        assert_int_equal(site.asked, rows[i].asked);
        close(fd);
    }
}

/* A socket that paces itself, or no pipe to be had: the same short cut, by read and write. */
static void writes_where_it_does_not_splice(void **state)
{
    enum { MANY = 1000 };
    scene_t *scene = *state;
    for (int way = 0; way < 2; way++) {
        udr_pipes_t none = {NULL, 0};
        udr_pipe_t *taken[MANY];
        int count = 0;
        fake.is_paced = way == 0;
        while (way == 1 && count < MANY && udr_pipe_borrow(&none, &taken[count]) == APR_SUCCESS) {
            count++;
        }
        assert_in_range(count, 0, MANY - 1);
        mix(scene);
        text_clear(&site.got);
        site.bypassed = 0;
        int fd = begin(scene, LARGE);
        member_sends(scene, fd, 0, LARGE);
        assert_done(scene);
        assert_got(LARGE);
        assert_in_range(site.bypassed, LARGE * 3 / 4, LARGE - 1);
        assert_int_equal(udr_exchange_moved(scene->exchange), LARGE);
        assert_int_equal(site.pipes.count, 0);
        assert_counts(scene, 1, 0);
        close(fd);
        assert_true(scene->client.largest <= 63487);
        while (count > 0) {
            udr_pipe_close(taken[--count]);
        }
        scene_end(scene);
    }
}

static void asks_only_where_much_is_left(void **state)
{
    static const struct {
        apr_size_t length;
        int asked;
    } rows[] = {{63000, 0}, {131072, 0}, {131072 + 31000, 0}, {131072 + 32000, 1}};
    scene_t *scene = *state;
    scene->plan.pass_limit = 63487;
    for (size_t i = 0; i < COUNT(rows); i++) {
        site.asked = 0;
        text_clear(&site.got);
        int fd = begin(scene, rows[i].length);
        member_sends(scene, fd, 0, rows[i].length);
        assert_done(scene);
        assert_got(rows[i].length);
        assert_int_equal(site.asked, rows[i].asked);
        close(fd);
    }
}

static void leaves_chunks_and_unwanted_bodies_alone(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n");
    member_sends(scene, fd, 0, 0x60000);
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_int_equal(site.asked, 0);
    assert_got(0x60000);
    close(fd);
    assert_false(scene_settle(scene));
    scene->client.wants_body = false;
    fd = begin(scene, LARGE);
    member_sends(scene, fd, 0, LARGE);
    assert_done(scene);
    assert_int_equal(site.asked, 0);
    close(fd);
}

static void waits_until_the_client_has_what_it_was_given(void **state)
{
    scene_t *scene = *state;
    site.answer = APR_EAGAIN;
    scene->client.is_writable = false;
    int fd = begin(scene, LARGE);
    member_says_bytes(fd, site.body, 80000);
    assert_true(scene_settle(scene));
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_int_equal(site.bypassed, 0);
    site.answer = APR_SUCCESS;
    scene->client.is_writable = true;
    assert_true(scene_settle(scene));
    member_sends(scene, fd, 80000, LARGE);
    assert_done(scene);
    assert_got(LARGE);
    assert_true(site.bypassed > (fake.is_paced ? LARGE / 2 : LARGE - 80000));
    close(fd);
}

/* --- in between --- */

static void waits_for_the_client_with_bytes_in_its_pipe(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, LARGE);
    apr_size_t sent = member_sends_in_vain(scene, fd, 0, LARGE);
    assert_true(sent < LARGE);
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    /* The pipe is the exchange's own meanwhile. */
    assert_int_equal(site.pipes.count, 0);
    assert_true(udr_exchange_wait(scene->exchange)->until <= scene->now + scene->plan.client_timeout);
    /* Nothing is read for it, whatever is said of the member. */
    apr_uint64_t before = udr_exchange_moved(scene->exchange);
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_int_equal(udr_exchange_moved(scene->exchange), before);
    settle(scene);
    assert_int_equal(site.pipes.count, 1);
    member_sends(scene, fd, sent, LARGE);
    assert_done(scene);
    assert_got(LARGE);
    assert_int_equal(udr_exchange_moved(scene->exchange), LARGE);
    close(fd);
}

/* Nothing goes past them while they have something. */
static void leaves_to_the_filters_what_the_client_does_not_take(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, LARGE);
    apr_size_t sent = member_sends_in_vain(scene, fd, 0, LARGE);
    assert_true(sent < LARGE);
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_in_range(scene->client.body.len, 1, 63487);
    assert_int_equal(site.asked, 1);
    apr_uint64_t before = udr_exchange_moved(scene->exchange);
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN));
    assert_int_equal(udr_exchange_moved(scene->exchange), before);
    /* Somebody is there again, for little at a time. */
    settle(scene);
    assert_true(site.asked > 1);
    member_sends(scene, fd, sent, LARGE);
    assert_done(scene);
    assert_got(LARGE);
    assert_int_equal(udr_exchange_moved(scene->exchange), LARGE);
    assert_counts(scene, 1, 0);
    close(fd);
}

/* What they keep back for a fuller packet is flushed when the member says no more. */
static void flushes_what_the_filters_keep_back(void **state)
{
    scene_t *scene = *state;
    fake.is_paced = true;
    int fd = begin(scene, LARGE);
    assert_int_equal(member_sends_in_vain(scene, fd, 0, 500000), 500000);
    assert_in_range(site.bypassed, 1, 400000);
    text_clear(&scene->client.story);
    scene_pass_time(scene, scene->member->settings.flush_wait);
    assert_true(scene_run(scene, 0));
    assert_non_null(strstr(scene->client.story.ptr, "flush"));
    close(fd);
}

/* The member has been released, and its connection may serve another request. */
static void frees_the_member_before_the_client_has_the_last_bytes(void **state)
{
    scene_t *scene = *state;
    fake.out_limit = 3000;
    int fd = begin(scene, 200000);
    assert_int_equal(member_sends_in_vain(scene, fd, 0, 200000), 200000);
    for (int runs = 0; udr_exchange_fd(scene->exchange) >= 0; runs++) {
        assert_in_range(runs, 0, 100);
        assert_true(read_socket(scene) > 0);
        assert_true(scene_run(scene, UDR_READY_CLIENT_OUT));
    }
    assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
    assert_counts(scene, 1, 0);
    fake.out_limit = 0;
    assert_true(scene_run(scene, UDR_READY_MEMBER_IN | UDR_READY_MEMBER_OUT));
    settle(scene);
    assert_done(scene);
    assert_got(200000);
    assert_counts(scene, 1, 0);
    close(fd);
}

/* From a member that always has more, one run takes no more than from one that is read. */
static void lets_others_have_their_turn(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, 100 * LARGE);
    member_sends(scene, fd, 0, 200000);
    fake.refills = fd;
    for (int runs = 0; runs < 5; runs++) {
        apr_uint64_t before = udr_exchange_moved(scene->exchange);
        assert_true(scene_run(scene, UDR_READY_MEMBER_IN | UDR_READY_CLIENT_OUT));
        assert_in_range(udr_exchange_moved(scene->exchange) - before, 256 * 1024, 512 * 1024);
        assert_int_equal(udr_exchange_wait(scene->exchange)->until, scene->now + 1);
    }
    close(fd);
}

/* splice(2) into this socket turns out to be impossible: the bytes in the pipe take the usual way. */
static void copies_out_of_the_pipe_when_it_has_to(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, LARGE);
    fake.out_error = EINVAL;
    member_sends(scene, fd, 0, LARGE);
    assert_done(scene);
    assert_got(LARGE);
    assert_int_equal(site.bypassed, 0);
    assert_in_range(scene->client.largest, 1, 63487);
    assert_int_equal(udr_exchange_moved(scene->exchange), LARGE);
    close(fd);
}

/* --- the end --- */

static void ends_with_the_connection_where_no_length_is_known(void **state)
{
    scene_t *scene = *state;
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 200 OK\r\n\r\n");
    member_sends(scene, fd, 0, LARGE);
    assert_waits(scene, UDR_EXCHANGE_RELAY, POLLIN, 0);
    assert_true(site.bypassed > 0);
    close(fd);
    assert_false(scene_settle(scene));
    (void)read_socket(scene);
    assert_done(scene);
    assert_got(LARGE);
}

static void breaks_off_when_the_member_closes(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, LARGE);
    member_sends(scene, fd, 0, 600000);
    assert_true(site.bypassed > 0);
    assert_int_equal(site.pipes.count, fake.is_paced ? 0 : 1); /* who waits for the member has no use for one */
    close(fd);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_RELAY);
    assert_why(scene, "closed within the body: fewer bytes than Content-Length said", 0);
    (void)read_socket(scene);
    assert_got(600000);
}

static void tells_a_reset_of_the_member(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, LARGE);
    member_sends(scene, fd, 0, 600000);
    fake.in_error = ECONNRESET;
    member_says_bytes(fd, site.body, 1);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLOSED, UDR_EXCHANGE_RELAY);
    assert_int_equal(udr_exchange_failure(scene->exchange)->error, ECONNRESET);
    close(fd);
}

static void keeps_no_connection_with_bytes_behind_the_response(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, 400000);
    member_sends(scene, fd, 0, 300000);
    member_says_bytes(fd, site.body + 300000, 100001);
    assert_false(scene_settle(scene));
    (void)read_socket(scene);
    assert_done(scene);
    assert_got(400000);
    assert_counts(scene, 0, 0);
    close(fd);
}

static void ends_when_the_client_has_gone(void **state)
{
    scene_t *scene = *state;
    int fd = begin(scene, LARGE);
    member_sends(scene, fd, 0, 300000);
    close(site.ends[1]);
    site.ends[1] = -1;
    member_says_bytes(fd, site.body + 300000, 1000);
    assert_false(scene_settle(scene));
    assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_RELAY);
    close(fd);
}

static void closes_a_full_pipe_however_it_ends(void **state)
{
    scene_t *scene = *state;
    for (int way = 0; way < 4; way++) {
        text_clear(&site.got);
        int before = count_descriptors();
        int fd = begin(scene, LARGE);
        (void)member_sends_in_vain(scene, fd, 0, LARGE);
        assert_waits(scene, UDR_EXCHANGE_RELAY, 0, POLLOUT);
        switch (way) {
        case 0:
            assert_false(scene_run(scene, UDR_READY_CLIENT_GONE));
            assert_failed(scene, UDR_FAILURE_CLIENT_GONE, UDR_EXCHANGE_RELAY);
            break;
        case 1:
            scene_pass_time(scene, scene->plan.client_timeout);
            assert_false(scene_run(scene, 0));
            assert_failed(scene, UDR_FAILURE_CLIENT_TIMEOUT, UDR_EXCHANGE_RELAY);
            break;
        case 2:
            udr_exchange_cancel(scene->exchange);
            assert_state(scene, UDR_EXCHANGE_FAILED);
            break;
        default:
            scene_end(scene); /* with the request's pool */
            break;
        }
        close(fd);
        /* No pipe with another's bytes is kept for the next; an empty one may be. */
        for (udr_pipe_t *pipe = site.pipes.first; pipe; pipe = pipe->next) {
            assert_int_equal(pipe->held, 0);
        }
        udr_pipes_close(&site.pipes);
        assert_int_equal(count_descriptors(), before);
        (void)read_socket(scene);
        scene->client.is_writable = true;
    }
}

/* --- tunnels --- */

static void splices_what_comes_in_bulk_through_a_tunnel(void **state)
{
    scene_t *scene = *state;
    apr_uint64_t up, down;
    scene->request.upgrade = "chat";
    scene->client.behind = APR_EAGAIN;
    int fd = scene_start_and_read(scene);
    member_says(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    assert_true(scene_settle(scene));
    member_sends(scene, fd, 0, 100); /* a message */
    assert_int_equal(site.asked, 0);
    member_sends(scene, fd, 100, LARGE - 100);
    assert_int_equal(site.asked, 1);
    apr_size_t in_bulk = site.bypassed;
    assert_true(fake.is_paced ? in_bulk == 0 : in_bulk > LARGE / 4);
    member_sends(scene, fd, LARGE - 100, LARGE); /* another one */
    assert_int_equal(site.bypassed, in_bulk);
    assert_waits(scene, UDR_EXCHANGE_TUNNEL, POLLIN, POLLIN);
    assert_got(LARGE);
    assert_true(udr_exchange_is_tunnel(scene->exchange, &up, &down));
    assert_int_equal(down, LARGE);
    /* Its end is told as ever. */
    scene->client.behind = APR_EOF;
    close(fd);
    assert_false(scene_settle(scene));
    assert_done(scene);
}

int main(void)
{
    apr_initialize();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define PACED_TEST(name)                                                                                               \
    {                                                                                                                  \
        "paced_" #name, name, set_up_paced, tear_down, NULL                                                            \
    }
    const struct CMUnitTest tests[] = {
        TEST(splices_what_follows_the_first_read),
        TEST(copies_what_is_not_to_be_spliced),
        TEST(writes_where_it_does_not_splice),
        TEST(asks_only_where_much_is_left),
        TEST(leaves_chunks_and_unwanted_bodies_alone),
        TEST(waits_until_the_client_has_what_it_was_given),
        TEST(waits_for_the_client_with_bytes_in_its_pipe),
        TEST(flushes_what_the_filters_keep_back),
        TEST(frees_the_member_before_the_client_has_the_last_bytes),
        TEST(lets_others_have_their_turn),
        TEST(copies_out_of_the_pipe_when_it_has_to),
        TEST(ends_with_the_connection_where_no_length_is_known),
        TEST(breaks_off_when_the_member_closes),
        TEST(tells_a_reset_of_the_member),
        TEST(keeps_no_connection_with_bytes_behind_the_response),
        TEST(ends_when_the_client_has_gone),
        TEST(closes_a_full_pipe_however_it_ends),
        TEST(splices_what_comes_in_bulk_through_a_tunnel),
        PACED_TEST(leaves_chunks_and_unwanted_bodies_alone),
        PACED_TEST(waits_until_the_client_has_what_it_was_given),
        PACED_TEST(leaves_to_the_filters_what_the_client_does_not_take),
        PACED_TEST(ends_with_the_connection_where_no_length_is_known),
        PACED_TEST(breaks_off_when_the_member_closes),
        PACED_TEST(keeps_no_connection_with_bytes_behind_the_response),
        PACED_TEST(ends_when_the_client_has_gone),
        PACED_TEST(splices_what_comes_in_bulk_through_a_tunnel),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
