/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_worker.h"
#include "mod_udsroute/udr_clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A client that has shut down its sending side has gone, as a rule; but scripts do so and then wait for the answer (nc
 * -N). An answer that comes within this time they get. */
#define GONE_AFTER apr_time_from_msec(100)

/* An HTTP/2 stream has no descriptor: it is looked after between two pauses of this length, growing from the first to
 * the second while nothing happens. */
#define TICK_FIRST ((apr_interval_time_t)100)
#define TICK_MAX   apr_time_from_msec(50)

struct udr_worker_t {
    udr_scratch_t scratch;
    int wake_fd;
    bool is_lent;
};

static pthread_key_t worker_key;

static void free_worker(void *data)
{
    udr_worker_t *worker = data;
    close(worker->wake_fd);
    free(worker->scratch.ptr);
    free(worker);
}

static apr_status_t delete_key(void *data)
{
    (void)data;
    /* The calling thread's own value is not freed by pthread_key_delete(3); under prefork it is the only one. */
    udr_worker_t *worker = pthread_getspecific(worker_key);
    if (worker) {
        pthread_setspecific(worker_key, NULL);
        free_worker(worker);
    }
    pthread_key_delete(worker_key);
    return APR_SUCCESS;
}

apr_status_t udr_worker_child_init(apr_pool_t *pchild)
{
    int rc = pthread_key_create(&worker_key, free_worker);
    if (rc == 0) {
        apr_pool_cleanup_register(pchild, NULL, delete_key, apr_pool_cleanup_null);
    }
    return rc;
}

static udr_worker_t *make_worker(void)
{
    udr_worker_t *worker = calloc(1, sizeof *worker);
    if (!worker) {
        return NULL;
    }
    worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->wake_fd < 0) {
        free(worker);
        return NULL;
    }
    return worker;
}

udr_worker_t *udr_worker_borrow(void)
{
    udr_worker_t *own = pthread_getspecific(worker_key);
    udr_worker_t *worker = own && !own->is_lent ? own : make_worker();
    if (worker && !own && pthread_setspecific(worker_key, worker) != 0) {
        free_worker(worker);
        return NULL;
    }
    if (worker) {
        worker->is_lent = true;
    }
    return worker;
}

void udr_worker_return(udr_worker_t *worker)
{
    worker->is_lent = false;
    if (worker != pthread_getspecific(worker_key)) {
        free_worker(worker);
    }
}

void udr_worker_wake(udr_waiter_t *waiter)
{
    const udr_worker_t *worker = waiter->baton;
    (void)eventfd_write(worker->wake_fd, 1);
}

static bool provide_scratch(udr_worker_t *worker, apr_size_t size)
{
    if (worker->scratch.size < size) {
        char *larger = realloc(worker->scratch.ptr, size);
        if (!larger) {
            return false;
        }
        worker->scratch.ptr = larger;
        worker->scratch.size = size;
    }
    return true;
}

/* What one exchange's waiting needs to remember. */
typedef struct waiting_t {
    udr_worker_t *worker;
    udr_client_t *client;
    int client_fd;             /* -1: an HTTP/2 stream */
    apr_time_t client_left_at; /* when it shut down its sending side; 0: it has not */
    apr_interval_time_t tick;
    apr_time_t until;   /* when to give up */
    apr_uint64_t moved; /* body bytes in both directions when it was last looked after */
} waiting_t;

/* Which of the descriptors stands where. */
enum { MEMBER, CLIENT, WAKE, DESCRIPTORS };

static void set_descriptors(const waiting_t *waiting, const udr_wait_t *wait, struct pollfd fds[DESCRIPTORS])
{
    short client_events = wait->client;
    /* While it still sends, the end of what it sends is for the body to tell. */
    if (!waiting->client_left_at && udr_exchange_body_taken(waiting->client->exchange)) {
        client_events |= POLLRDHUP;
    }
    /* poll(2) reports POLLHUP unasked, for ever: what is not waited for is left out. */
    fds[MEMBER] =
        (struct pollfd){.fd = wait->member ? udr_exchange_fd(waiting->client->exchange) : -1, .events = wait->member};
    fds[CLIENT] = (struct pollfd){.fd = client_events ? waiting->client_fd : -1, .events = client_events};
    fds[WAKE] = (struct pollfd){.fd = wait->turn ? waiting->worker->wake_fd : -1, .events = POLLIN};
}

static void pause_until(const waiting_t *waiting, const udr_wait_t *wait, apr_time_t now, struct timespec *pause)
{
    apr_time_t until = wait->until < waiting->until ? wait->until : waiting->until;
    if (waiting->client_left_at && waiting->client_left_at + GONE_AFTER < until) {
        until = waiting->client_left_at + GONE_AFTER;
    }
    if (waiting->client_fd < 0 && now + waiting->tick < until) {
        until = now + waiting->tick;
    }
    apr_interval_time_t left = until > now ? until - now : 0;
    pause->tv_sec = (time_t)(left / APR_USEC_PER_SEC);
    pause->tv_nsec = (long)(left % APR_USEC_PER_SEC) * 1000;
}

static unsigned int read_client(waiting_t *waiting, short events, apr_time_t now)
{
    unsigned int ready = 0;
    if (events & POLLIN) {
        ready |= UDR_READY_CLIENT_IN;
    }
    if (events & POLLOUT) {
        ready |= UDR_READY_CLIENT_OUT;
    }
    if (events & (POLLERR | POLLHUP | POLLNVAL)) {
        ready |= UDR_READY_CLIENT_GONE;
    } else if ((events & POLLRDHUP) && !waiting->client_left_at) {
        waiting->client_left_at = now;
    }
    return ready;
}

/* An HTTP/2 stream is asked without being ready: what has come about shows then. While bytes move, often. */
static unsigned int look_after_stream(waiting_t *waiting, const udr_wait_t *wait)
{
    apr_uint64_t moved = udr_exchange_moved(waiting->client->exchange);
    waiting->tick = moved != waiting->moved ? TICK_FIRST : waiting->tick * 2;
    if (waiting->tick > TICK_MAX) {
        waiting->tick = TICK_MAX;
    }
    waiting->moved = moved;
    return wait->client ? UDR_READY_CLIENT_IN | UDR_READY_CLIENT_OUT : 0;
}

/* Waits for what the exchange waits for; returns what has come about (UDR_READY_…). */
static unsigned int wait_for(waiting_t *waiting, const udr_wait_t *wait, apr_time_t now)
{
    struct pollfd fds[DESCRIPTORS];
    struct timespec pause;
    unsigned int ready = 0;
    set_descriptors(waiting, wait, fds);
    pause_until(waiting, wait, now, &pause);
    int count = ppoll(fds, DESCRIPTORS, &pause, NULL);
    now = udr_clock_now();
    if (count > 0) {
        if (fds[MEMBER].revents & (POLLIN | POLLHUP | POLLERR)) {
            ready |= UDR_READY_MEMBER_IN;
        }
        if (fds[MEMBER].revents & (POLLOUT | POLLHUP | POLLERR)) {
            ready |= UDR_READY_MEMBER_OUT;
        }
        if (fds[WAKE].revents) {
            eventfd_t value;
            (void)eventfd_read(waiting->worker->wake_fd, &value);
        }
        ready |= read_client(waiting, fds[CLIENT].revents, now);
    }
    if (waiting->client_fd < 0) {
        ready |= look_after_stream(waiting, wait);
    }
    /* What the member sends to a client that has shut down its side is passed on: it is silence that ends the wait. */
    if (waiting->client_left_at && (ready & UDR_READY_MEMBER_IN)) {
        waiting->client_left_at = now;
    } else if (waiting->client_left_at && now - waiting->client_left_at >= GONE_AFTER) {
        ready |= UDR_READY_CLIENT_GONE;
    }
    if (waiting->client->r->connection->aborted) {
        ready |= UDR_READY_CLIENT_GONE;
    }
    return ready;
}

bool udr_worker_run(udr_worker_t *worker, udr_client_t *client, apr_interval_time_t limit)
{
    udr_exchange_t *exchange = client->exchange;
    apr_time_t now = udr_clock_now();
    waiting_t waiting = {
        .worker = worker,
        .client = client,
        .client_fd = udr_client_fd(client),
        .tick = TICK_FIRST,
        .until = limit < 0 ? APR_INT64_MAX : now + limit,
    };
    unsigned int ready = 0;
    if (!provide_scratch(worker, udr_exchange_scratch_size(exchange))) {
        udr_exchange_cancel(exchange);
        return true;
    }
    while (udr_exchange_run(exchange, &worker->scratch, ready, now)) {
        /* The run may have taken its time: filters can block. */
        now = udr_clock_now();
        if (now >= waiting.until) {
            return false;
        }
        ready = wait_for(&waiting, udr_exchange_wait(exchange), now);
        now = udr_clock_now();
    }
    return true;
}
